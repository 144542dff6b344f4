// Package baseline learns what each device usually does and says, flow by flow,
// what is not usual and why. It promises bounded memory (a cap on devices, and
// on every list of every device), to learn nothing from what it holds to be an
// attack, and to be driven by the data's own time alone. It gives up packets: it
// knows what flows, sightings and inventory events carry.
//
// Learning ends by itself: Good and Turing's estimate of the chance that the
// next flow shows something new (I. J. Good, 1953) must be low. How surprising a
// new thing is follows from the rate at which the device used to bring new
// things, with a Gamma prior, so that five quiet minutes weigh less than a week.
package baseline

import (
	"errors"
	"math"
	"net/netip"
	"strings"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
)

// Config bounds an [Engine].
type Config struct {
	MaxDevices int // past it the device that was silent longest is forgotten
}

// NewDefaultConfig is for a site of up to ten thousand devices.
func NewDefaultConfig() Config { return Config{MaxDevices: 10000} }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if c.MaxDevices < 1 || c.MaxDevices > 1000000 {
		return errors.New("max_devices must be between 1 and 1000000")
	}
	return nil
}

// Engine holds what is usual at one site. It is not safe for concurrent use.
type Engine struct {
	cfg     Config
	devices map[string]*model
	order   []*model // devices by id; nil when one came or went

	now      int64   // latest data time, Unix nanoseconds
	ahead    int64   // latest data time before the clock was set back
	restored bool    // now is of an earlier run
	watched  float64 // seconds the site was watched, pauses left out
	blind    float64 // of these, seconds in which nobody at all was heard
	flows    uint64
	newest   float64 // watch at which the last new device was seen
	ticked   int64

	rare     float64 // devices that came late and were not heard for long,
	rareAt   float64 // as of this watch,
	rareCame int     // without those that came since

	claims  claims
	victims map[target]*victim
	foreign map[netip.Addr]*contacts // outside addresses that try ours
	phrases map[phraseKey]*phrase
	to      *phrase // the responder of the flow that is judged
	// contacts is how many tried places all sources hold.
	contacts int
	// Evicted counts devices forgotten for lack of room.
	Evicted uint64
}

// New makes an engine that knows nothing.
func New(cfg Config) *Engine {
	return &Engine{cfg: cfg, devices: map[string]*model{}, victims: map[target]*victim{}, phrases: map[phraseKey]*phrase{}, foreign: map[netip.Addr]*contacts{}, claims: newClaims()}
}

// model is what is known of one device. Its exported fields are its saved state.
type model struct {
	ID      string
	Name    string           `json:",omitempty"`
	Address string           `json:",omitempty"`
	Router  bool             `json:",omitempty"`
	Since   float64          // the engine's watch when the device was first seen, seconds
	Seen    float64          // and when it was last seen
	First   int64            // data time, Unix nanoseconds
	Last    int64            //
	Flows   uint64           // learned from
	Learned bool             `json:",omitempty"`
	Approve bool             `json:",omitempty"` // by a person
	Grains  [grains]grain    //
	Out     minutes          // bytes sent to outside addresses
	Rate    band             // packets a second in busy flows
	OT      band             // OT commands received in 5 s
	Silence silence          //
	Hours   hours            //
	Stack   map[string]*ttls `json:",omitempty"` // role → initial TTLs
	Units   map[string]bool  `json:",omitempty"` // OT units asked, by outstation

	addr     netip.Addr // that Address is of
	contacts contacts
	units    int     // OT units that someone asked for the first time,
	unitsAt  float64 // since this watch
	tries    map[string]*leak
	beacons  map[string]*beacon
	askers   map[string]float64 // ARP targets asked for lately → watch
}

// maxPause is the longest silence of the whole site that counts as watched, in
// seconds. What lies between a saved state and the next start never does.
const maxPause = 86400

// lull is how long, in seconds, a whole site may be silent. What goes beyond says
// something of the sensor, and nothing of a device that was not heard meanwhile.
const lull = 120

