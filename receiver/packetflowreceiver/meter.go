package packetflowreceiver

import (
	"fmt"
	"sync"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

const (
	maxWarnings = 20
	maxReasons  = 16 // more than packet.Reasons are
)

// meter makes records of packets. One goroutine uses it; totals may be asked for
// by any.
type meter struct {
	table     *flow.Table
	inspector *app.Inspector // nil when packets are metered only
	out       *batch
	source    string
	names     []string // of the interfaces, once there are several
	now       totals
	warnings  []string
	unsaid    int // warnings beyond maxWarnings

	mu     sync.Mutex
	shared totals
}

// totals are what was counted since the start.
type totals struct {
	packets, bytes uint64
	first, last    int64 // times of packets, Unix nanoseconds
	refused        [maxReasons]uint64
	tunnels        packet.TunnelStats
	flow           flow.Stats
	app            app.Stats
	interfaces     []packet.InterfaceStats
}

func newMeter(cfg *Config, out *batch) *meter {
	m := &meter{out: out, source: cfg.source()}
	m.table = flow.NewTable(cfg.flow(), func(r *flow.Record) {
		r.Service = app.Service(r)
		add(out, flow.Fields, r.End, r)
	})
	m.table.OnFlood(func(f *flow.Flood) { add(out, flow.Floods, f.End, f) })
	if cfg.Inspect {
		m.inspector = app.NewInspector(cfg.sightings(), func(s *app.Sighting) {
			add(out, app.Sightings, s.Time, s)
		})
	}
	return m
}

// setInterfaces learns the names of the source's interfaces. Records name theirs
// only where there are several.
func (m *meter) setInterfaces(all []packet.Interface) {
	m.names = make([]string, len(all))
	for i, one := range all {
		m.names[i] = one.String()
	}
	m.table.SetInterfaces(m.names)
}

// add meters the packets of one read, some at a time, so that the table can look
// ahead.
func (m *meter) add(p *parcel) {
	if p.interfaces != nil {
		m.setInterfaces(p.interfaces)
	}
	if p.packets > 0 {
		if p.first < m.now.first || m.now.packets == 0 {
			m.now.first = p.first
		}
		m.now.last = max(m.now.last, p.last)
		m.now.packets += p.packets
		m.now.tunnels = p.tunnels
		m.now.bytes += p.bytes
		for why, n := range p.refused {
			m.now.refused[why] += n
		}
	}
	for from := 0; from < p.n; from += flow.Ahead {
		to := min(from+flow.Ahead, p.n)
		m.table.Expect(p.headers[from:to])
		for i := from; i < to; i++ {
			h, iface := &p.headers[i], int(p.from[i])
			slot := m.table.Add(h, iface)
			if m.inspector == nil {
				continue
			}
			name := ""
			if len(m.names) > 1 {
				name = m.names[iface]
			}
			m.inspector.Packet(h, name, m.table, slot)
		}
	}
}

// publish lets others see the totals.
func (m *meter) publish(interfaces []packet.InterfaceStats) {
	m.now.flow = m.table.Stats()
	if m.inspector != nil {
		m.now.app = m.inspector.Stats()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if interfaces != nil {
		m.now.interfaces = interfaces
	}
	m.shared = m.now
}

func (m *meter) totals() totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shared
}

func (m *meter) warn(text string) {
	if len(m.warnings) < maxWarnings {
		m.warnings = append(m.warnings, text)
		return
	}
	m.unsaid++
}

// capture writes how the meter fares. now is the time of a live source, else zero.
func (m *meter) capture(now time.Time, final bool) {
	t := m.totals()
	c := app.Capture{
		Time: t.last, Source: m.source, First: t.first, Last: t.last,
		Packets: t.packets, Bytes: t.bytes, Final: final,
		Flows: t.flow.Flows, Records: t.flow.Records, Evicted: t.flow.Evicted, Flooded: t.flow.Flooded,
		Fragments: t.flow.Fragments.Packets, Orphans: t.flow.Fragments.Orphans,
		Overlaps: t.flow.Fragments.Overlapping, Incomplete: t.flow.Fragments.Incomplete,
		ICMPErrors: t.flow.ICMPErrors, ICMPLost: t.flow.ICMPLost,
		Sightings: t.app.Sightings, Suppressed: t.app.Suppressed,
		Warnings: append([]string(nil), m.warnings...),
	}
	if m.unsaid > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("and %d more", m.unsaid))
	}
	if n := t.flow.Resets; n > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("time jumped back %s: all flows were ended there", times(n)))
	}
	if n := t.flow.Unnoted; n > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("too many DNS names and OT commands at once: flow records leave out %d", n))
	}
	for _, why := range packet.Reasons() {
		if n := t.refused[why]; n > 0 {
			c.Refused += n
			c.Reasons = append(c.Reasons, fmt.Sprintf("%s=%d", why, n))
		}
	}
	for _, i := range t.interfaces {
		c.Dropped += i.Drops
		c.Freezes += i.Freezes
		c.Missed += i.Missed
		c.Unwanted += i.Unwanted
		c.Outages += i.Outages
		switch {
		case i.Gone:
			c.Warnings = append(c.Warnings, "interface "+i.Name+" is gone: "+i.Fault)
		case i.Down:
			c.Warnings = append(c.Warnings, "interface "+i.Name+" has no link")
		case i.Buffer < i.Asked:
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s has a buffer of %d KiB where %d were asked for: raise net.core.rmem_max", i.Name, i.Buffer>>10, i.Asked>>10))
		}
	}
	if !now.IsZero() {
		c.Time = now.UnixNano()
	} else if t.packets == 0 {
		c.Time = time.Now().UnixNano()
	}
	add(m.out, app.Captures, c.Time, &c)
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
