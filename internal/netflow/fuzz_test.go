package netflow

import (
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// evil are datagrams that were made to hurt.
func evil() map[string][]byte {
	many := u16(300, 65535)
	for range 16000 {
		many = append(many, u16(1, 4)...)
	}
	endless := u16(301, 2, 0) // options with no fields
	return map[string][]byte{
		"nothing":                    {},
		"only a version":             u16(10),
		"length beyond the end":      join(u16(10, 60000), u32(exported, 1, 0)),
		"length before the header":   join(u16(10, 3), u32(exported, 1, 0)),
		"set beyond the end":         ipfixMessage(1, 0, join(u16(2, 400), flowTemplate(256))),
		"set of length 0":            ipfixMessage(1, 0, u16(2, 0, 0, 0)),
		"set of length 3":            v9Message(1, 1, 0, u16(256, 3, 0, 0)),
		"fields of length 0":         ipfixMessage(1, 0, set(2, u16(256, 3, 8, 0, 12, 0, 1, 0)), set(256, make([]byte, 100))),
		"no fields":                  v9Message(1, 1, 0, set(0, u16(256, 0)), set(256, make([]byte, 100))),
		"fields beyond the set":      ipfixMessage(1, 0, set(2, u16(256, 65535, 8, 4))),
		"65,535 fields":              ipfixMessage(1, 0, set(2, many)),
		"variable lengths only":      ipfixMessage(1, 0, set(2, u16(256, 2, 82, variable, 83, variable)), set(256, []byte{0, 0, 255, 255, 255, 1})),
		"a variable length of 255":   ipfixMessage(1, 0, set(2, u16(256, 1, 82, variable)), set(256, []byte{255})),
		"variable in v9":             v9Message(1, 1, 0, set(0, u16(256, 1, 82, variable)), set(256, make([]byte, 10))),
		"an enterprise's field":      ipfixMessage(1, 0, set(2, join(u16(256, 2, 0x8000|1, 8), u32(9), u16(8, 4))), set(256, make([]byte, 24))),
		"enterprise cut off":         ipfixMessage(1, 0, set(2, u16(256, 1, 0x8000|1, 8))),
		"withdrawal":                 ipfixMessage(1, 0, set(2, flowTemplate(256)), set(2, u16(256, 0)), set(256, requestData)),
		"withdrawal of all":          ipfixMessage(1, 0, set(2, flowTemplate(256)), set(2, u16(2, 0)), set(256, requestData)),
		"options that never end":     v9Message(1, 1, 0, set(1, endless, endless, endless), set(301, make([]byte, 1000))),
		"options of odd length":      v9Message(1, 1, 0, set(1, u16(301, 3, 5, 1, 4, 34, 4))),
		"more scopes than fields":    ipfixMessage(1, 0, set(3, u16(301, 1, 2, 149, 4))),
		"a record of 65,535 octets":  ipfixMessage(1, 0, set(2, u16(256, 2, 1, 65534, 2, 65534)), set(256, make([]byte, 1000))),
		"numbers too long":           ipfixMessage(1, 0, set(2, u16(256, 4, 8, 16, 12, 1, 1, 40, 7, 0)), set(256, make([]byte, 100))),
		"v5 with too few":            join(u16(5, 30), make([]byte, 20+48)),
		"v5 with too many":           join(u16(5, 65535), make([]byte, 20+48*30)),
		"octets below zero":          counting(^uint64(0), 1, 1),
		"octets and packets of 2^63": counting(1<<63, 1<<63, 1),
		"a product of 2^64":          counting(1<<40, 1<<40, 1<<31),
		"sFlow with 4 G samples":     join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 0xffffffff)),
		"sFlow with 4 G records":     join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 1, 3, 44, 1, 0, 1, 10, 0, 0, 0, 1, 0, 2, 0xffffffff)),
		"sFlow sample of 4 G":        join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 1, 1, 0xfffffffd), make([]byte, 60)),
		"sFlow header of 4 G":        join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 1, 1, 56, 1, 0, 10, 0, 0, 1, 2, 1, 1, 24, 1, 100, 4, 0xffffffff, 0, 0)),
	}
}

// counting is a record of so many octets and packets, with a sampling interval.
func counting(octets, packets uint64, sampling uint32) []byte {
	return ipfixMessage(1, 0, set(2, u16(256, 8, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 8, 2, 8, 34, 4)),
		set(256, ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 443), []byte{6}, u64(octets), u64(packets), u32(sampling)))
}

