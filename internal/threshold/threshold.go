// Package threshold judges numbers by rules that people wrote: which value is past its bound, for
// how long, for which entity, and when that began, changed and ended.
//
// It promises that what it tells follows from the points alone, by the definitions in the rule's
// reference page, whatever the order of entities; that a rule which can't work is refused with a
// sentence that says why; and that each point which was not judged is counted with a reason. An
// entity is held in some 300 bytes and each rule holds at most MaxEntities of them: more are
// counted and not judged until one has been silent for long. In the steady state a point costs no
// memory. It gives up what lies between two points: a value lasts until the next one.
package threshold

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/monban/monban/internal/baseline"
)

// rule is a compiled Rule with its entities.
type rule struct {
	Rule
	index   int
	kind    string
	steps   []step
	silence uint8 // severity of a missing entity
	take    take
	rateOf  float64 // nanoseconds for which a rate is told, 0 for none
	slot    int64   // nanoseconds of a slot of the window
	forget  int64   // nanoseconds of silence after which an entity makes room for another
	when    *calendar
	unit    string // as the metric tells it

	entities store
	tally    Tally
}

// Temporality says what a number stands for.
type Temporality uint8

// Temporalities.
const (
	Gauge      Temporality = iota // the value now; also a sum that may fall
	Delta                         // what came since Start or since the point before
	Cumulative                    // what came since Start, never falls but by a restart
)

// Sample is one point.
type Sample struct {
	Time, Start int64 // Unix nanoseconds; Start is 0 where it is not told
	Value       float64
	Temporality Temporality
	// Distribution is that of a histogram, nil for a number.
	Distribution *Distribution
	// Empty is true of a point that says it has no value.
	Empty bool
}

// Outcome is what became of a point.
type Outcome uint8

// Outcomes.
const (
	Judged       Outcome = iota
	Late                 // older than the latest of its entity
	Duplicate            // of the same time as the latest of its entity
	NoNumber             // NaN, infinite, or a point that says it has no value
	NoValue              // a histogram without what the rule takes of it, or with too many buckets
	NoTime               // a point without a time
	First                // the first of an entity, of a rule that needs two
	Reset                // a counter that began anew
	NoPartner            // nothing recent to divide by
	TooMany              // the rule has MaxEntities already
	TooLong              // the entity's attributes are longer than 4,096 bytes
	WrongUnit            // the metric has another unit than the rule says
	BadCondition         // the rule's condition could not be evaluated
	outcomes
)

var outcomeNames = [outcomes]string{"judged", "out_of_order", "duplicate", "no_number", "no_value", "no_time", "first", "reset", "no_partner", "too_many_entities", "key_too_long", "wrong_unit", "bad_condition"}

func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists all.
func Outcomes() []string { return outcomeNames[:] }

// Verdict is what is said of a point.
type Verdict struct {
	Outcome  Outcome
	Up       bool  // an alarm of its entity is up
	Severity uint8 // its severity, of Severities
}

// Tally is what a rule did since the engine began.
type Tally struct {
	Points   [outcomes]uint64
	Rises    uint64
	Falls    uint64
	Changes  uint64
	Missing  uint64
	Flapping uint64
	Evicted  uint64
	SetBack  uint64        // clocks of sources that were set back
	Alarmed  uint64        // entities that ever had an alarm
	Up       time.Duration // of all alarms that have ended
	Longest  time.Duration
	First    int64 // when the first alarm rose, Unix nanoseconds
	Last     int64
}

const (
	maxKey = 4096
	// pause is the least leap of the clock that is not held against silent entities.
	pause = int64(time.Hour)
	// gapLeast is the shortest gap that breaks what has to last.
	gapLeast = int64(5 * time.Minute)
	gapTimes = 4
	// setBack is how many late points in rising order show a clock that was set back.
	setBack = 3
	maxTold = 100_000
	// gone is the least silence after which an entity is forgotten though there is room.
	gone = int64(25 * time.Hour)
)

// Engine judges points by rules. It is not safe for concurrent use.
type Engine struct {
	rules []*rule
	clock clock
	told  []baseline.Observation
	diff  Distribution // scratch
	// Untold counts observations that found no room.
	Untold uint64
	// Device tells, when an entity comes for the first time, which device it belongs to.
	Device func() string
	// Quiet keeps observations from being made: a dry run only counts.
	Quiet bool
}

