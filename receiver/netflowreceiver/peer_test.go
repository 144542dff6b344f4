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
	"time"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/netflow"
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

// metered is what our own meter says of a capture; padded, with the padding of short
// frames, which softflowd counts to the packet.
func metered(t *testing.T, file string, padded bool) (map[conversation]*sums, []flow.Record) {
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
				if link := 14; padded && h.IsIP() && frames[i].Link == packet.LinkEthernet && h.VLAN == 0 && h.WireLen > link+h.NetLen {
					h.NetLen = h.WireLen - link
				}
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

// firsts are the first record of each conversation.
func firsts(records []flow.Record) map[conversation]*flow.Record {
	all := map[conversation]*flow.Record{}
	for i := range records {
		r := &records[i]
		if !r.IsIP() {
			continue
		}
		c := conversation{r.Src.Addr, r.Dst.Addr, r.Src.Port, r.Dst.Port, r.Proto}
		if x := c.a.Compare(c.b); x > 0 || x == 0 && c.aPort > c.bPort {
			c = conversation{c.b, c.a, c.bPort, c.aPort, c.proto}
		}
		if old := all[c]; old == nil || r.Start < old.Start {
			all[c] = r
		}
	}
	return all
}

// TestSoftflowd has another meter export what it sees of a capture, and finds in the
// records what our own meter counts in the same packets.
func TestSoftflowd(t *testing.T) {
	for _, c := range []struct {
		file          string
		conversations int // all, of IPv4 and IPv6
		v4            int // those of IPv4
		reordered     int // TCP states that differ: flags alone do not tell whether FIN or RST came first
		epochs        int // starts that differ: the capture is of several years, and an uptime of 32 bits is too short
	}{
		{filepath.Join(testbed.Root(), "testbed", "lab", "demo.pcap.gz"), 5904, 5891, 0, 0},
		{"ndpi/pcap/bittorrent.pcap", 24, 24, 0, 0},
		{"ndpi/pcap/starcraft_battle.pcap", 52, 52, 0, 0},
		{"ndpi/pcap/tumblr.pcap", 47, 0, 1, 0},
		{"zeek/Traces/wikipedia.pcap", 34, 31, 0, 0},
		{"zeek/Traces/smtp.pcap", 9, 9, 0, 4},
		{"zeek/Traces/udp-broadcast.pcap", 1, 1, 0, 0},
		{"zeek/Traces/modbus/modbus-and-non-modbus-p502.pcap", 7, 7, 1, 1},
	} {
		if !filepath.IsAbs(c.file) {
			c.file = filepath.Join(testbed.Data(t), filepath.FromSlash(c.file))
		}
		file := plain(t, c.file)
		want, own := metered(t, file, true)
		mine := firsts(own)
		for _, v := range []struct {
			name string
			args []string
			ipv6 bool
			unit time.Duration // of its times
		}{
			{"v5", []string{"-v", "5"}, false, 2 * time.Millisecond},
			{"v9", []string{"-v", "9"}, true, time.Second},
			{"ipfix", []string{"-v", "10"}, true, time.Second},
			{"ipfix nano", []string{"-v", "10", "-A", "nano"}, true, time.Microsecond},
			{"ipfix biflow", []string{"-v", "10", "-b", "-A", "micro"}, true, time.Microsecond},
		} {
			conversations := c.conversations
			if !v.ipv6 {
				conversations = c.v4
			}
			if conversations == 0 {
				continue
			}
			t.Run(filepath.Base(c.file)+" "+v.name, func(t *testing.T) {
				s := &sink{}
				r := start(t, config(), s, nil)
				softflowd(t, file, r.address(0), append(v.args, "-a")...)
				r.settle(t)
				if err := r.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				if stats := r.collector.Stats(); stats.Lost != 0 || stats.Dropped != (netflow.Stats{}).Dropped || stats.Hurried != 0 {
					t.Errorf("lost, dropped or hurried: %+v", stats)
				}
				got := map[conversation]*sums{}
				for i := range s.records {
					tally(got, &s.records[i])
				}
				theirs := firsts(s.records)
				same, started, states := 0, 0, 0
				for k, n := range want {
					if !v.ipv6 && k.a.Is6() {
						continue
					}
					if g := got[k]; g == nil || *g != *n {
						t.Errorf("%v: exporter %v, own %v", k, g, *n)
						continue
					}
					same++
					m, o := mine[k], theirs[k]
					if d := time.Duration(m.Start - o.Start); d > v.unit || -d > v.unit {
						started++
					}
					if !m.Guessed && m.Src.Addr != o.Src.Addr {
						t.Errorf("%v: initiator %v (guessed %v), own %v", k, o.Src.Addr, o.Guessed, m.Src.Addr)
					}
					if !m.Guessed && m.Part == 0 && m.Reason != flow.Active && m.State != o.State {
						states++
					}
				}
				if same != conversations || len(got) != conversations {
					t.Errorf("%d conversations the same of %d, want %d", same, len(got), conversations)
				}
				if states > c.reordered || started > c.epochs {
					t.Errorf("%d states and %d starts differ, want at most %d and %d", states, started, c.reordered, c.epochs)
				}
			})
		}
	}
}

// TestPmacctSFlow has pmacctd sample every packet of a capture as sFlow: packets and
// bytes of all conversations are those that our own meter counts.
func TestPmacctSFlow(t *testing.T) {
	name, err := exec.LookPath("pmacctd")
	if err != nil {
		t.Skip("needs pmacctd of pmacct")
	}
	file := plain(t, filepath.Join(testbed.Root(), "testbed", "lab", "demo.pcap.gz"))
	want, _ := metered(t, file, false)
	s := &sink{}
	r := start(t, config(), s, nil)
	conf := filepath.Join(t.TempDir(), "pmacctd.conf")
	if err := os.WriteFile(conf, []byte("daemonize: false\nplugins: sfprobe\npcap_savefile: "+file+"\npcap_savefile_delay: 1\nsampling_rate: 1\n"+
		"sfprobe_agentip: 192.0.2.9\nplugin_pipe_size: 67108864\nplugin_buffer_size: 65536\nsfprobe_receiver: "+r.address(0)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// At the end of its file it takes the end of its own plugin for a fault now and then, and exits with 1: what was
	// sampled by then is compared below.
	p := testbed.Exec(t, exec.Command(name, "-f", conf))
	if p.Code > 1 {
		t.Fatalf("pmacctd: exit code %d\n%s%s", p.Code, p.Stdout, p.Stderr)
	}
	r.settle(t)
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[conversation]*sums{}
	for i := range s.records {
		tally(got, &s.records[i])
	}
	missing := uint64(0) // pmacctd never sends its last datagram when that is not full
	for k, n := range want {
		g := got[k]
		if g == nil {
			t.Errorf("%v: not exported, own %v", k, n)
			continue
		}
		for i := range g {
			if g[i] > n[i] {
				t.Errorf("%v: exporter %v, own %v", k, g, n)
			}
		}
		missing += n[0] + n[2] - g[0] - g[2]
	}
	const datagram = 8 // samples
	if missing >= datagram || len(got) != len(want) {
		t.Errorf("%d packets missing of %d conversations, own %d", missing, len(got), len(want))
	}
	stats := r.collector.Stats()
	stats.Dropped[netflow.CounterSample] = 0 // it sends one now and then, which is of no flow
	if stats.Lost != 0 || stats.Dropped != (netflow.Stats{}).Dropped || stats.Datagrams[netflow.SFlow5] < 5000 {
		t.Errorf("lost or dropped: %+v", stats)
	}
}
