package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/internal/durable"
)

// TestDamagedState damages what was learned in every file at once, and starts again: the damage
// is said, the files are kept, and the run is as good as a first one.
func TestDamagedState(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"truncated", func(b []byte) []byte { return b[:len(b)/2] }},
		{"empty", func([]byte) []byte { return nil }},
		{"zeroed", func(b []byte) []byte { clear(b); return b }},
		{"garbage", func([]byte) []byte { return []byte(strings.Repeat("garbage", 1000)) }},
		{"another version", func(b []byte) []byte { b[8]++; return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			word := "pcap:" + demo() + "?state=" + dir
			first := Run(t, "--config", word)
			if first.Code != 0 || first.Stderr != "" {
				t.Fatalf("exit code %d\n%s", first.Code, first.Stderr)
			}
			files, _ := filepath.Glob(filepath.Join(dir, "*", "*.state"))
			if len(files) < 3 {
				t.Fatalf("only %v saved", files)
			}
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err == nil {
					err = os.WriteFile(file, c.damage(b), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			again := Run(t, "--config", word)
			if again.Code != 0 {
				t.Fatalf("exit code %d\n%s", again.Code, again.Stderr)
			}
			if n := strings.Count(again.Stderr, "was set aside"); n != len(files) {
				t.Errorf("%d files said to be set aside, want %d\n%s", n, len(files), again.Stderr)
			}
			if kept, _ := filepath.Glob(filepath.Join(dir, "*", "*.damaged-*")); len(kept) != len(files) {
				t.Errorf("%d damaged files kept, want %d", len(kept), len(files))
			}
			if third := Run(t, "--config", word); third.Code != 0 || third.Stderr != "" {
				t.Errorf("what was learned after the damage is no good: exit code %d\n%s", third.Code, third.Stderr)
			}
		})
	}
}

// TestStateInUse has the directory held by this process.
func TestStateInUse(t *testing.T) {
	dir := t.TempDir()
	lock, err := durable.Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	r := Run(t, "--config", "pcap:"+demo()+"?state="+dir)
	if want := fmt.Sprintf("in use by process %d", os.Getpid()); r.Code != 1 || !strings.Contains(r.Stderr, want) {
		t.Errorf("exit code %d, want 1 and %q\n%s", r.Code, want, r.Stderr)
	}
}

// TestKilledWhileLearning kills the binary at moments spread over a run that saves as often as it
// may; each next run finds state that it can use.
func TestKilledWhileLearning(t *testing.T) {
	dir := t.TempDir()
	args := []string{
		"--config", "pcap:" + demo() + "?state=" + dir,
		"--set", "processors::device::save_interval=1s", "--set", "processors::baseline::save_interval=1s",
	}
	if r := Run(t, args...); r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	for i := range 12 {
		cmd := exec.Command("timeout", append([]string{"--signal=KILL", fmt.Sprintf("%.2f", 0.05+0.08*float64(i)), Binary(t)}, args...)...)
		if r := Exec(t, cmd); strings.Contains(r.Stderr, "set aside") {
			t.Errorf("kill %d left damaged state\n%s", i, r.Stderr)
		}
	}
	if r := Run(t, args...); r.Code != 0 || r.Stderr != "" {
		t.Errorf("after the kills: exit code %d\n%s", r.Code, r.Stderr)
	}
}
