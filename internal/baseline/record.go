package baseline

import "github.com/monban/monban/internal/event"

// Observation is something unusual that no single flow or sighting shows: a
// device that fell silent, a value past a threshold, a metric that is not as it
// usually is. What lasts is told when it begins, changes and ends, all with
// the same ID.
type Observation struct {
	Time     int64 // Unix nanoseconds; the log record's timestamp
	Device   string
	ID       string // of the going-on, "" for what is told once
	Phase    Phase
	Kind     string // what is observed: "above", "missing", "level_shift", …
	Rule     string // the rule that a person wrote, "" for what was learned
	Severity string // "info", "warn", "error" or "critical"
	Metric   string // or the attribute of a log record
	Unit     string
	Entity   []string // "cpu=0": what tells the series from others
	Value    float64  // what came
	Expected float64  // what was expected, where that is one value
	Low      float64  // the bounds that hold usually, or those of the rule
	High     float64
	Peak     float64 // the value furthest out since the beginning
	Start    int64   // when it began, Unix nanoseconds
	Duration float64 // seconds since
	Cause    string  // why it ended, when not because the value is well again
	Summary  string  // one plain sentence
	Anomaly  event.Anomaly
}

// Phase is how far something that lasts has come.
type Phase string

// Phases.
const (
	Rise     Phase = "rise"     // it begins
	Change   Phase = "change"   // its severity or kind changes
	Fall     Phase = "fall"     // it is over
	Flapping Phase = "flapping" // it comes and goes so often that this is told in place of each
	Settled  Phase = "settled"  // it no longer does
)

// Observations is the one definition of an observation event.
var Observations = event.NewTable("device.observation", "Something unusual about a device that no single flow shows.", []event.Field[Observation]{
	event.Text("device.id", "Inventory id", func(o *Observation) *string { return &o.Device }).ECS("device.id"),
	event.Text("observation.id", "The same from beginning to end", func(o *Observation) *string { return &o.ID }),
	event.Text("observation.phase", "rise, change, fall, flapping or settled; absent while it goes on, which is told every four minutes, and for what is told once", func(o *Observation) *Phase { return &o.Phase }),
	event.Text("observation.kind", "What is observed: above, below, outside, missing; spike, level_shift, …", func(o *Observation) *string { return &o.Kind }),
	event.Text("observation.rule", "Name of the rule; absent for what was learned", func(o *Observation) *string { return &o.Rule }).ECS("rule.name"),
	event.Text("observation.severity", "info, warn, error or critical", func(o *Observation) *string { return &o.Severity }),
	event.Text("metric.name", "Name of the metric, or of the attribute of a log record", func(o *Observation) *string { return &o.Metric }),
	event.Text("metric.unit", "Its unit", func(o *Observation) *string { return &o.Unit }),
	event.Texts("observation.entity", "What tells the series from others of its name, as key=value", func(o *Observation) *[]string { return &o.Entity }),
	event.Real("observation.value", "", "What came, in the metric's unit", func(o *Observation) *float64 { return &o.Value }),
	event.Real("observation.expected", "", "What was expected, where that is one value", func(o *Observation) *float64 { return &o.Expected }),
	event.Real("observation.low", "", "Lower bound: the rule's, or what is usual", func(o *Observation) *float64 { return &o.Low }),
	event.Real("observation.high", "", "Upper bound: the rule's, or what is usual", func(o *Observation) *float64 { return &o.High }),
	event.Real("observation.peak", "", "The value furthest out since it began", func(o *Observation) *float64 { return &o.Peak }),
	event.Instant("observation.start", "When it began", func(o *Observation) *int64 { return &o.Start }).ECS("event.start"),
	event.Real("observation.duration", "s", "How long it has lasted", func(o *Observation) *float64 { return &o.Duration }),
	event.Text("observation.cause", "Why it ended, when not because the value is well again", func(o *Observation) *string { return &o.Cause }),
	event.Text("observation.summary", "One plain sentence", func(o *Observation) *string { return &o.Summary }).ECS("event.reason"),
}, event.AnomalyFields(func(o *Observation) *event.Anomaly { return &o.Anomaly }))

// Status is how far the learning of one device has come. It is written when
// learning ends, and for every device when the processor stops.
type Status struct {
	Time     int64 // Unix nanoseconds; the log record's timestamp
	Device   string
	Learned  bool
	Approved bool    // a person ended the learning, not the estimate
	Chance   float64 // Good–Turing: chance that the next flow shows something new
	PerDay   float64 // expected new things a day
	Flows    uint64  // flows learned from
	Watched  float64 // seconds of exposure
	Peers    uint32  // distinct, as far as remembered
	Services []string
	Usual    string // one plain sentence: what is normal for this device
}

// Statuses is the one definition of a learning event.
var Statuses = event.NewTable("device.baseline", "What is normal for a device, and how far its learning has come.", []event.Field[Status]{
	event.Text("device.id", "Inventory id", func(s *Status) *string { return &s.Device }).ECS("device.id"),
	event.Flag("baseline.learned", "Learning has ended", func(s *Status) *bool { return &s.Learned }),
	event.Flag("baseline.approved", "A person approved what was learned", func(s *Status) *bool { return &s.Approved }),
	event.Real("baseline.chance_of_new", "1", "Estimated chance that the next flow shows something new (Good–Turing)", func(s *Status) *float64 { return &s.Chance }),
	event.Real("baseline.new_per_day", "1/d", "Expected new things a day", func(s *Status) *float64 { return &s.PerDay }),
	event.Number("baseline.flows", "{flow}", "Flows learned from", func(s *Status) *uint64 { return &s.Flows }),
	event.Real("baseline.watched", "s", "How long the device has been watched", func(s *Status) *float64 { return &s.Watched }),
	event.Number("baseline.peers", "{peer}", "Distinct peers", func(s *Status) *uint32 { return &s.Peers }),
	event.Texts("baseline.services", "Services in use, most used first", func(s *Status) *[]string { return &s.Services }),
	event.Text("baseline.usual", "What is normal, in one sentence", func(s *Status) *string { return &s.Usual }),
})
