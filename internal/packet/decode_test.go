package packet

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var (
	srcMAC = MAC{2, 0, 0, 0, 0, 1}
	dstMAC = MAC{2, 0, 0, 0, 0, 2}
	hello  = gopacket.Payload("hello")
)

func ethernetLayer(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: srcMAC[:], DstMAC: dstMAC[:], EthernetType: t}
}

func tag(id uint16, t layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: id, Type: t, Priority: 5}
}

func ipv4Layer(p layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 63, TOS: 46 << 2, Id: 77, Protocol: p, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
}

func ipv6Layer(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 63, TrafficClass: 46 << 2, NextHeader: p,
		SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
}

func tcpLayer(options ...layers.TCPOption) *layers.TCP {
	return &layers.TCP{SrcPort: 1234, DstPort: 80, Seq: 100, Ack: 200, SYN: true, ACK: true, ECE: true, Window: 512, Options: options}
}

func udpLayer() *layers.UDP { return &layers.UDP{SrcPort: 1234, DstPort: 80} }

// build lets gopacket write what we read.
func build(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	for _, p := range parts {
		if over, ok := p.(gopacket.NetworkLayer); ok {
			for _, q := range parts {
				switch q := q.(type) {
				case *layers.TCP:
					q.SetNetworkLayerForChecksum(over)
				case *layers.UDP:
					q.SetNetworkLayerForChecksum(over)
				case *layers.ICMPv6:
					q.SetNetworkLayerForChecksum(over)
				}
			}
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func zero(n int) []byte { return make([]byte, n) }

// patch changes one byte.
func patch(b []byte, at int, v byte) []byte {
	b = bytes.Clone(b)
	b[at] = v
	return b
}

var (
	v4src, v4dst = [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 2}
	v6src, v6dst = [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}, [16]byte{0x20, 1, 0xd, 0xb8, 15: 2}
)

// want4 and want6 are what every header of a table says that has these layers.
func want4(proto uint8, size int, f func(*Header)) Header {
	h := Header{HasMAC: true, SrcMAC: srcMAC, DstMAC: dstMAC, Net: NetIPv4, Src: v4src, Dst: v4dst, Proto: proto,
		TTL: 63, DSCP: 46, IPID: 77, NetLen: size, Payload: []byte{}}
	f(&h)
	return h
}

func want6(proto uint8, size int, f func(*Header)) Header {
	h := Header{HasMAC: true, SrcMAC: srcMAC, DstMAC: dstMAC, Net: NetIPv6, Src: v6src, Dst: v6dst, Proto: proto,
		TTL: 63, DSCP: 46, NetLen: size, Payload: []byte{}}
	f(&h)
	return h
}

func withPorts(h *Header) { h.SrcPort, h.DstPort = 1234, 80 }

func withTCP(h *Header) {
	withPorts(h)
	h.Seq, h.Ack, h.Window, h.TCPFlags, h.TCPOptions = 100, 200, 512, SYN|ACK|ECE, []byte{}
}

func withPayload(b string) func(*Header) {
	return func(h *Header) { h.Payload, h.PayloadLen = []byte(b), len(b) }
}

func all(fs ...func(*Header)) func(*Header) {
	return func(h *Header) {
		for _, f := range fs {
			f(h)
		}
	}
}

func noMAC(h Header) Header {
	h.HasMAC, h.SrcMAC, h.DstMAC = false, MAC{}, MAC{}
	return h
}

func senderOnly(h Header) Header {
	h.DstMAC = MAC{}
	return h
}

func edit(h Header, f func(*Header)) Header {
	f(&h)
	return h
}

func TestDecode(t *testing.T) {
	const ether4, ether6, etherTag = layers.EthernetTypeIPv4, layers.EthernetTypeIPv6, layers.EthernetTypeDot1Q
	const pTCP, pUDP = layers.IPProtocolTCP, layers.IPProtocolUDP
	udp4 := build(t, ipv4Layer(pUDP), udpLayer(), hello)
	udp6 := build(t, ipv6Layer(pUDP), udpLayer(), hello)
	eth4 := build(t, ethernetLayer(ether4), gopacket.Payload(udp4))
	wantUDP4 := want4(ProtoUDP, 33, all(withPorts, withPayload("hello")))
	wantUDP6 := want6(ProtoUDP, 53, all(withPorts, withPayload("hello")))
	tcp4 := build(t, ethernetLayer(ether4), ipv4Layer(pTCP), tcpLayer(), hello)

	for _, c := range []struct {
		name string
		link LinkType
		data []byte
		want Header
	}{
		{"TCP", LinkEthernet, tcp4, want4(ProtoTCP, 45, all(withTCP, withPayload("hello")))},
		{"TCP with options", LinkEthernet,
			build(t, ethernetLayer(ether4), ipv4Layer(pTCP), tcpLayer(layers.TCPOption{OptionType: 2, OptionLength: 4, OptionData: []byte{5, 0xb4}}), hello),
			want4(ProtoTCP, 49, all(withTCP, withPayload("hello"), func(h *Header) { h.TCPOptions = []byte{2, 4, 5, 0xb4} }))},
		{"padding of a short frame is not payload", LinkEthernet,
			cat(build(t, ethernetLayer(ether4), ipv4Layer(pTCP), tcpLayer()), zero(6)), want4(ProtoTCP, 40, withTCP)},
		{"UDP", LinkEthernet, eth4, wantUDP4},
		{"UDP over IPv6", LinkEthernet, build(t, ethernetLayer(ether6), gopacket.Payload(udp6)), wantUDP6},
		{"TCP over IPv6", LinkEthernet, build(t, ethernetLayer(ether6), ipv6Layer(pTCP), tcpLayer(), hello),
			want6(ProtoTCP, 65, all(withTCP, withPayload("hello")))},
		{"UDP-Lite: the length field is a checksum's", LinkEthernet,
			build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolUDPLite), gopacket.Payload(cat([]byte{4, 0xd2, 0, 80, 0, 8, 1, 2}, hello))),
			want4(ProtoUDPLite, 33, all(withPorts, withPayload("hello")))},
		{"SCTP", LinkEthernet,
			build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolSCTP), &layers.SCTP{SrcPort: 1234, DstPort: 80}, hello),
			want4(ProtoSCTP, 37, all(withPorts, withPayload("hello")))},
		{"ICMP", LinkEthernet,
			build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 3, Seq: 4}, hello),
			want4(ProtoICMP, 33, all(withPayload("hello"), func(h *Header) { h.ICMPType, h.ICMPRest = 8, 3<<16|4 }))},
		{"ICMPv6", LinkEthernet,
			build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(1, 4)}, gopacket.Payload("\x00\x00\x00\x00hello")),
			want6(ProtoICMPv6, 53, all(withPayload("hello"), func(h *Header) { h.ICMPType, h.ICMPCode = 1, 4 }))},
		{"IPv4 with options", LinkEthernet,
			build(t, ethernetLayer(ether4), &layers.IPv4{Version: 4, TTL: 63, TOS: 46 << 2, Id: 77, Protocol: pUDP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2},
				Options: []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}}, udpLayer(), hello),
			edit(wantUDP4, func(h *Header) { h.NetLen = 37 })},
		{"first fragment", LinkEthernet,
			build(t, ethernetLayer(ether4), &layers.IPv4{Version: 4, TTL: 63, TOS: 46 << 2, Id: 77, Protocol: pUDP, Flags: layers.IPv4MoreFragments,
				SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}, gopacket.Payload(cat([]byte{4, 0xd2, 0, 80, 4, 0, 0, 0}, zero(16)))),
			want4(ProtoUDP, 44, all(withPorts, withPayload(string(zero(16))), func(h *Header) { h.Fragment, h.MoreFrag, h.FragLen = true, true, 24 }))},
		{"later fragment has no ports", LinkEthernet,
			build(t, ethernetLayer(ether4), &layers.IPv4{Version: 4, TTL: 63, TOS: 46 << 2, Id: 77, Protocol: pUDP, FragOffset: 185,
				SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}, hello),
			want4(ProtoUDP, 25, all(withPayload("hello"), func(h *Header) { h.Fragment, h.FragOff, h.FragLen = true, 1480, 5 }))},
		{"first fragment that ends within TCP's header", LinkEthernet,
			build(t, ethernetLayer(ether4), &layers.IPv4{Version: 4, TTL: 63, TOS: 46 << 2, Id: 77, Protocol: pTCP, Flags: layers.IPv4MoreFragments,
				SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}, gopacket.Payload([]byte{4, 0xd2, 0, 80, 1, 2, 3, 4})),
			want4(ProtoTCP, 28, all(withPorts, withPayload("\x01\x02\x03\x04"), func(h *Header) { h.Fragment, h.MoreFrag, h.FragLen = true, true, 8 }))},
		{"AH is looked through", LinkEthernet,
			build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolAH), gopacket.Payload(cat([]byte{17, 4}, zero(22), udp4[20:]))),
			edit(wantUDP4, func(h *Header) { h.NetLen = 57 })},
		{"GRE stays what it is", LinkEthernet, build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolGRE), hello),
			want4(47, 25, withPayload("hello"))},
		{"total length 0 is offload", LinkEthernet, patch(tcp4[:59], 17, 0), want4(ProtoTCP, 45, all(withTCP, withPayload("hello")))},

		{"IPv6 extension headers", LinkEthernet,
			build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolIPv6HopByHop),
				gopacket.Payload(cat([]byte{43, 0}, zero(6), []byte{60, 2}, zero(22), []byte{51, 0}, zero(6), []byte{135, 1}, zero(10), []byte{17, 0}, zero(6), udp6[40:]))),
			edit(wantUDP6, func(h *Header) { h.NetLen = 53 + 8 + 24 + 8 + 12 + 8 })},
		{"IPv6 first fragment", LinkEthernet,
			build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolIPv6Fragment), gopacket.Payload(cat([]byte{17, 0, 0, 1, 1, 2, 3, 4}, udp6[40:]))),
			edit(wantUDP6, func(h *Header) { h.NetLen, h.Fragment, h.MoreFrag, h.FragLen, h.IPID = 61, true, true, 13, 0x1020304 })},
		{"IPv6 later fragment", LinkEthernet,
			build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolIPv6Fragment), gopacket.Payload(cat([]byte{17, 0, 5, 0xa8, 1, 2, 3, 4}, hello))),
			want6(ProtoUDP, 53, all(withPayload("hello"), func(h *Header) { h.Fragment, h.FragOff, h.FragLen, h.IPID = true, 1448, 5, 0x1020304 }))},
		{"IPv6 atomic fragment is whole", LinkEthernet,
			build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolIPv6Fragment), gopacket.Payload(cat([]byte{17, 0, 0, 0, 1, 2, 3, 4}, udp6[40:]))),
			edit(wantUDP6, func(h *Header) { h.NetLen, h.FragLen, h.IPID = 61, 13, 0x1020304 })},
		{"ESP ends the chain", LinkEthernet, build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolESP), hello), want6(50, 45, withPayload("hello"))},
		{"no next header", LinkEthernet, build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolNoNextHeader)), want6(59, 40, func(*Header) {})},
		{"IPv6 payload length 0 is a jumbogram", LinkEthernet, patch(build(t, ethernetLayer(ether6), gopacket.Payload(udp6)), 19, 0), wantUDP6},

		{"VLAN", LinkEthernet, build(t, ethernetLayer(etherTag), tag(42, ether4), gopacket.Payload(udp4)),
			edit(wantUDP4, func(h *Header) { h.VLAN = 42 })},
		{"QinQ", LinkEthernet, build(t, ethernetLayer(layers.EthernetTypeQinQ), tag(7, etherTag), tag(42, ether4), gopacket.Payload(udp4)),
			edit(wantUDP4, func(h *Header) { h.VLAN, h.InnerVLAN = 7, 42 })},
		{"old QinQ and a third tag", LinkEthernet, build(t, ethernetLayer(etherQinQOld), tag(7, etherTag), tag(42, etherTag), tag(9, ether4), gopacket.Payload(udp4)),
			edit(wantUDP4, func(h *Header) { h.VLAN, h.InnerVLAN = 7, 42 })},
		{"PPPoE", LinkEthernet, build(t, ethernetLayer(layers.EthernetTypePPPoESession), gopacket.Payload(cat([]byte{0x11, 0, 0, 1, 0, 35, 0, 0x21}, udp4))), wantUDP4},
		{"PPPoE control is not looked into", LinkEthernet,
			build(t, ethernetLayer(layers.EthernetTypePPPoESession), gopacket.Payload(cat([]byte{0x11, 0, 0, 1, 0, 6, 0xc0, 0x21, 9, 0, 0, 4}, zero(34)))),
			Header{HasMAC: true, SrcMAC: srcMAC, DstMAC: dstMAC, Net: 0x8864, Payload: []byte{0xc0, 0x21, 9, 0, 0, 4}, PayloadLen: 6}},
		{"ARP without its padding", LinkEthernet,
			cat(build(t, ethernetLayer(layers.EthernetTypeARP), gopacket.Payload(cat([]byte{0, 1, 8, 0, 6, 4, 0, 1}, zero(20)))), zero(18)),
			Header{HasMAC: true, SrcMAC: srcMAC, DstMAC: dstMAC, Net: NetARP, Payload: cat([]byte{0, 1, 8, 0, 6, 4, 0, 1}, zero(20)), PayloadLen: 28}},
		{"any other EtherType", LinkEthernet, build(t, ethernetLayer(layers.EthernetType(0x88b8)), hello)[:19],
			Header{HasMAC: true, SrcMAC: srcMAC, DstMAC: dstMAC, Net: 0x88b8, Payload: hello, PayloadLen: 5}},
		{"802.3 with LLC", LinkEthernet, cat(dstMAC[:], srcMAC[:], []byte{0, 4, 0x42, 0x42, 3, 0}, zero(42)),
			Header{HasMAC: true, SrcMAC: srcMAC, DstMAC: dstMAC, Net: 0x42, Payload: []byte{0x42, 0x42, 3, 0}, PayloadLen: 4}},
		{"802.3 with SNAP", LinkEthernet, cat(dstMAC[:], srcMAC[:], []byte{0, 41, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, udp4, zero(5)), wantUDP4},

		{"Linux cooked v1", LinkLinuxSLL, cat([]byte{0, 0, 0, 1, 0, 6}, srcMAC[:], []byte{0, 0, 8, 0}, udp4), senderOnly(wantUDP4)},
		{"Linux cooked v1, tagged", LinkLinuxSLL, cat([]byte{0, 0, 0, 1, 0, 6}, srcMAC[:], []byte{0, 0, 0x81, 0, 0, 42, 0x86, 0xdd}, udp6),
			senderOnly(edit(wantUDP6, func(h *Header) { h.VLAN = 42 }))},
		{"Linux cooked v1 of loopback", LinkLinuxSLL, cat([]byte{0, 0, 3, 4, 0, 6}, zero(8), []byte{8, 0}, udp4), noMAC(wantUDP4)},
		{"Linux cooked v2", LinkSLL2, cat([]byte{8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6}, srcMAC[:], []byte{0, 0}, udp4), senderOnly(wantUDP4)},
		{"raw IPv4", LinkRaw, udp4, noMAC(wantUDP4)},
		{"raw IPv6", LinkRaw, udp6, noMAC(wantUDP6)},
		{"IPv4", LinkIPv4, udp4, noMAC(wantUDP4)},
		{"IPv6", LinkIPv6, udp6, noMAC(wantUDP6)},
		{"null, little-endian", LinkNull, cat([]byte{2, 0, 0, 0}, udp4), noMAC(wantUDP4)},
		{"null, big-endian", LinkNull, cat([]byte{0, 0, 0, 30}, udp6), noMAC(wantUDP6)},
		{"loop", LinkLoop, cat([]byte{0, 0, 0, 24}, udp6), noMAC(wantUDP6)},
		{"PPP", LinkPPP, cat([]byte{0x21}, udp4), noMAC(wantUDP4)},
		{"PPP with address and control", LinkPPP, cat([]byte{0xff, 3, 0, 0x57}, udp6), noMAC(wantUDP6)},
		{"PPP in HDLC", LinkPPPHDLC, cat([]byte{0xff, 3, 0, 0x21}, udp4), noMAC(wantUDP4)},
		{"Cisco HDLC", LinkCHDLC, cat([]byte{0x0f, 0, 8, 0}, udp4), noMAC(wantUDP4)},
		{"802.11", link80211, cat([]byte{8, 2, 0, 0}, dstMAC[:], []byte{9, 9, 9, 9, 9, 9}, srcMAC[:], []byte{0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, udp4, zero(4)), wantUDP4},
		{"802.11 with radiotap", linkRadiotap, cat([]byte{0, 0, 8, 0, 0, 0, 0, 0, 8, 1, 0, 0, 9, 9, 9, 9, 9, 9}, srcMAC[:], dstMAC[:], []byte{0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, udp4, zero(4)), wantUDP4},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Time, c.want.WireLen = 42, len(c.data)
			f := Frame{Time: 42, Data: c.data, WireLen: len(c.data), Link: c.link}
			h := Header{SrcPort: 9, Payload: hello, TCPFlags: 1, VLAN: 3, Fragment: true} // of the packet before
			var d Decoder
			if why := d.Decode(&f, &h); why != OK {
				t.Fatalf("refused: %s", why)
			}
			for _, b := range []*[]byte{&h.Payload, &h.TCPOptions, &c.want.Payload, &c.want.TCPOptions} {
				if len(*b) == 0 {
					*b = nil
				}
			}
			if !same(h, c.want) {
				t.Errorf("\n got %+v\nwant %+v", h, c.want)
			}
		})
	}
}

