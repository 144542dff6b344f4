package flow

import (
	"math"
	"net/netip"

	"github.com/monban/monban/internal/packet"
)

// Tunnel is what a flow's packets came in. It is zero for a flow that came in none.
type Tunnel struct {
	Type        string     // packet.TunnelKind of the innermost one
	ID          uint32     // its network, session or key
	Peer        netip.Addr // who sent the initiator's packets in it, or the copies
	Destination netip.Addr // where they were sent; none where a socket took them
	VLAN        uint16     // around the tunnel
	Depth       uint8      // tunnels within each other
}

// tunnels holds each tunnel once, so that an entry needs two bytes for its own. It
// is bounded; flows in tunnels that come when it is full are metered without its name.
type tunnels struct {
	list    []Tunnel // from 1
	known   map[Tunnel]uint16
	unnamed uint64
}

// index is where a packet's tunnel is in the list, 0 for nowhere. back says that the
// packet was an answer.
func (s *tunnels) index(p *packet.Tunnel, back bool) uint16 {
	t := Tunnel{Type: p.Kind.String(), ID: p.ID, Peer: packet.Addr(p.Src), Destination: packet.Addr(p.Dst), VLAN: p.VLAN, Depth: p.Depth}
	if p.Dst == ([16]byte{}) {
		t.Destination = netip.Addr{}
	} else if back && !p.Kind.IsMirror() {
		t.Peer, t.Destination = t.Destination, t.Peer
	}
	if i, ok := s.known[t]; ok {
		return i
	}
	if s.known == nil {
		s.list, s.known = make([]Tunnel, 1), map[Tunnel]uint16{}
	}
	if len(s.list) > math.MaxUint16 {
		s.unnamed++
		return 0
	}
	s.list = append(s.list, t)
	s.known[t] = uint16(len(s.list) - 1)
	return s.known[t]
}

// vlanZone is the zone of a packet where VLANs are kept apart.
func vlanZone(h *packet.Header) uint32 {
	const kind = math.MaxUint8 // none of packet.TunnelKind's
	return packet.Zone(h.Tunnel.Zone, kind, uint32(h.VLAN)|uint32(h.InnerVLAN)<<16)
}
