//go:build unix

package packet

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pipe reads standard input, FIFOs and the like, where a read may wait for ever:
// it looks for bytes before it reads, so that nobody waits after a Close.
type pipe struct {
	file   *os.File
	closed *atomic.Bool
	block  bool // wait for bytes instead of giving errIdle
}

// openPipe opens path without waiting for a writer.
func openPipe(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (p *pipe) Read(b []byte) (int, error) {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	for {
		if p.closed.Load() {
			return 0, os.ErrClosed
		}
		n, ready := 0, false
		var failed error
		err := conn.Control(func(fd uintptr) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if _, failed = unix.Poll(poll, int(idle/time.Millisecond)); failed != nil || poll[0].Revents == 0 {
				return
			}
			ready = true
			n, failed = unix.Read(int(fd), b)
		})
		switch {
		case err != nil:
			return 0, err
		case failed == unix.EINTR || failed == unix.EAGAIN:
		case failed != nil:
			return 0, fmt.Errorf("read: %w", failed)
		case ready && n == 0:
			return 0, io.EOF
		case ready:
			return n, nil
		case !p.block:
			return 0, errIdle
		}
	}
}
