package series

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/monban/monban/internal/form"
	"github.com/monban/monban/internal/form/formtest"
)

func checkpoint(t testing.TB, s *Set) []byte {
	t.Helper()
	data, err := s.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Every field of the state is there after a hand-over.
func TestCheckpointIsWhole(t *testing.T) {
	for seed := range uint64(5) {
		s := small(100)
		for k := range uint64(70) {
			x := s.slot(Key{k, k + 7})
			formtest.Fill(x, seed+k, "slot.key")
			x.heard, x.series.low, x.series.high = int64(k)+1, -3, 5
			for i := range x.series.views {
				h := &x.series.views[i]
				h.lo, h.hi = -1, 1
			}
			x.series.rules.hourNow, x.series.rules.dayNow, x.series.rules.alarm, x.series.lnGap = 3, 2, Stuck, 5
			x.series.derive()
		}
		s.release(s.index[Key{5, 12}])
		s.release(s.index[Key{2, 9}])
		s.now, s.hand, s.Freed = 1000, 17, 0
		next := small(100)
		if err := next.Resume(checkpoint(t, s)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(next, s) {
			t.Errorf("got %+v\nwant %+v", next, s)
		}
	}
}

// coming are series that come and go, of which some are refused, and of clocks that are set back.
func coming(s *Set, seed uint64, pause func()) (all []Verdict, outs []Outcome) {
	r := rand.New(rand.NewPCG(seed, 1))
	now, last := int64(100*day*1e9), map[Key]float64{}
	for range 4000 {
		now += int64(r.IntN(600)) * 1e9
		if r.IntN(300) == 0 {
			now += int64(r.IntN(14)) * day * 1e9
		}
		if r.IntN(400) == 0 {
			now -= 2 * day * 1e9
		}
		s.Begin(now)
		k := Key{uint64(r.IntN(1 + r.IntN(40)))}
		at := now
		if r.IntN(10) == 0 {
			at -= int64(r.IntN(3)) * 3600e9
		}
		var v Verdict
		var out Outcome
		if k[0]%2 == 0 {
			v, out = s.Gauge(k, at, r.NormFloat64())
		} else {
			last[k] += float64(r.IntN(100))
			v, out = s.Counter(k, 0, at, last[k])
		}
		all, outs = append(all, v), append(outs, out)
		f, _ := s.Forecast(k, now+3600e9)
		all = append(all, f)
		pause()
	}
	return all, outs
}

func TestHandOverChangesNothing(t *testing.T) {
	for seed := range uint64(4) {
		a, b := New(Config{MaxSeries: 20, Forget: 48 * time.Hour}), New(Config{MaxSeries: 20, Forget: 48 * time.Hour})
		va, oa := coming(a, seed, func() {})
		r, times := rand.New(rand.NewPCG(seed, 2)), 0
		vb, ob := coming(b, seed, func() {
			if r.IntN(40) > 0 {
				return
			}
			times++
			data := checkpoint(t, b)
			next := New(b.cfg)
			if err := next.Resume(data); err != nil {
				t.Fatal(err)
			}
			next.Points, next.Freed, next.Full = b.Points, b.Freed, b.Full
			if *b = *next; !bytes.Equal(checkpoint(t, b), data) {
				t.Fatal("taken over, the state gives other bytes")
			}
		})
		if !slices.Equal(va, vb) || !slices.Equal(oa, ob) {
			t.Error("after hand-overs the verdicts are others")
		}
		if a.Points != b.Points || a.Freed != b.Freed || a.Full != b.Full || times < 20 || a.Freed < 20 || a.Full < 20 || a.Points[Reset] == 0 {
			t.Errorf("%d hand-overs; freed %d and %d, refused %d and %d", times, a.Freed, b.Freed, a.Full, b.Full)
		}
		if !bytes.Equal(checkpoint(t, a), checkpoint(t, b)) {
			t.Error("in the end the state is other")
		}
	}
}

func TestCheckpointOfNoUse(t *testing.T) {
	s := small(100)
	lesson(s, 0, day)
	s.release(s.index[Key{1}])
	good := checkpoint(t, s)
	spoilt := func(spoil func(s *Set)) []byte {
		x := small(100)
		if err := x.Resume(good); err != nil {
			t.Fatal(err)
		}
		spoil(x)
		return checkpoint(t, x)
	}
	w := form.Writer(0)
	w.Head("series", formVersion+1, nil)
	snapshot, _ := s.Snapshot()
	for name, c := range map[string]struct {
		data []byte
		is   error
	}{
		"empty": {nil, form.ErrDamaged}, "cut": {good[:len(good)-1], form.ErrDamaged}, "longer": {append(bytes.Clone(good), 0), form.ErrDamaged},
		"another version": {w.Bytes(), ErrVersion}, "a snapshot": {snapshot, form.ErrDamaged},
		"free twice":    {spoilt(func(s *Set) { s.free[0] = s.free[1] }), form.ErrDamaged},
		"free nowhere":  {spoilt(func(s *Set) { s.free[0] = 1 << 30 }), form.ErrDamaged},
		"free and used": {spoilt(func(s *Set) { s.free[0] = s.index[Key{2}] }), form.ErrDamaged},
		"one is lost":   {spoilt(func(s *Set) { s.free = s.free[1:] }), form.ErrDamaged},
		"twice":         {spoilt(func(s *Set) { s.at(s.index[Key{2}]).key = Key{3} }), form.ErrDamaged},
		"a hand beyond": {spoilt(func(s *Set) { s.hand = 64 }), form.ErrDamaged},
		"unsound":       {spoilt(func(s *Set) { s.at(s.index[Key{2}]).series.rules.hourNow = 200 }), form.ErrDamaged},
	} {
		x := small(100)
		lesson(x, 0, 3600)
		before := checkpoint(t, x)
		if err := x.Resume(c.data); !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", name, err, c.is)
		}
		if !bytes.Equal(checkpoint(t, x), before) {
			t.Errorf("%s: it changed something", name)
		}
	}
	tight := small(3)
	if err := tight.Resume(good); err == nil || tight.Len() != 0 {
		t.Errorf("too many were taken: %d, %v", tight.Len(), err)
	}
}

func FuzzResume(f *testing.F) {
	s := small(10)
	f.Add(checkpoint(f, s))
	s.Gauge(Key{1}, sec(0), 1)
	s.Gauge(Key{1}, sec(60), 2)
	s.Counter(Key{2}, 0, sec(60), 2)
	f.Add(checkpoint(f, s))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := small(10)
		if s.Resume(data) != nil {
			if s.Len() != 0 || len(s.free) != 0 {
				t.Fatal("half taken")
			}
			return
		}
		for k := range s.index {
			for i := range int64(50) {
				s.Begin(sec(i * 3000))
				s.Gauge(k, sec(i*3000), float64(i))
				s.Gauge(Key{7, uint64(i)}, sec(i*3000), float64(i))
			}
			s.Forecast(k, sec(5000))
		}
		if s.Len() > 10 {
			t.Fatalf("%d series", s.Len())
		}
	})
}
