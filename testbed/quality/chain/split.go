package chain

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/series"
	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/internal/traffic"
)

// Way is how the judging of one site is split over partitions, by device.
type Way struct {
	Partitions int
	Salt       byte // of the hash that gives a device its partition
	// Twice lets both ends of a flow keep their ids wherever its record goes, so that both
	// are modelled there. Otherwise the end of another partition is an address there.
	Twice bool
	// Broadcast sends sightings and the inventory's events to all, not only to the partition
	// of their device.
	Broadcast bool
	// OneThreat gives the evidence of all partitions to one threat engine.
	OneThreat bool
	// Counted tells all of each flow that there was one.
	Counted bool
}

// Split is a site whose flows are metered, inspected and told apart by device in one place,
// and judged in partitions that know nothing of each other. Of a flow between devices of two
// partitions each gets a copy. The clock of the
// others is set once a second.
type Split struct {
	Reported
	Way
	parts   []part
	holders map[netip.Addr]string // devices by address
	checked int64                 // when learning was last re-estimated
	told    int64                 // when all were last told the time
}

type part struct {
	baseline *baseline.Engine
	threat   *threat.Engine
	traffic  *traffic.Traffic
}

// NewSplit makes one that knows nothing.
func NewSplit(w Way) *Split {
	s := &Split{Reported: newReported(), Way: w, holders: map[netip.Addr]string{}}
	for i := range w.Partitions {
		p := part{baseline.New(baseline.NewDefaultConfig()), threat.New(), traffic.New(series.NewDefaultConfig())}
		if i > 0 && w.OneThreat {
			p.threat = s.parts[0].threat
		}
		s.parts = append(s.parts, p)
	}
	return s
}

// of is the partition of a key.
func (s *Split) of(key string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte{s.Salt})
	_, _ = h.Write([]byte(key))
	return int(h.Sum64() >> 33 % uint64(s.Partitions)) //nolint:gosec // few
}

// gets reports whether partition i gets what belongs to a key, when not only its own counts.
func (s *Split) gets(i int, key string) bool { return s.Broadcast || s.of(key) == i }

func (s *Split) flow(r *flow.Record) {
	for _, end := range [...]*flow.End{&r.Src, &r.Dst} {
		if end.Device != "" {
			s.holders[end.Addr] = end.Device
		}
	}
	to := s.of(cmp.Or(r.Src.Device, r.Dst.Device, r.Src.Addr.String()))
	s.judge(to, r)
	copied := to
	if r.Src.Device != "" && r.Dst.Device != "" {
		if copied = s.of(r.Dst.Device); copied != to {
			s.judge(copied, r)
		}
	}
	check, second := s.due(&s.checked, r.End, 10e9), s.due(&s.told, r.End, 1e9)
	for i, p := range s.parts {
		if check {
			p.baseline.Learned()
		}
		if i != to && i != copied {
			if s.Counted {
				p.baseline.Flow(&flow.Record{Start: r.End, End: r.End}) // not IP: it is counted, and no more
			}
			if !second {
				continue
			}
			s.count(i, &flow.Record{End: r.End})
		}
		for _, o := range p.baseline.Tick(r.End) {
			if s.of(o.Device) == i {
				p.threat.Observation(&o)
			}
		}
		p.threat.Tick(r.End)
		s.hear(i, p.threat.Reports())
	}
}

// due reports whether so much of the data's time has passed since it last did.
func (s *Split) due(last *int64, now, every int64) bool {
	if now-*last < every && now >= *last {
		return false
	}
	*last = now
	return true
}

// hear takes reports of partition i. Two partitions may give one id to two reports.
func (s *Split) hear(i int, all []threat.Report) {
	if s.Partitions > 1 && !s.OneThreat {
		for k := range all {
			all[k].ID = fmt.Sprint(all[k].ID, "/", i)
		}
	}
	s.take(all)
}

