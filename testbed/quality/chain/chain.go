// Package chain runs the whole way of the data, from packets to reports, without
// a Collector: the same packages in the same order as the components, so that
// detection can be measured over many captures in seconds.
package chain

import (
	"errors"
	"io"
	"net/netip"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/oui"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/series"
	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/internal/traffic"
)

// Chain is one site. What it learned stays over several calls of Read.
type Chain struct {
	Home     []netip.Prefix
	Devices  *device.Inventory
	Baseline *baseline.Engine
	Threat   *threat.Engine
	Traffic  *traffic.Traffic

	Reported
	Splits  []*Split       // judge the same, each in its own way
	Unusual map[string]int // records by kind of evidence
	Packets uint64
	Records uint64
	New     []string // ids of devices told as new, in order

	Before func()    // called before each flow, flood and sighting
	Told   func(any) // called with each of them once judged, and with all that is told beside

	checked int64 // when learning was last re-estimated
}

// Reported is what was told of incidents.
type Reported struct {
	Reports map[string]threat.Report // latest revision of each
	First   map[string]threat.Report // first revision of each
	Order   []string                 // ids of reports as they came
}

func newReported() Reported {
	return Reported{Reports: map[string]threat.Report{}, First: map[string]threat.Report{}}
}

// New makes a chain that knows nothing.
func New(home ...netip.Prefix) *Chain {
	return &Chain{
		Home: home, Devices: device.NewInventory(device.Config{Home: home, Vendor: oui.Vendor}),
		Baseline: baseline.New(baseline.NewDefaultConfig()), Threat: threat.New(), Traffic: traffic.New(series.NewDefaultConfig()),
		Reported: newReported(), Unusual: map[string]int{},
	}
}

// Read meters captures to their end, with the flow table and inspector of a new
// run. A damaged file ends where it is damaged, as in the receiver.
func (c *Chain) Read(paths ...string) error {
	src, err := packet.OpenFiles(paths...)
	if err != nil {
		return err
	}
	defer src.Close()
	var dec packet.Decoder
	var h packet.Header
	table := flow.NewTable(flow.NewDefaultConfig(), c.flow)
	table.OnFlood(c.flood)
	inspect := app.NewInspector(app.NewDefaultConfig(), c.sighting)
	frames := make([]packet.Frame, 256)
	for {
		n, err := src.NextBatch(frames)
		var damaged *packet.FileError
		switch {
		case errors.Is(err, io.EOF):
			table.Flush()
			for _, r := range c.Devices.Flush() {
				c.device(r)
			}
			c.reports(c.Threat.Flush())
			for _, s := range c.Splits {
				s.flush()
			}
			return nil
		case errors.As(err, &damaged):
			continue
		case err != nil:
			return err
		}
		for i := range frames[:n] {
			for why := dec.Decode(&frames[i], &h); ; why = dec.Next(&h) {
				c.Packets++
				if why == packet.OK {
					slot := table.Add(&h, 0)
					inspect.Packet(&h, "", table, slot)
				}
				if !dec.More() {
					break
				}
			}
		}
	}
}

func (c *Chain) flow(r *flow.Record) {
	c.Records++
	c.before()
	if r.Service == "" {
		r.Service = app.Service(r)
	}
	for _, d := range c.Devices.Flow(r) {
		c.device(d)
	}
	for _, s := range c.Splits {
		s.flow(r)
	}
	c.Baseline.Flow(r)
	c.count(&r.Anomaly)
	tell(c, r)
	found, ahead := c.Traffic.Flow(r)
	for _, o := range found {
		c.count(&o.Anomaly)
		tell(c, &o)
		c.Threat.Observation(&o)
	}
	for _, f := range ahead {
		tell(c, &f)
	}
	if r.Anomaly.Score > 0 {
		c.Threat.Flow(r)
	}
	c.tick(r.End)
}

