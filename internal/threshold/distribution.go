package threshold

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Distribution is a histogram of either kind, or a summary's count, sum and quantiles.
type Distribution struct {
	Count    uint64
	Sum      float64
	Min, Max float64
	HasSum   bool
	HasMin   bool
	HasMax   bool

	// Of a histogram with explicit bounds: one count more than there are bounds.
	Bounds []float64
	Counts []uint64

	// Of an exponential histogram.
	Exponential bool
	Scale       int32
	Zero        uint64
	Positive    Buckets
	Negative    Buckets

	// Of a summary: its quantiles, rising, with their values.
	Quantiles, Values []float64
}

// Buckets are those of one side of an exponential histogram: Counts[i] lie between the powers
// Offset+i and Offset+i+1 of the base.
type Buckets struct {
	Offset int32
	Counts []uint64
}

// maxBuckets bounds what is held of one histogram.
const maxBuckets = 2048

func (d *Distribution) buckets() int {
	return len(d.Counts) + len(d.Positive.Counts) + len(d.Negative.Counts)
}

type takeKind uint8

const (
	takeValue takeKind = iota
	takeCount
	takeSum
	takeMean
	takeMin
	takeMax
	takeQuantile
)

// take is what of a histogram is judged.
type take struct {
	kind takeKind
	q    float64
}

// parseTake reads the option value: p99 and p99.9 are quantiles.
func parseTake(s string) (take, error) {
	switch s {
	case "":
		return take{}, nil
	case "count":
		return take{kind: takeCount}, nil
	case "sum":
		return take{kind: takeSum}, nil
	case "mean":
		return take{kind: takeMean}, nil
	case "min":
		return take{kind: takeMin}, nil
	case "max":
		return take{kind: takeMax}, nil
	}
	if p, ok := strings.CutPrefix(s, "p"); ok {
		if percent, err := strconv.ParseFloat(p, 64); err == nil && percent > 0 && percent < 100 {
			return take{takeQuantile, percent / 100}, nil
		}
	}
	return take{}, fmt.Errorf("value is %q, it must be count, sum, mean, min, max or a quantile from p0.1 to p99.9", s)
}

// of takes the value from a distribution; false when it does not have it.
func (k take) of(d *Distribution) (float64, bool) {
	switch k.kind {
	case takeCount:
		return float64(d.Count), true
	case takeSum:
		return d.Sum, d.HasSum
	case takeMean:
		return d.Sum / float64(d.Count), d.HasSum && d.Count > 0
	case takeMin:
		return d.Min, d.HasMin
	case takeMax:
		return d.Max, d.HasMax
	case takeQuantile:
		return d.quantile(k.q)
	}
	return 0, false
}

// quantile is the value below which the share q of all lies. Within a bucket values are taken
// to be spread evenly, in an exponential one on a logarithmic scale.
func (d *Distribution) quantile(q float64) (float64, bool) {
	switch {
	case len(d.Quantiles) > 0:
		i, ok := slices.BinarySearch(d.Quantiles, q)
		if !ok || i >= len(d.Values) {
			return 0, false // what lies between two quantiles of a summary nobody knows
		}
		return d.Values[i], true
	case d.Exponential:
		return d.exponentialQuantile(q)
	case len(d.Counts) == 0 || len(d.Counts) != len(d.Bounds)+1:
		return 0, false
	}
	total := uint64(0)
	for _, n := range d.Counts {
		total += n
	}
	if total == 0 {
		return 0, false
	}
	rank := q * float64(total)
	below := 0.0
	last := len(d.Counts) - 1
	for i, n := range d.Counts {
		if n == 0 || below+float64(n) < rank && i < last {
			below += float64(n)
			continue
		}
		lo, hi := d.edge(i-1), d.edge(i)
		return lo + (hi-lo)*min(1, max(0, rank-below)/float64(n)), true
	}
	return d.edge(last), true
}

// edge is the upper bound of bucket i; of those that have none it is the least or greatest
// value where that is told, else the nearest bound.
func (d *Distribution) edge(i int) float64 {
	n := len(d.Bounds)
	switch {
	case n == 0 && i < 0:
		return d.Min
	case n == 0:
		return d.Max
	case i < 0:
		if d.HasMin && d.Min <= d.Bounds[0] {
			return d.Min
		}
		return min(0, d.Bounds[0])
	case i >= n:
		if d.HasMax && d.Max >= d.Bounds[n-1] {
			return d.Max
		}
		return d.Bounds[n-1]
	}
	return d.Bounds[i]
}

