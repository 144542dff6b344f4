package packet

import "encoding/binary"

// The headers of tunnels. A port number proves nothing, so what claims to be a tunnel
// in UDP must have every reserved bit right, or else it is plain UDP.

// IP protocol numbers and UDP ports of tunnels.
const (
	protoIPv4 = 4
	protoIPv6 = 41
	protoGRE  = 47
	protoL2TP = 115

	portL2TP     = 1701
	portGTPU     = 2152
	portTeredo   = 3544
	portGREinUDP = 4754
	portVXLAN    = 4789
	portVXLANGPE = 4790
	portCAPWAP   = 5247
	portGeneve   = 6081
	portVXLANOld = 8472 // Linux, before there was a number
	portTZSP     = 37008
)

// look says what is in the payload of h.
func look(h *Header, in *inner) verdict {
	*in = inner{b: h.Payload, wire: h.PayloadLen}
	if h.Fragment {
		return closed
	}
	switch h.Proto {
	case protoGRE:
		return in.gre()
	case protoIPv4:
		if in.kind = IPIP; h.Net == NetIPv6 {
			in.kind = FourInSix
		}
		return in.ip()
	case protoIPv6:
		if in.kind = SixInFour; h.Net == NetIPv6 {
			in.kind = IP6IP6
		}
		return in.ip()
	case protoL2TP:
		return in.l2tpSession()
	}
	switch h.DstPort {
	case portVXLAN, portVXLANOld:
		return in.vxlan()
	case portVXLANGPE:
		return in.vxlanGPE()
	case portGeneve:
		return in.geneve()
	case portTZSP:
		return in.tzsp()
	case portGTPU:
		return in.gtp()
	case portL2TP:
		return in.l2tp()
	case portGREinUDP:
		if in.gre() != opened {
			return noTunnel
		}
		return opened
	case portCAPWAP:
		return in.capwap()
	}
	if h.SrcPort == portCAPWAP {
		return in.capwap()
	}
	return in.teredo()
}

// skip goes n bytes on and reports whether something is left.
func (in *inner) skip(n int) bool {
	if n >= len(in.b) {
		return false
	}
	in.b, in.wire = in.b[n:], in.wire-n
	return true
}

// ip ends with an IP packet of either version.
func (in *inner) ip() verdict {
	in.form = asIP
	if len(in.b) == 0 || in.b[0]>>4 != 4 && in.b[0]>>4 != 6 {
		return closed
	}
	return opened
}

// typed ends with what an EtherType says.
func (in *inner) typed(etherType uint16) verdict {
	in.form, in.etherType = asType, etherType
	return opened
}

// frame ends with an Ethernet frame.
func (in *inner) frame() verdict {
	in.form = asFrame
	if !maybeFrame(in.b, in.wire) {
		return closed
	}
	return opened
}

// ppp ends with a PPP frame of IP. Others are control, compressed or encrypted.
func (in *inner) ppp() verdict {
	if len(in.b) > 2 && in.b[0] == 0xff && in.b[1] == 3 {
		in.skip(2)
	}
	etherType, head := pppProtocol(in.b)
	if etherType == 0 || !in.skip(head) {
		return closed
	}
	return in.typed(etherType)
}

// gre reads a header of RFC 2784 and 2890, or of RFC 2637 (PPTP).
func (in *inner) gre() verdict {
	const checksum, key, sequence, unused = 0x8000, 0x2000, 0x1000, 0x4ff8
	const ofPPP, bridged, erspan, erspan3, redirect = 0x880b, 0x6558, 0x88be, 0x22eb, 0x883e
	b := in.b
	if len(b) < 4 {
		return closed
	}
	flags, proto := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&7 == 1 && proto == ofPPP {
		return in.pptp(flags)
	}
	if flags&(unused|7) != 0 {
		return closed
	}
	head := 4
	if flags&checksum != 0 {
		head += 4
	}
	if flags&key != 0 {
		if len(b) < head+4 {
			return closed
		}
		in.id, in.overlay = binary.BigEndian.Uint32(b[head:]), true
		head += 4
	}
	if flags&sequence != 0 {
		head += 4
	}
	if !in.skip(head) {
		return closed
	}
	in.kind = GRE
	switch proto {
	case NetIPv4, NetIPv6, etherMPLS, etherMPLSMulti:
		return in.typed(proto)
	case bridged:
		in.kind = GRETAP
		return in.frame()
	case erspan:
		return in.erspan(flags&sequence != 0)
	case erspan3:
		return in.erspan3()
	case ofPPP:
		return in.ppp()
	case redirect: // WCCP, whose second version has a header of its own
		if in.b[0]>>4 != 4 && !in.skip(4) {
			return closed
		}
		return in.ip()
	}
	return closed
}

