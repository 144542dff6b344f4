// Package watch judges OTLP metrics and log records by threshold rules, for the components that do
// so: it finds the points that a rule selects, which entity each belongs to, and does with the
// verdict what the rule says. It promises that a point which was not judged is counted with a
// reason, and that nothing is dropped for want of room: points of entities beyond a rule's bound
// pass. It holds the engine's lock while a batch is judged, so that batches are judged in the order in
// which they come.
package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // schedules need time zones where the system has none

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/seldom"
	"github.com/monban/monban/internal/threshold"
)

// Signal is what is judged.
type Signal string

// Signals.
const (
	Metrics Signal = "metrics"
	Logs    Signal = "logs"
)

// Settings are what a component tells a Watch.
type Settings struct {
	Config    *Config
	Signal    Signal
	Do        string // what a rule does that says nothing
	Telemetry component.TelemetrySettings
	Scope     string // name of the scope of what is written
	// Send takes what is told when no batch is in hand; nil where nothing is.
	Send func(context.Context, plog.Logs) error
}

// Watch judges the points of one pipeline.
type Watch struct {
	set  Settings
	log  *zap.Logger
	conf []threshold.Rule // of the signal
	cond []condition

	mu     sync.Mutex
	engine *threshold.Engine
	keeper *keep.Keeper
	stop   chan struct{}
	done   sync.WaitGroup
	ended  bool

	byName   map[string][]int // rules by the metric or attribute that they judge
	partners map[string][]int // and by that which they divide by
	keys     []keyer          // by rule
	all      keyAll
	named    unknown
	trials   []trial   // by rule
	owed     plog.Logs // what was told, and was not taken
	lost     int64     // of that what found no room
	faults   seldom.Faults
	heard    time.Time // when the latest batch came
	atHeard  int64     // what the engine's clock said then

	point  point
	record record
	dist   threshold.Distribution // scratch
}

// New makes a Watch. It refuses rules that can do nothing in this pipeline.
func New(s Settings) (*Watch, error) {
	w := &Watch{set: s, log: s.Telemetry.Logger, owed: plog.NewLogs(), byName: map[string][]int{}, partners: map[string][]int{}}
	for _, r := range s.Config.Rules {
		if (r.Metric != "") == (s.Signal == Metrics) {
			if len(r.Do) == 0 {
				r.Do = []string{s.Do}
			}
			w.conf = append(w.conf, r)
		}
	}
	if len(w.conf) == 0 {
		what := map[Signal]string{Metrics: "metric", Logs: "attribute"}[s.Signal]
		return nil, fmt.Errorf("no rule has %s, so nothing in a pipeline of %s would ever be judged", what, s.Signal)
	}
	var err error
	if w.cond, err = compileConditions(w.conf, s.Telemetry); err != nil {
		return nil, err
	}
	if w.engine, err = threshold.New(w.conf); err != nil {
		return nil, err
	}
	w.engine.Quiet = s.Config.DryRun
	w.engine.Device = w.device
	for i := range w.conf {
		r := &w.conf[i]
		w.byName[r.Subject()] = append(w.byName[r.Subject()], i)
		if p := r.Partner(); p != "" {
			w.partners[p] = append(w.partners[p], i)
		}
		w.keys = append(w.keys, newKeyer(r))
	}
	w.named = newUnknown(w.conf)
	w.trials = newTrials(w.conf)
	return w, nil
}

// Start restores what was saved, and lets time go on when nothing comes. A dry run leaves what is saved alone.
func (w *Watch) Start(ctx context.Context, host component.Host, kind component.Kind, id component.ID) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// One component may stand in pipelines of both signals, and each has a state of its own.
	name := string(w.set.Signal)
	if id.Name() != "" {
		name = id.Name() + "/" + name
	}
	use := w.set.Config.Storage
	if w.set.Config.DryRun {
		use = nil
	}
	w.keeper, err = keep.Open(ctx, host, use, kind, component.NewIDWithName(id.Type(), name), w.set.Config.SaveInterval, w.engine, w.log)
	if err != nil {
		return err
	}
	w.named.since = time.Now()
	if now := w.engine.Now(); now > 0 { // what was watched before may never speak again
		w.heard, w.atHeard = w.named.since, now
	}
	w.stop = make(chan struct{})
	w.done.Go(w.tick)
	return nil
}

// tick lets the engine's clock go on with that on the wall, so that silence is seen when nobody
// speaks. The wall's clock only tells how long it is since the latest batch: it may be set at will. In a dry run
// it tells nothing, see ahead.
func (w *Watch) tick() {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-every.C:
			w.idle(time.Now())
		}
	}
}

func (w *Watch) idle(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.heard.IsZero() && !w.set.Config.DryRun {
		if quiet := now.Sub(w.heard); quiet >= time.Second {
			w.engine.Tick(w.atHeard + int64(quiet))
		}
	}
	w.complain(now, false)
	w.give(w.told(plog.NewLogs(), pcommon.NewResource()), w.send(context.Background()))
}

// ahead lets the clock of a dry run go on to just before the first time of a batch. Recorded data comes in no time at
// all, and who waits afterwards has nobody go missing: only what lies between two batches is silence, as it was
// when they were recorded.
func (w *Watch) ahead(first int64) {
	if w.set.Config.DryRun {
		w.engine.Ahead(first - 1)
	}
}

// maxOwed bounds what is kept of observations that are not taken.
const maxOwed = 100_000

// send is where observations go when no batch is in hand.
func (w *Watch) send(ctx context.Context) func(plog.Logs) error {
	if w.set.Send == nil {
		return nil
	}
	return func(out plog.Logs) error { return w.set.Send(ctx, out) }
}

