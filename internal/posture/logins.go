package posture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/monban/monban/internal/host"
)

const (
	maxLine    = 8192
	maxSources = 1024
	maxGuessed = 8 // names of accounts that are told of one source
	tailEvery  = 2 * time.Second
	tellEvery  = time.Minute // of a source that goes on
)

// maxMoments is how many moments of a window are told apart, so that a source that never rests takes
// no more than these.
const maxMoments = 512

// moment is when log-ins failed, and how many.
type moment struct {
	at time.Time
	n  uint64
}

// guess is the name of an account, and when it was tried last.
type guess struct {
	name string
	last time.Time
}

// source is a place that log-ins fail from.
type source struct {
	from    string
	guesses []guess
	moments []moment // those within the window, oldest first
	n       uint64   // of them together
	most    uint64   // that were within one window since it was told
	told    time.Time
}

// forget leaves out what is older than the window.
func (s *source) forget(now time.Time, window time.Duration) {
	old := 0
	for old < len(s.moments) && now.Sub(s.moments[old].at) > window {
		s.n -= s.moments[old].n
		old++
	}
	s.moments = slices.Delete(s.moments, 0, old)
}

// add takes one more failure, or some at once.
func (s *source) add(now time.Time, f failure, window time.Duration) {
	s.forget(now, window)
	if last := len(s.moments) - 1; last >= 0 && now.Sub(s.moments[last].at) < window/maxMoments {
		s.moments[last].n += f.n
	} else {
		s.moments = append(s.moments, moment{now, f.n})
	}
	s.n += f.n
	s.most = max(s.most, s.n)
	if f.user == "" {
		return
	}
	s.guesses = slices.DeleteFunc(s.guesses, func(g guess) bool { return now.Sub(g.last) > window })
	if i := slices.IndexFunc(s.guesses, func(g guess) bool { return g.name == f.user }); i >= 0 {
		s.guesses[i].last = now
	} else if len(s.guesses) < maxGuessed {
		s.guesses = append(s.guesses, guess{f.user, now})
	}
}

// last is when a log-in failed last; zero when that is longer ago than the window.
func (s *source) last() (t time.Time) {
	if n := len(s.moments); n > 0 {
		t = s.moments[n-1].at
	}
	return t
}

// attack is a source that is to be told of.
type attack struct {
	from  string
	n     uint64 // the most within one window
	names []string
}

func (a attack) users() string { return "as " + strings.Join(a.names, ", ") }

// logins counts failed log-ins by where they come from, within a window that moves along.
type logins struct {
	cfg    Config
	paths  []string // of logs, the first that is there
	local  bool
	faults *host.Faults
	poll   time.Duration

	mu      sync.Mutex
	by      map[string]*source
	now     func() time.Time
	touch   func()
	running sync.WaitGroup
}

// failure is one line that says that a log-in failed.
type failure struct {
	from, user string
	n          uint64
}

var (
	failed   = regexp.MustCompile(`\bFailed (?:password|keyboard-interactive/pam) for (?:invalid user )?(.*) from (\S+) port [0-9]+`)
	repeated = regexp.MustCompile(`\bmessage repeated ([0-9]{1,6}) times: \[`)
	pam      = regexp.MustCompile(`\bpam_\w+\(([\w.@-]+):auth\): authentication failure;.* rhost=(\S*)(?:\s+user=(\S*))?`)
)

// parseFailure reads a line of the log of log-ins.
func parseFailure(line string) (f failure, ok bool) {
	f.n = 1
	if m := repeated.FindStringSubmatch(line); m != nil {
		f.n, _ = strconv.ParseUint(m[1], 10, 32)
	}
	if m := failed.FindStringSubmatch(line); m != nil {
		f.user, f.from = m[1], m[2]
	} else if m := pam.FindStringSubmatch(line); m != nil && m[1] != "sshd" { // sshd says it in its own words, too
		f.user, f.from = m[3], m[2]
		if f.from == "" {
			f.from = "this host by " + m[1]
		}
	} else {
		return f, false
	}
	f.user, f.from = short(f.user), short(f.from)
	return f, f.n > 0
}

