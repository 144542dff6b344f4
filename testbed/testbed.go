// Package testbed drives the real binary in tests: it builds it once, runs it, and tells what it
// wrote, how it ended, and what it took.
//
// The tests beside it hold what is true of the repository as a whole: which packages may know
// which, that the configurations in configs/ are valid, that an outsider can build our components
// into a distribution of their own.
package testbed

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Root is the directory of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	if dir := filepath.Dir(filepath.Dir(file)); filepath.IsAbs(dir) {
		return dir
	}
	// built with -trimpath: tests run in their package's directory
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "builder-config.yaml")); err == nil {
			return dir
		}
	}
	return "."
}

// Cache is a directory that outlives a test run and that git ignores.
func Cache(t testing.TB, elem ...string) string {
	t.Helper()
	dir := filepath.Join(append([]string{Root(), ".cache", "testbed"}, elem...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Data is the path of a shared capture. Where there are none the test is skipped, or fails if
// MONBAN_REQUIRE_DATA=1. MONBAN_DATA tells where they are; they are not in this repository.
func Data(t testing.TB, elem ...string) string {
	t.Helper()
	p := shared(elem...)
	if _, err := os.Stat(p); err != nil {
		if os.Getenv("MONBAN_REQUIRE_DATA") == "1" {
			t.Fatalf("the captures that MONBAN_REQUIRE_DATA=1 requires: %v", err)
		}
		t.Skipf("no shared captures here (set MONBAN_DATA): %v", err)
	}
	return p
}

func shared(elem ...string) string {
	root := os.Getenv("MONBAN_DATA")
	if root == "" {
		root = filepath.Join(Root(), "..", "shared", "data")
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

// Seeds hands out the shared files of at most 64 KiB in a directory, or the one file, for a fuzzer
// to begin with. Where there are none it has only the seeds of its own.
func Seeds(see func(path string, content []byte), elem ...string) {
	_ = filepath.WalkDir(shared(elem...), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil && len(b) <= 1<<16 {
			see(path, b)
		}
		return nil
	})
}

var build = sync.OnceValues(func() (string, error) {
	name := filepath.Join(Root(), ".cache", "testbed", "monban")
	// Go does nothing when the file is up to date, and replaces it in one step when it is not,
	// so several test programs may do this at once.
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", name, ".")
	cmd.Dir, cmd.Env = Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New("building monban: " + err.Error() + "\n" + string(out))
	}
	return name, nil
})

// Binary builds monban, once for all tests of a program, and returns its path. MONBAN_BINARY
// names another one to test.
func Binary(t testing.TB) string {
	t.Helper()
	if name := os.Getenv("MONBAN_BINARY"); name != "" {
		return name
	}
	name, err := build()
	if err != nil {
		t.Fatal(err)
	}
	consult()
	return name
}

// consult looks at every source file, so that `go test` does not take an earlier result for that of
// a binary which has changed since: it knows the files that a test looks at, but not those that
// the go command does in its place.
var consult = sync.OnceFunc(func() {
	_ = filepath.WalkDir(Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		switch filepath.Ext(path) {
		case ".go", ".mod", ".bin", ".yaml":
			_, _ = os.Stat(path)
		}
		return nil
	})
})

// Result is how a process ended.
type Result struct {
	Stdout, Stderr string
	Code           int           // exit code; -1 when a signal ended it
	Took           time.Duration // from start to end
	CPU            time.Duration // of user and system
	PeakRSS        int64         // bytes; 0 where the system does not tell
}

// Run runs the binary with the arguments to its end, for two minutes at most. A non-zero exit code
// is a result like any other; only a process that could not run fails the test.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Exec(t, exec.Command(Binary(t), args...))
}

// Exec runs a command to its end, for two minutes at most; what it writes where is up to the
// caller, and is in the Result otherwise.
func Exec(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatalf("running %v: %v", cmd.Args, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running %v: %v", cmd.Args, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%v did not end\n%s", cmd.Args, stderr.String())
	}
	s := cmd.ProcessState
	return Result{
		Stdout: stdout.String(), Stderr: stderr.String(), Code: s.ExitCode(),
		Took: time.Since(begun), CPU: s.UserTime() + s.SystemTime(), PeakRSS: peakRSS(s),
	}
}
