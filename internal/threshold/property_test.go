package threshold

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
)

func ptr(x float64) *float64 { return &x }

// kinds are the kinds of rules, each drawn anew for each run.
var kinds = map[string]func(*rand.Rand) Rule{
	"above":   func(*rand.Rand) Rule { return Rule{Bounds: Bounds{Above: ptr(0.8)}} },
	"below":   func(*rand.Rand) Rule { return Rule{Bounds: Bounds{Below: ptr(0.2)}, Severity: "critical"} },
	"outside": func(*rand.Rand) Rule { return Rule{Bounds: Bounds{Outside: []float64{0.3, 0.7}}} },
	"hysteresis": func(*rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.7), Clear: ptr(0.4)}}
	},
	"hysteresis below": func(*rand.Rand) Rule { return Rule{Bounds: Bounds{Below: ptr(0.3), Clear: ptr(0.6)}} },
	"hysteresis outside": func(*rand.Rand) Rule {
		return Rule{Bounds: Bounds{Outside: []float64{0.2, 0.8}, ClearWithin: []float64{0.4, 0.6}}}
	},
	"for": func(r *rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.6)}, For: time.Duration(r.IntN(120)) * time.Second}
	},
	"clear_for": func(r *rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.6)}, For: time.Duration(r.IntN(40)) * time.Second, ClearFor: time.Duration(r.IntN(120)) * time.Second}
	},
	"steps": func(r *rand.Rand) Rule {
		return Rule{Steps: []Step{{"info", Bounds{Above: ptr(0.5), Clear: ptr(0.4)}}, {"warn", Bounds{Above: ptr(0.7)}}, {"critical", Bounds{Above: ptr(0.9), Clear: ptr(0.8)}}},
			For: time.Duration(r.IntN(60)) * time.Second, ClearFor: time.Duration(r.IntN(60)) * time.Second}
	},
	"share": func(r *rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.6)}, Share: Share{AtLeast: 0.5 + r.Float64()/2, Of: time.Duration(2+r.IntN(8)) * time.Minute}}
	},
	"share clear": func(r *rand.Rand) Rule {
		return Rule{Bounds: Bounds{Outside: []float64{0.4, 0.6}}, Share: Share{AtLeast: 0.7, Clear: 0.3, Of: 3 * time.Minute}, For: time.Duration(r.IntN(50)) * time.Second}
	},
	"missing": func(r *rand.Rand) Rule {
		return Rule{MissingFor: time.Duration(30+r.IntN(300)) * time.Second, Severity: "error"}
	},
	"missing and above": func(r *rand.Rand) Rule {
		return Rule{MissingFor: time.Duration(30+r.IntN(300)) * time.Second, Bounds: Bounds{Above: ptr(0.7)}, For: 20 * time.Second}
	},
	"rate": func(*rand.Rand) Rule { return Rule{Bounds: Bounds{Above: ptr(3)}, Rate: "minute"} },
	"rate of fall": func(*rand.Rand) Rule {
		return Rule{Bounds: Bounds{Below: ptr(-0.01)}, Rate: "second", For: 15 * time.Second}
	},
	"ratio": func(*rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.8), Clear: ptr(0.7)}, Over: Over{Metric: "limit", MaxAge: 2 * time.Minute}}
	},
	"ratio of rates": func(*rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(1.1)}, Rate: "second", Over: Over{Metric: "limit", MaxAge: 2 * time.Minute}}
	},
	"schedule": func(r *rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.6)}, For: time.Duration(r.IntN(60)) * time.Second, MissingFor: 5 * time.Minute,
			Schedule: Schedule{Zone: "Europe/Berlin", Active: []Hours{{From: "01:10", To: "02:05"}, {From: "22:00", To: "00:30"}}, Quiet: []Hours{{Days: []string{"sun"}, From: "01:30", To: "01:40"}}}}
	},
	"flapping": func(r *rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.5)}, Flapping: Flapping{Changes: 3 + r.IntN(4), Within: time.Duration(60+r.IntN(200)) * time.Second}}
	},
	"few entities": func(r *rand.Rand) Rule {
		return Rule{Bounds: Bounds{Above: ptr(0.6)}, MissingFor: 10 * time.Minute, MaxEntities: 1 + r.IntN(3)}
	},
}

// walk makes points: of a few entities, about ten seconds apart, with all that goes wrong.
type walk struct {
	rng    *rand.Rand
	t      int64
	value  [5]float64
	total  [5]float64
	start  [5]int64
	silent [5]int64 // until
	counts Temporality
	odd    bool
}

func (w *walk) step() {
	switch {
	case w.rng.IntN(60) == 0:
		w.t += int64(w.rng.IntN(1500)) * 1e9
	default:
		w.t += int64(w.rng.IntN(20)) * 1e9
	}
}

