package threshold

import (
	"math"
	"sort"
	"time"

	"github.com/monban/monban/internal/baseline"
)

// reference does what Engine does, by the definitions, slowly: it keeps every point and looks
// through all of them each time. It shares no code with the engine but the Rule.
type reference struct {
	rules    []Rule
	entities []map[string]*refEntity
	now      int64
	watch    int64
	out      []told
	refused  int
}

// told is what two implementations must agree on.
type told struct {
	Rule, Key string
	Time      int64
	Phase     baseline.Phase
	Kind      string
	Severity  string
	Start     int64
	Value     float64
	Peak      float64
	Cause     string
}

type refEntity struct {
	accepted []int64 // times since the clock was last set back
	late     []int64 // those too late, one after the other
	heard    int64
	missing  bool
	missed   int64
	spoiled  bool // a point could not be judged since the last that was
	raw      []Sample
	partner  []Sample

	points  []refPoint
	up      [][]bool // by step, by point
	hit     [][]bool
	since   int64
	begun   int // the point at which that began which the alarm is about
	changes []int64
	flaps   bool
}

type refPoint struct {
	t      int64
	x      float64
	broken bool
}

func newReference(rules []Rule) *reference {
	r := &reference{rules: rules}
	for range rules {
		r.entities = append(r.entities, map[string]*refEntity{})
	}
	return r
}

func (r *reference) hear(t int64) {
	switch {
	case r.now == 0:
		r.now = t
	case t > r.now:
		r.watch += t - r.now
		r.now = t
	}
}

func refSteps(r *Rule) []Step {
	if len(r.Steps) > 0 {
		return r.Steps
	}
	if r.Bounds.given() {
		return []Step{{r.Severity, r.Bounds}}
	}
	return nil
}

func refSeverity(r *Rule, k int) string {
	if s := refSteps(r)[k].Severity; s != "" {
		return s
	}
	return []string{"warn", "error", "critical", "critical"}[k]
}

func refKind(b Bounds) string {
	switch {
	case b.Above != nil:
		return Above
	case b.Below != nil:
		return Below
	}
	return Outside
}

func refPast(b Bounds, x float64) bool {
	switch refKind(b) {
	case Above:
		return x > *b.Above
	case Below:
		return x < *b.Below
	}
	return x < b.Outside[0] || x > b.Outside[1]
}

func refBack(b Bounds, x float64) bool {
	switch refKind(b) {
	case Above:
		if b.Clear != nil {
			return x <= *b.Clear
		}
		return x <= *b.Above
	case Below:
		if b.Clear != nil {
			return x >= *b.Clear
		}
		return x >= *b.Below
	}
	in := b.Outside
	if b.ClearWithin != nil {
		in = b.ClearWithin
	}
	return x >= in[0] && x <= in[1]
}

func refAllowed(s *Schedule, t int64) bool {
	if len(s.Active)+len(s.Quiet) == 0 {
		return true
	}
	zone := time.UTC
	if s.Zone != "" {
		zone, _ = time.LoadLocation(s.Zone)
	}
	at := time.Unix(0, t).In(zone)
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	in := func(h Hours) bool {
		// Those of today, or those of yesterday that go on over midnight.
		clock := at.Format("15:04")
		from, to := h.From, h.To
		if from == "" {
			from = "00:00"
		}
		if to == "" {
			to = "24:00"
		}
		on := func(day time.Weekday) bool {
			for _, d := range h.Days {
				if d == names[day] {
					return true
				}
			}
			return len(h.Days) == 0
		}
		if from < to {
			return on(at.Weekday()) && from <= clock && clock < to
		}
		return on(at.Weekday()) && clock >= from || on((at.Weekday()+6)%7) && clock < to
	}
	ok := len(s.Active) == 0
	for _, h := range s.Active {
		ok = ok || in(h)
	}
	for _, h := range s.Quiet {
		ok = ok && !in(h)
	}
	return ok
}

// entity finds or takes in; nil when there is no room.
func (r *reference) entity(i int, key string) *refEntity {
	if e := r.entities[i][key]; e != nil {
		return e
	}
	rule := &r.rules[i]
	if rule.MaxEntities > 0 && len(r.entities[i]) >= rule.MaxEntities {
		patience := time.Hour
		for _, d := range []time.Duration{rule.MissingFor, rule.For, rule.ClearFor, rule.Share.Of, rule.Flapping.Within} {
			patience = max(patience, 2*d)
		}
		oldest := ""
		for k, e := range r.entities[i] {
			o := r.entities[i][oldest]
			if o == nil || e.missing && !o.missing || e.missing == o.missing && e.heard < o.heard {
				oldest = k
			}
		}
		o := r.entities[i][oldest]
		if r.watch-o.heard < max(int64(patience), 4*o.spacing()) {
			r.refused++
			return nil
		}
		r.drop(i, oldest, "evicted")
	}
	e := &refEntity{heard: r.watch}
	for range refSteps(rule) {
		e.up, e.hit = append(e.up, nil), append(e.hit, nil)
	}
	r.entities[i][key] = e
	return e
}

