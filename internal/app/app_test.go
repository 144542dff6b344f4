package app

import (
	"reflect"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
)

func TestSightings(t *testing.T) {
	const (
		m1  = "00:01:02:03:04:01"
		udp = packet.ProtoUDP
	)
	bcast := packet.MAC{255, 255, 255, 255, 255, 255}
	name := dnsName("Dev", "example", "com")
	nbname := append(append([]byte{32}, "FAEMEDCNDBCACACACACACACACACACAAA"...), 0) // "PLC-1" padded, workstation
	tests := []struct {
		name    string
		packets []packet.Header
		want    []string
	}{
		{"arp request", []packet.Header{arpHeader(start, 1, mac(1), mac(1), "10.0.0.1", "10.0.0.2")},
			[]string{"arp.claim " + m1 + " addr=10.0.0.1", "arp.request " + m1 + " addr=10.0.0.2"}},
		{"arp reply", []packet.Header{arpHeader(start, 2, mac(1), mac(1), "10.0.0.1", "10.0.0.2")},
			[]string{"arp.claim " + m1 + " addr=10.0.0.1"}},
		{"arp announcement", []packet.Header{arpHeader(start, 1, mac(1), mac(1), "10.0.0.1", "10.0.0.1")},
			[]string{"arp.claim " + m1 + " addr=10.0.0.1"}},
		{"arp probe claims nothing", []packet.Header{arpHeader(start, 1, mac(1), mac(1), "0.0.0.0", "10.0.0.1")},
			[]string{"arp.request " + m1 + " addr=10.0.0.1"}},
		{"arp sent by another", []packet.Header{arpHeader(start, 2, mac(9), mac(1), "10.0.0.1", "10.0.0.2")},
			[]string{"arp.claim " + m1 + " by=00:01:02:03:04:09 addr=10.0.0.1"}},
		{"dhcp ask", []packet.Header{ipHeader(start, udp, "0.0.0.0:68", "255.255.255.255:67",
			dhcpPacket(1, mac(1), [4]byte{}, [4]byte{}, 53, 1, 3, 12, 5, 'p', 'l', 'c', '-', '1', 50, 4, 10, 0, 0, 20, 60, 5, 'u', 'd', 'h', 'c', 'p', 55, 3, 1, 3, 6))},
			[]string{"dhcp.ask " + m1 + " src=0.0.0.0 addr=10.0.0.20 name=plc-1 vendor=udhcp params=1,3,6"}},
		{"dhcp ask with an FQDN in DNS labels", []packet.Header{ipHeader(start, udp, "0.0.0.0:68", "255.255.255.255:67",
			dhcpPacket(1, mac(1), [4]byte{}, [4]byte{}, append([]byte{53, 1, 1, 81, 3 + 10, 4, 0, 0}, dnsName("Pump", "lan")...)...))},
			[]string{"dhcp.ask " + m1 + " src=0.0.0.0 name=Pump.lan"}},
		{"dhcp with an option that is longer than the packet", []packet.Header{ipHeader(start, udp, "0.0.0.0:68", "255.255.255.255:67",
			dhcpPacket(1, mac(1), [4]byte{}, [4]byte{}, 53, 1, 1, 12, 200, 'a'))}, nil},
		{"dhcp grant", []packet.Header{ipHeader(start, udp, "10.0.0.1:67", "10.0.0.20:68",
			dhcpPacket(2, mac(2), [4]byte{}, [4]byte{10, 0, 0, 20}, 53, 1, 5, 3, 8, 10, 0, 0, 1, 10, 0, 0, 2))},
			[]string{"dhcp.grant 00:01:02:03:04:02 by=" + m1 + " src=10.0.0.1 addr=10.0.0.20 addrs=[10.0.0.1 10.0.0.2]"}},
		{"dhcp offer and refusal say nothing", []packet.Header{
			ipHeader(start, udp, "10.0.0.1:67", "10.0.0.20:68", dhcpPacket(2, mac(2), [4]byte{}, [4]byte{10, 0, 0, 20}, 53, 1, 2)),
			ipHeader(start, udp, "10.0.0.1:67", "10.0.0.20:68", dhcpPacket(2, mac(2), [4]byte{}, [4]byte{10, 0, 0, 20}, 53, 1, 6))}, nil},
		{"dns answer through a chain in the wrong order", []packet.Header{ipHeader(start, udp, "10.0.0.1:53", "10.0.0.20:4000",
			newDNS(0x8180, 1, 4).question(name, typeA).
				record(dnsName("b", "cdn", "net"), typeA, 60, []byte{9, 9, 9, 9}).
				record(dnsName("A", "cdn", "net"), typeCNAME, 60, dnsName("b", "cdn", "net")).
				record([]byte{0xc0, 12}, typeCNAME, 60, dnsName("a", "cdn", "net")).
				record(dnsName("junk", "net"), typeA, 60, []byte{6, 6, 6, 6}))},
			[]string{"dns.answer 00:01:02:03:04:02 by=" + m1 + " src=10.0.0.1 addr=10.0.0.20 name=dev.example.com addrs=[9.9.9.9]"}},
		{"dns refusal", []packet.Header{ipHeader(start, udp, "10.0.0.1:53", "10.0.0.20:4000", newDNS(0x8183, 1).question(name, typeA))}, nil},
		{"dns over tcp", []packet.Header{func() packet.Header {
			m := newDNS(0x8180, 1, 1).question(name, typeA).record([]byte{0xc0, 12}, typeA, 60, []byte{9, 9, 9, 9})
			return ipHeader(start, packet.ProtoTCP, "10.0.0.1:53", "10.0.0.20:4000", append([]byte{0, byte(len(m))}, m...))
		}()},
			[]string{"dns.answer 00:01:02:03:04:02 by=" + m1 + " src=10.0.0.1 addr=10.0.0.20 name=dev.example.com addrs=[9.9.9.9]"}},
		{"mdns announcement", []packet.Header{ipHeader(start, udp, "10.0.0.7:5353", "224.0.0.251:5353",
			newDNS(0x8400, 0, 3).
				record(dnsName("_http", "_tcp", "local"), typePTR, 60, dnsName("My Pump", "_http", "_tcp", "local")).
				record(dnsName("My Pump", "_http", "_tcp", "local"), typeSRV, 60, append([]byte{0, 0, 0, 0, 0, 80}, dnsName("Pump", "local")...)).
				record(dnsName("Pump", "local"), typeA, 60, []byte{10, 0, 0, 7}))},
			[]string{"mdns.name " + m1 + " src=10.0.0.7 addr=10.0.0.7 name=Pump names=[My Pump._http._tcp]"}},
		{"mdns known answers speak of others", []packet.Header{ipHeader(start, udp, "10.0.0.7:5353", "224.0.0.251:5353",
			newDNS(0, 1, 1).question(dnsName("_http", "_tcp", "local"), typePTR).
				record([]byte{0xc0, 12}, typePTR, 60, dnsName("Other", "_http", "_tcp", "local")))}, nil},
		{"mdns goodbye", []packet.Header{ipHeader(start, udp, "10.0.0.7:5353", "224.0.0.251:5353",
			newDNS(0x8400, 0, 1).record(dnsName("Pump", "local"), typeA, 0, []byte{10, 0, 0, 7}))}, nil},
		{"llmnr answer", []packet.Header{ipHeader(start, udp, "10.0.0.7:5355", "10.0.0.9:5000",
			newDNS(0x8000, 1, 1).question(dnsName("HMI"), typeA).record([]byte{0xc0, 12}, typeA, 30, []byte{10, 0, 0, 7}))},
			[]string{"llmnr.name " + m1 + " src=10.0.0.7 addr=10.0.0.7 name=HMI"}},
		{"netbios registration", []packet.Header{ipHeader(start, udp, "10.0.0.7:137", "10.0.0.255:137",
			newDNS(0x2910, 1, 0, 0, 1).question(nbname, 32).record([]byte{0xc0, 12}, 32, 60, []byte{0, 0, 10, 0, 0, 7}))},
			[]string{"nbns.name " + m1 + " src=10.0.0.7 addr=10.0.0.7 name=PLC-1"}},
		{"dhcpv6 client", []packet.Header{ipHeader(start, udp, "[fe80::1]:546", "[ff02::1:2]:547",
			append([]byte{1, 0, 0, 1, 0, 39, 0, 9, 0}, dnsName("pump-6")...))},
			[]string{"dhcp.ask " + m1 + " src=fe80::1 name=pump-6"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(Config{})
			for _, h := range tt.packets {
				if strings.HasPrefix(tt.name, "arp") {
					h.DstMAC = bcast
				}
				b.packet(h)
			}
			var got []string
			for i := range b.sightings {
				got = append(got, text(&b.sightings[i]))
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s\nstats %+v", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), b.Stats())
			}
		})
	}
}

