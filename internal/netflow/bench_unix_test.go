//go:build unix

package netflow

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"

	"github.com/monban/monban/internal/flow"
)

// load is a datagram of both directions of some flows, with its template before it.
type load struct {
	name     string
	template []byte
	data     []byte
	seq      int // where the sequence number is
	records  int
}

// loads have records as softflowd writes them: 13 to 16 fields, 24 to 30 records.
func loads() []load {
	v9Fields := u16(256, 15, 8, 4, 12, 4, 22, 4, 21, 4, 1, 4, 2, 4, 10, 4, 14, 4, 61, 1, 7, 2, 11, 2, 4, 1, 6, 1, 60, 1, 5, 1)
	var five, nine []byte
	const n = 24
	for i := range uint16(n) {
		a, b, sp, dp := ip("10.0.0.5"), ip("10.0.0.1"), 40000+i/2, uint16(443)
		if i%2 == 1 {
			a, b, sp, dp = b, a, dp, sp
		}
		five = append(five, join(a, b, ip("0.0.0.0"), u16(1, 2), u32(10, 1000, 90_000, 95_000), u16(sp, dp), []byte{0, 0x1b, 6, 0}, u16(0, 0, 0, 0))...)
		nine = append(nine, join(a, b, u32(90_000, 95_000, 1000, 10, 1, 2), []byte{0}, u16(sp, dp), []byte{6, 0x1b, 4, 0})...)
	}
	return []load{
		{"v5", join(u16(5, 0), u32(100_000, exported, 0, 0), u16(0, 0)), join(u16(5, n), u32(100_000, exported, 0, 0), u16(0, 0), five), 16, n},
		{"v9", v9Message(100_000, 0, 0, set(0, v9Fields)), v9Message(100_000, 1, 0, set(256, nine)), 12, n},
		{"ipfix", ipfixMessage(0, 0, set(2, v9Fields)), ipfixMessage(0, 0, set(256, nine)), 8, n},
	}
}

// perRecord starts to measure the processor time of each record, which on a machine that
// does much else says more than the time that passes.
func perRecord(b *testing.B, n int) (done func()) {
	begun := processorTime(b)
	return func() { b.ReportMetric(float64(processorTime(b)-begun)/float64(b.N*n), "cpu-ns/record") }
}

func processorTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkCollector is the whole way from datagrams to flow records: decoding,
// pairing, and the Community ID or not.
func BenchmarkCollector(b *testing.B) {
	for _, l := range loads() {
		for _, community := range []bool{false, true} {
			name := l.name
			if community {
				name += " with Community ID"
			}
			b.Run(name, func(b *testing.B) {
				cfg := NewDefaultConfig()
				cfg.CommunityID = community
				records := 0
				c := New(cfg, func(*Source, *flow.Record) { records++ })
				from := netip.MustParseAddr("192.0.2.1")
				c.Add(from, l.template, exported*1e9)
				d := bytes.Clone(l.data)
				b.ReportAllocs()
				done := perRecord(b, l.records)
				for i := 0; b.Loop(); i++ {
					binary.BigEndian.PutUint32(d[l.seq:], uint32(i))
					c.Add(from, d, exported*1e9)
				}
				if records != b.N*l.records/2 {
					b.Fatalf("%d records of %d datagrams; %+v", records, b.N, c.Stats())
				}
				done()
			})
		}
	}
}

// BenchmarkGoflow2 is the peer's decoding alone, without making flow records.
func BenchmarkGoflow2(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.name, func(b *testing.B) {
			templates := netflow.CreateTemplateSystem()
			var five netflowlegacy.PacketNetFlowV5
			var nine netflow.NFv9Packet
			var ten netflow.IPFIXPacket
			decode := func(d []byte) error {
				if d[1] == 5 {
					return netflowlegacy.DecodeMessageVersion(bytes.NewBuffer(d), &five)
				}
				return netflow.DecodeMessageVersion(bytes.NewBuffer(d), templates, &nine, &ten)
			}
			if err := decode(l.template); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			done := perRecord(b, l.records)
			for b.Loop() {
				if err := decode(l.data); err != nil {
					b.Fatal(err)
				}
			}
			done()
		})
	}
}

// BenchmarkSFlow is one sampled packet a datagram of several.
func BenchmarkSFlow(b *testing.B) {
	one := sflowSample(100, 3, 4, 1, 222, ethernetUDP(false, 40000, 53, 200))
	d := sflowDatagram(0, one, one, one, one, one, one, one)
	c := New(NewDefaultConfig(), func(*Source, *flow.Record) {})
	from := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	done := perRecord(b, 7)
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint32(d[16:], uint32(i))
		c.Add(from, d, exported*1e9+int64(i)*1e3)
	}
	done()
}
