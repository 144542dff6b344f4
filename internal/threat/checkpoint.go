package threat

import (
	"fmt"
	"math"

	"github.com/monban/monban/internal/form"
)

// formVersion is that of a checkpoint's form. Any change of form raises it.
const formVersion = 2

// Checkpoint gives all of the engine's state, so that another engine goes on from there as if
// nothing had been. The same state gives the same bytes. Left out is Dropped, which each engine
// counts for itself. Nothing is left to tell between two calls: what [Engine.Reports] gave was
// told, and must not be told again.
func (e *Engine) Checkpoint() ([]byte, error) {
	w := form.Writer(1024 + 1024*len(e.open) + 48*len(e.names))
	e.walk(w)
	return w.Bytes(), nil
}

// Resume takes the place of all that is known by what [Engine.Checkpoint] gave; from there on the
// engine does exactly what the other one would have done. On any error it is as it was.
func (e *Engine) Resume(data []byte) error {
	next := New()
	w := form.Reader(data)
	next.walk(w)
	if err := w.End(); err != nil {
		return fmt.Errorf("taking over the open incidents of another engine: %w", err)
	}
	next.Dropped = e.Dropped
	*e = *next
	return nil
}

func (e *Engine) walk(w *form.Walk) {
	w.Head("threat", formVersion, ErrVersion)
	w.I64(&e.now)
	form.List(w, &e.open, maxOpen, func(in **incident) {
		if w.Reading() {
			*in = &incident{Kinds: map[string]*kind{}}
		}
		(*in).walk(w)
		w.Check((*in).sound())
	})
	if w.Reading() {
		e.by = byActor(e.open)
	}
	e.walkOrder(w)
	form.Named(w, &e.names, maxNames, w.Text)
}

// walkOrder goes through the order in which the incidents of an actor are looked through: it is that
// in which they came to be of that actor, not that in which they began.
func (e *Engine) walkOrder(w *form.Walk) {
	order := map[string][]int{}
	if !w.Reading() {
		at := make(map[*incident]int, len(e.open))
		for i, in := range e.open {
			at[in] = i
		}
		for actor, all := range e.by {
			if len(all) > 1 {
				for _, in := range all {
					order[actor] = append(order[actor], at[in])
				}
			}
		}
	}
	form.Named(w, &order, math.MaxInt, func(all *[]int) { form.List(w, all, maxOpen, func(i *int) { form.Count(w, i) }) })
	if !w.Reading() {
		return
	}
	for actor, places := range order {
		all := make([]*incident, 0, len(places))
		for _, i := range places {
			if i < 0 || i >= len(e.open) {
				w.Fail(form.ErrDamaged)
				return
			}
			all = append(all, e.open[i])
		}
		w.Check(sameIncidents(all, e.by[actor]))
		e.by[actor] = all
	}
}

// sameIncidents reports whether two lists hold the same in any order.
func sameIncidents(a, b []*incident) bool {
	n := map[*incident]int{}
	for _, in := range a {
		n[in]++
	}
	for _, in := range b {
		n[in]--
	}
	for _, x := range n {
		if x != 0 {
			return false
		}
	}
	return true
}

// byActor finds incidents by their actors, those that began first first.
func byActor(open []*incident) map[string][]*incident {
	by := map[string][]*incident{}
	for _, in := range open {
		for _, actor := range in.Actors {
			by[actor] = append(by[actor], in)
		}
	}
	return by
}

// sound reports whether an incident that was read can be gone on with.
func (in *incident) sound() bool {
	if in == nil || in.Kinds == nil || len(in.Actors) == 0 || len(in.Actors) > maxActors {
		return false
	}
	if len(in.Lasting) > maxLasting || in.Least != "" && !AtLeast(in.Least, Low) {
		return false
	}
	for _, k := range in.Kinds {
		if k == nil || !(k.Strength >= 0 && k.Strength <= maxStrength) {
			return false
		}
	}
	return true
}

func (in *incident) walk(w *form.Walk) {
	in.Report.walk(w)
	w.Text(&in.Family)
	w.Texts(&in.Actors, maxActors)
	form.Named(w, &in.Kinds, math.MaxInt, func(p **kind) {
		if w.Reading() {
			*p = &kind{}
		}
		k := *p
		w.F64(&k.Strength)
		form.Count(w, &k.N)
		w.Text(&k.Device)
		w.Text(&k.Expected)
		w.Text(&k.Seen)
	})
	form.List(w, &in.Lasting, maxLasting, func(a *alarm) {
		w.U64(&a.Key)
		w.I64(&a.At)
	})
	w.Text(&in.Least)
	w.I64(&in.Heard, &in.Published)
	w.Flag(&in.Dirty)
}

func (r *Report) walk(w *form.Walk) {
	w.I64(&r.Time, &r.First, &r.Last)
	form.Count(w, &r.Revision)
	w.F64(&r.Confidence)
	for _, p := range [...]*string{&r.ID, &r.Status, &r.Class, &r.Title, &r.Severity, &r.Device, &r.DeviceName, &r.Summary, &r.Expected, &r.Seen, &r.Runner, &r.Action} {
		w.Text(p)
	}
	for _, p := range [...]*uint64{&r.Flows, &r.Packets, &r.Bytes} {
		form.Count(w, p)
	}
	for _, p := range [...]*[]string{&r.Victims, &r.Evidence, &r.Community, &r.Enterprise, &r.ICS} {
		w.Texts(p, math.MaxInt)
	}
}
