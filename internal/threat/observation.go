package threat

import (
	"hash/fnv"
	"slices"

	"github.com/monban/monban/internal/baseline"
)

// severityOf is how severe a report is at least by an observation's severity: that was chosen by who wrote the rule.
var severityOf = map[string]string{"info": Low, "warn": Medium, "error": High, "critical": Critical}

// Observation takes an observation, also one that gives no evidence. What a rule tells of begins
// and ends and says nothing in between, so that its incident stays open from the one to the other.
func (e *Engine) Observation(o *baseline.Observation) {
	e.advance(o.Time)
	if in := e.evidence(o.Time, o.Anomaly.Reasons); in != nil {
		if s := severityOf[o.Severity]; s != "" && (in.Least == "" || !AtLeast(in.Least, s)) {
			in.Least = s
		}
		if o.Rule != "" && o.Phase != "" {
			in.hold(keyOf(o), e.now)
		}
		return
	}
	switch {
	case o.Phase == baseline.Settled && o.Severity != "":
		e.goesOn(o)
	case o.Phase == baseline.Fall, o.Phase == baseline.Settled:
		e.over(o)
	}
}

// goesOn renews what an incident holds of an alarm that came and went, and now stays.
func (e *Engine) goesOn(o *baseline.Observation) {
	key := keyOf(o)
	for _, in := range e.by[o.Device] {
		if in.holds(key) >= 0 {
			in.hold(key, e.now)
			in.last(o.Time)
		}
	}
}

// over takes the end of an alarm: until then it was seen.
func (e *Engine) over(o *baseline.Observation) {
	key := keyOf(o)
	for _, in := range e.by[o.Device] {
		if in.Family != familyOf(baseline.Threshold) {
			continue
		}
		if i := in.holds(key); i >= 0 {
			in.Lasting = slices.Delete(in.Lasting, i, i+1)
		}
		in.last(o.Time)
		in.Heard, in.Dirty = e.now, true
	}
}

func (in *incident) last(at int64) { in.Report.Last = max(in.Report.Last, at) }

func (in *incident) holds(key uint64) int {
	return slices.IndexFunc(in.Lasting, func(a alarm) bool { return a.Key == key })
}

func (in *incident) hold(key uint64, now int64) {
	switch i := in.holds(key); {
	case i >= 0:
		in.Lasting[i].At = now
	case len(in.Lasting) < maxLasting:
		in.Lasting = append(in.Lasting, alarm{key, now})
	}
}

// lasts reports whether an alarm of the incident goes on. The clock may have been set meanwhile.
func (e *Engine) lasts(in *incident) bool {
	in.Lasting = slices.DeleteFunc(in.Lasting, func(a alarm) bool { d := e.now - a.At; return d > lasting || d < -lasting })
	return len(in.Lasting) > 0
}

// keyOf tells what an alarm is about: a rule that begins anew after it lost its state tells of the same.
func keyOf(o *baseline.Observation) uint64 {
	h := fnv.New64a()
	for _, part := range append([]string{o.Device, o.Rule, o.Kind}, o.Entity...) {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}
