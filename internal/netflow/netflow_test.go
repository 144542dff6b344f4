package netflow

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

func TestTwoDirectionsBecomeOneRecord(t *testing.T) {
	for _, name := range []string{"request first", "answer first"} {
		t.Run(name, func(t *testing.T) {
			first, second := requestData, answerData
			if name == "answer first" {
				first, second = second, first
			}
			c := newCollected(nil)
			c.add(ipfixMessage(0, 7, set(2, flowTemplate(256)), set(256, first)))
			c.wait(9 * time.Second)
			c.add(ipfixMessage(1, 7, set(256, second)))
			r := c.only(t)
			want := flow.Record{
				Start: startMs * 1e6, Since: startMs * 1e6, End: endMs * 1e6, Net: packet.NetIPv4, Proto: 6, Reason: flow.Ended, State: "SF",
				Src:       flow.End{Addr: netip.MustParseAddr("10.0.0.5"), Port: 40000, Packets: 10, Bytes: 1000, Frames: 1140, Flags: 0x1b},
				Dst:       flow.End{Addr: netip.MustParseAddr("10.0.0.1"), Port: 443, Packets: 8, Bytes: 9000, Frames: 9112, Flags: 0x1b},
				Community: r.Community,
			}
			if fmt.Sprintf("%+v", r) != fmt.Sprintf("%+v", want) {
				t.Errorf("got  %+v\nwant %+v", r, want)
			}
			if r.Community != flow.CommunityID(&r) || r.Community == "" {
				t.Errorf("community id %q", r.Community)
			}
			if s := c.Stats(); s.Paired != 1 || s.Waiting != 0 || s.Lost != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestOneDirectionWaitsAndGoes(t *testing.T) {
	c := newCollected(nil)
	c.add(ipfixMessage(0, 0, set(2, flowTemplate(256)), set(256, answerData)))
	c.wait(9 * time.Second)
	if len(c.records) != 0 {
		t.Fatal("written too early")
	}
	c.wait(time.Second)
	r := c.only(t)
	// The answer is known by its port; what the initiator sent nobody tells, so the state is open.
	if r.Src.Port != 40000 || r.Dst.Bytes != 9000 || r.Src.Packets != 0 || !r.Guessed || r.State != "OTH" {
		t.Errorf("%+v", r)
	}
	c.add(ipfixMessage(1, 0, set(256, flowData("10.0.0.5", "224.0.0.251", 5353, 5353, 17, 0, 3, 300, startMs, endMs))))
	if len(c.records) != 2 {
		t.Error("multicast waited for an answer")
	}
	// With the same direction twice, the first is not held up.
	c.add(ipfixMessage(2, 0, set(256, requestData)))
	c.now++
	c.add(ipfixMessage(3, 0, set(256, requestData)))
	if len(c.records) != 3 {
		t.Errorf("%d records", len(c.records))
	}
}

func TestPairTableIsBounded(t *testing.T) {
	c := newCollected(func(c *Config) { c.MaxWaiting = 16 })
	c.add(ipfixMessage(0, 0, set(2, flowTemplate(256))))
	for i := range uint16(100) {
		c.add(ipfixMessage(uint32(i), 0, set(256, flowData("10.0.0.5", "10.0.0.1", 1000+i, 53, 17, 0, 1, 50, startMs, endMs))))
	}
	if s := c.Stats(); s.Waiting != 16 || s.Hurried != 84 || len(c.records) != 84 || s.Lost != 0 {
		t.Errorf("%+v, %d records", s, len(c.records))
	}
	for i := range uint16(100) { // of those that still wait each finds its answer
		c.add(ipfixMessage(100+uint32(i), 0, set(256, flowData("10.0.0.1", "10.0.0.5", 53, 1000+i, 17, 0, 1, 90, startMs, endMs))))
	}
	c.Flush()
	packets := uint64(0)
	for _, r := range c.records {
		packets += r.Src.Packets + r.Dst.Packets
	}
	if packets != 200 || c.Stats().Waiting != 0 {
		t.Errorf("%d packets in records, %+v", packets, c.Stats())
	}
}

func TestLongFlowsHaveParts(t *testing.T) {
	c := newCollected(func(c *Config) { c.PairWait = 0 })
	template := u16(256, 11, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 1, 8, 2, 8, 152, 8, 153, 8, 136, 1)
	c.add(ipfixMessage(0, 0, set(2, template)))
	base := int64(exported * 1000)
	for i := range int64(4) {
		flags, reason := uint8(0x18), uint8(reasonActive)
		if i == 0 {
			flags |= 2
		}
		if i == 3 {
			flags, reason = flags|1, reasonEnd
		}
		c.now += 60e9
		c.add(ipfixMessage(uint32(i), 0, set(256, flowData("10.0.0.5", "10.0.0.1", 40000, 443, 6, flags, 5, 500, base+i*60_000, base+i*60_000+59_000), []byte{reason})))
	}
	if len(c.records) != 4 {
		t.Fatalf("%d records", len(c.records))
	}
	for i, r := range c.records {
		if r.Part != uint32(i) || r.Start != base*1e6 || r.Since != (base+int64(i)*60_000)*1e6 || r.ID == 0 || r.ID != c.records[0].ID {
			t.Errorf("part %d: %+v", i, r)
		}
	}
	if r := c.records[3]; r.Reason != flow.Ended || r.Src.Flags != 0x1b {
		t.Errorf("last part %+v", r)
	}
	c.now += 60e9 // the ports again, with a handshake
	c.add(ipfixMessage(4, 0, set(256, flowData("10.0.0.5", "10.0.0.1", 40000, 443, 6, 2, 1, 60, base+300_000, base+300_000), []byte{reasonIdle})))
	if r := c.records[4]; r.Part != 0 || r.State != "S0" || r.Src.Flags != 2 {
		t.Errorf("a new connection: %+v", r)
	}
}

func TestSampling(t *testing.T) {
	v9Template := u16(256, 8, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4, 48, 2)
	v9Data := func(sampler uint16) []byte {
		return set(256, ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 53), []byte{17}, u32(500, 5), u16(sampler))
	}
	for _, x := range []struct {
		name string
		conf uint32
		send [][]byte
		want uint32
	}{
		{"none", 0, [][]byte{v9Message(1, 0, 0, set(0, v9Template), v9Data(0))}, 1},
		{"v5 header", 0, [][]byte{join(u16(5, 1), u32(1000, exported, 0, 0), u16(0, 0x4000|50),
			ip("10.0.0.5"), ip("10.0.0.1"), ip("0.0.0.0"), u16(1, 2), u32(5, 500, 1, 2), u16(40000, 53), []byte{0, 0, 17, 0}, u16(0, 0, 0, 0))}, 50},
		{"v9 sampler", 0, [][]byte{v9Message(1, 0, 0, set(1, u16(300, 4, 12, 1, 4, 48, 2, 49, 1, 50, 4), []byte{0, 0}), set(300, u32(0), u16(3), []byte{2}, u32(1000), []byte{0}), set(0, v9Template), v9Data(3))}, 1000},
		{"v9 another sampler", 0, [][]byte{v9Message(1, 0, 0, set(1, u16(300, 4, 12, 1, 4, 48, 2, 49, 1, 50, 4), []byte{0, 0}), set(300, u32(0), u16(3), []byte{2}, u32(1000), []byte{0}), set(0, v9Template), v9Data(4))}, 1},
		{"v9 for all", 0, [][]byte{v9Message(1, 0, 0, set(1, u16(300, 4, 4, 1, 4, 34, 4)), set(300, u32(0), u32(64)), set(0, v9Template), v9Data(0))}, 64},
		{"ipfix selector", 0, [][]byte{ipfixMessage(0, 0, set(3, u16(300, 3, 1, 302, 4, 305, 4, 306, 4)), set(300, u32(9, 1, 99)),
			set(2, u16(256, 8, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4, 302, 4)), set(256, ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 53), []byte{17}, u32(500, 5, 9)))}, 100},
		{"ipfix probability", 0, [][]byte{ipfixMessage(0, 0, set(2, u16(256, 8, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4, 311, 8)),
			set(256, ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 53), []byte{17}, u32(500, 5), u64(math.Float64bits(0.005))))}, 200},
		{"ipfix population", 0, [][]byte{ipfixMessage(0, 0, set(2, u16(256, 9, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4, 309, 4, 310, 4)),
			set(256, ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 53), []byte{17}, u32(500, 5, 2, 512)))}, 256},
		{"configured", 10, [][]byte{v9Message(1, 0, 0, set(1, u16(300, 4, 4, 1, 4, 34, 4)), set(300, u32(0), u32(64)), set(0, v9Template), v9Data(0))}, 10},
		{"configured as none", 1, [][]byte{v9Message(1, 0, 0, set(1, u16(300, 4, 4, 1, 4, 34, 4)), set(300, u32(0), u32(64)), set(0, v9Template), v9Data(0))}, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCollected(func(c *Config) {
				c.PairWait = 0
				c.Exporters = []Known{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Name: "core", Sampling: x.conf}}
			})
			for _, b := range x.send {
				c.add(b)
			}
			r := c.only(t)
			stated := x.want
			if stated == 1 {
				stated = 0
			}
			if r.Src.Packets != 5*uint64(x.want) || r.Src.Bytes != 500*uint64(x.want) || r.Sampling != stated {
				t.Errorf("%d packets, %d bytes, stated %d, want an interval of %d", r.Src.Packets, r.Src.Bytes, r.Sampling, x.want)
			}
			if c.sources[0].Name != "core" || c.sources[0].Addr != router {
				t.Errorf("source %+v", c.sources[0])
			}
			c.dropped(t, nil)
		})
	}
}

