package threshold

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
)

// allKinds is an engine with a rule of every kind, in the middle of its work.
func allKinds(tb testing.TB, seed uint64) (*Engine, []Rule) {
	var rules []Rule
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		r := kinds[name](rng)
		r.Name, r.Metric, r.Do = name, "m", []string{Event}
		rules = append(rules, r)
	}
	rules = append(rules, Rule{Name: "p90", Metric: "m", Value: "p90", Bounds: Bounds{Above: ptr(1)}})
	e, err := New(rules)
	if err != nil {
		tb.Fatal(err)
	}
	w := &walk{rng: rng, t: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano(), odd: true}
	var values []float64
	for range 60 {
		w.step()
		values = append(values, 0.1+rng.Float64())
		for x := range w.value {
			key := AppendKey(nil, "e", string(rune('0'+x)))
			s := w.sample(x)
			for i := range rules {
				e.Partner(i, key, &Sample{Time: w.t, Value: 1})
				if rules[i].Value != "" {
					e.Observe(i, key, &Sample{Time: w.t, Temporality: Cumulative, Distribution: exponentialOf(2, values)})
				} else {
					e.Observe(i, key, &s)
				}
			}
		}
		e.Check()
	}
	return e, rules
}

func TestStateIsTheSameAfterARestart(t *testing.T) {
	e, rules := allKinds(t, 1)
	state, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	again, err := restart(t, e, rules).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(state, again) {
		t.Errorf("%d bytes were saved, and %d others after restoring", len(state), len(again))
	}
}

func TestBrokenStateIsRefusedWhole(t *testing.T) {
	e, rules := allKinds(t, 2)
	state, _ := e.Snapshot()
	fresh, _ := New(rules)
	empty, _ := fresh.Snapshot()
	for n := range len(state) {
		if n > 300 && n%37 != 0 {
			continue
		}
		if err := fresh.Restore(state[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a state", n, len(state))
		}
	}
	if err := fresh.Restore(append(bytes.Clone(state), 0)); err == nil {
		t.Error("a byte too many")
	}
	newer := bytes.Clone(state)
	newer[len(magic)]++
	if err := fresh.Restore(newer); !errors.Is(err, ErrVersion) {
		t.Errorf("another version: %v", err)
	}
	after, _ := fresh.Snapshot()
	if !bytes.Equal(empty, after) {
		t.Error("something of a broken state was used")
	}
}

// An alarm does not stay up for ever because its rule was changed or taken away while it was.
func TestAlarmsOfChangedRulesEnd(t *testing.T) {
	rules := []Rule{
		{Name: "same", Metric: "m", Bounds: Bounds{Above: ptr(1)}, Do: []string{Event}},
		{Name: "changed", Metric: "m", Bounds: Bounds{Above: ptr(1)}, Do: []string{Event}},
		{Name: "gone", Metric: "m", Bounds: Bounds{Above: ptr(1)}, MissingFor: time.Minute, Do: []string{Event}},
		{Name: "untold", Metric: "m", Bounds: Bounds{Above: ptr(1)}, Do: []string{Mark}},
	}
	e, _ := New(rules)
	key := AppendKey(nil, "host.name", "edge-1")
	for i := range rules {
		e.Observe(i, key, &Sample{Time: 1e18, Value: 2})
	}
	e.Tick(1e18 + 61e9)
	up := map[string]string{}
	for _, o := range e.Events() {
		up[o.Rule+" "+o.Kind] = o.ID
	}
	state, _ := e.Snapshot()
	rules = rules[:2]
	rules[1].Bounds.Above = ptr(1.5)
	e, _ = New(rules)
	if err := e.Restore(state); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range e.Events() {
		if o.Phase != baseline.Fall || o.ID != up[o.Rule+" "+o.Kind] || o.Start == 0 || o.Duration != 61 {
			t.Errorf("%+v", o)
		}
		got[o.Rule+" "+o.Kind] = o.Cause
	}
	if len(got) != 3 || got["changed above"] != "the rule has changed" || got["gone above"] != "the rule is gone" || got["gone missing"] != "the rule is gone" {
		t.Errorf("ended: %v", got)
	}
	if v := e.Observe(0, key, &Sample{Time: 1e18 + 62e9, Value: 2}); !v.Up || e.Tally(0).Rises != 0 {
		t.Errorf("the alarm of the rule that is the same rose again: %+v", v)
	}
}

// A stop is not held against those that could not be heard meanwhile.
func TestARestartIsNoSilence(t *testing.T) {
	rules := []Rule{{Name: "r", Metric: "m", MissingFor: time.Minute, Do: []string{Event}}}
	e, _ := New(rules)
	keys := keysOf(3)
	for _, k := range keys {
		e.Observe(0, k, &Sample{Time: 1e18, Value: 2})
	}
	e.Check()
	e = restart(t, e, rules)
	const stopped = int64(50 * time.Minute)
	e.Observe(0, keys[0], &Sample{Time: 1e18 + stopped, Value: 2})
	e.Check()
	if n := e.Tally(0).Missing; n > 0 {
		t.Errorf("%d are missing right after the start", n)
	}
	e.Tick(1e18 + stopped + 59e9)
	if n := e.Tally(0).Missing; n > 0 {
		t.Errorf("%d are missing too early", n)
	}
	e.Tick(1e18 + stopped + 61e9)
	if n := e.Tally(0).Missing; n != 3 {
		t.Errorf("%d are missing, want 3", n)
	}
}

func FuzzRestore(f *testing.F) {
	whole, rules := allKinds(f, 0)
	for i := range rules { // one by one: the fuzzer is slow on large inputs
		whole.rules = whole.rules[:0:0]
		one, _ := allKinds(f, 0)
		whole.rules = append(whole.rules, one.rules[i])
		for whole.rules[0].entities.n > 1 {
			whole.rules[0].entities.remove(max(whole.rules[0].entities.heard.head, whole.rules[0].entities.lost.head))
		}
		state, _ := whole.Snapshot()
		f.Add(state)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := New(rules)
		if err != nil {
			t.Fatal(err)
		}
		if e.Restore(data) != nil {
			return
		}
		key := AppendKey(nil, "e", "1")
		for n := range int64(50) {
			for i := range rules {
				e.Observe(i, key, &Sample{Time: 1e18 + n*1e10, Value: float64(n % 2)})
			}
			e.Check()
		}
		state, err := e.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		next, _ := New(rules)
		if err := next.Restore(state); err != nil {
			t.Fatalf("what was saved can't be restored: %v", err)
		}
	})
}

// A source may name another device after an update: an alarm that is up ends as the device that
// it began as, and what comes next is the new one's.
func TestRestoredEntitiesAreAskedForTheirDeviceAgain(t *testing.T) {
	rule := Rule{Bounds: Bounds{Above: ptr(0.8)}}
	old := one(t, rule)
	old.Device = func() string { return "3d12" }
	old.at(0, 0.9)
	state, err := old.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	e := one(t, rule)
	if err := e.Restore(state); err != nil {
		t.Fatal(err)
	}
	asked := 0
	e.Device = func() string { asked++; return "02:00" }
	for i, x := range []float64{0.9, 0.5, 0.9, 0.5, 0.9} {
		e.at(float64(10+10*i), x)
	}
	var got []string
	for _, o := range e.Events() {
		got = append(got, string(o.Phase)+" "+o.Device)
	}
	if want := []string{"fall 3d12", "rise 02:00", "fall 02:00", "rise 02:00"}; !slices.Equal(got, want) || asked != 1 {
		t.Errorf("%q, asked %d times; want %q", got, asked, want)
	}
}