// Cut by a snap length, a packet is decoded as far as it goes, and counts its
// lengths as on the wire.
func TestDecodeCut(t *testing.T) {
	whole := build(t, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(layers.IPProtocolTCP),
		tcpLayer(layers.TCPOption{OptionType: 2, OptionLength: 4, OptionData: []byte{5, 0xb4}}), gopacket.Payload(zero(1000)))
	whole6 := build(t, ethernetLayer(layers.EthernetTypeIPv6), ipv6Layer(layers.IPProtocolUDP), udpLayer(), gopacket.Payload(zero(100)))
	for _, c := range []struct {
		name    string
		data    []byte
		at      int
		why     Reason
		options int
		payload int
	}{
		{"in the payload", whole, 68, OK, 4, 10},
		{"in the options", whole, 56, OK, 2, 0},
		{"behind the window", whole, 50, OK, 0, 0},
		{"behind the flags", whole, 48, OK, 0, 0},
		{"before the flags", whole, 47, Truncated, 0, 0},
		{"in the IP header", whole, 33, Truncated, 0, 0},
		{"in the link header", whole, 13, Truncated, 0, 0},
		{"to nothing", whole, 0, Truncated, 0, 0},
		{"UDP behind the ports", whole6, 58, OK, 0, 0},
		{"UDP before the ports", whole6, 57, Truncated, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Frame{Data: c.data[:c.at:c.at], WireLen: len(c.data), Link: LinkEthernet}
			var d Decoder
			var h Header
			if why := d.Decode(&f, &h); why != c.why {
				t.Fatalf("%s, want %s", why, c.why)
			}
			if c.why != OK {
				return
			}
			if len(h.TCPOptions) != c.options || len(h.Payload) != c.payload || h.SrcPort != 1234 {
				t.Errorf("got %+v", h)
			}
			if h.Proto == ProtoTCP && (h.PayloadLen != 1000 || h.NetLen != 1044 || h.TCPFlags != SYN|ACK|ECE) {
				t.Errorf("got %+v", h)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	ether4, ether6 := layers.EthernetTypeIPv4, layers.EthernetTypeIPv6
	udp := build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolUDP), udpLayer(), hello)
	tcp := build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolTCP), tcpLayer(), hello)
	udp6 := build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolUDP), udpLayer(), hello)
	tags := cat(dstMAC[:], srcMAC[:])
	for range 20 {
		tags = binary.BigEndian.AppendUint32(tags, 0x81000001)
	}
	chain := build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolIPv6Destination), gopacket.Payload(bytes.Repeat([]byte{60, 0, 0, 0, 0, 0, 0, 0}, 100)))
	for _, c := range []struct {
		name string
		link LinkType
		data []byte
		want Reason
	}{
		{"IPv4 with another version", LinkEthernet, patch(udp, 14, 0x55), BadIPv4},
		{"IPv4 header length below 20", LinkEthernet, patch(udp, 14, 0x44), BadIPv4},
		{"IPv4 total length below its header", LinkEthernet, patch(udp, 17, 19), BadIPv4},
		{"IPv4 total length beyond the wire", LinkEthernet, patch(udp, 17, 200), BadIPv4},
		{"IPv6 with another version", LinkEthernet, patch(udp6, 14, 0x40), BadIPv6},
		{"IPv6 payload length beyond the wire", LinkEthernet, patch(udp6, 19, 200), BadIPv6},
		{"IPv6 extension beyond the payload", LinkEthernet, patch(udp6, 20, 0), BadIPv6},
		{"endless extension headers", LinkEthernet, chain, TooManyLayers},
		{"endless tags", LinkEthernet, tags, TooManyLayers},
		{"TCP header length below 20", LinkEthernet, patch(tcp, 46, 0x40), BadTransport},
		{"TCP header length beyond the packet", LinkEthernet, patch(tcp, 46, 0xf0), BadTransport},
		{"UDP length below its header", LinkEthernet, patch(udp, 39, 7), BadTransport},
		{"UDP that does not fit", LinkEthernet, build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolUDP), gopacket.Payload(zero(7))), BadTransport},
		{"TCP that does not fit", LinkEthernet, build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolTCP), gopacket.Payload(zero(19))), BadTransport},
		{"ICMP that does not fit", LinkEthernet, build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolICMPv4), gopacket.Payload(zero(1))), BadTransport},
		{"raw that is no IP", LinkRaw, zero(40), BadIPv4},
		{"ARP that is cut", LinkEthernet, build(t, ethernetLayer(layers.EthernetTypeARP), gopacket.Payload(zero(7)))[:21], Truncated},
		{"802.11 beacon", link80211, cat([]byte{0x80, 0, 0, 0}, zero(40)), NoNetwork},
		{"radiotap that is cut", linkRadiotap, zero(3), Truncated},
		{"PPP control", LinkPPP, []byte{0xff, 3, 0xc0, 0x21, 1, 1, 0, 4}, NoNetwork},
		{"Cisco keep-alive", LinkCHDLC, []byte{0x8f, 0, 0, 0, 0, 0}, NoNetwork},
		{"netlink", LinkLinuxSLL, cat([]byte{0, 0, 3, 0x38}, zero(30)), NoNetwork},
		{"AppleTalk on loopback", LinkNull, []byte{16, 0, 0, 0, 1}, NoNetwork},
		{"CAN", 227, zero(30), NotIPLink},
		{"a link type of which nobody knows", 1 << 20, zero(30), UnknownLink},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Frame{Data: c.data, WireLen: len(c.data), Link: c.link}
			var d Decoder
			var h Header
			if why := d.Decode(&f, &h); why != c.want {
				t.Errorf("%s, want %s (%+v)", why, c.want, h)
			}
		})
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	data := build(t, ethernetLayer(layers.EthernetTypeDot1Q), tag(3, layers.EthernetTypeIPv6), ipv6Layer(layers.IPProtocolTCP), tcpLayer(), hello)
	f := Frame{Data: data, WireLen: len(data), Link: LinkEthernet}
	var d Decoder
	var h Header
	if n := testing.AllocsPerRun(100, func() { d.Decode(&f, &h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{OK.String(): true}
	for _, r := range Reasons() {
		if s := r.String(); s == "" || seen[s] {
			t.Errorf("reason %d is called %q", r, s)
		} else {
			seen[s] = true
		}
	}
}

// FuzzDecode wants every frame of every link type decoded within its bounds or
// refused, and twice alike.
func FuzzDecode(f *testing.F) {
	links := []LinkType{LinkEthernet, LinkRaw, LinkLinuxSLL, LinkSLL2, LinkNull, LinkPPP, LinkPPPHDLC, LinkCHDLC,
		linkFDDI, link80211, linkPFLog, linkPrism, linkRadiotap, linkAVS, linkPPI, linkWPAN, linkWPANTap,
		LinkMirrorGRE, LinkMirrorVXLAN, LinkMirrorGeneve, LinkMirrorTZSP, 189}
	ether4, ether6 := layers.EthernetTypeIPv4, layers.EthernetTypeIPv6
	ip4 := build(f, ipv4Layer(layers.IPProtocolTCP), tcpLayer(layers.TCPOption{OptionType: 2, OptionLength: 4, OptionData: []byte{5, 0xb4}}), hello)
	ip6 := build(f, ipv6Layer(layers.IPProtocolIPv6HopByHop), gopacket.Payload(cat([]byte{44, 0}, zero(6), []byte{17, 0, 0, 1}, zero(4), zero(8))))
	for i, data := range [][]byte{
		build(f, ethernetLayer(ether4), gopacket.Payload(ip4)),
		ip6,
		cat([]byte{0, 0, 0, 1, 0, 6}, srcMAC[:], []byte{0, 0, 8, 0}, ip4),
		cat([]byte{8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6}, srcMAC[:], []byte{0, 0}, ip4),
		cat([]byte{2, 0, 0, 0}, ip4),
		cat([]byte{0xff, 3, 0, 0x57}, ip6),
		cat([]byte{0xff, 3, 0, 0x21}, ip4),
		cat([]byte{0x0f, 0, 8, 0}, ip4),
		cat([]byte{0x50}, zero(12), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4),
		cat([]byte{8, 2, 0, 0}, zero(18), []byte{0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4, zero(4)),
		cat([]byte{64, 2, 0, 0}, zero(60), ip4),
		cat(zero(144), []byte{8, 2, 0, 0}, zero(18)),
		cat([]byte{0, 0, 8, 0, 0, 0, 0, 0, 8, 1}, zero(22), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4, zero(4)),
		zero(20),
	} {
		f.Add(byte(i), uint16(0), data)
	}
	f.Add(byte(0), uint16(9), build(f, ethernetLayer(layers.EthernetTypeQinQ), tag(7, layers.EthernetTypeDot1Q), tag(42, ether6), gopacket.Payload(ip6)))
	f.Add(byte(0), uint16(0), build(f, ethernetLayer(layers.EthernetTypePPPoESession), gopacket.Payload(cat([]byte{0x11, 0, 0, 1, 0, 35, 0, 0x21}, ip4))))
	addFrames(f, func(frame *Frame) {
		for i, link := range links {
			if link == frame.Link {
				f.Add(byte(i), uint16(frame.WireLen-len(frame.Data)), frame.Data)
			}
		}
	})
	f.Fuzz(func(t *testing.T, link byte, more uint16, data []byte) {
		frame := Frame{Data: data, WireLen: len(data) + int(more), Link: links[int(link)%len(links)]}
		var d Decoder
		var h, again Header
		why := d.Decode(&frame, &h)
		again = Header{SrcPort: 1, FragOff: 8, Payload: data, TCPOptions: data, Proto: 6, VLAN: 3}
		if d.Decode(&frame, &again) != why || !same(h, again) {
			t.Fatalf("not twice alike:\n%+v\n%+v", h, again)
		}
		// What most frames are goes another way, which a header takes that was used before.
		plainly := Header{Time: 1, SrcPort: 1, Payload: data, Seq: 3, VLAN: 3, Fragment: true, FragOff: 8, TCPFlags: 1, tidy: true}
		var layered Header
		if d.Decode(&frame, &plainly) != d.decode(&frame, &layered) || !same(plainly, layered) {
			t.Fatalf("not both ways alike:\n%+v\n%+v", plainly, layered)
		}
		if why >= reasonCount || why.String() == "" {
			t.Fatalf("reason %d", why)
		}
		if why != OK {
			return
		}
		if len(h.Payload) > h.PayloadLen || h.PayloadLen > h.WireLen+4 || len(h.TCPOptions) > 40 || h.IsIP() && h.NetLen > h.WireLen+4 {
			t.Fatalf("lengths that can't be: %+v", h)
		}
	})
}
