// Package series learns what the values of a series usually are, and says point by
// point how unusual one is, and what moved. It promises to look at the past alone (no
// file's range or length), one fixed configuration for all series, a bounded and stated
// memory for each series ([Size]), no allocation in the steady state, and to go by the
// time of the points and not by their number: the same
// evidence at one point a second and at one in five minutes. It gives up what needs
// several series at once.
//
// A series has a profile of the day and of the week, and a histogram of each of three
// views: what is left of the value without the day, without the week, and the value
// itself. How rare a value is in them is its score in nats, of which only what stands
// out over the last hours is told. Beside the score, rules look at what no single point
// shows: a level that moved, a spread that grew, a sensor that is stuck, a season that does not
// come, a slow drift.
package series

import "math"

// unit is how long, in seconds, a point must stand for to count as a whole piece of
// evidence. What comes faster counts in part, or 300 points that tell one and the same
// thing would be taken for 300 proofs. What comes slower counts as one.
const unit = 300.0

const (
	decay    = 1e-4 // of what a histogram knows, a unit: 35 days
	dayRate  = 0.10 // of what a cell of the day knows, an hour in it: ten days
	weekRate = 0.50 // of a cell of the week, an hour in it: two weeks
	blend    = 300  // units until the week's histogram is believed half
	shareX   = 0.2  // of the value itself in the score

	// A score is told only when it stands over the highest of the last six blocks.
	blocks    = 6
	blockSpan = 25.0 // units: together 12.5 hours
	fatigue   = 0.25 // a series that has spoken has to shout,
	rest      = 2000 // for a week: units until half of that is forgotten
	loud      = 6.0  // what counts as having spoken
)

// Series is what is known of one series. The zero value knows nothing. It holds no
// pointers, so that a hundred thousand of them cost the garbage collector nothing.
type Series struct {
	last                 int64   // time of the latest point, Unix nanoseconds
	base                 float64 // the first value: means are kept as differences to it
	low                  float64 // the lowest and highest value so far,
	high                 float64 //
	lnGap                float32 // logarithm of the usual seconds between points
	gap                  float32 // the last difference of times that was looked at, seconds
	early                uint8   // points in a row from before the latest
	known, paced, steady bool    // there is a first value, a second, and an even pace

	// What follows from the usual gap; kept because logarithms are dear.
	weight, lnWeight, gain, dayStep, weekStep, resting float32

	dayError, weekError, errors float32 // how wrong each profile was lately, and over how many units
	top                         [blocks + 1]float32
	inBlock                     float32
	tired                       float32

	views [3]histogram
	rules rules

	// Cells of the day, then of the week: mean and number of points.
	mean  [24 + 168]float32
	count [24 + 168]uint16
}

// Views of a value, by their index.
const (
	viewDay = iota
	viewWeek
	viewValue
)

// pace learns how far points lie apart.
func (s *Series) pace(seconds float64) {
	gap := float32(seconds)
	if gap == s.gap && s.steady {
		return
	}
	ln := float32(math.Log(seconds))
	off := ln - s.lnGap
	s.steady = s.paced && off < 1e-3 && off > -1e-3
	switch {
	case !s.paced, s.steady:
		s.lnGap, s.paced = ln, true
	default:
		s.lnGap += 0.05 * max(-1, min(1, off))
	}
	s.gap = gap
	s.derive()
}

// derive works out what follows from the usual gap.
func (s *Series) derive() {
	gap := math.Exp(float64(s.lnGap))
	w, f := min(1, gap/unit), min(1, gap/hour)
	s.weight, s.lnWeight, s.gain = float32(w), float32(math.Log(w)), float32(math.Exp(decay*w))
	s.dayStep, s.weekStep = float32(1-math.Pow(1-dayRate, f)), float32(1-math.Pow(1-weekRate, f))
	s.resting = float32(math.Exp2(-w / rest))
}

// Outcome is what became of a point.
type Outcome uint8

// What becomes of points.
const (
	Learned    Outcome = iota
	NotANumber         // NaN, infinite or beyond 1e35: nothing is learned
	Duplicate          // of the same time as the latest
	Late               // from before the latest
	Refused            // of a series for which there is no room
	Reset              // of a counter that began again: there is no rate
	First              // of a counter: there is no rate yet
	Empty              // of a histogram to which nothing was added: there is no mean
	outcomes
)

var outcomeNames = [outcomes]string{"learned", "not_a_number", "duplicate", "late", "refused", "reset", "first", "empty"}

