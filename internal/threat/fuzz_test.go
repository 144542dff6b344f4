package threat

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
)

// FuzzRestore holds that no saved state makes the engine panic or report nonsense.
func FuzzRestore(f *testing.F) {
	d := newDesk(f)
	attack(d, func() {})
	d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
	good, err := d.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"Version":1,"Now":-9,"Open":[{"Actors":["a","a"],"Kinds":{"port_sweep":{"Strength":1},"x":{}},"Dirty":true,"Family":"?"}]}`))
	f.Add([]byte(`{"Version":1,"Open":[{"Actors":["a"],"Kinds":{"threshold":{"Strength":1}},"Family":"metric","Least":"critical","Dirty":true,"Lasting":[{"Key":7,"At":-9},{"Key":7,"At":9223372036854775807}]}]}`))
	f.Add([]byte(`{"Version":1,"Open":[{"Actors":["a"],"Kinds":{},"Published":1,"Report":{"Revision":4294967295}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDesk(t)
		if d.Restore(data) != nil {
			if len(d.open) > 0 || len(d.names) > 0 {
				t.Error("half of a bad state was taken")
			}
			return
		}
		for range 3 {
			d.wait(time.Minute)
			d.Flow(record(d.now, "a", "b", reason(baseline.PortSweep, "a", 1)))
			d.Event(d.now, &event.Anomaly{Reasons: []event.Reason{reason(baseline.NewDevice, "n", 1)}})
			d.Reports()
		}
		d.Flush()
		d.Tick(d.now + int64(time.Hour))
		for _, r := range d.Reports() {
			if !(r.Confidence > 0 && r.Confidence <= 1) {
				t.Errorf("confidence %g", r.Confidence)
			}
		}
		waiting := slices.DeleteFunc(slices.Clone(d.open), func(in *incident) bool { return len(in.Lasting) > 0 })
		if len(waiting) != 0 && d.now < math.MaxInt64-int64(2*time.Hour) && d.Engine.now < d.now+int64(time.Hour)+1 {
			t.Errorf("%d incidents never close", len(waiting))
		}
		if _, err := d.Snapshot(); err != nil {
			t.Errorf("what was restored can't be saved: %v", err)
		}
	})
}

// FuzzEvidence holds that no evidence makes the engine panic or report nonsense.
func FuzzEvidence(f *testing.F) {
	f.Add("port_sweep", "a", 1.0, int64(0), "flood", "a", 0.5, int64(1e9))
	f.Add("new_service", "a", math.NaN(), int64(-1), "volume", "", math.Inf(1), int64(math.MaxInt64))
	f.Add("no such", "a", 1e308, int64(math.MinInt64), "relay", "b", -1.0, int64(5))
	f.Fuzz(func(t *testing.T, k1, d1 string, s1 float64, t1 int64, k2, d2 string, s2 float64, t2 int64) {
		d := newDesk(t)
		a, b := reason(k1, d1, s1), reason(k2, d2, s2)
		for i := range 4 {
			r := record(t1, "a", "b", a, b)
			r.Src.Device, r.Dst.Device = d1, d2
			d.Flow(r)
			d.Event(t2, &event.Anomaly{Reasons: []event.Reason{b, a}})
			d.Observation(&baseline.Observation{Time: t1, Device: d1, Rule: k2, Kind: k1, Phase: baseline.Phase([]string{k1, "rise", "fall", "settled"}[i]),
				Severity: d2, Anomaly: event.Anomaly{Reasons: []event.Reason{a}}})
			d.Observation(&baseline.Observation{Time: t2, Device: d1, Rule: k2, Kind: k1, Phase: baseline.Fall, Severity: "critical"})
			d.Tick(t2 + int64(i)*1e9)
			for _, r := range d.Reports() {
				if fault := faultOf(r); fault != "" && r.First > 0 && !strings.Contains(fault, "times") {
					t.Errorf("%s: %+v", fault, r)
				}
			}
		}
		d.Flush()
		if _, err := d.Snapshot(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkFlow(b *testing.B) {
	d := newDesk(b)
	r := record(d.now, "a", "b", reason(baseline.PortSweep, "a", 1))
	b.ReportAllocs()
	for b.Loop() {
		r.End += int64(time.Millisecond)
		d.Flow(r)
	}
}

// BenchmarkReports asks for reports after each batch while many incidents are open.
func BenchmarkReports(b *testing.B) {
	d := newDesk(b)
	for i := range 1000 {
		id := string(rune('a'+i%26)) + time.Duration(i).String()
		d.Flow(record(d.now, "a", "b", reason(baseline.PortSweep, id, 1)))
	}
	d.Reports()
	b.ReportAllocs()
	for b.Loop() {
		d.now += int64(time.Millisecond)
		d.Tick(d.now)
		d.Reports()
		d.Engine.now = epoch
	}
}
