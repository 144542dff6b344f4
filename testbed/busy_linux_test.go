package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestBusy keeps processors busy for real, in a name space of processes of the test's own, then
// stops, and wants to be told of both, once each.
//
// Usually of one program's share and within seconds, so that it holds on a machine that has
// other things to do. With MONBAN_BUSY set, by configs/host-alarms.yaml as it is: each processor
// above 80 % for two minutes, which takes three and a machine that is idle before and after.
func TestBusy(t *testing.T) {
	whole := os.Getenv("MONBAN_BUSY") != ""
	if testing.Short() && !whole {
		t.Skip("takes 15 s")
	}
	if err := exec.Command("unshare", "-nmpf", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("no name spaces to be had: %v", err)
	}
	dir := t.TempDir()
	rule, processors := "CPU above 80 %", runtime.NumCPU()
	override := "yaml:{}"
	if !whole {
		rule, processors = "grinder is busy", 1
		override = `yaml:{receivers: {host: {collection_interval: 500ms, scrapers: {process: {include: {match_type: strict, names: [grinder]}, ` +
			`metrics: {process.cpu.utilization: {enabled: true}}}}}}, connectors: {threshold: {rules: [{name: grinder is busy, metric: process.cpu.utilization, ` +
			`where: 'attributes["cpu.mode"] == "user"', per: [process.pid], above: 0.01, clear: 0.005, for: 1s, clear_for: 1s}]}}}`
	}
	r := unshared(t, "-nmpf", `
		mount -t proc proc /proc
		cp "$(command -v yes)" "$DIR/grinder"
		"$MONBAN" --config "$CONFIG" --config "$OVERRIDE" --config "$QUIET" & pid=$!
		await() { for i in $(seq 3000); do [ "$(grep -cs "\"$1\"" "$DIR/out/observations.ndjson")" = $PROCESSORS ] && return; sleep 0.1; done; echo "no $1" >&2; exit 1; }
		sleep 2
		busy=; for i in $(seq $PROCESSORS); do "$DIR/grinder" >/dev/null & busy="$busy $!"; done
		await rise
		sleep 2
		kill -STOP $busy
		await fall
		kill -TERM $pid; wait $pid
		kill -KILL $busy`,
		[]string{"MONBAN=" + Binary(t), "CONFIG=" + filepath.Join(Root(), "configs", "host-alarms.yaml"), "OVERRIDE=" + override, "DIR=" + dir,
			"PROCESSORS=" + strconv.Itoa(processors), "QUIET=yaml:{service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}}",
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
	slices.Sort(phases) // each processor has its own
	if got := strings.Join(slices.Compact(slices.Clone(phases)), " "); got != "fall rise" || len(phases) != 2*processors {
		t.Errorf("%d: %s", len(phases), got)
	}
}
