package posture

import (
	"context"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"

	"github.com/monban/monban/internal/host"
)

const maxWatched = 4096 // directories

// notifier hears from the kernel which directories changed, and remembers which kinds of facts
// to read again. Without the kernel's help, as when its watches are used up, facts are read
// when their time has come.
type notifier struct {
	wake chan struct{} // of one

	mu      sync.Mutex
	fs      *fsnotify.Watcher // nil for none
	kinds   map[string][]Kind // by directory
	touched map[Kind]bool
	running sync.WaitGroup
}

func newNotifier() *notifier {
	n := &notifier{wake: make(chan struct{}, 1), kinds: map[string][]Kind{}, touched: map[Kind]bool{}}
	n.fs, _ = fsnotify.NewWatcher()
	return n
}

// add has a directory make a kind due. It may be told again and again. One that has two names is
// watched by the name that is no link, as the kernel tells of a directory by one name only.
func (n *notifier) add(dir string, kind Kind, faults *host.Faults) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	kinds, known := n.kinds[dir]
	if n.fs == nil || slices.Contains(kinds, kind) || !known && len(n.kinds) >= maxWatched {
		return
	}
	if !known {
		if err := n.fs.Add(dir); err != nil {
			if host.FaultOf(err) != host.Vanished { // not every host has all directories
				faults.Note(err)
			}
			return
		}
	}
	n.kinds[dir] = append(kinds, kind)
}

// touch makes a kind due.
func (n *notifier) touch(kinds ...Kind) {
	n.mu.Lock()
	for _, k := range kinds {
		n.touched[k] = true
	}
	n.mu.Unlock()
	if len(kinds) > 0 {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// take gives the kinds that are due, and forgets them.
func (n *notifier) take() map[Kind]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.touched
	n.touched = map[Kind]bool{}
	return out
}

func (n *notifier) run(ctx context.Context) {
	if n.fs == nil {
		return
	}
	n.running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case ev, ok := <-n.fs.Events:
				if !ok {
					return
				}
				n.mu.Lock()
				kinds := n.kinds[filepath.Dir(ev.Name)]
				if ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
					if own, ok := n.kinds[ev.Name]; ok { // the directory itself: a new one of its name is another
						kinds = append(slices.Clone(kinds), own...)
						delete(n.kinds, ev.Name)
					}
				}
				n.mu.Unlock()
				n.touch(kinds...)
			case _, ok := <-n.fs.Errors: // of more events than the kernel holds: read all
				if !ok {
					return
				}
				n.mu.Lock()
				var all []Kind
				for _, kinds := range n.kinds {
					all = append(all, kinds...)
				}
				n.mu.Unlock()
				n.touch(all...)
			}
		}
	})
}

func (n *notifier) close() {
	if n.fs != nil {
		_ = n.fs.Close()
	}
	n.running.Wait()
}
