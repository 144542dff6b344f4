package threshold

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Misfit is a bound that makes no sense on a metric.
type Misfit struct {
	Why   string  // what comes of it
	Key   string  // which bound it is
	Bound float64 // what it is
	Meant float64 // what may have been meant, 0 where nobody knows
}

// Misfits gives what of rule i makes no sense on a metric of this unit: a utilization of the unit 1 is a share from 0
// to 1, so that an alarm above 80, which was meant in percent, or below -1 never rises, one below 20 always does, and
// one that is cleared by 2 never ends.
func (e *Engine) Misfits(i int, unit string) (all []Misfit) {
	r := e.rules[i]
	if unit != "1" || !strings.HasSuffix(r.Metric, "utilization") || r.Rate != "" || r.ratio() || r.Value != "" {
		return nil
	}
	add := func(why, key string, bound float64) {
		meant := 0.0
		if bound > 1 && bound <= 100 {
			meant = bound / 100
		}
		all = append(all, Misfit{why, key, bound, meant})
	}
	for k := range r.steps {
		s, who := &r.steps[k], "rule"
		if len(r.steps) > 1 {
			who = "step " + Severities[s.severity]
		}
		clear := "clear"
		if r.kind == Outside {
			clear = "clear_within"
		}
		switch {
		case s.lo <= 0 && s.hi >= 1:
			bound := s.hi
			if math.IsInf(bound, 1) {
				bound = s.lo
			}
			add("The "+who+" can never fire", "bound", bound)
		case s.lo > 1:
			add("The "+who+" always fires", "bound", s.lo)
		case s.hi < 0:
			add("The "+who+" always fires", "bound", s.hi)
		case s.clearLo > 1:
			add("An alarm of the "+who+" can never end", clear, s.clearLo)
		case s.clearHi < 0:
			add("An alarm of the "+who+" can never end", clear, s.clearHi)
		}
	}
	return all
}

// Total is what rule i did, with the alarms that are still up as if they ended now.
func (e *Engine) Total(i int) (t Tally, open int) {
	r := e.rules[i]
	t = r.tally
	for _, l := range [...]list{r.entities.heard, r.entities.lost} {
		for at := l.head; at != 0; at = r.entities.at(at).after {
			if p := r.entities.at(at); p.up != 0 {
				open++
				d := time.Duration(max(0, p.last-p.rose))
				t.Up += d
				t.Longest = max(t.Longest, d)
			}
		}
	}
	return t, open
}

// Summary says in a sentence how often rule i fired.
func (e *Engine) Summary(i int) string {
	r := e.rules[i]
	t, open := e.Total(i)
	var b strings.Builder
	fmt.Fprintf(&b, "Rule %q would have fired %d times", r.Name, t.Rises+t.Missing)
	if t.Missing > 0 {
		fmt.Fprintf(&b, ", of these %d for a missing entity", t.Missing)
	}
	fmt.Fprintf(&b, ", for %d entities of %d held at the end", t.Alarmed, r.entities.n)
	if t.Rises > 0 {
		fmt.Fprintf(&b, "; past its bound for %s in all and %s at the longest", short(t.Up.Round(time.Second)), short(t.Longest.Round(time.Second)))
	}
	if open > 0 {
		fmt.Fprintf(&b, ", %d still at the end", open)
	}
	if t.First > 0 {
		fmt.Fprintf(&b, "; first %s, last %s", time.Unix(0, t.First).UTC().Format(time.RFC3339), time.Unix(0, t.Last).UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(&b, ". Points: %d judged", t.Points[Judged])
	for o := Judged + 1; o < outcomes; o++ {
		if t.Points[o] > 0 {
			fmt.Fprintf(&b, ", %d %s", t.Points[o], o)
		}
	}
	return b.String() + "."
}

// An Alarm is how often something of an alarm happened.
type Alarm struct {
	Name string
	N    uint64
}

// Alarms lists what happened to alarms.
func (t *Tally) Alarms() [5]Alarm {
	return [...]Alarm{{"rise", t.Rises}, {"change", t.Changes}, {"fall", t.Falls}, {"missing", t.Missing}, {"flapping", t.Flapping}}
}
