package packetflowreceiver

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// wrapped is the plant's Modbus connection as seen in two VXLAN networks of a fabric,
// or in VLANs. Both directions of each are in it.
func wrapped(wrap func(frame []byte, network byte) []byte) []frame {
	var all []frame
	for network := byte(1); network <= 2; network++ {
		for _, f := range plant()[1:9] {
			all = append(all, frame{f.at + time.Duration(network)*time.Millisecond/10, wrap(f.data, network)})
		}
	}
	slices.SortStableFunc(all, func(a, b frame) int { return cmp.Compare(a.at, b.at) })
	return all
}

func inVXLAN(f []byte, network byte) []byte {
	from, to := netip.MustParseAddr("172.16.0.9"), netip.MustParseAddr("172.16.0.1")
	if f[5] == 9 { // to the client
		from, to = to, from
	}
	head := []byte{0xc3, 0x50, 4789 >> 8, 4789 & 255, 0, byte(16 + len(f)), 0, 0, 8, 0, 0, 0, 0, 0, network, 0}
	return ethernet([]byte{2, 9, 9, 9, 9, 1}, []byte{2, 9, 9, 9, 9, 2}, 0x0800, ipv4(from, to, 17, append(head, f...)))
}

func inVLAN(f []byte, network byte) []byte {
	return append(append(append([]byte{}, f[:12]...), 0x81, 0, 0, network), f[12:]...)
}

func TestTunnelOptions(t *testing.T) {
	vxlan, vlan := file(t, "vxlan.pcap", pcap(wrapped(inVXLAN))), file(t, "vlan.pcap", pcap(wrapped(inVLAN)))
	run := func(path string, change func(*Config)) []flow.Record {
		t.Helper()
		cfg := files(path)
		change(cfg)
		s := read(t, cfg)
		if got := s.total(t); got != 16 {
			t.Errorf("%d packets in flows", got)
		}
		return s.flows
	}
	ids := map[uint32]bool{}
	flows := run(vxlan, func(*Config) {})
	for _, r := range flows {
		ids[r.Tunnel.ID] = true
		if r.Service != "modbus" || r.State != "SF" || r.Src.Packets != 5 || r.Src.MAC.String() != "02:00:00:00:00:09" || r.Tunnel.Type != "vxlan" ||
			r.Tunnel.Peer.String() != "172.16.0.9" || r.Tunnel.Destination.String() != "172.16.0.1" || r.Tunnel.Depth != 1 || len(r.Commands) != 1 {
			t.Errorf("%+v", r)
		}
	}
	if len(flows) != 2 || !ids[1] || !ids[2] {
		t.Errorf("%d flows, networks %v", len(flows), ids)
	}
	flows = run(vxlan, func(c *Config) { c.Tunnels = false })
	if len(flows) != 2 || flows[0].Tunnel != (flow.Tunnel{}) || flows[0].Proto != packet.ProtoUDP || flows[0].Dst.Port != 4789 { // one each way
		t.Errorf("with tunnels: false: %+v", flows)
	}
	flows = run(vlan, func(*Config) {})
	if len(flows) != 1 {
		t.Errorf("two VLANs: %+v", flows)
	}
	flows = run(vlan, func(c *Config) { c.SeparateVLANs = true })
	if len(flows) != 2 || flows[0].VLAN+flows[1].VLAN != 3 || flows[0].State != "SF" || flows[1].State != "SF" {
		t.Errorf("with separate_vlans: true: %+v", flows)
	}
}
