package testbed

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinkThatFlaps deletes the only interface and makes it again while the real binary listens,
// which has given up its privileges by then and must still be able to open it.
func TestLinkThatFlaps(t *testing.T) {
	for user, status := range map[string]string{
		"":       "CapEff 0000000000002402 NoNewPrivs 1 Uid 0",
		"nobody": "CapEff 0000000000002400 NoNewPrivs 1 Uid 65534",
	} {
		t.Run("user "+user, func(t *testing.T) {
			namespace := inNamespace
			env := []string{"SET=--set=receivers::packetflow::privileges=drop"}
			dir, err := os.MkdirTemp("", "monban-flap-") // where nobody can go, too
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			if user != "" {
				if os.Getuid() != 0 {
					t.Skip("needs root, to become somebody else")
				}
				namespace = inNamespaceOfRoot
				env = []string{"SET=--set=receivers::packetflow::user=" + user}
				if err := os.Chmod(dir, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			r := namespace(t, `
				link() {
					ip link add port0 type veth peer name port1
					ip address add 10.7.0.1/24 dev port0
					ip link set port0 up; ip link set port1 up
					ip neigh replace 10.7.0.9 lladdr 02:00:00:00:00:09 dev port0
				}
				talk() { exec 4<>/dev/udp/10.7.0.9/502; for i in $(seq $1); do echo hello >&4; done; }
				said() { for i in $(seq 100); do grep -q "$1" log && return; sleep 0.1; done; cat log >&2; exit 9; }
				link
				"$MONBAN" --config "live:port1?out=$OUT&filter=udp port 502" "$SET" >log 2>&1 & pid=$!
				said 'Listening'
				sleep 0.5; talk 10; sleep 0.5
				ip link del port0
				said 'An interface is gone'
				link
				said 'An interface is back'
				sleep 0.2; talk 20; sleep 0.5
				for key in CapEff NoNewPrivs Uid; do echo $key $(sed -n "s/^$key:\t\([^\t]*\).*/\1/p" /proc/$pid/task/*/status | sort -u); done
				kill -INT $pid
				wait $pid || { cat log >&2; exit 8; }`,
				append(env, "MONBAN="+Binary(t), "OUT="+dir)...)
			if r.Code != 0 {
				t.Fatalf("exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
			}
			if got := strings.Join(strings.Fields(r.Stdout), " "); got != status {
				t.Errorf("threads have %q, want %q", got, status)
			}
			all := lines(t, filepath.Join(dir, "capture.ndjson"))
			var c struct {
				Packets int `json:"capture.packets"`
				Outages int `json:"capture.outages"`
			}
			if err := json.Unmarshal([]byte(all[len(all)-1]), &c); err != nil || c.Packets != 30 || c.Outages != 1 {
				t.Errorf("%v: %s", err, all[len(all)-1])
			}
		})
	}
}
