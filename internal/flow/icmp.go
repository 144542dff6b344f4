package flow

import (
	"encoding/binary"

	"github.com/monban/monban/internal/packet"
)

// Bounds of what is read of a packet that an ICMP error quotes.
const (
	quotedExtensions = 8 // IPv6 extension headers
	quotedTunnels    = 2 // IP headers: a tunnel's, and that of what it carries
)

// isError reports whether an ICMP message says that a packet did not arrive: RFC 792's
// destination unreachable, time exceeded and parameter problem, RFC 4443's with packet
// too big.
func isError(proto, ty uint8) bool {
	if proto == packet.ProtoICMP {
		return ty == 3 || ty == 11 || ty == 12
	}
	return ty >= 1 && ty <= 4
}

// icmpError counts an ICMP error on the flow whose packet it quotes, where that is live.
// The error itself is counted in a flow of its own, as any packet.
func (t *Table) icmpError(h *packet.Header) {
	if h.FragOff != 0 || !isError(h.Proto, h.ICMPType) {
		return
	}
	t.stats.ICMPErrors++
	q := packet.Header{Time: h.Time}
	b := h.Payload
	for range quotedTunnels {
		if b = quoted(b, &q); b == nil {
			break
		}
		q.VLAN, q.InnerVLAN, q.Tunnel.Zone = h.VLAN, h.InnerVLAN, h.Tunnel.Zone // it came in the same network
		var k key
		t.keyOf(&q, &k)
		if slot := t.find(&k, uint32(k.hash(&t.seed))); slot >= 0 {
			e := t.at(slot)
			if e.icmpErrors++; e.icmpErrors == 0 {
				e.icmpErrors--
			}
			e.errorType, e.errorCode = h.ICMPType, h.ICMPCode
			return
		}
		switch q.Proto {
		case protoIPIP, protoIPv6, protoGRE: // the flow may be that of what the tunnel carries
		default:
			t.stats.ICMPLost++
			return
		}
		if q.Proto == protoGRE {
			b = greIP(b)
		}
	}
	t.stats.ICMPLost++
}

// IP in IP, IPv6 in IP, GRE.
const (
	protoIPIP = 4
	protoIPv6 = 41
	protoGRE  = 47
)

// quoted reads the front of an IP packet as far as it tells a flow, and gives what
// follows the IP headers; nil when b is none.
func quoted(b []byte, q *packet.Header) (rest []byte) {
	*q = packet.Header{Time: q.Time}
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		head := int(b[0]&15) * 4
		if head < 20 || head > len(b) {
			return nil
		}
		q.Net, q.Proto, q.TTL = packet.NetIPv4, b[9], b[8]
		q.IPID = uint32(binary.BigEndian.Uint16(b[4:]))
		q.FragOff = binary.BigEndian.Uint16(b[6:]) << 3
		q.Src[10], q.Src[11], q.Dst[10], q.Dst[11] = 0xff, 0xff, 0xff, 0xff
		copy(q.Src[12:], b[12:16])
		copy(q.Dst[12:], b[16:20])
		b = b[head:]
	case len(b) >= 40 && b[0]>>4 == 6:
		q.Net, q.Proto, q.TTL = packet.NetIPv6, b[6], b[7]
		q.Src, q.Dst = [16]byte(b[8:24]), [16]byte(b[24:40])
		b = b[40:]
		for range quotedExtensions {
			size := 0
			switch q.Proto {
			case 0, 43, 60, 135, 139, 140: // hop by hop, routing, destination, mobility, HIP, shim6
				if len(b) >= 2 {
					size = (int(b[1]) + 1) * 8
				}
			case 44: // fragment
				if size = 8; len(b) >= 8 {
					q.FragOff = binary.BigEndian.Uint16(b[2:]) & 0xfff8
					q.IPID = binary.BigEndian.Uint32(b[4:])
				}
			case 51: // authentication
				if len(b) >= 2 {
					size = (int(b[1]) + 2) * 4
				}
			default:
				size = -1
			}
			if size < 0 {
				break
			}
			if size < 8 || size > len(b) {
				return nil
			}
			q.Proto, b = b[0], b[size:]
			if q.FragOff != 0 {
				break
			}
		}
	default:
		return nil
	}
	if q.FragOff != 0 {
		return b[:0:0] // its ports are those of the first, if that was seen
	}
	switch q.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		if len(b) < 4 {
			return nil
		}
		q.SrcPort, q.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if len(b) < 2 {
			return nil
		}
		q.ICMPType, q.ICMPCode = b[0], b[1]
	}
	return b
}

// greIP gives what a GRE header is followed by when that is IP.
func greIP(b []byte) []byte {
	if len(b) < 4 || b[1]&7 != 0 {
		return nil
	}
	switch binary.BigEndian.Uint16(b[2:]) {
	case packet.NetIPv4, packet.NetIPv6:
	default:
		return nil
	}
	head := 4
	for _, flag := range [...]byte{0x80, 0x20, 0x10} { // checksum, key, sequence number
		if b[0]&flag != 0 {
			head += 4
		}
	}
	return b[min(head, len(b)):]
}
