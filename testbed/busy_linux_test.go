package testbed

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBusy keeps processors busy for real, in a name space of processes of the test's own, then
// stops, and wants to be told of both, once each.
//
// It is about one program's share and within seconds, so that it holds on a machine that has other
// things to do. testbed/lab/busy.sh is the two minutes of configs/host-alarms.yaml.
func TestBusy(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s")
	}
	if err := exec.Command("unshare", "-nmpf", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("no name spaces to be had: %v", err)
	}
	dir := t.TempDir()
	const rule = "grinder is busy"
	override := `yaml:{receivers: {host: {collection_interval: 500ms, scrapers: {process: {include: {match_type: strict, names: [grinder]}, ` +
		`metrics: {process.cpu.utilization: {enabled: true}}}}}}, connectors: {threshold: {rules: [{name: ` + rule + `, metric: process.cpu.utilization, ` +
		`where: 'attributes["cpu.mode"] == "user"', per: [process.pid], above: 0.01, clear: 0.005, for: 1s, clear_for: 1s}]}}}`
	r := unshared(t, "-nmpf", `
		mount -t proc proc /proc
		cp "$(command -v yes)" "$DIR/grinder"
		"$MONBAN" --config "$CONFIG" --config "$OVERRIDE" --config "$QUIET" & pid=$!
		await() { for i in $(seq 600); do grep -qs "\"$1\"" "$DIR/out/observations.ndjson" && return; sleep 0.1; done; echo "no $1" >&2; exit 1; }
		sleep 2
		"$DIR/grinder" >/dev/null & busy=$!
		await rise
		sleep 2
		kill -STOP $busy
		await fall
		kill -TERM $pid; wait $pid
		kill -KILL $busy`,
		[]string{"MONBAN=" + Binary(t), "CONFIG=" + filepath.Join(Root(), "configs", "host-alarms.yaml"), "OVERRIDE=" + override, "DIR=" + dir,
			"QUIET=yaml:{service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}}",
			"MONBAN_STATE=" + filepath.Join(dir, "state"), "MONBAN_OUT=" + filepath.Join(dir, "out")})
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	var phases []string
	for _, e := range jsonLines(t, filepath.Join(dir, "out", "observations.ndjson")) {
		t.Log(e["timestamp"], e["observation.summary"])
		if e["observation.rule"] != rule {
			t.Errorf("%v", e)
			continue
		}
		phases = append(phases, e["observation.phase"].(string))
		if e["observation.phase"] == "fall" && (e["observation.duration"] == nil || e["observation.peak"] == nil) {
			t.Errorf("a fall that does not say how long and how much: %v", e)
		}
	}
	if got := strings.Join(phases, " "); got != "rise fall" {
		t.Error(got)
	}
}