func (d *Distribution) exponentialQuantile(q float64) (float64, bool) {
	total := d.Zero
	for _, side := range [...][]uint64{d.Positive.Counts, d.Negative.Counts} {
		for _, n := range side {
			total += n
		}
	}
	if total == 0 {
		return 0, false
	}
	rank := q * float64(total)
	below := 0.0
	neg := d.Negative.Counts
	x := 0.0
	for i := len(neg) - 1; i >= 0; i-- {
		if n := float64(neg[i]); n > 0 {
			if below+n >= rank {
				return d.within(-d.power(float64(d.Negative.Offset) + float64(i) + 1 - (rank-below)/n)), true
			}
			below += n
			x = -d.power(float64(d.Negative.Offset) + float64(i))
		}
	}
	if d.Zero > 0 {
		if below += float64(d.Zero); below >= rank {
			return d.within(0), true
		}
		x = 0
	}
	for i, n := range d.Positive.Counts {
		if n := float64(n); n > 0 {
			if below+n >= rank {
				return d.within(d.power(float64(d.Positive.Offset) + float64(i) + (rank-below)/n)), true
			}
			below += n
			x = d.power(float64(d.Positive.Offset) + float64(i) + 1)
		}
	}
	return d.within(x), true
}

// within keeps a quantile between the least and the greatest value, where they are told.
func (d *Distribution) within(x float64) float64 {
	if d.HasMin {
		x = max(x, d.Min)
	}
	if d.HasMax {
		x = min(x, d.Max)
	}
	return x
}

// power is the base to the power of i.
func (d *Distribution) power(i float64) float64 { return math.Exp2(math.Ldexp(i, int(-d.Scale))) }

// keep makes d a copy of from, in its own memory.
func (d *Distribution) keep(from *Distribution) {
	old := *d
	*d = *from
	d.Bounds = append(old.Bounds[:0], from.Bounds...)
	d.Counts = append(old.Counts[:0], from.Counts...)
	d.Positive.Counts = append(old.Positive.Counts[:0], from.Positive.Counts...)
	d.Negative.Counts = append(old.Negative.Counts[:0], from.Negative.Counts...)
	d.Quantiles, d.Values = nil, nil
}

// since makes d what came between two states of one cumulative histogram, in its own memory;
// false when the second does not continue the first.
func (d *Distribution) since(was, is *Distribution) bool {
	if is.Count < was.Count || is.Exponential != was.Exponential || is.HasSum != was.HasSum || !slices.Equal(is.Bounds, was.Bounds) || len(is.Counts) != len(was.Counts) || is.Zero < was.Zero {
		return false
	}
	d.keep(is)
	// The least and greatest value of a cumulative histogram are those since its beginning.
	d.HasMin, d.HasMax, d.Min, d.Max = false, false, 0, 0
	d.Count -= was.Count
	d.Sum -= was.Sum
	d.Zero -= was.Zero
	for i, n := range was.Counts {
		if d.Counts[i] < n {
			return false
		}
		d.Counts[i] -= n
	}
	if !is.Exponential {
		return true
	}
	scale := min(is.Scale, was.Scale)
	d.Scale = scale
	return d.Positive.since(&was.Positive, uint(was.Scale-scale), &is.Positive, uint(is.Scale-scale)) &&
		d.Negative.since(&was.Negative, uint(was.Scale-scale), &is.Negative, uint(is.Scale-scale))
}

// since makes b what came between two states, which first are brought to a common scale by
// joining 2 to the power of wasBy and isBy buckets.
func (b *Buckets) since(was *Buckets, wasBy uint, is *Buckets, isBy uint) bool {
	wasBy, isBy = min(wasBy, 31), min(isBy, 31) // a shift by 31 joins all that there can be
	b.Offset = is.Offset >> isBy
	b.Counts = b.Counts[:0]
	for i, n := range is.Counts {
		at := int(int32(int64(is.Offset)+int64(i))>>isBy) - int(b.Offset)
		if at < 0 || at > maxBuckets {
			return false
		}
		for len(b.Counts) <= at {
			b.Counts = append(b.Counts, 0)
		}
		b.Counts[at] += n
	}
	for i, n := range was.Counts {
		if n == 0 {
			continue
		}
		at := int(int32(int64(was.Offset)+int64(i))>>wasBy) - int(b.Offset)
		if at < 0 || at >= len(b.Counts) || b.Counts[at] < n {
			return false
		}
		b.Counts[at] -= n
	}
	return true
}
