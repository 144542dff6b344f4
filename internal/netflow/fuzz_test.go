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
		"nothing":                   {},
		"only a version":            u16(10),
		"length beyond the end":     join(u16(10, 60000), u32(exported, 1, 0)),
		"length before the header":  join(u16(10, 3), u32(exported, 1, 0)),
		"set beyond the end":        ipfixMessage(1, 0, join(u16(2, 400), flowTemplate(256))),
		"set of length 0":           ipfixMessage(1, 0, u16(2, 0, 0, 0)),
		"set of length 3":           v9Message(1, 1, 0, u16(256, 3, 0, 0)),
		"fields of length 0":        ipfixMessage(1, 0, set(2, u16(256, 3, 8, 0, 12, 0, 1, 0)), set(256, make([]byte, 100))),
		"no fields":                 v9Message(1, 1, 0, set(0, u16(256, 0)), set(256, make([]byte, 100))),
		"fields beyond the set":     ipfixMessage(1, 0, set(2, u16(256, 65535, 8, 4))),
		"65,535 fields":             ipfixMessage(1, 0, set(2, many)),
		"variable lengths only":     ipfixMessage(1, 0, set(2, u16(256, 2, 82, variable, 83, variable)), set(256, []byte{0, 0, 255, 255, 255, 1})),
		"a variable length of 255":  ipfixMessage(1, 0, set(2, u16(256, 1, 82, variable)), set(256, []byte{255})),
		"variable in v9":            v9Message(1, 1, 0, set(0, u16(256, 1, 82, variable)), set(256, make([]byte, 10))),
		"an enterprise's field":     ipfixMessage(1, 0, set(2, join(u16(256, 2, 0x8000|1, 8), u32(9), u16(8, 4))), set(256, make([]byte, 24))),
		"enterprise cut off":        ipfixMessage(1, 0, set(2, u16(256, 1, 0x8000|1, 8))),
		"withdrawal":                ipfixMessage(1, 0, set(2, flowTemplate(256)), set(2, u16(256, 0)), set(256, requestData)),
		"withdrawal of all":         ipfixMessage(1, 0, set(2, flowTemplate(256)), set(2, u16(2, 0)), set(256, requestData)),
		"options that never end":    v9Message(1, 1, 0, set(1, endless, endless, endless), set(301, make([]byte, 1000))),
		"options of odd length":     v9Message(1, 1, 0, set(1, u16(301, 3, 5, 1, 4, 34, 4))),
		"more scopes than fields":   ipfixMessage(1, 0, set(3, u16(301, 1, 2, 149, 4))),
		"a record of 65,535 octets": ipfixMessage(1, 0, set(2, u16(256, 2, 1, 65534, 2, 65534)), set(256, make([]byte, 1000))),
		"numbers too long":          ipfixMessage(1, 0, set(2, u16(256, 4, 8, 16, 12, 1, 1, 40, 7, 0)), set(256, make([]byte, 100))),
		"v5 with too few":           join(u16(5, 30), make([]byte, 20+48)),
		"v5 with too many":          join(u16(5, 65535), make([]byte, 20+48*30)),
		"sFlow with 4 G samples":    join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 0xffffffff)),
		"sFlow with 4 G records":    join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 1, 3, 44, 1, 0, 1, 10, 0, 0, 0, 1, 0, 2, 0xffffffff)),
		"sFlow sample of 4 G":       join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 1, 1, 0xfffffffd), make([]byte, 60)),
		"sFlow header of 4 G":       join(u32(5, 1), ip("192.0.2.9"), u32(0, 1, 1, 1, 1, 56, 1, 0, 10, 0, 0, 1, 2, 1, 1, 24, 1, 100, 4, 0xffffffff, 0, 0)),
	}
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
	f.Fuzz(func(t *testing.T, a, b []byte) {
		cfg := NewDefaultConfig()
		cfg.MaxTemplates, cfg.MaxWaiting = 16, 64
		c := New(cfg, func(_ *Source, r *flow.Record) {
			if r.End < r.Start || r.Since < r.Start || r.Src.Packets|r.Src.Bytes|r.Src.Frames|r.Dst.Packets|r.Dst.Bytes|r.Dst.Frames == 0 {
				t.Errorf("record %+v", r)
			}
			if r.IsIP() != r.Src.Addr.IsValid() || r.IsIP() != r.Dst.Addr.IsValid() {
				t.Errorf("addresses of %+v", r)
			}
		})
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
}
