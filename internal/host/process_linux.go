package host

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/net"
)

var pageSize = uint64(os.Getpagesize())

// Processes calls f for each process that there is. One that ends meanwhile, or can't be
// read, is counted in faults and left out.
func (h *Host) Processes(faults *Faults, f func(*Process)) error {
	dir, err := os.Open(h.Path("/proc"))
	if err != nil {
		return fmt.Errorf("reading processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("reading processes: %w", err)
	}
	buf := make([]byte, 1024)
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		data, err := readInto(h.Path("/proc/"+name+"/stat"), buf)
		if err == nil {
			var p Process
			if p, err = parseStat(data, pageSize); err == nil {
				f(&p)
				continue
			}
		}
		faults.Note(err)
	}
	return nil
}

// readInto reads a file into buf by three system calls. What is longer than buf is cut.
func readInto(path string, buf []byte) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	n := 0
	for n < len(buf) {
		m, err := syscall.Read(fd, buf[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if m == 0 {
			break
		}
		n += m
		if buf[n-1] == '\n' { // the one line of a file that is read whole
			break
		}
	}
	return buf[:n], nil
}

func open(path string) (int, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}

func (h *Host) proc(pid int32, file string) string {
	return h.Path("/proc/" + strconv.Itoa(int(pid)) + "/" + file)
}

// Detail reads what stays the same of a process. Each part that can't be read is left empty
// and told to failed.
func (h *Host) Detail(p *Process, users *Users, failed func(Part, error)) Detail {
	d := Detail{Name: p.Name}
	buf := make([]byte, 8192)
	if data, err := readUpTo(h.proc(p.PID, "cmdline"), buf); err != nil {
		failed(PartName, err)
	} else {
		d.CommandLine = parseArguments(data)
	}
	d.Name = wholeName(p.Name, d.CommandLine)
	if exe, err := os.Readlink(h.proc(p.PID, "exe")); err == nil {
		d.Executable = strings.TrimSuffix(exe, " (deleted)")
	} else if len(d.CommandLine) > 0 { // threads of the kernel have none
		failed(PartExe, err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(h.proc(p.PID, ""), &st); err != nil {
		failed(PartUser, err)
	} else {
		d.Owner = users.Name(st.Uid)
	}
	if data, err := readUpTo(h.proc(p.PID, "cgroup"), buf); err != nil {
		failed(PartCgroup, err)
	} else {
		d.Cgroup = parseCgroup(data)
	}
	return d
}

// parseCgroup gives the path of version 2, else the first.
func parseCgroup(data []byte) string {
	best := ""
	for line := range bytes.Lines(data) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" {
			return parts[2]
		}
		if best == "" {
			best = parts[2]
		}
	}
	return best
}

// readUpTo reads until buf is full or the file ends.
func readUpTo(path string, buf []byte) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	n := 0
	for n < len(buf) {
		m, err := syscall.Read(fd, buf[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if m == 0 {
			break
		}
		n += m
	}
	return buf[:n], nil
}

// IO reads what a process read and wrote.
func (h *Host) IO(pid int32) (IO, error) {
	data, err := readUpTo(h.proc(pid, "io"), make([]byte, 512))
	if err != nil {
		return IO{}, err
	}
	return parseIO(data), nil
}

// Status reads the long form of a process's state.
func (h *Host) Status(pid int32) (Status, error) {
	data, err := readUpTo(h.proc(pid, "status"), make([]byte, 8192))
	if err != nil {
		return Status{}, err
	}
	return parseStatus(data), nil
}

// Descriptors counts the files that a process has open.
func (h *Host) Descriptors(pid int32) (int, error) {
	dir, err := os.Open(h.proc(pid, "fd"))
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return len(names), err
}

// Created is how many processes were made since the boot.
func (h *Host) Created() (uint64, error) {
	data, err := readWhole(h.Path("/proc/stat"))
	if err != nil {
		return 0, fmt.Errorf("reading the number of processes made: %w", err)
	}
	n, found := uint64(0), false
	eachPair(data, func(key []byte, v uint64) {
		if string(key) == "processes" {
			n, found = v, true
		}
	})
	if !found {
		return 0, fmt.Errorf("%s does not tell the number of processes made", h.Path("/proc/stat"))
	}
	return n, nil
}

func (h *Host) uptime() (time.Duration, error) {
	text, err := readText(h.Path("/proc/uptime"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(text, " ")
	s, err := strconv.ParseFloat(first, 64)
	if err != nil || !(s >= 0 && s < 1e10) {
		return 0, fmt.Errorf("%q is no time", text)
	}
	return time.Duration(s * float64(time.Second)), nil
}

func (h *Host) interfaces(ctx context.Context) ([]net.IOCountersStat, error) {
	if h.root != "" { // its /proc/net would be a link to that of our own process
		ctx = context.WithValue(ctx, common.EnvKey, common.EnvMap{common.HostProcEnvKey: h.Path("/proc/1")})
	}
	return net.IOCountersWithContext(ctx, true)
}
