package device

import (
	"math"
	"net/netip"
	"slices"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Config sets up an [Inventory].
type Config struct {
	Home       []netip.Prefix          // prefixes of the site; guessed when empty
	Site       string                  // tells equal addresses of several sites apart, in ids of devices without a MAC
	MaxDevices int                     // beyond it the device longest unseen is forgotten; 0 means 10,000
	Vendor     func(packet.MAC) string // names a MAC's vendor; nil means nobody can
}

// DefaultMaxDevices is how many devices are kept when nothing else is said.
const DefaultMaxDevices = 10_000

// Inventory knows the devices of a site. It is not safe for concurrent use.
type Inventory struct {
	cfg     Config
	home    Home
	byID    map[string]*device
	byMAC   map[macKey]*device
	byAddr  map[netip.Addr]*holding // who has an address now
	routers map[netip.Addr]bool     // addresses that DHCP names as routers
	strange map[netip.Addr]stranger // addresses seen through a router that are not confirmed
	domains domains
	recent  device // head of the ring by last seen

	now     int64
	waiting []*device // with a change to tell
	nextDue int64
	fresh   []*device
	cause   cause
	events  []Record
	stats   Stats
}

// Stats are totals since the start.
type Stats struct {
	Devices int    // known now
	New     uint64 // first seen
	Evicted uint64 // forgotten because there were too many
}

// NewInventory makes an empty inventory.
func NewInventory(cfg Config) *Inventory {
	if cfg.MaxDevices <= 0 {
		cfg.MaxDevices = DefaultMaxDevices
	}
	if cfg.Vendor == nil {
		cfg.Vendor = func(packet.MAC) string { return "" }
	}
	v := &Inventory{cfg: cfg}
	v.reset()
	return v
}

func (v *Inventory) reset() {
	v.home = newHome(v.cfg.Home)
	v.byID = map[string]*device{}
	v.byMAC = map[macKey]*device{}
	v.byAddr = map[netip.Addr]*holding{}
	v.routers = map[netip.Addr]bool{}
	v.strange = map[netip.Addr]stranger{}
	v.domains = domains{}
	v.recent.prev, v.recent.next = &v.recent, &v.recent
	v.waiting, v.fresh, v.nextDue = nil, nil, math.MaxInt64
}

// Stats gives the totals so far.
func (v *Inventory) Stats() Stats {
	s := v.stats
	s.Devices = len(v.byID)
	return s
}

// Flow decides who the two ends of a flow are and writes it into the record:
// Device, DeviceName and, for ends outside, Domain. It returns what there is to
// tell about devices, valid until the next call.
func (v *Inventory) Flow(r *flow.Record) []Record {
	v.begin(r.End)
	v.cause = cause{flow: r}
	if r.Src.Addr.IsValid() && near(r.Src.Addr, r.Dst.Addr) && !r.Src.MAC.IsZero() {
		v.home.learn(r.Src.Addr) // neighbours talk on their own link
	}
	s := v.end(r, &r.Src, &r.Dst, true)
	d := v.end(r, &r.Dst, &r.Src, false)
	v.annotate(&r.Src, s)
	v.annotate(&r.Dst, d)
	return v.finish()
}

func (v *Inventory) annotate(e *flow.End, d *device) {
	e.Device, e.DeviceName, e.Domain = "", "", ""
	if d != nil {
		e.Device, e.DeviceName = d.id, d.name()
	} else if e.Addr.IsValid() {
		e.Domain = v.domains.of(e.Addr)
	}
}

// Sighting learns from what the wire says and writes into s which device it
// speaks of. It returns what there is to tell about devices, valid until the next
// call.
func (v *Inventory) Sighting(s *app.Sighting) []Record {
	v.begin(s.Time)
	v.cause = cause{sighting: s}
	s.Device = ""
	if d := v.learn(s); d != nil {
		s.Device = d.id
	}
	return v.finish()
}

// Flush returns what there is left to tell, and is called at the end.
func (v *Inventory) Flush() []Record {
	v.events = v.events[:0]
	v.tell(math.MaxInt64)
	return v.events
}

// Devices lists all devices as they stand, in the order of their ids.
func (v *Inventory) Devices() []Record {
	all := make([]Record, 0, len(v.byID))
	for _, d := range v.byID {
		all = append(all, d.record("", d.last))
	}
	slices.SortFunc(all, func(a, b Record) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return all
}

func (v *Inventory) begin(now int64) {
	v.now = max(v.now, now)
	v.events = v.events[:0]
}

// finish writes the events of one call: first new devices, then changes of others
// that have settled.
func (v *Inventory) finish() []Record {
	for _, d := range v.fresh {
		r := d.record(New, d.first)
		d.told = r.digest()
		d.due = 0 // told with it
		v.events = append(v.events, r)
	}
	v.fresh = v.fresh[:0]
	if v.now >= v.nextDue {
		v.tell(v.now)
	}
	v.cause = cause{}
	return v.events
}

// tell writes the changes that are due.
func (v *Inventory) tell(now int64) {
	v.nextDue = math.MaxInt64
	kept := v.waiting[:0]
	for _, d := range v.waiting {
		switch {
		case d.due == 0 || v.byID[d.id] != d: // told with something else, or forgotten
			d.due = 0
		case d.due <= now:
			d.due = 0
			r := d.record(Updated, min(now, v.now))
			if digest := r.digest(); digest != d.told { // it may have changed back
				d.told, d.updated = digest, r.Time
				v.events = append(v.events, r)
			}
		default:
			kept = append(kept, d)
			v.nextDue = min(v.nextDue, d.due)
		}
	}
	clear(v.waiting[len(kept):])
	v.waiting = kept
}

// changed notes that there is something to tell of d.
func (v *Inventory) changed(d *device) {
	if d.due != 0 {
		return
	}
	d.due = v.now + settle
	if d.updated != 0 {
		d.due = max(d.due, d.updated+updateEvery)
	}
	if len(v.waiting) >= 4*v.cfg.MaxDevices {
		// The time of the data may stand still while ever new devices push out others.
		v.waiting = slices.DeleteFunc(v.waiting, func(d *device) bool {
			if d.due != 0 && v.byID[d.id] == d {
				return false
			}
			d.due = 0
			return true
		})
	}
	v.waiting = append(v.waiting, d)
	v.nextDue = min(v.nextDue, d.due)
}

// add makes a device; mac is zero for one that is known by its address only.
func (v *Inventory) add(id string, mac packet.MAC, time int64) *device {
	if len(v.byID) >= v.cfg.MaxDevices {
		v.forget(v.recent.prev)
		v.stats.Evicted++
	}
	d := &device{id: id, mac: mac, first: time, last: time, evidence: v.cause.words()}
	if !mac.IsZero() {
		d.vendor = v.vendor(mac)
		v.byMAC[keyOf(mac)] = d
	}
	v.byID[id] = d
	v.link(d)
	v.stats.New++
	v.fresh = append(v.fresh, d)
	return d
}

func (v *Inventory) vendor(m packet.MAC) string {
	s := v.cfg.Vendor(m)
	if s == "" && m.IsLocal() {
		return "randomised address"
	}
	return s
}

func (v *Inventory) forget(d *device) {
	d.prev.next, d.next.prev = d.next, d.prev
	delete(v.byID, d.id)
	if !d.mac.IsZero() {
		delete(v.byMAC, keyOf(d.mac))
	}
	for _, h := range d.held {
		v.release(h)
	}
}

// take gives an address to who has it from now on.
func (v *Inventory) take(h *holding) {
	if old := v.byAddr[h.addr]; old != nil {
		old.current = false
	}
	v.byAddr[h.addr], h.current = h, true
}

// release takes an address from who has it, if that is who h says.
func (v *Inventory) release(h *holding) {
	if h.current {
		h.current = false
		delete(v.byAddr, h.addr)
	}
}

func (v *Inventory) link(d *device) {
	d.prev, d.next = &v.recent, v.recent.next
	d.prev.next, d.next.prev = d, d
}

// seen notes that a device spoke.
func (v *Inventory) seen(d *device, time int64) *device {
	d.last = max(d.last, time)
	if v.recent.next != d {
		d.prev.next, d.next.prev = d.next, d.prev
		v.link(d)
	}
	return d
}

// ofMAC gives the device with a MAC that spoke, made when new. It is nil for
// groups and for none.
func (v *Inventory) ofMAC(m packet.MAC, time int64) *device {
	if m.IsZero() || m.IsGroup() {
		return nil
	}
	if d := v.byMAC[keyOf(m)]; d != nil {
		return v.seen(d, time)
	}
	return v.add(m.String(), m, time)
}

func (v *Inventory) setName(d *device, origin int, name string) {
	if name = cleanName(name); name == "" || d.names[origin] == name {
		return
	}
	if origin == byDNS && d.names[byDNS] != "" {
		return // one of several, as good as any
	}
	d.names[origin] = name
	v.changed(d)
}

func (v *Inventory) setRouter(d *device) {
	if d.router {
		return
	}
	d.router = true
	d.held = slices.DeleteFunc(d.held, func(h *holding) bool {
		if h.own() {
			return false
		}
		v.release(h) // someone's behind it
		return true
	})
	v.changed(d)
}
