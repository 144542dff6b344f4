package packet

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	idle           = 250 * time.Millisecond // longest wait of a NextBatch
	mergeWindow    = 64 << 10               // of each file where several are open
	mergeBatch     = 512                    // frames held of each file where several are open
	maxOpen        = 256                    // files open at a time
	maxDeclaration = 1 << 16                // interfaces of all files together
)

// never is the time of a file without packets: it is read last.
const never = math.MaxInt64

// OpenFiles reads capture files: pcap and pcapng, gzip or not, as their content
// tells. A path may be a pattern, and "-" is standard input. Packets of several
// files are given in the order of time. A file is opened when the time of its
// first packet has come, so that a thousand rotated files hold few descriptors; no
// more than 256 are open at once, and where more overlap in time order is only
// near. A file that grows is read to the end that is found; one that shrinks is
// damaged.
//
// It fails when a path names nothing, or a file that is no capture.
func OpenFiles(paths ...string) (Source, error) {
	names, err := expand(paths)
	if err != nil {
		return nil, err
	}
	s := &fileSource{}
	var wrong []error
	for _, name := range names {
		in, err := inspect(name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		s.waiting = append(s.waiting, in)
		s.total += in.size
		s.unknown = s.unknown || in.pipe && in.size == 0
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	slices.SortStableFunc(s.waiting, func(a, b input) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	return s, nil
}

// input is a file to be read.
type input struct {
	path  string
	size  int64 // 0 when unknown
	first int64 // time of its first packet
	pipe  bool
}

// inspect looks whether path is a capture and when it begins. What waits for a
// writer is not touched.
func inspect(path string) (input, error) {
	in := input{path: path, first: never}
	if path == "-" {
		in.pipe, in.first = true, math.MinInt64
		if info, err := os.Stdin.Stat(); err == nil && info.Mode().IsRegular() {
			in.size = info.Size()
		}
		return in, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return in, err
	}
	if !info.Mode().IsRegular() {
		in.pipe, in.first = true, math.MinInt64
		return in, nil
	}
	in.size = info.Size()
	file, err := os.Open(path)
	if err != nil {
		return in, err
	}
	defer file.Close()
	c := capture{src: file, size: 4 << 10, path: path,
		add:  func(Interface) (int, error) { return 0, nil },
		lost: func(int, uint64) {}}
	r, _, err := c.open()
	if err != nil {
		return in, fmt.Errorf("%s %w", path, err)
	}
	var one [1]Frame
	if n, _ := r.next(one[:]); n == 1 { // damage is told when its turn comes
		in.first = one[0].Time
	}
	return in, nil
}

// fileSource merges capture files.
type fileSource struct {
	total   int64
	unknown bool // total is
	done    atomic.Int64
	closed  atomic.Bool
	tally

	reading sync.Mutex // held by NextBatch and Close
	waiting []input    // by time of first packet
	open    []*cursor

	declared sync.Mutex // guards what follows
	ifaces   []Interface
	index    map[Interface]int
	lost     []uint64
}

// cursor is a file that is open.
type cursor struct {
	input
	reader
	file    *os.File
	src     io.Reader     // the file, or what waits for it
	done    *atomic.Int64 // of the source
	read    int64         // bytes of the file
	packets uint64
	held    []Frame // read, not yet given away
	batch   []Frame // what held is a part of
}

// Read counts bytes for Progress.
func (c *cursor) Read(b []byte) (int, error) {
	n, err := c.src.Read(b)
	c.read += int64(n)
	c.done.Add(int64(n))
	return n, err
}

func (s *fileSource) NextBatch(frames []Frame) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closed.Load() {
		return 0, os.ErrClosed
	}
	n, err := s.merge(frames)
	switch {
	case n > 0:
		s.count(frames[:n])
	case err == errIdle:
		err = nil
	case errors.Is(err, os.ErrClosed):
		err = os.ErrClosed
	}
	return n, err
}

// merge gives away the earliest packets of all open files.
func (s *fileSource) merge(frames []Frame) (int, error) {
	if err := s.prepare(); err != nil {
		return 0, err
	}
	if len(s.open) == 0 {
		return 0, io.EOF
	}
	if s.alone() && len(s.open[0].held) == 0 { // nothing to merge with: no copy of the frames
		n, err := s.fetch(s.open[0], frames)
		return n, s.leave(0, err)
	}
	n := 0
	for n < len(frames) {
		c, until := s.earliest()
		if c.held[0].Time > until {
			break // the next file's turn has come
		}
		for n < len(frames) && len(c.held) > 0 && c.held[0].Time <= until {
			frames[n] = c.held[0]
			c.held = c.held[1:]
			n++
		}
		if len(c.held) == 0 {
			break // to read on would overwrite what was just given away
		}
	}
	return n, nil
}

// alone reports whether one file is all that is left.
func (s *fileSource) alone() bool { return len(s.open) == 1 && len(s.waiting) == 0 }

// prepare opens the files whose time has come and sees to it that each open one
// holds packets.
func (s *fileSource) prepare() error {
merging:
	for !s.alone() {
		for i, c := range s.open {
			if len(c.held) > 0 {
				continue
			}
			if c.batch == nil {
				c.batch = make([]Frame, mergeBatch)
			}
			n, err := s.fetch(c, c.batch)
			c.held = c.batch[:n]
			if err != nil {
				if err := s.leave(i, err); err != nil {
					return err
				}
				continue merging
			}
		}
		if len(s.waiting) == 0 || len(s.open) == maxOpen {
			return nil
		}
		if len(s.open) > 0 {
			if c, _ := s.earliest(); c.held[0].Time < s.waiting[0].first {
				return nil
			}
		}
		if err := s.begin(); err != nil {
			return err
		}
	}
	return nil
}

// earliest gives the file with the earliest packet, and the time up to which its
// packets are the earliest. Of packets of one time those of the file that was opened
// first come first.
func (s *fileSource) earliest() (c *cursor, until int64) {
	at := 0
	for i, o := range s.open {
		if o.held[0].Time < s.open[at].held[0].Time {
			at = i
		}
	}
	until = never
	for i, o := range s.open {
		if i < at {
			until = min(until, o.held[0].Time-1)
		} else if i > at {
			until = min(until, o.held[0].Time)
		}
	}
	if len(s.waiting) > 0 && len(s.open) < maxOpen {
		until = min(until, s.waiting[0].first)
	}
	return s.open[at], until
}

func (s *fileSource) fetch(c *cursor, frames []Frame) (int, error) {
	n, err := c.next(frames)
	c.packets += uint64(n)
	return n, err
}

// begin opens the file that waited longest.
func (s *fileSource) begin() error {
	c := &cursor{input: s.waiting[0], done: &s.done}
	s.waiting = s.waiting[1:]
	var p *pipe
	what := capture{src: c, size: mergeWindow, name: filepath.Base(c.path), path: c.path, add: s.declare, lost: s.lose}
	if len(s.open) == 0 && len(s.waiting) == 0 {
		what.size = windowSize
	}
	var err error
	switch {
	case c.path == "-":
		c.file, what.name = os.Stdin, "stdin"
	case c.pipe:
		c.file, err = openPipe(c.path)
	default:
		c.file, err = os.Open(c.path)
	}
	if err != nil {
		return s.damage(c, err)
	}
	c.src = c.file
	if c.pipe {
		p = &pipe{file: c.file, closed: &s.closed, block: true}
		c.src = p
	}
	compressed := false
	if c.reader, compressed, err = what.open(); err != nil {
		c.close()
		if c.pipe {
			return fmt.Errorf("%s %w", what.name, err)
		}
		return s.damage(c, err)
	}
	if p != nil && !compressed { // an inflater can't go on after errIdle
		p.block = false
	}
	s.open = append(s.open, c)
	return nil
}

// leave ends a file that gave err. What is left of the error is damage.
func (s *fileSource) leave(i int, err error) error {
	if err == nil || err == errIdle || errors.Is(err, os.ErrClosed) {
		return err
	}
	c := s.open[i]
	s.open = slices.Delete(s.open, i, i+1)
	c.close()
	if err == io.EOF {
		s.pass(c)
		return nil
	}
	return s.damage(c, err)
}

func (s *fileSource) damage(c *cursor, err error) error {
	s.pass(c)
	s.damaged.Add(1)
	e := &FileError{Path: c.path, Packets: c.packets, Err: err}
	if c.reader != nil {
		e.Offset = c.pos()
	}
	if err == io.ErrUnexpectedEOF {
		e.Err = fmt.Errorf("the file is cut off within a packet: %w", err)
	}
	return e
}

// pass takes what was not read of a file, or grew beyond its size, as done.
func (s *fileSource) pass(c *cursor) {
	if c.size > 0 {
		s.done.Add(c.size - c.read)
	}
}

func (c *cursor) close() {
	if c.path != "-" {
		c.file.Close()
	}
}

// declare gives an interface its index; the same one again keeps its own.
func (s *fileSource) declare(i Interface) (int, error) {
	s.declared.Lock()
	defer s.declared.Unlock()
	if at, known := s.index[i]; known {
		return at, nil
	}
	if len(s.ifaces) == maxDeclaration {
		return 0, fmt.Errorf("more than %d interfaces", maxDeclaration)
	}
	if s.index == nil {
		s.index = map[Interface]int{}
	}
	s.index[i] = len(s.ifaces)
	s.ifaces, s.lost = append(s.ifaces, i), append(s.lost, 0)
	return s.index[i], nil
}

func (s *fileSource) lose(i int, n uint64) {
	s.declared.Lock()
	defer s.declared.Unlock()
	s.lost[i] = max(s.lost[i], n)
}

func (s *fileSource) Interfaces() []Interface {
	s.declared.Lock()
	defer s.declared.Unlock()
	return slices.Clone(s.ifaces)
}

func (s *fileSource) Stats() Stats {
	st := Stats{Packets: s.packets.Load(), Bytes: s.bytes.Load(), Damaged: s.damaged.Load()}
	s.declared.Lock()
	defer s.declared.Unlock()
	for i, iface := range s.ifaces {
		st.Interfaces = append(st.Interfaces, InterfaceStats{Name: iface.String(), Drops: s.lost[i]})
	}
	return st
}

func (s *fileSource) Progress() (done, total int64) {
	done = s.done.Load()
	if s.unknown {
		return done, 0
	}
	return min(done, s.total), s.total
}

func (s *fileSource) Close() error {
	s.closed.Store(true) // a pipe's Read looks at it
	s.reading.Lock()
	defer s.reading.Unlock()
	for _, c := range s.open {
		c.close()
	}
	s.open, s.waiting = nil, nil
	return nil
}
