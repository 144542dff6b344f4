package threat

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/form"
	"github.com/monban/monban/internal/form/formtest"
)

// checkpoint gives the state, and holds that the same state gives the same bytes.
func (d *desk) checkpoint() []byte {
	d.t.Helper()
	data, err := d.Checkpoint()
	if err != nil {
		d.t.Fatal(err)
	}
	if again, _ := d.Checkpoint(); !bytes.Equal(again, data) {
		d.t.Fatal("the same state gives other bytes")
	}
	return data
}

// handOver lets a new engine go on.
func (d *desk) handOver() {
	d.t.Helper()
	data := d.checkpoint()
	d.Engine = New()
	if err := d.Resume(data); err != nil {
		d.t.Fatal(err)
	}
	if !bytes.Equal(d.checkpoint(), data) {
		d.t.Fatal("taken over, the state gives other bytes")
	}
}

// Every field of the state is there after a hand-over.
func TestCheckpointIsWhole(t *testing.T) {
	for seed := range uint64(5) {
		e := New()
		formtest.Fill(e, seed, "Engine.by", "Engine.out", "Engine.Dropped")
		for _, in := range e.open {
			in.Actors[0], in.Least = "many", High
			for _, k := range in.Kinds {
				k.Strength = min(k.Strength, maxStrength)
			}
		}
		e.by = byActor(e.open)
		all := e.by["many"]
		all[0], all[1], all[2] = all[2], all[0], all[1]
		data, err := e.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		next := New()
		if err := next.Resume(data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(next, e) {
			t.Errorf("got %+v\nwant %+v", next, e)
			for i, in := range e.open {
				t.Errorf("got %+v\nwant %+v", next.open[i], in)
			}
		}
	}
}

// turmoil is evidence of all kinds, of a few that act on each other. It calls pause after each event.
func turmoil(d *desk, seed uint64, pause func()) {
	r := rand.New(rand.NewPCG(seed, 2))
	kinds := baseline.Definitions()
	some := func(who string) event.Reason {
		return reason(kinds[r.IntN(len(kinds))].Kind, who, float64(r.IntN(30)+1)/10)
	}
	for range 400 {
		d.wait(time.Duration(r.IntN(20000)) * time.Millisecond)
		a, b := fmt.Sprint("d", r.IntN(6)), fmt.Sprint("e", r.IntN(6))
		switch r.IntN(7) {
		case 6:
			d.observe(observed(a, "rule "+b, []baseline.Phase{baseline.Rise, baseline.Fall, baseline.Settled}[r.IntN(3)], "error"))
		case 0:
			d.event(some(a), some(b))
		case 1:
			d.Name(a, "name of "+a)
		case 2:
			d.quiet(time.Duration(r.IntN(200)) * time.Second)
		case 3:
			d.wait(-2 * time.Hour)
		default:
			x := record(d.now, a, b, some(a))
			if r.IntN(2) == 0 {
				x.Anomaly.Reasons = append(x.Anomaly.Reasons, some(b))
			}
			if r.IntN(3) == 0 {
				x.Src.DeviceName = "the other name of " + a
			}
			d.Flow(x)
			d.out = append(d.out, d.Reports()...)
		}
		pause()
	}
	d.out = append(d.out, d.Flush()...)
}

func TestHandOverChangesNothing(t *testing.T) {
	crossed := 0
	for seed := range uint64(20) {
		a, b := newDesk(t), newDesk(t)
		turmoil(a, seed, func() {})
		r, times := rand.New(rand.NewPCG(seed, 3)), 0
		turmoil(b, seed, func() {
			for actor, all := range byActor(b.open) {
				if !reflect.DeepEqual(all, b.by[actor]) {
					crossed++
				}
			}
			if r.IntN(4) == 0 {
				b.handOver()
				times++
			}
		})
		if times < 20 || len(a.out) < 40 {
			t.Fatalf("%d hand-overs, %d reports", times, len(a.out))
		}
		if !reflect.DeepEqual(a.out, b.out) {
			t.Fatalf("%d reports, with hand-overs %d, or others", len(a.out), len(b.out))
		}
		if !bytes.Equal(a.checkpoint(), b.checkpoint()) {
			t.Error("in the end the state is other")
		}
	}
	if crossed == 0 {
		t.Error("the incidents of an actor were always in the order in which they began")
	}
}

func TestResumeOfBadStateChangesNothing(t *testing.T) {
	donor := newDesk(t)
	attack(donor, func() {})
	donor.flow("a", "b", reason(baseline.PortSweep, "a", 1))
	donor.flow("a", "b", reason(baseline.NewService, "b", 3))
	good := donor.checkpoint()
	w := form.Writer(0)
	w.Head("threat", formVersion+1, nil)
	spoilt := func(spoil func(e *Engine)) []byte {
		e := New()
		if err := e.Resume(good); err != nil {
			t.Fatal(err)
		}
		spoil(e)
		data, _ := e.Checkpoint()
		return data
	}
	snapshot, _ := donor.Snapshot()
	for _, c := range []struct {
		name string
		data []byte
		is   error
	}{
		{"nothing", nil, form.ErrDamaged},
		{"a snapshot", snapshot, form.ErrDamaged},
		{"a byte too short", good[:len(good)-1], form.ErrDamaged},
		{"a byte too long", append(bytes.Clone(good), 0), form.ErrDamaged},
		{"another version", w.Bytes(), ErrVersion},
		{"nobody acts", spoilt(func(e *Engine) { e.open[0].Actors = nil }), form.ErrDamaged},
		{"too many act", spoilt(func(e *Engine) { e.open[0].Actors = make([]string, maxActors+1) }), form.ErrDamaged},
		{"more lasts than can be", spoilt(func(e *Engine) { e.open[0].Lasting = make([]alarm, maxLasting+1) }), form.ErrDamaged},
		{"a severity that is none", spoilt(func(e *Engine) { e.open[0].Least = "dire" }), form.ErrDamaged},
		{"stronger than can be", spoilt(func(e *Engine) { e.open[0].Kinds["x"] = &kind{Strength: 99} }), form.ErrDamaged},
		{"an incident of somebody else", spoilt(func(e *Engine) { e.by["z"] = []*incident{e.open[0], e.open[0]} }), form.ErrDamaged},
		{"too many are open", spoilt(func(e *Engine) {
			for range maxOpen {
				e.open = append(e.open, e.open[0])
			}
		}), form.ErrDamaged},
	} {
		d := newDesk(t)
		d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
		before := d.checkpoint()
		if err := d.Resume(c.data); !errors.Is(err, c.is) {
			t.Errorf("%s: error is %v, want %v", c.name, err, c.is)
		}
		if !bytes.Equal(d.checkpoint(), before) {
			t.Errorf("%s: the engine has changed", c.name)
		}
	}
}

// FuzzResume holds that no bytes whatever make the engine panic or report nonsense.
func FuzzResume(f *testing.F) {
	d := newDesk(f)
	f.Add(d.checkpoint())
	attack(d, func() {})
	d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
	d.flow("a", "b", reason(baseline.NewMaster, "b", 3))
	d.Name("a", "laptop")
	f.Add(d.checkpoint())
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDesk(t)
		if d.Resume(data) != nil {
			if len(d.open) > 0 || len(d.names) > 0 {
				t.Error("half of a bad state was taken")
			}
			return
		}
		d.handOver()
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
		d.handOver()
	})
}

// BenchmarkCheckpoint hands over a hundred open incidents at a site of a thousand names.
func BenchmarkCheckpoint(b *testing.B) {
	d := newDesk(b)
	for i := range 1000 {
		d.Name(fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256), fmt.Sprint("machine-", i))
	}
	for i := range 100 {
		id := fmt.Sprint("device ", i)
		d.Flow(record(d.now, "a", "b", reason(baseline.PortSweep, id, 1), reason(baseline.NewService, id, 3)))
	}
	d.Reports()
	data := d.checkpoint()
	b.Run("checkpoint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Checkpoint(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data)), "B")
	})
	b.Run("resume", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := d.Resume(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
