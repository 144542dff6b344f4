package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	inside     = "MONBAN_LOAD_INSIDE" // set in the process that is in its namespace
	interfaceB = "vb"                 // the receiver's end
)

// run goes into a network namespace of its own by starting this program once more.
func run(o options) error {
	if os.Getenv(inside) == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		again := exec.Command(self, os.Args[1:]...)
		again.Env = append(os.Environ(), inside+"=1")
		again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
		again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		err = again.Run()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		if errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("a network namespace can't be made: run as root: %w", err)
		}
		return err
	}
	l, err := newLab()
	if err != nil {
		return err
	}
	defer l.close()
	if o.long > 0 {
		return soak(l, o)
	}
	return table(l, o)
}

// lab is a sender in a namespace of its own, whose frames come out of interfaceB here.
type lab struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	scratch string
}

func newLab() (l *lab, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l = &lab{cmd: exec.Command(self, sendCommand)}
	if l.scratch, err = os.MkdirTemp("", "monban-load-"); err != nil {
		return nil, err
	}
	l.cmd.Stderr = os.Stderr
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.out = bufio.NewReader(out)
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	pid := strconv.Itoa(l.cmd.Process.Pid)
	for _, line := range []string{
		"ip link set lo up",
		"ip link add " + interfaceB + " type veth peer name " + interfaceA,
		"sysctl -qw net.ipv6.conf." + interfaceA + ".disable_ipv6=1 net.ipv6.conf." + interfaceB + ".disable_ipv6=1", // no packets but ours
		"ip link set " + interfaceA + " netns " + pid,
		"nsenter -t " + pid + " -n sysctl -qw net.ipv6.conf." + interfaceA + ".disable_ipv6=1",
		"nsenter -t " + pid + " -n ip link set " + interfaceA + " up",
		"ip link set " + interfaceB + " up",
	} {
		f := strings.Fields(line)
		if text, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			l.close()
			return nil, fmt.Errorf("%s: %w: %s", line, err, text)
		}
	}
	return l, nil
}

func (l *lab) close() {
	_ = l.in.Close()
	_ = l.cmd.Wait()
	_ = os.RemoveAll(l.scratch)
}

// ask has the sender send, which begins at once; answer waits for its end.
func (l *lab) ask(kind string, rate, seconds int, capture string) (answer func() (sent, error), err error) {
	if _, err := fmt.Fprintln(l.in, kind, rate, seconds, capture); err != nil {
		return nil, fmt.Errorf("the sender is gone: %w", err)
	}
	return func() (s sent, err error) {
		line, err := l.out.ReadString('\n')
		if err != nil {
			return s, fmt.Errorf("the sender is gone: %w", err)
		}
		_, err = fmt.Sscan(line, &s.packets, &s.took, &s.cpu)
		return s, err
	}, nil
}

type sent struct {
	packets   uint64
	took, cpu time.Duration
}

// counters are what an interface itself says.
type counters struct{ received, dropped uint64 }

func readCounters() (c counters, err error) {
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return c, err
	}
	for line := range bytes.Lines(text) {
		name, rest, _ := strings.Cut(string(line), ":")
		if strings.TrimSpace(name) != interfaceB {
			continue
		}
		_, err = fmt.Sscan(rest, new(uint64), &c.received, new(uint64), &c.dropped)
		return c, err
	}
	return c, fmt.Errorf("there is no interface %s", interfaceB)
}

// usage is what a process used so far.
type usage struct {
	cpu       time.Duration
	rss, peak int64 // bytes
}

func readUsage(pid int) (u usage, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// after the name, which may hold anything: state is the first, utime the twelfth
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	for _, i := range []int{11, 12} {
		ticks, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(ticks) * (time.Second / 100)
	}
	status(fmt.Sprintf("/proc/%d/status", pid), map[string]func(int64){
		"VmRSS": func(n int64) { u.rss = n << 10 }, "VmHWM": func(n int64) { u.peak = n << 10 },
	})
	return u, nil
}

// status reads numbers of a status file.
func status(name string, want map[string]func(int64)) {
	text, _ := os.ReadFile(name)
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), ":")
		if f := strings.Fields(value); want[key] != nil && len(f) > 0 {
			if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
				want[key](n)
			}
		}
	}
}
