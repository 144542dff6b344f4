package threshold

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
)

const epoch = int64(1_770_000_000e9)

// tell drives one rule with numbers ten seconds apart and gives what it tells.
func one(t *testing.T, r Rule) *Engine {
	t.Helper()
	r.Name, r.Metric, r.Do = "r", "m", []string{Event}
	e, err := New([]Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func said(e *Engine) (all []string) {
	for _, o := range e.Events() {
		s := fmt.Sprintf("%s %s at %ds", o.Phase, o.Kind, (o.Time-epoch)/1e9)
		if o.Cause != "" {
			s += ", " + o.Cause
		}
		all = append(all, s)
	}
	return all
}

func expect(t *testing.T, e *Engine, want ...string) {
	t.Helper()
	if got := said(e); strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("told %q, want %q", got, want)
	}
}

var key = AppendKey(nil, "host.name", "edge-1")

func (e *Engine) at(seconds float64, value float64) Verdict {
	v := e.Observe(0, key, &Sample{Time: epoch + int64(seconds*1e9), Value: value})
	e.Check()
	return v
}

// Each thing that can be wrong with a point has a case.
func TestOddPoints(t *testing.T) {
	t.Run("NaN and infinite", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(1)}, MissingFor: time.Minute})
		e.at(0, 2)
		for i := range 8 {
			if v := e.at(float64(10+10*i), []float64{math.NaN(), math.Inf(1)}[i%2]); v.Outcome != NoNumber || !v.Up {
				t.Errorf("%+v", v)
			}
		}
		// A sensor that only says NaN is missing: that is no sign of life.
		expect(t, e, "rise above at 0s", "rise missing at 60s")
		if n := e.Tally(0).Points[NoNumber]; n != 8 {
			t.Errorf("%d counted", n)
		}
	})
	t.Run("a point that says it has no value", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Below: ptr(1)}})
		if v := e.Observe(0, key, &Sample{Time: epoch, Empty: true}); v.Outcome != NoNumber || v.Up {
			t.Errorf("%+v", v)
		}
	})
	t.Run("no time", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(1)}})
		if v := e.Observe(0, key, &Sample{Value: 2}); v.Outcome != NoTime {
			t.Errorf("%+v", v)
		}
	})
	t.Run("late and repeated", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(1)}, For: 20 * time.Second})
		e.at(0, 2)
		e.at(10, 2)
		if v := e.at(10, 0); v.Outcome != Duplicate {
			t.Errorf("%+v", v)
		}
		if v := e.at(5, 0); v.Outcome != Late {
			t.Errorf("%+v", v)
		}
		e.at(20, 2) // neither has broken what lasts
		expect(t, e, "rise above at 20s")
	})
	t.Run("a clock that was set back", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(1)}, For: 20 * time.Second})
		e.at(10000, 2)
		e.at(10010, 2)
		for i := range 6 {
			e.at(float64(5000+10*i), 2)
		}
		// Two points are late; from the third on they are the present, and last anew.
		expect(t, e, "rise above at 5040s")
		if c := e.Tally(0); c.SetBack != 1 || c.Points[Late] != 2 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("a gap", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(1)}, For: time.Minute})
		e.at(0, 2)
		e.at(30, 2)
		e.at(700, 2) // nobody knows what was between
		expect(t, e)
		e.at(760, 2)
		expect(t, e, "rise above at 760s")
		e.at(790, 2)
		e.at(1500, 2) // what is up stays up
		expect(t, e)
		e.at(1530, 0)
		expect(t, e, "fall above at 1530s")
	})
	t.Run("points an hour apart are no gaps", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(1)}, For: time.Minute})
		e.at(0, 2)
		e.at(3600, 2)
		expect(t, e, "rise above at 3600s")
	})
	t.Run("a counter that begins anew", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(5)}, Rate: "second"})
		count := func(at, start int64, total float64) Verdict {
			return e.Observe(0, key, &Sample{Time: epoch + at*1e9, Start: epoch + start*1e9, Value: total, Temporality: Cumulative})
		}
		for i, c := range []struct {
			at, start int64
			total     float64
			want      Outcome
			up        bool
		}{
			{10, 0, 100, First, false}, {20, 0, 200, Judged, true}, {30, 0, 210, Judged, false},
			{40, 0, 5, Reset, false},      // fell: no rate below zero
			{50, 0, 105, Judged, true},    //
			{60, 55, 1000, Reset, true},   // did not fall, but tells of another start
			{70, 55, 1000, Judged, false}, //
		} {
			if v := count(c.at, c.start, c.total); v.Outcome != c.want || v.Up != c.up {
				t.Errorf("%d: %+v", i, v)
			}
		}
	})
	t.Run("delta", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(5)}, Rate: "second"})
		if v := e.Observe(0, key, &Sample{Time: epoch + 10e9, Start: epoch, Value: 60, Temporality: Delta}); !v.Up {
			t.Errorf("%+v", v)
		}
		if v := e.Observe(0, key, &Sample{Time: epoch + 40e9, Value: 60, Temporality: Delta}); v.Up || v.Outcome != Judged {
			t.Errorf("%+v: the time is that since the point before", v)
		}
	})
	t.Run("histograms", func(t *testing.T) {
		for _, c := range []struct {
			value     string
			temporal  Temporality
			exponents bool
		}{{"p90", Delta, false}, {"p90", Cumulative, false}, {"p90", Delta, true}, {"p90", Cumulative, true}, {"mean", Delta, false}, {"mean", Cumulative, true}} {
			e := one(t, Rule{Bounds: Bounds{Above: ptr(3)}, Value: c.value})
			var total []float64
			var got []bool
			for i, values := range [][]float64{{1, 1, 1}, {1, 1.5}, {4, 5, 6, 7}, {1, 1, 1, 1, 1, 1, 1}} {
				if c.temporal == Delta {
					total = nil
				}
				total = append(total, values...)
				d := exponentialOf(3, total)
				if !c.exponents {
					d = &Distribution{Count: d.Count, Sum: d.Sum, HasSum: true, Bounds: []float64{2, 10}, Counts: []uint64{0, 0, 0}}
					for _, v := range total {
						if v <= 2 {
							d.Counts[0]++
						} else {
							d.Counts[1]++
						}
					}
				}
				v := e.Observe(0, key, &Sample{Time: epoch + int64(i)*10e9, Temporality: c.temporal, Distribution: d})
				if c.temporal == Cumulative && i == 0 && v.Outcome != First {
					t.Errorf("%+v: the first of a cumulative histogram tells of the time since its start: %+v", c, v)
				}
				got = append(got, v.Up)
			}
			if fmt.Sprint(got) != "[false false true false]" {
				t.Errorf("%+v: up %v", c, got)
			}
		}
	})
	t.Run("a histogram begins anew", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(3)}, Value: "count"})
		count := func(at, start int64, n uint64) Outcome {
			return e.Observe(0, key, &Sample{Time: epoch + at, Start: epoch + start, Temporality: Cumulative, Distribution: &Distribution{Count: n, Bounds: []float64{1}, Counts: []uint64{n, 0}}}).Outcome
		}
		for i, got := range []Outcome{count(1e9, 0, 100), count(2e9, 0, 110), count(3e9, 2.5e9, 200), count(4e9, 2.5e9, 201), count(5e9, 2.5e9, 7)} {
			if want := []Outcome{First, Judged, Reset, Judged, Reset}[i]; got != want {
				t.Errorf("%d: %s, want %s", i, got, want)
			}
		}
	})
	t.Run("too many buckets", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(3)}, Value: "p50"})
		if v := e.Observe(0, key, &Sample{Time: epoch, Distribution: &Distribution{Counts: make([]uint64, maxBuckets+1)}}); v.Outcome != NoValue {
			t.Errorf("%+v", v)
		}
	})
	t.Run("a number where a histogram was meant, and the reverse", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(3)}, Value: "p50"})
		if v := e.at(0, 7); v.Outcome != NoValue {
			t.Errorf("%+v", v)
		}
		e = one(t, Rule{Bounds: Bounds{Above: ptr(3)}})
		if v := e.Observe(0, key, &Sample{Time: epoch, Distribution: &Distribution{Count: 9}}); v.Outcome != NoValue {
			t.Errorf("%+v", v)
		}
	})
	t.Run("nothing to divide by", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(0.8)}, Over: Over{Metric: "limit", MaxAge: time.Minute}})
		if v := e.at(0, 90); v.Outcome != NoPartner {
			t.Errorf("%+v", v)
		}
		e.Partner(0, key, &Sample{Time: epoch + 10e9, Value: 100})
		if v := e.at(10, 90); !v.Up {
			t.Errorf("%+v", v)
		}
		if v := e.at(90, 0); v.Outcome != NoPartner || !v.Up {
			t.Errorf("%+v: what is too old counts", v)
		}
		e.Partner(0, key, &Sample{Time: epoch + 100e9, Value: 0})
		if v := e.at(100, 90); v.Outcome != NoNumber {
			t.Errorf("%+v: divided by zero", v)
		}
	})
	t.Run("a key too long", func(t *testing.T) {
		e := one(t, Rule{Bounds: Bounds{Above: ptr(3)}})
		if v := e.Observe(0, make([]byte, maxKey+1), &Sample{Time: epoch, Value: 7}); v.Outcome != TooLong || e.Entities(0) > 0 {
			t.Errorf("%+v", v)
		}
	})
}

