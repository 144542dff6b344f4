package testbed

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/monban/monban/"

// way is the data's way through the pure packages. A package may know those before it.
// What the host tells of itself stands before what the network does.
var way = []string{"host", "posture", "packet", "flow", "app", "device", "baseline", "threat"}

// leaves are known to all and know nobody.
var leaves = []string{"event", "form"}

// bridges are the internal packages that may know the Collector: what several components need of
// it, so that the pure ones need not.
var bridges = []string{"flatjson", "kafkaconfig", "keep", "link", "logrecord", "oneword", "run", "shard", "watch"}

// TestArrows holds the shape of the tree: the arrows between our packages never turn back, the
// components never meet, and what we know about networks does not know the Collector.
func TestArrows(t *testing.T) {
	consult()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./...")
	cmd.Dir = Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		deps := strings.Fields(line)
		from := deps[0]
		for _, to := range deps[1:] {
			if why := forbidden(from, to); why != "" {
				t.Errorf("%s imports %s: %s", strings.TrimPrefix(from, module), strings.TrimPrefix(to, module), why)
			}
		}
		if slices.Contains(way, strings.TrimPrefix(from, module+"internal/")) {
			seen++
		}
	}
	if seen != len(way) {
		t.Errorf("%d of the packages %v found", seen, way)
	}
}

// forbidden tells why a package must not depend on another, directly or not; "" when it may.
func forbidden(from, to string) string {
	from, ok := strings.CutPrefix(from, module)
	if !ok {
		return "" // the distribution itself knows all
	}
	inside, internal := strings.CutPrefix(from, "internal/")
	name, _, _ := strings.Cut(inside, "/")
	if internal && strings.HasPrefix(to, "go.opentelemetry.io/collector/") && !slices.Contains(bridges, name) && name != "tools" {
		return "what is under internal/ is free of Collector code, save for " + strings.Join(bridges, ", ")
	}
	to, ok = strings.CutPrefix(to, module)
	if !ok {
		return ""
	}
	target, targetInternal := strings.CutPrefix(to, "internal/")
	target, _, _ = strings.Cut(target, "/")
	switch {
	case component(from) != "" && component(to) != "" && component(from) != component(to):
		return "components meet only in pdata and in extensions"
	case internal && component(to) != "":
		return "what is under internal/ knows no component"
	case !internal || !targetInternal || target == name:
		return ""
	case slices.Contains(leaves, name):
		return name + " knows nobody"
	}
	i, j := slices.Index(way, name), slices.Index(way, target)
	switch {
	case i >= 0 && j > i:
		return "arrows never turn back: " + strings.Join(way, " ← ")
	case i >= 0 && j < 0 && !slices.Contains(leaves, target):
		return "a package on the data's way knows those before it and " + strings.Join(leaves, ", ") + ", nobody else"
	}
	return ""
}

// component is the directory of the component that a package belongs to, "" for none.
func component(path string) string {
	parts := strings.Split(path, "/")
	switch parts[0] {
	case "receiver", "processor", "connector", "exporter", "extension", "confmap":
		return strings.Join(parts[:min(2, len(parts))], "/")
	case "telemetry":
		return parts[0]
	}
	return ""
}

func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"internal/threat", "internal/packet", true},
		{"internal/packet", "internal/flow", false},
		{"internal/device", "internal/event", true},
		{"internal/event", "internal/packet", false},
		{"internal/baseline", "internal/form", true},
		{"internal/form", "internal/event", false},
		{"internal/app", "internal/run", false},
		{"internal/summary", "internal/threat", true},
		{"internal/oui/gen", "internal/oui", true},
		{"internal/run", "exporter/ndjsonexporter", false},
		{"exporter/ndjsonexporter", "internal/run", true},
		{"exporter/ndjsonexporter", "exporter/ndjsonexporter/internal/metadata", true},
		{"exporter/ndjsonexporter", "exporter/summaryexporter", false},
		{"confmap/pcapprovider", "receiver/packetflowreceiver", false},
		{"internal/run", "go.opentelemetry.io/collector/component", true},
		{"internal/flow", "go.opentelemetry.io/collector/pdata/plog", false},
	} {
		to := c.to
		if !strings.HasPrefix(to, "go.") {
			to = module + to
		}
		if why := forbidden(module+c.from, to); (why == "") != c.ok {
			t.Errorf("%s imports %s: %q", c.from, c.to, why)
		}
	}
}
