package run

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/goleak"
)

func reset(t *testing.T) {
	clear := func() {
		state.code, state.sources, state.ready, state.stopping, state.asked, state.late = 0, 0, nil, nil, false, nil
	}
	clear()
	t.Cleanup(clear)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// host takes status events as the Collector's does: unbuffered.
type host chan *componentstatus.Event

func (host) GetExtensions() map[component.ID]component.Component { return nil }
func (h host) Report(e *componentstatus.Event)                   { h <- e }

// expect waits for one event with err, or makes sure that none comes.
func (h host) expect(t *testing.T, err error) {
	t.Helper()
	wait := 5 * time.Second
	if err == nil {
		wait = 20 * time.Millisecond
	}
	select {
	case e := <-h:
		if !errors.Is(e.Err(), err) || e.Status() != componentstatus.StatusFatalError {
			t.Fatalf("event %v with error %v, want a fatal one with %v", e.Status(), e.Err(), err)
		}
	case <-time.After(wait):
		if err != nil {
			t.Fatalf("no event, want one with %v", err)
		}
	}
}

func TestTheLastSourceEndsTheRun(t *testing.T) {
	reset(t)
	h := make(host)
	Starting()
	a, b, c := Begin(), Begin(), Begin()
	a.Done(h)
	a.Done(h) // twice counts once
	b.Cancel()
	b.Done(h)
	Ready()
	h.expect(t, nil)
	c.Done(h)
	h.expect(t, ErrDone)
	c.Cancel()
	c.Cancel()
	if state.sources != 0 {
		t.Errorf("%d sources left, want 0", state.sources)
	}
}

func TestTheEndWaitsForAllToStart(t *testing.T) {
	reset(t)
	h := make(host)
	Starting()
	Begin().Done(h)
	h.expect(t, nil)
	Ready()
	Ready()
	h.expect(t, ErrDone)
}

func TestNoEventDuringShutdown(t *testing.T) {
	for name, stop := range map[string]func(*Source){
		"the Collector stops": func(*Source) { Stopping() },
		"the source is shut":  func(s *Source) { s.Cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			reset(t)
			h := make(host)
			Starting()
			s := Begin()
			s.Done(h)
			stop(s)
			h.expect(t, nil)
			Ready()
			h.expect(t, nil)

			Stopping()
			Begin().Done(h)
			h.expect(t, nil)
		})
	}
}

func TestFail(t *testing.T) {
	reset(t)
	h := make(host)
	Starting()
	Ready()
	first, second := errors.New("no carrier"), errors.New("disk full")
	Fail(h, first)
	Fail(h, second) // nobody takes a second event
	Begin().Done(h)
	h.expect(t, first)
	h.expect(t, nil)
	if got := Late(); len(got) != 1 || got[0] != second {
		t.Errorf("Late() = %v, want %v", got, second)
	}
	if got := ExitCode(); got != ExitError {
		t.Errorf("ExitCode() = %d, want %d", got, ExitError)
	}
	for range 100 {
		Fail(h, second)
	}
	if n := len(Late()); n != lateMost {
		t.Errorf("%d late failures kept, want %d", n, lateMost)
	}

	Starting() // a reload
	if got := Late(); got != nil {
		t.Errorf("Late() = %v after a reload, want none", got)
	}
	Ready()
	Begin().Done(h)
	h.expect(t, ErrDone)
}

func TestStop(t *testing.T) {
	reset(t)
	h := make(host)
	Starting()
	Ready()
	s := Begin()
	Stop(h)
	Stop(h)
	h.expect(t, ErrDone)
	s.Done(h)
	h.expect(t, nil)
	if got := ExitCode(); got != 0 {
		t.Errorf("ExitCode() = %d, want 0", got)
	}
}

func TestOtherDistributions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reset(t)
		h := make(host)
		Ready()
		Stopping()
		begun := time.Now()
		Begin().Done(h)
		h.expect(t, ErrDone)
		if waited := time.Since(begun); waited != startTime {
			t.Errorf("event after %v, want %v", waited, startTime)
		}
	})
}

func TestNilSourceNeverEndsTheRun(t *testing.T) {
	reset(t)
	h := make(host)
	var s *Source
	s.Done(h)
	s.Cancel()
	h.expect(t, nil)
}

func TestHostWithoutStatus(t *testing.T) {
	reset(t)
	Begin().Done(nil)
	Fail(nil, ErrDone)
	if ExitCode() != ExitError {
		t.Error("a failure that can't be reported must still be in the exit code")
	}
}
