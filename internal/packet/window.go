package packet

import (
	"errors"
	"io"
)

// Three windows of this size stay in the second-level cache, so that headers are
// warm when they are decoded.
const windowSize = 128 << 10

// errIdle says that a pipe has nothing for now.
var errIdle = errors.New("nothing to read yet")

// window is the part of a stream that is in memory. It is read(2) and not a
// mapping: a file that shrinks under a mapping kills the process.
type window struct {
	src    io.Reader
	buf    []byte
	others [Lent - 1][]byte // what was buf before, oldest first: frames still point there
	turned bool             // since the last call of begin
	lo, hi int              // unread bytes are buf[lo:hi]
	base   int64            // position in the stream of buf[0]
	err    error            // of src; lasting
}

func newWindow(src io.Reader, size int) *window {
	return &window{src: src, buf: make([]byte, size)}
}

// pos is the stream's position of the next unread byte.
func (w *window) pos() int64 { return w.base + int64(w.lo) }

// begin tells that frames are to be read, and those of [Lent] calls before are no longer in use.
func (w *window) begin() { w.turned = false }

// fill reads until n bytes are unread, moving what is already there. Slices that were
// handed out since the last begin become invalid; older ones stay, see [Lent]. io.EOF:
// none are left. io.ErrUnexpectedEOF: fewer than n. The caller bounds n.
func (w *window) fill(n int) error {
	if w.lo > 0 {
		to := w.buf
		if !w.turned {
			w.turned = true
			to = w.others[0]
			copy(w.others[:], w.others[1:])
			w.others[len(w.others)-1] = w.buf
			if len(to) < len(w.buf) {
				to = make([]byte, len(w.buf))
			}
		}
		copy(to, w.buf[w.lo:w.hi])
		w.buf = to
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
