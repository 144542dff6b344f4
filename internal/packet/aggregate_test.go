package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

// part is one subframe of an A-MSDU: a packet from 02:00:00:00:01:n to 02:00:00:00:02:n and
// to port 0xc300 + n, whose length is that of its payload and 50.
func part(n byte, payload string) []byte {
	udp := cat([]byte{0xc2, n, 0xc3, n, 0, byte(8 + len(payload)), 0, 0}, []byte(payload))
	ip := cat([]byte{0x45, 0, 0, byte(20 + len(udp)), 0, n, 0, 0, 64, ProtoUDP, 0, 0, 10, 0, 1, n, 10, 0, 2, n}, udp)
	return subframe(n, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip))
}

// subframe puts addresses and length before what has an LLC header.
func subframe(n byte, body []byte) []byte {
	return cat([]byte{2, 0, 0, 0, 2, n, 2, 0, 0, 0, 1, n}, binary.BigEndian.AppendUint16(nil, uint16(len(body))), body)
}

// aggregate is a frame of 802.11 that carries all parts, each padded but the last.
func aggregate(parts ...[]byte) []byte {
	b := cat([]byte{0x88, 1, 0, 0}, []byte{2, 0, 0, 0, 0, 0xa, 2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xc}, zero(2), []byte{0x80, 0})
	const head = 26
	for _, p := range parts {
		b = append(b, zero((head-len(b))&3)...)
		b = append(b, p...)
	}
	return b
}

// packets decodes all that is in a frame, and says of each what it is.
func packets(t *testing.T, d *Decoder, f *Frame) (all []string) {
	t.Helper()
	var h Header
	see := func(why Reason) {
		switch {
		case why != OK:
			all = append(all, why.String())
		case h.Tunnel.Depth == 0:
			all = append(all, fmt.Sprintf("%x>%x :%x %d/%d", h.SrcMAC[4:], h.DstMAC[4:], h.DstPort, h.PayloadLen, h.WireLen))
		default:
			all = append(all, fmt.Sprintf("%s%d %x>%x :%x %d/%d", h.Tunnel.Kind, h.Tunnel.Depth, h.SrcMAC[4:], h.DstMAC[4:], h.DstPort, h.PayloadLen, h.WireLen))
		}
		if h.Time != f.Time {
			t.Errorf("time %d", h.Time)
		}
	}
	see(d.Decode(f, &h))
	for d.More() {
		h = Header{SrcPort: 1, FragOff: 8, VLAN: 3, Proto: 6, InnerVLAN: 4, Tunnel: Tunnel{Depth: 3, ID: 9}} // as used before
		see(d.Next(&h))
	}
	return all
}

