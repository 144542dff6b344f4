package threshold

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func keysOf(n int) [][]byte {
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = AppendKey(AppendKey(nil, "host.name", fmt.Sprintf("plant-%03d.example.net", i/64)), "cpu", fmt.Sprint(i%64))
	}
	return keys
}

// BenchmarkObserve is the steady state: points of entities that are known, in the order in which
// they always come and in any order.
func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		for _, order := range []string{"same", "random"} {
			b.Run(fmt.Sprintf("entities=%d/order=%s", n, order), func(b *testing.B) {
				e, err := New([]Rule{{Name: "r", Metric: "m", Bounds: Bounds{Above: ptr(0.8), Clear: ptr(0.7)}, For: time.Minute, MissingFor: time.Hour, MaxEntities: n, Do: []string{Event}}})
				if err != nil {
					b.Fatal(err)
				}
				keys := keysOf(n)
				if order == "random" {
					rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
				}
				s := Sample{Time: 1e18, Value: 0.5}
				for _, k := range keysOf(n) {
					e.Observe(0, k, &s)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i, at := 0, 0; i < b.N; i++ {
					if at == 0 {
						s.Time += 10e9
						e.Check()
						if order == "random" && i > 0 { // another order each time
							keys[0], keys[n/2] = keys[n/2], keys[0]
						}
					}
					e.Observe(0, keys[at], &s)
					if at++; at == n {
						at = 0
					}
				}
			})
		}
	}
}

// BenchmarkKinds is what a point of each kind of rule costs.
func BenchmarkKinds(b *testing.B) {
	for name, kind := range kinds {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			r := kind(rng)
			r.Name, r.Metric, r.Do, r.MaxEntities = name, "m", []string{Event}, 0
			e, err := New([]Rule{r})
			if err != nil {
				b.Fatal(err)
			}
			keys := keysOf(1000)
			s := Sample{Time: 1e18, Value: 0.5}
			b.ReportAllocs()
			for i := range b.N {
				if i%1000 == 0 {
					s.Time += 10e9
					e.Check()
				}
				if r.Over.Metric != "" {
					e.Partner(0, keys[i%1000], &Sample{Time: s.Time, Value: 1})
				}
				e.Observe(0, keys[i%1000], &s)
			}
		})
	}
}

// BenchmarkSnapshot saves and restores 100,000 entities.
func BenchmarkSnapshot(b *testing.B) {
	rules := []Rule{{Name: "r", Metric: "m", Bounds: Bounds{Above: ptr(0.8)}, MaxEntities: 100_000}}
	e, _ := New(rules)
	for _, k := range keysOf(100_000) {
		e.Observe(0, k, &Sample{Time: 1e18, Value: 0.5})
	}
	state, _ := e.Snapshot()
	b.Run("save", func(b *testing.B) {
		b.SetBytes(int64(len(state)))
		for b.Loop() {
			_, _ = e.Snapshot()
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(len(state)))
		for b.Loop() {
			if err := e.Restore(state); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestMemory holds what the documentation says an entity takes.
func TestMemory(t *testing.T) {
	const n = 50_000
	for name, c := range map[string]struct {
		rule Rule
		most float64
	}{
		"plain": {Rule{Bounds: Bounds{Above: ptr(1)}}, 400},
		"share": {Rule{Bounds: Bounds{Above: ptr(1)}, Share: Share{AtLeast: 0.8, Of: 10 * time.Minute}}, 1100},
	} {
		c.rule.Name, c.rule.Metric, c.rule.MaxEntities = name, "m", n
		keys := keysOf(n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		e, err := New([]Rule{c.rule})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			e.Observe(0, k, &Sample{Time: 1e18, Value: 0.5})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / n
		t.Logf("%s: %.0f bytes an entity", name, each)
		if each > c.most || e.Entities(0) != n {
			t.Errorf("%s: %.0f bytes an entity, more than %.0f", name, each, c.most)
		}
		runtime.KeepAlive(keys)
	}
}

// TestNoMemoryInTheSteadyState holds that a usual point makes no garbage, whatever the rule.
func TestNoMemoryInTheSteadyState(t *testing.T) {
	for name, kind := range kinds {
		r := kind(rand.New(rand.NewPCG(1, 2)))
		r.Name, r.Metric, r.Do, r.MaxEntities = name, "m", []string{Event}, 0
		e, err := New([]Rule{r})
		if err != nil {
			t.Fatal(err)
		}
		keys := keysOf(100)
		s := Sample{Time: 1e18, Value: 0.5}
		round := func() {
			s.Time += 10e9
			for _, k := range keys {
				if r.Over.Metric != "" {
					e.Partner(0, k, &Sample{Time: s.Time, Value: 1})
				}
				e.Observe(0, k, &s)
			}
			e.Check()
		}
		round()
		round()
		e.Events()
		if got := testing.AllocsPerRun(20, round); got > 0 {
			t.Errorf("%s: %v allocations a round", name, got)
		}
	}
}

func TestSeriesIsWholeLines(t *testing.T) {
	if n := unsafe.Sizeof(series{}); n%64 != 0 || unsafe.Offsetof(series{}.more) != 64 {
		t.Errorf("a series has %d bytes, and its first line %d", n, unsafe.Offsetof(series{}.more))
	}
}
