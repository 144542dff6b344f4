package packet

import "encoding/binary"

// TunnelKind says how a packet was wrapped into another.
type TunnelKind uint8

// Kinds of tunnels. Their String is what stands in records.
const (
	NoTunnel  TunnelKind = iota
	GRE                  // IP in GRE; the id is the key
	GRETAP               // Ethernet in GRE, NVGRE among it; the id is the key
	ERSPAN1              // mirror copies in GRE; of the first version without an id
	ERSPAN2              // the id is the session's
	ERSPAN3              // the id is the session's
	VXLAN                // the id is the network's (VNI)
	VXLANGPE             // the same with other payloads than Ethernet
	Geneve               // the id is the network's (VNI)
	TZSP                 // mirror copies in UDP
	IPIP                 // IPv4 in IPv4
	SixInFour            // IPv6 in IPv4
	FourInSix            // IPv4 in IPv6
	IP6IP6               // IPv6 in IPv6
	L2TPv2               // PPP in UDP; the id is tunnel and session, 16 bits each
	L2TPv3               // Ethernet in IP or UDP; the id is the session's
	GTPU                 // mobile networks; the id is the tunnel endpoint's (TEID)
	PPTP                 // PPP in GRE; the id is the call's
	Teredo               // IPv6 in UDP, through address translation
	CAPWAP               // what a wireless controller and its access points exchange of their clients
	tunnelKinds
)

var tunnelNames = [tunnelKinds]string{"", "gre", "gretap", "erspan1", "erspan2", "erspan3", "vxlan", "vxlan-gpe", "geneve", "tzsp",
	"ipip", "6in4", "4in6", "ip6ip6", "l2tpv2", "l2tpv3", "gtp-u", "pptp", "teredo", "capwap"}

// String is the kind's name in records, "" for none.
func (k TunnelKind) String() string { return tunnelNames[k] }

// ParseTunnelKind is the inverse of String; what is no kind gives NoTunnel.
func ParseTunnelKind(s string) TunnelKind {
	for k, name := range tunnelNames {
		if s == name {
			return TunnelKind(k)
		}
	}
	return NoTunnel
}

// IsMirror reports whether the kind carries copies of packets for an observer, not
// the packets themselves.
func (k TunnelKind) IsMirror() bool { return k >= ERSPAN1 && k <= ERSPAN3 || k == TZSP }

// Tunnel says how a packet was wrapped. It is zero for one that was not.
type Tunnel struct {
	Src, Dst [16]byte   // of the outermost packet that carries; Dst is zero where a socket took the copy
	ID       uint32     // of the innermost tunnel; what it is depends on Kind
	Zone     uint32     // of the overlay that the packet's addresses belong to, 0 for none; see docs/adr/0007-zones.md
	VLAN     uint16     // of the outermost frame, where the inner one is a frame of its own
	Kind     TunnelKind // of the innermost tunnel
	Depth    uint8      // tunnels around the packet
}

// form is how the payload of a tunnel begins.
type form uint8

const (
	asFrame form = iota // an Ethernet frame
	asIP                // IP of either version
	asType              // what an EtherType says
	asWiFi              // an IEEE 802.11 frame
)

// inner is what a tunnel carries.
type inner struct {
	b         []byte
	wire      int
	id        uint32
	etherType uint16 // valid iff form is asType
	vlan      uint16 // of the frame before a mirror took its tag off
	kind      TunnelKind
	form      form
	swapped   bool // valid iff form is asWiFi: the two bytes of frame control
	overlay   bool // id tells networks apart that may use the same addresses
	cut       bool // a copy that may be shorter than the packet, which nothing says
}

// verdict is what a look at a payload gives.
type verdict uint8

const (
	noTunnel verdict = iota // it is what it seems
	closed                  // a tunnel, but what is in it can't be read
	opened
)

// mayWrap reports whether h is of a protocol that carries packets. It is asked of
// every packet.
func (h *Header) mayWrap() bool {
	switch h.Proto {
	case ProtoTCP:
		return false
	case ProtoUDP:
		return wraps(h.SrcPort, h.DstPort) && !h.Fragment
	case protoIPv4, protoIPv6, protoGRE, protoL2TP:
		return true
	}
	return false
}

// wraps reports whether UDP between these ports may carry packets.
func wraps(src, dst uint16) bool {
	switch dst {
	case portL2TP, portGTPU, portTeredo, portGREinUDP, portVXLAN, portVXLANGPE, portCAPWAP, portGeneve, portVXLANOld, portTZSP:
		return true
	}
	return src == portTeredo || src == portCAPWAP
}