// Every packet of an A-MSDU is one of its own, with its own addresses and length.
func TestAggregates(t *testing.T) {
	one, two, three := part(1, "a"), part(2, "bcdef"), part(3, "") // 51, 55 and 50 bytes
	all := aggregate(one, two, three)
	p1, p2, p3 := "0101>0201 :c301 1/51", "0102>0202 :c302 5/55", "0103>0203 :c303 0/50"
	in := func(kind string, depth int, of ...string) (all []string) {
		for _, p := range of {
			all = append(all, fmt.Sprintf("%s%d %s", kind, depth, p))
		}
		return all
	}
	tzsp := func(b []byte) []byte { return cat([]byte{1, 0, 0, 18, 1}, b) }
	capwap := func(b []byte) []byte { return cat([]byte{0, 0x10, 3, 0, 0, 0, 0, 0}, b) }
	radiotap := []byte{0, 0, 9, 0, 2, 0, 0, 0, 0x10}
	lies := func(b []byte, by int) []byte {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint16(b[12:], uint16(int(binary.BigEndian.Uint16(b[12:]))+by))
		return b
	}
	bad := bytes.Clone(two)
	bad[22] = 0x44                     // an IPv4 header that is too short
	carrier := func(b []byte) []byte { // a packet with a mirror's copy in it
		return subframe(9, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inUDP(t, portTZSP, tzsp(b))[14:]))
	}
	const carried = "0109>0209 :9090 "
	deep := all
	for range 5 { // one tunnel more than is opened
		deep = aggregate(carrier(deep), two)
	}
	for _, c := range []struct {
		name string
		link LinkType
		data []byte
		wire int // more than captured
		want []string
	}{
		{"three", link80211, all, 0, []string{p1, p2, p3}},
		{"one", link80211, aggregate(one), 0, []string{p1}},
		{"the last padded", link80211, cat(all, zero(2)), 0, []string{p1, p2, p3}},
		{"a checksum that nothing tells of", link80211, cat(all, []byte{1, 2, 3, 4}), 0, []string{p1, p2, p3}},
		{"a checksum that radiotap tells of", linkRadiotap, cat(radiotap, all, []byte{1, 2, 3, 4}), 0, []string{p1, p2, p3}},
		{"an ARP among them", link80211, aggregate(subframe(7, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, zero(20))), three), 0,
			[]string{"0107>0207 :0 28/50", p3}},
		{"a VLAN among them", link80211, aggregate(subframe(1, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0, 0, 42, 8, 0}, one[22:])), three), 0,
			[]string{"0101>0201 :c301 1/55", p3}},

		{"a header that lies in the middle", link80211, aggregate(one, bad, three), 0, []string{p1, "bad_ipv4", p3}},
		{"a header that lies first", link80211, aggregate(bad, one, three), 0, []string{"bad_ipv4", p1, p3}},
		{"a length past the end", link80211, aggregate(one, lies(three, 1)), 0, []string{p1, "truncated"}},
		{"a length past the end, first", link80211, aggregate(lies(one, 200), two), 0, []string{"truncated"}},
		{"a length of nothing", link80211, aggregate(one, lies(two, -41), three), 0, []string{p1, "truncated"}},
		{"nothing but zeros", link80211, aggregate(zero(5000)), 0, []string{"truncated"}},
		{"nothing", link80211, aggregate(), 0, []string{"truncated"}},

		{"cut in the payload of the second", link80211, all[:26+52+54], len(all) - 26 - 52 - 54, []string{p1, p2, "truncated"}},
		{"cut in the headers of the second", link80211, all[:26+52+40], len(all) - 26 - 52 - 40, []string{p1, "truncated", "truncated"}},
		{"cut in the addresses of the second", link80211, all[:26+52+5], len(all) - 26 - 52 - 5, []string{p1, "truncated"}},
		{"cut behind the addresses of the second", link80211, all[:26+52+14], len(all) - 26 - 52 - 14, []string{p1, "truncated"}},
		{"cut in the padding of the first", link80211, all[:26+51], len(all) - 26 - 51, []string{p1, "truncated"}},

		{"encrypted", link80211, patch(all, 1, 0x41), 0, []string{fmt.Sprintf("000b>000c :0 %d/%d", len(all)-26, len(all))}},
		{"a mark that was left", link80211, cat(all[:26], one[14:]), 0, []string{"000b>000c :c301 1/63"}},
		{"a mark that was left, and decrypted", link80211, patch(cat(all[:26], one[14:]), 1, 0x41), 0, []string{"000b>000c :c301 1/63"}},

		{"a mirror's copy", LinkMirrorTZSP, tzsp(all), 0, in("tzsp", 1, p1, p2, p3)},
		{"a mirror's copy that lies first", LinkMirrorTZSP, tzsp(aggregate(bad, one)), 0, []string{"bad_ipv4", "tzsp1 " + p1}},
		{"TZSP", LinkEthernet, inUDP(t, portTZSP, tzsp(all)), 0, in("tzsp", 1, p1, p2, p3)},
		{"CAPWAP", LinkEthernet, inUDP(t, portCAPWAP, capwap(all)), 0, in("capwap", 1, p1, p2, p3)},
		{"a tunnel whose first packet can't be read", LinkEthernet, inUDP(t, portTZSP, tzsp(aggregate(bad, one))), 0,
			[]string{fmt.Sprintf("0001>0002 :9090 %d/%d", 5+26+56+51, 42+5+26+56+51)}},
		{"a tunnel whose second packet can't be read", LinkEthernet, inUDP(t, portTZSP, tzsp(aggregate(one, bad, three))), 0,
			[]string{"tzsp1 " + p1, "bad_ipv4", "tzsp1 " + p3}},

		{"within each other", link80211, aggregate(carrier(all), three), 0, append(in("tzsp", 1, p1, p2, p3), p3)},
		{"within each other, last", link80211, aggregate(one, carrier(all)), 0, append([]string{p1}, in("tzsp", 1, p1, p2, p3)...)},
		{"within each other, and what is in it can't be read", link80211, aggregate(carrier(aggregate(bad, one)), three), 0,
			[]string{fmt.Sprintf("%s%d/%d", carried, 5+26+56+51, 14+8+28+5+26+56+51), p3}},
		{"too many within each other", link80211, deep, 0, []string{"too_many_layers", "tzsp4 " + p2, "tzsp3 " + p2, "tzsp2 " + p2, "tzsp1 " + p2, p2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			f := Frame{Time: 77, Data: c.data, WireLen: len(c.data) + c.wire, Link: c.link}
			if got := packets(t, &d, &f); !slices.Equal(got, c.want) {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
			opened := 0
			for _, p := range c.want {
				if strings.ContainsRune("tc", rune(p[0])) && p != "truncated" || p == "too_many_layers" {
					opened++
				}
			}
			if st := d.Stats(); int(st.Opened) != opened {
				t.Errorf("%d opened, want %d", st.Opened, opened)
			}
			for n := range c.data { // cut anywhere, no packet is made up
				if got := packets(t, &d, &Frame{Time: 77, Data: c.data[:n:n], WireLen: f.WireLen, Link: c.link}); len(got) > len(c.want)+1 {
					t.Fatalf("cut to %d: %q", n, got)
				}
			}
		})
	}
}