func (e *refEntity) spacing() int64 {
	if n := len(e.accepted); n > 1 {
		return e.accepted[n-1] - e.accepted[n-2]
	}
	return 0
}

func (e *refEntity) top() int {
	for k := len(e.up) - 1; k >= 0; k-- {
		if n := len(e.up[k]); n > 0 && e.up[k][n-1] {
			return k + 1
		}
	}
	return 0
}

func (r *reference) drop(i int, key, cause string) {
	rule, e := &r.rules[i], r.entities[i][key]
	if e.missing {
		r.tell(i, key, e, r.now, baseline.Fall, Missing, 0, cause)
	}
	if n := e.top(); n > 0 {
		r.tell(i, key, e, r.now, baseline.Fall, refKind(refSteps(rule)[0].Bounds), n, cause)
	} else if e.flaps {
		r.tell(i, key, e, r.now, baseline.Fall, refKind(refSteps(rule)[0].Bounds), 1, cause)
	}
	delete(r.entities[i], key)
}

func (r *reference) tell(i int, key string, e *refEntity, t int64, phase baseline.Phase, kind string, step int, cause string) {
	o := told{Rule: r.rules[i].Name, Key: key, Time: t, Phase: phase, Kind: kind, Cause: cause}
	if kind == Missing {
		o.Severity, o.Start = "warn", e.missed
		if s := r.rules[i].Severity; s != "" {
			o.Severity = s
		}
	} else {
		if step > 0 {
			o.Severity = refSeverity(&r.rules[i], step-1)
		}
		o.Start = e.since
		if n := len(e.points); n > 0 {
			o.Value = e.points[n-1].x
			o.Peak = math.NaN()
			b := refSteps(&r.rules[i])[0].Bounds
			for j, p := range e.points {
				if j >= e.begun && (math.IsNaN(o.Peak) || refFar(b, p.x) > refFar(b, o.Peak)) && j <= e.lastOut() {
					o.Peak = p.x
				}
			}
		}
	}
	r.out = append(r.out, o)
}

// lastOut is the latest point at which the value was out or the alarm up.
func (e *refEntity) lastOut() int {
	for j := len(e.points) - 1; j >= 0; j-- {
		for k := range e.hit {
			if e.hit[k][j] || e.up[k][j] {
				return j
			}
		}
	}
	return -1
}

func refFar(b Bounds, x float64) float64 {
	switch refKind(b) {
	case Above:
		return x
	case Below:
		return -x
	}
	return max(b.Outside[0]-x, x-b.Outside[1])
}

func (r *reference) partnerPoint(i int, key string, s Sample) {
	if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
		return
	}
	e := r.entity(i, key)
	if e == nil {
		return
	}
	if n := len(e.partner); n > 0 && s.Time <= e.partner[n-1].Time {
		if s.Time > e.partner[n-1].Time-int64(r.rules[i].Over.MaxAge) {
			return
		}
		e.partner = nil
	}
	e.partner = append(e.partner, s)
}

func refUnit(rate string) float64 {
	return map[string]float64{"second": 1, "minute": 60, "hour": 3600}[rate]
}

// refRate is the rate of the last of these samples.
func refRate(unit float64, all []Sample) (float64, bool) {
	n := len(all)
	is := all[n-1]
	seconds := func(from int64) float64 { return float64(is.Time-from) / 1e9 }
	if is.Temporality == Delta {
		if is.Start > 0 && is.Start < is.Time {
			return is.Value / seconds(is.Start) * unit, true
		}
		if n < 2 {
			return 0, false
		}
		return is.Value / seconds(all[n-2].Time) * unit, true
	}
	if n < 2 {
		return 0, false
	}
	was := all[n-2]
	if is.Temporality == Cumulative && (is.Value < was.Value || is.Start > was.Time) {
		return 0, false
	}
	return (is.Value - was.Value) / seconds(was.Time) * unit, true
}

func (r *reference) point(i int, key string, s Sample) {
	rule := &r.rules[i]
	r.hear(s.Time)
	if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
		return
	}
	e := r.entity(i, key)
	if e == nil {
		return
	}
	broken := false
	if n := len(e.accepted); n > 0 && s.Time <= e.accepted[n-1] {
		if s.Time == e.accepted[n-1] {
			return
		}
		if m := len(e.late); m > 0 && s.Time <= e.late[m-1] {
			e.late = nil
		}
		if e.late = append(e.late, s.Time); len(e.late) < 3 {
			return
		}
		broken = true
		e.accepted, e.raw, e.partner = nil, nil, nil
		e.since = min(e.since, s.Time)
		for j := range e.changes {
			e.changes[j] = min(e.changes[j], s.Time)
		}
	}
	e.late = nil
	if n := len(e.accepted); n > 1 && s.Time-e.accepted[n-1] > max(int64(5*time.Minute), 4*e.spacing()) {
		broken = true
	}
	e.accepted = append(e.accepted, s.Time)
	e.heard = r.watch
	if e.missing {
		e.missing = false
		r.tell(i, key, e, s.Time, baseline.Fall, Missing, 0, "")
	}
	x, ok := s.Value, true
	if rule.Rate != "" {
		e.raw = append(e.raw, s)
		x, ok = refRate(refUnit(rule.Rate), e.raw)
	}
	if ok && rule.Over.Metric != "" {
		n := len(e.partner)
		if ok = n > 0 && e.partner[n-1].Time >= s.Time-int64(rule.Over.MaxAge); ok {
			by := e.partner[n-1].Value
			if rule.Rate != "" {
				by, ok = refRate(refUnit(rule.Rate), e.partner)
			}
			x /= by
		}
	}
	if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
		e.spoiled = true
		return
	}
	if len(refSteps(rule)) == 0 {
		return
	}
	e.points = append(e.points, refPoint{s.Time, x, broken || e.spoiled})
	e.spoiled = false
	r.judge(i, key, e)
}

