package flow

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// in puts a packet into a tunnel between two of its ends.
func in(h *packet.Header, kind packet.TunnelKind, id uint32, overlay bool, from, to string) *packet.Header {
	h.Tunnel = packet.Tunnel{Kind: kind, ID: id, Src: netip.MustParseAddr(from).As16(), Depth: 1}
	if to != "" {
		h.Tunnel.Dst = netip.MustParseAddr(to).As16()
	}
	if overlay {
		h.Tunnel.Zone = packet.Zone(0, uint32(kind), id)
	}
	return h
}

const left, right = "172.16.0.1", "172.16.0.2"

// handshake is a connection's beginning, each packet wrapped.
func handshake(wrap func(h *packet.Header, back bool) *packet.Header) []*packet.Header {
	ms := time.Millisecond
	return []*packet.Header{
		wrap(tcp(0, client, server, packet.SYN, 100, 0), false),
		wrap(tcp(1*ms, server, client, packet.SYN|packet.ACK, 500, 0), true),
		wrap(tcp(2*ms, client, server, packet.ACK, 101, 0), false),
	}
}

func metered(t *testing.T, cfg Config, headers ...*packet.Header) []Record {
	t.Helper()
	table, got := collect(cfg)
	for _, h := range headers {
		table.Add(h, 0)
	}
	table.Flush()
	n := uint64(0)
	for _, r := range *got {
		n += r.Src.Packets + r.Dst.Packets
	}
	if n != uint64(len(headers)) {
		t.Errorf("%d packets in records, of %d", n, len(headers))
	}
	return *got
}

// Two networks over the same fabric use the same addresses: two flows. Both
// directions of each are one, though the ends of the tunnel change places.
func TestOverlaysAreKeptApart(t *testing.T) {
	overlay := func(id uint32) func(*packet.Header, bool) *packet.Header {
		return func(h *packet.Header, back bool) *packet.Header {
			if back {
				return in(h, packet.VXLAN, id, true, right, left)
			}
			return in(h, packet.VXLAN, id, true, left, right)
		}
	}
	got := metered(t, NewDefaultConfig(), append(append(handshake(overlay(100)), handshake(overlay(200))...), handshake(func(h *packet.Header, _ bool) *packet.Header { return h })...)...)
	if len(got) != 3 {
		t.Fatalf("%d flows: %+v", len(got), got)
	}
	ids := map[uint64]bool{}
	for i, want := range []Tunnel{
		{Type: "vxlan", ID: 100, Peer: netip.MustParseAddr(left), Destination: netip.MustParseAddr(right), Depth: 1},
		{Type: "vxlan", ID: 200, Peer: netip.MustParseAddr(left), Destination: netip.MustParseAddr(right), Depth: 1},
		{},
	} {
		r := got[i]
		ids[r.ID] = true
		if r.Tunnel != want || r.State != "S1" || r.Src.Packets != 2 || r.Dst.Packets != 1 {
			t.Errorf("flow %d: %+v", i, r)
		}
		if r.Community != got[0].Community {
			t.Error("the Community ID is not of the inner addresses")
		}
	}
	if len(ids) != 3 {
		t.Error("two flows of one id")
	}
}

