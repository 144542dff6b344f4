package quality

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/monban/monban/internal/series"
)

type awkwardSeries struct {
	name  string
	value func(r *rand.Rand, st *[4]float64, at, step int64) float64
}

func high(times float64) func(r *rand.Rand, st *[4]float64, at, step int64) float64 {
	return func(r *rand.Rand, _ *[4]float64, at, _ int64) float64 {
		return 5*times + (curve(at)-30)/20*times + r.NormFloat64()
	}
}

// awkward are benign series that look like few textbooks.
var awkward = []awkwardSeries{
	{"a curve 5 times its noise", high(5)},
	{"a curve 200 times its noise", high(200)},
	{"noise in proportion to the level", func(r *rand.Rand, _ *[4]float64, at, _ int64) float64 {
		return curve(at) * math.Exp(0.2*r.NormFloat64())
	}},
	{"noise with an exponential tail", func(r *rand.Rand, _ *[4]float64, at, _ int64) float64 { return curve(at) + 5*r.ExpFloat64() }},
	{"noise with a lognormal tail", func(r *rand.Rand, _ *[4]float64, at, _ int64) float64 { return curve(at) * math.Exp(r.NormFloat64()) }},
	{"noise with a tail of the third power", func(r *rand.Rand, _ *[4]float64, at, _ int64) float64 {
		return curve(at) + r.NormFloat64()/math.Sqrt((sq(r.NormFloat64())+sq(r.NormFloat64())+sq(r.NormFloat64()))/3)
	}},
	{"counts of few", func(r *rand.Rand, _ *[4]float64, at, _ int64) float64 {
		l, k := math.Exp(-curve(at)/15), 0.0
		for p := r.Float64(); p > l; p *= r.Float64() {
			k++
		}
		return k
	}},
	{"0, 1 or 2, for two hours each", func(r *rand.Rand, st *[4]float64, at, step int64) float64 {
		if r.Float64() < float64(step)/7200 {
			st[0] = float64(r.IntN(3))
		}
		return st[0]
	}},
	{"a job of five minutes each hour", func(r *rand.Rand, _ *[4]float64, at, _ int64) float64 {
		x := 30 + r.NormFloat64()
		if at%3600 < 300 {
			x += 20
		}
		return x
	}},
	{"a job each night, not on time", func(r *rand.Rand, st *[4]float64, at, step int64) float64 {
		if at%day < step {
			st[0] = 2*3600 + 600*r.NormFloat64()
			st[1] = 2400 + 300*r.NormFloat64()
		}
		x := 30 + r.NormFloat64()
		if s := float64(at % day); s > st[0] && s < st[0]+st[1] {
			x += 30
		}
		return x
	}},
	{"noise in waves of twelve hours", func(r *rand.Rand, st *[4]float64, at, step int64) float64 {
		a := math.Exp(-float64(step) / 43200)
		st[0] = a*st[0] + math.Sqrt(1-a*a)*r.NormFloat64()
		return curve(at) + 4*st[0] + 0.5*r.NormFloat64()
	}},
	{"three bursts a day, any time", func(r *rand.Rand, st *[4]float64, at, step int64) float64 {
		if st[0] <= 0 && r.Float64() < float64(step)/86400*3 {
			st[0], st[1] = 300+3600*r.ExpFloat64()*0.3, 10*r.ExpFloat64()
		}
		x := curve(at) + r.NormFloat64()
		if st[0] > 0 {
			st[0] -= float64(step)
			x += st[1]
		}
		return x
	}},
	{"a disk that fills and is emptied", func(r *rand.Rand, st *[4]float64, at, step int64) float64 {
		st[0] += float64(step) / 3600 * (1 + 0.3*r.NormFloat64())
		if st[0] > 80 {
			st[0] = 20
		}
		return math.Round(st[0]*10) / 10
	}},
}

func sq(x float64) float64 { return x * x }

// Benign series that are not made for the method. What it promises for these is less.
func TestSeriesAwkward(t *testing.T) {
	if testing.Short() {
		t.Skip("ten seconds")
	}
	const seeds = 8
	y := newTable("Benign, eight weeks", "1 min: alarms a series and month", "most in a series", "5 min", "most in a series")
	for _, x := range awkward {
		cells := []string{x.name}
		for _, step := range []int64{60, 300} {
			total, most := 0, 0
			for seed := range uint64(seeds) {
				r := rand.New(rand.NewPCG(seed, uint64(step)))
				var s series.Series
				var utc series.Clock
				var st [4]float64
				alarms := 0
				run(&s, &utc, begin, begin+8*week, step, func(sec int64) float64 { return x.value(r, &st, sec-begin, step) }, func(_ int64, v series.Verdict) {
					if v.Phase == series.Began {
						alarms++
					}
				})
				total += alarms
				most = max(most, alarms)
			}
			rate := float64(total) / seeds / 56 * 30
			cells = append(cells, fmt.Sprintf("%.2f", rate), num(most))
			if rate > 2 {
				t.Errorf("%s every %d s: %.2f alarms a series and month, want at most 2", x.name, step, rate)
			}
		}
		y.row(cells...)
	}
	y.hold(t, "series awkward")
}
