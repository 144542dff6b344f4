//go:build linux

package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/monban/monban/testbed"
)

// Process is one server process, which can be ended in every way and started again with the same
// ports and data. Its methods are safe for concurrent use, but one Start at a time makes sense.
type Process struct {
	Name string
	Log  string // what it wrote on standard output and error, from all its starts

	command func() *exec.Cmd                // a fresh one for each start
	answers func(ctx context.Context) error // nil once it can be used
	wait    time.Duration                   // for the answer
	group   bool                            // it has children, which signals are for as well

	mu    sync.Mutex
	pid   int
	ended chan struct{} // closed when the process of that pid is gone
}

// Start starts the process and waits until it answers.
func (p *Process) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.Await(ctx)
}

// Launch starts the process without waiting for its answer.
func (p *Process) Launch() error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// Ends with this program even when that is killed. The signal comes when the thread that started
	// the process ends, so that thread is kept for as long; and unlocked in the end, else it ended too
	// and took with it all other processes that were ever started from it.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = p.group
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		_ = log.Close()
		close(ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", p.Name, err)
	}
	p.mu.Lock()
	p.pid, p.ended = cmd.Process.Pid, ended
	p.mu.Unlock()
	return nil
}

// Await waits until the process answers.
func (p *Process) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	_, ended := p.process()
	for {
		once, done := context.WithTimeout(ctx, 2*time.Second)
		err := p.answers(once)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended at its start:\n%s", p.Name, p.Tail(40))
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", p.Name, err, p.Tail(40))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *Process) process() (pid int, ended chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid, p.ended
}

// Pid is that of the process, 0 if there is none.
func (p *Process) Pid() int {
	pid, _ := p.process()
	return pid
}

// signal sends a signal to the process; one that is gone is no error.
func (p *Process) signal(s syscall.Signal) error {
	pid, ended := p.process()
	if pid == 0 {
		return nil
	}
	select {
	case <-ended:
		return nil
	default:
	}
	if p.group {
		pid = -pid
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// Kill ends the process at once, as a loss of power would for the process, and waits until it is gone.
func (p *Process) Kill() error {
	err := p.signal(syscall.SIGKILL)
	if _, ended := p.process(); ended != nil {
		<-ended
	}
	return err
}

// Stop asks the process to end, kills it if it does not within 20 seconds, and waits until it is gone.
func (p *Process) Stop() error {
	err := p.signal(syscall.SIGTERM)
	if _, ended := p.process(); ended != nil {
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			return errors.Join(err, p.Kill())
		}
	}
	return err
}

// Pause stops the process without ending it: its connections stay open and nothing answers.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// Restart kills the process and starts it again on the same data.
func (p *Process) Restart(ctx context.Context) error {
	return errors.Join(p.Kill(), p.Start(ctx))
}

// Tail gives the last lines that the process wrote.
func (p *Process) Tail(lines int) string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// LogFile is where the log of a server of this name goes: in a directory that outlives the test.
func LogFile(name string) (string, error) {
	dir := filepath.Join(testbed.Root(), ".cache", "servers-log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' {
			return '_'
		}
		return r
	}, name)
	file := filepath.Join(dir, name+".log")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	return file, nil
}

// FreePort gives a port of loopback that nobody listens on. It is below those that the system gives
// away by itself, so that a server which is down for a while finds it free again.
func FreePort() (int, error) {
	for range 200 {
		port := 15000 + rand.IntN(17000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no free port between 15000 and 32000")
}