// New makes an engine with these rules.
func New(rules []Rule) (*Engine, error) {
	all, err := compile(rules)
	if err != nil {
		return nil, err
	}
	e := &Engine{rules: all}
	e.clock.pause = pause
	for _, r := range all {
		r.entities.byKey = map[string]uint32{}
		e.clock.pause = max(e.clock.pause, int64(r.MissingFor))
	}
	return e, nil
}

// Rule gives a rule as it was compiled, with defaults.
func (e *Engine) Rule(i int) *Rule { return &e.rules[i].Rule }

// SetUnit tells the unit of what rule i judges, where the rule itself does not.
func (e *Engine) SetUnit(i int, unit string) {
	if e.rules[i].Metric != "" {
		e.rules[i].unit = unit
	}
}

// Len is how many rules there are.
func (e *Engine) Len() int { return len(e.rules) }

// Tally is what rule i did.
func (e *Engine) Tally(i int) Tally { return e.rules[i].tally }

// Entities is how many entities rule i watches.
func (e *Engine) Entities(i int) int { return e.rules[i].entities.n }

// Skip counts a point that the caller found unfit for rule i.
func (e *Engine) Skip(i int, o Outcome) { e.rules[i].tally.Points[o]++ }

// AppendKey appends one attribute of an entity to its key.
func AppendKey[V string | []byte](key []byte, name string, value V) []byte {
	key = append(key, byte(len(name)), byte(len(name)>>8))
	key = append(key, name...)
	key = append(key, byte(len(value)), byte(len(value)>>8))
	return append(key, value...)
}

// Names reads a key back, as name=value.
func Names(key string) (all []string) {
	next := func() (string, bool) {
		if len(key) < 2 {
			return "", false
		}
		n := int(key[0]) | int(key[1])<<8
		if len(key) < 2+n {
			return "", false
		}
		s := key[2 : 2+n]
		key = key[2+n:]
		return s, true
	}
	for {
		name, ok1 := next()
		value, ok2 := next()
		if !ok1 || !ok2 {
			return all
		}
		all = append(all, name+"="+value)
	}
}

// Observe judges a point of an entity by rule i. Check must be called after each batch.
func (e *Engine) Observe(i int, key []byte, s *Sample) Verdict {
	r := e.rules[i]
	v := e.observe(r, key, s)
	r.tally.Points[v.Outcome]++
	return v
}

func (e *Engine) observe(r *rule, key []byte, s *Sample) Verdict {
	if s.Time <= 0 {
		return Verdict{Outcome: NoTime}
	}
	if s.Time != e.clock.now {
		e.clock.hear(s.Time)
	}
	x := s.Value
	if s.Empty {
		return e.unjudged(r, key, NoNumber)
	}
	if s.Distribution != nil {
		if s.Distribution.buckets() > maxBuckets {
			return Verdict{Outcome: NoValue}
		}
		if s.Temporality != Cumulative {
			var ok bool
			if x, ok = r.take.of(s.Distribution); !ok {
				return e.unjudged(r, key, NoValue)
			}
		}
	} else if r.take.kind != takeValue {
		return e.unjudged(r, key, NoValue)
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return e.unjudged(r, key, NoNumber)
	}
	at, p := e.entity(r, key)
	if at == 0 {
		if len(key) > maxKey {
			return Verdict{Outcome: TooLong}
		}
		return Verdict{Outcome: TooMany}
	}
	if p.flags&recalled != 0 {
		e.ask(p)
	}
	broken := false
	if s.Time <= p.last {
		if s.Time == p.last {
			return p.verdict(r, Duplicate)
		}
		if p.lates > 0 && s.Time <= p.late {
			p.lates = 0
		}
		p.late = s.Time
		if p.lates++; p.lates < setBack {
			return p.verdict(r, Late)
		}
		r.tally.SetBack++
		p.setBack(s.Time)
		broken = true
	}
	p.lates = 0
	before := p.last
	if p.spacing > 0 && s.Time-p.last > max(gapLeast, gapTimes*p.spacing) {
		broken = true
	}
	if p.last > 0 {
		p.spacing = s.Time - p.last
	}
	p.last = s.Time
	r.entities.hear(at, p, e.clock.watch)
	if p.flags&missing != 0 {
		e.found(r, p, s.Time)
	}
	x, why := r.transform(e, p, x, s, before)
	if why != Judged {
		p.flags |= disturbed
		return p.verdict(r, why)
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		p.flags |= disturbed
		return p.verdict(r, NoNumber)
	}
	if broken || p.flags&disturbed != 0 {
		p.broken()
	}
	e.judge(r, p, s.Time, x)
	return p.verdict(r, Judged)
}

