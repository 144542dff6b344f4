package series

import (
	"errors"
	"math"
	"time"
	"unsafe"
)

// Config bounds a [Set].
type Config struct {
	MaxSeries int            // past it new series are not learned, unless one is free
	Forget    time.Duration  // a series that is not heard for so long is free
	Location  *time.Location // whose days and weeks are those of the seasons; nil for UTC
}

// NewDefaultConfig is for a site with some hundred devices: 10,000 series take 25 MB.
func NewDefaultConfig() Config { return Config{MaxSeries: 10000, Forget: 7 * 24 * time.Hour} }

// Validate reports everything that is wrong at once.
func (c Config) Validate() error {
	var errs []error
	if c.MaxSeries < 1 || c.MaxSeries > 1000000 {
		errs = append(errs, errors.New("max_series must be between 1 and 1000000"))
	}
	if c.Forget < time.Hour {
		errs = append(errs, errors.New("forget_after must be at least 1h"))
	}
	return errors.Join(errs...)
}

// Size is what a series takes, in bytes, its entry in the index aside (about 50 bytes).
const Size = int(unsafe.Sizeof(slot{}))

// Key names a series: a hash of all that names it, so long that no two are ever the same.
type Key [2]uint64

// Set holds many series. It is not safe for concurrent use.
type Set struct {
	cfg   Config
	clock Clock
	index map[Key]uint32
	slots [][]slot // in chunks that are made as needed, and kept
	free  []uint32
	hand  uint32 // of the slots that were looked at for series that went away
	now   int64

	// Points counts the points by what became of them.
	Points [outcomes]uint64
	// Freed counts series that went away.
	Freed uint64
	// Full counts series that were not taken because the set was full; one that comes
	// again counts again.
	Full uint64
}

type slot struct {
	key     Key
	heard   int64 // the set's time, Unix nanoseconds; 0 when the slot is free
	counter counter
	series  Series
}

// counter is the point before, of a series that counts.
type counter struct {
	value, sum float64
	at, start  int64
	early      uint8
	known      bool
}

const (
	chunk = 64
	// stale is how long a series must be silent to give way to a new one when the set is full.
	stale = int64(time.Hour)
	tries = 32 // slots looked at for a stale one
)

// New makes a set that knows nothing.
func New(cfg Config) *Set {
	return &Set{cfg: cfg, clock: NewClock(cfg.Location), index: map[Key]uint32{}}
}

// Len is the number of series held.
func (s *Set) Len() int { return len(s.index) }

// Begin tells the time, before each batch, and frees some of the series that went away. It is the
// time of the clock on the wall: the points' own may be anything.
func (s *Set) Begin(now int64) {
	s.now = max(now, 1)
	total := uint32(len(s.slots) * chunk)
	for range min(total, max(tries, total/256)) {
		if i := s.next(total); s.idle(i) > int64(s.cfg.Forget) {
			s.release(i)
		}
	}
}

func (s *Set) next(total uint32) uint32 {
	if s.hand++; s.hand >= total {
		s.hand = 0
	}
	return s.hand
}

func (s *Set) at(i uint32) *slot { return &s.slots[i/chunk][i%chunk] }

// idle is how long the series of a slot was silent, 0 for a free slot.
func (s *Set) idle(i uint32) int64 {
	if heard := s.at(i).heard; heard != 0 {
		return s.now - heard
	}
	return 0
}

func (s *Set) release(i uint32) {
	x := s.at(i)
	delete(s.index, x.key)
	*x = slot{}
	s.free = append(s.free, i)
	s.Freed++
}

// slot finds the series of a key, or makes it; nil when there is no room.
func (s *Set) slot(k Key) *slot {
	if i, ok := s.index[k]; ok {
		x := s.at(i)
		x.heard = s.now
		return x
	}
	if len(s.index) >= s.cfg.MaxSeries {
		total := uint32(len(s.slots) * chunk)
		for range min(total, tries) {
			if i := s.next(total); s.idle(i) > stale {
				s.release(i)
				break
			}
		}
		if len(s.index) >= s.cfg.MaxSeries {
			s.Full++
			return nil
		}
	}
	return s.add(k)
}