// unwrap opens the tunnels around the packet in h, one after the other, until what it
// finds is no tunnel or can't be read.
func (d *Decoder) unwrap(h *Header) Reason {
	for {
		var in inner
		v := look(h, &in)
		if v == opened {
			if h.Tunnel.Depth == maxTunnels {
				return TooManyLayers
			}
			outer, waiting := *h, d.waiting
			switch why := d.enter(h, &in); why {
			case OK:
				if outer.Tunnel.Depth == 0 {
					d.stats.Opened++
				}
				if h.mayWrap() {
					continue
				}
				return OK
			case TooManyLayers:
				return why
			}
			*h, v, d.waiting = outer, closed, waiting
		}
		if v == closed {
			d.stats.Closed++
		}
		return OK
	}
}

// mirrored decodes a copy that a socket of this host was sent. There is no packet
// around it that could be metered in its place.
func (d *Decoder) mirrored(f *Frame, h *Header, b []byte, wire int) Reason {
	in := inner{b: b, wire: wire}
	var v verdict
	switch f.Link {
	case LinkMirrorGRE:
		v = in.gre()
	case LinkMirrorVXLAN:
		v = in.vxlan()
	case LinkMirrorGeneve:
		v = in.geneve()
	case LinkMirrorTZSP:
		v = in.tzsp()
	default:
		return UnknownLink
	}
	switch {
	case v != opened && len(b) < 8:
		return Truncated
	case v != opened:
		return NoNetwork
	}
	in.cut = true
	h.Src = f.Peer
	if why := d.enter(h, &in); why != OK {
		return why
	}
	d.stats.Opened++
	if h.mayWrap() && !d.KeepTunnels {
		return d.unwrap(h)
	}
	return OK
}

// enter makes h the header of what is in the tunnel that it is of.
func (d *Decoder) enter(h *Header, in *inner) Reason {
	t, now := h.Tunnel, h.Time
	if t.Depth == 0 {
		t.Src, t.Dst = h.Src, h.Dst
	}
	t.Depth++
	t.Kind, t.ID = in.kind, in.id
	switch {
	case in.kind.IsMirror(): // copies are of the network that was copied, wherever they travel
		t.Zone = 0
	case in.overlay:
		t.Zone = Zone(t.Zone, uint32(in.kind), in.id)
	}
	vlan, innerVLAN, length := h.VLAN, h.InnerVLAN, h.WireLen
	if in.form == asFrame || in.form == asWiFi {
		if t.VLAN == 0 {
			t.VLAN = vlan
		}
		vlan, innerVLAN = in.vlan, 0
	}
	if in.cut {
		in.wire = max(in.wire, in.uncut())
		length = in.wire
	}
	h.reset(now, length)
	h.VLAN, h.InnerVLAN, h.Tunnel = vlan, innerVLAN, t
	h.untidy()
	switch in.form {
	case asFrame:
		return ethernet(h, in.b, in.wire, 0)
	case asIP:
		return rawIP(h, in.b, in.wire)
	case asWiFi:
		return d.wifi(h, in.b, in.wire, wifiForm{swapped: in.swapped})
	}
	return network(h, in.etherType, in.b, in.wire, 0)
}

// uncut is how long a copy was before a mirror may have cut it, by the length field of
// the IP header in it, or 0.
func (in *inner) uncut() int {
	b, off, etherType := in.b, 0, in.etherType
	switch in.form {
	case asWiFi:
		return 0
	case asFrame:
		for off = 12; ; off += 4 {
			if off > 24 || len(b) < off+2 {
				return 0
			}
			if etherType = binary.BigEndian.Uint16(b[off:]); etherType != etherVLAN && etherType != etherQinQ {
				break
			}
		}
		off += 2
	case asIP:
		if etherType = NetIPv4; len(b) > 0 && b[0]>>4 == 6 {
			etherType = NetIPv6
		}
	}
	switch {
	case etherType == NetIPv4 && len(b) >= off+4:
		return off + int(binary.BigEndian.Uint16(b[off+2:]))
	case etherType == NetIPv6 && len(b) >= off+6:
		return off + 40 + int(binary.BigEndian.Uint16(b[off+4:]))
	}
	return 0
}

// Zone tells address spaces apart: that of an id of a kind within another zone, 0 for
// the one that is not told apart. Of one kind, different ids give different zones.
func Zone(within, kind, id uint32) uint32 {
	x := id + kind*0x9e3779b1 + within*0x85ebca6b
	x = (x ^ x>>16) * 0x85ebca6b
	x = (x ^ x>>13) * 0xc2b2ae35
	return max(x^x>>16, 1)
}