// unjudged is the verdict on a point that is not even a sign of life.
func (e *Engine) unjudged(r *rule, key []byte, why Outcome) Verdict {
	if at := r.entities.find(key); at != 0 {
		return r.entities.at(at).verdict(r, why)
	}
	return Verdict{Outcome: why}
}

func (p *series) verdict(r *rule, o Outcome) Verdict {
	if n := p.top(); n > 0 {
		return Verdict{o, true, r.steps[n-1].severity}
	}
	return Verdict{Outcome: o}
}

// Partner takes a point of the other series of rule i's ratio, before those that are divided by it.
func (e *Engine) Partner(i int, key []byte, s *Sample) {
	r := e.rules[i]
	x := s.Value
	if s.Distribution != nil || s.Empty || s.Time <= 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return
	}
	at, p := e.entity(r, key)
	if at == 0 {
		return
	}
	m := p.extra()
	if s.Time <= m.partnerAt {
		if s.Time > m.partnerAt-int64(r.Over.MaxAge) {
			return
		}
		*m = more{window: m.window, changes: m.changes, hist: m.hist} // its clock was set back
	}
	if r.rateOf > 0 {
		raw := x
		y, why := rate(r.rateOf, x, s, m.partnerAt, m.partnerRaw, m.partnerHas)
		m.partnerRaw, m.partnerHas = raw, true
		m.partner, m.partnerOK = y, why == Judged
	} else {
		m.partner, m.partnerOK = x, true
	}
	m.partnerAt = s.Time
}

func (p *series) extra() *more {
	if p.more == nil {
		p.more = new(more)
	}
	return p.more
}

// entity finds an entity or takes it in; 0 when there is no room.
func (e *Engine) entity(r *rule, key []byte) (uint32, *series) {
	s := &r.entities
	if at := s.find(key); at != 0 {
		return at, s.at(at)
	}
	if len(key) > maxKey || s.n >= r.MaxEntities && !e.evict(r) {
		return 0, nil
	}
	device := ""
	if e.Device != nil {
		device = e.Device()
	}
	at, p := s.add(key, device)
	p.heard = e.clock.watch
	return at, p
}

// ask asks once more which device a restored entity belongs to, as its source may name another by
// now. While an alarm is up it stays the one that the beginning told.
func (e *Engine) ask(p *series) {
	if p.up != 0 || p.flags&(missing|flapping) != 0 || e.Device == nil {
		return
	}
	p.flags &^= recalled
	if d := e.Device(); d != p.device {
		p.device = strings.Clone(d)
	}
}

// evict makes room by forgetting the entity that has been missing or silent longest, if that was long.
func (e *Engine) evict(r *rule) bool {
	s := &r.entities
	at := s.lost.head
	if at == 0 {
		at = s.heard.head
	}
	if at == 0 || e.clock.watch-s.at(at).heard < max(r.forget, gapTimes*s.at(at).spacing) {
		return false
	}
	e.drop(r, at, "evicted")
	r.tally.Evicted++
	return true
}

// drop forgets an entity, and ends its alarms.
func (e *Engine) drop(r *rule, at uint32, cause string) {
	p := r.entities.at(at)
	if p.flags&missing != 0 {
		e.tell(r, p, e.clock.now, baseline.Fall, Missing, r.silence, cause)
	}
	switch n := p.top(); {
	case n > 0:
		r.tally.fell(e.clock.now - p.rose)
		e.tell(r, p, e.clock.now, baseline.Fall, r.kind, r.steps[n-1].severity, cause)
	case p.flags&flapping != 0: // of which no end was told yet
		e.tell(r, p, e.clock.now, baseline.Fall, r.kind, r.steps[0].severity, cause)
	}
	r.entities.remove(at)
}

func (s *store) hear(at uint32, p *series, watch int64) {
	p.heard = watch
	if p.flags&missing != 0 {
		s.unlink(&s.lost, p)
		s.push(&s.heard, at, p)
		return
	}
	s.touch(at, p)
}

// found ends the alarm of a missing entity.
func (e *Engine) found(r *rule, p *series, t int64) {
	p.flags &^= missing
	e.tell(r, p, t, baseline.Fall, Missing, r.silence, "")
}