func (in *inner) pptp(flags uint16) verdict {
	const key, sequence, acknowledge, unused = 0x2000, 0x1000, 0x0080, 0xcf78
	if flags&unused != 0 || flags&key == 0 || len(in.b) < 8 {
		return closed
	}
	size := int(binary.BigEndian.Uint16(in.b[4:]))
	if size == 0 || flags&sequence == 0 {
		return noTunnel // acknowledges, and carries nothing
	}
	in.kind, in.id = PPTP, uint32(binary.BigEndian.Uint16(in.b[6:]))
	head := 12
	if flags&acknowledge != 0 {
		head = 16
	}
	if !in.skip(head) || size > in.wire {
		return closed
	}
	in.b, in.wire = in.b[:min(size, len(in.b))], size
	return in.ppp()
}

// erspan reads the first version, which has no header and no sequence number before
// it, and the second.
func (in *inner) erspan(numbered bool) verdict {
	in.kind, in.cut, in.overlay = ERSPAN1, true, false
	if !numbered {
		in.id = 0
		return in.frame()
	}
	b := in.b
	if len(b) < 8 || b[0]>>4 != 1 {
		return closed
	}
	in.kind, in.id, in.vlan = ERSPAN2, uint32(binary.BigEndian.Uint16(b[2:])&0x3ff), binary.BigEndian.Uint16(b)&0xfff
	if !in.skip(8) {
		return closed
	}
	return in.frame()
}

func (in *inner) erspan3() verdict {
	in.kind, in.cut, in.overlay = ERSPAN3, true, false
	b := in.b
	if len(b) < 12 || b[0]>>4 != 2 {
		return closed
	}
	in.id, in.vlan = uint32(binary.BigEndian.Uint16(b[2:])&0x3ff), binary.BigEndian.Uint16(b)&0xfff
	head, ofIP := 12, b[10]>>2&31 == 2
	if b[11]&1 != 0 { // what the platform adds
		head = 20
	}
	switch {
	case !in.skip(head):
		return closed
	case ofIP:
		return in.ip()
	}
	return in.frame()
}

// vxlan reads a header of RFC 7348, or with the group policy that Linux and others add.
func (in *inner) vxlan() verdict {
	const valid, typed, policy = 0x08, 0x04, 0x80
	b := in.b
	if len(b) >= 8 && b[0] == valid|typed {
		return in.vxlanGPE()
	}
	if len(b) < 8 || b[0]&^policy != valid || b[7] != 0 {
		return noTunnel
	}
	if b[0]&policy == 0 && (b[1] != 0 || b[2] != 0 || b[3] != 0) || b[1]&^0x48 != 0 {
		return noTunnel
	}
	in.kind, in.id, in.overlay = VXLAN, binary.BigEndian.Uint32(b[4:])>>8, true
	if !in.skip(8) {
		return closed
	}
	return in.frame()
}

func (in *inner) vxlanGPE() verdict {
	const valid, typed = 0x08, 0x04
	b := in.b
	if len(b) < 8 || b[0] != valid|typed || b[1] != 0 || b[2] != 0 || b[7] != 0 {
		return noTunnel
	}
	next := b[3]
	in.kind, in.id, in.overlay = VXLANGPE, binary.BigEndian.Uint32(b[4:])>>8, true
	if !in.skip(8) {
		return closed
	}
	switch next {
	case 1:
		return in.typed(NetIPv4)
	case 2:
		return in.typed(NetIPv6)
	case 3:
		return in.frame()
	case 5:
		return in.typed(etherMPLS)
	}
	return closed
}

// geneve reads a header of RFC 8926, whose options must fill their space exactly.
func (in *inner) geneve() verdict {
	const control, bridged = 0x80, 0x6558
	b := in.b
	if len(b) < 8 || b[0]>>6 != 0 || b[1]&^0xc0 != 0 || b[7] != 0 {
		return noTunnel
	}
	if b[1]&control != 0 {
		return noTunnel // between the tunnel's ends
	}
	head, proto := 8+int(b[0]&63)*4, binary.BigEndian.Uint16(b[2:])
	for at := 8; at < head && at+4 <= len(b); {
		if at += 4 + int(b[at+3]&31)*4; at > head {
			return noTunnel
		}
	}
	in.kind, in.id, in.overlay = Geneve, binary.BigEndian.Uint32(b[4:])>>8, true
	if !in.skip(head) {
		return closed
	}
	switch proto {
	case bridged:
		return in.frame()
	case NetIPv4, NetIPv6, etherMPLS:
		return in.typed(proto)
	}
	return closed
}

// tzsp reads the header of TaZmen Sniffer Protocol and its list of tags.
func (in *inner) tzsp() verdict {
	const received, sent, padding, end, length = 0, 1, 0, 1, 41
	const ofEthernet, ofWiFi = 1, 18
	b := in.b
	if len(b) < 5 || b[0] != 1 || b[1] != received && b[1] != sent {
		return noTunnel
	}
	proto, at, size := binary.BigEndian.Uint16(b[2:]), 4, 0
	for {
		if at >= len(b) {
			return noTunnel
		}
		tag := b[at]
		at++
		if tag == end {
			break
		}
		if tag == padding {
			continue
		}
		if at >= len(b) {
			return noTunnel
		}
		if n := int(b[at]); tag == length && n == 2 && at+3 <= len(b) {
			size = int(binary.BigEndian.Uint16(b[at+1:]))
		}
		at += 1 + int(b[at])
	}
	in.kind, in.cut = TZSP, true
	if !in.skip(at) {
		return closed
	}
	in.wire = max(in.wire, size) // as long as the radio or the wire had it
	switch proto {
	case ofEthernet:
		return in.frame()
	case ofWiFi:
		in.form = asWiFi
		return opened
	}
	return closed
}

