package baseline

import "github.com/monban/monban/internal/event"

// Observation is something unusual that no single flow or sighting shows, such
// as a device that fell silent.
type Observation struct {
	Time    int64 // Unix nanoseconds; the log record's timestamp
	Device  string
	Anomaly event.Anomaly
}

// Observations is the one definition of an observation event.
var Observations = event.NewTable("device.observation", "Something unusual about a device that no single flow shows.", []event.Field[Observation]{
	event.Text("device.id", "Inventory id", func(o *Observation) *string { return &o.Device }),
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
	event.Text("device.id", "Inventory id", func(s *Status) *string { return &s.Device }),
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
