package packet

import (
	"encoding/binary"
	"math"
)

// IP protocol numbers of IPv6 extension headers, and of what ends their chain.
const (
	extHopByHop = 0
	extRouting  = 43
	extFragment = 44
	extESP      = 50
	extAuth     = 51
	extNone     = 59
	extDestOpts = 60
	extMobility = 135
	extHIP      = 139
	extShim6    = 140
)

func ipv4(h *Header, b []byte, wire int) Reason {
	if len(b) < 20 {
		return Truncated
	}
	head := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = wire // segmentation offload: the card would have filled it in
	}
	if b[0]>>4 != 4 || head < 20 || total < head || total > wire {
		return BadIPv4
	}
	h.NetLen = total
	h.DSCP = b[1] >> 2
	h.IPID = uint32(binary.BigEndian.Uint16(b[4:]))
	h.TTL, h.Proto = b[8], b[9]
	h.Src[10], h.Src[11], h.Dst[10], h.Dst[11] = 0xff, 0xff, 0xff, 0xff
	copy(h.Src[12:], b[12:16])
	copy(h.Dst[12:], b[16:20])
	if frag := binary.BigEndian.Uint16(b[6:]) & 0x3fff; frag != 0 {
		h.Fragment, h.MoreFrag, h.FragOff, h.FragLen = true, frag&0x2000 != 0, frag<<3, uint16(total-head)
		h.untidy()
	}
	if len(b) < head {
		return Truncated
	}
	if len(b) > total {
		b = b[:total]
	}
	b, wire = b[head:], total-head
	if h.Proto == extAuth && h.FragOff == 0 {
		n := 0
		for ; h.Proto == extAuth; n++ {
			if n == maxExtensions {
				return TooManyLayers
			}
			if wire < 12 {
				return BadIPv4
			}
			if len(b) < 12 {
				return Truncated
			}
			size := (int(b[1]) + 2) * 4
			if size < 12 || size > wire {
				return BadIPv4
			}
			if size > len(b) {
				return Truncated
			}
			h.Proto = b[0]
			b, wire = b[size:], wire-size
		}
	}
	return transport(h, b, wire)
}

func ipv6(h *Header, b []byte, wire int) Reason {
	if len(b) < 40 {
		return Truncated
	}
	if b[0]>>4 != 6 {
		return BadIPv6
	}
	next := b[6]
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size == 0 && (next == ProtoTCP || next == ProtoUDP || next == extHopByHop) {
		size = wire - 40 // jumbogram, or segmentation offload
	}
	if size > wire-40 {
		return BadIPv6
	}
	h.NetLen = 40 + size
	h.DSCP = b[0]<<4>>2 | b[1]>>6
	h.TTL = b[7]
	h.Src, h.Dst = [16]byte(b[8:24]), [16]byte(b[24:40])
	if len(b) > 40+size {
		b = b[:40+size]
	}
	b, wire = b[40:], size

	for n := 0; ; n++ {
		var size int
		switch next {
		case extHopByHop, extRouting, extDestOpts, extMobility, extHIP, extShim6:
			if len(b) >= 2 {
				size = (int(b[1]) + 1) * 8
			}
		case extAuth:
			if len(b) >= 2 {
				size = (int(b[1]) + 2) * 4
			}
		case extFragment:
			size = 8
		default: // ESP and "no next header" end the chain as any transport does
			h.Proto = next
			return transport(h, b, wire)
		}
		if n == maxExtensions {
			return TooManyLayers
		}
		if wire < 8 || size > wire {
			return BadIPv6
		}
		if len(b) < 8 || size > len(b) {
			return Truncated
		}
		if next == extFragment {
			off := binary.BigEndian.Uint16(b[2:])
			h.Fragment = off&0xfff9 != 0 // neither offset nor more: an atomic fragment, which is whole
			h.FragOff = off & 0xfff8
			h.MoreFrag = off&1 != 0
			h.FragLen = uint16(min(wire-size, math.MaxUint16))
			h.IPID = binary.BigEndian.Uint32(b[4:])
			h.untidy()
		}
		next = b[0]
		b, wire = b[size:], wire-size
		if h.FragOff != 0 {
			h.Proto = next
			return opaque(h, b, wire)
		}
	}
}

// transport decodes ports and the like. wire is the length of the IP payload by
// its header; b is what was captured of it.
func transport(h *Header, b []byte, wire int) Reason {
	if h.FragOff != 0 {
		return opaque(h, b, wire)
	}
	switch h.Proto {
	case ProtoTCP:
		return tcp(h, b, wire)
	case ProtoUDP, ProtoUDPLite:
		return udp(h, b, wire)
	case ProtoICMP, ProtoICMPv6:
		return icmp(h, b, wire)
	case ProtoSCTP:
		return ported(h, b, wire, 12)
	}
	return opaque(h, b, wire)
}

func tcp(h *Header, b []byte, wire int) Reason {
	if len(b) < 14 { // up to the flags
		if wire < 20 {
			if h.Fragment { // a first fragment cut on purpose
				return ported(h, b, wire, 4)
			}
			return BadTransport
		}
		return Truncated
	}
	h.SrcPort, h.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	h.Seq, h.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	h.TCPFlags = b[13]
	head := int(b[12]>>4) * 4
	if head < 20 || head > wire {
		if head < 20 || !h.Fragment {
			return BadTransport
		}
		head = wire
	}
	h.Payload, h.PayloadLen = b[min(head, len(b)):], wire-head
	if h.TCPFlags&SYN != 0 {
		h.untidy()
		if len(b) >= 16 {
			h.Window = binary.BigEndian.Uint16(b[14:])
		}
		if len(b) > 20 {
			h.TCPOptions = b[20:min(head, len(b))]
		}
	}
	return OK
}

func udp(h *Header, b []byte, wire int) Reason {
	if r := ported(h, b, wire, 8); r != OK || h.Proto == ProtoUDPLite || len(b) < 6 {
		return r
	}
	// The IP length is believed where UDP's claims more, as hosts and fragments
	// do; 0 stands for a jumbogram or offload.
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size != 0 && size < 8 {
		return BadTransport
	}
	if size != 0 && size < wire {
		h.PayloadLen = size - 8
		h.Payload = h.Payload[:min(len(h.Payload), size-8)]
	}
	return OK
}

func icmp(h *Header, b []byte, wire int) Reason {
	if wire < 2 {
		return BadTransport
	}
	if len(b) < 2 {
		return Truncated
	}
	h.ICMPType, h.ICMPCode = b[0], b[1]
	h.untidy()
	if len(b) >= 8 {
		h.ICMPRest = binary.BigEndian.Uint32(b[4:])
	}
	h.Payload, h.PayloadLen = b[min(8, len(b)):], max(0, wire-8)
	return OK
}

// ported reads the two ports that all such headers begin with, the whole header
// being head bytes long.
func ported(h *Header, b []byte, wire, head int) Reason {
	if wire < head {
		return BadTransport
	}
	if len(b) < 4 {
		return Truncated
	}
	h.SrcPort, h.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	h.Payload, h.PayloadLen = b[min(head, len(b)):], wire-head
	return OK
}
