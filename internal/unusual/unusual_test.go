package unusual

import (
	"strings"
	"testing"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/series"
)

const at = 1767571200e9 + 600e9 // Monday, 5 January 2026, 00:10 UTC

func verdict(k series.Kind, p series.Phase) series.Verdict {
	return series.Verdict{Kind: k, Phase: p, Since: at - 600e9, Value: 2.5e6, Expected: 1e6, Low: 5e5, High: 1.5e6, Change: 1.5e6, Sigmas: 6.25, Until: at + 3000e9, Known: true, Elapsed: 60e9}
}

func TestWords(t *testing.T) {
	s := Subject{Key: series.Key{1, 2}, Metric: "device.traffic", Unit: "By/s", Device: "plc", Entity: []string{"direction=out"}}
	const bounds = ": expected from 500 kB/s to 1.5 MB/s, until 01:00 UTC"
	for _, c := range []struct {
		kind series.Kind
		want string
		no   string // kind of evidence
		sure float64
	}{
		{series.Spike, "device.traffic (direction=out) is 2.5 MB/s, 1.5 MB/s (6.3 usual deviations) above what is usual" + bounds, baseline.Metric, 0.6},
		{series.LevelShift, "device.traffic (direction=out) has moved up by 1.5 MB/s (6.3 usual deviations), to 2.5 MB/s" + bounds, baseline.Metric, 0.9},
		{series.Variance, "device.traffic (direction=out) scatters 6.3 times as much as usual, and is 2.5 MB/s" + bounds, baseline.Metric, 0.9},
		{series.Stuck, "device.traffic (direction=out) is 2.5 MB/s again and again" + bounds, baseline.StuckMetric, 0.9},
		{series.MissingSeason, "the rise or fall of device.traffic (direction=out) that this time brings does not come: it is 2.5 MB/s, expected from 500 kB/s to 1.5 MB/s, until 01:00 UTC", baseline.Metric, 0.9},
		{series.Drift, "device.traffic (direction=out) drifts up, by 1.5 MB/s (6.3 usual deviations) over days, and is 2.5 MB/s" + bounds, baseline.Metric, 0.9},
	} {
		v := verdict(c.kind, series.Began)
		o := Observe(&s, at, &v)
		if o.Summary != c.want {
			t.Errorf("%v:\n%s\nwant\n%s", c.kind, o.Summary, c.want)
		}
		if o.Phase != baseline.Rise || o.Kind != c.kind.String() || o.Duration != 600 || o.ID == "" || o.Anomaly.Score < 0.6 || o.Anomaly.Score > 0.8 {
			t.Errorf("%v: %+v", c.kind, o)
		}
		r := o.Anomaly.Reasons[0]
		if r.Kind != c.no || r.Strength != c.sure || r.Device != "plc" || r.Seen != o.Summary || !strings.HasPrefix(r.Expected, "device.traffic (direction=out)") {
			t.Errorf("%v: %+v", c.kind, r)
		}
		v.Phase = series.Ended
		if o := Observe(&s, at, &v); o.Phase != baseline.Fall || o.Anomaly.Score != 0 || o.Summary != "device.traffic (direction=out) is as usual again, after 10 min: 2.5 MB/s" {
			t.Errorf("%v: %+v", c.kind, o)
		}
	}
	if r := Reason(&baseline.Observation{Kind: "above", Device: "plc"}); r.Kind != "" {
		t.Errorf("a threshold's observation is evidence of its own: %+v", r)
	}
}

// What goes on is told about every four minutes, at any rate of points.
func TestSays(t *testing.T) {
	for _, gap := range []int64{1e9, 60e9, 300e9} {
		n := 0
		for t := int64(at); t < at+3600e9; t += gap {
			v := verdict(series.Stuck, series.Holds)
			v.Elapsed = gap
			if Says(&v, t) {
				n++
			}
		}
		want := 15
		if gap == 300e9 {
			want = 12
		}
		if n < want-1 || n > want {
			t.Errorf("a point in %d s: told %d times in an hour, want %d", gap/1e9, n, want)
		}
	}
	for p, want := range map[series.Phase]bool{series.Quiet: false, series.Began: true, series.Turned: true, series.Ended: true} {
		if v := verdict(series.Spike, p); Says(&v, at) != want {
			t.Errorf("phase %d: %v", p, !want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		x    float64
		unit string
		want string
	}{
		{0.123456, "1", "0.1235"}, {97.25, "%", "97.25 %"}, {1234567, "", "1234567"}, {12345678, "", "1.235e+07"}, {999, "By", "999 B"}, {1e12, "By", "1 TB"},
		{-2500, "By/s", "-2.5 kB/s"}, {12, "{packet}/s", "12 packet/s"}, {0, "Cel", "0 Cel"},
	} {
		if got := number(c.x, c.unit); got != c.want {
			t.Errorf("%v %s is %q, want %q", c.x, c.unit, got, c.want)
		}
	}
}
