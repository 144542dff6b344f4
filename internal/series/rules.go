package series

import "math"

// Kind is what moved.
type Kind uint8

// Kinds, None first.
const (
	None          Kind = iota
	Spike              // one value, or the first of more, where none was seen
	LevelShift         // values go on, elsewhere
	Variance           // values scatter more
	Stuck              // the same value again and again
	MissingSeason      // the rise or fall that this time of day or week brings does not come
	Drift              // values move away, too slowly for any point to stand out
)

var kindNames = [...]string{"", "spike", "level_shift", "variance", "stuck", "missing_season", "drift"}

func (k Kind) String() string { return kindNames[k] }

// Phase is how far an alarm has come.
type Phase uint8

// Phases of an alarm.
const (
	Quiet  Phase = iota // there is none
	Began               // with this point
	Turned              // an alarm that had begun turns out to be of another kind
	Holds               // it goes on
	Ended               // with this point it is over
)

// Verdict is what is said of a point.
type Verdict struct {
	Score float64 // nats by which the point stands out over what the last hours brought; 0 for most
	Kind  Kind    // of the alarm that begins, goes on or ends here
	Phase Phase
	Since int64 // Unix nanoseconds at which the alarm began; with a Kind

	Value    float64 // what came,
	Expected float64 // what was expected,
	Low      float64 // and within which bounds, which hold
	High     float64 // for nearly all points
	Until    int64   // until this instant, Unix nanoseconds
	Known    bool    // the series was watched for long enough to expect anything

	Change float64 // how far the value, level or spread is from what it should be
	Sigmas float64 // the same in usual deviations
	Above  float64 // the same in bounds of the rule: 1 is just enough for an alarm

	Elapsed int64 // nanoseconds since the point before
}

// What the rules ask. All times are in seconds, so that they hold at any rate of points.
const (
	// AlarmScore is the score from which a point is an alarm.
	AlarmScore  = 8.0
	spikeSigmas = 6.0 // and it must be so far out

	levelSpan   = 900.0 // a level is that of the last quarter of an hour
	levelSigmas = 2.5
	levelRare   = 4.0 // nats: where values lie must be rare, too, not only apart from the mean
	wideSpan    = 1800.0
	wideTimes   = 1.9
	driftSpan   = 86400.0
	driftSigmas = 1.0
	seasonSpan  = 18 * 3600.0
	seasonGone  = 0.6 // of it
	seasonLeast = 0.7 // usual deviations that a season must have to be missed
	stuckLeast  = 600.0
	stuckTimes  = 4    // repeats
	seldom      = 0.01 // share of repeats of a series that hardly has any
	stuckNats   = 18.0 // as improbable must they be

	normal      = 1.25 // a standard deviation in mean deviations
	bandSigmas  = 3.5
	clip        = 5.0
	spikeAfter  = 2 * 86400.0 // learning until a rule speaks
	levelAfter  = 8 * 86400.0
	driftAfter  = 15 * 86400.0
	adoptAfter  = 86400.0 // a level that stays is the new one
	tiredRules  = 0.15
	tiredHalf   = 14 * 86400.0
	longestStep = 3600.0 // of watch that one point can add
)

// rules looks at what is left of the values without the season, over time. Deviations are in usual
// ones unless it says otherwise.
type rules struct {
	seen float64 // seconds watched

	// How far values usually lie from what was expected, in the series' unit.
	spread        [24]float32 // by hour of the day,
	spreadAll     float32     // and over all
	smooth, steps float32     // from a profile that is smooth, and one in steps,
	ofDay, ofWeek float32     // and from that of the day and that of the week

	// Means over times of different length.
	level          float32 // of the deviation over a quarter of an hour,
	moved          float32 // the same in the series' unit,
	drift          float32 // and over a day
	rare           float32 // how strange values were over a quarter of an hour
	wide           float32 // scatter around the level,
	wideUsual      float32 // and its mean over a week
	middle         float32 // what was expected, over a day
	es, ss, em, sm float32 // of products and of deviation and season: a regression
	slowX, slowM   float32 // value, and what was expected, over three quarters of an hour
	nowX           float32 // value of the last minutes
	peaks          [peakCount]peak
	dayNow         uint8 // of the week

	hourNow uint8         // of the week
	entered bool          // there is an hour
	fresh   [2]bool       // nothing was known of this hour of the day, of the week, when it began
	cells   [2][2]float32 // day and week as the hour before, and this one, began

	// A new level that the profile has not learned yet.
	shiftDay, shiftWeek float32
	shiftDays           uint16 // since it came
	shiftNext           int64  // when the next of these is full

	// Repeats of one value.
	same         float32 // share of points equal to the one before,
	sameHour     [24]float32
	run, runMost float32 // improbability of those now, and the highest that ended
	repeats      uint32
	runFrom      int64
	lastX        float64
	quiet        [3]uint64 // hours of the week in which values repeat
	quietNow     bool

	alarm Kind
	since int64
	calm  int64   // since when there is no reason for the alarm, 0 when there is
	tired float32 // alarms, half forgotten after two weeks
}

