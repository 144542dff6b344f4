package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// What the tunnels of the tests carry: an Ethernet frame, the same with a tag, the IPv4 packet in
// it, and one of IPv6.
func cargo(t testing.TB) (frame, tagged, ip4, ip6 []byte) {
	inner4 := &layers.IPv4{Version: 4, TTL: 9, Id: 5, Protocol: layers.IPProtocolTCP, SrcIP: []byte{192, 168, 0, 1}, DstIP: []byte{192, 168, 0, 2}}
	ip4 = build(t, inner4, tcpLayer(), hello)
	ip6 = build(t, ipv6Layer(layers.IPProtocolUDP), udpLayer(), hello)
	macs := []byte{2, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1}
	return cat(macs, []byte{8, 0}, ip4), cat(macs, []byte{0x81, 0, 0, 42, 8, 0}, ip4), ip4, ip6
}

func inIP(t testing.TB, proto layers.IPProtocol, parts ...[]byte) []byte {
	return build(t, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(proto), gopacket.Payload(cat(parts...)))
}

func inIP6(t testing.TB, proto layers.IPProtocol, parts ...[]byte) []byte {
	return build(t, ethernetLayer(layers.EthernetTypeIPv6), ipv6Layer(proto), gopacket.Payload(cat(parts...)))
}

func inUDP(t testing.TB, port layers.UDPPort, parts ...[]byte) []byte {
	return build(t, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(layers.IPProtocolUDP), &layers.UDP{SrcPort: 50000, DstPort: port}, gopacket.Payload(cat(parts...)))
}

// wrapping is a packet in one tunnel.
type wrapping struct {
	name  string
	data  []byte
	inner []byte // as a frame of link
	link  LinkType
	kind  TunnelKind
	id    uint32
	zone  bool
	vlan  uint16 // that the tunnel's header adds
}

