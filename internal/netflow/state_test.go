package netflow

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/monban/monban/internal/flow"
)

// keeper is a collector that has learned something of everything that is kept.
func keeper(t testing.TB) *Collector {
	c := newCollected(nil)
	name := append([]byte("Gi0/1"), make([]byte, 11)...)
	c.add(v9Message(500_000, 0, 9, set(0, flowTemplate(256)), set(1, u16(300, 4, 4, 1, 4, 34, 4)), set(300, u32(0), u32(64)),
		set(1, u16(301, 4, 12, 1, 4, 48, 2, 49, 1, 50, 4), []byte{0, 0}), set(301, u32(0), u16(3), []byte{2}, u32(1000), []byte{0}),
		set(1, u16(302, 4, 4, 2, 4, 82, 16)), set(302, u32(3), name)))
	c.add(ipfixMessage(0, 7, set(2, flowTemplate(400), u16(401, 2, 82, variable, 1, 8)), set(3, u16(500, 3, 1, 302, 4, 305, 4, 306, 4))))
	if s := c.Stats(); s.Templates != 7 {
		t.Fatalf("%+v", s)
	}
	return c.Collector
}

// in reads a snapshot into an order of its own, so that two can be compared.
func in(t testing.TB, snapshot []byte) (s savedState) {
	t.Helper()
	if err := json.Unmarshal(snapshot, &s); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(s.Exporters, func(a, b savedExporter) int { return a.Addr.Compare(b.Addr) })
	for _, e := range s.Exporters {
		slices.SortFunc(e.Streams, func(a, b savedStream) int {
			return (int(a.Protocol)<<32 + int(a.Domain)) - (int(b.Protocol)<<32 + int(b.Domain))
		})
		for _, y := range e.Streams {
			slices.SortFunc(y.Templates, func(a, b savedTemplate) int { return int(a.ID) - int(b.ID) })
		}
	}
	return s
}

// FuzzRestore holds that a snapshot, whatever it holds, is taken within bounds or
// refused whole, is the same after another restart, and makes no datagram that comes
// afterwards do harm.
func FuzzRestore(f *testing.F) {
	good, err := keeper(f).Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, s := range []string{
		`{"version":1,"exporters":[{"address":""},{"address":"::ffff:192.0.2.1","streams":[{"protocol":9,"boot":-9223372036854775808,"uptime":4294967295}]},{"address":"fe80::1%eth0","streams":[{"protocol":10}]}]}`,
		`{"version":1,"exporters":[{"address":"192.0.2.1","interfaces":{"0":"a","7":" \u0000\ufffd "},"streams":[{"protocol":10,"boot":9223372036854775807,"sampling":4294967295,"samplers":{"18446744073709551615":0},
			"templates":[{"id":256,"raw":"AAIACAAEAAwABA==","used":9223372036854775807},{"id":1,"raw":"AAI="},{"id":300,"raw":"AAEAAf//","used":-9223372036854775808},{"id":301,"options":true,"raw":"AAE="}]}]}]}`,
		`{"version":1,"exporters":[{"address":"192.0.2.1","streams":null},{"address":"192.0.2.1","streams":[{},{"protocol":5},{"protocol":1}]}]}`,
	} {
		f.Add([]byte(s))
	}
	const now = int64(exported) * 1e9
	cfg := NewDefaultConfig()
	cfg.MaxExporters, cfg.MaxTemplates, cfg.MaxWaiting = 3, 8, 64
	f.Fuzz(func(t *testing.T, b []byte) {
		c := New(cfg, func(_ *Source, r *flow.Record) { sane(t, r) })
		if c.Restore(b, now) != nil {
			if len(c.exporters) > 0 {
				t.Error("half of a bad state was taken")
			}
			return
		}
		kept, err := c.Snapshot()
		if err != nil {
			t.Fatalf("what was restored can't be saved: %v", err)
		}
		again := New(cfg, nil)
		if err := again.Restore(kept, now); err != nil {
			t.Fatal(err)
		}
		twice, err := again.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if x, y := in(t, kept), in(t, twice); !reflect.DeepEqual(x, y) {
			t.Errorf("after a restart %+v\nafter another %+v", x, y)
		}
		if len(c.exporters) > cfg.MaxExporters {
			t.Errorf("%d exporters", len(c.exporters))
		}
		for addr, e := range c.exporters {
			held(t, &cfg, e, now)
			var sets [IPFIX + 1]map[uint32][]byte // data for the templates, by protocol and domain
			for key, s := range e.streams {
				if sets[key.protocol] == nil {
					sets[key.protocol] = map[uint32][]byte{}
				}
				for id := range s.templates {
					body := join(requestData, make([]byte, 40), answerData)
					sets[key.protocol][key.domain] = append(sets[key.protocol][key.domain], set(id, body)...)
				}
			}
			for domain, data := range sets[V9] {
				c.Add(addr, v9Message(1000, 1, domain, data), now)
			}
			for domain, data := range sets[IPFIX] {
				c.Add(addr, ipfixMessage(1, domain, data), now)
			}
			c.Add(addr, v9Message(1000, 2, 1, set(0, flowTemplate(256)), set(256, requestData)), now)
			c.Add(addr, ipfixMessage(2, 2, set(2, flowTemplate(256)), set(256, answerData)), now)
			held(t, &cfg, e, now)
		}
		c.Tick(now + 1e12)
		c.Flush()
		if s := c.Stats(); s.Waiting != 0 {
			t.Errorf("left over: %+v", s)
		}
	})
}

// held wants the bounds of one exporter held.
func held(t *testing.T, cfg *Config, e *exporter, now int64) {
	t.Helper()
	if !e.source.Addr.IsValid() || e.source.Addr.Is4In6() || len(e.streams) > maxStreams || len(e.ifNames) > maxInterfaces {
		t.Fatalf("%s: %d streams, %d interfaces", e.source.Addr, len(e.streams), len(e.ifNames))
	}
	templates := 0
	for key, s := range e.streams {
		templates += len(s.templates)
		if s.key != key || s.exp != e || len(s.samplers) > maxSamplers {
			t.Fatalf("stream %+v: %+v", key, s)
		}
		for id, x := range s.templates {
			if id < firstDataID || x.least <= 0 || len(x.fields) == 0 || len(x.fields) > maxFields || x.used > now || x.used < now-keptFor {
				t.Fatalf("template %d: %+v", id, x)
			}
		}
	}
	if templates != e.templates || templates > cfg.MaxTemplates {
		t.Fatalf("%d templates, counted as %d", templates, e.templates)
	}
	for n, name := range e.ifNames {
		if n == 0 || name == "" || name != text([]byte(name)) {
			t.Fatalf("interface %d is %q", n, name)
		}
	}
}
