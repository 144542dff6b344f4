package baseline

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// version is that of the saved state's form. Any change of form raises it.
const version = 1

// ErrVersion is returned by [Engine.Restore] for a state of another version.
var ErrVersion = errors.New("the learned state is of another version")

type state struct {
	Version int
	Now     int64
	Watched float64
	Blind   float64 // of it, seconds in which nobody was heard
	Newest  float64 // watch at which the last new device was seen
	Flows   uint64
	Devices []*model
}

// Snapshot gives what was learned, as JSON, for the next start of the same box.
// Short-lived evidence (open scans, floods, claims) is not part of it, and the time
// until then does not count as watched. [Engine.Checkpoint] is without a gap.
func (e *Engine) Snapshot() ([]byte, error) {
	return json.Marshal(state{version, e.now, e.watched, e.blind, e.newest, e.flows, e.sorted()})
}

// Restore puts back what [Engine.Snapshot] gave. On any error the engine is as
// it was: state is never half used.
func (e *Engine) Restore(data []byte) error {
	var head struct{ Version int }
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("reading the learned state: %w", err)
	}
	if head.Version != version {
		return fmt.Errorf("%w: %d, this program writes %d", ErrVersion, head.Version, version)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("reading the learned state: %w", err)
	}
	devices := make(map[string]*model, len(s.Devices))
	for _, m := range s.Devices {
		if !m.sound(s.Watched) {
			return errors.New("reading the learned state: a device makes no sense")
		}
		for i := range m.Grains {
			for k, v := range m.Grains[i].Keys {
				if v == nil {
					delete(m.Grains[i].Keys, k)
				}
			}
		}
		for role, known := range m.Stack {
			if known == nil {
				delete(m.Stack, role)
			}
		}
		devices[m.ID] = m
	}
	if len(devices) > e.cfg.MaxDevices {
		return fmt.Errorf("the learned state has %d devices, max_devices is %d", len(devices), e.cfg.MaxDevices)
	}
	for _, m := range e.devices {
		m.contacts.clear(&e.contacts)
	}
	e.order = nil
	e.devices, e.now, e.watched, e.blind, e.newest, e.flows, e.restored = devices, s.Now, s.Watched, s.Blind, s.Newest, s.Flows, true
	return nil
}

// sorted lists the devices by id, so that all output is in a fixed order.
func (e *Engine) sorted() []*model {
	if e.order != nil {
		return e.order
	}
	all := make([]*model, 0, len(e.devices))
	for _, m := range e.devices {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *model) int { return strings.Compare(a.ID, b.ID) })
	e.order = all
	return all
}

// chance is Good and Turing's estimate that the next flow of the device shows
// something new: the share of things seen once.
func (e *Engine) chance(m *model) float64 {
	x := e.exposure(m)
	rare := 0.5 + m.Grains[peerOut].rare(x) + m.Grains[peerIn].rare(x)
	return rare / float64(m.Flows+1)
}

// Learned reports changes: it re-estimates every device and lists those whose
// learning has just ended, or begun again.
func (e *Engine) Learned() (changed []Status) {
	for _, m := range e.sorted() {
		if e.relearn(m) {
			changed = append(changed, e.status(m))
		}
	}
	return changed
}

func (e *Engine) relearn(m *model) (changed bool) {
	was := m.Learned
	m.Learned = e.learned(m)
	return m.Learned != was
}

// learned estimates whether the learning of a device has ended. Once it has, it
// takes more for it to begin again.
func (e *Engine) learned(m *model) bool {
	switch {
	case m.Approve:
		return true
	case m.Learned:
		return e.chance(m) <= chanceAgain
	}
	return m.Flows >= 20 && e.exposure(m) >= settle && e.chance(m) <= chanceLearned
}

// Statuses gives the status of every device that was part of a flow.
func (e *Engine) Statuses() (all []Status) {
	for _, m := range e.sorted() {
		if m.Flows > 0 {
			e.relearn(m)
			all = append(all, e.status(m))
		}
	}
	return all
}

func (e *Engine) status(m *model) Status {
	x := e.exposure(m)
	rate := 0.0
	for _, kind := range []int{svcOut, netOut, svcIn, peerIn} {
		rate += m.Grains[kind].rate(kind, x)
	}
	return Status{
		Time: e.now, Device: m.ID, Learned: m.Learned, Approved: m.Approve, Chance: e.chance(m), PerDay: round(rate),
		Flows: m.Flows, Watched: round(x), Peers: uint32(len(m.Grains[peerOut].Keys) + len(m.Grains[peerIn].Keys)),
		Services: m.Grains[svcOut].top(8), Usual: e.usual(m),
	}
}

