package packet

import "encoding/binary"

// What stands between the link and the network beside plain tags: LLC and SNAP,
// labels of MPLS, trailers of PRP.

// llc reads an 802.2 header into h.Net. It gives the EtherType where SNAP holds one
// to go on with, behind eight bytes, and 0 for the end.
func llc(h *Header, b []byte) (etherType uint16) {
	h.Net = 0
	if len(b) == 0 {
		return 0
	}
	h.Net = uint16(b[0])
	switch {
	case len(b) >= 8 && b[0] == 0xaa && b[1] == 0xaa && b[2] == 3:
		const ethernet, cisco, apple = 0, 0x00000c, 0x080007
		switch t := binary.BigEndian.Uint16(b[6:]); uint32(b[3])<<16 | uint32(b[4])<<8 | uint32(b[5]) {
		case ethernet:
			if t >= minEtherType {
				return t
			}
		case cisco, apple: // whose numbers are no EtherTypes of others: CDP, VTP, PVST, AppleTalk
			h.Net = t
		}
	case len(b) >= 4 && b[0] == 0xfe && b[1] == 0xfe && b[2] == 3 && b[3] == 0x83:
		h.Net = NetISIS
	}
	return 0
}

// withLLC decodes what begins with an 802.2 header and has no length before it.
func withLLC(h *Header, b []byte, wire int) Reason {
	if etherType := llc(h, b); etherType != 0 {
		return network(h, etherType, b[8:], wire-8, 1)
	}
	return opaque(h, b, wire)
}

// mpls looks through the labels. What they carry is not said: IP, or the frames of a
// pseudowire, with or without a control word. Whatever is not surely one of these
// stays MPLS.
func mpls(h *Header, etherType uint16, b []byte, wire, layers int) Reason {
	h.Net = etherType
	all, allWire := b, wire
	for last := false; !last; layers++ {
		if layers > maxLayers {
			return TooManyLayers
		}
		if len(b) < 4 {
			return Truncated
		}
		last = b[2]&1 != 0
		b, wire = b[4:], wire-4
	}
	switch {
	case surelyIPv4(b, wire):
		h.Net = NetIPv4
		return ipv4(h, b, wire)
	case surelyIPv6(b, wire):
		h.Net = NetIPv6
		return ipv6(h, b, wire)
	case len(b) > 4 && b[0]>>4 == 0 && surelyFrame(b[4:], wire-4):
		return framed(h, b[4:], wire-4, layers)
	case surelyFrame(b, wire):
		return framed(h, b, wire, layers)
	}
	return opaque(h, all, allWire)
}

func surelyIPv4(b []byte, wire int) bool {
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	return head >= 20 && total >= head && total <= wire
}

func surelyIPv6(b []byte, wire int) bool {
	return len(b) >= 40 && b[0]>>4 == 6 && 40+int(binary.BigEndian.Uint16(b[4:])) <= wire
}

// maybeFrame reports whether b can be an Ethernet frame, where a header that was
// checked says so.
func maybeFrame(b []byte, wire int) bool {
	if len(b) < 14 || MAC(b[6:12]).IsGroup() {
		return false
	}
	etherType := binary.BigEndian.Uint16(b[12:])
	return etherType >= minEtherType || int(etherType) <= wire-14
}

// surelyFrame reports whether b is an Ethernet frame of something well known, where
// nothing says that it is a frame at all.
func surelyFrame(b []byte, wire int) bool {
	if !maybeFrame(b, wire) {
		return false
	}
	etherType := binary.BigEndian.Uint16(b[12:])
	b, wire = b[14:], wire-14
	for range 3 {
		switch etherType {
		case NetIPv4:
			return surelyIPv4(b, wire)
		case NetIPv6:
			return surelyIPv6(b, wire)
		case NetARP:
			return len(b) >= 8 && binary.BigEndian.Uint32(b) == 1<<16|NetIPv4
		case etherVLAN, etherQinQ, etherQinQOld, etherQinQAlt:
			if len(b) < 4 {
				return false
			}
			etherType = binary.BigEndian.Uint16(b[2:])
			b, wire = b[4:], wire-4
			continue
		case etherMPLS, etherPPPoE, 0x8863, 0x8892, 0x88a4, 0x88b8, 0x88b9, 0x88ba, 0x88cc, 0x888e, 0x88e5, 0x88f7, 0x8902, 0x9000:
			return true
		}
		if etherType >= minEtherType || len(b) < 3 {
			return false
		}
		return b[0] == b[1] && b[2] == 3 && (b[0] == 0x42 || b[0] == 0xaa || b[0] == 0xfe) // spanning tree, SNAP, OSI
	}
	return false
}

// withoutRCT leaves the trailer out by which PRP knows the second copy of a frame.
func withoutRCT(b []byte, wire int) ([]byte, int) {
	n := len(b)
	if n < 6 || n != wire || b[n-2] != 0x88 || b[n-1] != 0xfb {
		return b, wire
	}
	if lan := b[n-4] >> 4; lan != 0xa && lan != 0xb || int(binary.BigEndian.Uint16(b[n-4:])&0xfff) != n {
		return b, wire
	}
	return b[:n-6], n - 6
}
