package packet

import "encoding/binary"

// What honest frames never exceed; beyond it a frame is refused with
// [TooManyLayers], so that a frame of nothing but tags costs no more than any other.
const (
	maxTags       = 8  // VLAN tags and SNAP headers
	maxExtensions = 12 // IPv6 extension headers
)

// EtherTypes and PPP protocols that are looked through.
const (
	etherVLAN    = 0x8100
	etherQinQ    = 0x88a8
	etherQinQOld = 0x9100
	etherQinQAlt = 0x9200
	etherPPPoE   = 0x8864
	etherMPLS    = 0x8847
	minEtherType = 0x600 // below it the field is an 802.3 length

	pppIPv4 = 0x21
	pppIPv6 = 0x57
	pppMPLS = 0x281
)

// Decoder decodes frames into headers. Ethernet, 802.1Q and QinQ tags, PPPoE,
// PPP, Cisco HDLC, Linux cooked, BSD loopback and raw IP are read by hand without
// allocating; other link types go through gopacket until a network header shows,
// at some hundred nanoseconds a frame. The zero value is ready. A Decoder must not
// be used by two goroutines at once.
type Decoder struct{}

// Decode fills h from f and says why it could not. h is reset first. When the
// reason is not OK h holds what was read until then. h.Payload and h.TCPOptions
// point into f.Data.
func (d *Decoder) Decode(f *Frame, h *Header) Reason {
	b, wire := f.Data, max(f.WireLen, len(f.Data))
	*h = Header{Time: f.Time, WireLen: wire}
	switch f.Link {
	case LinkEthernet:
		return ethernet(h, b, wire)
	case LinkRaw, LinkIPv4, LinkIPv6, 12, 14: // 12 and 14: DLT_RAW as BSDs wrote it
		return rawIP(h, b, wire)
	case LinkLinuxSLL:
		return linuxSLL(h, b, wire)
	case LinkSLL2:
		return linuxSLL2(h, b, wire)
	case LinkNull, LinkLoop:
		return loopback(h, b, wire)
	case LinkPPP, LinkPPPHDLC:
		return ppp(h, b, wire)
	case LinkCHDLC:
		return ciscoHDLC(h, b, wire)
	}
	return fallback(f, h, b, wire)
}

// All functions below take the captured bytes b from their own layer on and how
// many bytes were there on the wire, which is never less than len(b).

func ethernet(h *Header, b []byte, wire int) Reason {
	if len(b) < 14 {
		return Truncated
	}
	h.HasMAC = true
	h.DstMAC, h.SrcMAC = MAC(b[:6]), MAC(b[6:12])
	etherType := binary.BigEndian.Uint16(b[12:])
	if etherType == NetIPv4 { // a call less for most frames there are
		h.Net = NetIPv4
		return ipv4(h, b[14:], wire-14)
	}
	return network(h, etherType, b[14:], wire-14)
}

// network decodes what an EtherType announces, through any tags.
func network(h *Header, etherType uint16, b []byte, wire int) Reason {
	for tags := 0; ; tags++ {
		switch {
		case etherType == NetIPv4:
			h.Net = NetIPv4
			return ipv4(h, b, wire)
		case etherType == NetIPv6:
			h.Net = NetIPv6
			return ipv6(h, b, wire)
		case isTag(etherType):
			if tags == maxTags {
				return TooManyLayers
			}
			if len(b) < 4 {
				return Truncated
			}
			id := binary.BigEndian.Uint16(b) & 0xfff
			if tags == 0 {
				h.VLAN = id
			} else if tags == 1 {
				h.InnerVLAN = id
			}
			etherType = binary.BigEndian.Uint16(b[2:])
			b, wire = b[4:], wire-4
		case etherType == NetARP:
			return arp(h, b, wire)
		case etherType == etherPPPoE:
			return pppoe(h, b, wire)
		case etherType < minEtherType:
			h.Net = etherType
			if n := int(etherType); n < wire {
				b, wire = b[:min(n, len(b))], n
			}
			inner := snap(b)
			if inner == 0 || tags == maxTags {
				return opaque(h, b, wire)
			}
			etherType = inner
			b, wire = b[8:], wire-8
		default:
			h.Net = etherType
			return opaque(h, b, wire)
		}
	}
}

func isTag(etherType uint16) bool {
	return etherType == etherVLAN || etherType == etherQinQ || etherType == etherQinQOld || etherType == etherQinQAlt
}

// snap gives the EtherType of an LLC/SNAP header that encapsulates Ethernet
// (RFC 1042), and 0 for any other LLC.
func snap(b []byte) uint16 {
	if len(b) < 8 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 || b[3] != 0 || b[4] != 0 || b[5] != 0 {
		return 0
	}
	if t := binary.BigEndian.Uint16(b[6:]); t >= minEtherType {
		return t
	}
	return 0
}