// A million series meet a bound of ten thousand: those that are watched stay watched, the rest
// is counted, and memory does not grow.
func TestAMillionSeries(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	e := one(t, Rule{Bounds: Bounds{Above: ptr(0.8)}})
	for round := range 3 {
		for i := range n {
			k := AppendKey(nil, "id", fmt.Sprint(i))
			v := e.Observe(0, k, &Sample{Time: epoch + int64(round)*60e9, Value: 1})
			if want := i < defaultMany; (v.Outcome == Judged) != want || v.Up != want {
				t.Fatalf("series %d: %+v", i, v)
			}
		}
		e.Check()
	}
	tally := e.Tally(0)
	if e.Entities(0) != defaultMany || tally.Points[TooMany] != uint64(3*(n-defaultMany)) || tally.Rises != defaultMany {
		t.Errorf("%d entities, %+v", e.Entities(0), tally)
	}
	if got := len(e.rules[0].entities.chunks) * chunk; got > defaultMany+2*chunk {
		t.Errorf("room for %d entities", got)
	}
}

// Entities that went away make room: late where there is room, earlier where others need it.
func TestWhatHasGoneIsForgotten(t *testing.T) {
	e := one(t, Rule{Bounds: Bounds{Above: ptr(0.8)}, MaxEntities: 2})
	k := func(i int) []byte { return AppendKey(nil, "id", fmt.Sprint(i)) }
	at := func(i int, minutes int64) Outcome {
		v := e.Observe(0, k(i), &Sample{Time: epoch + minutes*60e9, Value: 1})
		e.Check()
		return v.Outcome
	}
	at(0, 0)
	at(1, 0)
	if got := at(2, 30); got != TooMany {
		t.Errorf("%s after half an hour", got)
	}
	at(1, 59)
	if got := at(2, 60); got != Judged {
		t.Errorf("%s, though another was silent for an hour", got)
	}
	expect(t, e, "rise above at 0s", "rise above at 0s", "fall above at 3600s, evicted", "rise above at 3600s")
	for m := int64(60); m < 60*27; m += 30 {
		at(2, m)
	}
	expect(t, e, "fall above at 93600s, silent")
	if e.Entities(0) != 1 || e.Tally(0).Evicted != 1 {
		t.Errorf("%d entities, %+v", e.Entities(0), e.Tally(0))
	}
}