func wrappings(t testing.TB) []wrapping {
	const gre, l2tp = layers.IPProtocolGRE, layers.IPProtocol(protoL2TP)
	frame, tagged, ip4, ip6 := cargo(t)
	short := func(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
	eth, raw := LinkEthernet, LinkRaw
	wifi := cat([]byte{8, 1, 0, 0, 9, 9, 9, 9, 9, 9, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2, 0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4)
	swapped := patch(patch(wifi, 0, 1), 1, 8)
	label := []byte{0, 1, 1, 64}
	teredo := build(t, &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: layers.IPProtocolUDP,
		SrcIP: []byte{0x20, 1, 0, 0, 8: 1, 15: 1}, DstIP: v6dst[:]}, udpLayer(), hello)
	return []wrapping{
		{"GRE of IPv4", inIP(t, gre, []byte{0, 0, 8, 0}, ip4), ip4, raw, GRE, 0, false, 0},
		{"GRE of IPv6 with checksum, key and number", inIP(t, gre, []byte{0xb0, 0, 0x86, 0xdd, 1, 2, 0, 0, 0, 0, 1, 5, 0, 0, 0, 9}, ip6), ip6, raw, GRE, 261, true, 0},
		{"GRE over IPv6", inIP6(t, gre, []byte{0x20, 0, 8, 0, 0, 0, 0, 7}, ip4), ip4, raw, GRE, 7, true, 0},
		{"GRE of MPLS", inIP(t, gre, []byte{0, 0, 0x88, 0x47}, label, ip4), ip4, raw, GRE, 0, false, 0},
		{"GRE of PPP", inIP(t, gre, []byte{0, 0, 0x88, 0x0b, 0xff, 3, 0, 0x21}, ip4), ip4, raw, GRE, 0, false, 0},
		{"GRE of WCCP", inIP(t, gre, []byte{0, 0, 0x88, 0x3e}, ip4), ip4, raw, GRE, 0, false, 0},
		{"GRE of WCCP version 2", inIP(t, gre, []byte{0, 0, 0x88, 0x3e, 0, 0, 0, 9}, ip4), ip4, raw, GRE, 0, false, 0},
		{"GRE in UDP", inUDP(t, portGREinUDP, []byte{0x20, 0, 8, 0, 0, 0, 0, 7}, ip4), ip4, raw, GRE, 7, true, 0},
		{"GRETAP", inIP(t, gre, []byte{0, 0, 0x65, 0x58}, frame), frame, eth, GRETAP, 0, false, 0},
		{"NVGRE", inIP(t, gre, []byte{0x20, 0, 0x65, 0x58, 0, 1, 2, 3}, tagged), tagged, eth, GRETAP, 0x10203, true, 0},
		{"ERSPAN I", inIP(t, gre, []byte{0, 0, 0x88, 0xbe}, frame), frame, eth, ERSPAN1, 0, false, 0},
		{"ERSPAN II", inIP(t, gre, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 33, 0x08, 100, 0, 0, 0, 2}, frame), frame, eth, ERSPAN2, 100, false, 33},
		{"ERSPAN II of a tagged frame", inIP(t, gre, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 33, 0x1b, 255, 0, 0, 0, 2}, tagged), tagged, eth, ERSPAN2, 1023, false, 0},
		{"ERSPAN III", inIP(t, gre, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 7}, zero(8), frame), frame, eth, ERSPAN3, 7, false, 0},
		{"ERSPAN III with platform header", inIP(t, gre, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0, 7}, zero(7), []byte{1}, zero(8), frame), frame, eth, ERSPAN3, 7, false, 5},
		{"ERSPAN III of IP", inIP(t, gre, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 7}, zero(6), []byte{8, 0}, ip4), ip4, raw, ERSPAN3, 7, false, 0},
		{"PPTP", inIP(t, gre, []byte{0x30, 0x81, 0x88, 0x0b}, short(len(ip4)+2), []byte{0, 77, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0x21}, ip4), ip4, raw, PPTP, 77, false, 0},
		{"VXLAN", inUDP(t, portVXLAN, []byte{8, 0, 0, 0, 0, 0, 5, 0}, tagged), tagged, eth, VXLAN, 5, true, 0},
		{"VXLAN on Linux's old port", inUDP(t, portVXLANOld, []byte{8, 0, 0, 0, 0, 0, 5, 0}, frame), frame, eth, VXLAN, 5, true, 0},
		{"VXLAN with group policy", inUDP(t, portVXLAN, []byte{0x88, 8, 1, 2, 0, 0, 5, 0}, frame), frame, eth, VXLAN, 5, true, 0},
		{"VXLAN-GPE of IPv6", inUDP(t, portVXLANGPE, []byte{12, 0, 0, 2, 0, 0, 5, 0}, ip6), ip6, raw, VXLANGPE, 5, true, 0},
		{"VXLAN-GPE on VXLAN's port", inUDP(t, portVXLAN, []byte{12, 0, 0, 3, 0, 0, 5, 0}, frame), frame, eth, VXLANGPE, 5, true, 0},
		{"Geneve", inUDP(t, portGeneve, []byte{0, 0, 0x65, 0x58, 0, 0, 9, 0}, frame), frame, eth, Geneve, 9, true, 0},
		{"Geneve of IPv4 with options", inUDP(t, portGeneve, []byte{4, 0x40, 8, 0, 1, 0, 9, 0, 1, 2, 3, 1, 0, 0, 0, 0, 1, 2, 3, 1, 0, 0, 0, 0}, ip4), ip4, raw, Geneve, 65545, true, 0},
		{"TZSP", inUDP(t, portTZSP, []byte{1, 0, 0, 1, 0, 10, 1, 7, 1}, frame), frame, eth, TZSP, 0, false, 0},
		{"TZSP of 802.11", inUDP(t, portTZSP, []byte{1, 0, 0, 18, 1}, wifi), wifi, link80211, TZSP, 0, false, 0},
		{"GTP", inUDP(t, portGTPU, []byte{0x30, 255}, short(len(ip4)), []byte{0, 1, 0, 0}, ip4), ip4, raw, GTPU, 65536, false, 0},
		{"GTP with extensions", inUDP(t, portGTPU, []byte{0x36, 255}, short(len(ip4)+16), []byte{0, 0, 0, 3, 0, 9, 0, 0x85, 1, 0, 9, 0xc0, 2, 0, 0, 0, 0, 0, 0, 0}, ip4), ip4, raw, GTPU, 3, false, 0},
		{"L2TP", inUDP(t, portL2TP, []byte{0, 2, 0, 7, 0, 8, 0xff, 3, 0, 0x21}, ip4), ip4, raw, L2TPv2, 7<<16 + 8, false, 0},
		{"L2TP with all fields", inUDP(t, portL2TP, []byte{0x4a, 2}, short(len(ip4)+19), []byte{0, 7, 0, 8, 0, 1, 0, 2, 0, 3, 9, 9, 9, 0, 0x21}, ip4), ip4, raw, L2TPv2, 7<<16 + 8, false, 0},
		{"L2TPv3", inIP(t, l2tp, []byte{0, 0, 1, 0}, frame), frame, eth, L2TPv3, 256, false, 0},
		{"L2TPv3 with cookie and sublayer", inIP(t, l2tp, []byte{0, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x40, 0, 0, 1}, tagged), tagged, eth, L2TPv3, 256, false, 0},
		{"L2TPv3 in UDP", inUDP(t, portL2TP, []byte{0, 3, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4}, frame), frame, eth, L2TPv3, 256, false, 0},
		{"IPv4 in IPv4", inIP(t, 4, ip4), ip4, raw, IPIP, 0, false, 0},
		{"IPv6 in IPv4", inIP(t, 41, ip6), ip6, raw, SixInFour, 0, false, 0},
		{"IPv4 in IPv6", inIP6(t, 4, ip4), ip4, raw, FourInSix, 0, false, 0},
		{"IPv6 in IPv6, behind an option", inIP6(t, 60, []byte{41, 0, 4, 1, 4, 1, 1, 0}, ip6), ip6, raw, IP6IP6, 0, false, 0},
		{"Teredo", inUDP(t, portTeredo, teredo), teredo, raw, Teredo, 0, false, 0},
		{"Teredo with authentication and origin", inUDP(t, portTeredo, []byte{0, 1, 1, 2, 1, 2, 3}, zero(9), []byte{0, 0, 1, 1, 1, 2, 3, 4}, teredo), teredo, raw, Teredo, 0, false, 0},
		{"CAPWAP of Ethernet", inUDP(t, portCAPWAP, []byte{0, 0x10, 2, 0, 0, 0, 0, 0}, frame), frame, eth, CAPWAP, 0, false, 0},
		{"CAPWAP of 802.11", inUDP(t, portCAPWAP, []byte{0, 0x10, 3, 0, 0, 0, 0, 0}, wifi), wifi, link80211, CAPWAP, 0, false, 0},
		{"CAPWAP of swapped 802.11", inUDP(t, portCAPWAP, []byte{0, 0x10, 3, 0, 0, 0, 0, 0}, swapped), wifi, link80211, CAPWAP, 0, false, 0},
	}
}

