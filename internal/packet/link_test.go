package packet

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Tags, labels and frames in frames are looked through to the packet.
func TestLookedThrough(t *testing.T) {
	frame, tagged, ip4, ip6 := cargo(t)
	label := func(last byte) []byte { return []byte{0, 1, 0x10 | last, 64} }
	control := zero(4)
	in := func(etherType uint16, parts ...[]byte) []byte {
		return cat(dstMAC[:], srcMAC[:], binary.BigEndian.AppendUint16(nil, etherType), cat(parts...))
	}
	own := func(net uint16, ip []byte) Header { return decode(t, LinkEthernet, in(net, ip)) }
	wan4, wan6, lan, lanTagged := own(NetIPv4, ip4), own(NetIPv6, ip6), decode(t, LinkEthernet, frame), decode(t, LinkEthernet, tagged)
	odd := cat([]byte{0x46, 2, 3, 4, 5, 6}, frame[6:]) // the address begins as IPv4 does
	zeros := cat([]byte{0, 2, 3, 4, 5, 6}, frame[6:])  // and as a control word does
	for _, c := range []struct {
		name string
		data []byte
		want Header
	}{
		{"MPLS", in(0x8847, label(1), ip4), wan4},
		{"MPLS of IPv6, three labels, multicast", in(0x8848, label(0), label(0), label(1), ip6), wan6},
		{"MPLS in VLANs", in(0x88a8, []byte{0, 7, 0x81, 0, 0, 8, 0x88, 0x47}, label(1), ip4), edit(wan4, func(h *Header) { h.VLAN, h.InnerVLAN = 7, 8 })},
		{"pseudowire", in(0x8847, label(1), frame), lan},
		{"pseudowire with control word", in(0x8847, label(0), label(1), control, tagged), lanTagged},
		{"pseudowire in a VLAN", in(0x8100, []byte{0, 7, 0x88, 0x47}, label(1), frame), lan},
		{"pseudowire to 46:…", in(0x8847, label(1), odd), decode(t, LinkEthernet, odd)},
		{"pseudowire to 00:…", in(0x8847, label(1), zeros), decode(t, LinkEthernet, zeros)},
		{"pseudowire to 00:… with control word", in(0x8847, label(1), control, zeros), decode(t, LinkEthernet, zeros)},
		{"PPP in PPPoE of MPLS", in(0x8864, []byte{0x11, 0, 0, 1, 0, 0, 2, 0x81}, label(1), ip4), wan4},
		{"802.1ah", in(0x88e7, []byte{0, 0, 0, 9}, tagged), lanTagged},
		{"802.1ah in a VLAN", in(0x88a8, []byte{0, 7, 0x88, 0xe7, 0, 0, 0, 9}, frame), lan},
		{"FabricPath", in(0x8903, []byte{0, 0x49}, tagged), lanTagged},
		{"VN-Tag", in(0x8926, []byte{0, 1, 0, 2, 8, 0}, ip4), wan4},
		{"HSR", in(0x892f, []byte{0x10, 60, 0, 1, 0x81, 0, 0, 42, 8, 0}, ip4), edit(wan4, func(h *Header) { h.VLAN = 42 })},
		{"E-TAG", in(0x893f, []byte{0x10, 0, 0, 0xd3, 0, 0, 8, 0}, ip4), wan4},
		{"R-TAG", in(0xf1c1, []byte{0, 0, 0, 1, 0x86, 0xdd}, ip6), wan6},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decode(t, LinkEthernet, c.data)
			c.want.WireLen = len(c.data)
			if !same(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
		})
	}
	for name, data := range map[string][]byte{
		"labels without end":        in(0x8847, bytesOf(label(0), 400)),
		"frames in frames":          in(0x88e7, bytesOf(cat([]byte{0, 0, 0, 9}, dstMAC[:], srcMAC[:], []byte{0x88, 0xe7}), 500)),
		"tags of all kinds":         in(0x8926, bytesOf([]byte{0, 1, 0, 2, 0x89, 0x2f, 0, 0, 0, 1, 0x89, 0x26}, 500)),
		"PPPoE in MPLS and so on":   in(0x8847, bytesOf(cat(label(1), dstMAC[:], srcMAC[:], []byte{0x88, 0x64, 0x11, 0, 0, 1, 0, 0, 2, 0x81}), 500)),
		"pseudowires in each other": in(0x8847, bytesOf(cat(label(1), dstMAC[:], srcMAC[:], []byte{0x88, 0x47}), 1000)),
	} {
		var d Decoder
		var h Header
		if why := d.Decode(&Frame{Data: data, WireLen: len(data), Link: LinkEthernet}, &h); why != TooManyLayers {
			t.Errorf("%s: %s, %+v", name, why, h.Net)
		}
	}
}