// Statistics that have a peak each day.
const (
	peakPoint = iota
	peakLevel
	peakWide
	peakGone
	peakDrift
	peakCount
)

// peakOver is how many times the bound is of what was there before.
var peakOver = [peakCount]float32{peakPoint: 1.4, peakLevel: 1.3, peakWide: 1.05, peakGone: 1.5, peakDrift: 1.3}

const (
	fortnights = 3
	fortnight  = 14 // days
)

// peak knows the two highest daily peaks of a statistic in each of the last fortnights. Noise that
// comes in waves, heavy tails and bursts have their own idea of what is far; what
// happened on two days may happen again, what happened on one was perhaps the anomaly.
type peak struct {
	today, bound float32
	high         [fortnights][2]float32
	days, closed uint8 // of the fortnight, and of all, up to 100
}

func (p *peak) see(x float32) { p.today = max(p.today, x) }

// close ends the day. late leaves out the present fortnight, or what rises slowly would raise its own bound.
func (p *peak) close(over float32, late bool) {
	if p.today == 0 {
		return
	}
	if h := &p.high[0]; p.today > h[0] {
		h[0], h[1] = p.today, h[0]
	} else {
		h[1] = max(h[1], p.today)
	}
	p.today = 0
	from := 0
	if late {
		from = 1
	}
	first, second := float32(0), float32(0)
	for _, h := range p.high[from:] {
		if h[0] > first {
			first, second = h[0], max(first, h[1])
		} else {
			second = max(second, h[0])
		}
	}
	if second == 0 {
		second = first
	}
	if p.closed < 100 {
		p.closed++
	}
	// After few days hardly anything is known of what is rare.
	p.bound = over * second * (1 + 1.5/float32(p.closed))
	if p.days++; p.days == fortnight {
		p.days = 0
		copy(p.high[1:], p.high[:])
		p.high[0] = [2]float32{}
	}
}

// point is what the rules are told of a point.
type point struct {
	at, t   int64 // second of the local week, Unix nanoseconds
	elapsed float64
	x       float64 // value, as a difference to the base
	strange float64 // how rare the value is without the season
	told    float64 // by how much that stands out
	size    float64
}

// expectation is what the profile says, as differences to the base.
type expectation struct {
	mean, step, smooth float64
	ofDay, ofWeek      float64
	spread             float64 // usual deviation
	known, weekly      bool
}

