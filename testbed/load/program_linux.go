package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is one that listens on interfaceB.
type program struct {
	name    string
	command func(dir string) *exec.Cmd
	ready   func(dir, output string) bool
	// result reads what it received and what it knows to have lost, of its own losses and
	// those of the kernel, once it has ended
	result func(dir, output string) (received, lost uint64, err error)
	before func(dir string) // asks it while it still runs
	kill   bool             // by force, as it does not heed signals without packets
}

func monban(binary string) program {
	return program{
		name: "monban",
		command: func(dir string) *exec.Cmd {
			return exec.Command(binary, "--config", "live:"+interfaceB+"?out="+dir)
		},
		ready: func(_, output string) bool { return strings.Contains(output, "Listening.") },
		result: func(dir, _ string) (received, lost uint64, err error) {
			c, err := lastCapture(dir)
			if err != nil {
				return 0, 0, err
			}
			flows, err := sumFlows(dir)
			if err != nil {
				return 0, 0, err
			}
			if flows+c.Refused != c.Packets {
				return 0, 0, fmt.Errorf("monban read %d packets, of which %d are in flows and %d refused", c.Packets, flows, c.Refused)
			}
			return c.Packets, c.Dropped + c.Missed, nil
		},
	}
}

// capture is a network.capture event, as far as it matters here.
type capture struct {
	Packets uint64 `json:"capture.packets"`
	Refused uint64 `json:"capture.refused"`
	Dropped uint64 `json:"capture.dropped"`
	Missed  uint64 `json:"capture.missed"`
	Freezes uint64 `json:"capture.freezes"`
	Evicted uint64 `json:"capture.evicted"`
	Final   bool   `json:"capture.final"`
}

func lastCapture(dir string) (c capture, err error) {
	err = eachLine(dir, "capture", func(line []byte) error {
		c = capture{}
		return json.Unmarshal(line, &c)
	})
	if err == nil && !c.Final {
		err = fmt.Errorf("monban wrote no last capture event")
	}
	return c, err
}

func sumFlows(dir string) (n uint64, err error) {
	var f struct {
		Src uint64 `json:"flow.io.packets"`
		Dst uint64 `json:"flow.reverse.io.packets"`
	}
	err = eachLine(dir, "flows", func(line []byte) error {
		f.Src, f.Dst = 0, 0
		err := json.Unmarshal(line, &f)
		n += f.Src + f.Dst
		return err
	})
	return n, err
}

// eachLine reads the events of a kind, also those that were set aside and packed.
func eachLine(dir, kind string, see func([]byte) error) error {
	names, err := filepath.Glob(filepath.Join(dir, kind+"*.ndjson*"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("monban wrote no %s", kind)
	}
	for _, name := range names {
		if err := eachLineOf(name, see); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func eachLineOf(name string, see func([]byte) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := see(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// number finds what the pattern's group matches last.
func number(text, pattern string) (uint64, error) {
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("%q is not in its output:\n%s", pattern, text)
	}
	return strconv.ParseUint(all[len(all)-1][1], 10, 64)
}

// others are the programs to compare with.
var others = []program{
	{
		name: "tcpdump", // writes whole packets and counts; it meters nothing
		command: func(string) *exec.Cmd {
			return exec.Command("tcpdump", "-n", "-i", interfaceB, "-B", "16384", "-w", "/dev/null", "-Z", "root")
		},
		ready: func(_, output string) bool { return strings.Contains(output, "listening on") },
		result: func(_, output string) (received, lost uint64, err error) {
			if received, err = number(output, `(\d+) packets? captured`); err != nil {
				return 0, 0, err
			}
			lost, err = number(output, `(\d+) packets? dropped by kernel`)
			return received, lost, err
		},
	},
	{
		name: "softflowd",
		command: func(dir string) *exec.Cmd {
			return exec.Command("softflowd", "-d", "-i", interfaceB, "-m", "1048576", "-c", filepath.Join(dir, "control"), "-p", filepath.Join(dir, "pid"), "-n", "127.0.0.1:9")
		},
		ready: func(dir, _ string) bool {
			_, err := os.Stat(filepath.Join(dir, "control"))
			return err == nil
		},
		kill: true,
		before: func(dir string) {
			text, _ := exec.Command("softflowctl", "-c", filepath.Join(dir, "control"), "statistics").CombinedOutput()
			_ = os.WriteFile(filepath.Join(dir, "statistics"), text, 0o600)
		},
		result: func(dir, _ string) (received, lost uint64, err error) {
			text, err := os.ReadFile(filepath.Join(dir, "statistics"))
			if err != nil {
				return 0, 0, err
			}
			if received, err = number(string(text), `Packets processed: (\d+)`); err != nil {
				return 0, 0, err
			}
			lost, err = number(string(text), `Packets dropped by libpcap: (\d+)`)
			return received, lost, err
		},
	},
	{
		name: "suricata", // as it is installed, with flow records alone
		command: func(dir string) *exec.Cmd {
			return exec.Command("suricata", "--af-packet="+interfaceB, "-l", dir, "-S", "/dev/null", "-k", "none",
				"--set", "outputs.1.eve-log.enabled=yes", "--set", "stats.interval=1")
		},
		ready: func(_, output string) bool { return strings.Contains(output, "Engine started") },
		result: func(dir, _ string) (received, lost uint64, err error) {
			text, err := os.ReadFile(filepath.Join(dir, "stats.log"))
			if err != nil {
				return 0, 0, err
			}
			if received, err = number(string(text), `decoder\.pkts\s*\|\s*Total\s*\|\s*(\d+)`); err != nil {
				return 0, 0, err
			}
			lost, err = number(string(text), `capture\.kernel_drops\s*\|\s*Total\s*\|\s*(\d+)`)
			if err != nil {
				lost, err = 0, nil // counters that are zero are left out
			}
			return received, lost, err
		},
	},
}

// running is a program at work.
type running struct {
	program
	cmd  *exec.Cmd
	dir  string
	file string
}

func start(p program, scratch string) (*running, error) {
	dir, err := os.MkdirTemp(scratch, p.name+"-")
	if err != nil {
		return nil, err
	}
	r := &running{program: p, cmd: p.command(dir), dir: dir, file: filepath.Join(dir, "output")}
	out, err := os.Create(r.file)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	r.cmd.Stdout, r.cmd.Stderr = out, out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if p.ready(dir, r.said()) {
			time.Sleep(time.Second) // for what it does after it says so
			return r, nil
		}
		if _, err := readUsage(r.cmd.Process.Pid); err != nil || time.Now().After(end) {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			return nil, fmt.Errorf("%s does not listen:\n%s", p.name, r.said())
		}
	}
}

func (r *running) said() string {
	text, _ := os.ReadFile(r.file)
	return string(text)
}

// stop ends it as Ctrl-C does.
func (r *running) stop() error {
	if r.before != nil {
		r.before(r.dir)
	}
	how := os.Interrupt
	if r.kill {
		how = os.Kill
	}
	if err := r.cmd.Process.Signal(how); err != nil {
		return err
	}
	late := time.AfterFunc(60*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	_ = r.cmd.Wait() // some end with a code of their own on a signal
	return nil
}