// The engine's own clock: what leaps is not held against those that are silent.
func TestTheClock(t *testing.T) {
	rule := Rule{MissingFor: 5 * time.Minute}
	k := func(i int) []byte { return AppendKey(nil, "id", fmt.Sprint(i)) }
	observe := func(e *Engine, i int, s int64) { e.Observe(0, k(i), &Sample{Time: epoch + s*1e9, Value: 1}) }
	t.Run("silence", func(t *testing.T) {
		e := one(t, rule)
		observe(e, 1, 0)
		for s := int64(0); s <= 300; s += 10 {
			observe(e, 0, s)
			e.Check()
		}
		expect(t, e, "rise missing at 300s")
		observe(e, 1, 310)
		expect(t, e, "fall missing at 310s")
	})
	t.Run("nobody speaks", func(t *testing.T) {
		e := one(t, rule)
		observe(e, 0, 0)
		e.Check()
		e.Tick(epoch + 299e9)
		expect(t, e)
		e.Tick(epoch + 300e9)
		expect(t, e, "rise missing at 300s")
	})
	t.Run("a tick before any point", func(t *testing.T) {
		e := one(t, rule)
		e.Tick(epoch)
		if e.Now() != 0 {
			t.Error("a tick made a time")
		}
	})
	t.Run("a recording pauses for a night", func(t *testing.T) {
		e := one(t, rule)
		for s := int64(0); s < 100; s += 10 {
			observe(e, 0, s)
			observe(e, 1, s)
			e.Check()
		}
		for s := int64(43200); s < 43300; s += 10 {
			observe(e, 0, s)
			e.Check()
			observe(e, 1, s)
			e.Check()
		}
		expect(t, e)
	})
	t.Run("one source has a clock a year ahead", func(t *testing.T) {
		e := one(t, rule)
		for s := int64(0); s <= 400; s += 10 {
			observe(e, 0, s)
			if s == 0 {
				observe(e, 1, s)
			}
			e.Check()
			observe(e, 2, s+365*86400)
			e.Check()
		}
		// It neither makes others missing nor hides that one is.
		expect(t, e, "rise missing at 300s")
	})
	t.Run("all clocks are set back", func(t *testing.T) {
		e := one(t, rule)
		for s := int64(0); s < 600; s += 10 {
			observe(e, 0, s+90000)
			e.Check()
		}
		observe(e, 1, 90600)
		e.Check()
		for s := int64(0); s < 400; s += 10 {
			observe(e, 0, s)
			e.Check()
		}
		all := said(e)
		if len(all) != 1 || !strings.HasPrefix(all[0], "rise missing") {
			t.Errorf("%q: entity 1 is missing, and nobody else", all)
		}
	})
}