// gtp reads the header of GTP's user plane, version 1, and its chain of extensions.
func (in *inner) gtp() verdict {
	const version, unused, packet, more = 0x30, 0xf8, 255, 4
	b := in.b
	if len(b) < 8 || b[0]&unused != version || b[1] != packet || int(binary.BigEndian.Uint16(b[2:])) != in.wire-8 {
		return noTunnel
	}
	in.kind, in.id = GTPU, binary.BigEndian.Uint32(b[4:])
	head := 8
	if b[0]&7 != 0 {
		if head = 12; len(b) < head {
			return closed
		}
		next := b[11]
		for n := 0; b[0]&more != 0 && next != 0; n++ {
			if n == maxExtensions || len(b) <= head || b[head] == 0 {
				return closed
			}
			size := int(b[head]) * 4
			if len(b) < head+size {
				return closed
			}
			head += size
			next = b[head-1]
		}
	}
	if !in.skip(head) {
		return closed
	}
	return in.ip()
}

// l2tp reads the data messages of L2TP in UDP: version 2 (RFC 2661), which carries PPP,
// and version 3 (RFC 3931).
func (in *inner) l2tp() verdict {
	const control, length, numbered, padded, unused = 0x8000, 0x4000, 0x0800, 0x0200, 0x34f0
	b := in.b
	if len(b) < 8 {
		return noTunnel
	}
	flags := binary.BigEndian.Uint16(b)
	if flags == 3 && b[2] == 0 && b[3] == 0 {
		in.skip(4)
		return in.l2tpSession()
	}
	if flags&control != 0 || flags&unused != 0 || flags&15 != 2 {
		return noTunnel
	}
	head := 2
	if flags&length != 0 {
		if int(binary.BigEndian.Uint16(b[2:])) != in.wire {
			return noTunnel
		}
		head = 4
	}
	in.kind, in.id = L2TPv2, binary.BigEndian.Uint32(b[head:])
	head += 4
	if flags&numbered != 0 {
		head += 4
	}
	if flags&padded != 0 {
		if len(b) < head+2 {
			return closed
		}
		head += 2 + int(binary.BigEndian.Uint16(b[head:]))
	}
	if !in.skip(head) {
		return closed
	}
	return in.ppp()
}

// l2tpSession reads a session's data. Which cookie and sublayer it has its two ends
// have agreed upon; so a frame must be where they could end.
func (in *inner) l2tpSession() verdict {
	if len(in.b) < 4 {
		return closed
	}
	in.kind, in.id = L2TPv3, binary.BigEndian.Uint32(in.b)
	if in.id == 0 {
		return noTunnel // control
	}
	in.skip(4)
	for cookie := 0; cookie <= 12; cookie += 4 {
		if len(in.b) > cookie && surelyFrame(in.b[cookie:], in.wire-cookie) {
			in.skip(cookie)
			return in.frame()
		}
	}
	return closed
}

// capwap reads the header before the frames of a wireless client (RFC 5415). Some
// access points put the two bytes of 802.11's frame control the wrong way round.
func (in *inner) capwap() verdict {
	const native, fragment, keepAlive, unused, wifi = 1 << 8, 1 << 7, 1 << 3, 7, 1
	b := in.b
	if len(b) < 8 || b[0] != 0 || b[7]&7 != 0 {
		return noTunnel
	}
	word := binary.BigEndian.Uint32(b)
	head := int(word>>19&31) * 4
	if head < 8 || word&(unused|keepAlive) != 0 {
		return noTunnel
	}
	in.kind = CAPWAP
	if word&fragment != 0 || !in.skip(head) {
		return closed
	}
	if word&native == 0 {
		return in.frame()
	}
	if word>>9&31 != wifi || len(in.b) < 2 {
		return closed
	}
	in.form, in.swapped = asWiFi, in.b[0]&15 != 8 && in.b[1]&15 == 8
	return opened
}

// teredo reads what may be before the IPv6 packet (RFC 4380). One of its addresses
// must be of Teredo's own network, or of the link where it asks for a router.
func (in *inner) teredo() verdict {
	const authentication, origin, network = 1, 0, 0x20010000
	in.kind = Teredo
	if b := in.b; len(b) >= 4 && binary.BigEndian.Uint16(b) == authentication && !in.skip(13+int(b[2])+int(b[3])) {
		return noTunnel
	}
	if b := in.b; len(b) >= 2 && binary.BigEndian.Uint16(b) == origin && !in.skip(8) {
		return noTunnel
	}
	b := in.b
	if !surelyIPv6(b, in.wire) || b[6] == extNone {
		return noTunnel // or a bubble, which opens the way for others
	}
	for _, at := range [2]int{8, 24} {
		if n := binary.BigEndian.Uint32(b[at:]); n == network || n>>16 == 0xfe80 {
			return in.ip()
		}
	}
	return noTunnel
}
