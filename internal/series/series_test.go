package series

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const monday = 1767571200 // 5 January 2026, 00:00 UTC

func sec(n int64) int64 { return (monday + n) * 1e9 }

// daily is a series with a curve of the day.
func daily(r *rand.Rand, at int64) float64 {
	return 50 + 10*math.Sin(2*math.Pi*float64(at%day)/day) + r.NormFloat64()
}

// taught has seen four weeks, a point in five minutes.
func taught(t testing.TB, value func(r *rand.Rand, at int64) float64) (Series, *rand.Rand, int64) {
	t.Helper()
	var s Series
	var utc Clock
	r := rand.New(rand.NewPCG(1, 2))
	at := int64(0)
	for ; at < 4*week; at += 300 {
		v, out := s.Observe(&utc, sec(at), value(r, at))
		if out != Learned || v.Phase != Quiet {
			t.Fatalf("after %.1f days: %v %+v", float64(at)/day, out, v)
		}
	}
	return s, r, at
}

func TestWhatMovedAndByHowMuch(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(v, last float64) float64
		kind   Kind
		by     float64 // deviations
	}{
		{"up", func(v, _ float64) float64 { return v + 8 }, LevelShift, 8},
		{"down", func(v, _ float64) float64 { return v - 8 }, LevelShift, -8},
		{"scatter", func(v, _ float64) float64 { return 50 + 3*(v-50) }, Variance, 0},
		{"stuck", func(_, last float64) float64 { return last }, Stuck, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r, at := taught(t, func(r *rand.Rand, _ int64) float64 { return 50 + r.NormFloat64() })
			var utc Clock
			last, began := 49.5, 0
			var v Verdict
			for end := at + 2*hour; at < end; at += 300 {
				last = c.change(50+r.NormFloat64(), last)
				if v, _ = s.Observe(&utc, sec(at), last); v.Phase == Began {
					began++
				}
			}
			if v.Kind != c.kind || v.Phase != Holds || began != 1 {
				t.Fatalf("%v %v, began %d times: %+v", v.Kind, v.Phase, began, v)
			}
			if c.by != 0 && math.Abs(v.Change-c.by) > 1.5 {
				t.Errorf("it moved by %.1f, want %.1f", v.Change, c.by)
			}
			if c.kind == Variance && (v.Sigmas < 1.9 || v.Sigmas > 4) {
				t.Errorf("it scatters %.1f times as much, want about 3", v.Sigmas)
			}
			// And when all is as it was, the alarm is over.
			for end := at + 4*hour; at < end && v.Phase != Ended; at += 300 {
				v, _ = s.Observe(&utc, sec(at), 50+r.NormFloat64())
			}
			if v.Phase != Ended || v.Kind != c.kind {
				t.Errorf("it does not end: %+v", v)
			}
		})
	}
}

func TestALevelThatStaysIsTheNewOne(t *testing.T) {
	s, r, at := taught(t, daily)
	var utc Clock
	phases := map[Phase]int{}
	for end := at + 3*week; at < end; at += 300 {
		v, _ := s.Observe(&utc, sec(at), daily(r, at)+12)
		if v.Phase != Holds && v.Phase != Quiet {
			phases[v.Phase]++
		}
	}
	if phases[Began] != 1 || phases[Ended] != 1 {
		t.Errorf("%v: it must begin once, and end when it is taken for usual", phases)
	}
}

func TestForecast(t *testing.T) {
	s, r, at := taught(t, daily)
	var utc Clock
	inside, n := 0, 0
	for ahead := int64(0); ahead < 7*day; ahead += 1800 {
		f, ok := s.Forecast(&utc, sec(at+ahead))
		if !ok || f.Until <= sec(at+ahead) || f.Until > sec(at+ahead+hour) || f.Until%(3600*1e9) != 0 {
			t.Fatalf("%+v %v", f, ok)
		}
		if math.Abs(f.Expected-(50+10*math.Sin(2*math.Pi*float64((at+ahead)%day)/day))) > 2 {
			t.Fatalf("in %d s %.1f is expected", ahead, f.Expected)
		}
		if f.High-f.Low < 4 || f.High-f.Low > 14 {
			t.Fatalf("from %.1f to %.1f is expected, of a noise of 1", f.Low, f.High)
		}
		if x := daily(r, at+ahead); x >= f.Low && x <= f.High {
			inside++
		}
		n++
	}
	if inside < n*97/100 {
		t.Errorf("%d of %d values are within their bounds", inside, n)
	}
	if _, ok := new(Series).Forecast(&utc, sec(0)); ok {
		t.Error("nothing can be expected of a series that was never seen")
	}
}