func TestBiflows(t *testing.T) {
	template := join(u16(256, 12, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 1, 4, 2, 4, 152, 8, 153, 8),
		u16(0x8001, 4), u32(reverseEnterprise), u16(0x8002, 4), u32(reverseEnterprise))
	data := join(ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 443), []byte{6, 0x1b}, u32(1000, 10), u64(startMs), u64(endMs), u32(9000, 8))
	c := newCollected(nil)
	c.add(ipfixMessage(0, 0, set(2, template), set(256, data)))
	if r := c.only(t); r.Src.Bytes != 1000 || r.Dst.Bytes != 9000 || r.Dst.Packets != 8 || r.Src.Port != 40000 {
		t.Errorf("%+v", r)
	}
	// The event records of a Cisco firewall: counts of both ends, by elements of their own.
	c = newCollected(nil)
	asa := u16(256, 9, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 231, 4, 232, 4, 298, 4, 299, 4)
	c.add(v9Message(1, 0, 0, set(0, asa), set(256, ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 443), []byte{6}, u32(100, 200, 3, 4))))
	if r := c.only(t); r.Src.Bytes != 100 || r.Dst.Bytes != 200 || r.Src.Packets != 3 || r.Dst.Packets != 4 {
		t.Errorf("%+v", r)
	}
}