// opaque ends decoding at something that is not looked into.
func opaque(h *Header, b []byte, wire int) Reason {
	h.Payload, h.PayloadLen = b, wire
	return OK
}

// arp leaves the padding of short frames out.
func arp(h *Header, b []byte, wire int) Reason {
	h.Net = NetARP
	if len(b) < 8 {
		return Truncated
	}
	n := 8 + 2*(int(b[4])+int(b[5]))
	if n < wire {
		b, wire = b[:min(n, len(b))], n
	}
	return opaque(h, b, wire)
}

// pppoe decodes a PPPoE session frame; what is not IP in it stays PPPoE.
func pppoe(h *Header, b []byte, wire int) Reason {
	h.Net = etherPPPoE
	if len(b) < 6 {
		return Truncated
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	b, wire = b[6:], wire-6
	if etherType, head := pppProtocol(b); etherType != 0 {
		return network(h, etherType, b[head:], wire-head) // IP's own length is the surer one
	}
	if n < wire {
		b, wire = b[:min(n, len(b))], n
	}
	return opaque(h, b, wire)
}

// pppProtocol gives the EtherType of a PPP frame and the length of its protocol
// field, or 0 where it carries something else than IP or MPLS.
func pppProtocol(b []byte) (etherType uint16, head int) {
	if len(b) < 2 {
		return 0, 0
	}
	proto, head := uint16(b[0]), 1
	if b[0]&1 == 0 { // not compressed to one byte
		proto, head = binary.BigEndian.Uint16(b), 2
	}
	switch proto {
	case pppIPv4:
		return NetIPv4, head
	case pppIPv6:
		return NetIPv6, head
	case pppMPLS:
		return etherMPLS, head
	}
	return 0, head
}

func ppp(h *Header, b []byte, wire int) Reason {
	if len(b) < 2 {
		return Truncated
	}
	if b[0] == 0x0f || b[0] == 0x8f { // PPP links that were switched to Cisco's framing
		return ciscoHDLC(h, b, wire)
	}
	if b[0] == 0xff && b[1] == 3 { // address and control of HDLC framing
		b, wire = b[2:], wire-2
	}
	if len(b) < 2 {
		return Truncated
	}
	etherType, head := pppProtocol(b)
	if etherType == 0 {
		return NoNetwork
	}
	return network(h, etherType, b[head:], wire-head)
}

func ciscoHDLC(h *Header, b []byte, wire int) Reason {
	if len(b) < 4 {
		return Truncated
	}
	etherType := binary.BigEndian.Uint16(b[2:])
	if etherType < minEtherType {
		return NoNetwork
	}
	return network(h, etherType, b[4:], wire-4)
}

func rawIP(h *Header, b []byte, wire int) Reason {
	if len(b) == 0 {
		return Truncated
	}
	switch b[0] >> 4 {
	case 4:
		h.Net = NetIPv4
		return ipv4(h, b, wire)
	case 6:
		h.Net = NetIPv6
		return ipv6(h, b, wire)
	}
	return BadIPv4
}

// loopback decodes BSD's null and loop headers: an address family in the byte
// order of whoever captured, whose value for IPv6 differs between systems.
func loopback(h *Header, b []byte, wire int) Reason {
	if len(b) < 4 {
		return Truncated
	}
	family := binary.LittleEndian.Uint32(b)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(b)
	}
	switch family {
	case 2:
		h.Net = NetIPv4
		return ipv4(h, b[4:], wire-4)
	case 10, 24, 28, 30:
		h.Net = NetIPv6
		return ipv6(h, b[4:], wire-4)
	}
	return NoNetwork
}

func linuxSLL(h *Header, b []byte, wire int) Reason {
	if len(b) < 16 {
		return Truncated
	}
	return cooked(h, binary.BigEndian.Uint16(b[2:]), int(binary.BigEndian.Uint16(b[4:])), b[6:12],
		binary.BigEndian.Uint16(b[14:]), b[16:], wire-16)
}

func linuxSLL2(h *Header, b []byte, wire int) Reason {
	if len(b) < 20 {
		return Truncated
	}
	return cooked(h, binary.BigEndian.Uint16(b[8:]), int(b[11]), b[12:18],
		binary.BigEndian.Uint16(b), b[20:], wire-20)
}

// cooked decodes what Linux's cooked headers v1 and v2 say alike. Only the
// sender's address is in them.
func cooked(h *Header, hardware uint16, addrLen int, addr []byte, etherType uint16, b []byte, wire int) Reason {
	const netlink, llc = 824, 4
	if hardware == netlink {
		return NoNetwork
	}
	if addrLen == len(h.SrcMAC) {
		h.SrcMAC = MAC(addr)
		h.HasMAC = !h.SrcMAC.IsZero() // loopback has zeros
	}
	if etherType == llc {
		etherType = uint16(min(wire, minEtherType-1)) // as the 802.3 length field said
	} else if etherType < minEtherType {
		return NoNetwork
	}
	return network(h, etherType, b, wire)
}
