//go:build unix

package packet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// order reads everything and gives the names in order, and damage.
func order(t testing.TB, s Source, batch int) (names string, damage []error) {
	t.Helper()
	frames := make([]Frame, batch)
	for {
		n, err := s.NextBatch(frames)
		for _, f := range frames[:n] {
			names += string(f.Data[0])
		}
		var bad *FileError
		switch {
		case err == io.EOF:
			return names, damage
		case errors.As(err, &bad):
			damage = append(damage, err)
		case err != nil:
			t.Fatal(err)
		}
	}
}

func TestFilesInOrderOfTime(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"3.pcap":    named('c', 200, 3),
		"1.pcap":    named('a', 100, 3),
		"2.pcap":    zipped(named('b', 101, 3)),
		"4.pcap":    named('d', 150, 1),
		"none.pcap": pcapFile{}.header(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, batch := range []int{1, 2, 3, 100} {
		s := open(t, filepath.Join(dir, "*.pcap"))
		names, damage := order(t, s, batch)
		if names != "aababbdccc" || damage != nil {
			t.Errorf("batches of %d: %q, %v", batch, names, damage)
		}
		if done, total := s.Progress(); done != total || total == 0 {
			t.Errorf("progress ends at %d of %d", done, total)
		}
		st := s.Stats()
		if st.Packets != 10 || st.Bytes != 600 || len(st.Interfaces) != 5 {
			t.Errorf("stats %+v", st)
		}
		if i := s.Interfaces()[0]; i.File != filepath.Join(dir, "1.pcap") || i.Name != "1.pcap" || i.Link != LinkEthernet {
			t.Errorf("interface %+v", i)
		}
	}
}

// Many files that follow each other are not held open, and those that overlap are
// merged packet by packet.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 400 {
		start := i * 10
		if i%2 == 1 {
			start -= 5 // overlaps the one before
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.pcap", (i*7919)%400)), named('x', start, 20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, filepath.Join(dir, "*"))
	frames := make([]Frame, 64)
	var last int64
	total, most := 0, 0
	for {
		n, err := s.NextBatch(frames)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames[:n] {
			if f.Time < last {
				t.Fatalf("packet %d goes back from %d to %d", total, last, f.Time)
			}
			last = f.Time
		}
		total += n
		most = max(most, len(s.(*fileSource).open))
	}
	if total != 8000 || most > 4 {
		t.Errorf("%d packets, %d files open at a time", total, most)
	}
}

// More than can be open at a time are all read, if not quite in order.
func TestMoreFilesThanCanBeOpen(t *testing.T) {
	dir := t.TempDir()
	for i := range maxOpen + 50 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), named('x', i%7, 30), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names, damage := order(t, open(t, filepath.Join(dir, "*")), 256)
	if len(names) != (maxOpen+50)*30 || damage != nil {
		t.Errorf("%d packets, %v", len(names), damage)
	}
}

func TestDamagedFiles(t *testing.T) {
	sound := named('a', 100, 5)
	cut := sound[:len(sound)-1]
	lies := append(bytes.Clone(sound), pcapFile{}.packet(200, 0, []byte{'x'}, 60)...)
	lies[len(lies)-7] = 0x7f // its length becomes over two billion
	for _, c := range []struct {
		name    string
		content []byte
		packets string
		eof     bool
		says    string
	}{
		{"cut in a packet", cut, "aaaa", true, fmt.Sprintf("at byte %d, after 4 packets: the file is cut off", 24+4*18)},
		{"cut in a packet's header", sound[:24+18*2+7], "aa", true, "at byte 60, after 2 packets: the file is cut off"},
		{"compressed and cut", zipped(cut), "aaaa", true, "after 4 packets: the file is cut off"},
		{"compressed file itself cut", zipped(sound)[:50], "", true, "the file is cut off"},
		{"a length that lies", lies, "aaaaa", false, fmt.Sprintf("at byte %d, after 5 packets: a packet of", len(sound))},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := put(t, "x.pcap", c.content)
			s := open(t, path)
			names, damage := order(t, s, 3)
			if c.name == "compressed file itself cut" {
				names = "" // as many as the inflater gave
			}
			if names != c.packets || len(damage) != 1 {
				t.Fatalf("%q, then %v", names, damage)
			}
			if err := damage[0]; errors.Is(err, io.ErrUnexpectedEOF) != c.eof || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v", err)
			}
			if st := s.Stats(); st.Damaged != 1 {
				t.Errorf("stats %+v", st)
			}
			if done, total := s.Progress(); done != total {
				t.Errorf("progress ends at %d of %d", done, total)
			}
			// and the others go on
			names, damage = order(t, open(t, path, put(t, "y.pcap", named('y', 103, 5))), 3)
			if len(damage) != 1 || strings.Count(names, "y") != 5 {
				t.Errorf("beside another: %q, %v", names, damage)
			}
		})
	}
}

