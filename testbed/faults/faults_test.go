package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/monban/monban/testbed"
)

func demo() string { return filepath.Join(testbed.Root(), "testbed", "lab", "demo.pcap.gz") }

// lines reads a file of events, each of which must be JSON on its own, in UTF-8, and without control
// characters. A file that is not there has none.
func lines(t *testing.T, name string) (events []map[string]any) {
	t.Helper()
	f, err := os.Open(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var e map[string]any
		if err := json.Unmarshal(s.Bytes(), &e); err != nil || !utf8.Valid(s.Bytes()) || bytes.ContainsFunc(s.Bytes(), unicode.IsControl) {
			t.Fatalf("%s: not a line of JSON: %.200q: %v", filepath.Base(name), s.Text(), err)
		}
		events = append(events, e)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

func number(e map[string]any, key string) int {
	n, _ := e[key].(float64)
	return int(n)
}

// conserved checks that all packets read are in flow records, in floods or refused, and tells how many there were.
func conserved(t *testing.T, dir string) (packets int) {
	t.Helper()
	in, refused := 0, 0
	for _, file := range []string{"flows.ndjson", "floods.ndjson"} {
		for _, e := range lines(t, filepath.Join(dir, file)) {
			in += number(e, "flow.io.packets") + number(e, "flow.reverse.io.packets")
		}
	}
	for _, e := range lines(t, filepath.Join(dir, "capture.ndjson")) {
		packets, refused = number(e, "capture.packets"), number(e, "capture.refused")
	}
	if in+refused != packets {
		t.Errorf("%d packets were read, %d are in flow records and %d refused", packets, in, refused)
	}
	return packets
}

// sane checks what must hold however bad the input was.
func sane(t *testing.T, r testbed.Result) {
	t.Helper()
	switch {
	case strings.Contains(r.Stderr, "panic:") || strings.Contains(r.Stderr, "goroutine "):
		t.Errorf("panic\n%s", r.Stderr)
	case r.Code != 0 && r.Code != 1 && r.Code != 3:
		t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
	case r.Code == 1 && strings.TrimSpace(r.Stderr) == "":
		t.Error("exit code 1 and not a word")
	}
}

// ends checks the exit code and that standard error says why.
func ends(t *testing.T, r testbed.Result, code int, says ...string) {
	t.Helper()
	sane(t, r)
	if r.Code != code {
		t.Errorf("exit code %d, want %d\n%s", r.Code, code, r.Stderr)
	}
	for _, s := range says {
		if !strings.Contains(r.Stderr, s) {
			t.Errorf("standard error does not say %q\n%s", s, r.Stderr)
		}
	}
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// Captures that were made to break readers: no panic, no second of work, and every packet
// accounted for. Each goes through the binary alone, and once more with all others of its
// directory, together with the files there that are no captures at all.
func TestMalformed(t *testing.T) {
	root := testbed.Data(t, "malformed")
	out, ran := filepath.Join(t.TempDir(), "out"), 0
	n, packets, slowest := 0, 0, time.Duration(0)
	run := func(name string, most time.Duration) int {
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		r := testbed.Run(t, "--config", "pcap:"+name+"?out="+out)
		sane(t, r)
		if r.CPU > most || r.Took > 20*time.Second {
			t.Errorf("took %s, %s of CPU", r.Took, r.CPU)
		}
		read := conserved(t, out)
		if r.Code == 1 && read != 0 {
			t.Errorf("packets were read, and yet nothing could be: %s", r.Stderr)
		}
		if t.Failed() {
			t.Fatal(name)
		}
		ran++
		slowest = max(slowest, r.CPU)
		return read
	}
	dirs := map[string]int{}
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		dir := filepath.Dir(name)
		if dirs[dir] += 0; !looksLikeCapture(data) || testing.Short() && n%10 != 0 {
			return nil
		}
		read := run(name, time.Second)
		packets, dirs[dir] = packets+read, dirs[dir]+read
		return nil
	})
	if err != nil || ran == 0 {
		t.Fatalf("%d files: %v", ran, err)
	}
	for dir, want := range dirs {
		if read := run(filepath.Join(dir, "*"), 10*time.Second); read != want && !testing.Short() {
			t.Errorf("%s: %d packets in all, %d one by one", dir, read, want)
		}
	}
	t.Logf("%d files, %d runs, %d packets, at most %s of CPU", n, ran, packets, slowest)
}

func looksLikeCapture(data []byte) bool {
	for _, magic := range []string{"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x0a\x0d\x0d\x0a"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	return false
}

func TestWrongWords(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "plant.pcap"), capture().Bytes())
	odd := filepath.Join(dir, "a, b & $HOME ${env:HOME}?x=1")
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(odd, "c,1.pcap"), capture().Bytes())
	for _, c := range []struct {
		words []string
		code  int
		says  []string
	}{
		{[]string{"pcap:" + filepath.Join(dir, "plnt.pcap") + "?uot=x&home=10.0.0/8,foo&fail_on=hgih"}, 1,
			[]string{"did you mean plant.pcap", "did you mean out", `"10.0.0/8"`, `"foo"`, "did you mean high"}},
		{[]string{"pcap:" + file, "live:lo"}, 1, []string{"can't be used together"}},
		{[]string{"pcap:" + file, "pcap:" + file}, 1, []string{"can't be used together"}},
		{[]string{"pcap:" + dir}, 1, []string{"is a directory"}},
		{[]string{"live:nosuch0"}, 1, []string{"there is no such interface; there are "}},
		{[]string{"pcap:" + filepath.Join(odd, "c,1.pcap")}, 0, nil},
		{[]string{"pcap:" + filepath.Join(odd, "*.pcap") + "?out=" + filepath.Join(odd, "out")}, 0, nil},
	} {
		var args []string
		for _, w := range c.words {
			args = append(args, "--config", w)
		}
		ends(t, testbed.Run(t, args...), c.code, c.says...)
	}
	if conserved(t, filepath.Join(odd, "out")) != 0 {
		t.Error("packets of an empty capture")
	}
}