// transform makes of a value what the rule judges.
func (r *rule) transform(e *Engine, p *series, x float64, s *Sample, before int64) (float64, Outcome) {
	if s.Distribution != nil && s.Temporality == Cumulative {
		return r.difference(e, p, s, before)
	}
	if r.rateOf > 0 {
		y, why := rate(r.rateOf, x, s, before, p.raw, p.flags&hasRaw != 0)
		p.raw, p.flags = x, p.flags|hasRaw
		if why != Judged {
			return 0, why
		}
		x = y
	}
	if r.ratio() {
		m := p.more
		if m == nil || !m.partnerOK || m.partnerAt < s.Time-int64(r.Over.MaxAge) {
			return 0, NoPartner
		}
		x /= m.partner
	}
	return x, Judged
}

// rate is the change of a value in each unit of time.
func rate(unit, x float64, s *Sample, before int64, raw float64, has bool) (float64, Outcome) {
	switch s.Temporality {
	case Delta:
		from := before
		if s.Start > 0 && s.Start < s.Time {
			from = s.Start
		}
		if from <= 0 || from >= s.Time {
			return 0, First
		}
		return x / float64(s.Time-from) * unit, Judged
	case Cumulative:
		if has && (x < raw || s.Start > before) {
			return 0, Reset
		}
	}
	if !has || before <= 0 || before >= s.Time {
		return 0, First
	}
	return (x - raw) / float64(s.Time-before) * unit, Judged
}

// difference takes the value from what a cumulative histogram gained since the point before.
func (r *rule) difference(e *Engine, p *series, s *Sample, before int64) (float64, Outcome) {
	m := p.extra()
	has := p.flags&hasRaw != 0
	why := First
	if has {
		why = Reset
		if s.Start <= before && e.diff.since(&m.hist, s.Distribution) {
			why = Judged
		}
	}
	m.hist.keep(s.Distribution)
	p.flags |= hasRaw
	if why != Judged {
		return 0, why
	}
	x, ok := r.take.of(&e.diff)
	if !ok {
		return 0, NoValue
	}
	if r.rateOf > 0 {
		x = x / float64(s.Time-before) * r.rateOf
	}
	return x, Judged
}

func (r *rule) what() string {
	s := r.Subject()
	if r.Value != "" {
		s = r.Value + " of " + s
	}
	if r.Rate != "" {
		s += " per " + r.Rate
	}
	if r.ratio() {
		s += " over " + r.Partner()
	}
	return s
}

// Check finds what is missing, and forgets what has gone. It is called after each batch of points.
func (e *Engine) Check() {
	e.clock.settle()
	for _, r := range e.rules {
		s := &r.entities
		for r.MissingFor > 0 && s.heard.head != 0 && r.when.allows(e.clock.now) {
			at := s.heard.head
			p := s.at(at)
			if e.clock.watch-p.heard < int64(r.MissingFor) {
				break
			}
			s.unlink(&s.heard, p)
			s.push(&s.lost, at, p)
			if s.guess == at {
				s.guess = 0
			}
			p.flags |= missing
			if p.missed = p.last; p.missed == 0 {
				p.missed = e.clock.now - int64(r.MissingFor)
			}
			r.alarm(p, e.clock.now)
			r.tally.Missing++
			e.tell(r, p, e.clock.now, baseline.Rise, Missing, r.silence, "")
		}
		// What may still go missing is not forgotten before.
		for r.MissingFor == 0 && s.heard.head != 0 && e.clock.watch-s.at(s.heard.head).heard >= max(gone, r.forget) {
			e.drop(r, s.heard.head, "silent")
		}
	}
}

// alarm counts an alarm that rises.
func (r *rule) alarm(p *series, t int64) {
	if p.flags&alarmed == 0 {
		p.flags |= alarmed
		r.tally.Alarmed++
	}
	if r.tally.First == 0 {
		r.tally.First = t
	}
	r.tally.Last = t
}

func (t *Tally) fell(lasted int64) {
	d := time.Duration(max(0, lasted))
	t.Falls++
	t.Up += d
	t.Longest = max(t.Longest, d)
}

// Events gives what was to be told since the last call. It is valid until the next point.
func (e *Engine) Events() []baseline.Observation {
	out := e.told
	e.told = e.told[:0]
	return out
}

// number writes a value as people do.
func number(x float64) string {
	return strconv.FormatFloat(x, 'g', 6, 64)
}
