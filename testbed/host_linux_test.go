package testbed

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHost changes a computer for real, in name spaces of the test's own: an account, a rule, a
// key, a file, a port. Some of it while Monban is stopped.
func TestHost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute: listening sockets are looked for every 30 s")
	}
	if os.Getuid() != 0 {
		t.Skip("accounts are root's to make")
	}
	for _, program := range []string{"useradd", "perl", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	if err := exec.Command("unshare", "-nm", "true").Run(); err != nil {
		t.Skipf("no name spaces to be had: %v", err)
	}
	dir := t.TempDir()
	r := unshared(t, "-nm", `
		cp -a /etc "$DIR/etc"; mount --bind "$DIR/etc" /etc
		mkdir -p "$DIR/root"; mount --bind "$DIR/root" /root
		out="$DIR/out"
		start() {
			"$MONBAN" --config "$CONFIG" --config "$OVERRIDE" & pid=$!
			for i in $(seq 300); do curl -sf http://127.0.0.1:9464/metrics >"$DIR/metrics" && grep -q system_uptime "$DIR/metrics" && break; sleep 0.1; done
		}
		await() { for i in $(seq 600); do grep -qs "$1" "$out/$2" && return; sleep 0.1; done; echo "no $1 in $2" >&2; exit 1; }
		start
		await '"listener".*"present"' posture.ndjson
		useradd --no-create-home ghost
		echo 'ghost ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ghost 2>/dev/null || { mkdir -p /etc/sudoers.d; echo 'ghost ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ghost; }
		echo '# changed' >>/etc/hosts
		perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => 8099, Listen => 1) or die; sleep 600' & listener=$!
		await '"user".*"added".*ghost' posture.ndjson
		await '"file".*/etc/hosts' posture.ndjson
		await '"listener".*8099' posture.ndjson
		kill -TERM $pid; wait $pid
		useradd --no-create-home phantom
		mkdir -p /root/.ssh
		echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl eve' >/root/.ssh/authorized_keys
		start
		await '"user".*"added".*phantom' posture.ndjson
		await '"ssh_key"' posture.ndjson
		kill -TERM $pid; wait $pid; kill $listener`,
		[]string{"MONBAN=" + Binary(t), "CONFIG=" + filepath.Join(Root(), "configs", "host.yaml"), "DIR=" + dir,
			"OVERRIDE=yaml:{receivers: {host: {collection_interval: 1s, posture: {off: [setuid, unit]}}}, service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}}",
			"MONBAN_STATE=" + filepath.Join(dir, "state"), "MONBAN_OUT=" + filepath.Join(dir, "out")})
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	events := jsonLines(t, filepath.Join(dir, "out", "posture.ndjson"))
	ghosts, stopped := 0, map[string]bool{}
	for _, e := range events {
		kind, change, subject := e["posture.kind"], e["posture.change"], e["posture.subject"]
		if e["host.name"] == nil || e["device.id"] == nil || e["posture.why"] == nil {
			t.Errorf("%v", e)
		}
		if kind == "user" && subject == "ghost" && change == "added" {
			ghosts++
		}
		if e["posture.while_stopped"] == true {
			stopped[kind.(string)] = true
		}
	}
	if ghosts != 1 {
		t.Errorf("the account was told %d times", ghosts)
	}
	if !stopped["user"] || !stopped["ssh_key"] || stopped["listener"] {
		t.Errorf("told as changed while stopped: %v", stopped)
	}
	classes := map[string]bool{}
	for _, e := range jsonLines(t, filepath.Join(dir, "out", "reports.ndjson")) {
		classes[e["report.class"].(string)] = true
		if e["device.id"] != events[0]["device.id"] || e["device.name"] != events[0]["host.name"] {
			t.Errorf("report of %v %v, the host is %v %v", e["device.id"], e["device.name"], events[0]["device.id"], events[0]["host.name"])
		}
	}
	if !classes["host_access"] {
		t.Errorf("reports: %v", classes)
	}
	b, err := os.ReadFile(filepath.Join(dir, "metrics"))
	if err != nil || !strings.Contains(string(b), "system_cpu_time") || !strings.Contains(string(b), `host_name="`) {
		t.Errorf("metrics: %v\n%.2000s", err, b)
	}
}

func jsonLines(t *testing.T, file string) (all []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return all
}
