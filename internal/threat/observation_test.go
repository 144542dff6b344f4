package threat

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
)

// observed is what a rule tells of a device, with evidence where a rule gives some.
func observed(device, rule string, phase baseline.Phase, severity string) *baseline.Observation {
	o := &baseline.Observation{Device: device, Rule: rule, Kind: "above", Entity: []string{"mp=/a"}, Phase: phase, Severity: severity, ID: fmt.Sprint(phase)}
	if phase == baseline.Rise || phase == baseline.Change || phase == baseline.Flapping {
		o.Anomaly = event.Anomaly{Score: 0.6, Reasons: []event.Reason{{Kind: baseline.Threshold, Device: device, Subject: rule, Strength: 0.6,
			Expected: rule + " at most 1", Seen: rule + " is 2"}}}
	}
	return o
}

func (d *desk) observe(o *baseline.Observation) []Report {
	d.t.Helper()
	o.Time = d.now
	d.Observation(o)
	return d.collect(d.Reports())
}

// What was seen stands against what was expected there, of whichever rule or metric it is.
func TestExpectedAndSeenAreOfOneFinding(t *testing.T) {
	for _, kind := range []string{baseline.Threshold, baseline.Metric, baseline.StuckMetric} {
		d := newDesk(t)
		of := func(metric string, strength float64) event.Reason {
			return event.Reason{Kind: kind, Device: "h1", Strength: strength, Expected: metric + " at most 1", Seen: metric + " is 2"}
		}
		d.event(of("disk", 0.7))
		d.wait(2 * time.Minute)
		d.event(of("heat", 0.9))
		if r := d.last(); r.Revision != 2 || r.Summary != "heat is 2. Expected: heat at most 1." {
			t.Errorf("%s: %+v", kind, r)
		}
		d.wait(2 * time.Minute)
		d.event(of("load", 0.8)) // weaker, so that it is only counted
		if r := d.last(); r.Revision != 3 || r.Summary != "heat is 2. Expected: heat at most 1." || r.Evidence[0] != kind+" ×3" {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

// Who wrote a rule said how bad it is.
func TestSeverityOfARuleRaisesTheReports(t *testing.T) {
	for severity, want := range map[string]string{"": Medium, "info": Medium, "warn": Medium, "error": High, "critical": Critical} {
		d := newDesk(t)
		d.observe(observed("h1", "disk", baseline.Rise, severity))
		if got := d.last().Severity; got != want {
			t.Errorf("%q gives %s, want %s", severity, got, want)
		}
	}
	d := newDesk(t)
	d.observe(observed("h1", "disk", baseline.Rise, "warn"))
	d.wait(2 * time.Minute)
	d.observe(observed("h1", "heat", baseline.Rise, "critical"))
	if d.last().Severity != Critical {
		t.Errorf("a second, critical rule leaves %s", d.last().Severity)
	}
	d.wait(2 * time.Minute)
	d.observe(observed("h1", "heat", baseline.Change, "warn"))
	if r := d.last(); r.Revision != 3 || r.Severity != Critical {
		t.Errorf("it was critical: %+v", r)
	}
}

// The incident of an alarm is open for as long as the alarm is up, and was last seen when it ended.
func TestAnAlarmThatLastsKeepsItsIncidentOpen(t *testing.T) {
	for name, pause := range map[string]func(d *desk){
		"one run": func(*desk) {},
		"restarts": func(d *desk) {
			data, err := d.Snapshot()
			if err != nil {
				d.t.Fatal(err)
			}
			d.Engine = New()
			if err := d.Restore(data); err != nil {
				d.t.Fatal(err)
			}
		},
		"hand-overs": func(d *desk) { d.handOver() },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.observe(observed("h1", "disk", baseline.Rise, "warn"))
			d.wait(time.Minute)
			d.observe(observed("h1", "heat", baseline.Rise, "warn"))
			for range 41 {
				pause(d)
				d.quiet(time.Minute)
			}
			d.observe(observed("h1", "disk", baseline.Fall, "warn"))
			for range 20 { // heat is still up
				pause(d)
				d.quiet(time.Minute)
			}
			for _, r := range d.out {
				if r.Status != "open" {
					t.Fatalf("closed while an alarm is up: %+v", r)
				}
			}
			fell := d.now
			d.observe(observed("h1", "heat", baseline.Fall, "warn"))
			d.quiet(time.Minute)
			if r := d.last(); r.Status != "open" || r.Last != fell {
				t.Errorf("the fall: %+v", r)
			}
			d.quiet(5 * time.Minute)
			if r := d.last(); r.Status != "closed" || r.First != epoch || r.Last != fell || len(d.ids()) != 1 {
				t.Errorf("%v: %+v", d.ids(), r)
			}
		})
	}
}

// What comes and goes lasts until it is steady and well; settled and still up, until it falls.
func TestFlappingLastsUntilItIsSettled(t *testing.T) {
	for _, settled := range []string{"", "warn"} {
		d := newDesk(t)
		d.observe(observed("h1", "disk", baseline.Flapping, "warn"))
		d.quiet(time.Hour)
		d.observe(observed("h1", "disk", baseline.Settled, settled))
		at := d.now
		d.quiet(time.Hour)
		if r := d.last(); settled == "" && (r.Status != "closed" || r.Last != at) || settled != "" && r.Status != "open" {
			t.Errorf("settled %q: %+v", settled, r)
		}
		d.observe(observed("h1", "disk", baseline.Fall, "warn"))
		d.quiet(time.Hour)
		if r := d.last(); r.Status != "closed" || len(d.open) != 0 {
			t.Errorf("settled %q: %+v", settled, r)
		}
	}
}

// A rule that lost its state tells of the same alarm under another id.
func TestARuleThatBeginsAnewLeavesNothingBehind(t *testing.T) {
	d := newDesk(t)
	d.observe(observed("h1", "disk", baseline.Rise, "warn"))
	d.quiet(time.Minute)
	again := observed("h1", "disk", baseline.Rise, "warn")
	again.ID = "another"
	d.observe(again)
	d.observe(observed("h1", "disk", baseline.Fall, "warn"))
	d.quiet(time.Hour)
	if d.last().Status != "closed" {
		t.Errorf("%+v", d.last())
	}
}

// An end that never comes, and more alarms than are held, are bounded.
func TestWhatLastsIsBounded(t *testing.T) {
	d := newDesk(t)
	for i := range maxLasting + 10 {
		d.observe(observed("h1", fmt.Sprint("rule ", i), baseline.Rise, "warn"))
	}
	if n := len(d.open[0].Lasting); n != maxLasting {
		t.Errorf("%d are held", n)
	}
	d.quiet(30 * 24 * time.Hour)
	if d.last().Status != "open" {
		t.Errorf("%+v", d.last())
	}
	d.quiet(25 * time.Hour)
	if d.last().Status != "closed" || len(d.open) != 0 {
		t.Errorf("%+v", d.last())
	}
}

func TestAlarmWhoseClockIsSetBackLasts(t *testing.T) {
	d := newDesk(t)
	d.observe(observed("h1", "disk", baseline.Rise, "warn"))
	d.quiet(-6 * time.Hour)
	d.quiet(time.Hour)
	if d.last().Status != "open" {
		t.Errorf("%+v", d.last())
	}
	d.observe(observed("h1", "disk", baseline.Fall, "warn"))
	d.quiet(time.Hour)
	if d.last().Status != "closed" {
		t.Errorf("%+v", d.last())
	}
}

// The end of what nobody knows changes nothing, and a metric that is as usual again was seen until then.
func TestEndsOfWhatWasLearned(t *testing.T) {
	d := newDesk(t)
	d.observe(observed("h1", "disk", baseline.Fall, "warn"))
	if len(d.open) != 0 {
		t.Error("an end opens an incident")
	}
	d.event(reason(baseline.Silent, "h1", 1))
	before := bytes.Clone(d.checkpoint())
	d.observe(observed("h1", "disk", baseline.Fall, "warn"))
	if !bytes.Equal(d.checkpoint(), before) {
		t.Error("an incident of another family changes")
	}
	o := observed("h2", "", baseline.Rise, "")
	o.Kind, o.Anomaly.Reasons[0].Kind = "stuck", baseline.StuckMetric
	d.observe(o)
	d.wait(2 * time.Minute)
	o = observed("h2", "", baseline.Fall, "")
	d.observe(o)
	at := d.now
	d.quiet(6 * time.Minute)
	if r := d.last(); r.Device != "h2" || r.Status != "closed" || r.Last != at {
		t.Errorf("%+v", r)
	}
}