func decode(t testing.TB, link LinkType, data []byte) Header {
	t.Helper()
	var d Decoder
	var h Header
	if why := d.Decode(&Frame{Data: data, WireLen: len(data), Link: link}, &h); why != OK {
		t.Fatalf("refused: %s", why)
	}
	return h
}

func TestTunnels(t *testing.T) {
	for _, c := range wrappings(t) {
		t.Run(c.name, func(t *testing.T) {
			want := decode(t, c.link, c.inner)
			var closed Decoder
			closed.KeepTunnels = true
			var outer Header
			f := Frame{Data: c.data, WireLen: len(c.data), Link: LinkEthernet}
			if why := closed.Decode(&f, &outer); why != OK || outer.Tunnel != (Tunnel{}) {
				t.Fatalf("left closed: %s, %+v", why, outer)
			}
			got := decode(t, LinkEthernet, c.data)
			zone := uint32(0)
			if c.zone {
				zone = Zone(0, uint32(c.kind), c.id)
			}
			want.Tunnel = Tunnel{Src: outer.Src, Dst: outer.Dst, ID: c.id, Zone: zone, Kind: c.kind, Depth: 1}
			if c.vlan != 0 {
				want.VLAN = c.vlan
			}
			if !c.kind.IsMirror() {
				want.WireLen = len(c.data)
			}
			if !same(got, want) {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}

			// However it is cut, the packet is metered, as the inner or as the outer.
			var d Decoder
			opened := 0
			for n := range c.data {
				var h Header
				f := Frame{Data: c.data[:n:n], WireLen: len(c.data), Link: LinkEthernet}
				why := d.Decode(&f, &h)
				if plain := closed.Decode(&f, &outer); plain == OK && why != OK {
					t.Fatalf("cut to %d bytes: refused, %s", n, why)
				} else if plain == OK && h.Tunnel.Depth == 0 && !same(h, outer) {
					t.Fatalf("cut to %d bytes: neither inner nor outer: %+v", n, h)
				}
				opened += int(h.Tunnel.Depth)
			}
			if d.Stats().Opened != uint64(opened) || opened == 0 {
				t.Errorf("opened %d, counted %d", opened, d.Stats().Opened)
			}

			// Whatever a byte says, nothing breaks, and no more is lost than a lie in the outer headers loses.
			for at := 14; at < len(c.data); at++ {
				for _, v := range []byte{0, 1, 4, 0x0f, 0x40, 0x7f, 0x80, 0xff, ^c.data[at], c.data[at] ^ 1, c.data[at] ^ 0x80} {
					var h Header
					f := Frame{Data: patch(c.data, at, v), WireLen: len(c.data), Link: LinkEthernet}
					why := d.Decode(&f, &h)
					if plain := closed.Decode(&f, &outer); plain != why && why != TooManyLayers {
						t.Fatalf("byte %d as %#x: %s, closed %s", at, v, why, plain)
					}
					if why == OK && (len(h.Payload) > h.PayloadLen || h.PayloadLen > h.WireLen || h.IsIP() && h.NetLen > h.WireLen) {
						t.Fatalf("byte %d as %#x: lengths that can't be: %+v", at, v, h)
					}
				}
			}
		})
	}
}

