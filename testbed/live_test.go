package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inNamespace runs a shell script in a network namespace of its own, where this user is root, so
// that ports and interfaces are nobody else's. A system that forbids that skips the test.
func inNamespace(t *testing.T, script string, env ...string) Result {
	t.Helper()
	if err := exec.Command("unshare", "-rn", "ip", "link", "set", "lo", "up").Run(); err != nil {
		t.Skipf("no network namespace to be had: %v", err)
	}
	return unshared(t, "-rn", script, env)
}

// inNamespaceOfRoot is inNamespace for root itself, with the users that there are.
func inNamespaceOfRoot(t *testing.T, script string, env ...string) Result {
	t.Helper()
	if err := exec.Command("unshare", "-n", "ip", "link", "set", "lo", "up").Run(); err != nil {
		t.Skipf("no network namespace to be had: %v", err)
	}
	return unshared(t, "-n", script, env)
}

func unshared(t *testing.T, how, script string, env []string) Result {
	t.Helper()
	cmd := exec.Command("unshare", how, "bash", "-c", "set -eu; ip link set lo up\n"+script)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), env...)
	return Exec(t, cmd)
}

// TestLiveConfigs runs the two configurations for live interfaces until the health check says
// that all is well, sends packets, and ends them as Ctrl-C does.
func TestLiveConfigs(t *testing.T) {
	for _, config := range []string{"live.yaml", "edge-full.yaml"} {
		t.Run(config, func(t *testing.T) {
			dir := t.TempDir()
			r := inNamespace(t, `
				ip link add port0 type veth peer name port1
				ip address add 10.7.0.1/24 dev port0
				ip link set port0 up; ip link set port1 up
				"$MONBAN" --config "$CONFIG" & pid=$!
				healthy() { exec 3<>/dev/tcp/127.0.0.1/13133 && printf 'GET /status HTTP/1.0\r\n\r\n' >&3 && grep -q '200 OK' <&3; }
				for i in $(seq 200); do healthy 2>/dev/null && break; sleep 0.1; done
				healthy
				for i in $(seq 20); do echo hello >/dev/udp/10.7.0.9/99 || true; echo hello >/dev/udp/127.0.0.1/99 || true; done
				sleep 1
				grep -E '^Vm(HWM|RSS)' /proc/$pid/status
				kill -INT $pid
				wait $pid`,
				"MONBAN="+Binary(t), "CONFIG="+filepath.Join(Root(), "configs", config),
				"MONBAN_STATE="+filepath.Join(dir, "state"), "MONBAN_OUT="+filepath.Join(dir, "out"),
				"MONBAN_INTERFACE=lo", "MONBAN_INTERFACE_2=port1")
			if r.Code != 0 {
				t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
			}
			if n := events(t, dir)["flows"]; n == 0 {
				t.Errorf("no flows\n%s", r.Stderr)
			}
			t.Log(strings.TrimSpace(r.Stdout))
		})
	}
}
