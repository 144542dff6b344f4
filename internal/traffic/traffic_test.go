package traffic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/series"
)

const monday = int64(1767571200e9) // 5 January 2026, 00:00 UTC

func config(most int) series.Config {
	return series.Config{MaxSeries: most, Forget: 7 * 24 * time.Hour}
}

func record(at int64, src, dst string, out, in uint64) *flow.Record {
	return &flow.Record{End: monday + at*1e9, Net: packet.NetIPv4, Proto: packet.ProtoTCP, Service: "modbus",
		Src: flow.End{Device: src, Bytes: out}, Dst: flow.End{Device: dst, Bytes: in}}
}

// days plays a plant: a poller that is always alike, and at last an upload.
func days(t *Traffic, from, to int64, upload bool, r *rand.Rand) (found []baseline.Observation, ahead []Forecast) {
	for at := from; at < to; at += 20 {
		out := uint64(20000 + r.IntN(4000))
		if upload && at >= to-3600 {
			out += 2e6
		}
		f, a := t.Flow(record(at, "plc", "scada", out, 3000))
		found, ahead = append(found, f...), append(ahead, a...)
	}
	return found, ahead
}

func TestAnUpload(t *testing.T) {
	x := New(config(100))
	r := rand.New(rand.NewPCG(1, 2))
	const day = 86400
	found, ahead := days(x, 0, 9*day, false, r)
	if len(found) != 0 {
		t.Fatalf("nine days that are all alike: %s", found[0].Summary)
	}
	if x.series.Len() != 5 {
		t.Errorf("%d series, want two for each device and one for the application", x.series.Len())
	}
	last := ahead[len(ahead)-5:]
	if f := last[1]; f.Device != "plc" || f.Direction != In || f.Expected != 150 || f.Until != f.Time+3600e9 || f.Low > 150 || f.High < 150 {
		t.Errorf("%+v", f)
	}
	if f := last[0]; f.Application != "modbus" || f.Device != "" {
		t.Errorf("%+v", f)
	}
	if f := last[2]; f.Device != "plc" || f.Direction != Out || f.Low < 800 || f.Low > f.Expected || f.High > 1400 || f.High < f.Expected {
		t.Errorf("%+v", f)
	}
	found, _ = days(x, 9*day, 9*day+7200, true, r)
	seen := map[string]bool{}
	for _, o := range found {
		seen[o.Device+" "+o.Metric+" "+fmt.Sprint(o.Entity)] = true
		if o.Phase == baseline.Rise && (o.Anomaly.Score == 0 || o.Anomaly.Reasons[0].Device != o.Device) {
			t.Errorf("%+v", o)
		}
	}
	for _, want := range []string{"plc device.traffic [direction=transmit]", "scada device.traffic [direction=receive]", "the site application.traffic [network.protocol.name=modbus]"} {
		if !seen[want] {
			t.Errorf("the upload is not seen as %s", want)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}

// The same order in every run, and the same after a restart.
func TestRestart(t *testing.T) {
	a, b := New(config(100)), New(config(100))
	ra, rb := rand.New(rand.NewPCG(3, 4)), rand.New(rand.NewPCG(3, 4))
	const day = 86400
	days(a, 0, 9*day, false, ra)
	days(b, 0, 9*day, false, rb)
	state, err := b.Series().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	c := New(config(100))
	if err := c.Series().Restore(state); err != nil {
		t.Fatal(err)
	}
	fa, aa := days(a, 9*day, 10*day, true, ra)
	fc, ac := days(c, 9*day, 10*day, true, rb)
	// The minute that was counted when it ended is lost, and nothing else.
	if len(aa)-len(ac) > 5 || len(ac) < 20*5 {
		t.Errorf("%d forecasts, after a restart %d", len(aa), len(ac))
	}
	rises := func(all []baseline.Observation) (out []string) {
		for _, o := range all {
			if o.Phase == baseline.Rise {
				out = append(out, fmt.Sprint(o.Time, o.Device, o.Kind, o.Value))
			}
		}
		return out
	}
	if a, c := rises(fa), rises(fc); len(a) != 3 || !slices.Equal(a, c) {
		t.Errorf("%v, after a restart %v", a, c)
	}
}

func TestBounds(t *testing.T) {
	x := New(config(10))
	for i := range 100 {
		x.Flow(record(int64(i), fmt.Sprint("d", i), "", 10, 5))
	}
	if len(x.counts) != 10 || x.Untold == 0 {
		t.Errorf("%d counts, %d bytes untold", len(x.counts), x.Untold)
	}
	// Who is silent for a week makes room.
	for at := int64(0); at < 8*86400; at += 60 {
		x.Flow(record(1000+at, "d0", "", 10, 5))
	}
	if len(x.counts) != 3 {
		t.Errorf("%d counts after a week", len(x.counts))
	}
}

func TestTime(t *testing.T) {
	x := New(config(10))
	points := func() uint64 { return x.series.Points[series.Learned] }
	x.Flow(record(0, "a", "b", 1, 1))
	x.Flow(record(59, "a", "b", 1, 1))
	if points() != 0 {
		t.Error("a minute was told before its end")
	}
	x.Flow(record(60, "a", "b", 1, 1))
	if points() != 5 {
		t.Errorf("%d points", points())
	}
	x.Flow(record(30, "a", "b", 1, 1)) // late
	x.Flow(record(60+9*60, "a", "b", 1, 1))
	if points() != 5+9*5 {
		t.Errorf("minutes without traffic: %d points", points())
	}
	x.Flow(record(86400, "a", "b", 1, 1)) // a pause of the sensor
	if points() != 50 {
		t.Errorf("a pause was taken for silence: %d points", points())
	}
	x.Flow(record(0, "a", "b", 1, 1)) // set back
	x.Flow(record(60, "a", "b", 1, 1))
	arp := record(61, "a", "b", 1, 1)
	arp.Net = packet.NetARP
	x.Flow(arp)
	x.Flow(&flow.Record{End: -1})
	if x.end != monday+120e9 {
		t.Errorf("the clock was not followed back: %d", x.end-monday)
	}
}

// What was told to begin is told to end, whatever it turned out to be meanwhile.
func TestToldToEnd(t *testing.T) {
	c := &count{}
	for i, v := range []series.Verdict{{Kind: series.LevelShift, Phase: series.Began, Since: 1}, {Kind: series.Stuck, Phase: series.Turned, Since: 1}, {Kind: series.Stuck, Phase: series.Ended, Since: 1}} {
		if got, want := c.tells(&v, 60e9), i != 1; got != want {
			t.Errorf("%v %v: told %v", v.Kind, v.Phase, got)
		}
	}
}