// A point in a series that was never below 0 is not expected there.
func TestNoNegativeBytes(t *testing.T) {
	s, _, at := taught(t, func(r *rand.Rand, _ int64) float64 { return math.Abs(r.NormFloat64()) })
	var utc Clock
	if f, ok := s.Forecast(&utc, sec(at)); !ok || f.Low != 0 {
		t.Errorf("%+v", f)
	}
}

func TestPointsThatTeachNothing(t *testing.T) {
	s, r, at := taught(t, daily)
	var utc Clock
	last := sec(at - 300)
	for _, c := range []struct {
		name string
		t    int64
		v    float64
		want Outcome
	}{
		{"NaN", sec(at), math.NaN(), NotANumber},
		{"infinite", sec(at), math.Inf(-1), NotANumber},
		{"beyond all", sec(at), 1e36, NotANumber},
		{"the same again", last, 50, Duplicate},
		{"late", last - 1, 50, Late},
		{"an hour late, once", last - 3600e9, 50, Late},
	} {
		before := s
		before.early = 0
		v, out := s.Observe(&utc, c.t, c.v)
		s.early = 0
		if out != c.want || v != (Verdict{}) {
			t.Errorf("%s: %v %+v, want %v", c.name, out, v, c.want)
		}
		if s != before {
			t.Errorf("%s: it taught something", c.name)
		}
	}
	// A clock that was set back by two hours is followed after some points.
	for i := range int64(10) {
		_, out := s.Observe(&utc, last-7200e9+i*300e9, daily(r, at))
		if want := map[bool]Outcome{true: Late, false: Learned}[i < turns-1]; out != want {
			t.Errorf("point %d after the clock was set back: %v, want %v", i, out, want)
		}
	}
}

// The scale and the sign of a series change nothing of its score.
func TestScale(t *testing.T) {
	for _, c := range []struct{ factor, shift float64 }{{-1, 0}, {1024, 0}, {1.0 / 1024, 0}, {1, 1 << 20}, {-512, 4096}} {
		var a, b Series
		var utc Clock
		r := rand.New(rand.NewPCG(3, 4))
		for at := int64(0); at < 3*week; at += 600 {
			// Few digits, so that neither loses any.
			x := math.Round(daily(r, at)*64) / 64
			if at == 2*week {
				x = 100
			}
			va, _ := a.Observe(&utc, sec(at), x)
			vb, _ := b.Observe(&utc, sec(at), x*c.factor+c.shift)
			if math.Abs(va.Score-vb.Score) > 0.02 || va.Phase != vb.Phase {
				t.Fatalf("%v: at %d %.4f %v, and %.4f %v", c, at, va.Score, va.Phase, vb.Score, vb.Phase)
			}
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	set := New(NewDefaultConfig())
	r := rand.New(rand.NewPCG(1, 1))
	at, total := int64(0), 0.0
	set.Begin(sec(0))
	step := func() {
		total += 1000 + 10*r.Float64()
		set.Gauge(Key{1}, sec(at), daily(r, at))
		set.Counter(Key{2}, sec(0), sec(at), total)
		set.Mean(Key{3}, sec(0), sec(at), float64(at), total)
		set.Begin(sec(at))
		at += 60
	}
	for range 2000 {
		step()
	}
	if n := testing.AllocsPerRun(2000, step); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
	if Size > 3000 {
		t.Errorf("a series takes %d bytes", Size)
	}
}

func TestClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	c := NewClock(berlin)
	var utc Clock
	r := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		at := r.Int64N(4e9) - 1e9
		for _, x := range []struct {
			clock *Clock
			zone  *time.Location
		}{{&c, berlin}, {&utc, time.UTC}} {
			l := time.Unix(at, 0).In(x.zone)
			want := int64((l.Weekday()+6)%7)*day + int64(l.Hour()*hour+l.Minute()*60+l.Second())
			if got := x.clock.local(at); got != want {
				t.Fatalf("%v in %v: second %d of the week, want %d", l, x.zone, got, want)
			}
		}
	}
}

