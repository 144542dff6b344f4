package posture

import (
	"context"
	"os"
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

// readSome calls f for each entry of a directory, a few at a time.
func readSome(dir string, f func(os.DirEntry)) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(256)
		for _, e := range entries {
			f(e)
		}
		if err != nil || len(entries) == 0 {
			if len(entries) == 0 {
				return nil
			}
			return err
		}
	}
}
