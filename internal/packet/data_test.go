package packet

import (
	"bytes"
	"compress/gzip"
	"errors"
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