func TestLn(t *testing.T) {
	for x := 1e-30; x < 1e30; x *= 1.37 {
		if got, want := ln(x), math.Log(x); math.Abs(got-want) > 2e-7 {
			t.Errorf("ln %v is %v, not %v", x, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	const w = 1
	gain := float32(math.Exp(decay))
	var h histogram
	r := rand.New(rand.NewPCG(7, 8))
	for range 5000 {
		h.score(r.NormFloat64(), 10, w, gain)
	}
	sum := float32(0)
	for _, b := range h.bin {
		sum += b / h.scale
	}
	if math.Abs(float64(sum/h.mass-1)) > 1e-3 {
		t.Errorf("the bins hold %.1f, the mass is %.1f", sum, h.mass)
	}
	at := func(y float64) float64 { c := h; return c.score(y, 10, w, gain) }
	if a, b, c := at(0), at(2.5), at(50); !(a < b && b < c && c > 8) {
		t.Errorf("0 scores %.1f, 2.5 %.1f and 50 %.1f", a, b, c)
	}
	// One value far out must not hide what is near.
	width := h.hi - h.lo
	h.score(1e6, 1e6, w, gain)
	if got := h.hi - h.lo; got > (grow+1.01)*width {
		t.Errorf("one value made the range %.1f, from %.1f", got, width)
	}
	for range 500 {
		for range 25 {
			h.score(r.NormFloat64(), 10, w, gain)
		}
		h.shrink(10)
	}
	if got := h.hi - h.lo; got > 2.2*width {
		t.Errorf("the range is %.1f, and does not shrink to about %.1f", got, width)
	}
}

func FuzzObserve(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, int64(60e9), 1.0)
	f.Add([]byte{0, 0, 0, 255, 255, 0, 0}, int64(1), 1e35)
	f.Add([]byte{9, 200, 9, 200}, int64(-3600e9), -1e-300)
	f.Add([]byte{1, 1, 1, 1, 1, 1, 1, 1}, int64(86400e9*300), 5e-324)
	f.Fuzz(func(t *testing.T, data []byte, step int64, scale float64) {
		set := New(Config{MaxSeries: 2, Forget: time.Hour})
		at := sec(0)
		for i, b := range data {
			at += step * int64(b%7)
			set.Begin(at)
			v, _ := set.Gauge(Key{1}, at, (float64(b)-100)*scale)
			w, _ := set.Counter(Key{2}, 0, at, float64(i)*scale)
			for _, x := range []float64{v.Score, v.Expected, v.Low, v.High, v.Change, v.Sigmas, v.Above, w.Score, w.Change} {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					t.Fatalf("point %d: %+v %+v", i, v, w)
				}
			}
		}
		state, err := set.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := New(set.cfg).Restore(state); err != nil {
			t.Fatalf("what was learned can't be restored: %v", err)
		}
	})
}

// One reading of a broken sensor is told, and forgotten: a week later a shift is found as if it
// had not come, and in between there is peace.
func TestOneBadReading(t *testing.T) {
	for _, bad := range []float64{0, 65535} {
		var s Series
		var c Clock
		r := rand.New(rand.NewPCG(1, 2))
		const start = int64(1767571200e9)
		early, found := 0, false
		for i := range 61 * 1440 {
			at, v := start+int64(i)*60e9, 20+r.NormFloat64()
			switch {
			case i == 10*1440 && bad != 0:
				v = bad
			case i >= 60*1440:
				v += 20
			}
			w, _ := s.Observe(&c, at, v)
			if w.Phase == Began {
				if i >= 60*1440 {
					found = true
				} else if i > 11*1440 {
					early++
				}
			}
		}
		if !found || early > 1 {
			t.Errorf("after a reading of %v: %d alarms, the shift found: %v", bad, early, found)
		}
	}
}
