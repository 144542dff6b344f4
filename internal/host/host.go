// Package host reads how the computer it runs on fares: processors, memory, disks,
// networks, processes and sensors, and what matters for its security.
//
// It promises that a file which is missing, forbidden or nonsense costs that one figure
// and is counted, never the whole reading; that a process which ends while it is read is
// no error; and that memory is bounded by what the host has. Below a root path it reads
// the host whose file systems are mounted there, as from a container. It gives up what
// the kernel does not tell: there is no sampling between two readings.
//
// Most of it is gopsutil's; processes, connections and sensors are read by this package,
// which needs one file a process where that library needs several, and has to count.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/shirou/gopsutil/v4/common"
)

// Host is a computer, by its file systems. It is safe for concurrent use.
type Host struct {
	root string // "" for the one that we run on
	env  common.EnvMap
}

// New gives the host whose root directory is root; "" or "/" is the one that we run on.
func New(root string) *Host {
	h := &Host{root: strings.TrimSuffix(filepath.Clean("/"+root), "/")}
	if h.root != "" {
		h.env = common.EnvMap{
			common.HostProcEnvKey: h.Path("/proc"), common.HostSysEnvKey: h.Path("/sys"), common.HostEtcEnvKey: h.Path("/etc"),
			common.HostVarEnvKey: h.Path("/var"), common.HostRunEnvKey: h.Path("/run"), common.HostDevEnvKey: h.Path("/dev"),
			common.HostRootEnvKey: h.root,
		}
	}
	return h
}

// Check says what is wrong with the root path, so that a start can fail by it.
func (h *Host) Check() error {
	if h.root == "" {
		return nil
	}
	if _, err := os.Stat(h.Path("/proc/stat")); err != nil {
		return fmt.Errorf("root_path: %s is no root directory of a Linux host, as it has no proc/stat; mount the host's / there, such as with -v /:/hostfs: %w", h.root, err)
	}
	return nil
}

// Path is where a file of the host is found.
func (h *Host) Path(file string) string { return h.root + file }

// Local reports whether this is the computer that we run on, seen without a root path.
func (h *Host) Local() bool { return h.root == "" }

func (h *Host) context(ctx context.Context) context.Context {
	if h.env == nil {
		return ctx
	}
	return context.WithValue(ctx, common.EnvKey, h.env)
}

// first is the host's first process, whose name spaces are the host's. What /proc/self
// shows would be those of a container that we are in.
func (h *Host) first(file string) string {
	if h.root == "" {
		return "/proc/self/" + file
	}
	return h.Path("/proc/1/" + file)
}

// Fault is why something could not be read.
type Fault uint8

// Faults.
const (
	Vanished  Fault = iota // it ended, or was removed, while we looked
	Forbidden              // we may not look
	Malformed              // it is there and makes no sense, a sensor that says nothing among them
	numFaults
)

// FaultNames are the faults as a metric's attribute names them.
var FaultNames = [...]string{Vanished: "vanished", Forbidden: "forbidden", Malformed: "malformed"}

// FaultOf tells which fault an error is.
func FaultOf(err error) Fault {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		return Vanished
	case errors.Is(err, fs.ErrPermission):
		return Forbidden
	}
	return Malformed
}

// Faults counts what could not be read. The zero value is ready, and safe for concurrent use.
type Faults struct{ n [numFaults]atomic.Uint64 }

// Note counts an error, if it is one.
func (f *Faults) Note(err error) {
	if err != nil {
		f.n[FaultOf(err)].Add(1)
	}
}

// Count is how often a fault came.
func (f *Faults) Count(of Fault) uint64 { return f.n[of].Load() }

// maxFile bounds what is read of any one file of /proc and /sys.
const maxFile = 16 << 20

// readText reads a small file of one value, without the white space around it.
func readText(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var buf [4096]byte
	n, err := f.Read(buf[:])
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(string(buf[:n])), nil
}

// readNumber reads a file that holds one number.
func readNumber(path string) (float64, error) {
	text, err := readText(path)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %q is no number", path, text)
	}
	return v, nil
}
