package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// errLocked is what the system-dependent part returns when somebody else has the lock.
var errLocked = errors.New("locked")

// Lock is a process's hold on a directory. The system releases it when the process ends, however
// it ends, so no lock is ever stale.
type Lock struct {
	file *os.File
}

// Acquire takes the directory for this process, creating it when it is missing. When another one
// has it, the error names that process.
func Acquire(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("creating the state directory: %w", err)
	}
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the state directory: %w", err)
	}
	if err := lock(f); err != nil {
		defer f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("the state directory %s is in use by %s; stop it, or give this one a directory of its own", dir, holder(f))
		}
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	// The number is for people only, so a full disk must not stop us here.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{file: f}, nil
}

// holder describes the process whose number is in the lock file.
func holder(f *os.File) string {
	buf := make([]byte, 16)
	n, _ := f.ReadAt(buf, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	switch {
	case err != nil:
		return "another process"
	case pid == os.Getpid():
		return fmt.Sprintf("this process already (%d)", pid)
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
		return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
	}
	return fmt.Sprintf("process %d", pid)
}

// Release gives the directory back. Safe on nil, and twice.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close() // which unlocks it
}
