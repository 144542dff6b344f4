package packet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// LiveConfig says what to capture on the wire.
type LiveConfig struct {
	Interfaces  []string      // names, at least one where there are no Mirrors
	Promiscuous bool          // see what is addressed to others, as a mirror port needs
	Filter      string        // as of [CompileFilter]; "" for everything; of interfaces only
	SnapLen     int           // bytes kept of each packet; 0 for all; of interfaces only
	BufferMiB   int           // ring of each interface, buffer of each socket; 0 for 16
	Mirrors     *MirrorConfig // copies that others send to this host, nil for none
}

const (
	defaultBufferMiB = 16
	maxBufferMiB     = 1024
	minSnapLen       = 64
	maxLive          = 64 // interfaces at a time, and mirrors
)

// check tells all that is wrong at once, and fills in defaults.
func (c *LiveConfig) check() error {
	var wrong []error
	if len(c.Interfaces) == 0 && c.Mirrors == nil {
		wrong = append(wrong, errors.New("no interface is named"))
	}
	if len(c.Interfaces) > maxLive {
		wrong = append(wrong, fmt.Errorf("%d interfaces, where at most %d are captured by one source", len(c.Interfaces), maxLive))
	}
	for i, name := range c.Interfaces {
		if slices.Contains(c.Interfaces[:i], name) {
			wrong = append(wrong, fmt.Errorf("interface %s is named twice", name))
		}
	}
	if c.SnapLen != 0 && (c.SnapLen < minSnapLen || c.SnapLen > maxCaptured) {
		wrong = append(wrong, fmt.Errorf("a snap length of %d; it is 0 for whole packets, or %d to %d", c.SnapLen, minSnapLen, maxCaptured))
	}
	if c.BufferMiB == 0 {
		c.BufferMiB = defaultBufferMiB
	}
	if c.BufferMiB < 1 || c.BufferMiB > maxBufferMiB {
		wrong = append(wrong, fmt.Errorf("a buffer of %d MiB; it is 1 to %d", c.BufferMiB, maxBufferMiB))
	}
	return errors.Join(wrong...)
}

// absent says that there is no such interface, and which there are.
func absent(name string, there []string) error {
	if len(there) == 0 {
		return fmt.Errorf("there is no interface %s, nor any other", name)
	}
	return fmt.Errorf("there is no interface %s; nearest is %s, all are: %s",
		name, nearest(name, there, 1)[0], strings.Join(there, ", "))
}
