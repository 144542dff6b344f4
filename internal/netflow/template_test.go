package netflow

import (
	"testing"
	"time"
)

func TestDataBeforeItsTemplate(t *testing.T) {
	c := newCollected(func(c *Config) { c.PairWait = 0 })
	c.add(ipfixMessage(0, 0, set(256, requestData)))
	c.add(ipfixMessage(0, 1, set(256, requestData))) // of a domain whose template never comes
	c.wait(50 * time.Second)
	c.add(ipfixMessage(1, 0, set(2, flowTemplate(256))))
	if r := c.only(t); r.Src.Bytes != 1000 || r.Start != startMs*1e6 {
		t.Errorf("%+v", r)
	}
	c.dropped(t, nil)
	c.wait(time.Minute)
	c.dropped(t, map[Reason]uint64{NoTemplate: 1})
}

func TestWaitingDataIsBounded(t *testing.T) {
	c := newCollected(nil)
	big := make([]byte, 60000)
	for n := range uint32(200) {
		c.add(ipfixMessage(n, 0, set(256, big, u32(n))))
	}
	if c.unresolved.bytes > maxWaitingBytes || len(c.unresolved.sets) == 0 {
		t.Errorf("%d bytes wait", c.unresolved.bytes)
	}
	for n := range uint32(2 * maxWaitingSets) {
		c.add(ipfixMessage(n, 1, set(256, u32(n))))
	}
	if len(c.unresolved.sets) != maxWaitingSets {
		t.Errorf("%d sets wait", len(c.unresolved.sets))
	}
	c.Flush()
	c.dropped(t, map[Reason]uint64{NoTemplate: 200 + 2*maxWaitingSets})
	if c.unresolved.bytes != 0 {
		t.Errorf("%d bytes left", c.unresolved.bytes)
	}
}

func TestTemplatesThatChangeAndExplode(t *testing.T) {
	c := newCollected(func(c *Config) { c.PairWait, c.MaxTemplates = 0, 10 })
	c.add(ipfixMessage(0, 0, set(2, flowTemplate(256)), set(256, requestData)))
	c.add(ipfixMessage(1, 0, set(2, flowTemplate(256)), set(256, requestData))) // the same again
	if s := c.Stats(); s.Changed != 0 || s.Templates != 1 {
		t.Errorf("%+v", s)
	}
	c.add(ipfixMessage(2, 0, set(2, u16(256, 4, 12, 4, 8, 4, 2, 2, 1, 2)), set(256, ip("10.0.0.1"), ip("10.0.0.9"), u16(7, 700))))
	if s := c.Stats(); s.Changed != 1 || s.Templates != 1 || len(c.records) != 3 || c.records[2].Src.Packets != 7 || c.records[2].Src.Addr.String() != "10.0.0.9" {
		t.Errorf("%+v %+v", s, c.records)
	}
	for n := range uint16(1000) {
		c.now++
		c.add(ipfixMessage(3, uint32(n%7), set(2, flowTemplate(300+n))))
	}
	if s := c.Stats(); s.Templates != 10 || s.Dropped[TemplateLimit] != 991 {
		t.Errorf("%+v", s)
	}
	c.add(ipfixMessage(3, 999%7, set(256+1043, requestData))) // the newest is known
	if len(c.records) != 4 {
		t.Errorf("%d records", len(c.records))
	}
}

func TestWithdrawal(t *testing.T) {
	for _, x := range []struct {
		name string
		b    []byte
		left int
	}{
		{"one", set(2, u16(256, 0)), 2},
		{"one of options", set(3, u16(300, 0)), 2},
		{"all", set(2, u16(2, 0)), 1},
		{"all of options", set(3, u16(3, 0)), 2},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCollected(nil)
			c.add(ipfixMessage(0, 0, set(2, flowTemplate(256), flowTemplate(257)), set(3, u16(300, 2, 1, 149, 4, 34, 4))))
			if n := c.Stats().Templates; n != 3 {
				t.Fatalf("%d templates", n)
			}
			c.add(ipfixMessage(0, 0, x.b))
			if n := c.Stats().Templates; n != x.left {
				t.Errorf("%d templates left, want %d", n, x.left)
			}
			c.dropped(t, nil)
		})
	}
}