func TestTimes(t *testing.T) {
	ends := join(ip("10.0.0.5"), ip("10.0.0.1"), u16(40000, 53), []byte{17}, u32(500, 5))
	const fields = 7
	template := func(more ...uint16) []byte {
		return join(u16(256, fields+uint16(len(more)/2), 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4), u16(more...))
	}
	ntp := func(ns int64) []byte { return join(u32(uint32(ns/1e9+2208988800)), u32(uint32((ns%1e9)<<32/1e9+1))) }
	const begin, end = (exported - 50) * int64(1e9), (exported - 10) * int64(1e9)
	for _, x := range []struct {
		name       string
		b          []byte
		start, end int64
	}{
		{"uptime", v9Message(100_000, 0, 0, set(0, template(22, 4, 21, 4)), set(256, ends, u32(50_000, 90_000))), begin, end},
		{"uptime that wrapped around", v9Message(20_000, 0, 0, set(0, template(22, 4, 21, 4)), set(256, ends, u32(uint32(1<<32-30_000), 10_000))), begin, end},
		{"seconds", ipfixMessage(0, 0, set(2, template(150, 4, 151, 4)), set(256, ends, u32(exported-50, exported-10))), begin, end},
		{"nanoseconds", ipfixMessage(0, 0, set(2, template(156, 8, 157, 8)), set(256, ends, ntp(begin+5e8), ntp(end))), begin + 5e8, end},
		{"deltas", ipfixMessage(0, 0, set(2, template(158, 4, 159, 4)), set(256, ends, u32(50e6, 10e6))), begin, end},
		{"end and duration", ipfixMessage(0, 0, set(2, template(153, 8, 161, 4)), set(256, ends, u64(uint64(end/1e6)), u32(40_000))), begin, end},
		{"none", ipfixMessage(0, 0, set(2, template()), set(256, ends)), exported * 1e9, exported * 1e9},
		{"end before start", ipfixMessage(0, 0, set(2, template(150, 4, 151, 4)), set(256, ends, u32(exported-10, exported-50))), exported * 1e9, exported * 1e9},
		{"uptime with its origin", ipfixMessage(0, 0, set(2, template(160, 8, 22, 4, 21, 4)), set(256, ends, u64((exported-100)*1000), u32(50_000, 90_000))), begin, end},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCollected(func(c *Config) { c.PairWait = 0 })
			c.add(x.b)
			if r := c.only(t); r.Start != x.start || r.End != x.end {
				t.Errorf("from %v to %v, want %v to %v", time.Unix(0, r.Start), time.Unix(0, r.End), time.Unix(0, x.start), time.Unix(0, x.end))
			}
			// A clock that is three years slow is not believed.
			c = newCollected(func(c *Config) { c.PairWait = 0 })
			const late = 3 * 365 * 86400 * int64(1e9)
			c.now += late
			c.add(x.b)
			if r := c.only(t); r.Start != x.start+late || r.End != x.end+late || c.Stats().Corrected != 1 {
				t.Errorf("corrected: from %v to %v", time.Unix(0, r.Start), time.Unix(0, r.End))
			}
		})
	}
}

