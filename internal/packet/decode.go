package packet

import "encoding/binary"

// What honest frames never exceed; beyond it a frame is refused with
// [TooManyLayers], so that a frame of nothing but tags costs no more than any other.
const (
	maxLayers     = 16 // tags, labels and headers between the link and the network
	maxExtensions = 12 // IPv6 extension headers
	maxTunnels    = 4  // tunnels around a packet
)

// EtherTypes and PPP protocols that are looked through.
const (
	etherVLAN       = 0x8100
	etherQinQ       = 0x88a8
	etherQinQOld    = 0x9100
	etherQinQAlt    = 0x9200
	etherPPPoE      = 0x8864
	etherMPLS       = 0x8847
	etherMPLSMulti  = 0x8848
	etherMACinMAC   = 0x88e7 // 802.1ah
	etherFabricPath = 0x8903
	etherVNTag      = 0x8926
	etherHSR        = 0x892f
	etherETag       = 0x893f // 802.1BR
	etherRTag       = 0xf1c1 // 802.1CB
	minEtherType    = 0x600  // below it the field is an 802.3 length

	pppIPv4 = 0x21
	pppIPv6 = 0x57
	pppMPLS = 0x281
)

// Decoder decodes frames into headers, by hand and without allocating: the links
// that carry IP, the tags and labels between link and network, and the tunnels around
// packets. The zero value is ready. A Decoder must not be used by two goroutines at
// once.
type Decoder struct {
	// KeepTunnels leaves tunnels closed: a header then describes the packet that
	// carries. What a socket got as a copy is unwrapped all the same, once.
	KeepTunnels bool

	stats   TunnelStats
	waiting int // of rests, the last first
	rests   [maxAggregates]rest
}

// TunnelStats counts what a [Decoder] did with tunnels.
type TunnelStats struct {
	Opened uint64 // packets of which the innermost is described
	Closed uint64 // packets of tunnels described as what carries them, since what is in them can't be read
}

// Stats gives the totals so far.
func (d *Decoder) Stats() TunnelStats { return d.stats }

// Decode fills h from f and says why it could not. h is reset first. When the
// reason is not OK h holds what was read until then. h.Payload and h.TCPOptions
// point into f.Data. Of a frame that carries several packets h is the first; see More.
func (d *Decoder) Decode(f *Frame, h *Header) Reason {
	if f.Link == LinkEthernet && plain(f, h) {
		return OK
	}
	return d.decode(f, h)
}

func (d *Decoder) decode(f *Frame, h *Header) Reason {
	b, wire := f.Data, max(f.WireLen, len(f.Data))
	h.reset(f.Time, wire)
	d.waiting = 0
	var why Reason
	if f.Link == LinkEthernet {
		why = ethernet(h, b, wire, 0)
	} else if f.Link > 0xffff {
		return d.mirrored(f, h, b, wire)
	} else {
		why = d.link(f.Link, h, b, wire)
	}
	if why == OK && h.Proto != ProtoTCP && h.mayWrap() && !d.KeepTunnels {
		return d.unwrap(h)
	}
	return why
}

// link decodes what is not plain Ethernet.
func (d *Decoder) link(link LinkType, h *Header, b []byte, wire int) Reason {
	switch link {
	case LinkEthernet:
		return ethernet(h, b, wire, 0)
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
	return d.rareLink(link, h, b, wire)
}

// All functions below take the captured bytes b from their own layer on and how
// many bytes were there on the wire, which is never less than len(b). layers is how
// many tags and the like were passed already.

func ethernet(h *Header, b []byte, wire, layers int) Reason {
	if len(b) < 14 {
		return Truncated
	}
	h.HasMAC = true
	h.DstMAC, h.SrcMAC = MAC(b[:6]), MAC(b[6:12])
	etherType := binary.BigEndian.Uint16(b[12:])
	return network(h, etherType, b[14:], wire-14, layers)
}

// framed decodes a frame within a frame. Its addresses and tags are the packet's.
func framed(h *Header, b []byte, wire, layers int) Reason {
	h.VLAN, h.InnerVLAN = 0, 0
	return ethernet(h, b, wire, layers)
}

// network decodes what an EtherType announces, through any tags.
func network(h *Header, etherType uint16, b []byte, wire, layers int) Reason {
	for tags := 0; ; layers++ {
		if layers > maxLayers {
			return TooManyLayers
		}
		skip := 0 // bytes of a tag before the EtherType that follows it
		switch etherType {
		case NetIPv4:
			h.Net = NetIPv4
			return ipv4(h, b, wire)
		case NetIPv6:
			h.Net = NetIPv6
			return ipv6(h, b, wire)
		case etherVLAN, etherQinQ, etherQinQOld, etherQinQAlt:
			if len(b) < 4 {
				return Truncated
			}
			id := binary.BigEndian.Uint16(b) & 0xfff
			if tags == 0 {
				h.VLAN = id
			} else if tags == 1 {
				h.InnerVLAN = id
				h.untidy()
			}
			tags++
			skip = 2
		case etherVNTag, etherHSR, etherRTag:
			skip = 4
		case etherETag:
			skip = 6
		case NetARP:
			return arp(h, b, wire)
		case etherPPPoE:
			return pppoe(h, b, wire, layers+1)
		case etherMPLS, etherMPLSMulti:
			return mpls(h, etherType, b, wire, layers)
		case etherMACinMAC: // a service tag before the customer's frame
			if len(b) < 4 {
				return Truncated
			}
			return framed(h, b[4:], wire-4, layers+1)
		case etherFabricPath: // a forwarding tag before the frame
			h.Net = etherFabricPath
			if len(b) < 2 {
				return Truncated
			}
			return framed(h, b[2:], wire-2, layers+1)
		default:
			if etherType >= minEtherType {
				h.Net = etherType
				b, wire = withoutRCT(b, wire)
				return opaque(h, b, wire)
			}
			if n := int(etherType); n < wire {
				b, wire = b[:min(n, len(b))], n
			}
			inner := llc(h, b)
			if inner == 0 {
				return opaque(h, b, wire)
			}
			etherType = inner
			b, wire = b[8:], wire-8
			continue
		}
		if len(b) < skip+2 {
			return Truncated
		}
		etherType = binary.BigEndian.Uint16(b[skip:])
		b, wire = b[skip+2:], wire-skip-2
	}
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
func pppoe(h *Header, b []byte, wire, layers int) Reason {
	h.Net = etherPPPoE
	if len(b) < 6 {
		return Truncated
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	b, wire = b[6:], wire-6
	if etherType, head := pppProtocol(b); etherType != 0 {
		return network(h, etherType, b[head:], wire-head, layers) // IP's own length is the surer one
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
	return network(h, etherType, b[head:], wire-head, 0)
}

func ciscoHDLC(h *Header, b []byte, wire int) Reason {
	if len(b) < 4 {
		return Truncated
	}
	etherType := binary.BigEndian.Uint16(b[2:])
	if etherType < minEtherType {
		return NoNetwork
	}
	return network(h, etherType, b[4:], wire-4, 0)
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
	const netlink, ofLLC = 824, 4
	if hardware == netlink {
		return NoNetwork
	}
	if addrLen == len(h.SrcMAC) {
		h.SrcMAC = MAC(addr)
		h.HasMAC = !h.SrcMAC.IsZero() // loopback has zeros
	}
	if etherType == ofLLC {
		return withLLC(h, b, wire)
	}
	if etherType < minEtherType {
		return NoNetwork
	}
	return network(h, etherType, b, wire, 0)
}
