package app

import (
	"testing"

	"github.com/monban/monban/internal/packet"
)

func benchmark(b *testing.B, h packet.Header) {
	x := newBench(Config{})
	slot := x.table.Add(&h, 0)
	b.ReportAllocs()
	for b.Loop() {
		h.IPID++
		x.Packet(&h, "", x.table, slot)
	}
}

func BenchmarkPacket(b *testing.B) {
	payload := make([]byte, 1400)
	copy(payload, "\x17\x03\x03\x05\x73abcdefgh")
	name := dnsName("dev", "example", "com")
	for _, c := range []struct {
		name string
		h    packet.Header
	}{
		{"tcp", ipHeader(0, packet.ProtoTCP, "10.0.0.1:1000", "93.184.216.34:443", payload)},
		{"tcp-same-subnet", ipHeader(0, packet.ProtoTCP, "10.0.0.1:1000", "10.0.0.2:443", payload)},
		{"udp", ipHeader(0, packet.ProtoUDP, "10.0.0.1:1000", "93.184.216.34:443", payload)},
		{"dns-question", ipHeader(0, packet.ProtoUDP, "10.0.0.20:4000", "10.0.1.1:53", newDNS(0x0100, 1).question(name, typeA))},
		{"dns-answer", ipHeader(0, packet.ProtoUDP, "10.0.1.1:53", "10.0.0.20:4000", newDNS(0x8180, 1, 1).question(name, typeA).record([]byte{0xc0, 12}, typeA, 60, []byte{9, 9, 9, 9}))},
		{"modbus", ipHeader(0, packet.ProtoTCP, "10.0.0.1:1000", "10.0.1.2:502", modbusADU(1, 1, 3, 0, 0, 0, 1))},
		{"dnp3", ipHeader(0, packet.ProtoTCP, "10.0.0.1:1000", "10.0.1.2:20000", dnp3Frame(4, 3, 0xc4, 0xc0, 0xc0, 1))},
		{"arp", arpHeader(0, 1, mac(1), mac(1), "10.0.0.1", "10.0.0.2")},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.h) })
	}
}