// A name on the wire may be a command to a terminal, or the end of a line of JSON.
func TestNamesThatCommand(t *testing.T) {
	dir := t.TempDir()
	c := capture()
	for i, name := range []string{"\x1b[2J\x1b[31mowned\x1b[0m", "\xff\xfe\x80bad", "a\r\nfake line\x07", "\"}\n{\"event\":\"x\"}",
		"\xe2\x80\xae\xe2\x80\x8bgnp.exe", "\x9b31m", "\x00nul\x00", "\xc2\x9b31m", strings.Repeat("x", 61) + "\xe2\x82", "\xed\xa0\x80", "\xe2\x80\xa8ls"} {
		c.names(byte(i), name)
	}
	file := write(t, filepath.Join(dir, "names.pcap"), c.Bytes())
	r := testbed.Run(t, "--config", "pcap:"+file+"?out="+dir)
	ends(t, r, 0)
	if conserved(t, dir) != c.packets {
		t.Error("not all packets were read")
	}
	for _, name := range []string{"sightings", "devices", "reports"} {
		lines(t, filepath.Join(dir, name+".ndjson"))
	}
	for _, s := range []string{r.Stdout, r.Stderr} {
		for _, l := range strings.Split(s, "\n") {
			if !utf8.ValidString(l) || strings.ContainsFunc(l, func(x rune) bool { return unicode.IsControl(x) || unicode.Is(unicode.Cf, x) }) {
				t.Errorf("a terminal would be commanded by %q", l)
			}
		}
	}
	if !strings.Contains(r.Stdout, "owned") {
		t.Errorf("the name is not shown at all\n%s", r.Stdout)
	}
}

// Traffic that wants to cost: nothing may grow without bound, nor take for ever.
func TestHostileTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 75,000 flows")
	}
	const n = 25_000
	for _, c := range []struct {
		name string
		add  func(c *pcap, i int)
	}{
		{"a new device with each packet", func(c *pcap, i int) {
			c.at = base + int64(i)*500_000
			c.syn([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, [4]byte{10, 255, 0, 1}, mac(2, i), 80)
		}},
		{"a spoofed source with each packet", func(c *pcap, i int) {
			c.at = base + int64(i)*50_000
			h := uint32(i) * 2654435761
			c.syn([4]byte{byte(h>>24)%200 + 1, byte(h >> 16), byte(h >> 8), byte(h)}, [4]byte{10, 255, 0, 1}, mac(0, 1), 80)
		}},
		{"a clock that jumps between 1970 and 2106", func(c *pcap, i int) {
			c.at = []int64{0, 4294967295e9, base, 1, 4294967294e9, base - 1e9}[i%6]
			c.syn([4]byte{10, 0, 0, byte(i)}, [4]byte{10, 255, 0, 1}, mac(0, 1), 1000+i%500)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := capture()
			for i := range n {
				c.add(p, i)
			}
			file := write(t, filepath.Join(dir, "hostile.pcap"), p.Bytes())
			r := testbed.Run(t, "--config", "pcap:"+file+"?out="+dir+"&state="+filepath.Join(dir, "state"))
			ends(t, r, 0)
			if got := conserved(t, dir); got != n {
				t.Errorf("%d packets of %d", got, n)
			}
			if r.PeakRSS > 400<<20 || r.CPU > 15*time.Second {
				t.Errorf("took %s of CPU and %d MiB", r.CPU, r.PeakRSS>>20)
			}
			t.Logf("%s of CPU, %d MiB", r.CPU, r.PeakRSS>>20)
		})
	}
}