func bytesOf(part []byte, n int) (all []byte) {
	for range n {
		all = append(all, part...)
	}
	return all
}

// What is not IP keeps its addresses and says what it is.
func TestOtherFrames(t *testing.T) {
	pad := zero(40)
	in := func(etherType uint16, parts ...[]byte) []byte {
		return cat(dstMAC[:], srcMAC[:], binary.BigEndian.AppendUint16(nil, etherType), cat(parts...))
	}
	goose := cat([]byte{0x10, 1, 0, 30}, zero(26))
	for _, c := range []struct {
		name string
		data []byte
		net  uint16
		size int
	}{
		{"STP", in(38, []byte{0x42, 0x42, 3}, pad), 0x42, 38},
		{"CDP", in(30, []byte{0xaa, 0xaa, 3, 0, 0, 12, 0x20, 0}, pad), 0x2000, 30},
		{"PVST", in(30, []byte{0xaa, 0xaa, 3, 0, 0, 12, 1, 11}, pad), 0x10b, 30},
		{"AppleTalk", in(30, []byte{0xaa, 0xaa, 3, 8, 0, 7, 0x80, 0x9b}, pad), 0x809b, 30},
		{"SNAP of somebody", in(30, []byte{0xaa, 0xaa, 3, 1, 2, 3, 8, 0}, pad), 0xaa, 30},
		{"IS-IS", in(30, []byte{0xfe, 0xfe, 3, 0x83}, pad), NetISIS, 30},
		{"OSI", in(30, []byte{0xfe, 0xfe, 3, 0}, pad), 0xfe, 30},
		{"LLDP in SNAP", in(30, []byte{0xaa, 0xaa, 3, 0, 0, 0, 0x88, 0xcc}, pad), 0x88cc, 22},
		{"MPLS of what is surely nothing", in(0x8847, []byte{0, 1, 1, 64, 0x20}, pad), 0x8847, 45},
		{"MACsec", in(0x88e5, pad), 0x88e5, 40},
		{"GOOSE", in(0x88b8, goose), 0x88b8, 30},
		{"GOOSE with PRP's trailer", in(0x88b8, goose, []byte{0, 7, 0xa0, 36, 0x88, 0xfb}), 0x88b8, 30},
		{"GOOSE with a trailer that lies", in(0x88b8, goose, []byte{0, 7, 0xa0, 35, 0x88, 0xfb}), 0x88b8, 36},
		{"GOOSE behind HSR's tag", in(0x892f, []byte{0, 0, 0, 1, 0x88, 0xb8}, goose), 0x88b8, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := decode(t, LinkEthernet, c.data)
			if h.Net != c.net || h.PayloadLen != c.size || h.SrcMAC != srcMAC || h.DstMAC != dstMAC || h.IsIP() {
				t.Errorf("net %#x, %d bytes: %+v", h.Net, h.PayloadLen, h)
			}
		})
	}
}

