package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Each case is a process of its own, as there is no way back.
func TestDrop(t *testing.T) {
	if os.Getenv("MONBAN_TEST_DROP") != "" {
		inside(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for user, want := range map[string]string{
		"-":        "0000000000002402 uid 0", // NET_RAW, NET_BIND_SERVICE, DAC_OVERRIDE
		"nobody":   "0000000000002400 uid 65534",
		"root":     "becoming user root: that is root itself",
		"nosuch-x": "becoming user nosuch-x: there is no such user",
	} {
		again := exec.Command(os.Args[0], "-test.run=^TestDrop$", "-test.v")
		again.Env = append(os.Environ(), "MONBAN_TEST_DROP="+user)
		out, err := again.CombinedOutput()
		if strings.Contains(string(out), errors.ErrUnsupported.Error()) {
			t.Skip("not with cgo: set CGO_ENABLED=0, as make does")
		}
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q in\n%s", user, err, want, out)
		}
	}
}

// threads makes n that stay.
func threads(n int) {
	var made sync.WaitGroup
	made.Add(n)
	for range n {
		go func() {
			runtime.LockOSThread()
			made.Done()
			select {}
		}()
	}
	made.Wait()
}

func inside(t *testing.T) {
	threads(8) // that are there before
	name := os.Getenv("MONBAN_TEST_DROP")
	if name == "-" {
		name = ""
	}
	if err := Drop(name); err != nil {
		fmt.Println(err)
		return
	}
	threads(8) // and such as come after
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) < 16 {
		t.Fatal(tasks, err)
	}
	seen := map[string]bool{}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			of[key] = strings.TrimSpace(value)
		}
		if of["NoNewPrivs"] != "1" || of["CapEff"] != of["CapPrm"] {
			t.Errorf("%s: %v", task, of)
		}
		uid, _, _ := strings.Cut(of["Uid"], "\t")
		seen[of["CapEff"]+" uid "+uid] = true
	}
	if len(seen) != 1 {
		t.Errorf("threads differ: %v", seen)
	}
	for s := range seen {
		fmt.Println(s)
	}
	// A program that root starts would have everything again, but for no_new_privs.
	out, err := exec.Command("grep", "CapEff", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "ffffff") {
		t.Errorf("a child has %s", out)
	}
}
