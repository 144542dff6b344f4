package threshold

import (
	"hash/fnv"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
)

// top is the number of the highest step that is up, 0 for none.
func (p *series) top() int { return bits.Len8(p.up) }

// judge takes the value x at t.
//
// Each step has two states, up or not. A value hits a step when it is past its bound or, while the
// step is up, not yet back at the bound that clears it. A step rises when values have hit it for
// as long as the rule says, and falls when they have missed it for as long. The alarm's severity
// is that of the highest step that is up.
func (e *Engine) judge(r *rule, p *series, t int64, x float64) {
	if len(r.steps) == 0 {
		return
	}
	if p.flags&flapping != 0 {
		e.settle(r, p, t)
	}
	p.value = x
	y, known := x, true
	share := r.slot > 0
	if share {
		y, known = p.extra().window.add(t, r.slot, r.steps[0].past(x))
	}
	allowed := true
	if r.when != nil {
		allowed = r.when.allows(t)
	}
	was := p.top()
	if p.hit|p.up == 0 && !share && !(r.steps[0].past(x) && allowed) { // all is well, as nearly always
		return
	}
	for k := range r.steps {
		s, bit := &r.steps[k], uint8(1)<<k
		var hit bool
		switch up := p.up&bit != 0; {
		case !up && (!allowed || !known):
		case share && up:
			hit = !known || y >= r.Share.Clear
		case share:
			hit = y >= r.Share.AtLeast
		case up:
			hit = s.past(x) || s.holds(x)
		default:
			hit = s.past(x)
		}
		if hit != (p.hit&bit != 0) {
			p.hit ^= bit
			p.edge[k] = t
			if k == 0 && hit && p.up == 0 {
				p.since, p.peak = t, x
			}
		}
		if hit && p.up&bit == 0 && t-p.edge[k] >= int64(r.For) || !hit && p.up&bit != 0 && t-p.edge[k] >= int64(r.ClearFor) {
			p.up ^= bit
		}
	}
	if p.hit|p.up != 0 && r.further(x, p.peak) {
		p.peak = x
	}
	if is := p.top(); is != was {
		e.changed(r, p, t, was, is)
	}
}

// further reports whether x is further out than peak.
func (r *rule) further(x, peak float64) bool {
	switch r.kind {
	case Above:
		return x > peak
	case Below:
		return x < peak
	}
	s := &r.steps[0]
	return max(s.lo-x, x-s.hi) > max(s.lo-peak, peak-s.hi)
}

// changed counts and tells that the alarm went from step was to step is.
func (e *Engine) changed(r *rule, p *series, t int64, was, is int) {
	phase := baseline.Change
	severity := uint8(0)
	switch {
	case is == 0:
		phase, severity = baseline.Fall, r.steps[was-1].severity
		r.tally.fell(t - p.rose)
	case was == 0:
		phase, severity = baseline.Rise, r.steps[is-1].severity
		p.rose = t
		r.alarm(p, t)
		r.tally.Rises++
	default:
		severity = r.steps[is-1].severity
		r.tally.Changes++
	}
	if n := r.Flapping.Changes; n > 0 && (is == 0) != (was == 0) {
		m := p.extra()
		if len(m.changes) == n {
			copy(m.changes, m.changes[1:])
			m.changes = m.changes[:n-1]
		}
		m.changes = append(m.changes, t)
		if p.flags&flapping == 0 && len(m.changes) == n && t-m.changes[0] <= int64(r.Flapping.Within) {
			p.flags |= flapping
			r.tally.Flapping++
			e.tell(r, p, t, baseline.Flapping, r.kind, severity, "")
			return
		}
	}
	if p.flags&flapping == 0 {
		e.tell(r, p, t, phase, r.kind, severity, "")
	}
}

// settle ends the flapping of an alarm that has been steady for long enough.
func (e *Engine) settle(r *rule, p *series, t int64) {
	m := p.more
	if len(m.changes) > 0 && t-m.changes[len(m.changes)-1] <= int64(r.Flapping.Within) {
		return
	}
	p.flags &^= flapping
	m.changes = m.changes[:0]
	severity := uint8(0)
	if n := p.top(); n > 0 {
		severity = r.steps[n-1].severity
	}
	e.tell(r, p, t, baseline.Settled, r.kind, severity, "")
}

// broken lets what has not lasted long enough yet begin anew with the next point.
func (p *series) broken() {
	p.flags &^= disturbed
	p.hit = p.up
	if p.more != nil {
		p.more.window.clear()
	}
}

// setBack makes t the present of an entity whose clock was set back.
func (p *series) setBack(t int64) {
	p.last, p.spacing, p.late = 0, 0, 0
	p.flags &^= hasRaw
	p.since, p.rose = min(p.since, t), min(p.rose, t)
	if m := p.more; m != nil {
		m.partnerOK, m.partnerHas, m.partnerAt = false, false, 0
		for i := range m.changes {
			m.changes[i] = min(m.changes[i], t)
		}
	}
}

var scores = [...]float64{0.4, 0.6, 0.8, 0.95} // by severity