func TestRadioLinks(t *testing.T) {
	_, _, ip4, _ := cargo(t)
	llc := []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}
	a, b, c, d := MAC{2, 0, 0, 0, 0, 0xa}, MAC{2, 0, 0, 0, 0, 0xb}, MAC{2, 0, 0, 0, 0, 0xc}, MAC{2, 0, 0, 0, 0, 0xd}
	air := func(control, flags byte, rest ...[]byte) []byte {
		return cat([]byte{control, flags, 0, 0}, a[:], b[:], c[:], []byte{0, 0}, cat(rest...))
	}
	qos, lots := []byte{0, 0}, []byte{0x80, 0}
	tap := func(fields uint32, rest ...[]byte) []byte {
		body := cat(rest...)
		return cat([]byte{0, 0, byte(8 + len(body)), 0}, binary.LittleEndian.AppendUint32(nil, fields), body)
	}
	short := func(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
	long := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	ip := build(t, ethernetLayer(layers.EthernetTypeIPv4), gopacket.Payload(ip4))
	eui := func(x byte) []byte { return []byte{x, 2, 3, 0xfe, 0xff, 0x55, 0x44, 0x33} }
	for _, k := range []struct {
		name     string
		link     LinkType
		data     []byte
		net      uint16
		src, dst MAC
		payload  int
		why      Reason
	}{
		{"between stations", link80211, air(8, 0, llc, ip4), NetIPv4, b, a, 5, OK},
		{"to the access point", link80211, air(8, 1, llc, ip4), NetIPv4, b, c, 5, OK},
		{"from the access point", link80211, air(8, 2, llc, ip4), NetIPv4, c, a, 5, OK},
		{"between access points", link80211, air(8, 3, d[:], llc, ip4), NetIPv4, d, c, 5, OK},
		{"with QoS", link80211, air(0x88, 1, qos, llc, ip4), NetIPv4, b, c, 5, OK},
		{"with QoS and HT control", link80211, air(0x88, 0x81, qos, zero(4), llc, ip4), NetIPv4, b, c, 5, OK},
		{"several frames in one", link80211, air(0x88, 1, lots, d[:], a[:], []byte{0, 53}, llc, ip4), NetIPv4, a, d, 5, OK},
		{"encrypted", link80211, air(0x88, 0x41, qos, zero(50)), NetWLAN, b, c, 50, OK},
		{"decrypted by the driver", link80211, air(0x88, 0x41, qos, llc, ip4), NetIPv4, b, c, 5, OK},
		{"a later fragment", link80211, patch(air(8, 1, zero(50)), 22, 1), NetWLAN, b, c, 50, OK},
		{"beacon", link80211, air(0x80, 0, zero(50)), 0, MAC{}, MAC{}, 0, NoNetwork},
		{"acknowledgement", link80211, air(0xd4, 0)[:10], 0, MAC{}, MAC{}, 0, NoNetwork},
		{"data without data", link80211, air(0xc8, 1, qos), 0, MAC{}, MAC{}, 0, NoNetwork},
		{"another version", link80211, air(9, 1, llc, ip4), 0, MAC{}, MAC{}, 0, NoNetwork},
		{"cut in the header", link80211, air(0x88, 1)[:23], 0, MAC{}, MAC{}, 0, Truncated},
		{"cut behind the header", link80211, air(8, 1), 0, MAC{}, MAC{}, 0, Truncated},

		{"radiotap with clock and checksum", linkRadiotap, cat(tap(3, zero(8), []byte{0x10}), air(0x88, 0x41, qos, zero(50))), NetWLAN, b, c, 46, OK},
		{"radiotap with padding", linkRadiotap, cat(tap(2, []byte{0x20}), air(0x88, 1, qos, zero(2), llc, ip4)), NetIPv4, b, c, 5, OK},
		{"radiotap of two antennas", linkRadiotap, cat(tap(1<<31|1<<1, long(1<<31), long(0), []byte{0x10}), air(8, 0x41, zero(50))), NetWLAN, b, c, 46, OK},
		{"radiotap of too many antennas", linkRadiotap, cat(tap(1<<31|1<<1, long(1<<31)), air(8, 0x41, zero(50))), NetWLAN, b, c, 50, OK},
		{"radiotap that is too long", linkRadiotap, cat([]byte{0, 0, 99, 0, 0, 0, 0, 0}, air(8, 1, llc, ip4)[:20]), 0, MAC{}, MAC{}, 0, Truncated},
		{"AVS", linkAVS, cat([]byte{0x80, 0x21, 0x10, 1, 0, 0, 0, 64}, zero(56), air(8, 1, llc, ip4)), NetIPv4, b, c, 5, OK},
		{"AVS as Prism", linkPrism, cat([]byte{0x80, 0x21, 0x10, 2, 0, 0, 0, 64}, zero(56), air(8, 1, llc, ip4)), NetIPv4, b, c, 5, OK},
		{"Prism", linkPrism, cat(long(0x44), long(144), zero(136), air(8, 1, llc, ip4)), NetIPv4, b, c, 5, OK},
		{"PPI of Ethernet", linkPPI, cat([]byte{0, 0}, short(12), long(1), zero(4), ip), NetIPv4, srcMAC, dstMAC, 5, OK},
		{"PPI of 802.11", linkPPI, cat([]byte{0, 0}, short(8), long(105), air(8, 1, llc, ip4)), NetIPv4, b, c, 5, OK},
		{"PPI of PPI", linkPPI, cat([]byte{0, 0}, short(8), long(192), ip), 0, MAC{}, MAC{}, 0, UnknownLink},
		{"PPI of a copy", linkPPI, cat([]byte{0, 0}, short(8), long(uint32(LinkMirrorGRE)), ip), 0, MAC{}, MAC{}, 0, UnknownLink},
		{"FDDI", linkFDDI, cat([]byte{0x50}, a[:], b[:], llc, ip4), NetIPv4, b, a, 5, OK},
		{"FDDI's own", linkFDDI, cat([]byte{0xc0}, a[:], b[:]), 0, MAC{}, MAC{}, 0, NoNetwork},
		{"PF log", linkPFLog, cat([]byte{61, 2}, zero(62), ip4), NetIPv4, MAC{}, MAC{}, 5, OK},

		{"802.15.4, short addresses of one network", linkWPAN, cat([]byte{0x41, 0x88, 7}, short(0x1a62), short(0), short(0x7aa5), zero(10)), NetWPAN,
			MAC{2, 0, 0x1a, 0x62, 0x7a, 0xa5}, MAC{2, 0, 0x1a, 0x62, 0, 0}, 8, OK},
		{"802.15.4, to all", linkWPANBare, cat([]byte{1, 0x88, 7}, short(0x1a62), short(0xffff), short(0x1a63), short(1), zero(10)), NetWPAN,
			MAC{2, 0, 0x1a, 0x63, 0, 1}, MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 10, OK},
		{"802.15.4, long addresses", linkWPANBare, cat([]byte{0x41, 0xcc, 7}, short(0x1a62), eui(1), eui(9), zero(10)), NetWPAN,
			MAC{0x33, 0x44, 0x55, 3, 2, 9}, MAC{0x33, 0x44, 0x55, 3, 2, 1}, 10, OK},
		{"802.15.4, version 2 without sequence number", linkWPANBare, cat([]byte{0x41, 0xed}, eui(1), eui(9), zero(10)), NetWPAN,
			MAC{0x33, 0x44, 0x55, 3, 2, 9}, MAC{0x33, 0x44, 0x55, 3, 2, 1}, 10, OK},
		{"802.15.4, a beacon", linkWPANBare, cat([]byte{0, 0x80, 7}, short(0x1a62), short(0), zero(4)), NetWPAN, MAC{2, 0, 0x1a, 0x62, 0, 0}, MAC{}, 4, OK},
		{"802.15.4, acknowledgement", linkWPAN, []byte{2, 0, 7, 1, 2}, 0, MAC{}, MAC{}, 0, NoNetwork},
		{"802.15.4, reserved addresses", linkWPAN, []byte{1, 4, 7, 1, 2, 3, 4}, 0, MAC{}, MAC{}, 0, NoNetwork},
		{"802.15.4, cut", linkWPANBare, cat([]byte{0x41, 0xcc, 7}, short(0x1a62), eui(1)), 0, MAC{}, MAC{}, 0, Truncated},
		{"802.15.4 behind its preamble", linkWPANPhy, cat(zero(4), []byte{0xa7, 19, 0x41, 0x88, 7}, short(0x1a62), short(0), short(1), zero(10)), NetWPAN,
			MAC{2, 0, 0x1a, 0x62, 0, 1}, MAC{2, 0, 0x1a, 0x62, 0, 0}, 8, OK},
		{"802.15.4 behind a list", linkWPANTap, cat([]byte{0, 0}, short(20), short(10), short(1), zero(4), short(0), short(1), []byte{2, 0, 0, 0},
			[]byte{0x41, 0x88, 7}, short(0x1a62), short(0), short(1), zero(10)), NetWPAN,
			MAC{2, 0, 0x1a, 0x62, 0, 1}, MAC{2, 0, 0x1a, 0x62, 0, 0}, 6, OK},
		{"802.15.4 behind a list that lies", linkWPANTap, cat([]byte{0, 0}, short(12), short(10), short(99), zero(4), []byte{0x41, 0x88, 7}, short(0x1a62), short(0), short(1)), NetWPAN,
			MAC{2, 0, 0x1a, 0x62, 0, 1}, MAC{2, 0, 0x1a, 0x62, 0, 0}, 0, OK},
		{"USB", 189, zero(64), 0, MAC{}, MAC{}, 0, NotIPLink},
		{"USB of Windows", 249, zero(64), 0, MAC{}, MAC{}, 0, NotIPLink},
		{"Bluetooth", 201, zero(64), 0, MAC{}, MAC{}, 0, NotIPLink},
		{"a user's own", 147, zero(64), 0, MAC{}, MAC{}, 0, UnknownLink},
	} {
		t.Run(k.name, func(t *testing.T) {
			var dec Decoder
			var h Header
			why := dec.Decode(&Frame{Data: k.data, WireLen: len(k.data), Link: k.link}, &h)
			if why != k.why {
				t.Fatalf("%s, want %s: %+v", why, k.why, h)
			}
			if why == OK && (h.Net != k.net || h.SrcMAC != k.src || h.DstMAC != k.dst || h.PayloadLen != k.payload) {
				t.Errorf("net %#x from %s to %s, %d bytes of payload", h.Net, h.SrcMAC, h.DstMAC, h.PayloadLen)
			}
			for n := range k.data { // cut anywhere, it is refused or shorter
				if why := dec.Decode(&Frame{Data: k.data[:n:n], WireLen: len(k.data), Link: k.link}, &h); why >= reasonCount || why == OK && len(h.Payload) > h.PayloadLen {
					t.Fatalf("cut to %d: %s, %+v", n, why, h)
				}
			}
		})
	}
}

