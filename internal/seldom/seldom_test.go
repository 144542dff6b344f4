package seldom

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Faults
		step := func(what string, got, want bool) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %v", what, got)
			}
		}
		step("over, never said", f.Over("disk"), false)
		step("at once", f.Due("disk"), true)
		step("another kind", f.Due("network"), true)
		time.Sleep(Each - time.Nanosecond)
		step("within the minute", f.Due("disk"), false)
		time.Sleep(time.Nanosecond)
		step("after the minute", f.Due("disk"), true)
		step("over", f.Over("disk"), true)
		step("over again", f.Over("disk"), false)
		step("back", f.Due("disk"), true)
		step("long over", f.Over("network"), true)
	})
}

func TestFaultsBounded(t *testing.T) {
	var f Faults
	for i := range 10 * kinds {
		f.Due(fmt.Sprint(i))
		if len(f.said) > kinds {
			t.Fatalf("%d kinds are kept", len(f.said))
		}
	}
}
