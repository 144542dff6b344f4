package durable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	switch os.Getenv("MONBAN_TEST_CHILD") {
	case "write":
		writeForever(os.Getenv("MONBAN_TEST_DIR"))
	case "lock":
		if _, err := Acquire(os.Getenv("MONBAN_TEST_DIR")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		select {}
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) (*Dir, *[]Notice) {
	t.Helper()
	var notices []Notice
	d, err := Open(dir, func(n Notice) { notices = append(notices, n) })
	if err != nil {
		t.Fatal(err)
	}
	return d, &notices
}

func set(t *testing.T, d *Dir, key, value string) {
	t.Helper()
	if err := d.Set(key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, d *Dir, key string, value []byte) {
	t.Helper()
	got, err := d.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, value) || (got == nil) != (value == nil) {
		t.Errorf("Get(%.40q) = %.40q, want %.40q", key, got, value)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, notices := open(t, path)
	want(t, d, "none", nil)
	keys := []string{"", "a", "A/b", ".", "..", "%", "%2F", "%2E", "日本", strings.Repeat("k", 1000), strings.Repeat("k", 1001), "x\x00y", "lock", "a.state"}
	for i, key := range keys {
		set(t, d, key, "first")
		set(t, d, key, strconv.Itoa(i))
	}
	set(t, d, "empty", "")

	d, _ = open(t, path)
	for i, key := range keys {
		want(t, d, key, []byte(strconv.Itoa(i)))
	}
	want(t, d, "empty", []byte{})
	seen := map[string]string{}
	if err := d.Walk(func(key string, value []byte) error { seen[key] = string(value); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != len(keys)+1 || seen["A/b"] != "2" {
		t.Errorf("Walk saw %d values with A/b = %q, want %d and 2", len(seen), seen["A/b"], len(keys)+1)
	}
	stop := errors.New("enough")
	if err := d.Walk(func(string, []byte) error { return stop }); err != stop {
		t.Errorf("Walk() = %v, want the function's error", err)
	}

	for range 2 {
		if err := d.Delete("a"); err != nil {
			t.Fatal(err)
		}
	}
	want(t, d, "a", nil)
	if err := d.Set(strings.Repeat("k", maxKey+1), nil); err == nil {
		t.Error("a key that does not fit was taken")
	}
	if len(*notices) > 0 {
		t.Errorf("notices %v, want none", *notices)
	}
	for _, name := range files(t, path) {
		if !strings.HasSuffix(name, suffix) {
			t.Errorf("file %q left over", name)
		}
	}
}

func TestDamage(t *testing.T) {
	value := bytes.Repeat([]byte("what was learned "), 1000)
	whole := append(encodeHeader("key", value), value...)
	change := func(f func(b []byte) []byte) func(string) error {
		return func(file string) error { return os.WriteFile(file, f(bytes.Clone(whole)), 0o600) }
	}
	for _, c := range []struct {
		name   string
		damage func(file string) error
		reason string
		detail string
	}{
		{"empty", change(func([]byte) []byte { return nil }), Damaged, "empty"},
		{"cut within the header", change(func(b []byte) []byte { return b[:10] }), Damaged, "header"},
		{"cut within the key", change(func(b []byte) []byte { return b[:headerLen+1] }), Damaged, "length"},
		{"cut within the value", change(func(b []byte) []byte { return b[:len(b)/2] }), Damaged, "length"},
		{"too long", change(func(b []byte) []byte { return append(b, 0) }), Damaged, "length"},
		{"all zero", change(func(b []byte) []byte { clear(b); return b }), Damaged, "begin"},
		{"a page of zeros", change(func(b []byte) []byte { clear(b[4096:8192]); return b }), Damaged, "checksum"},
		{"one bit in the value", change(func(b []byte) []byte { b[9000] ^= 4; return b }), Damaged, "checksum"},
		{"one bit in the key", change(func(b []byte) []byte { b[headerLen] ^= 1; return b }), Damaged, "checksum"},
		{"one bit in the checksum", change(func(b []byte) []byte { b[13] ^= 1; return b }), Damaged, "checksum"},
		{"a length beyond all bounds", change(func(b []byte) []byte { binary.LittleEndian.PutUint64(b[16:], 1<<63); return b }), Damaged, "length"},
		{"garbage", change(func([]byte) []byte { return []byte(strings.Repeat("garbage!", 100)) }), Damaged, "begin"},
		{"another version", change(func(b []byte) []byte { b[8] = 2; return b }), Version, "format 2"},
		{"another key's file", change(func([]byte) []byte { return append(encodeHeader("other", value), value...) }), Damaged, `"other"`},
		{"a directory", func(file string) error { return os.Mkdir(file, 0o700) }, Damaged, "regular"},
		{"a link to nowhere", func(file string) error { return os.Symlink("nowhere", file) }, Damaged, "regular"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			if err := c.damage(filepath.Join(path, "key.state")); err != nil {
				t.Fatal(err)
			}
			d, notices := open(t, path)
			want(t, d, "key", nil)
			if len(*notices) != 1 {
				t.Fatalf("notices %v, want one", *notices)
			}
			n := (*notices)[0]
			if n.Key != "key" || n.Reason != c.reason || !strings.Contains(n.Detail, c.detail) {
				t.Errorf("notice %+v, want reason %q and a detail with %q", n, c.reason, c.detail)
			}
			if _, err := os.Lstat(n.File); err != nil {
				t.Errorf("the damaged file is gone: %v", err)
			}
			want(t, d, "key", nil)
			set(t, d, "key", "new")
			want(t, d, "key", []byte("new"))
			if len(*notices) != 1 {
				t.Errorf("notices %v, want one", *notices)
			}
		})
	}
}

func TestDamagedFilesAreBounded(t *testing.T) {
	path := t.TempDir()
	d, notices := open(t, path)
	for range 10 {
		if err := os.WriteFile(filepath.Join(path, "key.state"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, d, "key", nil)
	}
	// a directory where a value should go gives way too
	if err := os.Mkdir(filepath.Join(path, "key.state"), 0o700); err != nil {
		t.Fatal(err)
	}
	set(t, d, "key", "value")
	want(t, d, "key", []byte("value"))
	if err := d.SetAside("key", "it does not add up"); err != nil {
		t.Fatal(err)
	}
	if err := d.SetAside("key", "there is none"); err != nil {
		t.Fatal(err)
	}
	want(t, d, "key", nil)
	if len(*notices) != 12 || (*notices)[11].Reason != Rejected {
		t.Errorf("%d notices, the last %+v, want 12 and a rejected one", len(*notices), (*notices)[len(*notices)-1])
	}
	names := files(t, path)
	if len(names) != asideMost {
		t.Errorf("files %v, want %d", names, asideMost)
	}
	if last := filepath.Base((*notices)[11].File); names[len(names)-1] != last {
		t.Errorf("the newest, %s, was not kept: %v", last, names)
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	if os.Getuid() == 0 {
		// root may write anywhere, so take a file for the directory
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("Open() = %v, want an error that names the file", err)
		}
		if _, err := Acquire(file); err == nil {
			t.Error("a file was locked as a directory")
		}
	}
	path := t.TempDir()
	d, _ := open(t, path)
	set(t, d, "key", "value")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Set("key", nil); err == nil || !strings.Contains(err.Error(), `saving "key"`) {
		t.Errorf("Set() = %v, want an error that says what was being done", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	d, notices := open(t, t.TempDir())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				if err := d.Set("key", bytes.Repeat([]byte{byte(w)}, 100+i)); err != nil {
					t.Error(err)
				}
				got, err := d.Get("key")
				if err != nil || len(got) < 100 || bytes.Count(got, got[:1]) != len(got) {
					t.Errorf("Get() = %x, %v, want one value whole", got, err)
				}
			}
		})
	}
	wg.Wait()
	if len(*notices) > 0 {
		t.Errorf("notices %v, want none", *notices)
	}
}

// value is what the child writes for a number: of changing length, all of it told by the number.
func value(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%08d", n), 1+n*7919%20000)
}

func writeForever(dir string) {
	d, err := Open(dir, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	first := 0
	if v, err := d.Get("key"); err == nil && v != nil {
		first, _ = strconv.Atoi(string(v[:8]))
	}
	for n := first + 1; ; n++ {
		if err := d.Set("key", value(n)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Printf("%08d\n", n) // only now has it been promised
	}
}

// TestKill kills a real process at random moments of writing. What it said was saved must be
// there, whole, or something newer.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	kills := 40
	if testing.Short() {
		kills = 5
	}
	interrupted := 0
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MONBAN_TEST_CHILD=write", "MONBAN_TEST_DIR="+dir)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()

		promised := 0
		if lines := strings.Split(out.String(), "\n"); len(lines) > 1 {
			promised, _ = strconv.Atoi(lines[len(lines)-2])
		}
		for _, name := range files(t, dir) {
			if strings.HasSuffix(name, tempSuffix) {
				interrupted++
			}
		}
		d, notices := open(t, dir)
		got, err := d.Get("key")
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		if len(got) >= 8 {
			found, _ = strconv.Atoi(string(got[:8]))
		}
		if found < promised || (found > 0 && !bytes.Equal(got, value(found))) || len(*notices) > 0 {
			t.Fatalf("found number %d in %d bytes, promised was %d; notices %v", found, len(got), promised, *notices)
		}
		for _, name := range files(t, dir) {
			if strings.HasSuffix(name, tempSuffix) {
				t.Errorf("%s was left over", name)
			}
		}
	}
	t.Logf("%d kills, of which %d were in the middle of writing", kills, interrupted)
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MONBAN_TEST_CHILD=lock", "MONBAN_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}

	_, err = Acquire(dir)
	if err == nil {
		t.Fatal("two processes have the lock")
	}
	for _, s := range []string{dir, fmt.Sprintf("process %d", cmd.Process.Pid)} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not name %q", err, s)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	l, err := Acquire(dir)
	if err != nil {
		t.Fatalf("the lock outlived its process: %v", err)
	}
	if _, err := Acquire(dir); err == nil || !strings.Contains(err.Error(), "this process") {
		t.Errorf("Acquire() = %v, want an error that names this process", err)
	}
	for range 2 {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
	if l, err = Acquire(dir); err != nil {
		t.Error(err)
	}
	_ = l.Release()
	_ = (*Lock)(nil).Release()
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeHeader("", nil))
	f.Add(append(encodeHeader("key", []byte("value")), "value"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, value, err := decode(data)
		if err != nil {
			return
		}
		if again := append(encodeHeader(key, value), value...); !bytes.Equal(again, data) {
			t.Errorf("%x was taken for the file of %q with %q", data, key, value)
		}
	})
}

func FuzzEscapeName(f *testing.F) {
	f.Add("a", "b")
	f.Add(".", "%2E")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := EscapeName(a), EscapeName(b)
		if (x == y) != (a == b) {
			t.Errorf("EscapeName(%q) = %q and EscapeName(%q) = %q", a, x, b, y)
		}
		if x == "" || len(x) > nameMost || strings.HasPrefix(x, ".") || strings.ContainsAny(x, "/\\\x00:") {
			t.Errorf("EscapeName(%q) = %q is no good file name", a, x)
		}
	})
}

func BenchmarkSet(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20, 5 << 20} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			d, err := Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			value := make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := d.Set("key", value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	d, err := Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Set("key", make([]byte, 5<<20)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(5 << 20)
	for b.Loop() {
		if _, err := d.Get("key"); err != nil {
			b.Fatal(err)
		}
	}
}
