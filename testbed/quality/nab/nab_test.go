package nab

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s is %.4f, want %.4f", what, got, want)
	}
}

// flat is a series of n points with windows.
func flat(n int, w ...Window) Series {
	return Series{Name: "flat", Times: make([]int64, n), Values: make([]float64, n), Windows: w}
}

// spoken are scores with a 1 at these points.
func spoken(n int, at ...int) []float64 {
	s := make([]float64, n)
	for _, i := range at {
		s[i] = 1
	}
	return s
}

// The example of figure 2 of the paper: a false alarm before the window, a hit worth 0.9999, a false
// alarm shortly behind the window worth -0.8093 and one far behind: 0.6909 with the standard profile.
func TestTheExampleOfThePaper(t *testing.T) {
	const first, last = 5000, 7000
	s := flat(20000, Window{first, last})
	points := []int{1000, first + 3, first + 1500, last + 900, 19000} // 900 is 0.45 of a window
	for i, want := range []float64{-1, 0.9999, math.NaN(), -0.8093, -1} {
		worth, window := s.Weigh(points[i])
		if hit := window == 0; hit != (i == 1 || i == 2) {
			t.Errorf("point %d: window %d", points[i], window)
		}
		if i != 2 {
			near(t, "worth", worth, want, 1e-4)
		}
	}
	r := At([]Series{s}, [][]float64{spoken(20000, points...)}, Profiles[0], 1)
	// A miss would be -1 and a perfect detector +1, so that 0 to 100 stand for these.
	near(t, "score", r.Score/100*2-1, 0.6909, 2e-4)
	if r.Found != 1 || r.False != 3 {
		t.Errorf("%+v", r)
	}
}

func TestEnds(t *testing.T) {
	series := []Series{flat(1000, Window{300, 399}, Window{700, 799}), flat(1000)}
	for _, p := range Profiles {
		for _, c := range []struct {
			name   string
			scores [][]float64
			want   float64
			false_ int
		}{
			{"a perfect detector", [][]float64{spoken(1000, 300, 700), spoken(1000)}, 100, 0},
			{"a silent detector", [][]float64{spoken(1000), spoken(1000)}, 0, 0},
			{"one window of two", [][]float64{spoken(1000, 300), spoken(1000)}, 50, 0},
			{"only the earliest counts", [][]float64{spoken(1000, 300, 301, 350, 700, 799), spoken(1000)}, 100, 0},
			{"probation counts nothing", [][]float64{spoken(1000, 0, 100, 149, 300, 700), spoken(1000, 149)}, 100, 0},
			// Two windows: 4·TP is 100 from null to perfect for FN 1, 6·… for FN 2.
			{"a false alarm in a quiet series", [][]float64{spoken(1000, 300, 700), spoken(1000, 150)}, 100 - 100*p.FP/(2*(p.TP+p.FN)), 1},
		} {
			t.Run(p.Name+"/"+c.name, func(t *testing.T) {
				r := At(series, c.scores, p, 1)
				near(t, "score", r.Score, c.want, 1e-9)
				if r.False != c.false_ {
					t.Errorf("%d false alarms, want %d", r.False, c.false_)
				}
			})
		}
	}
}

// By hand: at the last point of a window of ten the position is -1/10, so the hit is worth
// (2/(1+e^-0.5)-1)/(2/(1+e^-5)-1) = 0.244919/0.986614.
func TestLateHit(t *testing.T) {
	s := flat(1000, Window{500, 509})
	worth, _ := s.Weigh(509)
	near(t, "worth", worth, 0.244919/0.986614, 1e-6)
	// The point behind it: 1/9 of a window late, 2/(1+e^(5/9))-1.
	worth, window := s.Weigh(510)
	near(t, "worth", worth, -0.270847, 1e-6)
	if window != -1 {
		t.Error("it is in no window")
	}
	// More than three windows behind it is worth no less than -1.
	worth, _ = s.Weigh(509 + 28)
	near(t, "worth", worth, -1, 0)
}

func TestSweep(t *testing.T) {
	s := flat(1000, Window{300, 399}, Window{700, 799})
	scores := spoken(1000)
	scores[300], scores[700], scores[200], scores[201] = 0.9, 0.5, 0.7, 0.4
	best := Sweep([]Series{s}, [][]float64{scores}, Profiles[0])
	// From 0.5 on both windows are found, for one false alarm.
	if best.Threshold != 0.5 || best.Found != 2 || best.False != 1 {
		t.Errorf("%+v", best)
	}
	near(t, "score", best.Score, 100-100*0.11/4, 1e-9)
	for _, c := range []struct {
		threshold float64
		found     int
		false_    int
	}{{2, 0, 0}, {0.9, 1, 0}, {0.6, 1, 1}, {0.4, 2, 2}, {0, 2, 2}} {
		if r := At([]Series{s}, [][]float64{scores}, Profiles[0], c.threshold); r.Found != c.found || r.False != c.false_ {
			t.Errorf("at %v: %+v", c.threshold, r)
		}
	}
	// Silence is better than false alarms alone.
	if r := Sweep([]Series{flat(1000)}, [][]float64{spoken(1000, 500)}, Profiles[0]); r.Score != 0 || !math.IsInf(r.Threshold, 1) {
		t.Errorf("%+v", r)
	}
}

func TestProbation(t *testing.T) {
	for points, want := range map[int]int{0: 0, 100: 15, 4032: 604, 5000: 750, 22695: 750} {
		if got := Probation(points); got != want {
			t.Errorf("%d of %d points, want %d", got, points, want)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const rows = "timestamp,value\n2014-04-01 00:00:00,1.5\n2014-04-01 00:05:00,2\n2014-04-01 00:10:00,-3e2\n"
	write("data/a/one.csv", rows)
	write("data/b/two.csv", rows)
	write("labels/combined_windows.json", `{"a/one.csv": [["2014-04-01 00:05:00.000000", "2014-04-01 00:10:00.000000"]]}`)
	all, err := Read(dir)
	if err != nil || len(all) != 2 || all[0].Name != "a/one.csv" || len(all[1].Windows) != 0 {
		t.Fatalf("%+v %v", all, err)
	}
	if s := all[0]; s.Values[2] != -300 || s.Times[1]-s.Times[0] != 300 || s.Windows[0] != (Window{1, 2}) {
		t.Errorf("%+v", s)
	}
	for name, text := range map[string]string{
		"no rows":          "",
		"a bad time":       "timestamp,value\nyesterday,1\n",
		"a bad value":      "timestamp,value\n2014-04-01 00:00:00,much\n",
		"a window outside": "timestamp,value\n2014-04-01 00:00:00,1\n",
	} {
		write("data/a/one.csv", text)
		if _, err := Read(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