// What nobody asked for is not given with another frame.
func TestAggregateLeft(t *testing.T) {
	var d Decoder
	var h Header
	for range 2 * maxAggregates {
		f := Frame{Data: aggregate(part(1, ""), part(2, ""), part(3, "")), Link: link80211}
		if why := d.Decode(&f, &h); why != OK || h.DstPort != 0xc301 {
			t.Fatal(why, h.DstPort)
		}
	}
	f := Frame{Data: aggregate(part(4, ""), part(5, "")), Link: link80211}
	if got, want := packets(t, &d, &f), []string{"0104>0204 :c304 0/50", "0105>0205 :c305 0/50"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAggregatesAllocateNothing(t *testing.T) {
	f := Frame{Data: aggregate(part(1, "a"), part(2, "bc"), part(3, "")), Link: link80211}
	var d Decoder
	var h Header
	if n := testing.AllocsPerRun(100, func() {
		for d.Decode(&f, &h); d.More(); {
			d.Next(&h)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Of A-MSDUs that are sound tshark reads the same packets.
func TestAggregatesAsTsharkReadsThem(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	_, _, ip4, ip6 := cargo(t)
	snap := func(t layers.EthernetType, b []byte) []byte {
		return cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, byte(t >> 8), byte(t)}, b)
	}
	p := pcapFile{link: uint32(link80211)}
	file, want, packets := p.header(), []string{}, 0
	var d Decoder
	for i := range 40 {
		var parts [][]byte
		for k := range 1 + i%5 {
			parts = append(parts, part(byte(10*k+i), strings.Repeat("x", (7*i+k)%23)))
		}
		switch i % 4 {
		case 1:
			parts = append(parts, subframe(200, snap(layers.EthernetTypeIPv6, ip6)))
		case 2:
			parts = append([][]byte{subframe(201, snap(layers.EthernetTypeIPv4, ip4))}, parts...)
		}
		data := aggregate(parts...)
		file = append(file, p.packet(uint32(i), 0, data, uint32(len(data)))...)
		var h Header
		ours := make([][]string, 9) // columns as tshark is asked for them
		add := func(column int, v any) { ours[column] = append(ours[column], fmt.Sprint(v)) }
		for why := d.Decode(&Frame{Data: data, Link: link80211}, &h); ; why = d.Next(&h) {
			if why != OK {
				t.Fatalf("%d: %s", i, why)
			}
			add(0, h.SrcMAC)
			add(1, h.DstMAC)
			add(2, h.WireLen-subframeHead)
			if h.Net == NetIPv4 {
				add(3, Addr(h.Src))
			} else {
				add(4, Addr(h.Src))
			}
			if h.Proto == ProtoUDP {
				add(5, h.SrcPort)
				add(6, h.DstPort)
				add(7, h.PayloadLen+8)
			} else {
				add(8, h.DstPort)
			}
			packets++
			if !d.More() {
				break
			}
		}
		line := make([]string, len(ours))
		for column, values := range ours {
			line[column] = strings.Join(values, ",")
		}
		want = append(want, strings.Join(line, ";"))
	}
	out, err := exec.Command("tshark", "-n", "-r", put(t, "several.pcap", file), "-T", "fields", "-E", "separator=;", "-E", "aggregator=,",
		"-e", "wlan.sa", "-e", "wlan.da", "-e", "wlan_aggregate.a_mdsu.length", "-e", "ip.src", "-e", "ipv6.src",
		"-e", "udp.srcport", "-e", "udp.dstport", "-e", "udp.length", "-e", "tcp.dstport").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(want) || packets < 100 {
		t.Fatalf("%d lines, %d packets: %s", len(lines), packets, out)
	}
	for i, line := range lines {
		line = strings.Replace(line, "02:00:00:00:00:0b,", "", 1) // of the frame around
		line = strings.Replace(line, "02:00:00:00:00:0c,", "", 1)
		if line != want[i] {
			t.Errorf("frame %d:\n  ours %s\ntshark %s", i+1, want[i], line)
		}
	}
}