// expect reads the profile at a second of the local week.
func (s *Series) expect(at int64) (e expectation) {
	w := at / hour
	d := w % 24
	if s.count[d] == 0 {
		return e
	}
	e.known = true
	f := float32(at%hour)/hour - 0.5
	next := int64(1)
	if f < 0 {
		f, next = -f, -1
	}
	r := &s.rules
	step := r.cell(s, d) + r.shiftDay
	smooth := step
	if n := (d + 24 + next) % 24; s.count[n] > 0 {
		smooth += f * (r.cell(s, n) + r.shiftDay - smooth)
	}
	if s.count[24+w] > 0 && !(r.entered && r.fresh[1] && int64(r.hourNow) == w) { // not on the strength of this hour alone
		g := float32(0.5)
		if d, w := float64(r.ofDay), float64(r.ofWeek); d > 0 && w > 0 {
			q := (d / w) * (d / w)
			g = float32(1 / (1 + q*q))
		}
		wStep := r.cell(s, 24+w) + r.shiftWeek
		wSmooth := wStep
		if n := 24 + (w+168+next)%168; s.count[n] > 0 {
			wSmooth += f * (r.cell(s, n) + r.shiftWeek - wSmooth)
		}
		e.weekly, e.ofDay, e.ofWeek = true, float64(smooth), float64(wSmooth)
		step, smooth = g*step+(1-g)*wStep, g*smooth+(1-g)*wSmooth
	}
	e.step, e.smooth = float64(step), float64(smooth)
	e.mean = e.step
	if r.smooth < r.steps {
		e.mean = e.smooth
	}
	spread := r.spreadAll
	if r.seen > 2*day {
		spread = max(r.spread[d], 0.3*r.spreadAll)
	}
	e.spread = normal*float64(spread) + 1e-4*(s.high-s.low) + narrow*(math.Abs(s.low)+math.Abs(s.high))
	return e
}

// enter remembers, at the start of an hour, what the profile says of it: what is learned from its own
// first minutes must not make the later ones look usual. It also lets go of a shift
// as the profile learns it: a cell of the day each day, one of the week each week.
func (r *rules) enter(s *Series, w uint8, t int64) {
	for r.shiftDay != 0 && t >= r.shiftNext {
		r.shiftNext += day * 1e9
		r.shiftDays++
		r.shiftDay *= 1 - dayRate
		if r.shiftDays%7 == 0 {
			r.shiftWeek *= 1 - weekRate
		}
		if r.shiftDays > 70 {
			r.shiftDay, r.shiftWeek, r.shiftDays = 0, 0, 0
		}
	}
	if r.entered && r.hourNow == w {
		return
	}
	before := uint8((int(w) + 167) % 168)
	if r.entered && r.hourNow == before {
		r.cells[0] = r.cells[1]
	} else {
		r.cells[0] = [2]float32{s.mean[before%24], s.mean[24+int(before)]}
	}
	r.cells[1] = [2]float32{s.mean[w%24], s.mean[24+int(w)]}
	r.fresh = [2]bool{s.count[w%24] == 0, s.count[24+int(w)] == 0}
	r.leave()
	r.entered, r.hourNow = true, w
}

// cell is a mean of the profile as it was before the present hour, and the one before it, began.
func (r *rules) cell(s *Series, i int64) float32 {
	of, h, n := 0, i, int64(24)
	if i >= 24 {
		of, h, n = 1, i-24, 168
	}
	if now := int64(r.hourNow); r.entered && !r.fresh[of] {
		switch h {
		case now % n:
			return r.cells[1][of]
		case (now + n - 1) % n:
			return r.cells[0][of]
		}
	}
	return s.mean[i]
}

// past is the weight of what came before, and now that of a point, in a mean over span seconds
// in which no point counts more than most.
func past(elapsed, span, most float64) (before, now float32) {
	a := elapsed / (elapsed + span)
	return float32(1 - a), float32(min(a, most))
}

// wideMost is what one point can tell of the scatter: one far out must not look like many.
func (r *rules) wideMost() float32 {
	if r.seen < levelAfter {
		return 8
	}
	return 6 * max(r.wideUsual, 0.2)
}

func abs(x float32) float32 { return max(x, -x) }

