package packet

import "encoding/binary"

// Link types that are rare in captures of wired networks.
const (
	linkFDDI     LinkType = 10
	link80211    LinkType = 105
	linkPFLog    LinkType = 117
	linkPrism    LinkType = 119
	linkRadiotap LinkType = 127
	linkAVS      LinkType = 163
	linkPPI      LinkType = 192
	linkWPAN     LinkType = 195 // IEEE 802.15.4 with its checksum
	linkWPANPhy  LinkType = 215 // the same behind preamble, delimiter and length
	linkWPANBare LinkType = 230 // without checksum
	linkWPANTap  LinkType = 283 // behind a list of what the radio says
)

// rareLink decodes radio links and a few others, and knows which links are none of a
// network.
func (d *Decoder) rareLink(link LinkType, h *Header, b []byte, wire int) Reason {
	switch link {
	case link80211:
		return d.wifi(h, b, wire, wifiForm{})
	case linkRadiotap:
		return d.radiotap(h, b, wire)
	case linkPrism, linkAVS:
		return d.wlanCapture(h, b, wire)
	case linkPPI:
		return d.ppi(h, b, wire)
	case linkFDDI:
		return fddi(h, b, wire)
	case linkPFLog:
		return pfLog(h, b, wire)
	case linkWPAN:
		return wpan(h, b, wire, 2)
	case linkWPANBare:
		return wpan(h, b, wire, 0)
	case linkWPANPhy:
		if len(b) < 6 {
			return Truncated
		}
		return wpan(h, b[6:], wire-6, 2)
	case linkWPANTap:
		return wpanTap(h, b, wire)
	case 139, 140, 141, 142, // signalling of telephone networks: MTP2 with header, MTP2, MTP3, SCCP
		177, 203, // LAPD
		165,                                         // BACnet MS/TP
		186, 189, 220, 249, 288, 293, 294, 295, 266, // USB, as seen by several systems
		187, 201, 245, 251, 254, 255, 256, 272, // Bluetooth, classic and low energy, and NFC
		190, 227, 210, 211, 212, // CAN, FlexRay, MOST, LIN
		197,      // ERF
		209, 199, // IPMB
		231, 253, 216, // D-Bus, netlink, input devices
		257, 258, 264, 270: // PROFIBUS, Apple's own, ISO 14443, LoRa
		return NotIPLink
	}
	return UnknownLink
}

// wifiForm says how a frame differs from how it was in the air.
type wifiForm struct {
	padded  bool // the header, to four bytes
	swapped bool // the two bytes of frame control
}

// wifi decodes an IEEE 802.11 frame. Data that is encrypted is a packet from one
// address to another all the same; beacons and acknowledgements are not.
func (d *Decoder) wifi(h *Header, b []byte, wire int, form wifiForm) Reason {
	const (
		data, noData, qos                       = 2, 4, 8                // type, and bits of the subtype
		toDS, fromDS, protected, order, isAMSDU = 1, 2, 0x40, 0x80, 0x80 // flags
	)
	if len(b) < 2 {
		return Truncated
	}
	control, flags := b[0], b[1]
	if form.swapped {
		control, flags = flags, control
	}
	sub := control >> 4
	if control&3 != 0 || control>>2&3 != data || sub&noData != 0 {
		return NoNetwork
	}
	head, amsdu := 24, false
	if flags&(toDS|fromDS) == toDS|fromDS {
		head = 30
	}
	if sub&qos != 0 {
		if len(b) > head {
			amsdu = b[head]&isAMSDU != 0
		}
		head += 2
		if flags&order != 0 {
			head += 4
		}
	}
	if form.padded {
		head = (head + 3) &^ 3
	}
	if len(b) < head {
		return Truncated
	}
	src, dst := b[10:16], b[4:10]
	switch flags & (toDS | fromDS) {
	case toDS | fromDS:
		src, dst = b[24:30], b[16:22]
	case toDS:
		dst = b[16:22]
	case fromDS:
		src = b[16:22]
	}
	h.SrcMAC, h.DstMAC, h.HasMAC = MAC(src), MAC(dst), true
	later := b[22]&15 != 0 // number of the fragment
	b, wire = b[head:], wire-head
	if (later || flags&protected != 0) && (len(b) < 3 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3) { // some drivers decrypt in place
		h.Net = NetWLAN
		return opaque(h, b, wire)
	}
	if amsdu && !(len(b) >= 6 && string(b[:6]) == "\xaa\xaa\x03\x00\x00\x00") { // else the mark was left where a driver took it apart
		return d.subframe(h, b, wire)
	}
	if len(b) == 0 {
		return Truncated
	}
	return withLLC(h, b, wire)
}

