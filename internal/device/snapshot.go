package device

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/monban/monban/internal/packet"
)

const snapshotVersion = 1

// A StateError says that a snapshot is whole but not for this inventory: of
// another version, or of another site. It is to be set aside, not overwritten.
type StateError struct{ Problem string }

func (e *StateError) Error() string { return "inventory state " + e.Problem }

type snapshot struct {
	Version int                   `json:"version"`
	Site    string                `json:"site,omitempty"`
	Time    int64                 `json:"time"`
	Devices []deviceState         `json:"devices"` // longest unseen first
	Learned []netip.Prefix        `json:"learned,omitempty"`
	Routers []netip.Addr          `json:"routers,omitempty"`
	Domains map[netip.Addr]string `json:"domains,omitempty"`

	live live // of a checkpoint only
}

type deviceState struct {
	ID       string            `json:"id"`
	MAC      string            `json:"mac,omitempty"`
	Class    string            `json:"class,omitempty"`
	Names    map[string]string `json:"names,omitempty"`
	Evidence string            `json:"evidence,omitempty"`
	Router   bool              `json:"router,omitempty"`
	Passed   netip.Addr        `json:"passed,omitzero"`
	First    int64             `json:"first"`
	Last     int64             `json:"last"`
	Held     []holdingState    `json:"addresses,omitempty"`

	live deviceLive
}

type holdingState struct {
	Addr    netip.Addr `json:"address"`
	First   int64      `json:"first"`
	Last    int64      `json:"last"`
	Claimed bool       `json:"claimed,omitempty"`
	Near    bool       `json:"near,omitempty"`
	Current bool       `json:"current,omitempty"`

	live holdingLive
}

const maxSavedDomains = 4096

// Snapshot gives all that must survive a restart, as JSON with a version.
func (v *Inventory) Snapshot() ([]byte, error) {
	s := v.state()
	s.Domains = map[netip.Addr]string{}
	saved := slices.SortedFunc(maps.Keys(v.domains.young), netip.Addr.Compare)
	for _, a := range saved[:min(len(saved), maxSavedDomains)] {
		s.Domains[a] = v.domains.young[a]
	}
	b, err := json.Marshal(&s)
	if err != nil {
		return nil, fmt.Errorf("writing the inventory's state: %w", err)
	}
	return b, nil
}

// state is what snapshots and checkpoints have in common.
func (v *Inventory) state() snapshot {
	s := snapshot{Version: snapshotVersion, Site: v.cfg.Site, Time: v.now}
	for d := v.recent.prev; d != &v.recent; d = d.prev {
		ds := deviceState{
			ID: d.id, MAC: d.mac.String(), Class: d.class, Evidence: d.evidence, Router: d.router, Passed: d.passed,
			First: d.first, Last: d.last, Names: map[string]string{},
		}
		for i, n := range d.names {
			if n != "" {
				ds.Names[originNames[i]] = n
			}
		}
		for _, h := range d.held {
			ds.Held = append(ds.Held, holdingState{Addr: h.addr, First: h.first, Last: h.last, Claimed: h.claimed, Near: h.near, Current: h.current})
		}
		s.Devices = append(s.Devices, ds)
	}
	for p := range v.home.learned {
		s.Learned = append(s.Learned, p)
	}
	slices.SortFunc(s.Learned, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	for a := range v.routers {
		s.Routers = append(s.Routers, a)
	}
	slices.SortFunc(s.Routers, netip.Addr.Compare)
	return s
}

// Restore takes the place of all that is known by what [Inventory.Snapshot] gave,
// or changes nothing: a damaged snapshot gives an error, one of another version or
// site a [*StateError]. Restored devices are not told as new again.
func (v *Inventory) Restore(b []byte) error {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return fmt.Errorf("reading the inventory's state: %w", err)
	}
	if version.Version != snapshotVersion {
		return &StateError{fmt.Sprintf("is of version %d, this program reads version %d", version.Version, snapshotVersion)}
	}
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("reading the inventory's state: %w", err)
	}
	if s.Site != v.cfg.Site {
		return otherSite(s.Site, v.cfg.Site)
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("reading the inventory's state: %w", err)
	}
	for _, d := range s.Devices {
		for o, n := range d.Names {
			d.Names[o] = cleanName(n)
		}
	}
	if n := len(s.Devices) - v.cfg.MaxDevices; n > 0 {
		s.Devices = s.Devices[n:]
	}
	v.restore(&s)
	for a, n := range s.Domains {
		v.domains.put(a, cleanName(n))
	}
	return nil
}

func otherSite(got, want string) error {
	return &StateError{fmt.Sprintf("is of site %q, this one is %q", got, want)}
}

// restore takes the place of all that is known by a state that was checked.
func (v *Inventory) restore(s *snapshot) {
	v.reset()
	v.now = s.Time
	for _, p := range s.Learned {
		if len(v.home.given) == 0 && len(v.home.learned) < maxLearned {
			v.home.add(p)
		}
	}
	for _, a := range s.Routers {
		v.routers[a] = true
	}
	for i := range s.Devices {
		v.restoreDevice(&s.Devices[i])
	}
}

func (s *snapshot) check() error {
	ids, macs, addrs := map[string]bool{}, map[packet.MAC]bool{}, map[netip.Addr]bool{}
	for _, d := range s.Devices {
		if d.ID == "" || ids[d.ID] {
			return fmt.Errorf("device %q is there twice or has no id", d.ID)
		}
		ids[d.ID] = true
		if m := packet.ParseMAC(d.MAC); m.IsZero() != (d.MAC == "") || !m.IsZero() && macs[m] {
			return fmt.Errorf("device %s: MAC %q is none, or there twice", d.ID, d.MAC)
		} else {
			macs[m] = true
		}
		if len(d.Held) > maxHeld {
			return fmt.Errorf("device %s: %d addresses, at most %d are kept", d.ID, len(d.Held), maxHeld)
		}
		for _, h := range d.Held {
			if !h.Addr.IsValid() || h.Current && addrs[h.Addr] {
				return fmt.Errorf("device %s: address %q is none, or two devices have it", d.ID, h.Addr)
			}
			addrs[h.Addr] = addrs[h.Addr] || h.Current
		}
	}
	return nil
}

func (v *Inventory) restoreDevice(s *deviceState) {
	d := &device{
		id: s.ID, mac: packet.ParseMAC(s.MAC), class: s.Class, evidence: s.Evidence, router: s.Router, passed: s.Passed,
		first: s.First, last: s.Last,
	}
	if !d.mac.IsZero() {
		v.byMAC[keyOf(d.mac)] = d
		d.vendor = v.vendor(d.mac)
	}
	for i, o := range originNames {
		d.names[i] = s.Names[o]
	}
	for _, hs := range s.Held {
		h := &holding{dev: d, addr: hs.Addr, first: hs.First, last: hs.Last, claimed: hs.Claimed, near: hs.Near}
		d.held = append(d.held, h)
		if hs.Current {
			v.take(h)
		}
	}
	v.byID[d.id] = d
	v.link(d)
}