func (e *Engine) advance(now int64) {
	const late = 3600e9 // a record may end before the latest by a timeout, not by more: the clock was set back
	if now < 0 || now <= e.now && now > e.now-late {
		return
	}
	if now < e.now {
		e.ahead = max(e.ahead, e.now)
		e.now, e.restored = now, false
		return
	}
	if e.ahead > 0 && now >= e.ahead { // set right again: what lies between was watched already
		e.now, e.ahead = e.ahead, 0
	}
	if e.now != 0 && !e.restored {
		gap := math.Min(float64(now-e.now)/1e9, maxPause)
		e.watched += gap
		e.blind += math.Max(0, gap-lull)
	}
	e.now, e.restored = now, false
}

func (e *Engine) model(id string, at int64) *model {
	m := e.devices[id]
	if m == nil {
		if len(e.devices) >= e.cfg.MaxDevices {
			e.forgetDevices()
		}
		e.order = nil
		e.rareCame++
		id = strings.Clone(id) // it may lie in the slab of many records
		m = &model{ID: id, Since: e.watched, First: at}
		e.devices[id] = m
	}
	m.Seen, m.Last = e.watched, max(m.Last, at)
	return m
}

// Len is the number of devices held.
func (e *Engine) Len() int { return len(e.devices) }

// exposure is for how long the device has been watched, in seconds.
func (e *Engine) exposure(m *model) float64 { return e.watched - m.Since }

const (
	settle = 120 // seconds of watch before any estimate is believed
	day    = 86400.0
)

// Flow judges one flow record, learns from it unless it looks like an attack,
// and leaves its verdict in r.Anomaly.
func (e *Engine) Flow(r *flow.Record) {
	if r.Start < 0 || r.End < 0 {
		return // before 1970: no packet is
	}
	e.advance(r.End)
	e.flows++
	var v verdict
	if !r.IsIP() {
		return
	}
	e.orient(r)
	var src, dst *model
	if r.Src.Device != "" {
		src = e.model(r.Src.Device, r.End)
		src.identify(&r.Src)
		r.Src.Device = src.ID // what is kept of it must not keep the record
	}
	if r.Dst.Device != "" && r.Dst.Packets > 0 {
		dst = e.model(r.Dst.Device, r.End)
		dst.identify(&r.Dst)
		r.Dst.Device = dst.ID
	}
	e.to = e.phrase(r, &r.Dst)
	e.claims.speak(e, &v, r)
	e.scans(&v, src, r)
	e.floods(&v, src, r)
	e.bruteForce(&v, src, dst, r)
	if src != nil {
		src.Silence.mark(e.watched - e.blind)
	}
	if dst != nil {
		dst.Silence.mark(e.watched - e.blind)
	}
	attack := v.sum() >= 0.5 // do not learn what a scan or a flood does
	e.stacks(&v, src, dst, r, attack)
	if !attack {
		e.commands(&v, src, dst, r)
		e.novelty(&v, src, dst, r)
		e.beacon(&v, src, r)
		e.volume(&v, src, r)
	}
	v.into(&r.Anomaly)
}

// Sighting judges one sighting.
func (e *Engine) Sighting(s *app.Sighting) {
	e.advance(s.Time)
	var v verdict
	switch s.Kind {
	case app.ARPClaim:
		e.claims.claim(e, &v, s)
	case app.ARPRequest:
		e.sweepARP(&v, s)
	case app.Relay:
		e.relay(&v, s)
	}
	v.into(&s.Anomaly)
}