func TestNoCaptures(t *testing.T) {
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	erf := cat([]byte{1, 2, 3, 4, 0, 0, 0, 0x60, 2, 4, 0, 24, 0, 0, 0, 6}, zero(8), []byte{1, 2, 3, 4, 1, 0, 0, 0x60, 2, 4, 0, 24, 0, 0, 0, 6}, zero(8))
	for _, c := range []struct {
		name    string
		content []byte
		says    string
	}{
		{"empty", nil, "is empty (0 bytes)"},
		{"three bytes", []byte{0xd4, 0xc3, 0xb2}, "starts with the bytes d4 c3 b2"},
		{"half a header", pcapFile{}.header()[:20], "its header of 24 bytes is cut off"},
		{"a version nobody knows", patch(pcapFile{}.header(), 4, 9), "pcap version 9.4"},
		{"web page", []byte("<!DOCTYPE html>\r\n<html>"), `starts with "<!DOCTYPE html>"`},
		{"snoop", []byte("snoop\x00\x00\x00\x00\x00\x00\x02"), "Solaris snoop file (convert it with: editcap"},
		{"ERF", erf, "ERF file (convert it with: tshark"},
		{"zstd", []byte("\x28\xb5\x2f\xfd1234"), "zstd -d"},
		{"zip", []byte("PK\x03\x041234"), "zip archive"},
		{"gzip of a tar", zipped(tar), "is a gzip, the content of which is no capture: it is a tar archive"},
		{"gzip of a gzip", zipped(zipped(named('a', 1, 1))), "again a gzip"},
		{"gzip of nothing", zipped(nil), "is a gzip, the content of which is empty"},
		{"gzip that is cut", zipped(named('a', 1, 1))[:6], "is a gzip whose header is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := put(t, "x.pcap", c.content)
			_, err := OpenFiles(path)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), path+" ") && !strings.HasPrefix(err.Error(), path+":") {
				t.Errorf("%v, want %q in it", err, c.says)
			}
		})
	}
}

func TestPathsThatNameNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"monday.pcap", "tuesday.pcap", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), named('a', 1, 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		paths []string
		says  []string
	}{
		{nil, []string{"no capture file is named"}},
		{[]string{in("mondy.pcap")}, []string{"there is no file", "nearest in " + dir + ": monday.pcap, tuesday.pcap"}},
		{[]string{in("*.pcapng"), in("sunday.pcap")}, []string{"no file matches", "there is no file", "monday.pcap"}},
		{[]string{in("sub/x.pcap")}, []string{"nor a directory " + in("sub")}},
		{[]string{dir}, []string{"is a directory", in("*")}},
		{[]string{in("[")}, []string{"syntax error in pattern"}},
		{[]string{""}, []string{"is empty"}},
	} {
		_, err := OpenFiles(c.paths...)
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v, want %q in it", c.paths, err, says)
			}
		}
	}
	// A path that exists is no pattern, and a file named twice is read once.
	odd := in("a[1].pcap")
	if err := os.WriteFile(odd, named('o', 1, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if names, _ := order(t, open(t, odd, odd, dir+"/./a[1].pcap"), 8); names != "oo" {
		t.Errorf("%q", names)
	}
}

func TestFileThatChanges(t *testing.T) {
	big := pcapFile{}.header()
	one := pcapFile{}.packet(1, 0, bytes.Repeat([]byte{'z'}, 1000), 1000)
	for range 1000 {
		big = append(big, one...)
	}
	t.Run("grows", func(t *testing.T) {
		path := put(t, "x.pcap", big)
		s := open(t, path)
		frames := make([]Frame, 10)
		n, err := s.NextBatch(frames)
		if err != nil {
			t.Fatal(err)
		}
		f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		f.Write(one)
		f.Close()
		names, damage := order(t, s, 100)
		if n+len(names) != 1001 || damage != nil {
			t.Errorf("%d packets, %v", n+len(names), damage)
		}
		if done, total := s.Progress(); done != total {
			t.Errorf("progress ends at %d of %d", done, total)
		}
	})
	t.Run("shrinks", func(t *testing.T) {
		path := put(t, "x.pcap", big)
		s := open(t, path)
		if _, err := s.NextBatch(make([]Frame, 10)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 1000); err != nil {
			t.Fatal(err)
		}
		names, damage := order(t, s, 100)
		if len(damage) != 1 || !errors.Is(damage[0], io.ErrUnexpectedEOF) {
			t.Errorf("%d packets, %v", len(names), damage)
		}
	})
	t.Run("vanishes", func(t *testing.T) {
		path, other := put(t, "x.pcap", named('x', 1, 2)), put(t, "y.pcap", named('y', 5, 2))
		s := open(t, path, other)
		os.Remove(path)
		names, damage := order(t, s, 100)
		if names != "yy" || len(damage) != 1 || !errors.Is(damage[0], os.ErrNotExist) {
			t.Errorf("%q, %v", names, damage)
		}
	})
}

// A FIFO stands for standard input too: both are read as their bytes come.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		name    string
		content []byte
		waits   bool
	}{
		{"pcap", named('p', 1, 4), true},
		{"pcapng", ngFile{}.sample(), true},
		{"gzip", zipped(named('p', 1, 4)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, path)
			frames := make([]Frame, 10)
			go func() {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					return
				}
				defer f.Close()
				for i := range c.content { // byte by byte, with a pause in the middle of a packet
					f.Write(c.content[i : i+1])
					if i == len(c.content)-5 {
						time.Sleep(2 * idle)
					}
				}
			}()
			packets, waits := 0, 0
			for {
				n, err := s.NextBatch(frames)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if packets += n; n == 0 {
					waits++
				}
			}
			if packets != 4 || c.waits && waits == 0 {
				t.Errorf("%d packets, %d waits", packets, waits)
			}
			if _, total := s.Progress(); total != 0 {
				t.Errorf("the end is not known, but %d", total)
			}
		})
	}
	t.Run("no capture", func(t *testing.T) {
		s := open(t, path)
		go os.WriteFile(path, []byte("GET / HTTP/1.1\r\n"), 0)
		for {
			_, err := s.NextBatch(make([]Frame, 1))
			if err != nil {
				if !strings.Contains(err.Error(), `starts with "GET / HTTP/1.1"`) {
					t.Error(err)
				}
				return
			}
		}
	})
	t.Run("close", func(t *testing.T) {
		s := open(t, path)
		ended := make(chan error, 1)
		go func() {
			for {
				if _, err := s.NextBatch(make([]Frame, 1)); err != nil {
					ended <- err
					return
				}
			}
		}()
		time.Sleep(50 * time.Millisecond)
		s.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("still waiting")
		}
	})
	goleak.VerifyNone(t)
}

