package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOutsider does what people do who have a distribution of their own: they name our components
// in their manifest and build it in a module of theirs. Until a version is published they need
// one `replaces` line more.
func TestOutsider(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a second distribution")
	}
	consult()
	root, dir := Root(), t.TempDir()
	ours := regexp.MustCompile(`(?m)^  - gomod: github\.com/monban/monban v[\d.]+\n    import: \S+\n`)
	manifest, err := os.ReadFile(filepath.Join(root, "builder-config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// each list of the manifest cut down to what is ours, and what an outsider has anyway
	var theirs strings.Builder
	theirs.WriteString("dist: {name: outsider, module: example.com/outsider, description: somebody else's, version: 1.0.0, output_path: " + dir + "}\n")
	theirs.WriteString("telemetry: {gomod: github.com/monban/monban v0.1.0, import: github.com/monban/monban/telemetry}\n")
	count := 0
	for _, list := range strings.Split(string(manifest), "\n\n") {
		head, _, _ := strings.Cut(list, "\n")
		found := ours.FindAllString(list+"\n", -1)
		if len(found) == 0 {
			continue
		}
		count += len(found)
		theirs.WriteString(head + "\n" + strings.Join(found, ""))
		switch head {
		case "exporters:":
			theirs.WriteString("  - gomod: go.opentelemetry.io/collector/exporter/debugexporter v0.155.0\n")
		case "providers:":
			theirs.WriteString("  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.61.0\n")
			theirs.WriteString("  - gomod: go.opentelemetry.io/collector/confmap/provider/yamlprovider v1.61.0\n")
		}
	}
	if want := strings.Count(string(manifest), "import: github.com/monban/monban/") - 1; count != want { // telemetry stands alone
		t.Fatalf("%d of our %d components found in the manifest", count, want)
	}
	theirs.WriteString("replaces:\n  - github.com/monban/monban => " + root + "\n")
	name := filepath.Join(dir, "manifest.yaml")
	if err := os.WriteFile(name, []byte(theirs.String()), 0o644); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command("go", "tool", "-modfile=internal/tools/go.mod", "builder", "--skip-strict-versioning=false", "--config="+name)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("an outsider can't build our components: %v\n%s\n%s", err, out, theirs.String())
	}

	outsider := filepath.Join(dir, "outsider")
	listed := Exec(t, exec.Command(outsider, "components"))
	for _, want := range []string{"name: packetflow", "name: device", "name: baseline", "name: threat", "name: elasticsearch", "name: ndjson", "name: state_storage"} {
		if !strings.Contains(listed.Stdout, want) {
			t.Errorf("`components` lacks %q\n%s", want, listed.Stdout)
		}
	}
	capture := filepath.Join(root, "testbed", "lab", "demo.pcap.gz")
	if r := Exec(t, exec.Command(outsider, "validate", "--config", "pcap:"+capture)); r.Code != 0 {
		t.Errorf("validate: exit code %d\n%s", r.Code, r.Stderr)
	}
	if r := Exec(t, exec.Command(outsider, "validate", "--config", "yaml:receivers: {packetflow: {nonsense: 1}}")); r.Code != 1 || !strings.Contains(r.Stderr, "nonsense") {
		t.Errorf("validate of a wrong option: exit code %d\n%s", r.Code, r.Stderr)
	}
}
