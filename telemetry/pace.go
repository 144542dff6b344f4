package telemetry

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Flows become short-lived records by the hundred thousand a second beside a small lasting heap
// (flow table, baselines). With Go's default target the collector of garbage would run all the
// time: the whole chain costs 1.9–2.8 µs a record at 400 % and about half as much again at
// 100 %. A process with little to do gains nothing by it, and would keep garbage four times as
// large as what is in use, so there the default holds.
const (
	generous = 400 // percent
	thrifty  = 100
	busy     = 0.04  // of a core; from so much on collecting is worth less of it
	calm     = 0.005 // so little stays little at four times as many collections
)

// pace sets the collector's target after each collection by what collecting costs.
type pace struct {
	percent int
	at      time.Time // of the collection before
	spent   float64   // until then, seconds of processor time
}

func newPace() *pace {
	p := &pace{percent: generous, at: time.Now(), spent: spent()}
	debug.SetGCPercent(p.percent)
	p.await()
	return p
}

// await has collected called after the next collection.
func (p *pace) await() {
	runtime.AddCleanup(new([4]uint64), (*pace).collected, p)
}

func (p *pace) collected() {
	at, sum := time.Now(), spent()
	if took := at.Sub(p.at).Seconds(); took > 0 {
		if percent := next(p.percent, (sum-p.spent)/took); percent != p.percent {
			p.percent = percent
			debug.SetGCPercent(percent)
		}
	}
	p.at, p.spent = at, sum
	p.await()
}

// next is the target after a collection that took this share of a core since the one before.
func next(percent int, share float64) int {
	switch {
	case share > busy:
		return generous
	case share < calm:
		return thrifty
	}
	return percent
}

// spent is the processor time that collecting took from all else so far.
func spent() (seconds float64) {
	s := []metrics.Sample{
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"},
		{Name: "/cpu/classes/gc/pause:cpu-seconds"},
	}
	metrics.Read(s)
	for _, v := range s {
		if v.Value.Kind() == metrics.KindFloat64 {
			seconds += v.Value.Float64()
		}
	}
	return seconds
}