// TestStdin runs itself with a capture as standard input, from a pipe and a file.
func TestStdin(t *testing.T) {
	if os.Getenv("PACKET_TEST_STDIN") == "1" {
		s := open(t, "-")
		names, damage := order(t, s, 2)
		_, total := s.Progress()
		fmt.Println("read", names, len(damage), s.Interfaces()[0], total)
		return
	}
	content := named('s', 1, 3)
	path := put(t, "x.pcap", content)
	for _, fromFile := range []bool{false, true} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStdin$")
		cmd.Env = append(os.Environ(), "PACKET_TEST_STDIN=1")
		cmd.Stdin = bytes.NewReader(content)
		want := "read sss 0 -:stdin 0\n"
		if fromFile {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.Stdin = f
			want = fmt.Sprintf("read sss 0 -:stdin %d\n", len(content))
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %s, want %s", err, out, want)
		}
	}
}

func TestCloseFiles(t *testing.T) {
	s := open(t, put(t, "x.pcap", named('a', 1, 5)), put(t, "y.pcap", named('b', 3, 5)))
	frames := make([]Frame, 2)
	if n, err := s.NextBatch(frames); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	if s.Close() != nil || s.Close() != nil {
		t.Error("Close")
	}
	if _, err := s.NextBatch(frames); err != os.ErrClosed {
		t.Error(err)
	}
	if frames[0].Data[0] != 'a' || len(s.Interfaces()) == 0 || s.Stats().Packets != 2 {
		t.Error("what was given is gone")
	}
}

// The window is right at every size of packet and of read.
func TestWindow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	content := pcapFile{}.header()
	var sizes []int
	for i := range 2000 {
		size := random.IntN(3000)
		if i%97 == 0 {
			size = random.IntN(maxCaptured)
		}
		sizes = append(sizes, size)
		content = append(content, pcapFile{}.packet(uint32(i), 0, bytes.Repeat([]byte{byte(i)}, size), uint32(size))...)
	}
	for _, window := range []int{512, 4096, 65536} {
		c := capture{src: &drips{content, random}, size: window, add: func(Interface) (int, error) { return 0, nil }}
		r, _, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		frames := make([]Frame, 33)
		i := 0
		for {
			n, err := r.next(frames)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range frames[:n] {
				if len(f.Data) != sizes[i] || len(f.Data) > 0 && (f.Data[0] != byte(i) || f.Data[len(f.Data)-1] != byte(i)) {
					t.Fatalf("packet %d", i)
				}
				i++
			}
		}
		if i != len(sizes) {
			t.Errorf("%d packets", i)
		}
	}
}

// drips gives a few bytes at a time.
type drips struct {
	rest   []byte
	random *rand.Rand
}

func (d *drips) Read(b []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+d.random.IntN(70000))], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func TestReadingAllocatesNothing(t *testing.T) {
	s := open(t, put(t, "x.pcap", named('a', 1, 200000)))
	frames := make([]Frame, 64)
	var read atomic.Int64
	if n := testing.AllocsPerRun(100, func() {
		got, err := s.NextBatch(frames)
		if err != nil {
			t.Fatal(err)
		}
		read.Add(int64(got))
	}); n != 0 || read.Load() == 0 {
		t.Errorf("%v allocations", n)
	}
}