func (r *rules) judge(s *Series, e *expectation, p point) (v Verdict) {
	d := p.at / hour % 24
	elapsed := min(p.elapsed, longestStep)
	if !e.known {
		r.lastX = p.x
		r.seen += elapsed
		v.Score, v.Value = p.told, p.x+s.base
		return v
	}
	watched := r.seen
	off := p.x - e.mean
	z := 0.0
	if e.spread > 0 {
		z = off / e.spread
	}
	zc := float32(max(-clip, min(clip, z)))

	// Statistics over time.
	before, now := past(p.elapsed, levelSpan, 1.0/3)
	levelWas := r.level
	r.level = before*r.level + now*zc
	r.moved = before*r.moved + now*float32(off)
	r.rare = before*r.rare + now*float32(p.strange)
	changed := p.x != r.lastX // the same value again, as nights without work bring, is no small scatter
	if changed {
		before, now = past(p.elapsed, wideSpan, 1.0/10)
		r.wide = before*r.wide + now*min(r.wideMost(), abs(zc-levelWas))
	}
	before, now = past(p.elapsed, driftSpan, 1.0/12)
	r.drift = before*r.drift + now*max(-3, min(3, zc))
	r.middle = before*r.middle + now*float32(e.mean)
	if p.elapsed > driftSpan || r.seen == 0 {
		r.middle = float32(e.mean)
	}
	season := float32(0) // in usual deviations
	if e.spread > 0 {
		season = float32(max(-1e4, min(1e4, (e.mean-float64(r.middle))/e.spread)))
	}
	plain := float32(max(-1e4, min(1e4, z)))
	before, now = past(p.elapsed, seasonSpan, 1.0/12)
	r.es = before*r.es + now*plain*season
	r.ss = before*r.ss + now*season*season
	r.em = before*r.em + now*plain
	r.sm = before*r.sm + now*season
	gone := float32(0)
	if ss := r.ss - r.sm*r.sm; ss > seasonLeast*seasonLeast {
		gone = -(r.es - r.em*r.sm) / ss
	}
	before, now = past(p.elapsed, 2700, 1.0/4)
	r.slowX, r.slowM = before*r.slowX+now*float32(p.x), before*r.slowM+now*float32(e.mean)
	before, now = past(p.elapsed, 300, 1.0/2)
	r.nowX = before*r.nowX + now*float32(p.x)
	r.stick(s, p, elapsed)

	// Bounds: a fixed one, or what the statistic's own days say; higher for a series that had
	// alarms.
	ratio := r.wide / max(r.wideUsual, 1e-6)
	if d := uint8(p.at / day); d != r.dayNow {
		r.dayNow = d
		for i := range r.peaks {
			r.peaks[i].close(peakOver[i], i == peakDrift)
		}
	}
	if watched > day && (r.alarm == None || r.alarm == Spike) {
		r.peaks[peakPoint].see(float32(math.Abs(z)))
		if e.weekly { // else the first weekend says more of what was learned than of the series
			r.peaks[peakLevel].see(abs(r.level))
			r.peaks[peakWide].see(ratio)
			r.peaks[peakGone].see(gone)
			r.peaks[peakDrift].see(abs(r.drift))
		}
	}
	tired := r.tired
	if r.alarm != None {
		tired = max(0, tired-1) // what this alarm may turn out to be is not asked more for its own sake
	}
	more := 1 + tiredRules*tired
	level := abs(r.level) / (more * max(levelSigmas, r.peaks[peakLevel].bound))
	if r.rare < levelRare || abs(r.level) < 1.25*r.wide {
		level = 0
	}
	drift := abs(r.drift) / (more * max(driftSigmas, r.peaks[peakDrift].bound))
	wide := ratio / (more * max(wideTimes, r.peaks[peakWide].bound))
	if abs(r.level) > 0.5*r.wide {
		wide = 0
	}
	missing := gone / (more * max(seasonGone, r.peaks[peakGone].bound))
	spike := float32(min(p.told/AlarmScore, math.Abs(z)/float64(more*max(spikeSigmas, r.peaks[peakPoint].bound))))
	stuck := r.run / (more * max(stuckNats, 2*r.runMost))
	if r.repeats < stuckTimes || float64(p.t-r.runFrom) < stuckLeast*1e9 {
		stuck = 0
	}

	kind, above := None, float32(0)
	try := func(k Kind, a float32, after float64) {
		if a >= 1 && kind == None && watched >= after {
			kind, above = k, a
		}
	}
	never := levelAfter
	if r.same < seldom {
		never = spikeAfter // values that never repeat need no week to be missed
	}
	try(Stuck, stuck, never)
	try(LevelShift, level, levelAfter)
	try(Variance, wide, levelAfter)
	try(MissingSeason, missing, levelAfter)
	try(Drift, drift, driftAfter)
	try(Spike, spike, spikeAfter)
	if kind == LevelShift && r.alarm != LevelShift {
		// The value stayed while the expectation went away.
		dx := abs(r.nowX - r.slowX)
		if dm := abs(float32(e.mean) - r.slowM); dx < 0.5*abs(r.nowX-float32(e.mean)) && dm > dx && r.ss > 1 {
			kind = MissingSeason
		}
	}

	v = Verdict{Score: p.told, Value: p.x + s.base, Expected: e.mean + s.base, Known: watched >= day, Change: off, Sigmas: z, Above: float64(above), Elapsed: int64(p.elapsed * 1e9)}
	r.live(s, e, p, kind, gone, &v)
	s.band(&v, e, p.t, p.at)
	r.learn(s, e, p, d, float32(off), changed, elapsed)
	r.tired *= 1 - float32(elapsed/(tiredHalf*math.Log2E))
	r.seen += elapsed
	return v
}

