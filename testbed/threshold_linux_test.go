package testbed

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAFileSystemFills makes it happen: in a mount namespace of its own a file system fills above
// 80 % for two seconds and is emptied again; the real binary measures it, and tells rise and fall.
func TestAFileSystemFills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	config := `
receivers:
  host:
    collection_interval: 500ms
    initial_delay: 0s
    scrapers:
      filesystem:
        include_virtual_filesystems: true
        include_mount_points: {mount_points: ["` + disk + `"], match_type: strict}
        metrics:
          system.filesystem.utilization: {enabled: true}
connectors:
  threshold:
    rules:
      - name: disk-full
        metric: system.filesystem.utilization
        per: [system.filesystem.mountpoint]
        above: 0.8
        clear: 0.5
        for: 1s
exporters:
  ndjson: {directory: "` + dir + `/out"}
service:
  pipelines:
    metrics: {receivers: [host], exporters: [threshold]}
    logs: {receivers: [threshold], exporters: [ndjson]}
  telemetry: {metrics: {level: none, readers: []}}
`
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := unshared(t, "-rnmpf", `mount -t proc proc /proc && mount -t tmpfs -o size=8m none "$DISK" 2>/dev/null || echo none`, []string{"DISK=" + disk}); r.Code != 0 || strings.Contains(r.Stdout, "none") {
		t.Skipf("no mount namespace to be had: %s", r.Stderr)
	}
	r := unshared(t, "-rnmpf", `
		mount -t proc proc /proc # so that /proc/1 is of this namespace
		mount -t tmpfs -o size=8m none "$DISK"
		"$MONBAN" --config "$CONFIG" & pid=$!
		trap 'kill $pid 2>/dev/null || true' EXIT
		until_told() { for i in $(seq 300); do grep -q "\"$1\"" "$OUT/observations.ndjson" 2>/dev/null && return; sleep 0.1; done; return 1; }
		sleep 1
		head -c 7000000 /dev/zero >"$DISK/file"
		until_told rise
		rm "$DISK/file"
		until_told fall
		kill -INT $pid
		wait $pid`,
		[]string{"MONBAN=" + Binary(t), "CONFIG=" + file, "DISK=" + disk, "OUT=" + filepath.Join(dir, "out")})
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	text, err := os.ReadFile(filepath.Join(dir, "out", "observations.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range bytes.Lines(text) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		t.Log(e["observation.summary"])
		got = append(got, e["observation.phase"].(string))
		duration, _ := e["observation.duration"].(float64)
		if peak, _ := e["observation.peak"].(float64); peak < 0.8 || duration < 1 {
			t.Errorf("%s", line)
		}
	}
	if strings.Join(got, " ") != "rise fall" {
		t.Errorf("told %q\n%s", got, r.Stderr)
	}
}