// Device judges an inventory event: a device that appears after the site has
// settled is told once.
func (e *Engine) Device(r *device.Record) {
	if r.ID == "" {
		return
	}
	e.advance(r.Time)
	quiet, known := e.newest, e.devices[r.ID] != nil
	m := e.model(r.ID, r.Time)
	if !known {
		e.newest = e.watched
	}
	if m.Name = r.Name; len(r.Addresses) > 0 {
		m.addr, m.Address = netip.Addr{}, r.Addresses[0]
	}
	m.Router = r.Router
	if known || r.Change != device.New || !e.settled() {
		return
	}
	var v verdict
	// The longer the site was watched, the surer it is that this one was not just
	// quiet so far: 0.7 after four minutes, 1 after a day.
	sure := min(1, 0.7+0.3*math.Log(e.watched/(2*settle))/math.Log(day/(2*settle)))
	if r.MAC.IsZero() && strings.HasPrefix(r.Evidence, "ICMP") {
		sure = 0.3 // a router on somebody's way that said so
	}
	who := r.ID
	if r.Name != "" {
		who = r.Name + " (" + r.ID + ")"
	}
	if r.Vendor != "" {
		who += " by " + r.Vendor
	}
	v.add(event.Reason{
		Kind: NewDevice, Device: r.ID, Subject: r.ID, Strength: sure,
		Expected: plural(len(e.devices)-1, "known device") + ", none of them new for " + duration(e.watched-quiet),
		Seen:     who + " for the first time: " + r.Evidence,
	})
	v.into(&r.Anomaly)
}

// settled reports whether the site has shown its devices: the chance that the
// next flow is of a new one is low, and the later three quarters of the watch
// brought few.
func (e *Engine) settled() bool {
	if e.watched < 2*settle || e.flows < 100 {
		return false
	}
	return (0.5+e.rareDevices())/float64(e.flows) <= chanceLearned
}

// rareDevices counts the devices that came late and were not heard for long. The
// count is made anew when the watch has grown by a thousandth or 64 devices came
// since; between, those that came are added, all of them being late and short. So
// a flood of made up devices does not make each cost a look at all others.
func (e *Engine) rareDevices() float64 {
	if e.rareCame <= 64 && e.watched >= e.rareAt && e.watched <= e.rareAt*1.001 && len(e.devices) > 256 {
		return e.rare + float64(e.rareCame)
	}
	e.rare, e.rareAt, e.rareCame = 0, e.watched, 0
	for _, m := range e.devices {
		if m.Since > e.watched/2 && m.Seen-m.Since < 0.05*e.watched {
			e.rare++
		}
	}
	return e.rare
}

// Tick looks for what only the passing of time shows. Call it now and then with
// the data's time; it returns what it found.
func (e *Engine) Tick(now int64) []Observation {
	e.advance(now)
	if d := e.now - e.ticked; d >= 0 && d < int64(10e9) {
		return nil
	}
	e.ticked = e.now
	var found []Observation
	for _, m := range e.sorted() {
		if r, ok := m.Silence.check(e, m); ok {
			var v verdict
			v.add(r)
			o := Observation{Time: e.now, Device: m.ID}
			v.into(&o.Anomaly)
			found = append(found, o)
		}
	}
	e.forgetIdle()
	return found
}

func (m *model) identify(end *flow.End) {
	if end.DeviceName != "" {
		m.Name = end.DeviceName
	}
	if end.Addr != m.addr && (m.Address == "" || end.Addr.Is4()) {
		m.addr, m.Address = end.Addr, end.Addr.String()
	}
}

// label is how a device is called in a sentence.
func (m *model) label() string {
	switch {
	case m.Name != "":
		return m.Name
	case m.Address != "":
		return m.Address
	}
	return m.ID
}

// peer is how an end is called in a sentence.
func peer(end *flow.End) string {
	a := end.Addr.String()
	switch {
	case end.DeviceName != "":
		return end.DeviceName + " (" + a + ")"
	case end.Domain != "":
		return end.Domain + " (" + a + ")"
	}
	return a
}

// verdict collects the evidence of one event.
type verdict struct{ reasons []event.Reason }

func (v *verdict) add(r event.Reason) { v.reasons = append(v.reasons, r) }

// sum is the evidence's weight: nats for novelty, certainty for rules.
func (v *verdict) sum() (s float64) {
	for i := range v.reasons {
		s += v.reasons[i].Strength
	}
	return s
}

func (v *verdict) into(a *event.Anomaly) {
	if len(v.reasons) == 0 {
		return
	}
	a.Reasons = v.reasons
	nats := 0.0
	for _, r := range v.reasons {
		if rules[r.Kind] {
			nats += 5 * r.Strength
		} else {
			nats += r.Strength
		}
	}
	a.Score = math.Round((1-math.Exp(-nats/3))*1000) / 1000
}
