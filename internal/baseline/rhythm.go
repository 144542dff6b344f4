package baseline

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
)

// band is the largest of a number of exchangeable values. That the next one is
// larger has the chance 1/(n+1); that it is r times larger we hold to be r times
// less likely again, a Pareto tail of index 1, which suits the bursts of cameras
// and updates. Its surprise is ln(n+1) + ln r, needs no unit and no clock.
type band struct {
	N   uint64  `json:",omitempty"`
	Max float64 `json:",omitempty"`
}

func (b *band) push(x float64) {
	b.N++
	b.Max = math.Max(b.Max, x)
}

func (b *band) surprise(x, floor float64) (nats, ratio float64) {
	ratio = x / math.Max(b.Max, floor)
	if ratio <= 1 {
		return 0, ratio
	}
	return math.Min(math.Log(float64(b.N+1)), 4) + math.Log(ratio), ratio
}

// minutes adds up what a device sends outside, minute by minute.
type minutes struct {
	band
	Minute  int64   `json:",omitempty"` // data time / 60 s
	Sum     float64 `json:",omitempty"`
	Unusual bool    `json:",omitempty"` // this minute was told, it teaches nothing
}

const (
	volumeLeast = 1e6   // bytes in a minute that are worth a word
	volumeFloor = 250e3 // what any device may send
	volumeNats  = 5.0
	volumeRatio = 8.0
)

// volume compares what a device sends outside with its largest minute.
func (e *Engine) volume(v *verdict, m *model, r *flow.Record) {
	if m == nil || r.Dst.Device != "" || group(r) || e.to.net == "local" || m.Router {
		return
	}
	o := &m.Out
	if minute := r.End / 60e9; minute != o.Minute {
		if o.Minute != 0 && minute > o.Minute {
			if !o.Unusual {
				o.push(o.Sum)
			}
			quiet := min(minute-o.Minute-1, int64(maxPause/60)) // quiet minutes teach, too
			o.N += uint64(quiet)
		} else if o.Minute == 0 {
			o.N = uint64(math.Max(0, e.exposure(m)/60))
		}
		o.Minute, o.Sum, o.Unusual = minute, 0, false
	}
	o.Sum += float64(r.Src.Bytes)
	if o.Sum < volumeLeast || r.Src.Bytes < uint64(o.Sum/10) {
		return
	}
	nats, ratio := o.surprise(o.Sum, volumeFloor)
	// To where it always sends, more must be much more, and after a day.
	known := m.Grains[netOut].Keys[e.to.svcNet]
	old := known != nil && known.Last-known.First > 600
	if nats < volumeNats || ratio < volumeRatio || old && (e.exposure(m) < day || ratio < 4*volumeRatio) {
		return
	}
	o.Unusual = true
	m.unlearn(e.watched, netOut, e.to.svcNet)
	m.unlearn(e.watched, peerOut, e.to.svcPlace)
	m.unlearn(e.watched, svcOut, e.to.svc)
	m.unlearn(e.watched, dnsName, domain(r.Dst.Domain))
	v.add(event.Reason{Kind: Volume, Device: m.ID, Subject: e.to.svc + " " + peer(&r.Dst), Strength: round(math.Min(nats, 8)),
		Expected: fmt.Sprintf("%s sends at most %s a minute to outside addresses%s", m.label(), size(o.Max), e.since(m)),
		Seen:     fmt.Sprintf("%s sent %s within a minute to %s by %s", m.label(), size(o.Sum), peer(&r.Dst), svcLabel(r, service(r)))})
}

// beacon is the rhythm of contacts with one outside address.
type beacon struct {
	last     int64
	n        int
	mean, m2 float64 // seconds
	since    float64 // watch
}

const (
	beaconIntervals = 6
	beaconCV        = 0.25
	maxBeacons      = 32
)

// beacon finds clockwork contact to an outside address that is new, at a cadence
// that this service never had: a known cadence at a new address is a move. What
// is new shows once the device's learning has ended.
func (e *Engine) beacon(v *verdict, m *model, r *flow.Record) {
	if m == nil || r.Dst.Device != "" || group(r) || infrastructure[r.Dst.Port] || e.to.net == "local" || !handshake(r) {
		return
	}
	svc := e.to.svc
	intervals, mean, cv := 0, 0.0, 0.0
	if r.Messages > beaconIntervals && r.Interval > 2 {
		intervals, mean, cv = int(r.Messages)-1, r.Interval, r.IntervalCV
	} else if r.Part == 0 {
		b := m.beaconTo(e.to.svcPlace, e.watched)
		if b.last != 0 && r.Start > b.last {
			gap := float64(r.Start-b.last) / 1e9
			if gap < 2 {
				return // one page, many connections
			}
			b.n++
			d := gap - b.mean
			b.mean += d / float64(b.n)
			b.m2 += d * (gap - b.mean)
		}
		b.last = r.Start
		if b.n < 2 {
			return
		}
		intervals, mean, cv = b.n, b.mean, math.Sqrt(b.m2/float64(b.n-1))/b.mean
	}
	if intervals < beaconIntervals || cv >= beaconCV {
		return
	}
	x := e.exposure(m)
	bucket := int(math.Round(math.Log(mean) / math.Log(1.5)))
	g := &m.Grains[cadence]
	known := false
	var text [64]byte
	for b := bucket - 1; b <= bucket+1; b++ {
		known = known || g.Keys[string(appendCadence(text[:0], svc, b))].usual()
	}
	// By network or domain: a vendor's cloud has many addresses.
	met := m.Grains[netOut].Keys[e.to.svcNet]
	if old := m.unnamed(e.to); old != nil {
		met = old
	}
	young := met == nil || met.Pending > 0 || e.watched-met.First < 0.1*x && met.First-m.Since > settle
	if known || !young || !e.learned(m) {
		if s := g.Keys[string(appendCadence(text[:0], svc, bucket))]; s != nil {
			s.again(e.watched)
			return
		}
		g.learn(cadence, cadenceKey(svc, bucket), e.watched)
		return
	}
	key := cadenceKey(svc, bucket)
	if !g.tell(cadence, key, e.watched) {
		return
	}
	v.add(event.Reason{Kind: Beacon, Device: m.ID, Subject: e.to.svcPlace, Strength: 1,
		Expected: fmt.Sprintf("%s contacts outside addresses on %s at no such rhythm%s", m.label(), svc, e.since(m)),
		Seen: fmt.Sprintf("%s contacts %s, which is new to it, every %s like clockwork (%d times, spread %.0f %%)",
			m.label(), peer(&r.Dst), time.Duration(mean*1e9).Round(100*time.Millisecond), intervals+1, 100*cv)})
}

