// Package unusual puts into words what a series that is not as usual has to say: it makes
// observations, and evidence, of verdicts. It promises one sentence that names what moved, by how
// much, and what was expected until when; it gives up judgement of its own.
package unusual

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/series"
)

// Marks are the fields of an observation that a data point carries, as attributes. What the point and
// its metric say themselves is not among them.
var Marks = []string{
	"observation.id", "observation.phase", "observation.kind", "observation.value", "observation.expected", "observation.low", "observation.high",
	"observation.start", "observation.duration", "observation.summary", "anomaly.score",
}

// Marks that say of which part of a metric an observation is, and in what unit.
const (
	Part   = "observation.part" // ".count" or ".mean" of a distribution
	UnitOf = "observation.unit"
)

// IsMark reports whether an attribute is a mark, of ours or of a threshold: it tells nothing of which
// series a point belongs to.
func IsMark(key string) bool {
	return strings.HasPrefix(key, "observation.") || strings.HasPrefix(key, "anomaly.") || strings.HasPrefix(key, "threshold.")
}

// Again is how often an alarm that goes on is told, so that an incident stays open meanwhile.
const Again = 4 * time.Minute

// Says reports whether a verdict is worth telling, and not only the next point of an alarm.
func Says(v *series.Verdict, t int64) bool {
	switch v.Phase {
	case series.Quiet:
		return false
	case series.Holds:
		age := t - v.Since
		return age/int64(Again) != (age-v.Elapsed)/int64(Again)
	}
	return true
}

var phases = map[series.Phase]baseline.Phase{series.Began: baseline.Rise, series.Turned: baseline.Change, series.Ended: baseline.Fall}

// Subject is the series that a verdict is of.
type Subject struct {
	Key    series.Key
	Metric string
	Unit   string
	Device string
	Entity []string // what tells it from others of its name, as key=value
}

// Observe makes the observation of a verdict that was given at t.
func Observe(s *Subject, t int64, v *series.Verdict) baseline.Observation {
	o := baseline.Observation{
		Time: t, Device: s.Device, ID: id(s.Key, v.Since), Phase: phases[v.Phase], Kind: v.Kind.String(),
		Metric: s.Metric, Unit: s.Unit, Entity: s.Entity, Value: v.Value, Expected: v.Expected, Low: v.Low, High: v.High,
		Start: v.Since, Duration: float64(t-v.Since) / 1e9, Summary: summary(s, t, v),
	}
	if v.Phase == series.Ended {
		return o
	}
	o.Anomaly.Score = math.Round((1-math.Exp(-5*strength(v.Kind)/3))*1000) / 1000
	o.Anomaly.Reasons = []event.Reason{Reason(&o)}
	return o
}

func id(k series.Key, since int64) string {
	return fmt.Sprintf("%016x", k[0]^k[1]*31^uint64(since)*0x9e3779b97f4a7c15)
}

// strength is how sure it is that somebody wants to know: one value may be anything.
func strength(k series.Kind) float64 {
	if k == series.Spike {
		return 0.6
	}
	return 0.9
}

// Reason is the evidence that an observation of a series gives. Kinds that are not of a series give none.
func Reason(o *baseline.Observation) event.Reason {
	r := event.Reason{Kind: baseline.Metric, Device: o.Device, Subject: label(o.Metric, o.Entity), Strength: 0.9,
		Expected: fmt.Sprintf("%s from %s to %s", label(o.Metric, o.Entity), number(o.Low, o.Unit), number(o.High, o.Unit)), Seen: o.Summary}
	switch o.Kind {
	case series.Spike.String():
		r.Strength = strength(series.Spike)
	case series.Stuck.String():
		r.Kind = baseline.StuckMetric
		r.Expected = label(o.Metric, o.Entity) + " changes all the time at this hour"
	case series.LevelShift.String(), series.Variance.String(), series.MissingSeason.String(), series.Drift.String():
	default:
		return event.Reason{}
	}
	return r
}

func label(metric string, entity []string) string {
	if len(entity) == 0 {
		return metric
	}
	return metric + " (" + strings.Join(entity, ", ") + ")"
}

// number writes a value in its unit, in the few digits that matter.
func number(x float64, unit string) string {
	switch unit {
	case "By", "By/s":
		for i, prefix := range []string{"", "k", "M", "G", "T"} {
			if f := math.Pow(1000, float64(i)); math.Abs(x) < 1000*f || prefix == "T" {
				return short(x/f) + " " + prefix + strings.Replace(unit, "By", "B", 1)
			}
		}
	case "1", "":
		return short(x)
	}
	if strings.HasPrefix(unit, "{") { // an annotation, of what is counted
		return short(x) + " " + strings.NewReplacer("{", "", "}", "").Replace(unit)
	}
	return short(x) + " " + unit
}

func short(x float64) string {
	if math.Abs(x) >= 1e4 && math.Abs(x) < 1e7 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

func summary(s *Subject, t int64, v *series.Verdict) string {
	what := label(s.Metric, s.Entity)
	if v.Phase == series.Ended {
		return fmt.Sprintf("%s is as usual again, after %s: %s", what, span(t-v.Since), number(v.Value, s.Unit))
	}
	bounds := fmt.Sprintf("expected from %s to %s, until %s", number(v.Low, s.Unit), number(v.High, s.Unit), time.Unix(0, v.Until).UTC().Format("15:04 UTC"))
	by := number(math.Abs(v.Change), s.Unit)
	up, more := "up", "above"
	if v.Change < 0 {
		up, more = "down", "below"
	}
	sigmas := short(math.Round(math.Abs(v.Sigmas)*10)/10) + " usual deviations"
	if math.Abs(v.Sigmas) > 1000 {
		sigmas = "more than it ever varied"
	}
	switch v.Kind {
	case series.Spike:
		return fmt.Sprintf("%s is %s, %s (%s) %s what is usual: %s", what, number(v.Value, s.Unit), by, sigmas, more, bounds)
	case series.LevelShift:
		return fmt.Sprintf("%s has moved %s by %s (%s), to %s: %s", what, up, by, sigmas, number(v.Value, s.Unit), bounds)
	case series.Variance:
		return fmt.Sprintf("%s scatters %s times as much as usual, and is %s: %s", what, short(math.Round(v.Sigmas*10)/10), number(v.Value, s.Unit), bounds)
	case series.Stuck:
		return fmt.Sprintf("%s is %s again and again: %s", what, number(v.Value, s.Unit), bounds)
	case series.MissingSeason:
		return fmt.Sprintf("the rise or fall of %s that this time brings does not come: it is %s, %s", what, number(v.Value, s.Unit), bounds)
	case series.Drift:
		return fmt.Sprintf("%s drifts %s, by %s (%s) over days, and is %s: %s", what, up, by, sigmas, number(v.Value, s.Unit), bounds)
	}
	return what
}

func span(ns int64) string {
	switch s := float64(ns) / 1e9; {
	case s < 100:
		return fmt.Sprintf("%.0f s", s)
	case s < 6000:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%.0f h", s/3600)
	default:
		return fmt.Sprintf("%.0f d", s/86400)
	}
}
