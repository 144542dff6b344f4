package host

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Process is what a process tells of itself in one line of /proc.
type Process struct {
	PID, Parent  int32
	Name         string // of the executable, at most 15 bytes as the kernel keeps it
	State        byte   // R running, S sleeping, D waiting for a disk, I idle, Z defunct, T stopped, …
	MinorFaults  uint64
	MajorFaults  uint64
	User, System float64 // seconds of processor time
	Waited       float64 // seconds for block devices, 0 where the kernel does not count them
	Threads      int64
	Start        time.Duration // since the boot
	Virtual      uint64        // bytes
	Resident     uint64        // bytes
}

// Detail is what costs a file more each, and stays as it is as long as a process does.
type Detail struct {
	Name        string   // of the executable, whole
	Executable  string   // path, "" when we may not know
	CommandLine []string // argv, [] for a thread of the kernel
	Owner       string   // name of the user, or its number
	Cgroup      string
}

// IO is what a process read and wrote.
type IO struct {
	ReadBytes, WrittenBytes uint64 // from and to disks
	Reads, Writes           uint64 // system calls
}

// Status is what only the long form tells of a process.
type Status struct {
	Voluntary, Involuntary uint64 // context switches
	SignalsPending         int64
}

// Part names a part of a process that could not be read.
type Part string

// Parts.
const (
	PartName   Part = "name"
	PartExe    Part = "exe"
	PartUser   Part = "user"
	PartCgroup Part = "cgroup"
	PartIO     Part = "io"
)

// ErrUnsupported is returned where a platform does not have what was asked for.
var ErrUnsupported = errors.New("this is read on Linux only")

// ticks a second of times in /proc, the same on all platforms that Linux runs on.
const ticks = 100

const maxArguments = 64 // of a command line that are kept

// parseStat reads the line of /proc/PID/stat. The name stands in parentheses and may have
// some itself.
func parseStat(data []byte, page uint64) (Process, error) {
	var p Process
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return p, errors.New("a process tells its state without a name")
	}
	pid, err := strconv.ParseInt(string(bytes.TrimSpace(data[:open])), 10, 32)
	if err != nil {
		return p, fmt.Errorf("reading a process's number: %w", err)
	}
	p.PID, p.Name = int32(pid), string(data[open+1:end])
	f := bytes.Fields(data[end+1:])
	if len(f) < 22 || len(f[0]) != 1 {
		return p, fmt.Errorf("process %d tells %d figures of itself, 22 are the least", pid, len(f))
	}
	p.State = f[0][0]
	number := func(i int) (v uint64) {
		var e error
		if v, e = strconv.ParseUint(string(f[i]), 10, 64); e != nil && err == nil {
			err = fmt.Errorf("process %d: figure %d is %q", pid, i, f[i])
		}
		return v
	}
	parent, perr := strconv.ParseInt(string(f[1]), 10, 32)
	if perr != nil {
		return p, fmt.Errorf("process %d: parent is %q", pid, f[1])
	}
	p.Parent = int32(parent)
	p.MinorFaults, p.MajorFaults = number(7), number(9)
	p.User, p.System = float64(number(11))/ticks, float64(number(12))/ticks
	p.Threads = int64(number(17))
	p.Start = time.Duration(number(19)) * (time.Second / ticks)
	p.Virtual, p.Resident = number(20), number(21)*page
	if len(f) > 39 { // Linux 2.6.18
		p.Waited = float64(number(39)) / ticks
	}
	return p, err
}

func parseIO(data []byte) (io IO) {
	eachPair(data, func(key []byte, v uint64) {
		switch string(key) {
		case "read_bytes":
			io.ReadBytes = v
		case "write_bytes":
			io.WrittenBytes = v
		case "syscr":
			io.Reads = v
		case "syscw":
			io.Writes = v
		}
	})
	return io
}

func parseStatus(data []byte) (s Status) {
	for line := range bytes.Lines(data) {
		key, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte{':'})
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		switch string(key) {
		case "voluntary_ctxt_switches":
			s.Voluntary, _ = strconv.ParseUint(string(value), 10, 64)
		case "nonvoluntary_ctxt_switches":
			s.Involuntary, _ = strconv.ParseUint(string(value), 10, 64)
		case "SigQ":
			n, _, _ := bytes.Cut(value, []byte{'/'})
			s.SignalsPending, _ = strconv.ParseInt(string(n), 10, 64)
		}
	}
	return s
}

// parseArguments splits a command line of /proc.
func parseArguments(data []byte) []string {
	var out []string
	for arg := range bytes.SplitSeq(bytes.TrimRight(data, "\x00"), []byte{0}) {
		if len(out) == maxArguments {
			break
		}
		out = append(out, strings.ToValidUTF8(string(arg), "\uFFFD"))
	}
	if len(out) == 1 && out[0] == "" {
		return nil
	}
	return out
}

// wholeName completes a name that the kernel cut off at 15 bytes by the command line.
func wholeName(name string, args []string) string {
	if len(name) < 15 || len(args) == 0 {
		return name
	}
	first := args[0]
	if i := strings.LastIndexByte(first, '/'); i >= 0 {
		first = first[i+1:]
	}
	if strings.HasPrefix(first, name) {
		return first
	}
	return name
}