// TestImplausibleCounts holds that what no line can send is in no record, whatever made
// it so great, and that the greatest count that is believed is told as it is.
func TestImplausibleCounts(t *testing.T) {
	const most = maxCount
	for _, x := range []struct {
		name            string
		octets, packets uint64
		sampling        uint32
		want            bool
	}{
		{"the most", most, most, 1, true},
		{"one more octet", most + 1, 1, 0, false},
		{"one more packet", 1, most + 1, 0, false},
		{"octets below zero", 1<<64 - 1, 1, 0, false},
		{"2^63 of both", 1 << 63, 1 << 63, 0, false},
		{"sampled, the most", most >> 20, 1, 1 << 20, true},
		{"sampled, one more", most>>20 + 1, 1, 1 << 20, false},
		{"sampled, 2^71 of both", 1 << 40, 1 << 40, 1 << 31, false},
		{"sampled, wraps to a little", 1<<33 + 1, 1, 1 << 31, false},
		{"one packet of 2^32-1", 1500, 1, 1<<32 - 1, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCollected(func(c *Config) { c.PairWait = 0 })
			c.add(counting(x.octets, x.packets, x.sampling))
			if !x.want {
				if len(c.records) != 0 || c.Stats().Told[IPFIX] != 1 {
					t.Errorf("%+v", c.records)
				}
				c.dropped(t, map[Reason]uint64{Implausible: 1})
				return
			}
			by := uint64(max(x.sampling, 1))
			if r := c.only(t); r.Src.Bytes != x.octets*by || r.Src.Packets != x.packets*by {
				t.Errorf("%+v", r)
			}
			c.dropped(t, nil)
		})
	}
	t.Run("the other direction", func(t *testing.T) {
		c := newCollected(nil)
		c.add(ipfixMessage(0, 0, set(2, u16(256, 7, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 231, 8, 232, 8)),
			set(256, ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 443), []byte{6}, u64(1), u64(most+1))))
		c.Flush()
		if len(c.records) != 0 {
			t.Errorf("%+v", c.records)
		}
		c.dropped(t, map[Reason]uint64{Implausible: 1})
	})
	t.Run("samples that add up", func(t *testing.T) { // each 2^20 octets for 2^32-1 packets
		c := newCollected(nil)
		for n := range uint32(5) {
			c.add(sflowDatagram(n, join(u32(flowSample, 72), u32(1, 7, 1<<32-1, 1000, 0, 3, 4, 1, sampledIPv4, 32, 1<<20, 17), ip("10.0.0.5"), ip("10.0.0.1"), u32(40000, 53, 0, 0))))
		}
		c.Flush()
		if r := c.only(t); r.Src.Packets != 2*(1<<32-1) || r.Src.Bytes != r.Src.Packets<<20 {
			t.Errorf("%+v", r)
		}
		c.dropped(t, map[Reason]uint64{Implausible: 3})
	})
}

// TestEvil gives every evil datagram to a collector, twice, and counts that each is
// accounted for in time.
func TestEvil(t *testing.T) {
	for name, b := range evil() {
		t.Run(name, func(t *testing.T) {
			c := newCollected(nil)
			begun := time.Now()
			c.add(b)
			c.add(b)
			c.wait(time.Hour)
			c.Flush()
			if took := time.Since(begun); took > 100*time.Millisecond {
				t.Errorf("took %v", took)
			}
			s := c.Stats()
			sum := uint64(len(c.records)) + uint64(s.Templates) + s.Told[IPFIX] + s.Told[V5]
			for _, n := range s.Dropped {
				sum += n
			}
			if sum == 0 {
				t.Errorf("left no trace: %+v", s)
			}
		})
	}
}

// payloads are the UDP payloads of a capture.
func payloads(t testing.TB, file string) (all [][]byte) {
	t.Helper()
	src, err := packet.OpenFiles(file)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var d packet.Decoder
	var h packet.Header
	frames := make([]packet.Frame, 16)
	for {
		n, err := src.NextBatch(frames)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range frames[:n] {
			if d.Decode(&frames[i], &h) == packet.OK && h.Proto == packet.ProtoUDP && h.FragOff == 0 {
				all = append(all, append([]byte(nil), h.Payload...))
			}
		}
	}
}

// sane holds what is true of every record, whatever came.
func sane(t *testing.T, r *flow.Record) {
	if r.End < r.Start || r.Since < r.Start || r.Src.Packets|r.Src.Bytes|r.Src.Frames|r.Dst.Packets|r.Dst.Bytes|r.Dst.Frames == 0 {
		t.Errorf("record %+v", r)
	}
	for _, n := range []uint64{r.Src.Packets, r.Src.Bytes, r.Dst.Packets, r.Dst.Bytes} {
		if n > maxCount {
			t.Errorf("counts of %+v", r)
		}
	}
	for _, n := range []uint64{r.Src.Frames, r.Dst.Frames} { // which may be made of the others
		if int64(n) < 0 || n > 15*maxCount {
			t.Errorf("counts of %+v", r)
		}
	}
	if r.IsIP() != r.Src.Addr.IsValid() || r.IsIP() != r.Dst.Addr.IsValid() {
		t.Errorf("addresses of %+v", r)
	}
}

