package baseline

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"

	"github.com/monban/monban/internal/form"
)

// formVersion is that of a checkpoint's form. Any change of form raises it.
const formVersion = 1

// Checkpoint gives all of the engine's state, short-lived evidence too, so that another engine
// goes on from there as if nothing had been: for flows that wait meanwhile and are judged once,
// unlike those of a box that was off, for which [Engine.Snapshot] is. The same state gives the same
// bytes. Left out are what follows from the rest (phrases, order) and Evicted, which each engine
// counts for itself.
func (e *Engine) Checkpoint() ([]byte, error) {
	w := form.Writer(4096 * (1 + len(e.devices)))
	e.walk(w)
	return w.Bytes(), nil
}

// Resume takes the place of all that is known by what [Engine.Checkpoint] gave; from there on the
// engine does exactly what the other one would have done. On any error it is as it was.
func (e *Engine) Resume(data []byte) error {
	next := New(e.cfg)
	w := form.Reader(data)
	next.walk(w)
	if err := w.End(); err != nil {
		return fmt.Errorf("taking over what another engine learned: %w", err)
	}
	for _, m := range next.devices {
		next.contacts += len(m.contacts.tried)
	}
	for _, c := range next.foreign {
		next.contacts += len(c.tried)
	}
	next.Evicted = e.Evicted
	*e = *next
	return nil
}

func (e *Engine) walk(w *form.Walk) {
	w.Head("baseline", formVersion, ErrVersion)
	w.I64(&e.now, &e.ahead, &e.ticked)
	w.Flag(&e.restored)
	w.F64(&e.watched, &e.blind, &e.newest, &e.rare, &e.rareAt)
	form.Count(w, &e.rareCame)
	form.Count(w, &e.flows)
	e.walkDevices(w)
	form.Map(w, &e.victims, maxVictims, target.compare, func(t *target) {
		w.Addr(&t.addr)
		w.U16(&t.port)
		w.U8(&t.proto)
	}, func(x **victim) { own(w, x).walk(w) })
	form.Map(w, &e.foreign, maxForeign, netip.Addr.Compare, w.Addr, func(c **contacts) { own(w, c).walk(w) })
	form.Map(w, &e.claims.owners, maxClaims, netip.Addr.Compare, w.Addr, func(o **owner) { own(w, o).walk(w) })
}

// own makes what is to be read where a pointer is.
func own[T any](w *form.Walk, p **T) *T {
	if w.Reading() {
		*p = new(T)
	}
	return *p
}

func (e *Engine) walkDevices(w *form.Walk) {
	n := len(e.devices)
	if form.Count(w, &n); w.Reading() && n > e.cfg.MaxDevices {
		w.Fail(fmt.Errorf("there are %d devices, max_devices is %d", n, e.cfg.MaxDevices))
	}
	if !w.Reading() {
		for _, m := range e.sorted() {
			m.walk(w)
		}
		return
	}
	last := ""
	for range n {
		m := &model{}
		m.walk(w)
		w.Check(m.sound(e.watched) && m.ID > last)
		if w.Err() != nil {
			return
		}
		last = m.ID
		e.devices[m.ID] = m
	}
}

// walk goes through all that is known of a device.
func (m *model) walk(w *form.Walk) {
	w.Text(&m.ID)
	w.Text(&m.Name)
	w.Text(&m.Address)
	w.Addr(&m.addr)
	w.Flags(&m.Router, &m.Learned, &m.Approve)
	w.F64(&m.Since, &m.Seen, &m.unitsAt)
	w.I64(&m.First, &m.Last)
	form.Count(w, &m.Flows)
	form.Count(w, &m.units)
	for i := range m.Grains {
		m.Grains[i].walk(w)
	}
	m.Out.band.walk(w)
	w.I64(&m.Out.Minute)
	w.F64(&m.Out.Sum)
	w.Flag(&m.Out.Unusual)
	m.Rate.walk(w)
	m.OT.walk(w)
	w.I64(&m.Silence.Last, &m.Silence.N, &m.Silence.Gap)
	w.Flag(&m.Silence.Told)
	w.U32(&m.Hours.Days)
	w.I64(&m.Hours.Day, &m.Hours.Hour)
	for i := range m.Hours.On {
		form.Count(w, &m.Hours.On[i])
	}
	form.Named(w, &m.Stack, math.MaxInt, func(t **ttls) {
		for i := range own(w, t).n {
			form.Count(w, &(*t).n[i])
		}
	})
	form.Named(w, &m.Units, math.MaxInt, func(asked *bool) { *asked = true })
	m.contacts.walk(w)
	form.Named(w, &m.tries, maxTries, func(l **leak) {
		own(w, l)
		w.F64(&(*l).level, &(*l).at)
	})
	form.Named(w, &m.beacons, maxBeacons, func(b **beacon) { own(w, b).walk(w) })
	form.Named(w, &m.askers, maxContacts, func(at *float64) { w.F64(at) })
}

// sound reports whether a device that was read can be gone on with.
func (m *model) sound(watched float64) bool {
	return m != nil && m.ID != "" && m.Since >= 0 && m.Since <= watched
}

func (g *grain) walk(w *form.Walk) {
	form.Count(w, &g.N)
	form.Named(w, &g.Keys, math.MaxInt, func(p **seen) {
		s := own(w, p)
		w.F64(&s.First, &s.Last)
		form.Count(w, &s.N)
		pending := s.Pending != 0
		if w.Flags(&s.Removed, &s.Approved, &pending); pending {
			w.F64(&s.Pending)
		}
	})
}

func (b *band) walk(w *form.Walk) {
	form.Count(w, &b.N)
	w.F64(&b.Max)
}

func (b *beacon) walk(w *form.Walk) {
	w.I64(&b.last)
	form.Count(w, &b.n)
	w.F64(&b.mean, &b.m2, &b.since)
}

// walk goes through the places that were tried, from which their sums follow.
func (c *contacts) walk(w *form.Walk) {
	w.F64(&c.score, &c.at)
	form.Set(w, &c.tried, maxContacts, contact.compare, func(k *contact) {
		w.Addr(&k.addr)
		w.U16(&k.port)
		w.Flag(&k.icmp)
	}, struct{}{})
	if w.Reading() && len(c.tried) > 0 {
		c.byPort, c.byHost = map[uint16]int{}, map[netip.Addr]int{}
		for k := range c.tried {
			c.count(k)
		}
	}
}

func (c contact) compare(o contact) int {
	if x := cmp.Or(c.addr.Compare(o.addr), cmp.Compare(c.port, o.port)); x != 0 || c.icmp == o.icmp {
		return x
	}
	if o.icmp {
		return -1
	}
	return 1
}

func (x *victim) walk(w *form.Walk) {
	for i := range x.counts {
		form.Count(w, &x.counts[i])
	}
	w.I64(&x.second, &x.window)
	form.Count(w, &x.most)
	form.Count(w, &x.peak)
	form.Count(w, &x.before)
	form.Count(w, &x.votes)
	form.Count(w, &x.total)
	w.Text(&x.actor)
	w.F64(&x.last)
	w.Check(x.second >= 0)
}

func (o *owner) walk(w *form.Walk) {
	w.Raw(o.mac[:])
	w.Raw(o.rival[:])
	w.Raw(o.before[:])
	w.F64(&o.spoke, &o.rivalAt, &o.since)
	w.Flag(&o.claimed)
}