// judge gives partition i its copy of a flow. What it finds counts when it is of the end that
// is the partition's own.
func (s *Split) judge(i int, whole *flow.Record) {
	r := *whole
	r.FirstSizes = slices.Clone(r.FirstSizes) // the engine may turn the flow round
	other := func(id string) bool { return id != "" && s.of(id) != i }
	p := s.parts[i]
	if s.Twice {
		p.baseline.Flow(&r)
	} else {
		src, dst := r.Src.Device, r.Dst.Device
		if other(src) {
			r.Src.Device = ""
		}
		if other(dst) {
			r.Dst.Device = ""
		}
		p.baseline.Flow(&r)
		if r.Src.Addr != whole.Src.Addr || r.Src.Port != whole.Src.Port {
			src, dst = dst, src
		}
		r.Src.Device, r.Dst.Device = src, dst
		for k := range r.Anomaly.Reasons {
			switch x := &r.Anomaly.Reasons[k]; {
			case x.Device == r.Src.Addr.String() && src != "":
				x.Device = src
			case x.Device == r.Dst.Addr.String() && dst != "":
				x.Device = dst
			}
		}
	}
	r.Anomaly.Reasons = slices.DeleteFunc(r.Anomaly.Reasons, func(x event.Reason) bool {
		if ofResponder(&r, &x) {
			return other(r.Dst.Device)
		}
		return other(r.Src.Device)
	})
	anomaly := r.Anomaly
	counted := r
	if other(r.Src.Device) {
		counted.Src.Device, counted.Service = "", ""
	}
	if other(r.Dst.Device) {
		counted.Dst.Device = ""
	}
	s.count(i, &counted)
	if r.Anomaly = anomaly; anomaly.Score > 0 && len(anomaly.Reasons) > 0 {
		p.threat.Flow(&r)
	}
}

// ofResponder reports whether it takes the responder's model to find this.
func ofResponder(r *flow.Record, x *event.Reason) bool {
	switch x.Kind {
	case baseline.NewMaster, baseline.NewCommand, baseline.NewWrite, baseline.OTEnumeration, baseline.OTFlood:
		return true
	case baseline.ARPConflict, baseline.Misdirected:
		return false
	}
	return x.Device == r.Dst.Device
}

// count adds up the traffic of partition i's devices, and of applications by who began.
func (s *Split) count(i int, r *flow.Record) {
	found, _ := s.parts[i].traffic.Flow(r)
	for _, o := range found {
		s.parts[i].threat.Observation(&o)
	}
}

func (s *Split) flood(f flow.Flood) {
	at := f.Destination
	if !at.IsValid() {
		at = f.Source
	}
	key := cmp.Or(s.holders[at], at.String())
	for i, p := range s.parts {
		if x := f; s.gets(i, key) {
			if p.baseline.Flood(&x); s.of(key) == i {
				p.threat.Event(x.End, &x.Anomaly)
			}
		}
	}
}

func (s *Split) sighting(x app.Sighting) {
	key := cmp.Or(x.Device, x.MAC.String())
	if x.Kind == app.Relay {
		key = x.By.String()
	}
	for i, p := range s.parts {
		if !s.gets(i, key) {
			continue
		}
		x := x
		p.baseline.Sighting(&x)
		if s.Broadcast { // all find the same: it counts where its device is at home
			x.Anomaly.Reasons = slices.DeleteFunc(x.Anomaly.Reasons, func(r event.Reason) bool { return s.of(r.Device) != i })
		}
		p.threat.Event(x.Time, &x.Anomaly)
	}
}

func (s *Split) device(d device.Record) {
	for i, p := range s.parts {
		if d := d; s.gets(i, d.ID) {
			p.threat.Name(d.ID, d.Name)
			if p.baseline.Device(&d); s.of(d.ID) == i {
				p.threat.Event(d.Time, &d.Anomaly)
			}
		}
	}
}

func (s *Split) flush() {
	for i, p := range s.parts {
		s.hear(i, p.threat.Flush())
	}
}