func (r *reference) judge(i int, key string, e *refEntity) {
	rule := &r.rules[i]
	steps := refSteps(rule)
	n := len(e.points) - 1
	p := e.points[n]
	if e.flaps && p.t-e.changes[len(e.changes)-1] > int64(rule.Flapping.Within) {
		e.flaps, e.changes = false, nil
		was := e.points
		e.points = append(was[:n:n], p) // the value before
		e.points[n].x = was[max(0, n-1)].x
		for k := range e.up { // as nothing is said of this point yet
			e.hit[k], e.up[k] = append(e.hit[k], e.hit[k][n-1]), append(e.up[k], e.up[k][n-1])
		}
		r.tell(i, key, e, p.t, baseline.Settled, refKind(steps[0].Bounds), e.top(), "")
		for k := range e.up {
			e.hit[k], e.up[k] = e.hit[k][:n], e.up[k][:n]
		}
		e.points[n] = p
	}
	was := e.top()
	anyUp := was > 0
	for k, s := range steps {
		up := n > 0 && e.up[k][n-1]
		past := refPast(s.Bounds, p.x) || up && !refBack(s.Bounds, p.x)
		if rule.Share.Of > 0 {
			share, whole := e.share(rule, s.Bounds)
			limit := rule.Share.AtLeast
			if up && rule.Share.Clear > 0 {
				limit = rule.Share.Clear
			}
			past = share >= limit
			if !whole {
				past = up
			}
		}
		if !up && !refAllowed(&rule.Schedule, p.t) {
			past = false
		}
		e.hit[k] = append(e.hit[k], past)
		// How long has it been so? A break only counts for what has not come to its end.
		start := n
		for start > 0 && e.hit[k][start-1] == past && !e.points[start].broken {
			start--
		}
		lasted := p.t - e.points[start].t
		if k == 0 && past && !anyUp && start == n {
			e.since, e.begun = p.t, n
		}
		now := up
		if past && !up && lasted >= int64(rule.For) {
			now = true
		}
		if !past && up && lasted >= int64(rule.ClearFor) {
			now = false
		}
		e.up[k] = append(e.up[k], now)
	}
	is := e.top()
	if is == was {
		return
	}
	kind := refKind(steps[0].Bounds)
	if rule.Flapping.Changes > 0 && (is == 0) != (was == 0) {
		e.changes = append(e.changes, p.t)
		if c := len(e.changes) - rule.Flapping.Changes; !e.flaps && c >= 0 && p.t-e.changes[c] <= int64(rule.Flapping.Within) {
			e.flaps = true
			r.tell(i, key, e, p.t, baseline.Flapping, kind, max(is, was), "")
			return
		}
	}
	switch {
	case e.flaps:
	case is == 0:
		r.tell(i, key, e, p.t, baseline.Fall, kind, was, "")
	case was == 0:
		r.tell(i, key, e, p.t, baseline.Rise, kind, is, "")
	default:
		r.tell(i, key, e, p.t, baseline.Change, kind, is, "")
	}
}

// share is that of the points past the bound in the window's slots up to the latest point.
func (e *refEntity) share(rule *Rule, b Bounds) (float64, bool) {
	slot := int64(rule.Share.Of) / 60
	n := len(e.points) - 1
	first := n
	for first > 0 && !e.points[first].broken {
		first--
	}
	all, past := 0, 0
	for _, p := range e.points[first:] {
		if p.t/slot > e.points[n].t/slot-60 {
			all++
			if refPast(b, p.x) {
				past++
			}
		}
	}
	return float64(past) / float64(all), e.points[n].t-e.points[first].t >= 59*slot
}

func (r *reference) check() {
	for i := range r.rules {
		rule := &r.rules[i]
		keys := make([]string, 0, len(r.entities[i]))
		for k := range r.entities[i] {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			e := r.entities[i][k]
			silent := r.watch - e.heard
			if rule.MissingFor > 0 && !e.missing && silent >= int64(rule.MissingFor) && refAllowed(&rule.Schedule, r.now) {
				e.missing, e.missed = true, r.now-int64(rule.MissingFor)
				if n := len(e.accepted); n > 0 {
					e.missed = e.accepted[n-1]
				}
				r.tell(i, k, e, r.now, baseline.Rise, Missing, 0, "")
			}
			if rule.MissingFor == 0 && silent >= int64(62*24*time.Hour) {
				r.drop(i, k, "silent")
			}
		}
	}
}
