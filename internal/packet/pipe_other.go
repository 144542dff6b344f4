//go:build !unix

package packet

import (
	"os"
	"sync/atomic"
)

// pipe reads standard input and the like. Here a read that waits for its writer
// ends only when the writer does.
type pipe struct {
	file   *os.File
	closed *atomic.Bool
	block  bool
}

func openPipe(path string) (*os.File, error) { return os.Open(path) }

func (p *pipe) Read(b []byte) (int, error) {
	if p.closed.Load() {
		return 0, os.ErrClosed
	}
	return p.file.Read(b)
}
