package telemetry

import (
	"bufio"
	"bytes"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// The memory limit takes back, where memory is short, what pace is generous with.
const (
	limitShare  = 2       // one half of what there is
	limitMost   = 8 << 30 // bytes; a machine with more has other tenants, and we don't need it
	limitUnless = 64 << 20
)

// tune sets the garbage collector's target and the soft memory limit: half of the control
// group's or the machine's memory, at most 8 GiB. GOGC and GOMEMLIMIT in the environment win.
func tune(logger *zap.Logger) {
	if os.Getenv("GOGC") == "" {
		newPace()
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		if limit := memoryLimit(memory(os.ReadFile)); limit > 0 {
			debug.SetMemoryLimit(limit)
			logger.Debug("Memory limit set", zap.Int64("bytes", limit))
		}
	}
}

// memoryLimit is the soft limit for so many bytes of memory, 0 for none. A tiny figure would make
// the collector run without end, so it is taken for a mistake.
func memoryLimit(total int64) int64 {
	if total/limitShare < limitUnless {
		return 0
	}
	return min(total/limitShare, limitMost)
}

// memory is how many bytes this process may use: the least of the machine's memory and the
// limits of its control group (version 2 or 1) and those above it. 0 when unknown.
func memory(read func(string) ([]byte, error)) int64 {
	var least int64
	take := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if b, err := read("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
				kib, _ := strconv.ParseInt(f[1], 10, 64)
				take(kib << 10)
			}
		}
	}
	b, err := read("/proc/self/cgroup")
	if err != nil {
		return least
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		// "0::/system.slice/monban.service", or "4:memory:/docker/…" in version 1
		part := strings.SplitN(s.Text(), ":", 3)
		if len(part) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", "memory.max"
		if part[0] != "0" {
			if part[1] != "memory" {
				continue
			}
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for dir := path.Clean("/" + part[2]); ; dir = path.Dir(dir) {
			if b, err := read(path.Join(root, dir, file)); err == nil {
				n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // "max" is none
				take(n)
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}
