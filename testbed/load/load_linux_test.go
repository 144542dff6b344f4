package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// TestMain lets the test program be the sender, and the process in a namespace.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == sendCommand || os.Getenv(inside) != "") {
		main()
		return
	}
	os.Exit(m.Run())
}

func load(t *testing.T, args ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	if out, err := exec.Command("unshare", "-n", "ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1").CombinedOutput(); err != nil {
		t.Skipf("network namespaces with veth can't be made here: %v: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{"-monban", testbed.Binary(t)}, args...)...)
	// in its namespace already as far as it knows; Exec gives it one
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Args = append([]string{"-n", self}, cmd.Args[1:]...)
	cmd.Args = append([]string{"unshare"}, cmd.Args...)
	if cmd.Path, err = exec.LookPath("unshare"); err != nil {
		t.Fatal(err)
	}
	r := testbed.Exec(t, cmd)
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Every packet of a rate that any machine can bear is in a flow.
func TestLoad(t *testing.T) {
	out := load(t, "-rates", "20k", "-seconds", "2", "-n", "1", "-peers", "")
	t.Log("\n" + out)
	row := regexp.MustCompile(`\| 20000 \| monban \| (\d+) \| (\d+) \| 0 \| 0 \| 0 of 1 \|`).FindStringSubmatch(out)
	if row == nil {
		t.Fatal("packets are missing")
	}
	if n, _ := strconv.Atoi(row[2]); n < 30_000 {
		t.Errorf("%d packets in two seconds of 20,000 a second", n)
	}
}

func TestSoak(t *testing.T) {
	out := load(t, "-for", "8s", "-warm-up", "4s", "-rate", "5000")
	if !strings.Contains(out, "0 lost by count") || !strings.Contains(out, "is not judged") {
		t.Errorf("got\n%s", out)
	}
}

// Memory that grows is found, and memory that only wavers is not.
func TestFlat(t *testing.T) {
	rss := func(s sample) float64 { return s.rss }
	for _, c := range []struct {
		name string
		at   func(minute int) float64
		want bool
	}{
		{"even", func(int) float64 { return 120 }, true},
		{"wavering", func(m int) float64 { return 120 + float64(m%7) }, true},
		{"falling", func(m int) float64 { return 120 - float64(m)/2 }, true},
		{"a leak of 8 MB in an hour", func(m int) float64 { return 120 + float64(m)*8/55 + float64(m%7) }, false},
	} {
		var all []sample
		for m := range 55 {
			all = append(all, sample{at: time.Duration(m) * time.Minute, rss: c.at(m)})
		}
		if growth, ok := flat(all, rss); ok != c.want {
			t.Errorf("%s: %v, growth %.1f", c.name, ok, growth)
		}
	}
	if _, ok := flat(nil, rss); ok {
		t.Error("nothing is flat")
	}
}

// What is sent is what it should be: every frame is whole, and the mix has connections that open
// and close.
func TestTraffic(t *testing.T) {
	for name, traffic := range map[string]traffic{"small": newSmall(), "mixed": newMixed()} {
		var d packet.Decoder
		var h packet.Header
		seen := map[string]bool{}
		flags := map[uint8]int{}
		for range 20_000 {
			b := bytes.Clone(traffic.next())
			if why := d.Decode(&packet.Frame{Data: b, WireLen: len(b), Link: packet.LinkEthernet}, &h); why != packet.OK {
				t.Fatalf("%s: %s: % x", name, why, b)
			}
			if h.NetLen != len(b)-14 || name == "small" && len(b) != 60 {
				t.Fatalf("%s: %d bytes, of IP %d", name, len(b), h.NetLen)
			}
			flags[h.TCPFlags]++
			seen[fmt.Sprint(h.Src, h.Dst, h.SrcPort, h.DstPort)] = true
		}
		if name == "small" && len(seen) != 2*smallFlows {
			t.Errorf("%d one-way flows", len(seen))
		}
		if name == "mixed" && (flags[packet.SYN] < 100 || flags[packet.FIN|packet.ACK] < 100) {
			t.Errorf("flags %v", flags)
		}
	}
}

func TestRates(t *testing.T) {
	for s, want := range map[string]int{"max": 0, "50k": 50_000, "7": 7, "k": -1, "-5": -1, "0": -1} {
		got, err := parseRate(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d", s, got)
		}
	}
}

// Records that were set aside and packed count as well.
func TestSumFlows(t *testing.T) {
	dir := t.TempDir()
	line := `{"flow.io.packets":3,"flow.reverse.io.packets":4}` + "\n"
	if err := os.WriteFile(dir+"/flows.ndjson", []byte(line+line), 0o600); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(line)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/flows-2026-11-25T00-00-00.000.ndjson.gz", packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := sumFlows(dir); n != 21 || err != nil {
		t.Errorf("%d packets, %v", n, err)
	}
	if _, err := sumFlows(t.TempDir()); err == nil {
		t.Error("no flows are no error")
	}
}