// TestVariableLengths reads records with names of any length in their midst.
func TestVariableLengths(t *testing.T) {
	c := newCollected(func(c *Config) { c.PairWait = 0 })
	template := join(u16(256, 6, 8, 4, 82, variable), u16(0x8000|12, variable), u32(9), u16(12, 4, 2, 2, 1, 2))
	long := make([]byte, 700)
	c.add(ipfixMessage(0, 0, set(2, template), set(256,
		ip("10.0.0.5"), []byte{4}, []byte("eth0"), []byte{0}, ip("10.0.0.1"), u16(7, 700),
		ip("10.0.0.6"), []byte{255}, u16(700), long, []byte{1, 9}, ip("10.0.0.1"), u16(8, 800))))
	if len(c.records) != 2 || c.records[0].Src.Bytes != 700 || c.records[1].Src.Packets != 8 {
		t.Errorf("%+v", c.records)
	}
	c.dropped(t, nil)
}

func TestInterfaceNames(t *testing.T) {
	c := newCollected(func(c *Config) { c.PairWait = 0 })
	name := append([]byte("Gi0/1"), make([]byte, 11)...)
	c.add(v9Message(1, 0, 0, set(1, u16(300, 4, 4, 2, 4, 82, 16)), set(300, u32(3), name),
		set(0, u16(256, 6, 8, 4, 12, 4, 10, 4, 14, 2, 1, 4, 2, 4)), set(256, ip("10.0.0.5"), ip("10.0.0.1"), u32(3), u16(4), u32(500, 5))))
	if r := c.only(t); r.IngressName != "Gi0/1" || r.Ingress != 3 || r.Egress != 4 || r.EgressName != "" {
		t.Errorf("%+v", r)
	}
}

// TestRestarts: what was learned is there after a restart of ours, and void after one
// of the exporter's.
func TestRestarts(t *testing.T) {
	one := newCollected(nil)
	one.add(v9Message(500_000, 0, 9, set(0, flowTemplate(256)), set(1, u16(300, 4, 4, 1, 4, 34, 4)), set(300, u32(0), u32(64))))
	one.add(ipfixMessage(0, 7, set(2, flowTemplate(400))))
	kept, err := one.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	open := func() *collected {
		c := newCollected(func(c *Config) { c.PairWait = 0 })
		if err := c.Restore(kept, c.now); err != nil {
			t.Fatal(err)
		}
		if n := c.Stats().Templates; n != 3 {
			t.Fatalf("%d templates after the restart", n)
		}
		return c
	}
	c := open()
	c.add(v9Message(500_100, 50, 9, set(256, requestData)))
	c.add(ipfixMessage(9, 7, set(400, answerData)))
	if len(c.records) != 2 || c.records[0].Sampling != 64 || c.records[0].Src.Packets != 640 || c.records[1].Sampling != 0 {
		t.Errorf("%+v", c.records)
	}
	c.dropped(t, nil)

	c = open()
	b := v9Message(2000, 0, 9, set(256, requestData)) // up for two seconds, ten minutes later
	copy(b[8:], u32(exported+600))
	c.now += 600e9
	c.add(b)
	if len(c.records) != 0 || c.Stats().Templates != 1 {
		t.Errorf("%d templates, records %+v", c.Stats().Templates, c.records)
	}
	c = open()
	c.add(v9Message(500_100, 0, 9, set(256, requestData)))
	wrapped := v9Message(1000, 1, 9, set(256, answerData)) // the uptime has wrapped around
	copy(wrapped[8:], u32(uint32((exported*1000-500_100+1<<32+1000)/1000)))
	c.now = (exported*1000 - 500_100 + 1<<32 + 1000) * 1e6
	c.add(wrapped)
	if c.Stats().Templates != 3 || len(c.records) != 2 {
		t.Errorf("wrapped around: %+v", c.Stats())
	}
	for _, bad := range []string{"", "{", `{"version":9}`, "\x00\x01"} {
		if err := newCollected(nil).Restore([]byte(bad), 1); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}

func TestElements(t *testing.T) {
	seen := map[uint16]bool{}
	last := uint16(0)
	for _, e := range Elements {
		if seen[e.ID] || e.ID < last || e.Name == "" || e.op == skip || ops[e.ID] != e.op {
			t.Errorf("element %+v", e)
		}
		seen[e.ID], last = true, e.ID
	}
	if last != lastElement {
		t.Errorf("the last element is %d", last)
	}
}