// tshark reads what the tests wrote as the tests say.
func TestTunnelsAsTsharkSeesThem(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	file := pcapFile{}.header()
	all := wrappings(t)
	for i, c := range all {
		file = append(file, pcapFile{}.packet(uint32(i), 0, c.data, uint32(len(c.data)))...)
	}
	tuples, stacks := tsharkTuples(t, put(t, "crafted.pcap", file))
	// What tshark needs to be told first, or does not know.
	blind := map[string]bool{"L2TPv3": true, "L2TPv3 with cookie and sublayer": true, "L2TPv3 in UDP": true, "CAPWAP of 802.11": true,
		"VXLAN-GPE on VXLAN's port": true, "VXLAN on Linux's old port": true, "ERSPAN III of IP": true}
	for i, c := range all {
		h := decode(t, LinkEthernet, c.data)
		if h.tuple() != tuples[i] && !blind[c.name] {
			t.Errorf("%s: %q, tshark %q (%s)", c.name, h.tuple(), tuples[i], stacks[i])
		}
		if h.tuple() != tuples[i] && tuples[i] != "10.0.0.1 10.0.0.2 udp 50000 "+fmt.Sprint(decodeClosed(t, c.data).DstPort) && tuples[i] != "10.0.0.1 10.0.0.2" && tuples[i] != "" {
			t.Errorf("%s: tshark sees another packet: %q (%s)", c.name, tuples[i], stacks[i])
		}
	}
}

// What goes to the port of a tunnel and has one bit wrong is plain UDP.
func TestNoTunnels(t *testing.T) {
	frame, _, ip4, ip6 := cargo(t)
	gtp := []byte{0x30, 255, 0, byte(len(ip4)), 0, 0, 0, 1}
	for _, c := range []struct {
		name string
		port layers.UDPPort
		data []byte
	}{
		{"VXLAN without the flag", portVXLAN, cat([]byte{0, 0, 0, 0, 0, 0, 5, 0}, frame)},
		{"VXLAN with a reserved flag", portVXLAN, cat([]byte{0x18, 0, 0, 0, 0, 0, 5, 0}, frame)},
		{"VXLAN with a reserved byte", portVXLAN, cat([]byte{8, 0, 1, 0, 0, 0, 5, 0}, frame)},
		{"VXLAN with a last byte", portVXLAN, cat([]byte{8, 0, 0, 0, 0, 0, 5, 1}, frame)},
		{"VXLAN-GPE of a later version", portVXLANGPE, cat([]byte{0x1c, 0, 0, 3, 0, 0, 5, 0}, frame)},
		{"Geneve of a later version", portGeneve, cat([]byte{0x40, 0, 0x65, 0x58, 0, 0, 9, 0}, frame)},
		{"Geneve with a reserved flag", portGeneve, cat([]byte{0, 1, 0x65, 0x58, 0, 0, 9, 0}, frame)},
		{"Geneve between its ends", portGeneve, cat([]byte{0, 0x80, 0x65, 0x58, 0, 0, 9, 0}, frame)},
		{"Geneve whose option is too long", portGeneve, cat([]byte{1, 0, 0x65, 0x58, 0, 0, 9, 0, 0, 0, 0, 1}, frame)},
		{"TZSP of another version", portTZSP, cat([]byte{2, 0, 0, 1, 1}, frame)},
		{"TZSP that keeps alive", portTZSP, cat([]byte{1, 4, 0, 1, 1}, frame)},
		{"TZSP without end", portTZSP, []byte{1, 0, 0, 1, 0, 0, 0, 0}},
		{"TZSP whose tag is too long", portTZSP, []byte{1, 0, 0, 1, 10, 200, 1, 1}},
		{"GTP of version 2", portGTPU, cat(patch(gtp, 0, 0x50), ip4)},
		{"GTP' of version 1", portGTPU, cat(patch(gtp, 0, 0x20), ip4)},
		{"GTP's echo", portGTPU, cat(patch(gtp, 1, 1), ip4)},
		{"GTP whose length lies", portGTPU, cat(patch(gtp, 3, 1), ip4)},
		{"L2TP's control", portL2TP, cat([]byte{0xc8, 2, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0})},
		{"L2TP with a reserved flag", portL2TP, cat([]byte{0x10, 2, 0, 7, 0, 8, 0, 0x21}, ip4)},
		{"L2TP whose length lies", portL2TP, cat([]byte{0x40, 2, 0, 9, 0, 7, 0, 8, 0, 0x21}, ip4)},
		{"L2TP of a later version", portL2TP, cat([]byte{0, 4, 0, 7, 0, 8, 0, 0x21}, ip4)},
		{"Teredo of others' addresses", portTeredo, ip6},
		{"CAPWAP with DTLS", portCAPWAP, cat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, frame)},
		{"CAPWAP that keeps alive", portCAPWAP, cat([]byte{0, 0x10, 2, 8, 0, 0, 0, 0}, frame)},
		{"GRE in UDP with a reserved flag", portGREinUDP, cat([]byte{4, 0, 8, 0}, ip4)},
		{"DNS on VXLAN's port", portVXLAN, []byte{8, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := inUDP(t, c.port, c.data)
			var d Decoder
			var h Header
			why := d.Decode(&Frame{Data: data, WireLen: len(data), Link: LinkEthernet}, &h)
			if why != OK || h.Tunnel != (Tunnel{}) || h.Proto != ProtoUDP || h.DstPort != uint16(c.port) || !bytes.Equal(h.Payload, c.data) {
				t.Errorf("%s: %+v", why, h)
			}
			if d.Stats() != (TunnelStats{}) {
				t.Errorf("counted as a tunnel: %+v", d.Stats())
			}
		})
	}
}

