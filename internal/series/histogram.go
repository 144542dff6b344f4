package series

import "math"

// bins of a histogram. The figure hardly matters between 40 and 64.
const bins = 48

const (
	prior = 4.0 // points that a histogram starts with, spread evenly
	// grow is by how many of its own widths a range may grow for one point. Without a
	// limit one value far out squeezes all others into one bin for weeks.
	grow = 2.0
	// A range gives up a twelfth on a side whose outer third holds less than this share.
	sparse = 0.0015
	third  = bins / 3
)

// histogram is where values of one view lie, with a memory of 10,000 units of
// evidence. Bins are soft: a value falls into the two whose centres it lies between.
type histogram struct {
	lo, hi float64
	mass   float32 // of all bins, in units of evidence
	// scale is what a unit of evidence weighs in bin: it grows instead of all bins
	// shrinking at each point.
	scale float32
	bin   [bins]float32
}

// place is where a value lies: between the centres of bin at, and the next, of
// which the share up belongs to the next.
func (h *histogram) place(y float64) (at int, up float64) {
	p := (y-h.lo)/(h.hi-h.lo)*bins - 0.5
	switch {
	case !(p > 0): // NaN, too
		return 0, 0
	case p >= bins-1:
		return bins - 1, 0
	}
	at = int(p)
	return at, p - float64(at)
}

// narrow is the width below which a range counts as one value, for values of this size.
const narrow = 1e-9

// score gives how rare y is, in nats, and learns it with the weight w, which
// is at most 1. What comes often must be the rarer to be as rare in a unit of time; whoever
// compares scores of different weights adds the logarithm of w. size is how large the
// series' values are.
func (h *histogram) score(y, size float64, w, gain float32) float64 {
	if h.scale == 0 {
		h.lo, h.hi, h.scale = y, y, 1
	}
	if y < h.lo || y > h.hi {
		lo, hi := min(h.lo, y), max(h.hi, y)
		if r := h.hi - h.lo; r > narrow*size {
			lo, hi = max(lo, h.lo-grow*r), min(hi, h.hi+grow*r)
		}
		h.stretch(lo, hi)
	}
	if h.hi-h.lo <= narrow*size {
		h.bin[0] += w * h.scale
		h.mass += w
		return 0
	}
	at, up := h.place(y)
	n := float64(h.mass)
	mass, tail := 0.0, 0.0
	b := &h.bin
	mass = (1 - up) * float64(b[at])
	if up > 0 {
		mass += up * float64(b[at+1])
	}
	// The tail is what lies as far out as the value, on its side of the median. The bin
	// just inside counts in part.
	below := float32(0)
	for _, x := range b[:at] {
		below += x
	}
	half := float32(0.5) * h.mass * h.scale
	if below+b[at] < half { // the median lies above
		tail = float64(below + b[at])
		if up > 0 {
			tail += up * float64(b[at+1])
		}
	} else {
		above := float32(0)
		for _, x := range b[at+1:] {
			above += x
		}
		tail = (1-up)*float64(b[at]) + float64(above)
	}
	per := 1 / float64(h.scale)
	least := prior / bins * float64(w)
	m, t := mass*per+least, tail*per+least
	s := ln(n+prior) - 0.7*ln(m) - 0.3*ln(t)

	h.scale *= gain
	h.mass = h.mass/gain + w
	x := w * h.scale
	b[at] += x * float32(1-up)
	if up > 0 {
		b[at+1] += x * float32(up)
	}
	if h.scale > 1e6 {
		for i := range b {
			b[i] *= 1e-6
		}
		h.scale *= 1e-6
	}
	return s
}

// stretch gives the histogram another range; what lies outside goes to its ends.
func (h *histogram) stretch(lo, hi float64) {
	var out [bins]float32
	wide := histogram{lo: lo, hi: hi}
	step := (h.hi - h.lo) / bins
	for i, x := range h.bin {
		if x == 0 {
			continue
		}
		at, up := wide.place(h.lo + (float64(i)+0.5)*step)
		out[at] += x * float32(1-up)
		if up > 0 {
			out[at+1] += x * float32(up)
		}
	}
	h.bin, h.lo, h.hi = out, lo, hi
}

// shrink lets go of a side where hardly anything lies, so that a value far out is
// forgotten, and what is left is told apart again.
func (h *histogram) shrink(size float64) {
	r := h.hi - h.lo
	if h.mass < 50 || r <= narrow*size {
		return
	}
	low, high := float32(0), float32(0)
	for i := range third {
		low += h.bin[i]
		high += h.bin[bins-1-i]
	}
	few := sparse * h.mass * h.scale
	lo, hi := h.lo, h.hi
	if low < few {
		lo += r / 6
	}
	if high < few {
		hi -= r / 6
	}
	if lo != h.lo || hi != h.hi {
		h.stretch(lo, hi)
	}
}

// ln is the natural logarithm of a positive, normal number, to within 1e-7: nine of them are
// a third of what a point costs with [math.Log].
func ln(x float64) float64 {
	b := math.Float64bits(x)
	e := int64(b>>52) - 1023
	m := math.Float64frombits(b&(1<<52-1) | 1023<<52) // 1 to 2
	if m > 4.0/3 {
		m /= 2
		e++
	}
	// ln m is 2 artanh s, the first terms of whose series suffice for |s| up to 1/5.
	s := (m - 1) / (m + 1)
	q := s * s
	return float64(e)*math.Ln2 + 2*s*(1+q*(1.0/3+q*(1.0/5+q*(1.0/7+q/9))))
}