// The two directions of a conversation can come by two sessions of a mirror, or with
// endpoint ids of their own.
func TestMirrorsAndOneWayIdsDoNotSplit(t *testing.T) {
	for _, kind := range []packet.TunnelKind{packet.ERSPAN2, packet.TZSP, packet.GTPU, packet.L2TPv3} {
		got := metered(t, NewDefaultConfig(), handshake(func(h *packet.Header, back bool) *packet.Header {
			if back {
				return in(h, kind, 2, false, right, "172.16.9.9")
			}
			return in(h, kind, 1, false, left, "172.16.9.9")
		})...)
		if len(got) != 1 || got[0].State != "S1" || got[0].Tunnel.ID != 1 || got[0].Tunnel.Type != kind.String() {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

// Where the first packet seen is an answer, the peer is the initiator's all the
// same; a mirror stays who it is.
func TestPeerIsTheInitiators(t *testing.T) {
	for _, c := range []struct {
		kind     packet.TunnelKind
		from, to string
		peer     string
	}{
		{packet.VXLAN, right, left, left},
		{packet.ERSPAN3, right, "172.16.9.9", right},
		{packet.VXLAN, right, "", right},
	} {
		got := metered(t, NewDefaultConfig(), in(tcp(0, server, client, packet.SYN|packet.ACK, 500, 0), c.kind, 1, true, c.from, c.to))
		if len(got) != 1 || got[0].Src.Port != 50000 || got[0].Tunnel.Peer != netip.MustParseAddr(c.peer) || got[0].Tunnel.Destination.IsValid() != (c.to != "") {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// VLANs do not tell flows apart unless one says so.
func TestVLANs(t *testing.T) {
	tagged := func(a, b uint16) []*packet.Header {
		return handshake(func(h *packet.Header, back bool) *packet.Header {
			if h.VLAN = a; back {
				h.VLAN = b
			}
			return h
		})
	}
	apart := NewDefaultConfig()
	apart.SeparateVLANs = true
	for _, c := range []struct {
		name     string
		cfg      Config
		packets  []*packet.Header
		want     int
		state    string
		firstTag uint16
	}{
		{"both directions tagged alike", NewDefaultConfig(), tagged(5, 5), 1, "S1", 5},
		{"one direction tagged", NewDefaultConfig(), tagged(5, 0), 1, "S1", 5},
		{"two VLANs", NewDefaultConfig(), append(tagged(5, 5), tagged(6, 6)...), 1, "S1", 5},
		{"two VLANs kept apart", apart, append(tagged(5, 5), tagged(6, 6)...), 2, "S1", 5},
		{"one direction tagged, kept apart", apart, tagged(5, 0), 2, "SH", 5},
	} {
		got := metered(t, c.cfg, c.packets...)
		if len(got) != c.want || got[0].VLAN != c.firstTag || c.state != "SH" && got[0].State != c.state {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// A million VLANs and tunnels: flows are capped, tunnels are named as long as there
// is room, and every packet is counted.
func TestManyVLANsAndTunnels(t *testing.T) {
	const packets = 1 << 20
	cfg := NewDefaultConfig()
	cfg.MaxFlows, cfg.SeparateVLANs, cfg.CommunityID = 1000, true, false
	told, named := uint64(0), 0
	table := NewTable(cfg, func(r *Record) {
		told += r.Src.Packets + r.Dst.Packets
		if r.Tunnel.Type != "" {
			named++
		}
	})
	h := tcp(0, client, server, packet.ACK, 1, 10)
	for i := range uint32(packets) {
		h.VLAN, h.InnerVLAN = uint16(1+i%1024), uint16(i/1024)
		in(h, packet.L2TPv3, i, false, left, right)
		table.Add(h, 0)
	}
	table.Flush()
	s := table.Stats()
	if told != packets || s.Flows != packets || named != math.MaxUint16 || s.Tunnels != math.MaxUint16 || s.Unnamed != packets-math.MaxUint16 {
		t.Errorf("%d packets told, %d flows named: %+v", told, named, s)
	}
	if len(table.tunnels.known) != math.MaxUint16 {
		t.Errorf("%d tunnels held", len(table.tunnels.known))
	}
}

func TestTunnelAddsNothingPerPacket(t *testing.T) {
	table, _ := collect(NewDefaultConfig())
	h := in(tcp(0, client, server, packet.ACK, 1, 10), packet.VXLAN, 5, true, left, right)
	table.Add(h, 0)
	if n := testing.AllocsPerRun(100, func() { table.Add(h, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Every EtherType, and what stands for one, has a name that leads back to it.
func TestNetNames(t *testing.T) {
	names := map[string]uint16{}
	for net := range 1 << 16 {
		if net == packet.NetIPv4 || net == packet.NetIPv6 {
			continue
		}
		r := Record{Net: uint16(net)}
		name := r.Transport()
		if was, ok := names[name]; ok {
			t.Errorf("%#x and %#x are both called %s", was, net, name)
		}
		names[name] = uint16(net)
		var back Record
		if back.setTransport(name); back.Net != uint16(net) || back.Proto != 0 {
			t.Errorf("%#x is called %s, which is read as %#x, protocol %d", net, name, back.Net, back.Proto)
		}
	}
	for net, want := range map[uint16]string{0x42: "stp", 0x2000: "cdp", packet.NetISIS: "isis", 0x06: "llc_6", 0x88f7: "ptp", 0x9999: "0x9999"} {
		if got := (&Record{Net: net}).Transport(); got != want {
			t.Errorf("%#x is called %s, want %s", net, got, want)
		}
	}
}