func cadenceKey(svc string, bucket int) string { return string(appendCadence(nil, svc, bucket)) }

func appendCadence(b []byte, svc string, bucket int) []byte {
	b = append(append(b, svc...), " 1.5^"...)
	return append(strconv.AppendInt(b, int64(bucket), 10), " s"...)
}

func (m *model) beaconTo(key string, watch float64) *beacon {
	b := m.beacons[key]
	if b == nil {
		if m.beacons == nil {
			m.beacons = map[string]*beacon{}
		}
		if len(m.beacons) >= maxBeacons {
			oldest := ""
			for k, o := range m.beacons {
				if w := m.beacons[oldest]; w == nil || o.since < w.since || o.since == w.since && k < oldest {
					oldest = k
				}
			}
			delete(m.beacons, oldest)
		}
		b = &beacon{since: watch}
		m.beacons[key] = b
	}
	return b
}

// silence knows the longest pause of a device, in stretches of ten seconds in
// which the site was heard.
type silence struct {
	Last int64 `json:",omitempty"`
	N    int64 `json:",omitempty"` // stretches with a sign of life
	Gap  int64 `json:",omitempty"`
	Told bool  `json:",omitempty"`
}

const (
	silenceStretch = 10.0
	silenceLeast   = 600.0 // seconds
	silenceNats    = 6.5
	silenceRatio   = 10.0
)

func (s *silence) mark(watch float64) {
	now := int64(watch / silenceStretch)
	if now == s.Last && s.N > 0 {
		return
	}
	if s.N > 0 && !s.Told {
		s.Gap = max(s.Gap, now-s.Last)
	}
	s.N++
	s.Last, s.Told = now, false
}

func (s *silence) check(e *Engine, m *model) (r event.Reason, found bool) {
	quiet := int64((e.watched-e.blind)/silenceStretch) - s.Last
	x := e.exposure(m) - float64(quiet)*silenceStretch
	if s.Told || s.N < 60 || float64(quiet)*silenceStretch < silenceLeast || float64(s.Gap)*silenceStretch > 0.02*x {
		return r, false
	}
	b := band{N: uint64(s.N), Max: float64(s.Gap)}
	if nats, ratio := b.surprise(float64(quiet), 1); nats < silenceNats || ratio < silenceRatio {
		return r, false
	}
	s.Told = true
	return event.Reason{Kind: Silent, Device: m.ID, Subject: m.ID, Strength: 1,
		Expected: fmt.Sprintf("%s is never silent for more than %s%s", m.label(), duration(float64(s.Gap)*silenceStretch), e.since(m)),
		Seen:     fmt.Sprintf("nothing was heard of %s for %s", m.label(), duration(float64(quiet)*silenceStretch))}, true
}

// hours knows on how many days a device was active in each hour of the day, UTC.
type hours struct {
	Days uint32     `json:",omitempty"`
	Day  int64      `json:",omitempty"` // last active day
	Hour int64      `json:",omitempty"` // last active hour
	On   [24]uint32 // days with activity in this hour
}

const hourDays = 7

func (e *Engine) hours(v *verdict, m *model, r *flow.Record) {
	h := &m.Hours
	hour := r.End / 3600e9
	if hour == h.Hour {
		return
	}
	of := hour % 24
	if h.Days >= hourDays && h.On[of] == 0 && of >= 0 {
		v.add(event.Reason{Kind: UnusualHour, Device: m.ID, Subject: fmt.Sprintf("%02d:00 UTC", of), Strength: round(math.Min(math.Log(float64(h.Days+1)), 2.5)),
			Expected: fmt.Sprintf("%s was never active between %02d:00 and %02d:00 UTC on %d days", m.label(), of, (of+1)%24, h.Days),
			Seen:     fmt.Sprintf("%s used %s of %s then", m.label(), svcLabel(r, service(r)), peer(&r.Dst))})
	}
	if d := hour / 24; d != h.Day {
		h.Day = d
		h.Days++
	}
	h.Hour = hour
	if of >= 0 {
		h.On[of]++
	}
}