// live begins, turns, holds and ends the alarm.
func (r *rules) live(s *Series, e *expectation, p point, kind Kind, gone float32, v *Verdict) {
	if r.alarm == None {
		if kind == None {
			return
		}
		r.alarm, r.since, r.calm = kind, p.t, 0
		r.tired++
		v.Phase = Began
	} else {
		v.Phase = Holds
		if kind != None && kind != Spike && (r.alarm == Spike || kind == Stuck && r.alarm != Stuck || (kind == MissingSeason || kind == Variance) && r.alarm == LevelShift) {
			r.alarm, r.calm = kind, 0
			v.Phase = Turned
		}
	}
	v.Kind, v.Since = r.alarm, r.since
	switch r.alarm {
	case LevelShift, MissingSeason:
		if abs(r.level) > levelSigmas/2 {
			v.Change = float64(r.moved)
			v.Sigmas = v.Change / max(e.spread, 1e-300)
		}
	case Variance:
		v.Change = float64(r.wide-r.wideUsual) * e.spread
		v.Sigmas = float64(r.wide / max(r.wideUsual, 1e-6)) // times the usual scatter
	case Drift:
		v.Change, v.Sigmas = float64(r.drift)*e.spread, float64(r.drift)
	}
	if v.Phase == Began || v.Phase == Turned {
		return
	}
	// Is there still reason for it, and for how long must there be none?
	quiet, patience := false, 0.0
	switch r.alarm {
	case Spike:
		quiet, patience = math.Abs(v.Sigmas) < 0.8*spikeSigmas, 1800
	case LevelShift:
		quiet, patience = abs(r.level) < levelSigmas/2, levelSpan
	case Variance:
		quiet, patience = r.wide < 1.3*r.wideUsual, 3600
	case Stuck:
		quiet = r.repeats == 0
	case MissingSeason:
		quiet, patience = gone < seasonGone/2 && abs(r.level) < levelSigmas/2, day/2
	case Drift:
		quiet, patience = abs(r.drift) < driftSigmas/2, day/2
	}
	if !quiet {
		r.calm = 0
	} else if r.calm == 0 {
		r.calm = p.t
	}
	if age := float64(p.t-r.since) / 1e9; age >= adoptAfter {
		switch r.alarm {
		case LevelShift:
			r.shiftDay += (1 - dayRate) * r.moved
			r.shiftWeek += r.moved
			r.shiftNext, r.shiftDays = r.since+2*day*1e9, 1
			r.middle += r.moved
			r.level, r.moved, r.drift, quiet, patience = 0, 0, 0, true, 0
		case Variance:
			for i := range r.spread {
				r.spread[i] *= r.wide / max(r.wideUsual, 1e-6)
			}
			r.spreadAll *= r.wide / max(r.wideUsual, 1e-6)
			r.wide, quiet, patience = r.wideUsual, true, 0
		case MissingSeason, Drift:
			if age >= 7*adoptAfter {
				r.es, r.drift, quiet, patience = 0, 0, true, 0
			}
		}
	}
	if quiet && float64(p.t-r.calm) >= patience*1e9 {
		if r.alarm != Variance {
			r.wide = r.wideUsual // it was measured around a level that was none
		}
		r.alarm, v.Phase = None, Ended
	}
}

