package series

import (
	"fmt"

	"github.com/monban/monban/internal/form"
)

// formVersion is that of a checkpoint's form. Any change of form raises it.
const formVersion = 1

// Checkpoint gives all of the set's state, so that another set goes on from there as if nothing
// had been: other than a snapshot, also which series are looked at next for having gone away, and
// what is known of clocks that may have been set back. The same state gives the same bytes. The
// counters are left out: each set counts for itself.
func (s *Set) Checkpoint() ([]byte, error) {
	w := form.Writer(256 + len(s.free)*4 + len(s.index)*(Size+8))
	s.walk(w)
	return w.Bytes(), nil
}

// Resume takes the place of all that is known by what [Set.Checkpoint] gave; from there on the set
// does exactly what the other one would have done. On any error it is as it was.
func (s *Set) Resume(data []byte) error {
	next := New(s.cfg)
	w := form.Reader(data)
	next.walk(w)
	if err := w.End(); err != nil {
		return fmt.Errorf("taking over the series of another set: %w", err)
	}
	next.Points, next.Freed, next.Full = s.Points, s.Freed, s.Full
	*s = *next
	return nil
}

func (s *Set) walk(w *form.Walk) {
	w.Head("series", formVersion, ErrVersion)
	w.I64(&s.now)
	w.U32(&s.hand)
	n, chunks := uint32(len(s.index)), uint32(len(s.slots))
	w.U32(&n)
	w.U32(&chunks)
	form.List(w, &s.free, int(chunks)*chunk, w.U32)
	if !w.Reading() {
		for i := range chunks * chunk {
			if s.at(i).heard != 0 {
				w.U32(&i)
				s.at(i).walkAll(w)
			}
		}
		return
	}
	if most := uint32(s.cfg.MaxSeries); n > most || chunks > (most+chunk-1)/chunk {
		w.Fail(fmt.Errorf("there is room for %d series, max_series is %d", chunks*chunk, most))
		return
	}
	w.Check(n+uint32(len(s.free)) == chunks*chunk && (s.hand == 0 || s.hand < chunks*chunk))
	if w.Err() == nil {
		s.read(w, n, chunks)
	}
}

// read puts each series where it was: it must be in a place that is not free, and the only one there.
func (s *Set) read(w *form.Walk, n, chunks uint32) {
	taken := make([]bool, chunks*chunk)
	take := func(i uint32) bool {
		ok := i < uint32(len(taken)) && !taken[i]
		if w.Check(ok); ok {
			taken[i] = true
		}
		return ok
	}
	for _, i := range s.free {
		if !take(i) {
			return
		}
	}
	for range chunks {
		s.slots = append(s.slots, make([]slot, chunk))
	}
	for range n {
		var i uint32
		if w.U32(&i); !take(i) {
			return
		}
		x := s.at(i)
		x.walkAll(w)
		_, twice := s.index[x.key]
		if w.Check(x.sound() && !twice); w.Err() != nil {
			return
		}
		if x.series.known {
			x.series.derive()
		}
		s.index[x.key] = i
	}
}

// walkAll goes also through what a snapshot leaves out.
func (s *slot) walkAll(w *form.Walk) {
	s.walk(w)
	w.U8(&s.counter.early)
	w.U8(&s.series.early)
	w.Flag(&s.series.steady)
}
