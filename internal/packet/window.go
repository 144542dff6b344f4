package packet

import (
	"errors"
	"io"
)

// A window of this size stays in the second-level cache, so that headers are
// warm when they are decoded.
const windowSize = 64 << 10

// errIdle says that a pipe has nothing for now.
var errIdle = errors.New("nothing to read yet")

// window is the part of a stream that is in memory. It is read(2) and not a
// mapping: a file that shrinks under a mapping kills the process.
type window struct {
	src    io.Reader
	buf    []byte
	lo, hi int   // unread bytes are buf[lo:hi]
	base   int64 // position in the stream of buf[0]
	err    error // of src; lasting
}

func newWindow(src io.Reader, size int) *window {
	return &window{src: src, buf: make([]byte, size)}
}

// pos is the stream's position of the next unread byte.
func (w *window) pos() int64 { return w.base + int64(w.lo) }

// fill reads until n bytes are unread, moving what is already there; slices
// handed out become invalid. io.EOF: none are left. io.ErrUnexpectedEOF: fewer
// than n. The caller bounds n.
func (w *window) fill(n int) error {
	if w.lo > 0 {
		copy(w.buf, w.buf[w.lo:w.hi])
		w.base += int64(w.lo)
		w.lo, w.hi = 0, w.hi-w.lo
	}
	for empty := 0; w.hi < n && w.err == nil; {
		if w.hi == len(w.buf) { // doubled as bytes come, so that a length that lies costs nothing
			w.buf = append(w.buf, make([]byte, len(w.buf))...)
		}
		got, err := w.src.Read(w.buf[w.hi:])
		w.hi += got
		if errors.Is(err, errIdle) {
			if w.hi >= n {
				break
			}
			return errIdle
		}
		if got == 0 && err == nil {
			if empty++; empty == 100 {
				err = io.ErrNoProgress
			}
		}
		w.err = err
	}
	switch {
	case w.hi >= n:
		return nil
	case w.err != io.EOF:
		return w.err
	case w.hi == 0:
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}
