package testbed

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkNetFlow sends what softflowd exports of the demo capture, again and again, to the real
// binary and to nfcapd of nfdump, as fast as each takes it without loss, and says what each record
// costs in processor time of the whole process, its start not counted.
//
//	go test -run '^$' -bench NetFlow -benchtime 1000000x ./testbed
func BenchmarkNetFlow(b *testing.B) {
	for _, version := range []string{"5", "9", "10"} {
		datagrams, records := exported(b, version)
		for _, c := range []struct {
			name  string
			start func(b *testing.B, port string) *exec.Cmd
		}{
			{"monban", monbanFlows("")},
			{"monban, all", monbanFlows("device, baseline")},
			{"nfcapd", nfcapd},
		} {
			b.Run(c.name+" v"+version, func(b *testing.B) {
				port := freePort(b)
				cmd := c.start(b, port)
				waitFor(b, port)
				time.Sleep(time.Second) // its start
				before := processorTime(cmd.Process.Pid)
				begun := time.Now()
				sent := 0
				b.ResetTimer()
				for sent < b.N {
					sent += replay(b, datagrams, records, port, b.N-sent)
				}
				for queue(port) > 0 {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(300 * time.Millisecond)
				took := time.Since(begun) - 300*time.Millisecond
				b.StopTimer()
				spent := processorTime(cmd.Process.Pid) - before
				if d := drops(port); d != 0 {
					b.Errorf("the kernel dropped %d datagrams", d)
				}
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_ = cmd.Wait()
				b.ReportMetric(float64(spent.Nanoseconds())/float64(sent), "cpu-ns/record")
				b.ReportMetric(float64(sent)/took.Seconds(), "records/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// exported are the datagrams of softflowd, and how many records each has.
func exported(b *testing.B, version string) (datagrams [][]byte, records []int) {
	name, err := exec.LookPath("softflowd")
	if err != nil {
		b.Skip("needs softflowd")
	}
	dir := b.TempDir()
	unpack := exec.Command("gzip", "-dc", demo())
	plain, err := os.Create(filepath.Join(dir, "plain.pcap"))
	if err != nil {
		b.Fatal(err)
	}
	unpack.Stdout = plain
	if err := unpack.Run(); err != nil {
		b.Fatal(err)
	}
	plain.Close()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadBuffer(8 << 20)
	cmd := exec.Command(name, "-r", "plain.pcap", "-n", conn.LocalAddr().String(), "-d", "-m", "1000000", "-p", "pid", "-c", "ctl", "-v", version)
	cmd.Dir = dir
	if r := Exec(b, cmd); r.Code != 0 {
		b.Fatalf("softflowd: %s", r.Stderr)
	}
	buf := make([]byte, 1<<16)
	size := map[string]int{"5": 48, "9": 43, "10": 43}[version] // of an IPv4 record
	head := map[string]int{"5": 24, "9": 24, "10": 20}[version]
	for {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := conn.Read(buf)
		if err != nil {
			return datagrams, records
		}
		datagrams = append(datagrams, bytes.Clone(buf[:n]))
		records = append(records, max(1, (n-head)/size))
	}
}

// replay sends datagrams up to so many records, never more than the socket's buffer holds.
func replay(b *testing.B, datagrams [][]byte, records []int, port string, most int) (sent int) {
	c, err := net.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for i, d := range datagrams {
		if sent >= most {
			return sent
		}
		for i%16 == 0 && queue(port) > 60_000 {
			time.Sleep(100 * time.Microsecond)
		}
		if _, err := c.Write(d); err != nil {
			b.Fatal(err)
		}
		sent += records[i]
	}
	return sent
}

func monbanFlows(processors string) func(*testing.B, string) *exec.Cmd {
	return func(b *testing.B, port string) *exec.Cmd {
		connector, exporter, reports := "", "ndjson", ""
		if processors != "" {
			connector, exporter = "connectors: {threat: {}}", "ndjson, threat"
			reports = ", logs/reports: {receivers: [threat], exporters: [ndjson]}"
		}
		dir := b.TempDir()
		config := filepath.Join(dir, "config.yaml")
		text := fmt.Sprintf(`
receivers: {netflow: {endpoints: ["127.0.0.1:%s"]}}
processors: {device: {}, baseline: {}}
%s
exporters: {ndjson: {path: /dev/null}}
service:
  pipelines: {logs: {receivers: [netflow], processors: [%s], exporters: [%s]}%s}
  telemetry: {logs: {level: error}, metrics: {level: none}}
`, port, connector, processors, exporter, reports)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		return begin(b, exec.Command(Binary(b), "--config", config))
	}
}

func nfcapd(b *testing.B, port string) *exec.Cmd {
	name, err := exec.LookPath("nfcapd")
	if err != nil {
		b.Skip("needs nfcapd of nfdump")
	}
	return begin(b, exec.Command(name, "-w", b.TempDir(), "-b", "127.0.0.1", "-p", port, "-t", "3600", "-B", "8388608"))
}

func begin(b *testing.B, cmd *exec.Cmd) *exec.Cmd {
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func freePort(b *testing.B) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	return port
}

// socket gives the kernel's line of the socket on a port of loopback.
func socket(port string) []string {
	n, _ := strconv.Atoi(port)
	all, _ := os.ReadFile("/proc/net/udp")
	for line := range strings.Lines(string(all)) {
		f := strings.Fields(line)
		if len(f) > 12 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
			return f
		}
	}
	return nil
}

func waitFor(b *testing.B, port string) {
	for range 600 {
		if socket(port) != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatal("it does not listen")
}

// queue is how many bytes wait in the socket.
func queue(port string) int64 {
	f := socket(port)
	if f == nil {
		return 0
	}
	_, rx, _ := strings.Cut(f[4], ":")
	n, _ := strconv.ParseInt(rx, 16, 64)
	return n
}

func drops(port string) int {
	f := socket(port)
	if f == nil {
		return 0
	}
	n, _ := strconv.Atoi(f[12])
	return n
}

// processorTime is what a process has spent.
func processorTime(pid int) time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