// tell makes an observation.
func (e *Engine) tell(r *rule, p *series, t int64, phase baseline.Phase, kind string, severity uint8, cause string) {
	if e.Quiet || !r.Does(Event) {
		return
	}
	if len(e.told) >= maxTold {
		e.Untold++
		return
	}
	o := baseline.Observation{
		Time: t, Device: p.device, Phase: phase, Kind: kind, Rule: r.Name, Severity: Severities[severity],
		Metric: r.Subject(), Unit: r.unitOf(), Entity: Names(p.key), Value: p.value, Cause: cause,
	}
	if kind == Missing {
		o.Start = p.missed
		o.Value = 0
	} else {
		o.Start, o.Peak = p.since, p.peak
		s := &r.steps[0]
		for i := range r.steps {
			if r.steps[i].severity == severity {
				s = &r.steps[i]
			}
		}
		if r.kind != Above {
			o.Low = s.lo
		}
		if r.kind != Below {
			o.High = s.hi
		}
	}
	if phase == baseline.Settled && p.top() == 0 {
		o.Severity = ""
	}
	o.Duration = max(0, float64(t-o.Start)/1e9)
	o.ID = identity(r.Name, kind, p.key, o.Start)
	expected, seen := r.sentence(&o)
	o.Summary = r.summary(&o, seen)
	if phase == baseline.Rise || phase == baseline.Change || phase == baseline.Flapping {
		o.Anomaly = event.Anomaly{Score: scores[severity], Reasons: []event.Reason{{
			Kind: baseline.Threshold, Device: o.Device, Subject: strings.Join(append([]string{r.Name}, o.Entity...), " "),
			Strength: scores[severity], Expected: expected, Seen: o.Summary}}}
	}
	e.told = append(e.told, o)
}

// unitOf is the unit of what is judged, "" where the rule makes another of it.
func (r *rule) unitOf() string {
	switch {
	case r.Rate != "" || r.ratio() || r.Value == "count":
		return ""
	case r.Unit != "":
		return r.Unit
	}
	return r.unit
}

// identity is the same for all that is told of one alarm.
func identity(rule, kind, key string, start int64) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(rule + "\x00" + kind + "\x00" + key + "\x00" + strconv.FormatInt(start, 36)))
	return strconv.FormatUint(h.Sum64(), 36)
}

// sentence says what should be, and what is instead.
func (r *rule) sentence(o *baseline.Observation) (expected, seen string) {
	lasted := time.Duration(o.Duration * 1e9).Round(time.Second)
	if o.Kind == Missing {
		return r.Subject() + " at least every " + short(r.MissingFor), "no " + r.Subject() + " for " + short(lasted)
	}
	unit := ""
	if o.Unit != "" && o.Unit != "1" {
		unit = " " + o.Unit
	}
	switch o.Kind {
	case Above:
		expected = r.what() + " at most " + number(o.High) + unit
	case Below:
		expected = r.what() + " at least " + number(o.Low) + unit
	default:
		expected = r.what() + " from " + number(o.Low) + " to " + number(o.High) + unit
	}
	seen = number(o.Value) + unit
	if r.slot > 0 {
		seen += ", past the bound for " + number(100*r.Share.AtLeast) + " % of " + short(r.Share.Of)
	} else if lasted > 0 {
		seen += ", for " + short(lasted)
	}
	return expected, seen
}

// whom names an entity in words: where a host has a name, its numbers tell people nothing more.
func whom(entity []string) string {
	has := func(prefix string) bool {
		return slices.ContainsFunc(entity, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	if has("host.name=") {
		entity = slices.DeleteFunc(slices.Clone(entity), func(s string) bool {
			return strings.HasPrefix(s, "device.id=") || strings.HasPrefix(s, "host.id=") || strings.HasPrefix(s, "os.type=")
		})
	}
	if len(entity) == 0 {
		return ""
	}
	return " (" + strings.Join(entity, ", ") + ")"
}

func (r *rule) summary(o *baseline.Observation, seen string) string {
	who := whom(o.Entity)
	lasted := short(time.Duration(o.Duration * 1e9).Round(time.Second))
	switch o.Phase {
	case baseline.Fall:
		if o.Kind == Missing {
			if o.Cause != "" {
				return r.Name + who + ": forgotten, " + o.Cause + " after " + lasted
			}
			return r.Name + who + ": " + r.Subject() + " is back after " + lasted
		}
		if o.Cause != "" {
			return r.Name + who + ": over after " + lasted + ", " + o.Cause
		}
		return r.Name + who + ": well again, " + number(o.Value) + " after " + lasted + ", at worst " + number(o.Peak)
	case baseline.Flapping:
		return r.Name + who + ": comes and goes, " + strconv.Itoa(r.Flapping.Changes) + " times within " + short(r.Flapping.Within)
	case baseline.Settled:
		if o.Severity == "" {
			return r.Name + who + ": steady again, and well"
		}
		return r.Name + who + ": steady again, and " + o.Kind + " its bound: " + seen
	case baseline.Change:
		return r.Name + who + ": now " + o.Severity + ", " + r.what() + " is " + seen
	}
	if o.Kind == Missing {
		return r.Name + who + ": " + seen
	}
	return r.Name + who + ": " + r.what() + " is " + seen
}

// short writes a duration without its zeros: 2m, not 2m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