// FuzzDatagram gives a collector two datagrams, so that a template and its data are
// found together, and holds that what it writes is sane and that bounds hold.
func FuzzDatagram(f *testing.F) {
	for _, b := range evil() {
		if len(b) < 4096 { // a mutation of the longest is hardly another
			f.Add(b, b)
		}
	}
	f.Add(ipfixMessage(1, 0, set(2, flowTemplate(256))), ipfixMessage(1, 0, set(256, requestData, answerData)))
	f.Add(v9Message(1, 1, 0, set(0, flowTemplate(256)), set(1, u16(300, 4, 8, 1, 4, 48, 2, 50, 2))), v9Message(2, 2, 0, set(300, make([]byte, 8)), set(256, requestData)))
	ethernet, _ := hex.DecodeString("0200000000010200000000020800450000280001000040060000c0000201c0000202" + "9c4001bb000000000000000050020000000000000000")
	f.Add(sflowDatagram(1, sflowSample(100, 3, 4, 1, 64, ethernet)), sflowDatagram(2, sflowSample(100, 3, 4, 1, 64, ethernet)))
	testbed.Seeds(func(path string, _ []byte) {
		for _, b := range payloads(f, path) {
			f.Add(capturedTemplates(b), b)
		}
	}, captured...)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		cfg := NewDefaultConfig()
		cfg.MaxTemplates, cfg.MaxWaiting = 16, 64
		c := New(cfg, func(_ *Source, r *flow.Record) { sane(t, r) })
		from := netip.MustParseAddr("192.0.2.1")
		now := int64(exported) * 1e9
		begun := time.Now()
		for i, d := range [][]byte{a, b, a, b} {
			c.Add(from, d, now+int64(i)*1e9)
			if s := c.Stats(); s.Templates > 16 || s.Waiting > 128 || s.Templates < 0 {
				t.Fatalf("bounds: %+v", s)
			}
		}
		kept, err := c.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		again := New(cfg, func(*Source, *flow.Record) {})
		if err := again.Restore(kept, now); err != nil {
			t.Fatal(err)
		}
		if x, y := c.Stats().Templates, again.Stats().Templates; x != y {
			t.Errorf("%d templates after a restart, %d before", y, x)
		}
		c.Tick(now + 1e12)
		c.Flush()
		if s := c.Stats(); s.Waiting != 0 || c.unresolved.bytes != 0 {
			t.Errorf("left over: %+v", s)
		}
		if took := time.Since(begun); took > 10*time.Second { // wall clock, on machines that do much else
			t.Errorf("took %v", took)
		}
	})
}

// TestCapturedV9 reads a capture of NetFlow v9 of a router, which was begun after the
// templates had gone by: all 23 sets are counted.
func TestCapturedV9(t *testing.T) {
	c := newCollected(func(c *Config) { c.PairWait = 0; c.MaxClockSkew = 0 })
	for _, b := range payloads(t, filepath.Join(testbed.Data(t), "ndpi", "pcap", "netflowv9.pcap")) {
		c.add(b)
	}
	c.Flush()
	if s := c.Stats(); s.Datagrams[V9] != 10 || s.Lost != 0 || len(c.records) != 0 {
		t.Errorf("%d records; %+v", len(c.records), s)
	}
	c.dropped(t, map[Reason]uint64{NoTemplate: 23}) // it has none

	// With templates as its data look the two kinds of IPv4 flows are read to the last octet.
	c = newCollected(func(c *Config) { c.PairWait = 0; c.MaxClockSkew = 0 })
	for _, b := range payloads(t, testbed.Data(t, captured...)) {
		c.add(capturedTemplates(b))
		c.add(b)
	}
	c.Flush()
	for _, r := range c.records {
		sane(t, &r)
		packets, bytes := r.Src.Packets+r.Dst.Packets, r.Src.Bytes+r.Dst.Bytes
		if r.Proto != packet.ProtoTCP && r.Proto != packet.ProtoUDP || bytes < 28*packets || bytes > 1500*packets || r.Reason != flow.Idle && r.Reason != flow.Active && r.Reason != flow.Ended {
			t.Errorf("%+v", r)
		}
	}
	if len(c.records) != 145 {
		t.Errorf("%d records", len(c.records))
	}
	c.dropped(t, map[Reason]uint64{NoTemplate: 7})
}

var captured = []string{"ndpi", "pcap", "netflowv9.pcap"}

// capturedTemplates are for the IPv4 flows of that capture, told as the same exporter does.
func capturedTemplates(b []byte) []byte {
	if len(b) < v9Header {
		return nil
	}
	like := func(id, rest uint16) []byte {
		return u16(id, 14, 210, 2, 60, 1, 22, 4, 21, 4, 1, 8, 2, 8, 4, 1, 8, 4, 12, 4, 7, 2, 11, 2, 6, 1, 5, 1, 210, rest)
	}
	m := v9Message(0, 0, 0, set(0, like(258, 38), like(259, 39)))
	copy(m[4:], b[4:v9Header]) // its times, number and source
	return m
}