// line counts one line, if it tells of a failure.
func (l *logins) line(text string) {
	f, ok := parseFailure(text)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s := l.by[f.from]
	if s == nil {
		if len(l.by) >= maxSources { // the one longest silent makes room
			var oldest *source
			for _, o := range l.by {
				if oldest == nil || o.last().Before(oldest.last()) {
					oldest = o
				}
			}
			delete(l.by, oldest.from)
		}
		s = &source{from: f.from}
		l.by[f.from] = s
	}
	s.add(now, f, l.cfg.LoginWindow)
	if s.most >= uint64(l.cfg.LoginFailures) && s.told.IsZero() && l.touch != nil {
		l.touch()
	}
}

// take gives the sources that are to be told of: those that reached the bound since they were told, at
// once, and then each minute as long as they go on.
func (l *logins) take(now time.Time) (out []attack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for from, s := range l.by {
		last := s.last()
		s.forget(now, l.cfg.LoginWindow)
		over := len(s.moments) == 0
		if s.most >= uint64(l.cfg.LoginFailures) && (over || now.Sub(s.told) >= tellEvery) {
			a := attack{from: from, n: s.most}
			for _, g := range s.guesses {
				if last.Sub(g.last) <= l.cfg.LoginWindow {
					a.names = append(a.names, g.name)
				}
			}
			out = append(out, a)
			s.most, s.told = 0, now
		}
		if over {
			delete(l.by, from)
		}
	}
	slices.SortFunc(out, func(a, b attack) int { return strings.Compare(a.from, b.from) })
	return out
}

func (l *logins) run(ctx context.Context) {
	l.running.Go(func() {
		for _, path := range l.paths {
			if _, err := os.Stat(path); err == nil {
				l.follow(ctx, path)
				return
			}
		}
		if journal, err := exec.LookPath("journalctl"); l.local && err == nil {
			l.journal(ctx, journal)
			return
		}
		if len(l.paths) > 0 { // perhaps the first log-in makes one
			l.follow(ctx, l.paths[0])
		}
	})
}

func (l *logins) wait() { l.running.Wait() }

// follow reads what is appended to a file from now on, also when it is moved away and begun
// anew, or emptied.
func (l *logins) follow(ctx context.Context, path string) {
	t := &tail{path: path}
	t.skip()
	tick := time.NewTicker(l.poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			t.close()
			return
		case <-tick.C:
			l.faults.Note(t.read(l.line))
		}
	}
}

// journal follows the journal where there is no file. journalctl ends with ctx.
func (l *logins) journal(ctx context.Context, program string) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, program, "--follow", "--lines=0", "--output=cat", "--quiet", "SYSLOG_FACILITY=4", "SYSLOG_FACILITY=10")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			lines := bufio.NewReaderSize(out, maxLine)
			for {
				text, err := lines.ReadSlice('\n')
				if len(text) > 0 {
					l.line(string(text))
				}
				if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
					break
				}
			}
			err = cmd.Wait()
		}
		if ctx.Err() == nil {
			l.faults.Note(err)
		}
		select { // it should never end by itself
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
}

// tail reads the lines that are appended to a file.
type tail struct {
	path string
	file *os.File
	at   int64
	rest []byte // of a line that has not ended
}

// skip passes over what is there already.
func (t *tail) skip() {
	f, err := os.Open(t.path)
	if err != nil {
		return
	}
	if t.at, err = f.Seek(0, io.SeekEnd); err != nil {
		_ = f.Close()
		return
	}
	t.file = f
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close()
		t.file = nil
	}
}

// read gives each line since the last time. A file that was moved away is read to its end first.
func (t *tail) read(line func(string)) error {
	for {
		if t.file == nil {
			f, err := os.Open(t.path)
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			t.file, t.at, t.rest = f, 0, nil
		}
		st, err := t.file.Stat()
		if err != nil {
			t.close()
			return err
		}
		if st.Size() < t.at { // emptied
			t.at, t.rest = 0, nil
		}
		if err := t.drain(line); err != nil {
			return err
		}
		now, err := os.Stat(t.path)
		if err != nil || os.SameFile(st, now) {
			return nil
		}
		t.close() // another file has the name
	}
}

func (t *tail) drain(line func(string)) error {
	var buf [16 << 10]byte
	for {
		n, err := t.file.ReadAt(buf[:], t.at)
		t.at += int64(n)
		data := buf[:n]
		for {
			head, after, ok := bytes.Cut(data, []byte{'\n'})
			if !ok {
				break
			}
			line(string(append(t.rest, head...)))
			t.rest, data = t.rest[:0], after
		}
		t.rest = append(t.rest, data[:min(len(data), maxLine-min(len(t.rest), maxLine))]...)
		if errors.Is(err, io.EOF) || n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