func TestWords(t *testing.T) {
	e := one(t, Rule{Steps: []Step{{"warn", Bounds{Above: ptr(0.8), Clear: ptr(0.7)}}, {"critical", Bounds{Above: ptr(0.95)}}}, For: 10 * time.Second, MissingFor: 2 * time.Minute, Unit: "1"})
	e.Device = func() string { return "edge-1" }
	for i, x := range []float64{0.5, 0.9, 0.91, 0.97, 0.98, 0.5} {
		e.at(float64(10*i), x)
	}
	e.Tick(epoch + 3*60e9)
	e.at(200, 0.5)
	var got []string
	var events []baseline.Observation
	for _, o := range e.Events() {
		got = append(got, o.Summary)
		events = append(events, o)
	}
	want := []string{
		"r (host.name=edge-1): m is 0.91, for 10s",
		"r (host.name=edge-1): now critical, m is 0.98, for 30s",
		"r (host.name=edge-1): well again, 0.5 after 40s, at worst 0.98",
		"r (host.name=edge-1): no m for 2m10s",
		"r (host.name=edge-1): m is back after 2m30s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	for i, o := range events { // the evidence says whom it is about, and by which rule
		if rs := o.Anomaly.Reasons; (len(rs) > 0) != (o.Phase != baseline.Fall) || len(rs) > 0 && rs[0].Seen != want[i] {
			t.Errorf("%+v", o)
		}
	}
	rise := events[0]
	if rise.Device != "edge-1" || rise.High != 0.8 || rise.Severity != "warn" || rise.Anomaly.Score != 0.6 || rise.Anomaly.Reasons[0].Kind != baseline.Threshold ||
		rise.Anomaly.Reasons[0].Expected != "m at most 0.8" {
		t.Errorf("%+v", rise)
	}
	if events[1].High != 0.95 || events[2].Anomaly.Score != 0 || events[2].ID != rise.ID || events[3].ID == rise.ID || events[4].ID != events[3].ID {
		t.Errorf("%+v", events)
	}
}