// FuzzLink gives any bytes to the links and tags that are read by hand.
func FuzzLink(f *testing.F) {
	links := []LinkType{LinkEthernet, link80211, linkRadiotap, linkAVS, linkPrism, linkPPI, linkFDDI, linkPFLog, linkWPAN, linkWPANPhy, linkWPANBare, linkWPANTap, LinkLinuxSLL}
	frame, tagged, ip4, _ := cargo(f)
	head := cat(dstMAC[:], srcMAC[:])
	for i, data := range [][]byte{
		cat(head, []byte{0x88, 0x47, 0, 1, 1, 64}, tagged),
		cat([]byte{0x88, 0x41, 0, 0}, head, head[:6], zero(4), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4),
		cat([]byte{0, 0, 17, 0, 3, 0, 0, 0}, zero(8), []byte{0x30}, []byte{8, 3, 0, 0}, head, head, []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4),
		cat([]byte{0x80, 0x21, 0x10, 1, 0, 0, 0, 64}, zero(56), []byte{0x88, 1, 0, 0}, head, head[:6], zero(4), []byte{0x80, 0}, head, []byte{0, 60, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4),
		cat([]byte{0x44, 0, 0, 0, 144, 0, 0, 0}, zero(136), []byte{8, 1, 0, 0}, head),
		cat([]byte{0, 0, 8, 0, 1, 0, 0, 0}, frame),
		cat([]byte{0x50}, head, []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4),
		cat([]byte{61, 2}, zero(62), ip4),
		cat([]byte{0x41, 0x88, 7, 0x62, 0x1a, 0, 0, 1, 0}, zero(10)),
		cat(zero(4), []byte{0xa7, 19, 0x41, 0xcc, 7}, zero(30)),
		cat([]byte{0x41, 0xed}, zero(30)),
		cat([]byte{0, 0, 12, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0x41, 0x88, 7}, zero(20)),
		cat([]byte{0, 0, 0, 1, 0, 6}, srcMAC[:], []byte{0, 0, 0, 4, 0xfe, 0xfe, 3, 0x83}, zero(20)),
	} {
		f.Add(byte(i), uint16(0), data)
	}
	for _, data := range [][]byte{
		cat([]byte{0x88, 0xe7, 0, 0, 0, 9}, tagged), cat([]byte{0x89, 3, 0, 0x49}, frame), cat([]byte{0x89, 0x26, 0, 1, 0, 2, 8, 0}, ip4),
		cat([]byte{0x89, 0x2f, 0, 1, 0, 2, 0x88, 0xb8}, zero(30), []byte{0, 1, 0xa0, 36, 0x88, 0xfb}), cat([]byte{0, 40, 0xaa, 0xaa, 3, 0, 0, 12, 0x20, 0}, zero(40)),
	} {
		f.Add(byte(0), uint16(0), cat(head, data))
	}
	addFrames(f, func(frame *Frame) {
		if i := slices.Index(links, frame.Link); i >= 0 {
			f.Add(byte(i), uint16(frame.WireLen-len(frame.Data)), frame.Data)
		}
	})
	for _, data := range [][]byte{
		aggregate(part(1, "a"), part(2, "bc"), part(3, "")), aggregate(part(1, ""), subframe(2, zero(2)), part(3, "")), aggregate(part(1, "abc"), zero(40)),
		aggregate(subframe(9, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inUDP(f, portTZSP, []byte{1, 0, 0, 18, 1}, aggregate(part(1, ""), part(2, "")))[14:])), part(3, "")),
	} {
		f.Add(byte(1), uint16(0), data)
		f.Add(byte(1), uint16(40), data[:len(data)-30])
	}
	f.Fuzz(func(t *testing.T, link byte, more uint16, data []byte) {
		fuzzed(t, &Frame{Data: data, WireLen: len(data) + int(more), Link: links[int(link)%len(links)]})
	})
}
