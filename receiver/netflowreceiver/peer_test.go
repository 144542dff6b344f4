package netflowreceiver

import (
	"compress/gzip"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// conversation is what both sides of a comparison agree on to be one flow.
type conversation struct {
	a, b         netip.Addr
	aPort, bPort uint16
	proto        uint8
}

// sums are packets and bytes from a and from b.
type sums [4]uint64

func tally(into map[conversation]*sums, r *flow.Record) {
	if !r.IsIP() {
		return
	}
	c := conversation{r.Src.Addr, r.Dst.Addr, r.Src.Port, r.Dst.Port, r.Proto}
	n := sums{r.Src.Packets, r.Src.Bytes, r.Dst.Packets, r.Dst.Bytes}
	if x := c.a.Compare(c.b); x > 0 || x == 0 && c.aPort > c.bPort {
		c = conversation{c.b, c.a, c.bPort, c.aPort, c.proto}
		n = sums{n[2], n[3], n[0], n[1]}
	}
	s := into[c]
	if s == nil {
		s = &sums{}
		into[c] = s
	}
	for i := range n {
		s[i] += n[i]
	}
}

// metered is what our own meter says of a capture.
func metered(t *testing.T, file string) (map[conversation]*sums, []flow.Record) {
	t.Helper()
	src, err := packet.OpenFiles(file)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	all := map[conversation]*sums{}
	var records []flow.Record
	cfg := flow.NewDefaultConfig()
	table := flow.NewTable(cfg, func(r *flow.Record) { tally(all, r); records = append(records, *r) })
	var d packet.Decoder
	var h packet.Header
	frames := make([]packet.Frame, 64)
	for {
		n, err := src.NextBatch(frames)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range frames[:n] {
			if d.Decode(&frames[i], &h) == packet.OK {
				table.Add(&h, 0)
			}
		}
	}
	table.Flush()
	return all, records
}

func plain(t *testing.T, file string) string {
	t.Helper()
	if !strings.HasSuffix(file, ".gz") {
		return file
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "plain.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// softflowd meters a capture and exports to the address.
func softflowd(t *testing.T, file, address string, args ...string) {
	t.Helper()
	name, err := exec.LookPath("softflowd")
	if err != nil {
		t.Skip("needs softflowd")
	}
	cmd := exec.Command(name, append([]string{"-r", file, "-n", address, "-d", "-6", "-m", "1000000",
		"-p", "pid", "-c", "ctl"}, args...)...)
	cmd.Dir = t.TempDir() // of the files above: it hangs when their paths are long
	if r := testbed.Exec(t, cmd); r.Code != 0 {
		t.Fatalf("softflowd: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// TestSoftflowd has another meter export what it sees of a capture, and finds in the
// records what our own meter counts in the same packets.
func TestSoftflowd(t *testing.T) {
	captures := []string{filepath.Join(testbed.Root(), "testbed", "lab", "demo.pcap.gz")}
	for _, c := range captures {
		file := plain(t, c)
		want, own := metered(t, file)
		for _, v := range []struct {
			name string
			args []string
			ipv6 bool
		}{
			{"v5", []string{"-v", "5"}, false},
			{"v9", []string{"-v", "9"}, true},
			{"ipfix", []string{"-v", "10"}, true},
			{"ipfix biflow", []string{"-v", "10", "-b"}, true},
		} {
			t.Run(filepath.Base(c)+" "+v.name, func(t *testing.T) {
				s := &sink{}
				r := start(t, config(), s, nil)
				softflowd(t, file, r.address(0), v.args...)
				r.settle(t)
				if err := r.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				stats := r.collector.Stats()
				got := map[conversation]*sums{}
				for i := range s.records {
					tally(got, &s.records[i])
				}
				same, other := 0, 0
				for c, n := range want {
					if !v.ipv6 && c.a.Is6() {
						continue
					}
					g := got[c]
					if g == nil {
						g = &sums{}
					}
					if *g == *n {
						same++
					} else if other++; other < 12 {
						t.Logf("%v: exporter %v, own %v", c, *g, *n)
					}
				}
				extra := 0
				for c := range got {
					if want[c] == nil {
						if extra++; extra < 8 {
							t.Logf("only the exporter has %v %v", c, *got[c])
						}
					}
				}
				t.Logf("%d conversations the same, %d not, %d only of the exporter; %d records, own %d; %+v", same, other, extra, len(s.records), len(own), stats)
			})
		}
	}
}
