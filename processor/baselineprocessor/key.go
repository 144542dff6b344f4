package baselineprocessor

import (
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/monban/monban/internal/series"
	"github.com/monban/monban/internal/unusual"
)

// sum of the hashes of attributes, whose order is nobody's promise.
type sum [2]uint64

func (s *sum) add(a, b uint64) {
	s[0] += scramble(a ^ bits.RotateLeft64(b, 23))
	s[1] += scramble(a*0x9e3779b97f4a7c15 + b*0xc2b2ae3d27d4eb4f)
}

// scramble spreads every bit over all, as the last step of MurmurHash3 does.
func scramble(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func (s *sum) attributes(m pcommon.Map) {
	for k, v := range m.All() {
		if !unusual.IsMark(k) {
			s.add(xxhash.Sum64String(k), hashValue(v))
		}
	}
}

func hashValue(v pcommon.Value) uint64 {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return xxhash.Sum64String(v.Str())
	case pcommon.ValueTypeInt:
		return scramble(uint64(v.Int()) + 1)
	case pcommon.ValueTypeDouble:
		return scramble(math.Float64bits(v.Double()) + 2)
	case pcommon.ValueTypeBool:
		if v.Bool() {
			return 3
		}
		return 4
	case pcommon.ValueTypeEmpty:
		return 5
	}
	return xxhash.Sum64String(v.AsString())
}

// key is that of a series of a metric, and part which of those that a point has.
func (s sum) key(metric, part uint64) series.Key {
	s.add(metric, part+6)
	return series.Key{scramble(s[0]), scramble(s[1])}
}
