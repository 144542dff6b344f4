package testbed

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// netflow is the binary with configs/netflow.yaml, on a port of loopback that is free.
type netflow struct {
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	dir     string
	address string
}

func startNetflow(t *testing.T, dir string) *netflow {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &netflow{dir: dir, address: c.LocalAddr().String()}
	c.Close()
	n.cmd = exec.Command(Binary(t), "--config", filepath.Join(Root(), "configs", "netflow.yaml"), "--config",
		"yaml:{receivers: {netflow: {max_clock_skew: 0s, save_interval: 1s}}, extensions: {healthcheckv2: {http: {endpoint: '127.0.0.1:0'}}}, service: {telemetry: {metrics: {level: none, readers: []}}}}")
	n.cmd.Env = append(os.Environ(), "MONBAN_STATE="+filepath.Join(dir, "state"), "MONBAN_OUT="+filepath.Join(dir, "out"), "MONBAN_NETFLOW="+n.address)
	n.cmd.Stderr = &n.stderr
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.cmd.Process.Kill() })
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) { // until it listens
		probe, err := net.ListenPacket("udp", n.address)
		if err != nil {
			return n
		}
		probe.Close()
		if time.Since(begun) > 30*time.Second {
			t.Fatal("it does not listen")
		}
	}
}

func (n *netflow) send(t *testing.T, datagrams ...[]byte) {
	t.Helper()
	c, err := net.Dial("udp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range datagrams {
		if _, err := c.Write(d); err != nil {
			t.Fatal(err)
		}
	}
}

// end stops it in order.
func (n *netflow) end(t *testing.T) {
	t.Helper()
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, n.stderr.String())
	}
}

func (n *netflow) lines(t *testing.T, file string) (lines []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.dir, "out", file))
	if err != nil {
		t.Fatalf("%v\n%s", err, n.stderr.String())
	}
	for line := range bytes.Lines(b) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return lines
}

// TestTemplatesOutliveAKill kills the binary between a template and its data.
func TestTemplatesOutliveAKill(t *testing.T) {
	be := binary.BigEndian
	now := uint32(time.Now().Unix())
	message := func(seq uint32, set uint16, body []byte) []byte {
		b := be.AppendUint16(be.AppendUint16(nil, 9), 1)
		for _, v := range []uint32{100_000 + seq, now, seq, 7} {
			b = be.AppendUint32(b, v)
		}
		return append(be.AppendUint16(be.AppendUint16(b, set), uint16(4+len(body))), body...)
	}
	var template []byte
	for _, v := range []uint16{300, 7, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4} {
		template = be.AppendUint16(template, v)
	}
	data := []byte{10, 0, 0, 5, 10, 0, 0, 1, 0x9c, 0x40, 0x01, 0xbb, 6, 0, 0, 3, 232, 0, 0, 0, 10}

	dir := t.TempDir()
	n := startNetflow(t, dir)
	n.send(t, message(0, 0, template))
	kept := filepath.Join(dir, "state", "receiver_netflow", "state.state")
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if b, err := os.ReadFile(kept); err == nil && bytes.Contains(b, []byte(`"id":300`)) {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the template was not saved\n%s", n.stderr.String())
		}
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()

	n = startNetflow(t, dir)
	n.send(t, message(1, 300, data))
	time.Sleep(500 * time.Millisecond) // for it to be read before the end
	n.end(t)
	flows := n.lines(t, "flows.ndjson")
	if len(flows) != 1 || flows[0]["flow.io.bytes"] != 1000.0 || flows[0]["source.address"] != "10.0.0.5" || flows[0]["observer.ip"] != "127.0.0.1" {
		t.Errorf("flows %v\n%s", flows, n.stderr.String())
	}
}

// TestReportsFromNetFlow has softflowd export the demo capture: four of the five events in it are
// found in its flows; the fifth is an OT command, which only a packet tells.
func TestReportsFromNetFlow(t *testing.T) {
	softflowd, err := exec.LookPath("softflowd")
	if err != nil {
		t.Skip("needs softflowd")
	}
	dir := t.TempDir()
	in, err := os.Open(demo())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.Create(filepath.Join(dir, "plain.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(plain, z); err != nil {
		t.Fatal(err)
	}
	plain.Close()
	n := startNetflow(t, dir)
	export := exec.Command(softflowd, "-r", "plain.pcap", "-n", n.address, "-d", "-6", "-a", "-m", "1000000", "-p", "pid", "-c", "ctl", "-v", "9")
	export.Dir = dir
	if r := Exec(t, export); r.Code != 0 {
		t.Fatalf("softflowd: %s", r.Stderr)
	}
	time.Sleep(2 * time.Second) // for what is in the socket to be read
	n.end(t)
	var classes []string
	for _, r := range n.lines(t, "reports.ndjson") {
		if class, _ := r["report.class"].(string); !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	for _, want := range []string{"new_device", "port_scan", "flood", "exfiltration"} {
		if !slices.Contains(classes, want) {
			t.Errorf("reports of the classes %v, want %s too\n%s", classes, want, n.stderr.String())
		}
	}
}
