package packet

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dataDir is where the shared captures are; without them a test is skipped, unless
// MONBAN_REQUIRE_DATA=1.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("MONBAN_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("MONBAN_REQUIRE_DATA") == "1" {
			t.Fatalf("the captures that MONBAN_REQUIRE_DATA=1 requires: %v", err)
		}
		t.Skipf("no captures in %s (set MONBAN_DATA)", dir)
	}
	return dir
}

// filesBelow lists files of any kind below dir.
func filesBelow(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// eachFrame reads a capture to its end or its damage, which it gives.
func eachFrame(t testing.TB, path string, see func(*Frame)) (damage error) {
	t.Helper()
	s, err := OpenFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	frames := make([]Frame, 64)
	for {
		n, err := s.NextBatch(frames)
		var bad *FileError
		switch {
		case err == io.EOF:
			return damage
		case errors.As(err, &bad):
			damage = err
		case err != nil:
			t.Fatal(err)
		}
		for i := range frames[:n] {
			see(&frames[i])
		}
	}
}

// Every packet of every hostile capture is decoded or refused with a reason, and
// every file that is none is refused with a word.
func TestMalformed(t *testing.T) {
	dir := filepath.Join(dataDir(t), "malformed")
	var opened, packets, damaged int
	var reasons [reasonCount]int
	for _, path := range filesBelow(t, dir) {
		s, err := OpenFiles(path)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path) {
				t.Errorf("an error that does not name the file: %v", err)
			}
			decodeAnyway(t, path)
			continue
		}
		s.Close()
		opened++
		var d Decoder
		var h Header
		err = eachFrame(t, path, func(f *Frame) {
			packets++
			why := d.Decode(f, &h)
			reasons[why]++
			if why == OK && (h.PayloadLen < len(h.Payload) || h.PayloadLen > h.WireLen+4 || h.IsIP() && h.NetLen > h.WireLen) {
				t.Errorf("%s: lengths that can't be: %+v", path, h)
			}
		})
		var bad *FileError
		if errors.As(err, &bad) {
			damaged++
			if bad.Path != path || bad.Offset == 0 {
				t.Errorf("damage is told badly: %v", err)
			}
		}
	}
	sum := 0
	for _, n := range reasons {
		sum += n
	}
	if sum != packets || opened == 0 {
		t.Errorf("%d packets, %d decoded or refused", packets, sum)
	}
	t.Logf("%d captures, %d of them damaged; %d packets, of which refused:", opened, damaged, packets)
	for _, r := range Reasons() {
		t.Logf("  %-16s %d", r, reasons[r])
	}
}

// decodeAnyway takes a file that is no capture for a frame of each link type.
func decodeAnyway(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d Decoder
	var h Header
	for link := range LinkType(300) {
		f := Frame{Data: data, WireLen: len(data), Link: link}
		if why := d.Decode(&f, &h); why >= reasonCount {
			t.Errorf("%s as link type %d: reason %d", path, link, why)
		}
	}
}

// put writes a file into the test's directory.
func put(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// named is a capture of n packets, one a second from start on, each of which says its name.
func named(name byte, start, n int) []byte {
	b := pcapFile{}.header()
	for i := range n {
		b = append(b, pcapFile{}.packet(uint32(start+i), 0, []byte{name, byte(i)}, 60)...)
	}
	return b
}

func open(t testing.TB, paths ...string) Source {
	t.Helper()
	s, err := OpenFiles(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Real tunnels, and real frames that are not IP, as whoever captured them says they are.
func TestWrappingsInCaptures(t *testing.T) {
	dir := dataDir(t)
	for _, c := range []struct {
		path string
		want string // packets by kind, id and depth of the tunnel, or by what is not IP
	}{
		{"zeek/Traces/erspanI.pcap", "map[erspan1 0 1:10]"},
		{"zeek/Traces/erspanII.pcap", "map[erspan2 100 1:4]"},
		{"zeek/Traces/erspanIII.pcap", "map[erspan3 0 1:2]"},
		{"suricata-verify/decode-erspan-typeI-02/input.pcap", "map[erspan1 0 1:42]"},
		{"suricata-verify/decode-erspan-typeII-01/input.pcap", "map[erspan2 100 1:6 net 2000:2]"},
		{"suricata-verify/vxlan-decoder-02/vxlan.pcap", "map[net 0806:2 vxlan 100 1:10]"},
		{"suricata-verify/decode-teredo-01/input.pcap", "map[ip:75 teredo 0 1:3]"},
		{"suricata-verify/decode-etag-01/input.pcap", "map[ip:1]"},
		{"zeek/Traces/tunnels/vxlan.pcap", "map[net 0806:2 vxlan 123 1:10]"},
		{"zeek/Traces/tunnels/vxlan-triple-v2.pcap", "map[vxlan-gpe 3 3:1]"},
		{"zeek/Traces/tunnels/geneve-47101.pcap", "map[geneve 4242 1:24]"},
		{"zeek/Traces/tunnels/gre-within-gre.pcap", "map[gre 0 2:628]"},
		{"zeek/Traces/tunnels/gre-over-udp-4754.pcap", "map[gre 0 1:14]"},
		{"zeek/Traces/tunnels/gtp/gtp6_gtp_0x32.pcap", "map[gtp-u 159098 1:14 gtp-u 1980578736 1:17]"},
		{"ndpi/pcap/4in4tunnel.pcap", "map[ipip 0 1:5]"},
		{"ndpi/pcap/capwap_data.pcapng", "map[capwap 0 1:14]"},
		{"iti-ics/IEC61850/GOOSE/GOOSE.pcap", "map[net 88b8:8]"},
		{"iti-ics/profinet/PROFINET-RT-DCP/PROFINET-RT.pcap", "map[net 8892:14]"},
		{"iti-ics/Zigbee/control4-sample.pcap", "map[net 0504:239 no_network:168]"}, // 168 acknowledgements
		{"iti-ics/openics/EIP-SoftwareUploadFailure.pcap", "map[ip:7 net 0042:133 net 0806:33 net 2000:5 net 88cc:9]"},
	} {
		got := map[string]int{}
		var d Decoder
		var h Header
		eachFrame(t, filepath.Join(dir, c.path), func(f *Frame) {
			why := d.Decode(f, &h)
			if why != OK {
				got[why.String()]++
				return
			}
			if u := h.Tunnel; u.Depth > 0 {
				got[fmt.Sprint(u.Kind, " ", u.ID, " ", u.Depth)]++
			}
			if !h.IsIP() {
				got[fmt.Sprintf("net %04x", h.Net)]++
			} else if h.Tunnel.Depth == 0 {
				got["ip"]++
			}
		})
		if s := fmt.Sprint(got); s != c.want {
			t.Errorf("%s: %s, want %s", c.path, s, c.want)
		}
	}
}
