package posture

import (
	"context"
	"sync"
	"time"
)

// What a walk works and rests at a time, so that it is never felt: a tenth of a processor.
const (
	walkWork = 10 * time.Millisecond
	walkRest = 90 * time.Millisecond
)

// walker walks the disks from time to time.
type walker struct {
	every time.Duration
	scan  func(ctx context.Context, rest func()) (facts, error)
	done  func() // called when there is something new

	mu      sync.Mutex
	found   facts // nil before the first walk has ended
	err     error
	running sync.WaitGroup
}

func (w *walker) run(ctx context.Context) {
	w.running.Go(func() {
		for {
			since := time.Now()
			rest := func() {
				if time.Since(since) < walkWork {
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(walkRest):
				}
				since = time.Now()
			}
			found, err := w.scan(ctx, rest)
			if ctx.Err() != nil {
				return
			}
			w.mu.Lock()
			w.found, w.err = found, err
			w.mu.Unlock()
			w.done()
			select {
			case <-ctx.Done():
				return
			case <-time.After(w.every):
			}
		}
	})
}

func (w *walker) wait() { w.running.Wait() }

func (w *walker) read() (facts, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.found == nil && w.err == nil {
		return nil, errLater
	}
	return w.found, w.err
}
