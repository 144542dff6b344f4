package traffic

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/form"
	"github.com/monban/monban/internal/form/formtest"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/series"
)

func checkpoint(t testing.TB, x *Traffic) []byte {
	t.Helper()
	data, err := x.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := x.Checkpoint(); !bytes.Equal(again, data) {
		t.Fatal("the same state gives other bytes")
	}
	return data
}

// Every field of the state is there after a hand-over; that of the series has its own test.
func TestCheckpointIsWhole(t *testing.T) {
	x := New(config(100))
	formtest.Fill(x, 1, "Traffic.series", "Traffic.max", "Traffic.order", "Traffic.Untold")
	counts := map[who]*count{}
	for _, c := range x.counts {
		if c.who.direction = Out; len(counts) == 0 {
			c.who = who{application: "modbus"}
		} else {
			c.who.application = ""
		}
		c.key = c.who.key()
		counts[c.who] = c
	}
	x.counts = counts
	next := New(config(100))
	if err := next.Resume(checkpoint(t, x)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(next, x) {
		t.Errorf("got %+v\nwant %+v", next, x)
	}
}

// weeks of a plant: some devices are always alike, some come and go, there are uploads that last, and pauses.
func weeks(x func() *Traffic, seed uint64, pause func()) (told []string) {
	r := rand.New(rand.NewPCG(seed, 1))
	const day = 86400
	upload := int64(0)
	for at := int64(0); at < 14*day; at += 17 + r.Int64N(10) {
		if r.IntN(8000) == 0 {
			upload = at + 3*3600
		}
		if r.IntN(40000) == 0 {
			at += 3600
		}
		out := uint64(20000 + r.IntN(4000))
		if at < upload {
			out += 2e6
		}
		f := record(at, "plc", "scada", out, 3000)
		switch r.IntN(30) {
		case 0:
			f = record(at, fmt.Sprint("d", r.IntN(20)), "scada", 100, 100)
		case 1:
			f.Net = packet.NetARP
		}
		found, ahead := x().Flow(f)
		for _, o := range found {
			told = append(told, fmt.Sprintf("%+v", o))
		}
		for _, o := range ahead {
			told = append(told, fmt.Sprintf("%+v", o))
		}
		pause()
	}
	return told
}

func TestHandOverChangesNothing(t *testing.T) {
	for seed := range uint64(2) {
		a, b := New(config(30)), New(config(30))
		through := weeks(func() *Traffic { return a }, seed, func() {})
		r, times, alarms := rand.New(rand.NewPCG(seed, 2)), 0, 0
		over := weeks(func() *Traffic { return b }, seed, func() {
			if r.IntN(300) > 0 {
				return
			}
			times++
			for _, c := range b.counts {
				if c.told {
					alarms++
					break
				}
			}
			data := checkpoint(t, b)
			b = New(config(30))
			if err := b.Resume(data); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(checkpoint(t, b), data) {
				t.Fatal("taken over, the state gives other bytes")
			}
		})
		if times < 20 || alarms == 0 || len(through) < 1000 {
			t.Errorf("%d hand-overs, of them %d while an alarm went on; %d told", times, alarms, len(through))
		}
		if !slices.Equal(through, over) {
			t.Errorf("%d told, with hand-overs %d, or others", len(through), len(over))
		}
		if !bytes.Equal(checkpoint(t, a), checkpoint(t, b)) {
			t.Error("in the end the state is other")
		}
	}
}

func TestResumeOfBadStateChangesNothing(t *testing.T) {
	donor := New(config(100))
	for at := range int64(300) {
		donor.Flow(record(at, "plc", "scada", 10, 10))
	}
	good := checkpoint(t, donor)
	spoilt := func(spoil func(x *Traffic)) []byte {
		x := New(config(100))
		if err := x.Resume(good); err != nil {
			t.Fatal(err)
		}
		spoil(x)
		return checkpoint(t, x)
	}
	w := form.Writer(0)
	w.Head("traffic", formVersion+1, nil)
	snapshot, _ := donor.Series().Snapshot()
	for name, c := range map[string]struct {
		data []byte
		is   error
	}{
		"empty": {nil, form.ErrDamaged}, "cut": {good[:len(good)-1], form.ErrDamaged}, "longer": {append(bytes.Clone(good), 0), form.ErrDamaged},
		"another version": {w.Bytes(), series.ErrVersion}, "a snapshot": {snapshot, form.ErrDamaged},
		"nobody":             {spoilt(func(x *Traffic) { x.counts[who{}] = &count{} }), form.ErrDamaged},
		"another direction":  {spoilt(func(x *Traffic) { x.counts[who{device: "a", direction: "up"}] = &count{} }), form.ErrDamaged},
		"before 1970":        {spoilt(func(x *Traffic) { x.end = -1 }), form.ErrDamaged},
		"series are damaged": {spoilt(func(x *Traffic) { x.series.Begin(1 << 62); x.series.Gauge(series.Key{1}, 5, 1) })[:len(good)+100], form.ErrDamaged},
	} {
		x := New(config(100))
		x.Flow(record(0, "a", "b", 1, 1))
		before := checkpoint(t, x)
		if err := x.Resume(c.data); !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", name, err, c.is)
		}
		if !bytes.Equal(checkpoint(t, x), before) {
			t.Errorf("%s: it changed something", name)
		}
	}
	if err := New(config(3)).Resume(good); err == nil {
		t.Error("too many were taken")
	}
}

// FuzzResume holds that no bytes whatever make it panic, hang, or hold more than it may.
func FuzzResume(f *testing.F) {
	x := New(config(10))
	f.Add(checkpoint(f, x))
	x.Flow(record(0, "a", "b", 1, 1))
	f.Add(checkpoint(f, x))
	x.Flow(record(61, "a", "", 1, 1))
	f.Add(checkpoint(f, x))
	f.Fuzz(func(t *testing.T, data []byte) {
		x := New(config(10))
		if x.Resume(data) != nil {
			if len(x.counts) != 0 || x.series.Len() != 0 {
				t.Fatal("half taken")
			}
			return
		}
		for at := int64(0); at < 7200; at += 50 {
			x.Flow(record(at, "a", "c", 10, 10))
		}
		x.Flow(&flow.Record{End: 1})
		if len(x.counts) > 10 || x.series.Len() > 10 {
			t.Fatalf("%d counts", len(x.counts))
		}
	})
}

// BenchmarkCheckpoint hands over the traffic of a hundred devices.
func BenchmarkCheckpoint(b *testing.B) {
	x := New(config(10000))
	for at := range int64(2000) {
		x.Flow(record(at*10, fmt.Sprint("device ", at%100), "scada", 10, 10))
	}
	data := checkpoint(b, x)
	b.Run("checkpoint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := x.Checkpoint(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data))/float64(x.series.Len()), "B/series")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*x.series.Len()), "ns/series")
	})
	b.Run("resume", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := x.Resume(data); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*x.series.Len()), "ns/series")
	})
}
