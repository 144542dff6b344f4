package threshold

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTake(t *testing.T) {
	explicit := &Distribution{Count: 100, Sum: 250, HasSum: true, Min: 0.5, HasMin: true, Max: 9, HasMax: true,
		Bounds: []float64{1, 2, 5}, Counts: []uint64{10, 40, 40, 10}}
	exponential := &Distribution{Count: 8, Sum: 30, HasSum: true, Exponential: true, Zero: 2, Positive: Buckets{0, []uint64{2, 2}}, Negative: Buckets{1, []uint64{2}}}
	for _, c := range []struct {
		value string
		of    *Distribution
		want  float64
		ok    bool
	}{
		{"count", explicit, 100, true},
		{"sum", explicit, 250, true},
		{"mean", explicit, 2.5, true},
		{"min", explicit, 0.5, true},
		{"max", explicit, 9, true},
		{"p50", explicit, 2, true},
		{"p5", explicit, 0.75, true}, // half way between the least value and the first bound
		{"p70", explicit, 3.5, true},
		{"p95", explicit, 7, true}, // half way between the last bound and the greatest value
		{"p99", &Distribution{Count: 1, Bounds: []float64{1}, Counts: []uint64{0, 1}}, 1, true},
		{"p50", &Distribution{Count: 3, Bounds: []float64{1}, Counts: []uint64{3}}, 0, false}, // malformed
		{"p50", &Distribution{}, 0, false},
		{"mean", &Distribution{HasSum: true}, 0, false},
		{"sum", &Distribution{Count: 1}, 0, false},
		{"max", &Distribution{Count: 1}, 0, false},
		{"p12.5", exponential, -math.Sqrt(8), true}, // the middle of 2 to 4, below zero, on a logarithmic scale
		{"p37.5", exponential, 0, true},
		{"p62.5", exponential, math.Sqrt2, true},
		{"p87.5", exponential, math.Sqrt(8), true},
		{"p50", &Distribution{Exponential: true}, 0, false},
		{"p50", &Distribution{Quantiles: []float64{0.5, 0.99}, Values: []float64{3, 7}}, 3, true},
		{"p99", &Distribution{Quantiles: []float64{0.5, 0.99}, Values: []float64{3, 7}}, 7, true},
		{"p90", &Distribution{Quantiles: []float64{0.5, 0.99}, Values: []float64{3, 7}}, 0, false},
	} {
		k, err := parseTake(c.value)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := k.of(c.of)
		if ok != c.ok || ok && math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s of %+v is %v, %v; want %v, %v", c.value, *c.of, got, ok, c.want, c.ok)
		}
	}
}

// exponentialOf is the exponential histogram of values above zero.
func exponentialOf(scale int32, values []float64) *Distribution {
	d := &Distribution{Exponential: true, Scale: scale, HasSum: true}
	lo, hi := int32(math.MaxInt32), int32(math.MinInt32)
	at := func(v float64) int32 { return int32(math.Ceil(math.Log2(v)*math.Ldexp(1, int(scale)))) - 1 }
	for _, v := range values {
		lo, hi = min(lo, at(v)), max(hi, at(v))
	}
	if len(values) > 0 {
		d.Positive = Buckets{lo, make([]uint64, hi-lo+1)}
	}
	for _, v := range values {
		d.Positive.Counts[at(v)-lo]++
		d.Count++
		d.Sum += v
	}
	return d
}

// What came between two states of a cumulative exponential histogram is the histogram of what
// came between, whatever the scales.
func TestSinceOfExponentials(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n, m := rng.IntN(40), 1+rng.IntN(40)
		values := make([]float64, n+m)
		for i := range values {
			values[i] = math.Exp(rng.NormFloat64())
		}
		first := int32(rng.IntN(6))
		second := first - int32(rng.IntN(3))
		var d Distribution
		if !d.since(exponentialOf(first, values[:n]), exponentialOf(second, values)) {
			t.Fatal("does not continue")
		}
		want := exponentialOf(second, values[n:])
		if d.Count != want.Count || math.Abs(d.Sum-want.Sum) > 1e-9 {
			t.Fatalf("%d of %v, want %d of %v", d.Count, d.Sum, want.Count, want.Sum)
		}
		for _, q := range []float64{0.1, 0.5, 0.99} {
			a, _ := d.quantile(q)
			b, _ := want.quantile(q)
			if math.Abs(a-b) > 1e-9 {
				t.Fatalf("quantile %v is %v, want %v", q, a, b)
			}
		}
	}
}

func TestSinceOfWhatDoesNotContinue(t *testing.T) {
	was := Distribution{Count: 5, HasSum: true, Bounds: []float64{1}, Counts: []uint64{2, 3}}
	for name, is := range map[string]Distribution{
		"fewer":          {Count: 4, HasSum: true, Bounds: []float64{1}, Counts: []uint64{2, 2}},
		"other bounds":   {Count: 9, HasSum: true, Bounds: []float64{2}, Counts: []uint64{5, 4}},
		"other buckets":  {Count: 9, HasSum: true, Bounds: []float64{1, 2}, Counts: []uint64{5, 4, 0}},
		"a bucket less":  {Count: 9, HasSum: true, Bounds: []float64{1}, Counts: []uint64{8, 1}},
		"another kind":   {Count: 9, HasSum: true, Exponential: true},
		"without a sum":  {Count: 9, Bounds: []float64{1}, Counts: []uint64{5, 4}},
		"malformed size": {Count: 9, HasSum: true, Bounds: []float64{1}, Counts: []uint64{9}},
	} {
		if new(Distribution).since(&was, &is) {
			t.Errorf("%s: is taken for more of the same", name)
		}
	}
	var d Distribution
	is := Distribution{Count: 9, Sum: 7, HasSum: true, HasMax: true, Max: 3, Bounds: []float64{1}, Counts: []uint64{5, 4}}
	if !d.since(&was, &is) || d.Count != 4 || !slices.Equal(d.Counts, []uint64{3, 1}) || d.HasMax {
		t.Errorf("%+v", d)
	}
}
