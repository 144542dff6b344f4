package packet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// OpenLive captures on interfaces through AF_PACKET rings that the kernel fills and
// NextBatch reads in place: one goroutine for all of them, which sleeps while
// nothing comes. Within an interface packets come in the order of time, between
// two they may be a block's time (64 ms) apart.
//
// VLAN tags that the kernel took off are put back. On the loopback interface, where
// every packet passes twice, it is given once. Cards that put segments together
// (GRO, LRO) make fewer and longer packets than were on the wire.
//
// An interface that goes down and up again goes on. One that is taken away is told
// by Stats, and ends NextBatch with an error that names it when it was the last.
func OpenLive(c LiveConfig) (Source, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("live capture: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("live capture: eventfd: %w", err)
	}
	s := &liveSource{wake: wake, checked: time.Now()}
	var wrong []error
	for _, name := range c.Interfaces {
		r, err := openRing(name, c)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		r.number = len(s.rings)
		s.rings = append(s.rings, r)
		s.ifaces = append(s.ifaces, Interface{Name: name, Link: r.link, SnapLen: c.SnapLen})
	}
	if len(wrong) > 0 {
		s.Close()
		return nil, permission(errors.Join(wrong...))
	}
	return s, nil
}

// permission says how to get the one that is needed.
func permission(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("live capture: %w", err)
	}
	binary, e := os.Executable()
	if e != nil {
		binary = os.Args[0]
	}
	return fmt.Errorf("live capture needs the capability CAP_NET_RAW: run `sudo setcap cap_net_raw+ep %s` once, or run it with sudo: %w", binary, unix.EPERM)
}

// liveSource reads several rings in turn.
type liveSource struct {
	wake   int // eventfd that Close writes to
	ifaces []Interface
	closed atomic.Bool
	tally

	reading sync.Mutex // held by NextBatch and by Close
	rings   []*ring
	turn    int // ring to begin with
	lent    int // calls for which frames may still be in use
	checked time.Time

	counting sync.Mutex // guards the rings' counts, and their sockets against closing
}

const (
	blockTime = 64 * time.Millisecond // after which a block that is not full is handed over
	checkTime = time.Second           // between looks at counters and the interfaces' life
)

func (s *liveSource) NextBatch(frames []Frame) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closed.Load() {
		return 0, os.ErrClosed
	}
	s.lent = max(s.lent-1, 0)
	for _, r := range s.rings {
		r.giveBack()
	}
	n := s.drain(frames)
	now := time.Now()
	if due := now.Sub(s.checked) >= checkTime; n == 0 || due {
		if due {
			s.checked = now
		}
		wait := idle
		if n > 0 || s.full() {
			wait = 0
		}
		if err := s.poll(wait, due); err != nil {
			return 0, err
		}
		if s.closed.Load() {
			return 0, os.ErrClosed // Close waits for us
		}
		if n == 0 {
			n = s.drain(frames)
		}
	}
	if n > 0 {
		s.lent = Lent
		s.count(frames[:n])
		return n, nil
	}
	return 0, s.ended(now)
}

// full reports whether a ring has nothing left that the kernel could fill, since all
// of it is in use: the next call gives some back.
func (s *liveSource) full() bool {
	for _, r := range s.rings {
		if r.head-r.tail == r.blocks {
			return true
		}
	}
	return false
}

func (s *liveSource) drain(frames []Frame) int {
	n := 0
	for i := range s.rings {
		r := s.rings[(s.turn+i)%len(s.rings)]
		n += r.take(frames[n:])
		if n == len(frames) {
			break
		}
	}
	s.turn++
	return n
}

// poll waits until a ring has packets, an interface has trouble, or Close calls.
func (s *liveSource) poll(wait time.Duration, due bool) error {
	fds := make([]unix.PollFd, 0, maxLive+1)
	for _, r := range s.rings {
		fd := int32(r.fd)
		if !r.gone.IsZero() {
			fd = -1 // passed over
		}
		fds = append(fds, unix.PollFd{Fd: fd, Events: unix.POLLIN | unix.POLLERR})
	}
	fds = append(fds, unix.PollFd{Fd: int32(s.wake), Events: unix.POLLIN})
	if _, err := unix.Poll(fds, int(wait/time.Millisecond)); err != nil && err != unix.EINTR {
		return fmt.Errorf("live capture: poll: %w", err)
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	for i, r := range s.rings {
		if fds[i].Revents&^unix.POLLIN != 0 {
			if err := r.trouble(); err != nil {
				return err
			}
		}
		if due {
			r.account()
			r.check()
		}
	}
	return nil
}

// ended gives the error that ends the capture once no interface is left and the
// kernel has handed over what it still had of them.
func (s *liveSource) ended(now time.Time) error {
	names := make([]string, 0, len(s.rings))
	for _, r := range s.rings {
		if r.gone.IsZero() || now.Sub(r.gone) < 4*blockTime {
			return nil
		}
		names = append(names, r.name)
	}
	return fmt.Errorf("live capture: interface %s was taken away", strings.Join(names, ", "))
}

func (s *liveSource) Interfaces() []Interface { return slices.Clone(s.ifaces) }

func (s *liveSource) Stats() Stats {
	st := Stats{Packets: s.packets.Load(), Bytes: s.bytes.Load()}
	s.counting.Lock()
	defer s.counting.Unlock()
	for _, r := range s.rings {
		r.account()
		st.Interfaces = append(st.Interfaces, r.stats)
	}
	return st
}

// Progress is of no end.
func (s *liveSource) Progress() (done, total int64) { return int64(s.bytes.Load()), 0 }

// Close ends the capture. Frames that are still in use turn to zeros; a second Close
// gives back their memory.
func (s *liveSource) Close() error {
	if s.closed.Swap(true) {
		s.reading.Lock()
		defer s.reading.Unlock()
		for _, r := range s.rings {
			r.unmap()
		}
		return nil
	}
	unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	s.reading.Lock()
	defer s.reading.Unlock()
	s.counting.Lock()
	defer s.counting.Unlock()
	for _, r := range s.rings {
		r.account()
		r.close(s.lent > 0)
	}
	unix.Close(s.wake)
	return nil
}

// interfaceNames lists what there is.
func interfaceNames() []string {
	all, _ := net.Interfaces()
	names := make([]string, 0, len(all))
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}