// A host that has a name needs no number in a sentence; the entity has them all.
func TestWordsOfAHost(t *testing.T) {
	for want, entity := range map[string][]string{
		"":                                nil,
		" (host.name=vm, mp=/a)":          {"device.id=02:00", "host.id=3d12", "host.name=vm", "mp=/a", "os.type=linux"},
		" (device.id=02:00, os.type=aix)": {"device.id=02:00", "os.type=aix"},
	} {
		was := slices.Clone(entity)
		if got := whom(entity); got != want || !slices.Equal(was, entity) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What flaps and then falls silent, or whose rule goes, ends too.
func TestFlappingThatIsForgottenEnds(t *testing.T) {
	rule := Rule{Bounds: Bounds{Above: ptr(0.8)}, Flapping: Flapping{Changes: 4, Within: time.Hour}}
	flap := func() *Engine {
		e := one(t, rule)
		for i := range 4 {
			e.at(float64(10*i), float64((i+1)%2))
		}
		if all := said(e); len(all) != 4 || !strings.HasPrefix(all[3], "flapping") {
			t.Fatalf("%q", all)
		}
		return e
	}
	e := flap()
	for h := range 30 {
		e.Tick(epoch + int64(h)*int64(time.Hour))
	}
	if all := e.Events(); len(all) != 1 || all[0].Phase != baseline.Fall || all[0].Cause != "silent" {
		t.Errorf("%+v", all)
	}
	e = flap()
	data, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	rule.Bounds.Above = ptr(0.9)
	e = one(t, rule)
	if err := e.Restore(data); err != nil {
		t.Fatal(err)
	}
	if all := e.Events(); len(all) != 1 || all[0].Phase != baseline.Fall || all[0].Cause != "the rule has changed" {
		t.Errorf("%+v", all)
	}
}

func TestSummary(t *testing.T) {
	e := one(t, Rule{Bounds: Bounds{Above: ptr(0.8)}, MissingFor: time.Minute})
	e.Quiet = true
	for i := range 30 {
		e.at(float64(10*i), float64(i/10%2))
	}
	e.at(290, 0) // once more
	e.Tick(epoch + 400e9)
	want := `Rule "r" would have fired 2 times, of these 1 for a missing entity, for 1 entities of 1 held at the end; past its bound for 1m40s in all and 1m40s at the longest` +
		"; first 2026-02-02T02:41:40Z, last 2026-02-02T02:46:40Z. Points: 30 judged, 1 duplicate."
	if got := e.Summary(0); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if len(e.Events()) > 0 {
		t.Error("a dry run tells")
	}
}

func TestMisfits(t *testing.T) {
	const never, always, endless = "The rule can never fire", "The rule always fires", "An alarm of the rule can never end"
	for _, c := range []struct {
		metric, unit string
		bounds       Bounds
		want         []Misfit
	}{
		{"system.cpu.utilization", "1", Bounds{Above: ptr(80)}, []Misfit{{never, "bound", 80, 0.8}}},
		{"system.cpu.utilization", "1", Bounds{Above: ptr(1)}, []Misfit{{never, "bound", 1, 0}}},
		{"system.cpu.utilization", "1", Bounds{Above: ptr(0.8)}, nil},
		{"system.cpu.utilization", "%", Bounds{Above: ptr(80)}, nil},
		{"system.cpu.time", "1", Bounds{Above: ptr(80)}, nil},
		{"system.cpu.utilization", "1", Bounds{Below: ptr(-1)}, []Misfit{{never, "bound", -1, 0}}},
		{"system.cpu.utilization", "1", Bounds{Below: ptr(0)}, []Misfit{{never, "bound", 0, 0}}},
		{"system.cpu.utilization", "1", Bounds{Below: ptr(20)}, []Misfit{{always, "bound", 20, 0.2}}},
		{"system.cpu.utilization", "1", Bounds{Above: ptr(-1)}, []Misfit{{always, "bound", -1, 0}}},
		{"system.cpu.utilization", "1", Bounds{Below: ptr(0.5), Clear: ptr(2)}, []Misfit{{endless, "clear", 2, 0.02}}},
		{"system.cpu.utilization", "1", Bounds{Below: ptr(0.5), Clear: ptr(1)}, nil},
		{"system.cpu.utilization", "1", Bounds{Above: ptr(0.5), Clear: ptr(-1)}, []Misfit{{endless, "clear", -1, 0}}},
		{"system.cpu.utilization", "1", Bounds{Above: ptr(0.5), Clear: ptr(0)}, nil},
		{"system.cpu.utilization", "1", Bounds{Outside: []float64{0, 1}}, []Misfit{{never, "bound", 1, 0}}},
		{"system.cpu.utilization", "1", Bounds{Outside: []float64{0.1, 90}}, nil},
		{"system.cpu.utilization", "1", Bounds{Outside: []float64{0.1, 90}, ClearWithin: []float64{20, 80}}, []Misfit{{endless, "clear_within", 20, 0.2}}},
		{"system.cpu.utilization", "1", Bounds{Outside: []float64{10, 90}}, []Misfit{{always, "bound", 10, 0.1}}},
	} {
		e, err := New([]Rule{{Name: "r", Metric: c.metric, Bounds: c.bounds}})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Misfits(0, c.unit); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
	e, err := New([]Rule{{Name: "r", Metric: "x.utilization", Steps: []Step{{"warn", Bounds{Above: ptr(0.8)}}, {"critical", Bounds{Above: ptr(95)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Misfits(0, "1"); !slices.Equal(got, []Misfit{{"The step critical can never fire", "bound", 95, 0.95}}) {
		t.Error(got)
	}
}

// What nobody fetches does not grow without bound, and is counted.
func TestUntold(t *testing.T) {
	e := one(t, Rule{Bounds: Bounds{Above: ptr(0.8)}})
	for i := range maxTold + 10 {
		e.Observe(0, key, &Sample{Time: epoch + int64(i), Value: float64(1 - i%2)})
	}
	if len(e.told) != maxTold || e.Untold != 10 {
		t.Errorf("%d told, %d not", len(e.told), e.Untold)
	}
}