// learn takes in what is usual, unless an alarm says that this is not.
func (r *rules) learn(s *Series, e *expectation, p point, d int64, off float32, changed bool, elapsed float64) {
	if r.alarm != None && r.alarm != Spike {
		return
	}
	size := abs(off - r.drift*float32(e.spread)) // a slow drift is no scatter
	if r.seen > day {
		size = min(size, clip*float32(e.spread))
	}
	n := max(1, float32(r.seen/unit))
	all := max(float32(elapsed/(3*day)), min(1, s.weight/n))
	if changed || s.count[d] < 100 { // weekends without work say nothing of how days with it scatter
		r.spread[d] += max(s.dayStep, 1/float32(max(1, s.count[d]))) * (size - r.spread[d])
	}
	r.spreadAll += all * (size - r.spreadAll)
	r.steps += all * (float32(math.Abs(p.x-e.step)) - r.steps)
	r.smooth += all * (float32(math.Abs(p.x-e.smooth)) - r.smooth)
	if e.weekly {
		slow := max(float32(elapsed/(14*day)), min(1, s.weight/max(1, float32((r.seen-7*day)/unit))))
		r.ofDay += slow * (float32(math.Abs(p.x-e.ofDay)) - r.ofDay)
		r.ofWeek += slow * (float32(math.Abs(p.x-e.ofWeek)) - r.ofWeek)
	}
	if r.seen < day || !changed {
		return // the spread must be known before deviations can be measured in it
	}
	wide := r.wide
	if r.seen > levelAfter/2 {
		wide = min(wide, 4*r.wideUsual)
	}
	n = max(1, float32((r.seen-day)/unit))
	r.wideUsual += max(float32(elapsed/(7*day)), min(1, s.weight/n)) * (wide - r.wideUsual)
}

// lone bounds what a value far out teaches the profile while it is the only one: else one reading of a
// broken sensor is the mean of its hour for weeks. Values that stay raise the level, and are learned as they are.
func (r *rules) lone(e *expectation, x float64) float64 {
	const far = 30 // usual deviations
	if !e.known || r.seen < spikeAfter || abs(r.level) > levelSigmas {
		return x
	}
	return max(e.mean-far*e.spread, min(e.mean+far*e.spread, x))
}

// setBack makes t the present: what began later began now, or an alarm would last until the clock is there again.
func (r *rules) setBack(t int64) {
	r.since, r.calm, r.runFrom = min(r.since, t), min(r.calm, t), min(r.runFrom, t)
	r.shiftNext = min(r.shiftNext, t+day*1e9)
}

// leave notes whether values repeated in the hour that ends.
func (r *rules) leave() {
	if !r.entered {
		return
	}
	if bit := uint64(1) << (r.hourNow % 64); r.quietNow {
		r.quiet[r.hourNow/64] |= bit
	} else if r.alarm == None {
		r.quiet[r.hourNow/64] &^= bit
	}
	r.quietNow = false
}

// stick follows repeats of one value: how improbable they are is the sum over the points, each by
// how often values repeat at this hour.
func (r *rules) stick(s *Series, p point, elapsed float64) {
	h := uint8(p.at / hour)
	d := h % 24
	equal := p.x == r.lastX
	hold := r.alarm == Stuck
	if !hold {
		r.runMost *= 1 - float32(elapsed/(30*day))
		n := float32(max(1, s.count[d]))
		x := float32(0)
		if equal {
			x = 1
		}
		r.sameHour[d] += max(s.dayStep, 1/(n+1)) * (x - r.sameHour[d])
		r.same += max(float32(elapsed/(3*day)), min(1, s.weight/max(1, float32(r.seen/unit)))) * (x - r.same)
	}
	if !equal || p.elapsed > longestStep {
		if !hold {
			r.runMost = max(r.runMost, r.run)
		}
		r.run, r.repeats, r.runFrom, r.lastX = 0, 0, p.t, p.x
		return
	}
	r.repeats++
	if r.repeats >= 3 && p.t-r.runFrom >= 300e9 {
		r.quietNow = !hold
	}
	if (r.seen > levelAfter || r.same < seldom && r.seen > spikeAfter) && r.quiet[h/64]>>(h%64)&1 == 0 {
		r.run -= float32(ln(float64(min(0.9999, max(0.002, r.sameHour[d])))))
	}
}
