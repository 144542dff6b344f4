package packet

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
	tunnelKinds
)

var tunnelNames = [tunnelKinds]string{"", "gre", "gretap", "erspan1", "erspan2", "erspan3", "vxlan", "vxlan-gpe", "geneve", "tzsp",
	"ipip", "6in4", "4in6", "ip6ip6", "l2tpv2", "l2tpv3", "gtp-u", "pptp"}

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
