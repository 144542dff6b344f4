package device

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/monban/monban/internal/form"
)

// formVersion is that of a checkpoint's form. Any change of form raises it.
const formVersion = 1

// live is what a checkpoint has beyond a snapshot. Devices are told by their place in the list,
// from 1; 0 is one that was forgotten.
type live struct {
	young, old map[netip.Addr]string
	strange    map[netip.Addr]stranger
	waiting    []int // in the order in which they will be told
	nextDue    int64
}

// deviceLive is the same of a device.
type deviceLive struct {
	passes, guests                     int
	many                               bool
	relayed, guestsSince, updated, due int64
	told                               uint64
}

// holdingLive is the same of an address.
type holdingLive struct {
	rival   int
	since   int64
	claimed bool
}

// Checkpoint gives all that is known, also what is not told yet and who is not confirmed yet, so
// that another inventory of the same configuration goes on from there as if nothing had been. The
// same state gives the same bytes. Left out are vendors, which follow from the MAC addresses, and
// the totals, which each inventory counts for itself.
func (v *Inventory) Checkpoint() ([]byte, error) {
	s := v.state()
	at := make(map[*device]int, len(s.Devices))
	for d := v.recent.prev; d != &v.recent; d = d.prev {
		at[d] = len(at) + 1
	}
	for d, i := range at {
		x := &s.Devices[i-1]
		x.live = deviceLive{d.passes, d.guests, d.many, d.relayed, d.guestsSince, d.updated, d.due, d.told}
		for j, h := range d.held {
			if rival := at[h.rival]; rival != 0 { // one that was forgotten does not come back as it was
				x.Held[j].live = holdingLive{rival, h.rivalSince, h.rivalClaimed}
			}
		}
	}
	s.live = live{v.domains.young, v.domains.old, v.strange, make([]int, len(v.waiting)), v.nextDue}
	for i, d := range v.waiting {
		s.live.waiting[i] = at[d]
	}
	w := form.Writer(1024 + 256*len(s.Devices) + 64*(len(s.live.young)+len(s.live.old)+len(s.live.strange)))
	s.walk(w)
	return w.Bytes(), w.Err()
}

// Resume takes the place of all that is known by what [Inventory.Checkpoint] gave; from there on
// the inventory does exactly what the other one would have done. On any error it is as it was; one
// of another version or site is a [*StateError].
func (v *Inventory) Resume(data []byte) error {
	var s snapshot
	w := form.Reader(data)
	s.walk(w)
	var other *StateError
	switch err := w.End(); {
	case errors.As(err, &other):
		return other
	case err != nil:
		return fmt.Errorf("taking over an inventory: %w", err)
	case s.Site != v.cfg.Site:
		return otherSite(s.Site, v.cfg.Site)
	case len(s.Devices) > v.cfg.MaxDevices || len(s.live.waiting) > 4*v.cfg.MaxDevices:
		return fmt.Errorf("taking over an inventory: it has %d devices, max_devices is %d", len(s.Devices), v.cfg.MaxDevices)
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("taking over an inventory: %w", err)
	}
	v.restore(&s)
	v.domains = domains{young: s.live.young, old: s.live.old}
	if s.live.strange != nil {
		v.strange = s.live.strange
	}
	all := make([]*device, 1, len(s.Devices)+1)
	all[0] = &device{} // one that was forgotten: it waits, and nothing is told of it
	for d := v.recent.prev; d != &v.recent; d = d.prev {
		all = append(all, d)
	}
	for i, d := range all[1:] {
		x := s.Devices[i].live
		d.passes, d.guests, d.many, d.relayed, d.guestsSince, d.updated, d.due, d.told = x.passes, x.guests, x.many, x.relayed, x.guestsSince, x.updated, x.due, x.told
		for j, h := range d.held {
			if x := s.Devices[i].Held[j].live; x.rival != 0 {
				h.rival, h.rivalSince, h.rivalClaimed = all[x.rival], x.since, x.claimed
			}
		}
	}
	for _, i := range s.live.waiting {
		v.waiting = append(v.waiting, all[i])
	}
	v.nextDue = s.live.nextDue
	return nil
}

func (s *snapshot) walk(w *form.Walk) {
	w.Head("inventory", formVersion, &StateError{"is of another version"})
	w.Text(&s.Site)
	w.I64(&s.Time, &s.live.nextDue)
	form.List(w, &s.Devices, 1<<30, func(d *deviceState) { d.walk(w) })
	form.List(w, &s.Learned, maxLearned, func(p *netip.Prefix) {
		a, bits := p.Addr(), p.Bits()
		w.Addr(&a)
		form.Count(w, &bits)
		*p = netip.PrefixFrom(a, bits)
		w.Check(p.IsValid())
	})
	form.List(w, &s.Routers, maxRouters, w.Addr)
	name := func(n *string) {
		w.Text(n)
		w.Check(fit(*n))
	}
	form.Map(w, &s.live.young, maxDomains, netip.Addr.Compare, w.Addr, name)
	form.Map(w, &s.live.old, maxDomains, netip.Addr.Compare, w.Addr, name)
	form.Map(w, &s.live.strange, maxStrangers, netip.Addr.Compare, w.Addr, func(x *stranger) {
		w.I64(&x.first)
		form.Count(w, &x.flows)
	})
	known := func(i int) { w.Check(i >= 0 && i <= len(s.Devices)) }
	form.List(w, &s.live.waiting, 1<<30, func(i *int) {
		form.Count(w, i)
		known(*i)
	})
	for _, d := range s.Devices {
		for _, h := range d.Held {
			known(h.live.rival)
		}
	}
}

func (d *deviceState) walk(w *form.Walk) {
	w.Text(&d.ID)
	w.Text(&d.MAC)
	w.Text(&d.Class)
	form.Named(w, &d.Names, int(origins), func(n *string) {
		w.Text(n)
		w.Check(fit(*n))
	})
	w.Text(&d.Evidence)
	w.Addr(&d.Passed)
	w.I64(&d.First, &d.Last)
	form.List(w, &d.Held, maxHeld, func(h *holdingState) {
		w.Addr(&h.Addr)
		w.I64(&h.First, &h.Last)
		form.Count(w, &h.live.rival)
		w.I64(&h.live.since)
		w.Flags(&h.Claimed, &h.Near, &h.Current, &h.live.claimed)
	})
	x := &d.live
	w.Flags(&d.Router, &x.many)
	form.Count(w, &x.passes)
	form.Count(w, &x.guests)
	w.I64(&x.relayed, &x.guestsSince, &x.updated, &x.due)
	w.U64(&x.told)
}

// fit reports whether a name is one that [cleanName] gives.
func fit(name string) bool {
	return len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}