func (s *Set) add(k Key) *slot {
	if len(s.free) == 0 {
		first := uint32(len(s.slots) * chunk)
		s.slots = append(s.slots, make([]slot, chunk))
		for i := first + chunk; i > first; i-- {
			s.free = append(s.free, i-1)
		}
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.index[k] = i
	x := s.at(i)
	x.key, x.heard = k, max(s.now, 1)
	return x
}

// Gauge takes a value as it is.
func (s *Set) Gauge(k Key, t int64, v float64) (verdict Verdict, out Outcome) {
	if x := s.slot(k); x == nil {
		out = Refused
	} else {
		verdict, out = x.series.Observe(&s.clock, t, v)
	}
	s.Points[out]++
	return verdict, out
}

// Delta takes what was added since start, as a rate by the second; since when is not known when
// start is 0, and the value is then taken as it is.
func (s *Set) Delta(k Key, start, t int64, v float64) (Verdict, Outcome) {
	if start > 0 && t > start {
		v /= float64(t-start) / 1e9
	}
	return s.Gauge(k, t, v)
}

// Counter takes the value of a counter that only rises, and learns its rate by the second. One
// that falls, or that says itself that it began anew, was reset.
func (s *Set) Counter(k Key, start, t int64, v float64) (Verdict, Outcome) {
	verdict, out := s.count(k, start, t, v, 0, false)
	s.Points[out]++
	return verdict, out
}

// Mean takes number and sum of a histogram that only grows, and learns the mean of what was added.
func (s *Set) Mean(k Key, start, t int64, n, sum float64) (Verdict, Outcome) {
	verdict, out := s.count(k, start, t, n, sum, true)
	s.Points[out]++
	return verdict, out
}

func (s *Set) count(k Key, start, t int64, v, sum float64, mean bool) (Verdict, Outcome) {
	if !(math.Abs(v) <= most) || math.IsNaN(sum) || math.IsInf(sum, 0) {
		return Verdict{}, NotANumber
	}
	x := s.slot(k)
	if x == nil {
		return Verdict{}, Refused
	}
	c := &x.counter
	was := *c
	next := counter{value: v, sum: sum, at: t, start: start, known: true}
	switch {
	case !c.known:
		*c = next
		return Verdict{}, First
	case t == c.at:
		return Verdict{}, Duplicate
	case t < c.at:
		if c.early++; t > c.at-back || c.early < turns {
			return Verdict{}, Late
		}
		*c = next // the clock was set back
		return Verdict{}, Reset
	case v < c.value || start > 0 && c.start > 0 && start > c.at:
		*c = next
		return Verdict{}, Reset
	}
	*c = next
	switch {
	case !mean:
		return x.series.Observe(&s.clock, t, (v-was.value)/(float64(t-was.at)/1e9))
	case v == was.value:
		return Verdict{}, Empty
	}
	return x.series.Observe(&s.clock, t, (sum-was.sum)/(v-was.value))
}

// Forecast says what is expected of a series at a time to come, and until when; false when
// the series is not known for long enough.
func (s *Set) Forecast(k Key, t int64) (v Verdict, ok bool) {
	i, ok := s.index[k]
	if !ok {
		return v, false
	}
	return s.at(i).series.Forecast(&s.clock, t)
}

// Forecast says within which bounds the value is expected at a time, and until when that holds.
func (s *Series) Forecast(c *Clock, t int64) (v Verdict, ok bool) {
	at := c.local(floor(t, 1e9))
	e := s.expect(at)
	if !e.known || s.rules.seen < day {
		return v, false
	}
	v.Expected, v.Known = e.mean+s.base, true
	s.band(&v, &e, t, at)
	return v, true
}

func (s *Series) band(v *Verdict, e *expectation, t, at int64) {
	v.Low, v.High = v.Expected-bandSigmas*e.spread, v.Expected+bandSigmas*e.spread
	if s.low >= 0 {
		v.Low = max(v.Low, 0)
	}
	v.Until = t + (hour-at%hour)*1e9 - (t - floor(t, 1e9)*1e9)
}