// Tunnels whose payload can't be read are metered as what carries them, and counted.
func TestClosedTunnels(t *testing.T) {
	frame, _, ip4, ip6 := cargo(t)
	const gre = layers.IPProtocolGRE
	fragment := inIP(t, gre, []byte{0, 0, 8, 0}, ip4)
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"an unknown protocol type", inIP(t, gre, []byte{0, 0, 0x12, 0x34}, ip4)},
		{"a version that is none", inIP(t, gre, []byte{0, 2, 8, 0}, ip4)},
		{"source routing", inIP(t, gre, []byte{0x40, 0, 8, 0}, zero(8), ip4)},
		{"only a GRE header", inIP(t, gre, []byte{0, 0, 8, 0})},
		{"half a GRE header", inIP(t, gre, []byte{0, 0})},
		{"a key that is cut", inIP(t, gre, []byte{0x20, 0, 8, 0, 1})},
		{"compressed PPP", inIP(t, gre, []byte{0x30, 1, 0x88, 0x0b, 0, 6, 0, 1, 0, 0, 0, 1, 0, 0xfd, 1, 2, 3, 4})},
		{"IPv4 whose length lies", inIP(t, gre, []byte{0, 0, 8, 0}, patch(ip4, 2, 9))},
		{"IPv6 whose length lies", inIP(t, 41, patch(ip6, 4, 9))},
		{"TCP whose length lies", inIP(t, 4, patch(ip4, 32, 0xf0))},
		{"neither IPv4 nor IPv6", inIP(t, 4, zero(40))},
		{"ERSPAN of a version to come", inIP(t, gre, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x30, 0, 0, 1, 0, 0, 0, 0}, frame)},
		{"half an ERSPAN header", inIP(t, gre, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 1})},
		{"VXLAN without a frame", inUDP(t, portVXLAN, []byte{8, 0, 0, 0, 0, 0, 5, 0})},
		{"VXLAN of half a frame", inUDP(t, portVXLAN, []byte{8, 0, 0, 0, 0, 0, 5, 0}, frame[:13])},
		{"VXLAN from a group", inUDP(t, portVXLAN, []byte{8, 0, 0, 0, 0, 0, 5, 0}, patch(frame, 6, 1))},
		{"VXLAN-GPE of NSH", inUDP(t, portVXLANGPE, []byte{12, 0, 0, 4, 0, 0, 5, 0}, frame)},
		{"GTP of no IP", inUDP(t, portGTPU, []byte{0x30, 255, 0, 4, 0, 0, 0, 1, 1, 2, 3, 4})},
		{"GTP whose extension is empty", inUDP(t, portGTPU, []byte{0x34, 255, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0})},
		{"L2TP of PPP's control", inUDP(t, portL2TP, []byte{0, 2, 0, 7, 0, 8, 0xc0, 0x21, 1, 1, 0, 4})},
		{"L2TP whose padding is too long", inUDP(t, portL2TP, []byte{2, 2, 0, 7, 0, 8, 0xff, 0xff}, ip4)},
		{"L2TPv3 of no frame", inIP(t, protoL2TP, []byte{0, 0, 1, 0}, zero(40))},
		{"CAPWAP in fragments", inUDP(t, portCAPWAP, []byte{0, 0x10, 2, 0x80, 0, 0, 0, 0}, frame)},
		{"CAPWAP of a beacon", inUDP(t, portCAPWAP, []byte{0, 0x10, 3, 0, 0, 0, 0, 0}, []byte{0x80, 0, 0, 0}, zero(40))},
		{"a fragment of the carrier", patch(fragment, 20, 0x20)},
		{"a later fragment of the carrier", patch(fragment, 21, 9)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			closed := Decoder{KeepTunnels: true}
			var h, outer Header
			f := Frame{Data: c.data, WireLen: len(c.data), Link: LinkEthernet}
			if why := closed.Decode(&f, &outer); why != OK {
				t.Fatal(why)
			}
			if why := d.Decode(&f, &h); why != OK || !same(h, outer) {
				t.Errorf("%s\n got %+v\nwant %+v", why, h, outer)
			}
			if d.Stats() != (TunnelStats{Closed: 1}) || closed.Stats() != (TunnelStats{}) {
				t.Errorf("counted %+v, %+v", d.Stats(), closed.Stats())
			}
		})
	}
}

