package quality

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/quality/chain"
)

// watched reads a capture and keeps all that was told, each record with its verdict as a sum of its
// text. Before each event it asks whether another process takes over.
func watched(t *testing.T, path string, over func(c *chain.Chain) bool) (c *chain.Chain, told []uint64, at []string) {
	t.Helper()
	c = chain.New()
	c.Told = func(x any) {
		h := fnv.New64a()
		fmt.Fprintf(h, "%T %+v", x, x)
		told = append(told, h.Sum64())
		at = append(at, fmt.Sprintf("%.300s", fmt.Sprintf("%T %+v", x, x)))
	}
	c.Before = func() {
		if over(c) {
			if _, err := c.HandOver(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Read(path); err != nil {
		t.Fatal(err)
	}
	return c, told, at
}

// Whenever another process takes a site over, between any two events, in the middle of scans,
// floods and spoofing too: all verdicts, observations, forecasts, devices and reports are the same, word by
// word, and so is the state in the end.
func TestHandOver(t *testing.T) {
	for _, name := range []string{
		"demo", "netns-demo/demo.pcap", "slips/test7-malicious.pcap", "slips/test12-icmp-portscan.pcap", "simple-scan/445_scan.pcap",
		"modbus-lemay/send_a_fake_command_modbus_6RTU_with_operate.pcap", "dnp3-qut/MITM-training-frequent.attacker.pcap.zip",
	} {
		t.Run(name, func(t *testing.T) {
			path := demo("demo.pcap.gz")
			if name != "demo" {
				path = testbed.Data(t, strings.Split(name, "/")...)
			}
			if filepath.Ext(path) == ".zip" {
				path = unzip(t, path, ".pcap")
			}
			events := 0
			through, want, words := watched(t, path, func(*chain.Chain) bool { events++; return false })
			r, n, times := rand.New(rand.NewPCG(1, 2)), 0, 0
			over, got, others := watched(t, path, func(*chain.Chain) bool {
				if n++; r.IntN(events) >= 60 {
					return false
				}
				times++
				return true
			})
			if events > 200 && times < 20 {
				t.Errorf("%d hand-overs", times)
			}
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("%d of %d told is other after hand-overs:\n%s\nwant\n%s", i, len(want), others[min(i, len(others)-1)], words[i])
				}
			}
			a, err := through.HandOver()
			if err != nil {
				t.Fatal(err)
			}
			b, err := over.HandOver()
			if err != nil {
				t.Fatal(err)
			}
			for i := range a {
				if !bytes.Equal(a[i], b[i]) {
					t.Errorf("in the end state %d is other", i)
				}
			}
			t.Logf("%d events, %d hand-overs, %d told, %d reports; states of %d, %d, %d and %d bytes", events, times, len(want), len(through.Reports), len(a[0]), len(a[1]), len(a[2]), len(a[3]))
		})
	}
}