// usual says in one sentence what is normal for a device.
func (e *Engine) usual(m *model) string {
	var parts []string
	uses := func(kind int, verb, joint string) {
		bySvc := map[string][]string{}
		var order []string
		for _, k := range m.Grains[kind].top(12) {
			svc, where, _ := strings.Cut(k, " ")
			if bySvc[svc] == nil {
				order = append(order, svc)
			}
			bySvc[svc] = append(bySvc[svc], where)
		}
		for i, svc := range order {
			if i == 3 {
				parts = append(parts, fmt.Sprintf("and %d more", len(order)-3))
				break
			}
			where := e.named(bySvc[svc])
			if n := len(where); n > 3 {
				where = append(where[:2], fmt.Sprintf("%d others", n-2))
			}
			parts = append(parts, verb+" "+svc+" "+joint+" "+list(where))
		}
	}
	uses(peerOut, "uses", "of")
	uses(peerIn, "serves", "to")
	if names := m.Grains[dnsName].top(3); len(names) > 0 {
		parts = append(parts, "asks for names in "+list(names))
	}
	if m.Out.Max > 1000 {
		parts = append(parts, "sends at most "+size(m.Out.Max)+" a minute outside")
	}
	return strings.Join(parts, "; ")
}

// Item is one learned thing, for people to look through.
type Item struct {
	Key      string  // "svc.out tcp/502", for Approve and Remove
	What     string  // the same with names in place of ids
	First    float64 // seconds since the device was first seen
	Last     float64
	N        uint32
	Pending  bool // told as unusual, not learned
	Removed  bool
	Approved bool
}

// Items lists what was learned of a device, most used first. It is nil for a
// device that is not known.
func (e *Engine) Items(id string) (items []Item) {
	m := e.devices[id]
	if m == nil {
		return nil
	}
	for kind := range m.Grains {
		for k, s := range m.Grains[kind].Keys {
			words := strings.Split(k, " ")
			items = append(items, Item{
				Key: grainNames[kind] + " " + k, What: grainNames[kind] + " " + strings.Join(e.named(words), " "),
				First: s.First - m.Since, Last: s.Last - m.Since, N: s.N,
				Pending: s.Pending > 0, Removed: s.Removed, Approved: s.Approved,
			})
		}
	}
	slices.SortFunc(items, func(a, b Item) int {
		ka, _, _ := strings.Cut(a.Key, " ")
		kb, _, _ := strings.Cut(b.Key, " ")
		if c := slices.Index(grainNames[:], ka) - slices.Index(grainNames[:], kb); c != 0 {
			return c
		}
		if a.N != b.N {
			return int(int64(b.N) - int64(a.N))
		}
		return strings.Compare(a.Key, b.Key)
	})
	return items
}

// ErrUnknown is returned for a device or a key that nothing was learned of.
var ErrUnknown = errors.New("nothing of that name was learned")

// Approve makes a learned or pending thing usual for good. The key "all" approves
// what was learned and ends the device's learning: from then on whatever is new is
// told. What was told as unusual, or removed, is not part of "all": each such thing
// wants a word of its own.
func (e *Engine) Approve(id, key string) error {
	if m := e.devices[id]; m != nil && key == "all" {
		for i := range m.Grains {
			for _, s := range m.Grains[i].Keys {
				s.Approved = s.Approved || s.usual()
			}
		}
		m.Approve, m.Learned = true, true
		return nil
	}
	return e.each(id, key, func(s *seen) { s.Pending, s.Removed, s.Approved = 0, false, true })
}

// Remove says that a thing is not usual: when it happens again it is told. The
// key "all" forgets the device's whole baseline instead, and learning begins anew.
func (e *Engine) Remove(id, key string) error {
	if m := e.devices[id]; m != nil && key == "all" {
		e.order = nil
		e.devices[id] = &model{ID: m.ID, Name: m.Name, Address: m.Address, Router: m.Router, Since: e.watched, Seen: e.watched, First: m.First, Last: m.Last, contacts: m.contacts}
		return nil
	}
	return e.each(id, key, func(s *seen) { s.Removed, s.Approved, s.Pending = true, false, 0 })
}

// each does something to one thing learned.
func (e *Engine) each(id, key string, do func(*seen)) error {
	m := e.devices[id]
	if m == nil {
		return fmt.Errorf("device %s: %w", id, ErrUnknown)
	}
	name, rest, _ := strings.Cut(key, " ")
	kind := slices.Index(grainNames[:], name)
	if kind < 0 || m.Grains[kind].Keys[rest] == nil {
		return fmt.Errorf("%q of device %s: %w", key, id, ErrUnknown)
	}
	do(m.Grains[kind].Keys[rest])
	return nil
}
