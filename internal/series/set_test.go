package series

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func small(n int) *Set {
	s := New(Config{MaxSeries: n, Forget: 24 * time.Hour})
	s.Begin(sec(0))
	return s
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		good bool
	}{
		{NewDefaultConfig(), true},
		{Config{MaxSeries: 0, Forget: time.Hour}, false},
		{Config{MaxSeries: 1000001, Forget: time.Hour}, false},
		{Config{MaxSeries: 1, Forget: time.Minute}, false},
	} {
		if err := c.cfg.Validate(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
	s := small(100)
	for i := range uint64(150) {
		_, out := s.Gauge(Key{i, 1}, sec(0), 1)
		if want := map[bool]Outcome{true: Learned, false: Refused}[i < 100]; out != want {
			t.Fatalf("series %d: %v", i, out)
		}
	}
	if s.Len() != 100 || s.Full != 50 || s.Points[Refused] != 50 || s.Points[Learned] != 100 {
		t.Fatalf("%d held, %d times full, %v", s.Len(), s.Full, s.Points)
	}
	// What is heard keeps its place; what was silent for an hour makes room.
	s.Begin(sec(2 * hour))
	for i := range uint64(60) {
		s.Gauge(Key{i, 1}, sec(2*hour), 1)
	}
	taken := 0
	for i := uint64(200); i < 300; i++ {
		if _, out := s.Gauge(Key{i, 1}, sec(2*hour), 1); out == Learned {
			taken++
		}
	}
	if taken != 40 || s.Len() != 100 || s.Freed != 40 {
		t.Errorf("%d taken, %d held, %d freed", taken, s.Len(), s.Freed)
	}
	for i := range uint64(60) {
		if _, out := s.Gauge(Key{i, 1}, sec(2*hour+60), 1); out != Learned {
			t.Fatalf("series %d lost its place", i)
		}
	}
}

func TestSeriesThatGoAway(t *testing.T) {
	s := small(10000)
	for i := range uint64(5000) {
		s.Gauge(Key{i}, sec(0), 1)
	}
	for h := int64(1); h < 100; h++ {
		for m := range int64(60) {
			s.Begin(sec(h*hour + m*60))
			s.Gauge(Key{7}, sec(h*hour+m*60), float64(m))
		}
	}
	if s.Len() != 1 || s.Freed != 4999 {
		t.Errorf("%d held, %d freed", s.Len(), s.Freed)
	}
	chunks := len(s.slots)
	for i := range uint64(5000) {
		s.Gauge(Key{i, 2}, sec(100*hour), 1)
	}
	if len(s.slots) > chunks+1 {
		t.Errorf("freed places are not used again: %d chunks, then %d", chunks, len(s.slots))
	}
}

// rates lists what a series was taught, by what the histogram of values holds at its ends.
func TestCounter(t *testing.T) {
	s := small(10)
	k := Key{1}
	for _, c := range []struct {
		name     string
		start, t int64
		v        float64
		want     Outcome
		rate     float64
	}{
		{"first", 10, 100, 1000, First, 0},
		{"a rate", 10, 110, 1100, Learned, 10},
		{"nothing", 10, 120, 1100, Learned, 0},
		{"over a gap", 10, 220, 2100, Learned, 10},
		{"twice", 10, 220, 2200, Duplicate, 0},
		{"late", 10, 215, 2050, Late, 0},
		{"fallen", 10, 230, 50, Reset, 0},
		{"goes on", 10, 240, 150, Learned, 10},
		{"started again and already higher", 245, 250, 9999, Reset, 0},
		{"goes on again", 245, 260, 10009, Learned, 1},
		{"no number", 245, 270, math.NaN(), NotANumber, 0},
		{"over the one that was none", 245, 280, 10029, Learned, 1},
		{"a start that was wrong at first", 240, 290, 10039, Learned, 1},
	} {
		v, out := s.Counter(k, sec(c.start), sec(c.t), c.v)
		if out != c.want || out == Learned && math.Abs(v.Value-c.rate) > 1e-9 {
			t.Errorf("%s: %v of %v, want %v of %v", c.name, out, v.Value, c.want, c.rate)
		}
	}
	if s.Points[Reset] != 2 || s.Points[Learned] != 7 {
		t.Errorf("%v", s.Points)
	}
	// A clock set back by a day is followed in the end.
	for i := range int64(6) {
		_, out := s.Counter(k, 0, sec(-86400+i*10), 20000+10*float64(i))
		if want := []Outcome{Late, Late, Reset, Late, Late, Learned}[i]; out != want {
			t.Errorf("point %d after the clock was set back: %v, want %v", i, out, want)
		}
	}
}

func TestMeanAndDelta(t *testing.T) {
	s := small(10)
	s.Mean(Key{1}, 0, sec(0), 10, 100)
	if v, out := s.Mean(Key{1}, 0, sec(10), 14, 120); out != Learned || v.Value != 5 {
		t.Errorf("%v %v", v.Value, out)
	}
	if _, out := s.Mean(Key{1}, 0, sec(20), 14, 120); out != Empty {
		t.Errorf("nothing was added: %v", out)
	}
	if _, out := s.Mean(Key{1}, 0, sec(30), 3, 9); out != Reset {
		t.Errorf("it was reset: %v", out)
	}
	if v, out := s.Delta(Key{2}, sec(0), sec(10), 50); out != Learned || v.Value != 5 {
		t.Errorf("%v %v", v.Value, out)
	}
	if v, out := s.Delta(Key{3}, 0, sec(10), 50); out != Learned || v.Value != 50 {
		t.Errorf("since when it was added is not known: %v %v", v.Value, out)
	}
}

// lesson teaches a set a week of some series.
func lesson(s *Set, from, to int64) (all []Verdict) {
	for at := from; at < to; at += 300 {
		s.Begin(sec(at))
		for k := range uint64(4) {
			r := rand.New(rand.NewPCG(k, uint64(at)))
			v, _ := s.Gauge(Key{k}, sec(at), daily(r, at)*float64(k))
			w, _ := s.Counter(Key{k, 1}, sec(0), sec(at), float64(at)*(1+float64(k)))
			all = append(all, v, w)
		}
	}
	return all
}

func TestRestart(t *testing.T) {
	whole, first := small(100), small(100)
	lesson(whole, 0, 2*week)
	lesson(first, 0, 2*week)
	state, err := first.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	second := small(100)
	if err := second.Restore(state); err != nil {
		t.Fatal(err)
	}
	if a, b := lesson(whole, 2*week, 3*week), lesson(second, 2*week, 3*week); !slices.Equal(a, b) {
		t.Error("after a restart the verdicts are others")
	}
	if per := len(state) / 8; per > Size {
		t.Errorf("%d bytes saved a series", per)
	}
}

func TestStateOfNoUse(t *testing.T) {
	s := small(100)
	lesson(s, 0, day)
	state, _ := s.Snapshot()
	nan := bytes.Clone(state)
	binary.LittleEndian.PutUint64(nan[8+24:], math.Float64bits(math.NaN()))
	other := bytes.Clone(state)
	other[0]++
	twice := append(bytes.Clone(state), state[8:]...)
	binary.LittleEndian.PutUint32(twice[4:], 16)
	for name, data := range map[string][]byte{
		"empty": nil, "cut": state[:len(state)-1], "longer": append(bytes.Clone(state), 0), "NaN": nan, "another version": other,
		"more than there are": func() []byte { b := bytes.Clone(state); b[4]++; return b }(), "twice": twice, "text": []byte("this is not a state at all"),
	} {
		err := s.Restore(data)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if name == "another version" && !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, _ := s.Snapshot(); !bytes.Equal(after, state) {
		t.Error("a state of no use changed something")
	}
	tight := small(3)
	if err := tight.Restore(state); err != nil || tight.Len() != 3 || tight.Freed != 5 {
		t.Errorf("%v: %d held, %d freed", err, tight.Len(), tight.Freed)
	}
}

func FuzzRestore(f *testing.F) {
	s := small(100)
	lesson(s, 0, day)
	state, _ := s.Snapshot()
	f.Add(state)
	f.Add(state[:100])
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := small(10)
		if s.Restore(data) != nil {
			if s.Len() != 0 {
				t.Fatal("half restored")
			}
			return
		}
		for k := range s.index {
			for i := range int64(50) {
				s.Gauge(k, sec(i*3000), float64(i))
			}
			s.Forecast(k, sec(5000))
		}
		if _, err := s.Snapshot(); err != nil {
			t.Fatal(err)
		}
	})
}
