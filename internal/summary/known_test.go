package summary

import (
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
)

// What was learned from an earlier capture must not be taken for what this one showed.
func TestKnownFromBefore(t *testing.T) {
	s := New(0)
	s.Flow(&Flow{Src: Side{Address: "10.0.0.2", Device: "00:11:22:33:44:55"}, Dst: Side{Address: "10.0.0.1"}, Service: "dns", SrcPackets: 1, SrcBytes: 60, Start: 1, End: 2})
	s.Status(&baseline.Status{Device: "00:11:22:33:44:55", Chance: 0.2})
	s.Status(&baseline.Status{Device: "00:11:22:33:44:66", Learned: true})
	text := s.Text(Options{Width: 80, Zone: time.UTC})
	for _, want := range []string{"between 1 device", "Devices: 0 of 1 learned", "1 device known from before did not show.", "No device is learned yet"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "00:11:22:33:44:66") {
		t.Errorf("a device that did not show is listed in\n%s", text)
	}
}