// Tunnels in each other: the zone is of all overlays, the peer of the outermost, and
// copies begin anew.
func TestTunnelsInTunnels(t *testing.T) {
	frame, tagged, _, _ := cargo(t)
	vxlan := func(id byte, inner []byte) []byte {
		return inUDP(t, portVXLAN, []byte{8, 0, 0, 0, 0, 0, id, 0}, inner)
	}
	outer := build(t, ethernetLayer(layers.EthernetTypeDot1Q), tag(9, layers.EthernetTypeIPv4), gopacket.Payload(vxlan(1, vxlan(2, tagged))[14:]))
	h := decode(t, LinkEthernet, outer)
	want := Tunnel{Src: v4src, Dst: v4dst, ID: 2, Zone: Zone(Zone(0, uint32(VXLAN), 1), uint32(VXLAN), 2), VLAN: 9, Kind: VXLAN, Depth: 2}
	if h.Tunnel != want || h.VLAN != 42 {
		t.Errorf("VLAN %d, %+v, want %+v", h.VLAN, h.Tunnel, want)
	}
	erspan := inIP(t, layers.IPProtocolGRE, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 100, 0, 0, 0, 2}, frame)
	if h = decode(t, LinkEthernet, vxlan(1, erspan)); h.Tunnel.Zone != 0 || h.Tunnel.Kind != ERSPAN2 || h.WireLen != len(frame) {
		t.Errorf("a copy that travels in VXLAN: %+v", h.Tunnel)
	}
	erspan = inIP(t, layers.IPProtocolGRE, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 100, 0, 0, 0, 2}, vxlan(1, frame))
	if h = decode(t, LinkEthernet, erspan); h.Tunnel.Zone != Zone(0, uint32(VXLAN), 1) || h.Tunnel.Kind != VXLAN || h.Tunnel.ID != 1 {
		t.Errorf("a copy of VXLAN: %+v", h.Tunnel)
	}

	// Five of them, and a thousand, cost no more than one refusal.
	for _, n := range []int{4, 5, 1000} {
		inner := frame[14:]
		for range n {
			head := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 9, 4, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}
			binary.BigEndian.PutUint16(head[2:], uint16(min(20+len(inner), 0xffff)))
			inner = cat(head, inner)
		}
		var d Decoder
		why := d.Decode(&Frame{Data: inner, WireLen: len(inner), Link: LinkRaw}, &h)
		if n == 4 && (why != OK || h.Tunnel.Depth != 4) || n > 4 && why != TooManyLayers {
			t.Errorf("%d tunnels: %s, %+v", n, why, h)
		}
		if allocs := testing.AllocsPerRun(10, func() { d.Decode(&Frame{Data: inner, WireLen: len(inner), Link: LinkRaw}, &h) }); allocs != 0 {
			t.Errorf("%d tunnels: %v allocations", n, allocs)
		}
	}
}

// Copies that a socket took: the sender is the peer, and what can't be read is refused.
func TestMirroredCopies(t *testing.T) {
	frame, tagged, ip4, _ := cargo(t)
	peer := [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 99}
	for _, c := range []struct {
		name  string
		link  LinkType
		data  []byte
		inner []byte
		want  Tunnel
		why   Reason
	}{
		{"ERSPAN", LinkMirrorGRE, cat([]byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 100, 0, 0, 0, 2}, frame), frame, Tunnel{ID: 100, Kind: ERSPAN2}, OK},
		{"GRETAP", LinkMirrorGRE, cat([]byte{0, 0, 0x65, 0x58}, tagged), tagged, Tunnel{Kind: GRETAP}, OK},
		{"VXLAN", LinkMirrorVXLAN, cat([]byte{8, 0, 0, 0, 0, 0, 5, 0}, frame), frame, Tunnel{ID: 5, Zone: Zone(0, uint32(VXLAN), 5), Kind: VXLAN}, OK},
		{"Geneve", LinkMirrorGeneve, cat([]byte{0, 0, 0x65, 0x58, 0, 0, 9, 0}, frame), frame, Tunnel{ID: 9, Zone: Zone(0, uint32(Geneve), 9), Kind: Geneve}, OK},
		{"TZSP", LinkMirrorTZSP, cat([]byte{1, 0, 0, 1, 1}, frame), frame, Tunnel{Kind: TZSP}, OK},
		{"GRE of what is no packet", LinkMirrorGRE, cat([]byte{0, 0, 0x12, 0x34}, ip4), nil, Tunnel{}, NoNetwork},
		{"nothing", LinkMirrorGRE, nil, nil, Tunnel{}, Truncated},
		{"an empty VXLAN", LinkMirrorVXLAN, []byte{8, 0, 0, 0, 0, 0, 5, 0}, nil, Tunnel{}, NoNetwork},
		{"VXLAN of IPv4 that lies", LinkMirrorVXLAN, cat([]byte{8, 0, 0, 0, 0, 0, 5, 0}, patch(frame, 14, 0x41)), nil, Tunnel{}, BadIPv4},
		{"no such thing", 1<<16 + 1, frame, nil, Tunnel{}, UnknownLink},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decoder{KeepTunnels: true}
			var h Header
			why := d.Decode(&Frame{Data: c.data, WireLen: len(c.data), Link: c.link, Peer: peer}, &h)
			if why != c.why {
				t.Fatalf("%s, want %s", why, c.why)
			}
			if why != OK {
				return
			}
			want := decode(t, LinkEthernet, c.inner)
			want.Tunnel = c.want
			want.Tunnel.Src, want.Tunnel.Depth = peer, 1
			if !same(h, want) {
				t.Errorf("\n got %+v\nwant %+v", h, want)
			}
		})
	}
	// A mirror that cuts its copies says how long they were only in the IP header.
	long := build(t, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(layers.IPProtocolTCP), tcpLayer(), gopacket.Payload(zero(1000)))
	cut := cat([]byte{1, 0, 0, 1, 1}, long[:64])
	var d Decoder
	var h Header
	if why := d.Decode(&Frame{Data: cut, WireLen: len(cut), Link: LinkMirrorTZSP}, &h); why != OK || h.PayloadLen != 1000 || h.WireLen != len(long) || len(h.Payload) != 10 {
		t.Errorf("a cut copy: %s, %+v", why, h)
	}
}

