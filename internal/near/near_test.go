package near

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	options := "stat state site out"
	metrics := "system.cpu.utilization system.cpu.time system.memory.utilization http.server.request.duration x"
	for _, c := range []struct {
		word string
		from string
		n    int
		want string
	}{
		{"stat", options, 2, "stat state"},
		{"stta", "state site out", 2, "state site"},
		{"hgih", "low medium high critical", 2, "high"},
		{"xyz", "state out", 2, ""},
		{"", "state out", 2, ""},
		{"a", "b", 2, ""},
		{strings.Repeat("x", 1000), "state", 2, ""},
		{"system.cpu.utilisation", metrics, 1, "system.cpu.utilization"},
		{"cpu.utilization", metrics, 1, "system.cpu.utilization"},
		{"system_cpu_utilization", metrics, 1, "system.cpu.utilization"},
		{"System.CPU.Time", metrics, 1, "system.cpu.time"},
		{"http.request.duration", metrics, 1, "http.server.request.duration"},
		{"temperature", metrics, 1, ""},
		{"", metrics, 1, ""},
		{"system", "system3 system2 systems system1 system", 3, "system system1 system2"},
	} {
		if got := strings.Join(Names(c.word, strings.Fields(c.from), c.n), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.word, got, c.want)
		}
	}
	if got := DidYouMean("hihg", []string{"low", "high"}) + DidYouMean("x", []string{"low", "high"}); got != "; did you mean high?" {
		t.Error(got)
	}
}
