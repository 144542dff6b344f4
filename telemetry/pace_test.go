package telemetry

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestPace has the target follow what this process does.
func TestPace(t *testing.T) {
	before := debug.SetGCPercent(generous)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	target := func() int {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return int(s[0].Value.Uint64())
	}
	until := func(want int, work func()) {
		t.Helper()
		for begun := time.Now(); target() != want; work() {
			if time.Since(begun) > 3*time.Minute {
				t.Fatalf("the target is %d %%, not %d %%", target(), want)
			}
		}
	}
	newPace()
	if got := target(); got != generous {
		t.Errorf("it begins at %d %%", got)
	}
	rest := time.Second
	calmDown := func() { time.Sleep(rest); rest *= 2; runtime.GC() } // longer each time, for a machine that is busy with other things
	until(thrifty, calmDown)
	live := make([]*[8]*byte, 1<<17)
	until(generous, func() {
		for i := range live {
			live[i] = &[8]*byte{new(byte)}
		}
	})
	live, rest = nil, time.Second
	until(thrifty, calmDown)
}

func TestPaceHoldsBetween(t *testing.T) {
	for _, percent := range []int{thrifty, generous} {
		if got := next(percent, 0.02); got != percent {
			t.Errorf("%d %% becomes %d %%", percent, got)
		}
	}
	// What calls for less must not, being less, call for more.
	if at := calm * generous / thrifty; at >= busy {
		t.Errorf("it would swing: %v of a core at %d %% are %v at %d %%", calm, generous, at, thrifty)
	}
}

// TestEnvironmentWins leaves the target alone when GOGC is set.
func TestEnvironmentWins(t *testing.T) {
	t.Setenv("GOGC", "77")
	t.Setenv("GOMEMLIMIT", "1GiB")
	before := debug.SetGCPercent(77)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	tune(nil)
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("the target is %d %%", got)
	}
}
