package series

import (
	"errors"
	"fmt"
	"math"

	"github.com/monban/monban/internal/form"
)

// version is that of the saved state's form. Any change of form raises it.
const version = 1

// ErrVersion is returned by [Set.Restore] for a state of another version.
var ErrVersion = errors.New("the learned series are of another version")

func (s *slot) walk(w *form.Walk) {
	w.U64(&s.key[0])
	w.U64(&s.key[1])
	w.I64(&s.heard)
	n := &s.counter
	w.F64(&n.value, &n.sum)
	w.I64(&n.at)
	w.I64(&n.start)
	w.Flag(&n.known)
	s.series.walk(w)
}

func (s *Series) walk(w *form.Walk) {
	w.I64(&s.last)
	w.F64(&s.base, &s.low, &s.high)
	w.F32(&s.lnGap, &s.gap)
	w.Flag(&s.known)
	w.Flag(&s.paced)
	w.F32(&s.dayError, &s.weekError, &s.errors, &s.inBlock, &s.tired)
	w.F32s(s.top[:])
	for i := range s.views {
		h := &s.views[i]
		w.F64(&h.lo, &h.hi)
		w.F32(&h.mass, &h.scale)
		w.F32s(h.bin[:])
	}
	w.F32s(s.mean[:])
	for i := range s.count {
		w.U16(&s.count[i])
	}
	s.rules.walk(w)
}

func (r *rules) walk(w *form.Walk) {
	w.F32s(r.spread[:])
	w.F32s(r.sameHour[:])
	w.F64(&r.seen, &r.lastX)
	w.F32(&r.spreadAll, &r.smooth, &r.steps, &r.ofDay, &r.ofWeek, &r.level, &r.moved, &r.rare, &r.drift,
		&r.wide, &r.wideUsual, &r.middle, &r.es, &r.ss, &r.em, &r.sm, &r.slowX, &r.slowM, &r.nowX,
		&r.same, &r.run, &r.runMost, &r.tired)
	for i := range r.peaks {
		p := &r.peaks[i]
		w.F32(&p.today, &p.bound)
		for j := range p.high {
			w.F32s(p.high[j][:])
		}
		w.U8(&p.days)
		w.U8(&p.closed)
	}
	w.U8(&r.dayNow)
	for i := range r.cells {
		w.F32s(r.cells[i][:])
	}
	w.Flag(&r.entered)
	w.Flag(&r.fresh[0])
	w.Flag(&r.fresh[1])
	w.F32(&r.shiftDay, &r.shiftWeek)
	w.U16(&r.shiftDays)
	w.I64(&r.shiftNext)
	w.U32(&r.repeats)
	for i := range r.quiet {
		w.U64(&r.quiet[i])
	}
	w.Flag(&r.quietNow)
	w.U8(&r.hourNow)
	w.U8((*uint8)(&r.alarm))
	w.I64(&r.runFrom)
	w.I64(&r.calm)
	w.I64(&r.since)
}

// sound reports whether a series that was read can be gone on with.
func (s *slot) sound() bool {
	x := &s.series
	for i := range x.views {
		h := &x.views[i]
		if h.lo > h.hi || h.mass < 0 || h.scale < 0 || h.scale > 2e6 || h.scale == 0 && h.mass != 0 {
			return false
		}
		for _, b := range h.bin {
			if b < 0 {
				return false
			}
		}
	}
	r := &x.rules
	return s.heard > 0 && x.low <= x.high && x.lnGap > -40 && x.lnGap < 40 && x.errors >= 0 && x.tired >= 0 && r.tired >= 0 && r.seen >= 0 &&
		r.alarm <= Drift && r.hourNow < 168 && r.dayNow < 7 && r.wideUsual >= 0 &&
		r.spreadAll >= 0 && math.Abs(x.base) <= most && math.Abs(x.low) <= most && math.Abs(x.high) <= most
}

// Snapshot gives what was learned, in a compact form, for the next start of the same box.
func (s *Set) Snapshot() ([]byte, error) {
	w := form.Writer(16 + len(s.index)*Size)
	v, n := uint32(version), uint32(len(s.index))
	w.U32(&v)
	w.U32(&n)
	for i := range uint32(len(s.slots) * chunk) {
		if x := s.at(i); x.heard != 0 {
			x.walk(w)
		}
	}
	return w.Bytes(), nil
}

// Restore puts back what [Set.Snapshot] gave. On any error the set is as it was. Series for which
// the set has become too small are left out and counted as freed.
func (s *Set) Restore(data []byte) error {
	w := form.Reader(data)
	var v, n uint32
	w.U32(&v)
	w.U32(&n)
	if w.Err() == nil && v != version {
		return fmt.Errorf("%w: %d, this program writes %d", ErrVersion, v, version)
	}
	next := New(s.cfg)
	var x slot
	for i := uint32(0); i < n && w.Err() == nil; i++ {
		x = slot{}
		x.walk(w)
		_, twice := next.index[x.key]
		w.Check(x.sound() && !twice)
		switch {
		case w.Err() != nil:
		case len(next.index) >= s.cfg.MaxSeries:
			next.Freed++
		default:
			x.series.derive()
			*next.add(x.key) = x
		}
	}
	if err := w.End(); err != nil {
		return fmt.Errorf("reading the learned series: %w", err)
	}
	s.index, s.slots, s.free, s.hand = next.index, next.slots, next.free, 0
	s.Freed += next.Freed
	return nil
}