func TestZonesDiffer(t *testing.T) {
	seen := map[uint32]string{}
	for kind := NoTunnel + 1; kind < tunnelKinds; kind++ {
		for id := range uint32(1 << 16) {
			z := Zone(0, uint32(kind), id)
			if was, ok := seen[z]; z == 0 || ok && was[0] == byte(kind) {
				t.Fatalf("%s %d has the zone of %q", kind, id, was)
			}
			seen[z] = string(byte(kind))
		}
	}
}

func TestTunnelKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range tunnelKinds {
		if s := k.String(); seen[s] || ParseTunnelKind(s) != k || (s == "") != (k == NoTunnel) {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if k := ParseTunnelKind("wormhole"); k != NoTunnel {
		t.Error(k)
	}
}

// fuzzed decodes a frame twice, open and closed, and wants that no packet is lost that
// could be metered, and that no length is out of bounds.
func fuzzed(t *testing.T, f *Frame) {
	var d Decoder
	closed := Decoder{KeepTunnels: true}
	var h, again, outer Header
	why := d.Decode(f, &h)
	again = Header{SrcPort: 1, FragOff: 8, Payload: f.Data, Proto: 6, VLAN: 3, Tunnel: Tunnel{Depth: 3, ID: 9}}
	if d.Decode(f, &again) != why || !same(h, again) {
		t.Fatalf("not twice alike:\n%+v\n%+v", h, again)
	}
	plain := closed.Decode(f, &outer)
	if plain == OK && why != OK && why != TooManyLayers {
		t.Fatalf("lost: %s", why)
	}
	if plain != OK && why == OK {
		t.Fatalf("found in a packet that is refused: %s", plain)
	}
	further(t, f)
	if why != OK {
		return
	}
	possible(t, f, &h)
}

// possible wants that a header says nothing that can't be.
func possible(t *testing.T, f *Frame, h *Header) {
	if h.Tunnel.Depth > maxTunnels || (h.Tunnel.Depth == 0) != (h.Tunnel == Tunnel{}) || h.Tunnel.Kind >= tunnelKinds {
		t.Fatalf("a tunnel that can't be: %+v", h.Tunnel)
	}
	if len(h.Payload) > h.PayloadLen || h.PayloadLen > h.WireLen+4 || len(h.TCPOptions) > 40 || h.IsIP() && h.NetLen > h.WireLen+4 {
		t.Fatalf("lengths that can't be: %+v", h)
	}
	if len(h.Payload) > len(f.Data) {
		t.Fatal("a payload from elsewhere")
	}
}

// further decodes what else is in a frame, twice, and wants that it ends and is alike.
func further(t *testing.T, f *Frame) {
	var one, two Decoder
	var h, again Header
	one.Decode(f, &h)
	two.Decode(f, &again)
	for n := 0; one.More(); n++ {
		if n > maxAggregates*(1+len(f.Data)/(subframeHead+3)) {
			t.Fatalf("%d packets in %d bytes", n, len(f.Data))
		}
		again = Header{SrcPort: 1, FragOff: 8, Payload: f.Data, Proto: 6, VLAN: 3, Tunnel: Tunnel{Depth: 3, ID: 9}}
		why := one.Next(&h)
		if two.Next(&again) != why || !same(h, again) || one.More() != two.More() || h.Time != f.Time {
			t.Fatalf("not twice alike:\n%+v\n%+v", h, again)
		}
		if why >= reasonCount {
			t.Fatalf("reason %d", why)
		}
		if why == OK {
			possible(t, f, &h)
		}
	}
}

// FuzzTunnel puts any bytes into packets of every protocol and port that tunnels have.
func FuzzTunnel(f *testing.F) {
	for _, c := range wrappings(f) {
		h := decodeClosed(f, c.data)
		f.Add(h.Proto, h.DstPort, uint16(0), h.Payload)
	}
	addPayloads(f, func(h *Header) { f.Add(h.Proto, h.DstPort, uint16(h.PayloadLen-len(h.Payload)), h.Payload) })
	f.Fuzz(func(t *testing.T, proto byte, port, more uint16, data []byte) {
		if len(data) > 60000 {
			return
		}
		head := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
		if proto == ProtoUDP {
			data = cat([]byte{0xc3, 0x50, byte(port >> 8), byte(port), 0, 0, 0, 0}, data)
		}
		binary.BigEndian.PutUint16(head[2:], uint16(min(20+len(data)+int(more), 0xffff)))
		fuzzed(t, &Frame{Data: cat(head, data), WireLen: 20 + len(data) + int(more), Link: LinkRaw})
	})
}

func decodeClosed(t testing.TB, data []byte) (h Header) {
	d := Decoder{KeepTunnels: true}
	if why := d.Decode(&Frame{Data: data, WireLen: len(data), Link: LinkEthernet}, &h); why != OK {
		t.Fatal(why)
	}
	return h
}

// FuzzMirror gives any bytes to the links of copies.
func FuzzMirror(f *testing.F) {
	links := []LinkType{LinkMirrorGRE, LinkMirrorVXLAN, LinkMirrorGeneve, LinkMirrorTZSP}
	for _, c := range wrappings(f) {
		h := decodeClosed(f, c.data)
		for i := range links {
			f.Add(byte(i), uint16(0), h.Payload)
		}
	}
	heads := [][]byte{{0, 0, 0x65, 0x58}, {8, 0, 0, 0, 0, 0, 5, 0}, {0, 0, 0x65, 0x58, 0, 0, 9, 0}, {1, 0, 0, 1, 1}} // of links
	n := 0
	addFrames(f, func(frame *Frame) {
		if frame.Link == LinkEthernet { // each in one of the copies is enough of a beginning
			i := n % len(heads)
			n++
			f.Add(byte(i), uint16(frame.WireLen-len(frame.Data)), cat(heads[i], frame.Data))
		}
	})
	f.Add(byte(3), uint16(0), cat([]byte{1, 0, 0, 18, 1}, aggregate(part(1, "a"), part(2, ""))))
	f.Fuzz(func(t *testing.T, link byte, more uint16, data []byte) {
		frame := Frame{Data: data, WireLen: len(data) + int(more), Link: links[int(link)%len(links)]}
		var d Decoder
		var h, again Header
		why := d.Decode(&frame, &h)
		if d.Decode(&frame, &again) != why || !same(h, again) {
			t.Fatalf("not twice alike:\n%+v\n%+v", h, again)
		}
		if why == OK && (h.Tunnel.Depth == 0 || h.Tunnel.Depth > maxTunnels || len(h.Payload) > h.PayloadLen || h.PayloadLen > h.WireLen+4 || h.IsIP() && h.NetLen > h.WireLen+4) {
			t.Fatalf("what can't be: %s", fmt.Sprintf("%+v", h))
		}
		further(t, &frame)
	})
}

func BenchmarkTunnel(b *testing.B) {
	for _, c := range wrappings(b) {
		switch c.name {
		case "GRE of IPv4", "ERSPAN II", "VXLAN", "Geneve", "IPv4 in IPv4":
		default:
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			f := Frame{Data: c.data, WireLen: len(c.data), Link: LinkEthernet}
			var d Decoder
			var h Header
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(&f, &h)
			}
			if h.Tunnel.Depth != 1 {
				b.Fatal("not opened")
			}
		})
	}
}

// A file can't claim to be of a link that only sockets have.
func TestFilesHaveNoMirrorLinks(t *testing.T) {
	frame, _, _, _ := cargo(t)
	data := cat([]byte{8, 0, 0, 0, 0, 0, 5, 0}, frame)
	p := pcapFile{link: uint32(LinkMirrorVXLAN)}
	path := put(t, "mirror.pcap", append(p.header(), p.packet(0, 0, data, uint32(len(data)))...))
	var d Decoder
	var h Header
	n := 0
	if err := eachFrame(t, path, func(f *Frame) {
		n++
		if why := d.Decode(f, &h); why != UnknownLink {
			t.Errorf("link %d: %s, %+v", f.Link, why, h.Tunnel)
		}
	}); err != nil || n != 1 {
		t.Errorf("%d packets, %v", n, err)
	}
}
