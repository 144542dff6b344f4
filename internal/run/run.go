// Package run is where the parts of one process agree on how it ends.
//
// A Collector is made to run forever, and a capture file has an end. So a source that has
// read everything says so with Source.Done, and the last of them asks the Collector to stop
// by the one way that flushes every component: a fatal status event, which then carries
// ErrDone. Fail sends one that means it. Package telemetry, which the Collector shuts down
// last, keeps ErrDone out of the log and leaves the process with ExitCode.
//
// Sending that event is where a Collector hangs: it is handed over under the lock that every
// start and stop of a component needs, and only the control loop takes it. Here it is sent once
// in a Collector's life, after all components have started and not once they are being stopped.
//
// The package promises that a run ends once and only after its last source, that the gravest
// exit code wins, and that no call here blocks. It gives up independence: all state belongs to
// the process, as an exit code does, so two Collectors in one process share it. In a
// distribution without our package telemetry nothing tells that all components have started;
// the event then waits for a second.
package run

import (
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// ErrDone is what the fatal status event carries when nothing is wrong: there is nothing left
// to do.
var ErrDone = errors.New("the run is over")

// Exit codes, besides 0.
const (
	// ExitError means that the run broke off; what was written may be incomplete.
	ExitError = 1
	// ExitFound means that the run was whole and that something was reported which the user
	// had asked to be told of by exit code (fail_on).
	ExitFound = 3
)

// startTime is how long components of other distributions are given to start. Receivers start
// last, so only other receivers are waited for.
const startTime = time.Second

// lateMost bounds the errors kept for Late.
const lateMost = 16

var state struct {
	sync.Mutex
	code    int
	sources int // begun, and neither done nor cancelled

	// One life of a Collector, from Starting to Stopping; a reload begins another.
	ready    chan struct{} // closed when all components have started; nil without package telemetry
	stopping chan struct{} // closed when components begin to be shut down; nil likewise
	asked    bool          // the event has been sent, or is about to be
	late     []error       // failures that came after that
	reload   bool          // another life follows this one
	again    bool          // this one followed another
}

// SetExitCode asks for code at the end of the process. ExitError outranks every other code,
// and of the others the greater wins; 0 changes nothing. A component that can't flush in
// Shutdown should log why and call SetExitCode(ExitError), as an exit code of 3 would hide the
// error that it returns.
func SetExitCode(code int) {
	state.Lock()
	defer state.Unlock()
	setExitCode(code)
}

func setExitCode(code int) {
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

// Source is a component whose end may end the run. A nil Source is one that never does, and
// its methods do nothing.
type Source struct {
	ended     bool
	cancelled chan struct{} // closed by Cancel
}

// Begin announces a source. Call it where the component is made, not where it starts: a short
// file may be read before the next source has started.
func Begin() *Source {
	state.Lock()
	defer state.Unlock()
	state.sources++
	return &Source{cancelled: make(chan struct{})}
}

// Done says that the source has been read to its end and that all of it was handed on. When no
// other source is left, the Collector is asked to stop; Done does not wait for that. The host
// is the one that Start was given. Only the first call counts.
func (s *Source) Done(host component.Host) {
	if s == nil {
		return
	}
	state.Lock()
	defer state.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	if state.sources--; state.sources == 0 {
		ask(host, ErrDone, s.cancelled)
	}
}

// Cancel withdraws the source: it is being shut down. Safe after Done, and twice.
func (s *Source) Cancel() {
	if s == nil {
		return
	}
	state.Lock()
	defer state.Unlock()
	if !s.ended {
		s.ended = true
		state.sources--
	}
	select {
	case <-s.cancelled:
	default:
		close(s.cancelled)
	}
}

// Stop ends the run without an error before its sources end: there is nobody left to run for,
// as when a reader has closed the pipe that is written to.
func Stop(host component.Host) {
	state.Lock()
	defer state.Unlock()
	ask(host, ErrDone, nil)
}

// Fail ends the run because of err, which the Collector logs; the process exits with ExitError.
// It is for what goes wrong after Start and leaves nothing to run for. Errors of Start and
// Shutdown are returned instead.
func Fail(host component.Host, err error) {
	state.Lock()
	defer state.Unlock()
	setExitCode(ExitError)
	if !ask(host, err, nil) && len(state.late) < lateMost {
		state.late = append(state.late, err)
	}
}

// ask sends the event from a goroutine of its own, unless the Collector has been asked already
// or is stopping anyway; it reports whether it will. The caller holds the lock.
func ask(host component.Host, err error, cancelled <-chan struct{}) bool {
	if _, ok := host.(componentstatus.Reporter); !ok || state.asked {
		return false
	}
	ready, stopping := state.ready, state.stopping
	select {
	case <-stopping:
		return false
	default:
	}
	state.asked = true
	go func() {
		var patience <-chan time.Time
		if ready == nil {
			patience = time.After(startTime)
		}
		select {
		case <-ready:
		case <-patience:
		case <-stopping:
			return
		case <-cancelled:
			return
		}
		select { // what came at the same time
		case <-stopping:
		case <-cancelled:
		default:
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	}()
	return true
}

// Starting is for package telemetry, as are the others below save Again: a Collector is about
// to make its components.
func Starting() {
	state.Lock()
	defer state.Unlock()
	state.ready, state.stopping = make(chan struct{}), make(chan struct{})
	state.asked, state.late = false, nil
	state.again, state.reload = state.reload, false
}

// Reloading tells that the configuration is loaded anew: this life ends and another begins.
func Reloading() {
	state.Lock()
	defer state.Unlock()
	state.reload = true
}

// Again reports whether this life follows another, as the configuration was loaded anew. It is
// always false without package telemetry.
func Again() bool {
	state.Lock()
	defer state.Unlock()
	return state.again
}

// Ready tells that all components have started.
func Ready() { closeOnce(&state.ready) }

// Stopping tells that components begin to be shut down.
func Stopping() { closeOnce(&state.stopping) }

func closeOnce(c *chan struct{}) {
	state.Lock()
	defer state.Unlock()
	if *c == nil {
		return
	}
	select {
	case <-*c:
	default:
		close(*c)
	}
}

// Late returns the failures that nobody was told of, as the Collector was already ending.
func Late() []error {
	state.Lock()
	defer state.Unlock()
	return state.late
}