// finish ends a batch.
func (w *Watch) finish(out plog.Logs) plog.Logs {
	w.engine.Check()
	w.heard, w.atHeard = time.Now(), w.engine.Now()
	return w.told(out, pcommon.NewResource())
}

// saved saves what is due, which is only right after what was told has been handed on.
func (w *Watch) saved(ctx context.Context) {
	if w.owed.LogRecordCount() == 0 {
		w.keeper.SaveIfDue(ctx, w.engine)
	}
}

// give hands on what was told, and before it what could not be handed on before. A batch that is
// sent again by who sent it brings nothing new, so that what was told of it would be lost: it is owed
// until it is taken.
func (w *Watch) give(out plog.Logs, to func(plog.Logs) error) {
	if w.owed.LogRecordCount() > 0 {
		out.ResourceLogs().MoveAndAppendTo(w.owed.ResourceLogs())
		out, w.owed = w.owed, plog.NewLogs()
	}
	if out.LogRecordCount() == 0 || to == nil {
		return
	}
	kept := plog.NewLogs()
	out.CopyTo(kept) // who takes it may change it, even when it then refuses it
	if err := to(out); err != nil {
		w.owe(kept, err)
	}
}

func (w *Watch) owe(out plog.Logs, err error) {
	n := out.LogRecordCount()
	switch {
	case n == 0:
		return
	case w.owed.LogRecordCount()+n > maxOwed:
		w.lost += int64(n)
	default:
		out.ResourceLogs().MoveAndAppendTo(w.owed.ResourceLogs())
	}
	if w.faults.Due("observations") {
		w.log.Error("Observations could not be handed on; it is tried again.", zap.Int("observations", w.owed.LogRecordCount()), zap.Int64("lost", w.lost), zap.Error(err))
	}
}

var severities = map[string]plog.SeverityNumber{
	"info": plog.SeverityNumberInfo, "warn": plog.SeverityNumberWarn, "error": plog.SeverityNumberError, "critical": plog.SeverityNumberFatal,
}

// told appends what the engine has to tell, as the resource's.
func (w *Watch) told(out plog.Logs, of pcommon.Resource) plog.Logs {
	events := w.engine.Events()
	if len(events) == 0 {
		return out
	}
	rl := out.ResourceLogs().AppendEmpty()
	of.CopyTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(w.set.Scope)
	for i := range events {
		o := &events[i]
		lr := logrecord.Append(sl.LogRecords(), baseline.Observations, o.Time, o)
		lr.Body().SetStr(o.Summary)
		n := severities[o.Severity]
		if o.Phase == baseline.Fall || n == 0 {
			n = plog.SeverityNumberInfo
		}
		lr.SetSeverityNumber(n)
		lr.SetSeverityText(o.Severity)
	}
	return out
}

// Shutdown saves, and says what a dry run found. It is safe to call twice, and without Start.
func (w *Watch) Shutdown(ctx context.Context) error {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return nil
	}
	w.ended = true
	if w.stop != nil {
		close(w.stop)
	}
	w.mu.Unlock()
	w.done.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.give(plog.NewLogs(), w.send(ctx))
	w.complain(time.Now(), w.set.Config.DryRun)
	if w.set.Config.DryRun {
		for i := range w.conf {
			w.log.Warn(w.engine.Summary(i))
		}
	}
	return w.keeper.Close(ctx, w.engine)
}

// Report gives what each rule did so far.
func (w *Watch) Report(each func(rule string, t threshold.Tally, entities int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.conf {
		each(w.conf[i].Name, w.engine.Tally(i), w.engine.Entities(i))
	}
}

// Untold is how many observations found no room while they could not be handed on.
func (w *Watch) Untold() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(w.engine.Untold) + w.lost
}

// mark is what a record or point gets of the worst alarm that is up.
type mark struct {
	rule     string
	severity uint8
	up       bool
}

func (m *mark) take(rule string, v threshold.Verdict) {
	if !m.up || v.Severity > m.severity {
		*m = mark{rule, v.Severity, true}
	}
}

func (m *mark) put(attrs pcommon.Map) {
	if m.up {
		attrs.PutStr("threshold.rule", m.rule)
		attrs.PutStr("threshold.severity", threshold.Severities[m.severity])
	}
}

// choice is what becomes of a point under all rules that select it: where any of them passes only
// what is past its bound, it goes on if one of those is.
type choice struct {
	mark       mark
	asked, yes bool
}

func (w *Watch) decide(c *choice, r *threshold.Rule, v threshold.Verdict) {
	if w.set.Config.DryRun {
		return
	}
	if r.Does(threshold.Pass) {
		c.asked = true
		c.yes = c.yes || v.Up || v.Outcome == threshold.TooMany || v.Outcome == threshold.TooLong
	}
	if v.Up && r.Does(threshold.Mark) {
		c.mark.take(r.Name, v)
	}
}

// gone reports whether the point is dropped.
func (c *choice) gone() bool { return c.asked && !c.yes }

// errUntold is what a component says whose rules ask for what its pipeline can't carry.
var errUntold = errors.New("a pipeline of metrics carries no log records: use the connector threshold for do: [event]")

// NoEvents refuses rules that write observations.
func (c *Config) NoEvents() error {
	for i := range c.Rules {
		if c.Rules[i].Metric != "" && c.Rules[i].Does(threshold.Event) {
			return fmt.Errorf("rule %q: %w", c.Rules[i].Name, errUntold)
		}
	}
	return nil
}