func TestExporters(t *testing.T) {
	c := newCollected(func(c *Config) {
		c.RefuseUnknown, c.MaxExporters = true, 2
		c.Exporters = []Known{
			{Prefix: netip.MustParsePrefix("192.0.2.66/32"), Refuse: true},
			{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		}
	})
	send := func(from string, n uint32) {
		c.Add(netip.MustParseAddr(from), ipfixMessage(0, n, set(2, flowTemplate(256)), set(256, requestData)), c.now)
	}
	send("198.51.100.1", 1)
	send("198.51.100.1", 2)
	send("192.0.2.66", 3)
	send("::ffff:192.0.2.1", 4)
	send("192.0.2.2", 5)
	send("192.0.2.3", 6)
	c.dropped(t, map[Reason]uint64{UnknownExporter: 3, ExporterLimit: 1})
	if s := c.Stats(); s.Exporters != 2 || s.Templates != 2 || s.Refused.String() != "192.0.2.3" {
		t.Errorf("%+v", s)
	}
	c.now += 2 * idleExporter
	send("192.0.2.3", 7) // the others have been silent for long
	if s := c.Stats(); s.Exporters != 2 || s.Dropped[ExporterLimit] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestSequence(t *testing.T) {
	for _, x := range []struct {
		name string
		seq  []uint32
		want uint64
	}{
		{"in order", []uint32{5, 6, 7, 8}, 0},
		{"a gap", []uint32{5, 6, 9, 10}, 2},
		{"out of order", []uint32{5, 7, 6, 8, 10, 11, 9}, 0},
		{"half of a gap comes late", []uint32{5, 9, 7, 10}, 2},
		{"restart", []uint32{5000, 5001, 0, 1, 2}, 0},
		{"wrap around", []uint32{math.MaxUint32 - 1, math.MaxUint32, 0, 1}, 0},
		{"gap at the wrap", []uint32{math.MaxUint32 - 1, 1}, 2},
		{"a great jump", []uint32{5, 5_000_000, 5_000_001}, 0},
		{"many gaps", []uint32{0, 2, 4, 6, 8, 10, 12, 14}, 7},
	} {
		t.Run(x.name, func(t *testing.T) {
			var q sequence
			lost := uint64(0)
			last := uint32(0)
			for _, n := range x.seq {
				lost += q.seen(n, 1)
				last = max(last, n)
			}
			n := x.seq[len(x.seq)-1]
			if x.name == "out of order" {
				n = last
			}
			for range lateMost + 2 {
				n++
				lost += q.seen(n, 1)
			}
			if lost != x.want {
				t.Errorf("lost %d, want %d", lost, x.want)
			}
		})
	}
}

func TestLostAndDuplicates(t *testing.T) {
	c := newCollected(nil)
	for n := range uint32(60) {
		if n == 20 || n == 21 {
			continue
		}
		b := v9Message(1000+n, n, 0)
		c.add(b)
		if n == 30 {
			c.add(b)
		}
	}
	c.dropped(t, map[Reason]uint64{Duplicate: 1})
	if l := c.Losses(); len(l) != 1 || l[0].Lost != 2 || l[0].Datagrams != 58 || c.Stats().Lost != 2 {
		t.Errorf("%+v", l)
	}
}
