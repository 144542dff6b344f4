// Package seldom keeps a fault that goes on out of the log's way. It promises that each kind of fault
// is said at once, and again once a minute while it lasts; it gives up exactness when there are more
// than a thousand kinds: then all may be said anew.
package seldom

import (
	"sync"
	"time"
)

// Each is how long a fault that goes on is not said again.
const Each = time.Minute

const kinds = 1000

// Faults knows when each kind of fault was last said. The zero Faults is ready; its methods are safe
// for concurrent use.
type Faults struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// Due tells whether a fault of this kind is to be said now, and takes it as said if so.
func (f *Faults) Due(kind string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if last, ok := f.said[kind]; ok && now.Sub(last) < Each {
		return false
	}
	if f.said == nil || len(f.said) >= kinds {
		f.said = map[string]time.Time{}
	}
	f.said[kind] = now
	return true
}

// Over tells whether a fault of this kind was said since the last Over, so that its end is to be said as well.
func (f *Faults) Over(kind string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, was := f.said[kind]
	delete(f.said, kind)
	return was
}
