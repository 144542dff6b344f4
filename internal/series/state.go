package series

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// version is that of the saved state's form. Any change of form raises it.
const version = 1

var (
	// ErrVersion is returned by [Set.Restore] for a state of another version.
	ErrVersion = errors.New("the learned series are of another version")

	errState = errors.New("reading the learned series: the state makes no sense")
)

// code is one way through a state: it writes to b, or reads from it.
type code struct {
	b    []byte
	read bool
	err  error
}

func (c *code) take(n int) []byte {
	if len(c.b) < n {
		if c.err == nil {
			c.err = errState
		}
		c.b = nil
		return make([]byte, 8)
	}
	x := c.b[:n]
	c.b = c.b[n:]
	return x
}

func (c *code) u64(p *uint64) {
	if c.read {
		*p = binary.LittleEndian.Uint64(c.take(8))
	} else {
		c.b = binary.LittleEndian.AppendUint64(c.b, *p)
	}
}

func (c *code) u32(p *uint32) {
	if c.read {
		*p = binary.LittleEndian.Uint32(c.take(4))
	} else {
		c.b = binary.LittleEndian.AppendUint32(c.b, *p)
	}
}

func (c *code) u16(p *uint16) {
	if c.read {
		*p = binary.LittleEndian.Uint16(c.take(2))
	} else {
		c.b = binary.LittleEndian.AppendUint16(c.b, *p)
	}
}

func (c *code) u8(p *uint8) {
	if c.read {
		*p = c.take(1)[0]
	} else {
		c.b = append(c.b, *p)
	}
}

func (c *code) i64(p *int64) {
	x := uint64(*p)
	c.u64(&x)
	*p = int64(x)
}

func (c *code) flag(p *bool) {
	x := uint8(0)
	if *p {
		x = 1
	}
	c.u8(&x)
	*p = x != 0
}

func (c *code) f64(all ...*float64) {
	for _, p := range all {
		x := math.Float64bits(*p)
		c.u64(&x)
		*p = math.Float64frombits(x)
		if c.err == nil && c.read && !(math.Abs(*p) <= math.MaxFloat64) {
			c.err = errState
		}
	}
}

func (c *code) f32(all ...*float32) {
	for _, p := range all {
		x := math.Float32bits(*p)
		c.u32(&x)
		*p = math.Float32frombits(x)
		if c.err == nil && c.read && !(abs(*p) <= math.MaxFloat32) {
			c.err = errState
		}
	}
}

func (c *code) list(all []float32) {
	for i := range all {
		c.f32(&all[i])
	}
}

func (s *slot) code(c *code) {
	c.u64(&s.key[0])
	c.u64(&s.key[1])
	c.i64(&s.heard)
	n := &s.counter
	c.f64(&n.value, &n.sum)
	c.i64(&n.at)
	c.i64(&n.start)
	c.flag(&n.known)
	s.series.code(c)
}

func (s *Series) code(c *code) {
	c.i64(&s.last)
	c.f64(&s.base, &s.low, &s.high)
	c.f32(&s.lnGap, &s.gap)
	c.flag(&s.known)
	c.flag(&s.paced)
	c.f32(&s.dayError, &s.weekError, &s.errors, &s.inBlock, &s.tired)
	c.list(s.top[:])
	for i := range s.views {
		h := &s.views[i]
		c.f64(&h.lo, &h.hi)
		c.f32(&h.mass, &h.scale)
		c.list(h.bin[:])
	}
	c.list(s.mean[:])
	for i := range s.count {
		c.u16(&s.count[i])
	}
	s.rules.code(c)
}

func (r *rules) code(c *code) {
	c.list(r.spread[:])
	c.list(r.sameHour[:])
	c.f64(&r.seen, &r.lastX)
	c.f32(&r.spreadAll, &r.smooth, &r.steps, &r.ofDay, &r.ofWeek, &r.level, &r.moved, &r.rare, &r.drift,
		&r.wide, &r.wideUsual, &r.middle, &r.es, &r.ss, &r.em, &r.sm, &r.slowX, &r.slowM, &r.nowX,
		&r.same, &r.run, &r.runMost, &r.tired)
	for i := range r.peaks {
		p := &r.peaks[i]
		c.f32(&p.today, &p.bound)
		for j := range p.high {
			c.list(p.high[j][:])
		}
		c.u8(&p.days)
		c.u8(&p.closed)
	}
	c.u8(&r.dayNow)
	for i := range r.cells {
		c.list(r.cells[i][:])
	}
	c.flag(&r.entered)
	c.flag(&r.fresh[0])
	c.flag(&r.fresh[1])
	c.f32(&r.shiftDay, &r.shiftWeek)
	c.u16(&r.shiftDays)
	c.i64(&r.shiftNext)
	c.u32(&r.repeats)
	for i := range r.quiet {
		c.u64(&r.quiet[i])
	}
	c.flag(&r.quietNow)
	c.u8(&r.hourNow)
	c.u8((*uint8)(&r.alarm))
	c.i64(&r.runFrom)
	c.i64(&r.calm)
	c.i64(&r.since)
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

// Snapshot gives what was learned, in a compact form.
func (s *Set) Snapshot() ([]byte, error) {
	c := code{b: make([]byte, 0, 16+len(s.index)*Size)}
	v, n := uint32(version), uint32(len(s.index))
	c.u32(&v)
	c.u32(&n)
	for i := range uint32(len(s.slots) * chunk) {
		if x := s.at(i); x.heard != 0 {
			x.code(&c)
		}
	}
	return c.b, nil
}

// Restore puts back what [Set.Snapshot] gave. On any error the set is as it was. Series for which
// the set has become too small are left out and counted as freed.
func (s *Set) Restore(data []byte) error {
	c := code{b: data, read: true}
	var v, n uint32
	c.u32(&v)
	c.u32(&n)
	if c.err != nil {
		return c.err
	}
	if v != version {
		return fmt.Errorf("%w: %d, this program writes %d", ErrVersion, v, version)
	}
	next := New(s.cfg)
	var x slot
	for range n {
		x = slot{}
		if x.code(&c); c.err != nil {
			return c.err
		}
		if !x.sound() {
			return errState
		}
		if _, twice := next.index[x.key]; twice {
			return errState
		}
		if len(next.index) >= s.cfg.MaxSeries {
			next.Freed++
			continue
		}
		x.series.derive()
		*next.add(x.key) = x
	}
	if len(c.b) != 0 {
		return errState
	}
	s.index, s.slots, s.free, s.hand = next.index, next.slots, next.free, 0
	s.Freed += next.Freed
	return nil
}
