package testbed

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMirrorsOfTheKernel takes copies that the kernel of two switches makes, each in a namespace of
// its own: what passes an interface there is mirrored into a VXLAN device whose far end is an
// address of ours. One switch has a name, a third is not listed. A conversation is counted exactly,
// under the name of who saw it, and the process keeps no more privileges than it needs.
func TestMirrorsOfTheKernel(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the devices of another namespace are made from here")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte(`
receivers:
  packetflow:
    mirrors:
      listen: [vxlan, gre, geneve, tzsp]
      peers:
        - {address: 10.50.1.2, name: core-switch}
        - {address: 10.50.2.2, name: hall-2}
exporters:
  ndjson:
    directory: `+dir+`
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [packetflow], exporters: [ndjson]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := inNamespace(t, `
		trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
		peer() { # number: a switch with two ports, p0 and p1, whose traffic is mirrored to us
			unshare -n sleep 100 & local ns=$!
			sleep 0.3
			in="nsenter -t $ns -n"
			ip link add up$1 type veth peer name wan netns $ns
			ip address add 10.50.$1.1/24 dev up$1; ip link set up$1 up
			$in ip address add 10.50.$1.2/24 dev wan; $in ip link set wan up
			$in ip link add p0 type veth peer name p1
			$in sysctl -qw net.ipv6.conf.p0.disable_ipv6=1 net.ipv6.conf.p1.disable_ipv6=1
			$in ip address add 10.60.$1.1/24 dev p0; $in ip link set p0 up; $in ip link set p1 up
			$in ip neigh replace 10.60.$1.9 lladdr 02:00:00:00:00:09 dev p0
			if ! $in ip link add vx type vxlan id 4$1 remote 10.50.$1.1 dstport 4789 dev wan; then echo NO-VXLAN; exit 0; fi
			$in sysctl -qw net.ipv6.conf.vx.disable_ipv6=1
			$in ip link set vx up
			$in tc qdisc add dev p0 clsact
			if ! $in tc filter add dev p0 egress bpf bytecode '1,6 0 0 4294967295' action mirred egress mirror dev vx; then echo NO-MIRRED; exit 0; fi
			eval peer$1=$ns
		}
		peer 1; peer 2; peer 3
		"$MONBAN" --config "$CONFIG" & pid=$!
		for i in $(seq 200); do grep -q ':12B5 ' /proc/net/udp6 /proc/net/udp && break; sleep 0.1; done
		for n in 1 2 3; do
			eval ns=\$peer$n
			nsenter -t $ns -n bash -c "exec 3<>/dev/udp/10.60.$n.9/502; for i in \$(seq $((100 * n))); do echo hello >&3; done"
		done
		sleep 1
		grep -h CapEff /proc/$pid/task/*/status | sort -u
		kill -INT $pid
		wait $pid`,
		"MONBAN="+Binary(t), "CONFIG="+config)
	for _, no := range []string{"NO-VXLAN", "NO-MIRRED"} {
		if strings.Contains(r.Stdout, no) {
			t.Skipf("the kernel here can't do it: %s\n%s", no, r.Stderr)
		}
	}
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	if got := strings.Fields(r.Stdout); len(got) != 2 || got[1] != "0000000000002402" {
		t.Errorf("capabilities of all threads: %q", r.Stdout)
	}
	type flow struct {
		Interface string `json:"network.interface.name"`
		Dst       string `json:"destination.address"`
		Port      int    `json:"destination.port"`
		Packets   int    `json:"flow.io.packets"`
	}
	seen := map[string]int{}
	for _, line := range lines(t, filepath.Join(dir, "flows.ndjson")) {
		var f flow
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		if f.Port == 502 {
			seen[f.Interface+" "+f.Dst] += f.Packets
		}
	}
	if len(seen) != 2 || seen["core-switch 10.60.1.9"] != 100 || seen["hall-2 10.60.2.9"] != 200 {
		t.Errorf("seen %v", seen)
	}
	all := lines(t, filepath.Join(dir, "capture.ndjson"))
	var c struct {
		Unwanted int `json:"capture.unwanted"`
		Dropped  int `json:"capture.dropped"`
	}
	if err := json.Unmarshal([]byte(all[len(all)-1]), &c); err != nil || c.Unwanted != 300 || c.Dropped != 0 {
		t.Errorf("%v: the third switch is not counted: %s", err, all[len(all)-1])
	}
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
