package netflow

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
)

// The helpers below build datagrams as exporters do.

func u16(v ...uint16) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func u32(v ...uint32) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

func u64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func set(id uint16, body ...[]byte) []byte {
	b := join(body...)
	return join(u16(id, uint16(len(b)+4)), b)
}

const exported = 1_700_000_000 // the exporters' time, Unix seconds

func ipfixMessage(seq, domain uint32, sets ...[]byte) []byte {
	b := join(sets...)
	return join(u16(10, uint16(len(b)+16)), u32(exported, seq, domain), b)
}

func v9Message(uptime, seq, source uint32, sets ...[]byte) []byte {
	return join(u16(9, uint16(len(sets))), u32(uptime, exported, seq, source), join(sets...))
}

// flowTemplate is a usual one, and flowData a record of it.
func flowTemplate(id uint16) []byte {
	return u16(id, 10, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 1, 8, 2, 8, 152, 8, 153, 8)
}

func flowData(src, dst string, sport, dport uint16, proto, flags uint8, packets, bytes uint64, start, end int64) []byte {
	return join(ip(src), ip(dst), u16(sport, dport), []byte{proto, flags}, u64(bytes), u64(packets), u64(uint64(start)), u64(uint64(end)))
}

const startMs, endMs = exported*1000 - 5000, exported*1000 - 1000

var (
	requestData = flowData("10.0.0.5", "10.0.0.1", 40000, 443, 6, 0x1b, 10, 1000, startMs, endMs)
	answerData  = flowData("10.0.0.1", "10.0.0.5", 443, 40000, 6, 0x1b, 8, 9000, startMs+1, endMs)
)

// collected is a collector with what it wrote.
type collected struct {
	*Collector
	records []flow.Record
	sources []Source
	now     int64
}

func newCollected(change func(*Config)) *collected {
	cfg := NewDefaultConfig()
	if change != nil {
		change(&cfg)
	}
	c := &collected{now: exported * 1e9}
	c.Collector = New(cfg, func(s *Source, r *flow.Record) {
		c.records = append(c.records, *r)
		c.sources = append(c.sources, *s)
	})
	return c
}

var router = netip.MustParseAddr("192.0.2.1")

func (c *collected) add(b []byte) { c.Add(router, b, c.now) }

func (c *collected) wait(d time.Duration) {
	c.now += int64(d)
	c.Tick(c.now)
}

// only gives the record, of which there must be one.
func (c *collected) only(t *testing.T) flow.Record {
	t.Helper()
	if len(c.records) != 1 {
		t.Fatalf("%d records, want one; %+v", len(c.records), c.Stats())
	}
	return c.records[0]
}

func (c *collected) dropped(t *testing.T, want map[Reason]uint64) {
	t.Helper()
	for _, r := range Reasons() {
		if got := c.Stats().Dropped[r]; got != want[r] {
			t.Errorf("dropped %d as %s, want %d", got, r, want[r])
		}
	}
}