func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists all outcomes.
func Outcomes() []Outcome {
	all := make([]Outcome, outcomes)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

const (
	// most is the largest value: sums over some of it must not overflow single precision.
	most = 1e35
	// back is how far a clock must be set back, and turns for how many points, to be followed.
	back  = hour * 1e9
	turns = 3
)

// Observe takes one value, of a time in Unix nanoseconds, and judges and learns it. c tells the
// days and weeks that the series follows.
func (s *Series) Observe(c *Clock, t int64, v float64) (Verdict, Outcome) {
	if !(math.Abs(v) <= most) { // NaN, too
		return Verdict{}, NotANumber
	}
	if !s.known {
		s.known, s.last, s.base, s.low, s.high, s.lnGap = true, t, v, v, v, float32(math.Log(unit))
		s.derive()
	} else {
		switch d := t - s.last; {
		case d == 0:
			return Verdict{}, Duplicate
		case d > 0:
			s.early = 0
			s.pace(float64(d) / 1e9)
		case d > -back:
			return Verdict{}, Late
		default:
			if s.early++; s.early < turns {
				return Verdict{}, Late
			}
			s.early = 0
			s.rules.setBack(t)
		}
	}
	at := c.local(floor(t, 1e9))
	elapsed := max(0, float64(t-s.last)/1e9)
	s.last = t

	weekCell := int(at / hour)
	dayCell := weekCell % 24
	x := v - s.base
	s.rules.enter(s, uint8(weekCell), t)
	expected := s.expect(at) // before the value can say how large values are
	s.low, s.high = min(s.low, v), max(s.high, v)
	size := math.Abs(s.low) + math.Abs(s.high)
	score, strange := s.score(dayCell, 24+weekCell, x, v, size)
	told := s.emit(score+float64(s.lnWeight), size)
	verdict := s.rules.judge(s, &expected, point{at: at, t: t, elapsed: elapsed, x: x, strange: strange, told: told, size: size})
	x = s.rules.lone(&expected, x)
	s.learn(dayCell, s.dayStep, x)
	s.learn(24+weekCell, s.weekStep, x)
	return verdict, Learned
}

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// score gives how rare the value is, in nats: in what is left of it without the day, without the
// week, and in itself; and how strange it is to the one of the first two that knows it less.
func (s *Series) score(d, w int, x, v, size float64) (score, strange float64) {
	yd, yw := x-float64(s.mean[d]), x-float64(s.mean[w])
	warmDay, warmWeek := s.count[d] > 0, s.count[w] > 0
	sd := 0.0
	if warmDay {
		sd = s.views[viewDay].score(yd, size, s.weight, s.gain)
	}
	sx := s.views[viewValue].score(v, size, s.weight, s.gain)
	sw := sd
	if warmWeek {
		n := float64(s.views[viewWeek].mass)
		sw = s.views[viewWeek].score(yw, size, s.weight, s.gain)
		strange = max(sw, sd)
		sw = (n*sw + blend*sd) / (n + blend)
	} else {
		strange = sd
	}
	g := s.trustDay()
	if warmDay && warmWeek {
		s.errors = min(s.errors+s.weight, 1e5)
		r := s.weight * max(0.001, 1/s.errors)
		s.dayError += r * (float32(math.Abs(yd)) - s.dayError)
		s.weekError += r * (float32(math.Abs(yw)) - s.weekError)
	}
	return (1-shareX)*(g*sd+(1-g)*sw) + shareX*sx, strange
}

// trustDay is how much the profile of the day counts beside that of the week.
func (s *Series) trustDay() float64 {
	d, w := float64(s.dayError), float64(s.weekError)
	d, w = d*d, w*w
	if d+w == 0 {
		return 0.5
	}
	n := float64(s.errors)
	return 0.5 + (w/(d+w)-0.5)*n/(n+blend)
}

// emit lets through only a score that stands over those of the last hours, the less the more
// often the series has spoken.
func (s *Series) emit(score, size float64) float64 {
	top := s.top[0]
	for _, b := range s.top[1:] {
		top = max(top, b)
	}
	told := 0.0
	s.tired *= s.resting
	if float32(score) > top {
		told = max(0, score-fatigue*float64(s.tired))
		if score >= loud {
			s.tired++
		}
	}
	s.top[0] = max(s.top[0], float32(score))
	if s.inBlock += s.weight; s.inBlock >= blockSpan-1e-3 {
		s.inBlock = 0
		copy(s.top[1:], s.top[:blocks])
		s.top[0] = 0
		for i := range s.views {
			s.views[i].shrink(size)
		}
		// What the histogram has let go of is no measure of the rules either: one value far out would blind them for good.
		if h := &s.views[viewValue]; h.mass >= 50 {
			s.low, s.high = h.lo, h.hi
		}
	}
	return told
}

func (s *Series) learn(cell int, step float32, x float64) {
	n := s.count[cell]
	if n < math.MaxUint16 {
		n++
		s.count[cell] = n
	}
	r := max(step, 1/float32(n))
	s.mean[cell] += r * (float32(x) - s.mean[cell])
}
