// Package run is where the parts of one process agree on how it ends.
//
// A Collector is made to run forever, and a capture file has an end. So a source that has
// read everything says so with Source.Done, and the last of them asks the Collector to stop
// by the one way that flushes every component: a fatal status event that carries ErrDone.
// Package telemetry, which the Collector shuts down last, keeps that event out of the log and
// leaves the process with ExitCode.
//
// The package promises that a run ends once and only after its last source, that the gravest
// exit code wins, and that no call here blocks. It gives up independence: all state belongs to
// the process, as an exit code does, so two Collectors in one process share it.
package run

import (
	"errors"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// ErrDone is what the fatal status event carries when nothing is wrong: every source has been
// read to its end.
var ErrDone = errors.New("every source has been read to its end")

// Exit codes, besides 0.
const (
	// ExitError means that the run broke off; what was written may be incomplete.
	ExitError = 1
	// ExitFound means that the run was whole and that something was reported which the user
	// had asked to be told of by exit code (fail_on).
	ExitFound = 3
)

var state struct {
	sync.Mutex
	code     int
	sources  int  // begun, and neither done nor cancelled
	stopping bool // the Collector is shutting its components down
	asked    bool // it has been asked to; it takes one such event and never a second
}

// SetExitCode asks for code at the end of the process. ExitError outranks every other code,
// and of the others the greater wins; 0 changes nothing. A component that can't flush in
// Shutdown should log why and call SetExitCode(ExitError), as an exit code of 3 would hide the
// error that it returns.
func SetExitCode(code int) {
	state.Lock()
	defer state.Unlock()
	if rank(code) > rank(state.code) {
		state.code = code
	}
}

func rank(code int) int {
	if code == ExitError {
		return 256 // above all that a process can exit with
	}
	return code
}

// ExitCode is the gravest code asked for so far, 0 when there was none.
func ExitCode() int {
	state.Lock()
	defer state.Unlock()
	return state.code
}

// SetStopping is for package telemetry: it tells whether the Collector is shutting down. From
// then on Done is silent. Nobody would take the event, and the Collector holds the lock that
// every component's shutdown needs until somebody does.
func SetStopping(stopping bool) {
	state.Lock()
	defer state.Unlock()
	state.stopping, state.asked = stopping, false
}

// Source is a component whose end may end the run. A nil Source is one that never does, and
// its methods do nothing.
type Source struct {
	ended bool
}

// Begin announces a source. Call it where the component is made, not where it starts: a short
// file may be read before the next source has started.
func Begin() *Source {
	state.Lock()
	defer state.Unlock()
	state.sources++
	return &Source{}
}

// Done says that the source has been read to its end and that all of it was handed on. When no
// other source is left, the Collector is asked to stop; Done does not wait for that. The host
// is the one that Start was given.
func (s *Source) Done(host component.Host) {
	if !s.end() {
		return
	}
	state.Lock()
	last := state.sources == 0
	state.Unlock()
	if last {
		ask(host, ErrDone)
	}
}

// Fail ends the run because of err, which the Collector logs, with exit code 1. Everything is
// still flushed and shut down. The first call of a run counts; Fail does not wait. A component
// whose Shutdown fails calls it too: then only the exit code is left to set, and the error
// should be logged.
func Fail(host component.Host, err error) {
	SetExitCode(ExitError)
	ask(host, err)
}

// Stop ends the run before its sources do, without an error: nobody reads its output any more.
func Stop(host component.Host) { ask(host, ErrDone) }

// ask has the Collector stop, unless it is stopping or was asked before.
func ask(host component.Host, why error) {
	state.Lock()
	defer state.Unlock()
	if state.asked || state.stopping {
		return
	}
	state.asked = true
	// On a goroutine of its own, as the Collector takes the event only when all its
	// components have started, and one of them may be the caller.
	go componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(why))
}

// Cancel withdraws the source: it is shut down before its end. Safe after Done, and twice.
func (s *Source) Cancel() { s.end() }

// end takes the source off the count and reports whether it still was on it.
func (s *Source) end() bool {
	if s == nil {
		return false
	}
	state.Lock()
	defer state.Unlock()
	if s.ended {
		return false
	}
	s.ended = true
	state.sources--
	return true
}
