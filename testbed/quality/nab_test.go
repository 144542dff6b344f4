package quality

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/monban/monban/internal/series"
	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/quality/nab"
)

// judgeAll gives each point of each series its score, in one configuration, from its past alone.
func judgeAll(all []nab.Series) [][]float64 {
	scores := make([][]float64, len(all))
	for n, x := range all {
		var s series.Series
		var utc series.Clock
		scores[n] = make([]float64, len(x.Values))
		for i, v := range x.Values {
			verdict, _ := s.Observe(&utc, x.Times[i]*1e9, v)
			scores[n][i] = verdict.Score
		}
	}
	return scores
}

func mapSeries(all []nab.Series, f func(nab.Series) nab.Series) []nab.Series {
	out := make([]nab.Series, len(all))
	for i := range all {
		out[i] = f(all[i])
	}
	return out
}

// negated turns a series upside down.
func negated(s nab.Series) nab.Series {
	v := make([]float64, len(s.Values))
	for i, x := range s.Values {
		v[i] = -x
	}
	s.Values = v
	return s
}

// every keeps one point in n, from the point first on.
func every(n, first int) func(nab.Series) nab.Series {
	return func(s nab.Series) nab.Series {
		o := nab.Series{Name: s.Name}
		for i := first; i < len(s.Values); i += n {
			o.Times, o.Values = append(o.Times, s.Times[i]), append(o.Values, s.Values[i])
		}
		for _, w := range s.Windows {
			begin := max(0, (w.First-first+n-1)/n)
			o.Windows = append(o.Windows, nab.Window{First: begin, Last: max(begin, min((w.Last-first)/n, len(o.Values)-1))})
		}
		return o
	}
}

// later leaves out the first part of a series.
func later(share float64) func(nab.Series) nab.Series {
	return func(s nab.Series) nab.Series {
		k := int(share * float64(len(s.Values)))
		o := nab.Series{Name: s.Name, Times: s.Times[k:], Values: s.Values[k:]}
		for _, w := range s.Windows {
			if w.First >= k {
				o.Windows = append(o.Windows, nab.Window{First: w.First - k, Last: w.Last - k})
			}
		}
		return o
	}
}

func threeOf(all []nab.Series, scores [][]float64) (r [3]nab.Result) {
	for i, p := range nab.Profiles {
		r[i] = nab.Sweep(all, scores, p)
	}
	return r
}

func scoresOf(r [3]nab.Result) []string {
	var out []string
	for _, x := range r {
		out = append(out, fmt.Sprintf("%.1f", x.Score))
	}
	return out
}

// The part of the Numenta Anomaly Benchmark that is at hand.
func TestNAB(t *testing.T) {
	all, err := nab.Read(testbed.Data(t, "nab"))
	if err != nil {
		t.Fatal(err)
	}
	scores := judgeAll(all)
	whole := threeOf(all, scores)

	y := newTable("24 series", "Standard", "Reward low FP", "Reward low FN")
	row := func(name string, r [3]nab.Result) { y.row(append([]string{name}, scoresOf(r)...)...) }
	row("as they are", whole)
	thresholds, found, wrong := []string{"threshold"}, []string{"windows found, of 39"}, []string{"points marked outside of windows"}
	for _, r := range whole {
		thresholds = append(thresholds, fmt.Sprintf("%.2f", r.Threshold))
		found, wrong = append(found, num(r.Found)), append(wrong, num(r.False))
	}
	y.row(thresholds...)
	y.row(found...)
	y.row(wrong...)

	// Thresholds chosen on four fifths of the series, and used on the fifth.
	const folds = 5
	cells := []string{"thresholds from the other four fifths: mean, and lowest to highest fifth"}
	for _, p := range nab.Profiles {
		var each []float64
		for f := range folds {
			var train, test []nab.Series
			var trainScores, testScores [][]float64
			for i := range all {
				if i%folds == f {
					test, testScores = append(test, all[i]), append(testScores, scores[i])
				} else {
					train, trainScores = append(train, all[i]), append(trainScores, scores[i])
				}
			}
			each = append(each, nab.At(test, testScores, p, nab.Sweep(train, trainScores, p).Threshold).Score)
		}
		mean := 0.0
		for _, x := range each {
			mean += x / folds
		}
		cells = append(cells, fmt.Sprintf("%.1f (%.1f to %.1f)", mean, slices.Min(each), slices.Max(each)))
		if mean < 60 {
			t.Errorf("%s: %.1f on held out fifths, want at least 60", p.Name, mean)
		}
	}
	y.row(cells...)

	for _, c := range []struct {
		name  string
		f     func(nab.Series) nab.Series
		least [3]float64
	}{
		{"upside down", negated, [3]float64{79, 73, 84}},
		{"half the points, even", every(2, 0), [3]float64{63, 55, 69}},
		{"half the points, odd", every(2, 1), [3]float64{78, 71, 83}},
		{"begun 3 % later", later(0.03), [3]float64{77, 71, 82}},
		{"begun 6 % later", later(0.06), [3]float64{72, 67, 77}},
		{"begun 9 % later", later(0.09), [3]float64{67, 62, 71}},
	} {
		changed := mapSeries(all, c.f)
		r := threeOf(changed, judgeAll(changed))
		row(c.name, r)
		for i := range r {
			if r[i].Score < c.least[i] {
				t.Errorf("%s, %s: %.1f, want at least %.1f", c.name, nab.Profiles[i].Name, r[i].Score, c.least[i])
			}
		}
	}
	for i, least := range [3]float64{79.5, 74, 84.5} {
		if whole[i].Score < least {
			t.Errorf("%s: %.1f, want at least %.1f", nab.Profiles[i].Name, whole[i].Score, least)
		}
	}
	y.hold(t, "nab")
}

// The detector knows nothing of what comes: cut short anywhere, a series gets the same scores.
func TestNABIsCausal(t *testing.T) {
	all, err := nab.Read(testbed.Data(t, "nab"))
	if err != nil {
		t.Fatal(err)
	}
	whole := judgeAll(all)
	cut := judgeAll(mapSeries(all, func(s nab.Series) nab.Series {
		s.Values = s.Values[:len(s.Values)/3]
		return s
	}))
	for n := range cut {
		for i := range cut[n] {
			if math.Float64bits(cut[n][i]) != math.Float64bits(whole[n][i]) {
				t.Fatalf("%s: point %d depends on what comes after it", all[n].Name, i)
			}
		}
	}
}
