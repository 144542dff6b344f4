// Package nab scores detectors of anomalies in series the way of the Numenta
// Anomaly Benchmark: A. Lavin and S. Ahmad, "Evaluating Real-time Anomaly
// Detection Algorithms – the Numenta Anomaly Benchmark", ICMLA 2015. It was
// written from that description, and is checked against the arithmetic that the
// paper states. It promises the benchmark's own figures for scores in any range;
// it gives up true negatives, which the benchmark gives no weight either.
package nab

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Profile is what a kind of user pays: a hit, a false alarm and a miss.
type Profile struct {
	Name       string
	TP, FP, FN float64
}

// Profiles are the benchmark's three.
var Profiles = []Profile{
	{"standard", 1, 0.11, 1},
	{"reward low FP", 1, 0.22, 1},
	{"reward low FN", 1, 0.11, 2},
}

// Series is one file of the benchmark.
type Series struct {
	Name    string
	Times   []int64 // Unix seconds; the benchmark has no zone, so UTC
	Values  []float64
	Windows []Window // in order of time, not overlapping
}

// Window is a stretch in which a detection is a hit, by the indexes of its first
// and its last point.
type Window struct{ First, Last int }

// sigmoid is the scaled one of the paper: +1 long before 0, -1 long after.
func sigmoid(y float64) float64 {
	if y > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*y)) - 1
}

// Probation is how many points at the start are for learning: 15 % of the series,
// 750 at most. Detections there count nothing.
func Probation(points int) int {
	return int(min(0.15*float64(points), 0.15*5000))
}

// Weigh gives what a detection at point i is worth, before the weights of a
// profile: with the window that it hits, or -1 for none, when it is a false alarm.
// The earliest hit of a window is worth 1.
func (s *Series) Weigh(i int) (worth float64, window int) {
	before := -1
	for w := range s.Windows {
		switch x := s.Windows[w]; {
		case i >= x.First && i <= x.Last:
			width := float64(x.Last - x.First + 1)
			return sigmoid(-float64(x.Last-i+1)/width) / sigmoid(-1), w
		case i > x.Last:
			before = w
		}
	}
	if before < 0 {
		return -1, -1
	}
	x := s.Windows[before]
	return sigmoid(float64(i-x.Last) / float64(max(x.Last-x.First, 1))), -1
}

// Result is what a threshold gives.
type Result struct {
	Threshold float64
	Score     float64 // 0 for a detector that never speaks, 100 for a perfect one
	Found     int     // windows
	Windows   int
	False     int // detections outside of windows
}

// step is one point of the sweep: from this threshold down, it is detected.
type step struct {
	score  float64
	worth  float64
	series int
	window int
}

// steps lists what all scored points are worth, highest score first.
func steps(series []Series, scores [][]float64) (all []step) {
	for n := range series {
		s := &series[n]
		for i := Probation(len(s.Values)); i < len(s.Values); i++ {
			if scores[n][i] <= 0 {
				continue // never detected, whatever the threshold
			}
			worth, window := s.Weigh(i)
			all = append(all, step{scores[n][i], worth, n, window})
		}
	}
	slices.SortStableFunc(all, func(a, b step) int { return cmp.Compare(b.score, a.score) })
	return all
}

// Sweep finds the threshold that is best for a profile over all series together,
// as the benchmark does. A point is detected when its score is at least that; one
// with a score of 0 or less never is.
func Sweep(series []Series, scores [][]float64, p Profile) Result {
	best, _ := sweep(series, scores, p, math.NaN())
	return best
}

// At gives what one threshold is worth.
func At(series []Series, scores [][]float64, p Profile, threshold float64) Result {
	_, at := sweep(series, scores, p, threshold)
	return at
}

func sweep(series []Series, scores [][]float64, p Profile, threshold float64) (best, at Result) {
	windows := 0
	for i := range series {
		windows += len(series[i].Windows)
	}
	// A score of the whole is 100 (sum - null) / (perfect - null).
	null, perfect := -p.FN*float64(windows), p.TP*float64(windows)
	norm := func(sum float64) float64 {
		if perfect == null {
			return 0
		}
		return 100 * (sum - null) / (perfect - null)
	}
	hit := map[[2]int]float64{}
	sum, now := null, Result{Threshold: math.Inf(1), Windows: windows}
	best, at = now, now
	at.Threshold = threshold
	all := steps(series, scores)
	for i := 0; i < len(all); {
		for level := all[i].score; i < len(all) && all[i].score == level; i++ {
			x := all[i]
			if x.window < 0 {
				sum += p.FP * x.worth
				now.False++
				continue
			}
			k := [2]int{x.series, x.window}
			was, found := hit[k]
			if !found {
				was = -p.FN
				now.Found++
			}
			if worth := p.TP * x.worth; !found || worth > was {
				sum += worth - was
				hit[k] = worth
			}
			now.Threshold = level
		}
		now.Threshold = all[i-1].score
		now.Score = norm(sum)
		if now.Score > best.Score {
			best = now
		}
		if now.Threshold >= threshold {
			at = now
			at.Threshold = threshold
		}
	}
	return best, at
}

// Read reads the corpus in dir: data/*/*.csv, and labels/combined_windows.json.
func Read(dir string) ([]Series, error) {
	data, err := os.ReadFile(filepath.Join(dir, "labels", "combined_windows.json"))
	if err != nil {
		return nil, err
	}
	var windows map[string][][2]string
	if err := json.Unmarshal(data, &windows); err != nil {
		return nil, fmt.Errorf("reading the windows: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "data", "*", "*.csv"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var all []Series
	for _, path := range paths {
		name, err := filepath.Rel(filepath.Join(dir, "data"), path)
		if err != nil {
			return nil, err
		}
		s, err := readSeries(path, windows[filepath.ToSlash(name)])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.Name = filepath.ToSlash(name)
		all = append(all, s)
	}
	return all, nil
}

func readSeries(path string, windows [][2]string) (s Series, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) == 0 {
		return s, fmt.Errorf("%d rows: %w", len(rows), err)
	}
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[0])
		if err != nil {
			return s, err
		}
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return s, err
		}
		s.Times, s.Values = append(s.Times, at.Unix()), append(s.Values, v)
	}
	for _, w := range windows {
		first, err := time.Parse("2006-01-02 15:04:05.999999", w[0])
		if err != nil {
			return s, err
		}
		last, err := time.Parse("2006-01-02 15:04:05.999999", w[1])
		if err != nil {
			return s, err
		}
		x := Window{-1, -1}
		for i, t := range s.Times {
			if t == first.Unix() && x.First < 0 {
				x.First = i
			}
			if t == last.Unix() {
				x.Last = i
			}
		}
		if x.First < 0 || x.Last < x.First {
			return s, fmt.Errorf("the window from %s to %s is not in the series", w[0], w[1])
		}
		s.Windows = append(s.Windows, x)
	}
	return s, nil
}
