// Package traffic learns how much each device sends and receives, and how much each
// application moves, from minute to minute, and says when that is not as usual, and what is to
// be expected. It promises bounded memory and to go by the time of the flows; it gives up who
// talks to whom, which package baseline knows.
package traffic

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/series"
	"github.com/monban/monban/internal/unusual"
)

const (
	minute = int64(60e9)
	hour   = int64(3600e9)
	// gap is how many minutes without any flow are minutes without traffic. A longer one says
	// something of the sensor.
	gap = 10
	// late is how far the clock of the data may lag, as a timeout ends flows late.
	late = hour
	// Site is who moves the traffic of an application.
	Site = "the site"
)

// Directions of a device's traffic. That of an application has none.
const (
	Out = "transmit"
	In  = "receive"
)

// Traffic learns the traffic of a site. It is not safe for concurrent use.
type Traffic struct {
	series *series.Set
	max    int
	counts map[who]*count
	order  []*count // the same, in an order that does not depend on the map; nil when one came
	end    int64    // of the minute that is counted, Unix nanoseconds
	// Untold counts bytes of flows for whose device or application there was no room.
	Untold uint64
}

// who is a device and a direction, or an application.
type who struct{ device, application, direction string }

type count struct {
	who
	key   series.Key
	bytes uint64
	idle  int  // minutes
	told  bool // of an alarm that goes on
}

// New makes one that knows nothing.
func New(cfg series.Config) *Traffic {
	return &Traffic{series: series.New(cfg), max: cfg.MaxSeries, counts: map[who]*count{}}
}

// Series is what is learned, for saving it and for counters.
func (t *Traffic) Series() *series.Set { return t.series }

// Flow counts a flow record. What it finds unusual of the minutes that end, and each hour what is
// expected in it, are returned; mostly nothing is.
func (t *Traffic) Flow(r *flow.Record) ([]baseline.Observation, []Forecast) {
	if r.End < 0 {
		return nil, nil
	}
	var found []baseline.Observation
	var ahead []Forecast
	switch {
	case t.end == 0 || r.End < t.end-late || r.End > t.end+gap*minute:
		t.end = r.End - r.End%minute + minute // begun, set back, or a gap: what was counted is of no whole minute
		for _, c := range t.counts {
			c.bytes = 0
		}
	default:
		for r.End >= t.end {
			found, ahead = t.close(found, ahead)
			t.end += minute
		}
	}
	if !r.IsIP() {
		return found, ahead
	}
	t.add(who{device: r.Src.Device, direction: Out}, r.Src.Bytes)
	t.add(who{device: r.Src.Device, direction: In}, r.Dst.Bytes)
	t.add(who{device: r.Dst.Device, direction: Out}, r.Dst.Bytes)
	t.add(who{device: r.Dst.Device, direction: In}, r.Src.Bytes)
	t.add(who{application: r.Service}, r.Src.Bytes+r.Dst.Bytes)
	return found, ahead
}

func (t *Traffic) add(w who, bytes uint64) {
	if w.device == "" && w.application == "" {
		return
	}
	c := t.counts[w]
	if c == nil {
		if len(t.counts) >= t.max {
			t.Untold += bytes
			return
		}
		w.device, w.application = strings.Clone(w.device), strings.Clone(w.application) // they may lie in the slab of many records
		c = &count{who: w, key: w.key()}
		t.counts[w] = c
		t.order = nil
	}
	c.bytes += bytes
}

// key is the same after a restart.
func (w who) key() series.Key {
	h := fnv.New128a()
	for _, s := range [...]string{w.device, w.application, w.direction} {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	var k series.Key
	for i, b := range h.Sum(nil) {
		k[i/8] = k[i/8]<<8 | uint64(b)
	}
	return k
}

// forget is after how many silent minutes a count is forgotten; its series has its own time.
const forget = 7 * 24 * 60

func (t *Traffic) close(found []baseline.Observation, ahead []Forecast) ([]baseline.Observation, []Forecast) {
	t.series.Begin(t.end)
	if t.order == nil {
		t.order = make([]*count, 0, len(t.counts))
		for _, c := range t.counts {
			t.order = append(t.order, c)
		}
		slices.SortFunc(t.order, func(a, b *count) int { return a.compare(b.who) })
	}
	gone := false
	for _, c := range t.order {
		v, out := t.series.Gauge(c.key, t.end, float64(c.bytes)/60)
		if out == series.Learned && c.tells(&v, t.end) {
			s := c.subject()
			found = append(found, unusual.Observe(&s, t.end, &v))
		}
		if t.end%hour == 0 {
			if v, ok := t.series.Forecast(c.key, t.end+hour/2); ok {
				ahead = append(ahead, Forecast{Time: t.end, Device: c.device, Application: c.application, Direction: c.direction,
					Value: float64(c.bytes) / 60, Expected: max(0, v.Expected), Low: v.Low, High: max(0, v.High), Until: v.Until})
			}
		}
		if c.idle++; c.bytes > 0 {
			c.idle = 0
		}
		c.bytes = 0
		if c.idle >= forget {
			delete(t.counts, c.who)
			gone = true
		}
	}
	if gone {
		t.order = nil
	}
	return found, ahead
}

// tells reports whether a verdict is told. One full minute says little of traffic, which comes in bursts,
// and one and the same value nothing: for these there is other evidence, of volume and of silence.
func (c *count) tells(v *series.Verdict, at int64) bool {
	if v.Phase == series.Ended { // whatever kind it turned out to be: what was told to begin is told to end
		was := c.told
		c.told = false
		return was
	}
	switch v.Kind {
	case series.Spike, series.Variance, series.Stuck, series.None:
		return false
	}
	if v.Phase == series.Turned && !c.told {
		v.Phase = series.Began
	}
	c.told = true
	return unusual.Says(v, at)
}

func (c *count) subject() unusual.Subject {
	s := unusual.Subject{Key: c.key, Metric: "device.traffic", Unit: "By/s", Device: c.device, Entity: []string{"direction=" + c.direction}}
	if c.application != "" {
		s.Metric, s.Device, s.Entity = "application.traffic", Site, []string{"network.protocol.name=" + c.application}
	}
	return s
}

// Forecast is what is expected of a device or an application in the hour that begins.
type Forecast struct {
	Time        int64 // Unix nanoseconds; the log record's timestamp
	Device      string
	Application string
	Direction   string
	Value       float64 // of the last minute
	Expected    float64
	Low         float64
	High        float64
	Until       int64
}

// Forecasts is the one definition of a forecast event.
var Forecasts = event.NewTable("traffic.forecast", "How much a device or an application is expected to send in the hour that begins, in bytes by the second.", []event.Field[Forecast]{
	event.Text("device.id", "Inventory id; absent for an application", func(f *Forecast) *string { return &f.Device }),
	event.Text("network.protocol.name", "The application; absent for a device", func(f *Forecast) *string { return &f.Application }),
	event.Text("network.io.direction", "transmit or receive, as the device sees it; absent for an application", func(f *Forecast) *string { return &f.Direction }),
	event.Real("forecast.value", "By/s", "What the last minute brought", func(f *Forecast) *float64 { return &f.Value }),
	event.Real("forecast.expected", "By/s", "What is expected", func(f *Forecast) *float64 { return &f.Expected }),
	event.Real("forecast.low", "By/s", "Nearly all minutes bring more than this,", func(f *Forecast) *float64 { return &f.Low }),
	event.Real("forecast.high", "By/s", "and less than this", func(f *Forecast) *float64 { return &f.High }),
	event.Instant("forecast.until", "Until when this holds", func(f *Forecast) *int64 { return &f.Until }),
})
