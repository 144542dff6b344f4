package packet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// OpenLive captures on interfaces through AF_PACKET rings that the kernel fills and
// NextBatch reads in place, and takes the copies that mirrors send to this host from
// sockets: one goroutine for all of them, which sleeps while nothing comes. Within an
// interface packets come in the order of time, between two they may be a block's time
// (64 ms) apart.
//
// VLAN tags that the kernel took off are put back. On the loopback interface, where
// every packet passes twice, it is given once. Cards that put segments together
// (GRO, LRO) make fewer and longer packets than were on the wire.
//
// An interface that goes down and up again goes on. One that is taken away is looked
// for once a second, and captured again when it is back; Stats tells of both.
func OpenLive(c LiveConfig) (Source, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("live capture: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("live capture: eventfd: %w", err)
	}
	s := &liveSource{wake: wake, config: c}
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
	if c.Mirrors != nil {
		s.peers = newPeers(c.Mirrors, len(c.Interfaces))
		if s.sockets, err = openMirrors(c.Mirrors, c.BufferMiB); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		s.Close()
		return nil, permission(errors.Join(wrong...), "live capture")
	}
	s.watch(time.Now())
	return s, nil
}

// liveSource reads several rings and sockets in turn.
type liveSource struct {
	wake   int // eventfd that Close writes to
	config LiveConfig
	ifaces []Interface // of the rings; peers follow
	closed atomic.Bool
	tally

	reading sync.Mutex // held by NextBatch and by Close
	turn    int        // ring to begin with
	lent    bool       // frames of the last batch may still be in use
	checked time.Time

	counting sync.Mutex // guards what Stats and Interfaces read, and sockets against closing
	rings    []*ring
	sockets  []*mirrorSocket
	peers    *peers // nil without mirrors
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
	s.lent = false
	for _, r := range s.rings {
		r.giveBack()
	}
	if now := time.Now(); now.Sub(s.checked) >= checkTime {
		s.watch(now)
	}
	n, err := s.drain(frames)
	if n == 0 && err == nil {
		if err := s.poll(); err != nil {
			return 0, err
		}
		if s.closed.Load() {
			return 0, os.ErrClosed // Close waits for us
		}
		n, err = s.drain(frames)
	}
	if n > 0 {
		s.lent = true
		s.count(frames[:n])
		return n, nil // what is wrong with a socket is told when asked again
	}
	return 0, err
}

func (s *liveSource) drain(frames []Frame) (n int, err error) {
	for i := range s.rings {
		r := s.rings[(s.turn+i)%len(s.rings)]
		n += r.take(frames[n:])
		if n == len(frames) {
			break
		}
	}
	if len(s.sockets) > 0 {
		s.counting.Lock()
		defer s.counting.Unlock()
		for i := range s.sockets {
			if n == len(frames) {
				break
			}
			m := s.sockets[(s.turn+i)%len(s.sockets)]
			k, e := m.take(frames[n:], s.peers)
			n, err = n+k, errors.Join(err, e)
		}
	}
	s.turn++
	return n, err
}

// poll waits until there are packets, an interface has trouble, or Close calls.
func (s *liveSource) poll() error {
	fds := make([]unix.PollFd, 0, maxLive+2*maxLive+1)
	for _, r := range s.rings {
		fd := int32(r.fd)
		if !r.gone.IsZero() {
			fd = -1 // passed over
		}
		fds = append(fds, unix.PollFd{Fd: fd, Events: unix.POLLIN | unix.POLLERR})
	}
	for _, m := range s.sockets {
		fds = append(fds, unix.PollFd{Fd: int32(m.fd), Events: unix.POLLIN})
	}
	fds = append(fds, unix.PollFd{Fd: int32(s.wake), Events: unix.POLLIN})
	if _, err := unix.Poll(fds, int(idle/time.Millisecond)); err != nil && err != unix.EINTR {
		return fmt.Errorf("live capture: poll: %w", err)
	}
	ringReady, socketReady := false, false
	for i, r := range s.rings {
		ringReady = ringReady || fds[i].Revents&unix.POLLIN != 0
		if fds[i].Revents&^unix.POLLIN != 0 {
			s.counting.Lock()
			r.trouble()
			s.counting.Unlock()
		}
	}
	for i := range s.sockets {
		socketReady = socketReady || fds[len(s.rings)+i].Revents != 0
	}
	if socketReady && !ringReady {
		// A socket is ready with its first packet, a ring with its first block. Others will
		// have come a moment later, and cost less together.
		_, _ = unix.Poll(fds[len(fds)-1:], int(mirrorPause/time.Millisecond))
	}
	return nil
}

// watch reads the kernel's counters, looks after each interface, and opens those again
// that came back. Nothing is lent meanwhile.
func (s *liveSource) watch(now time.Time) {
	s.checked = now
	s.counting.Lock()
	defer s.counting.Unlock()
	lost := missedPackets()
	for i, r := range s.rings {
		r.account()
		r.check()
		r.missed(lost)
		if !r.gone.IsZero() {
			s.rings[i] = r.again(now, s.config)
		}
	}
	for _, m := range s.sockets {
		m.account()
	}
}

func (s *liveSource) Interfaces() []Interface {
	s.counting.Lock()
	defer s.counting.Unlock()
	all := slices.Clone(s.ifaces)
	if s.peers != nil {
		all = append(all, s.peers.list...)
	}
	return all
}

func (s *liveSource) Stats() Stats {
	st := Stats{Packets: s.packets.Load(), Bytes: s.bytes.Load()}
	s.counting.Lock()
	defer s.counting.Unlock()
	for _, r := range s.rings {
		r.account()
		st.Interfaces = append(st.Interfaces, r.stats)
	}
	if p := s.peers; p != nil {
		for i, one := range p.list {
			st.Interfaces = append(st.Interfaces, InterfaceStats{Name: one.Name, Packets: p.packets[i]})
		}
		st.Interfaces[len(s.rings)].Unwanted = p.refused
	}
	for _, m := range s.sockets {
		m.account()
		st.Interfaces = append(st.Interfaces, m.stats)
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
		for _, m := range s.sockets {
			m.close(false)
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
		r.close(s.lent)
	}
	for _, m := range s.sockets {
		m.account()
		m.close(s.lent)
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