func (w *walk) sample(e int) Sample {
	r := w.rng
	if r.IntN(3) == 0 {
		w.value[e] = r.Float64()
	}
	t := w.t + int64(e)
	s := Sample{Time: t, Value: w.value[e], Temporality: w.counts}
	if w.counts != Gauge {
		by := r.Float64()
		w.total[e] += by
		if w.odd && r.IntN(40) == 0 {
			w.total[e] = by
			if r.IntN(2) == 0 {
				w.start[e] = t - 1
			}
		}
		s.Start = w.start[e]
		if s.Value = w.total[e]; w.counts == Delta {
			s.Value = by
			if s.Start = 0; r.IntN(2) == 0 {
				s.Start = t - int64(1+r.IntN(30))*1e9
			}
		}
	}
	if w.odd {
		switch r.IntN(40) {
		case 0:
			s.Value = math.NaN()
		case 1:
			s.Time -= int64(r.IntN(100)) * 1e9
		case 2:
			s.Value = math.Inf(1)
		}
	}
	return s
}

// TestEveryKindAgainstTheReference holds the engine to what the definitions say: the same events
// at the same instants, over generated series with gaps, late and repeated points, counters that
// reset, clocks that are set back, and a restart at any moment.
func TestEveryKindAgainstTheReference(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 12
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			rises := 0
			for seed := range runs {
				rises += against(t, name, kind, uint64(seed))
				if t.Failed() {
					return
				}
			}
			if rises < runs/3 {
				t.Errorf("only %d events in %d runs: this proves nothing", rises, runs)
			}
		})
	}
}

func against(t *testing.T, name string, kind func(*rand.Rand) Rule, seed uint64) (events int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	rule := kind(rng)
	rule.Name, rule.Metric, rule.Do = name, "m", []string{Event}
	rules := []Rule{rule}
	e, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	ref := newReference(rules)
	w := &walk{rng: rng, t: time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC).UnixNano(), counts: Temporality(seed % 3), odd: seed%4 > 0}
	if rule.Rate == "" {
		w.counts = Gauge
	}
	latest := int64(0)
	for range 400 {
		w.step()
		latest = max(latest, w.t)
		if w.odd && rng.IntN(200) == 0 { // all clocks, by less than the engine's own pause
			w.t = max(w.t-int64(rng.IntN(3000))*1e9, latest-3000e9)
		}
		for x := range w.value {
			if w.silent[x] == 0 && rng.IntN(80) == 0 {
				w.silent[x] = w.t + int64(rng.IntN(1200))*1e9
			}
			if w.silent[x] > w.t {
				continue
			}
			w.silent[x] = 0
			key := string(AppendKey(nil, "e", fmt.Sprint(x)))
			if rule.Over.Metric != "" && rng.IntN(4) > 0 {
				p := w.sample(x)
				p.Value, p.Time = 0.5+p.Value, w.t+int64(x)
				if rng.IntN(50) == 0 {
					p.Value = 0
				}
				e.Partner(0, []byte(key), &p)
				ref.partnerPoint(0, key, p)
			}
			s := w.sample(x)
			e.Observe(0, []byte(key), &s)
			ref.point(0, key, s)
			if rng.IntN(10) == 0 { // once more
				e.Observe(0, []byte(key), &s)
				ref.point(0, key, s)
			}
		}
		e.Check()
		ref.check()
		got, want := compare(e.Events()), ref.out
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if !slices.EqualFunc(got, want, same) {
			t.Fatalf("seed %d, rule %+v\nat %d told   %+v\nreference %+v", seed, rule, w.t, got, want)
		}
		events += len(got)
		ref.out = nil
		if rng.IntN(100) == 0 {
			e = restart(t, e, rules)
			e.clock.woken = false // the reference knows no restart
		}
	}
	if n := e.Tally(0).Points[TooMany]; rule.MaxEntities == 0 && n > 0 {
		t.Errorf("%d points too many", n)
	}
	return events
}

func restart(t *testing.T, e *Engine, rules []Rule) *Engine {
	t.Helper()
	state, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	next, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Restore(state); err != nil {
		t.Fatal(err)
	}
	return next
}

func compare(all []baseline.Observation) (out []told) {
	for _, o := range all {
		key := ""
		if len(o.Entity) > 0 {
			key = string(AppendKey(nil, "e", o.Entity[0][2:]))
		}
		out = append(out, told{Rule: o.Rule, Key: key, Time: o.Time, Phase: o.Phase, Kind: o.Kind, Severity: o.Severity, Start: o.Start,
			Value: o.Value, Peak: o.Peak, Cause: o.Cause})
	}
	return out
}

// same allows for the last digits of a quotient.
func same(a, b told) bool {
	near := func(x, y float64) bool { return x == y || math.Abs(x-y) < 1e-9*math.Abs(y) }
	ok := near(a.Value, b.Value) && near(a.Peak, b.Peak)
	a.Value, a.Peak, b.Value, b.Peak = 0, 0, 0, 0
	return ok && a == b
}

func order(a, b told) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Phase, b.Phase))
}
