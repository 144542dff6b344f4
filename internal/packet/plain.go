package packet

import "encoding/binary"

// plain decodes what most frames are, in one go: Ethernet without tags, IPv4 without options
// or fragments, and TCP without SYN, or UDP that is no tunnel, captured whole. It reports
// whether f is such a frame; when not, h is as if it had not been touched for all who reset
// it. What it makes of a frame is what the functions for each layer make of it.
func plain(f *Frame, h *Header) bool {
	const ip, l4 = 14, 34
	b := f.Data
	if len(b) < l4+8 || b[12] != 8 || b[13] != 0 || b[ip] != 0x45 || binary.BigEndian.Uint16(b[ip+6:])&0x3fff != 0 || !h.tidy {
		return false
	}
	total := int(binary.BigEndian.Uint16(b[ip+2:]))
	end := ip + total
	if end > len(b) || end < l4+8 {
		return false
	}
	head, flags := 8, byte(0)
	var seq, ack uint32
	src, dst := binary.BigEndian.Uint16(b[l4:]), binary.BigEndian.Uint16(b[l4+2:])
	switch b[ip+9] {
	case ProtoTCP:
		if end < l4+20 {
			return false
		}
		t := b[l4 : l4+20 : len(b)]
		flags, head = t[13], int(t[12]>>4)*4
		if flags&SYN != 0 || head < 20 || l4+head > end {
			return false
		}
		seq, ack = binary.BigEndian.Uint32(t[4:]), binary.BigEndian.Uint32(t[8:])
	case ProtoUDP:
		size := int(binary.BigEndian.Uint16(b[l4+4:]))
		if size < 8 || l4+size > end || wraps(src, dst) {
			return false
		}
		end = l4 + size
	default:
		return false
	}
	h.Time, h.WireLen = f.Time, max(f.WireLen, len(b))
	binary.LittleEndian.PutUint64(h.Src[:], 0)
	binary.LittleEndian.PutUint64(h.Src[8:], 0xffff0000|uint64(binary.LittleEndian.Uint32(b[ip+12:]))<<32)
	binary.LittleEndian.PutUint64(h.Dst[:], 0)
	binary.LittleEndian.PutUint64(h.Dst[8:], 0xffff0000|uint64(binary.LittleEndian.Uint32(b[ip+16:]))<<32)
	h.NetLen, h.PayloadLen = total, end-l4-head
	h.Payload = b[l4+head : end]
	h.Seq, h.Ack, h.IPID = seq, ack, uint32(binary.BigEndian.Uint16(b[ip+4:]))
	h.SrcPort, h.DstPort = src, dst
	h.Net, h.VLAN, h.FragOff = NetIPv4, 0, 0
	h.DstMAC, h.SrcMAC = MAC(b[:6]), MAC(b[6:12])
	h.Proto, h.TTL, h.DSCP, h.TCPFlags = b[ip+9], b[ip+8], b[ip+1]>>2, flags
	h.HasMAC, h.Fragment = true, false
	return true
}