func (c *Chain) flood(f *flow.Flood) {
	c.before()
	f.Anomaly = event.Anomaly{}
	for _, s := range c.Splits {
		s.flood(*f)
	}
	c.Baseline.Flood(f)
	c.count(&f.Anomaly)
	tell(c, f)
	c.Threat.Event(f.End, &f.Anomaly)
}

func (c *Chain) sighting(s *app.Sighting) {
	c.before()
	for _, d := range c.Devices.Sighting(s) {
		c.device(d)
	}
	s.Anomaly = event.Anomaly{}
	for _, x := range c.Splits {
		x.sighting(*s)
	}
	c.Baseline.Sighting(s)
	c.count(&s.Anomaly)
	tell(c, s)
	c.Threat.Event(s.Time, &s.Anomaly)
}

func (c *Chain) device(d device.Record) {
	if d.Change == device.New {
		c.New = append(c.New, d.ID)
	}
	for _, s := range c.Splits {
		s.device(d)
	}
	c.Threat.Name(d.ID, d.Name)
	c.Baseline.Device(&d)
	c.count(&d.Anomaly)
	tell(c, &d)
	c.Threat.Event(d.Time, &d.Anomaly)
}

func (c *Chain) tick(now int64) {
	if now-c.checked >= 10e9 || now < c.checked {
		c.checked = now
		for _, s := range c.Baseline.Learned() {
			tell(c, &s)
		}
	}
	for _, o := range c.Baseline.Tick(now) {
		c.count(&o.Anomaly)
		tell(c, &o)
		c.Threat.Observation(&o)
	}
	c.Threat.Tick(now)
	c.reports(c.Threat.Reports())
}

func (c *Chain) before() {
	if c.Before != nil {
		c.Before()
	}
}

// tell copies only for those who listen: there is one call a flow.
func tell[T any](c *Chain, x *T) {
	if c.Told != nil {
		c.Told(*x)
	}
}

func (c *Chain) count(a *event.Anomaly) {
	for _, r := range a.Reasons {
		c.Unusual[r.Kind]++
	}
}

// Restart does what a restart of the process does: what is kept in the storage goes
// through its saved form, all else is gone.
func (c *Chain) Restart() error {
	next := New(c.Home...)
	for _, x := range []struct{ from, to state }{{c.Devices, next.Devices}, {c.Baseline, next.Baseline}, {c.Threat, next.Threat}, {c.Traffic.Series(), next.Traffic.Series()}} {
		data, err := x.from.Snapshot()
		if err != nil {
			return err
		}
		if err := x.to.Restore(data); err != nil {
			return err
		}
	}
	c.Devices, c.Baseline, c.Threat, c.Traffic = next.Devices, next.Baseline, next.Threat, next.Traffic
	return nil
}

type state interface {
	Snapshot() ([]byte, error)
	Restore([]byte) error
}

// HandOver does what happens when another process takes the site over: each engine goes on from the
// checkpoint of the one before. It gives those.
func (c *Chain) HandOver() (states [][]byte, err error) {
	next := New(c.Home...)
	for _, x := range []struct{ from, to live }{{c.Devices, next.Devices}, {c.Baseline, next.Baseline}, {c.Threat, next.Threat}, {c.Traffic, next.Traffic}} {
		data, err := x.from.Checkpoint()
		if err != nil {
			return nil, err
		}
		if err := x.to.Resume(data); err != nil {
			return nil, err
		}
		states = append(states, data)
	}
	c.Devices, c.Baseline, c.Threat, c.Traffic = next.Devices, next.Baseline, next.Threat, next.Traffic
	return states, nil
}

type live interface {
	Checkpoint() ([]byte, error)
	Resume([]byte) error
}

func (c *Chain) reports(all []threat.Report) {
	for _, r := range all {
		tell(c, &r)
	}
	c.take(all)
}

func (t *Reported) take(all []threat.Report) {
	for _, r := range all {
		if _, known := t.Reports[r.ID]; !known {
			t.Order = append(t.Order, r.ID)
			t.First[r.ID] = r
		}
		t.Reports[r.ID] = r
	}
}