func TestNeighbourDiscovery(t *testing.T) {
	target := packet.MAC{2, 0, 0, 0, 0, 7}
	advertise := ipHeader(start, packet.ProtoICMPv6, "[fe80::7]:0", "[ff02::1]:0", nil)
	advertise.ICMPType = ndpAdvertise
	a := advertise.Src
	advertise.Payload = append(append(a[:], 2, 1), target[:]...)
	solicit := ipHeader(start, packet.ProtoICMPv6, "[fe80::7]:0", "[ff02::1:ff00:9]:0", nil)
	solicit.ICMPType = ndpSolicit
	other := solicit.Src
	other[15] = 9
	solicit.Payload = append(append(other[:], 1, 1), target[:]...)
	probe := solicit
	probe.Src = [16]byte{}
	b := newBench(Config{})
	for _, h := range []packet.Header{advertise, solicit, probe} {
		h.SrcMAC = target
		b.packet(h)
	}
	var got []string
	for i := range b.sightings {
		got = append(got, text(&b.sightings[i]))
	}
	want := []string{
		"arp.claim 02:00:00:00:00:07 src=fe80::7 addr=fe80::7",
		"arp.request 02:00:00:00:00:07 src=fe80::7 addr=fe80::9",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestRepetition(t *testing.T) {
	b := newBench(Config{})
	at := func(s float64) int64 { return start + int64(s*nsPerSecond) }
	for i := range 700 { // each second
		b.packet(arpHeader(at(float64(i)), 2, mac(1), mac(1), "10.0.0.1", "10.0.0.2"))
	}
	if n := len(b.sightings); n != 3 || b.sightings[0].Count != 0 || b.sightings[1].Count != 300 || b.sightings[2].Count != 300 {
		t.Fatalf("equal claims for 700 s: %d sightings %+v, want 3, the later ones for 300 each", n, b.sightings)
	}
	// A conflict: written at once when the address changes hands, then every 10 s.
	b.sightings = nil
	for i := range 60 {
		b.packet(arpHeader(at(700+float64(i)), 2, mac(2), mac(2), "10.0.0.1", "10.0.0.2"))
		b.packet(arpHeader(at(700.5+float64(i)), 2, mac(1), mac(1), "10.0.0.1", "10.0.0.2"))
	}
	if s := b.sightings[0]; s.Time != at(700) || s.MAC != mac(2) {
		t.Errorf("first of the conflict: %+v", s)
	}
	if s := b.sightings[1]; s.Time != at(700.5) || s.MAC != mac(1) {
		t.Errorf("second of the conflict: %+v", s)
	}
	if n := len(b.sightings); n < 11 || n > 13 {
		t.Errorf("60 s of conflict: %d sightings, want about 12", n)
	}
}

func TestARPSweepIsBounded(t *testing.T) {
	b := newBench(Config{})
	for i := range 1000 {
		h := arpHeader(start+int64(i)*1e6, 1, mac(1), mac(1), "10.0.0.1", "10.0.0.1")
		h.Payload[26], h.Payload[27] = byte(i>>8), byte(i)
		b.packet(h)
	}
	requests := 0
	for _, s := range b.sightings {
		if s.Kind == ARPRequest {
			requests++
		}
	}
	if st := b.Stats(); requests != 64 || st.Suppressed < 900 || st.Sightings != uint64(len(b.sightings)) {
		t.Errorf("%d requests, stats %+v, %d sightings", requests, st, len(b.sightings))
	}
}

func TestTotalRateIsBounded(t *testing.T) {
	b := newBench(Config{Rate: 50})
	for i := range 4000 { // a flood of made-up MACs within two seconds
		m := packet.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}
		b.packet(arpHeader(start+int64(i)*5e5, 2, m, m, "10.0.0.1", "10.0.0.2"))
	}
	if st := b.Stats(); len(b.sightings) != 100 || st.Suppressed != 3900 {
		t.Errorf("%d sightings, stats %+v", len(b.sightings), st)
	}
}

func TestRelay(t *testing.T) {
	victim, attacker, peer := mac(1), mac(66), mac(2)
	hop := func(at int64, from, to packet.MAC, src, dst string, id uint16) packet.Header {
		h := ipHeader(at, packet.ProtoTCP, src, dst, nil)
		h.SrcMAC, h.DstMAC, h.IPID = from, to, uint32(id)
		return h
	}
	const a, z, far = "10.0.0.1:1000", "10.0.0.2:502", "10.0.9.2:502"
	tests := []struct {
		name string
		hops []packet.Header
		want int
	}{
		{"passed on", []packet.Header{hop(start, victim, attacker, a, z, 7), hop(start+1e6, attacker, peer, a, z, 7)}, 1},
		{"too late", []packet.Header{hop(start, victim, attacker, a, z, 7), hop(start+3e9, attacker, peer, a, z, 7)}, 0},
		{"another packet", []packet.Header{hop(start, victim, attacker, a, z, 7), hop(start+1e6, attacker, peer, a, z, 8)}, 0},
		{"seen twice by the mirror", []packet.Header{hop(start, victim, peer, a, z, 7), hop(start+1e3, victim, peer, a, z, 7)}, 0},
		{"a router between subnets", []packet.Header{hop(start, victim, attacker, a, far, 7), hop(start+1e6, attacker, peer, a, far, 7)}, 0},
		{"back to the sender", []packet.Header{hop(start, victim, attacker, a, z, 7), hop(start+1e6, attacker, victim, a, z, 7)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(Config{})
			for _, h := range tt.hops {
				b.packet(h)
			}
			if len(b.sightings) != tt.want {
				t.Fatalf("%d sightings, want %d", len(b.sightings), tt.want)
			}
			if tt.want > 0 {
				if got, want := text(&b.sightings[0]), "relay "+victim.String()+" by="+attacker.String()+" src=10.0.0.1 addr=10.0.0.2"; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

func TestQuestions(t *testing.T) {
	b := newBench(Config{})
	ask := func(labels ...string) {
		b.packet(ipHeader(start, packet.ProtoUDP, "10.0.0.20:4000", "10.0.0.1:53", newDNS(0x0100, 1).question(dnsName(labels...), typeA)))
	}
	ask("Time", "Example", "COM")
	ask("time", "example", "com")
	ask("bad\x00\nname\xff", "x.y")
	b.table.Flush()
	want := []string{"time.example.com", `bad\000\010name\255.x\.y`}
	if got := b.flows[0].Questions; !reflect.DeepEqual(got, want) {
		t.Errorf("questions %q, want %q", got, want)
	}
}

func TestService(t *testing.T) {
	for port, want := range map[uint16]string{22: "ssh", 443: "https", 502: "modbus", 20000: "dnp3", 102: "s7comm", 2404: "iec104", 4840: "opcua", 44818: "enip", 1883: "mqtt", 8883: "mqtts", 1: ""} {
		if got := ServiceByPort(packet.ProtoTCP, port); got != want {
			t.Errorf("tcp %d: %q, want %q", port, got, want)
		}
	}
	for port, want := range map[uint16]string{443: "quic", 47808: "bacnet", 34964: "profinet-cm", 53: "dns", 22: ""} {
		if got := ServiceByPort(packet.ProtoUDP, port); got != want {
			t.Errorf("udp %d: %q, want %q", port, got, want)
		}
	}
	if got := ServiceByPort(packet.ProtoICMP, 53); got != "" {
		t.Errorf("icmp has no ports, got %q", got)
	}
	for port, all := range services {
		var on uint8
		for _, s := range all {
			if s.name == "" || s.on == 0 || s.on&on != 0 || s.name != strings.ToLower(s.name) {
				t.Errorf("port %d: %+v", port, all)
			}
			on |= s.on
		}
	}
}

func TestNothingIsAllocatedForWhatIsKnown(t *testing.T) {
	name := dnsName("dev", "example", "com")
	quiet := map[string]packet.Header{
		"tcp":    ipHeader(start, packet.ProtoTCP, "10.0.0.1:1000", "10.0.0.2:80", []byte("GET / HTTP/1.1\r\n")),
		"arp":    arpHeader(start, 1, mac(1), mac(1), "10.0.0.1", "10.0.0.2"),
		"dns":    ipHeader(start, packet.ProtoUDP, "10.0.0.1:53", "10.0.0.20:4000", newDNS(0x8180, 1, 1).question(name, typeA).record([]byte{0xc0, 12}, typeA, 60, []byte{9, 9, 9, 9})),
		"asked":  ipHeader(start, packet.ProtoUDP, "10.0.0.20:4000", "10.0.0.1:53", newDNS(0x0100, 1).question(name, typeA)),
		"modbus": ipHeader(start, packet.ProtoTCP, "10.0.0.1:1000", "10.0.0.2:502", modbusADU(1, 1, 3, 0, 0, 0, 1)),
		"dnp3":   ipHeader(start, packet.ProtoTCP, "10.0.0.1:1000", "10.0.0.2:20000", dnp3Frame(4, 3, 0xc4, 0xc0, 0xc0, 1)),
		"dhcp":   ipHeader(start, packet.ProtoUDP, "0.0.0.0:68", "255.255.255.255:67", dhcpPacket(1, mac(1), [4]byte{}, [4]byte{}, 53, 1, 3, 12, 2, 'p', '1', 55, 2, 1, 3)),
	}
	for name, h := range quiet {
		b := newBench(Config{})
		slot := b.table.Add(&h, 0)
		b.Packet(&h, "", b.table, slot)
		if n := testing.AllocsPerRun(100, func() { b.Packet(&h, "", b.table, slot) }); n != 0 {
			t.Errorf("%s: %v allocations for a packet like one before", name, n)
		}
	}
}
