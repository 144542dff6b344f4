package run

import (
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

func reset(t *testing.T) {
	clear := func() { state.code, state.sources, state.stopping, state.asked = 0, 0, false, false }
	clear()
	t.Cleanup(clear)
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		name string
		set  []int
		want int
	}{
		{"nothing asked", nil, 0},
		{"found", []int{3}, 3},
		{"zero changes nothing", []int{3, 0}, 3},
		{"an error outranks a find", []int{3, 1}, 1},
		{"whatever the order", []int{1, 3}, 1},
		{"the greater of two others", []int{3, 5, 4}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			reset(t)
			for _, code := range c.set {
				SetExitCode(code)
			}
			if got := ExitCode(); got != c.want {
				t.Errorf("ExitCode() = %d after %v, want %d", got, c.set, c.want)
			}
		})
	}
}

// reports is a host that takes status events, as the Collector's does.
type reports chan *componentstatus.Event

func (reports) GetExtensions() map[component.ID]component.Component { return nil }
func (r reports) Report(e *componentstatus.Event)                   { r <- e }

// count waits for one event and makes sure that it stays the only one.
func (r reports) count(t *testing.T, want int) {
	t.Helper()
	for got := 0; ; got++ {
		wait := 5 * time.Second
		if got == want {
			wait = 20 * time.Millisecond
		}
		select {
		case e := <-r:
			if !errors.Is(e.Err(), ErrDone) || e.Status() != componentstatus.StatusFatalError {
				t.Fatalf("event %v with %v, want a fatal one with ErrDone", e.Status(), e.Err())
			}
			if got == want {
				t.Fatalf("more than %d events", want)
			}
		case <-time.After(wait):
			if got != want {
				t.Fatalf("%d events, want %d", got, want)
			}
			return
		}
	}
}

func TestTheLastSourceEndsTheRun(t *testing.T) {
	reset(t)
	host := make(reports)
	a, b, c := Begin(), Begin(), Begin()
	a.Done(host)
	a.Done(host) // twice counts once
	b.Cancel()
	b.Done(host)
	host.count(t, 0)
	c.Done(host)
	host.count(t, 1)
	c.Cancel()
	if state.sources != 0 {
		t.Errorf("%d sources left, want 0", state.sources)
	}
}

func TestDoneIsSilentDuringShutdown(t *testing.T) {
	reset(t)
	host := make(reports)
	s := Begin()
	SetStopping(true)
	s.Done(host)
	host.count(t, 0)
}

func TestFailEndsTheRunOnce(t *testing.T) {
	reset(t)
	host := make(reports)
	s := Begin()
	full := errors.New("no space left on device")
	Fail(host, full)
	s.Done(host) // the end of the file meanwhile
	Fail(host, full)
	if e := <-host; !errors.Is(e.Err(), full) {
		t.Errorf("event with %v, want %v", e.Err(), full)
	}
	host.count(t, 0)
	if ExitCode() != ExitError {
		t.Errorf("ExitCode() = %d, want %d", ExitCode(), ExitError)
	}
	SetStopping(true)
	Fail(host, full)
	host.count(t, 0)
}

func TestNilSourceNeverEndsTheRun(t *testing.T) {
	reset(t)
	host := make(reports)
	var s *Source
	s.Done(host)
	s.Cancel()
	host.count(t, 0)
}