func (d *Decoder) radiotap(h *Header, b []byte, wire int) Reason {
	if len(b) < 8 {
		return Truncated
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if n < 8 || n > len(b) {
		return Truncated
	}
	const checksum, padding = 0x10, 0x20
	flags := radiotapFlags(b[:n])
	b, wire = b[n:], wire-n
	if flags&checksum != 0 {
		b, wire = withoutTail(b, wire, 4)
	}
	return d.wifi(h, b, wire, wifiForm{padded: flags&padding != 0})
}

// radiotapFlags finds the flags in a header of fields that are there or not.
func radiotapFlags(b []byte) byte {
	const clock, flags, more = 1 << 0, 1 << 1, 1 << 31
	present := binary.LittleEndian.Uint32(b[4:])
	if present&flags == 0 {
		return 0
	}
	at := 8
	for word := present; word&more != 0; at += 4 {
		if at+4 > len(b) {
			return 0
		}
		word = binary.LittleEndian.Uint32(b[at:])
	}
	if present&clock != 0 {
		at = (at+7)&^7 + 8
	}
	if at >= len(b) {
		return 0
	}
	return b[at]
}

// wlanCapture passes the headers of AVS and of Prism cards, which share a link type
// at times.
func (d *Decoder) wlanCapture(h *Header, b []byte, wire int) Reason {
	if len(b) < 8 {
		return Truncated
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if binary.BigEndian.Uint32(b)&0xfffff000 == 0x80211000 {
		n = int(binary.BigEndian.Uint32(b[4:]))
	}
	if n < 8 || n > len(b) {
		return Truncated
	}
	return d.wifi(h, b[n:], wire-n, wifiForm{})
}

// ppi passes a per-packet information header, whose payload is of any link type but
// its own.
func (d *Decoder) ppi(h *Header, b []byte, wire int) Reason {
	if len(b) < 8 {
		return Truncated
	}
	n, inner := int(binary.LittleEndian.Uint16(b[2:])), LinkType(binary.LittleEndian.Uint32(b[4:]))
	if n < 8 || n > len(b) {
		return Truncated
	}
	if inner == linkPPI {
		return UnknownLink
	}
	return d.link(inner, h, b[n:], wire-n)
}

func fddi(h *Header, b []byte, wire int) Reason {
	if len(b) < 13 {
		return Truncated
	}
	if b[0]&0xf0 != 0x50 { // LLC, asynchronous; all else is the ring's own
		return NoNetwork
	}
	h.DstMAC, h.SrcMAC, h.HasMAC = MAC(b[1:7]), MAC(b[7:13]), true
	return withLLC(h, b[13:], wire-13)
}

// pfLog passes what OpenBSD's filter says of a packet: its length, which is short of
// the padding, and the address family.
func pfLog(h *Header, b []byte, wire int) Reason {
	if len(b) < 4 {
		return Truncated
	}
	n := (int(b[0]) + 3) &^ 3
	if n < 4 || n > len(b) {
		return Truncated
	}
	return rawIP(h, b[n:], wire-n)
}

// wpan decodes an IEEE 802.15.4 frame, of which the last fcs bytes are a checksum.
// Its addresses are not of 48 bits. A short one is held as 02:00, the network's number
// and the address; a long one without its fourth and fifth byte.
func wpan(h *Header, b []byte, wire, fcs int) Reason {
	const beacon, data, command = 0, 1, 3
	const compressed, noSequence = 0x40, 0x100
	if len(b) < 3 {
		return Truncated
	}
	control := binary.LittleEndian.Uint16(b)
	switch control & 7 {
	case beacon, data, command:
	default:
		return NoNetwork // acknowledgements say nothing of who they are from
	}
	version, to, from := control>>12&3, control>>10&3, control>>14
	if version == 3 || to == 1 || from == 1 || to == 0 && from == 0 {
		return NoNetwork
	}
	less := control&compressed != 0
	toNet, fromNet := to != 0, from != 0 && (to == 0 || !less)
	if version == 2 {
		switch {
		case from == 0:
			toNet, fromNet = !less, false
		case to == 0:
			toNet, fromNet = false, !less
		case to == 3 && from == 3:
			toNet, fromNet = !less, false
		}
	}
	at := 3
	if version == 2 && control&noSequence != 0 {
		at = 2
	}
	var nets [2]uint16
	var macs [2]MAC
	for i, end := range [2]struct {
		mode uint16
		net  bool
	}{{to, toNet}, {from, fromNet}} {
		if end.net {
			if len(b) < at+2 {
				return Truncated
			}
			nets[i] = binary.LittleEndian.Uint16(b[at:])
			at += 2
		} else {
			nets[i] = nets[0]
		}
		size := [4]int{2: 2, 3: 8}[end.mode]
		if len(b) < at+size {
			return Truncated
		}
		a := b[at : at+size]
		at += size
		switch {
		case size == 8: // the last byte first
			macs[i] = MAC{a[7], a[6], a[5], a[2], a[1], a[0]}
		case size == 2 && a[0] == 0xff && a[1] == 0xff:
			macs[i] = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		case size == 2:
			macs[i] = MAC{2, 0, byte(nets[i] >> 8), byte(nets[i]), a[1], a[0]}
		}
	}
	h.DstMAC, h.SrcMAC, h.Net = macs[0], macs[1], NetWPAN
	h.HasMAC = !h.SrcMAC.IsZero()
	b, wire = withoutTail(b[at:], wire-at, fcs)
	return opaque(h, b, wire)
}

// wpanTap passes the list before an IEEE 802.15.4 frame. It tells which checksum the
// frame ends in.
func wpanTap(h *Header, b []byte, wire int) Reason {
	if len(b) < 4 {
		return Truncated
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if b[0] != 0 || n < 4 || n > len(b) {
		return Truncated
	}
	fcs := 0
	for list := b[4:n]; len(list) >= 8; {
		kind, size := binary.LittleEndian.Uint16(list), int(binary.LittleEndian.Uint16(list[2:]))
		if kind == 0 && size >= 1 {
			fcs = [4]int{1: 2, 2: 4}[list[4]&3]
		}
		size = 4 + (size+3)&^3
		if size > len(list) {
			break
		}
		list = list[size:]
	}
	return wpan(h, b[n:], wire-n, fcs)
}

// withoutTail takes n bytes off the end of the wire, and off what was captured of them.
func withoutTail(b []byte, wire, n int) ([]byte, int) {
	wire = max(0, wire-n)
	return b[:min(len(b), wire)], wire
}
