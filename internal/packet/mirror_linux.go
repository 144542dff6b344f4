package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	mirrorBatch  = 128     // datagrams that one system call fetches
	mirrorBuffer = 1 << 16 // as long as any; of what is never written to no memory is taken
	mirrorSpace  = 64      // for the control message with the time
	mirrorPause  = time.Millisecond
)

// mirrorSocket takes one kind of copy: a UDP socket, or a raw one for GRE.
type mirrorSocket struct {
	Mirror
	fd   int
	raw4 bool // an IPv4 header stands before the data

	set       mirrorSet // what was fetched last
	got, next int       // datagrams of it, and the first not taken yet

	stats InterfaceStats
	drops uint32 // as the kernel last told, which counts around
}

// mirrorSet is room for one fetch.
type mirrorSet struct {
	data    []byte // mapped, as the collector would reckon with all of it
	control []byte
	from    []unix.RawSockaddrInet6
	headers []mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	size uint32
}

// openMirrors opens all sockets, or says what is wrong with each.
func openMirrors(c *MirrorConfig, bufferMiB int) ([]*mirrorSocket, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	wanted, _ := c.mirrors()
	var all []*mirrorSocket
	var errs []error
	open := func(m Mirror, family int) error {
		s := &mirrorSocket{Mirror: m, fd: -1, stats: InterfaceStats{Name: "mirror " + m.String()}}
		if err := s.open(family, c.Address, bufferMiB); err != nil {
			s.close(false)
			return err
		}
		all = append(all, s)
		return nil
	}
	for _, m := range wanted {
		var err error
		switch {
		case c.Address.Is4():
			err = open(m, unix.AF_INET)
		case c.Address.IsValid():
			err = open(m, unix.AF_INET6)
		case m.Port == 0: // a raw socket is of one family
			err = open(m, unix.AF_INET)
			if err == nil {
				if e := open(m, unix.AF_INET6); e == nil {
					all[len(all)-1].stats.Name += " IPv6"
				} else if !errors.Is(e, unix.EAFNOSUPPORT) {
					err = e
				}
			}
		default: // one socket for both families, where the host has both
			if err = open(m, unix.AF_INET6); errors.Is(err, unix.EAFNOSUPPORT) {
				err = open(m, unix.AF_INET)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("mirror %s: %w", m, err))
		}
	}
	if len(errs) > 0 {
		for _, s := range all {
			s.close(false)
		}
		return nil, errors.Join(errs...)
	}
	return all, nil
}

func (s *mirrorSocket) open(family int, address netip.Addr, bufferMiB int) (err error) {
	kind, protocol := unix.SOCK_DGRAM, unix.IPPROTO_UDP
	if s.Port == 0 {
		kind, protocol = unix.SOCK_RAW, unix.IPPROTO_GRE
	}
	s.raw4 = s.Port == 0 && family == unix.AF_INET
	if s.fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol); err != nil {
		s.fd = -1
		return fmt.Errorf("socket: %w", err)
	}
	var to unix.Sockaddr
	if family == unix.AF_INET {
		a := &unix.SockaddrInet4{Port: int(s.Port)}
		if address.IsValid() {
			a.Addr = address.As4()
		}
		to = a
	} else {
		a := &unix.SockaddrInet6{Port: int(s.Port)}
		if address.IsValid() {
			a.Addr = address.As16()
		}
		if s.Port != 0 {
			if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
				return fmt.Errorf("IPV6_V6ONLY: %w", err)
			}
		}
		to = a
	}
	size := bufferMiB << 20
	// beyond net.core.rmem_max only the first may go, which needs CAP_NET_ADMIN
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			return fmt.Errorf("SO_RCVBUF: %w", err)
		}
	}
	got, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return fmt.Errorf("SO_RCVBUF: %w", err)
	}
	const most = math.MaxInt32 / 2 // of which the kernel takes the double, for its own needs
	s.stats.Buffer, s.stats.Asked = got/2, min(size, most)
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("SO_TIMESTAMPNS: %w", err)
	}
	switch err := unix.Bind(s.fd, to); {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("UDP port %d is in use: by another program, or by a device of the kernel of that kind, which would take the copies itself: %w", s.Port, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this host: %w", address, err)
	case err != nil:
		return fmt.Errorf("bind: %w", err)
	}
	return s.set.make()
}

func (m *mirrorSet) make() (err error) {
	m.data, err = unix.Mmap(-1, 0, mirrorBatch*mirrorBuffer, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("mapping buffers: %w", err)
	}
	m.control = make([]byte, mirrorBatch*mirrorSpace)
	m.from = make([]unix.RawSockaddrInet6, mirrorBatch)
	m.headers = make([]mmsghdr, mirrorBatch)
	vectors := make([]unix.Iovec, mirrorBatch)
	for i := range m.headers {
		vectors[i].Base = &m.data[i*mirrorBuffer]
		vectors[i].SetLen(mirrorBuffer)
		h := &m.headers[i].Msghdr
		h.Iov, h.Name, h.Control = &vectors[i], (*byte)(unsafe.Pointer(&m.from[i])), &m.control[i*mirrorSpace]
		h.SetIovlen(1)
	}
	return nil
}

// take fills frames with copies that have come. It fetches once at most in a call that
// hands out any, so that what was fetched is written over only when it is no more in use.
func (s *mirrorSocket) take(frames []Frame, p *peers) (n int, err error) {
	if s.next == s.got {
		if err := s.fetch(); err != nil {
			return 0, err
		}
	}
	for ; s.next < s.got && n < len(frames); s.next++ {
		if s.frame(&frames[n], s.next, p) {
			n++
		}
	}
	return n, nil
}

func (s *mirrorSocket) fetch() error {
	s.next, s.got = 0, 0
	m := &s.set
	for i := range m.headers {
		h := &m.headers[i].Msghdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(mirrorSpace)
	}
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&m.headers[0])), mirrorBatch, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		s.got = int(got)
		return nil
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH:
		return nil // nothing now; or an ICMP error, which is of no concern to one that only listens
	}
	return fmt.Errorf("live capture: %s: %w", s.stats.Name, errno)
}

// frame describes the i-th datagram, and reports whether it is wanted.
func (s *mirrorSocket) frame(f *Frame, i int, p *peers) bool {
	m := &s.set
	h := &m.headers[i]
	data := m.data[i*mirrorBuffer:][:h.size:h.size]
	if s.raw4 {
		head := 20
		if len(data) > 0 {
			head = int(data[0]&15) * 4
		}
		if head < 20 || head > len(data) {
			return false // the kernel would not have it
		}
		data = data[head:]
	}
	f.Peer = sender(&m.from[i])
	at, ok := p.find(f.Peer)
	if !ok {
		return false
	}
	s.stats.Packets++

	f.Time = kernelTime(m.control[i*mirrorSpace:][:h.Controllen])
	f.Data, f.WireLen = data, len(data)
	f.Interface, f.Link = at, s.link
	return true
}

func sender(from *unix.RawSockaddrInet6) [16]byte {
	if from.Family == unix.AF_INET6 {
		return from.Addr
	}
	four := (*unix.RawSockaddrInet4)(unsafe.Pointer(from))
	return [16]byte{10: 0xff, 11: 0xff, 12: four.Addr[0], 13: four.Addr[1], 14: four.Addr[2], 15: four.Addr[3]}
}

// kernelTime reads the one control message there is, whose two numbers are as long
// as the system's words.
func kernelTime(control []byte) int64 {
	const word = unix.SizeofLong
	if len(control) >= unix.SizeofCmsghdr+2*word {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		b := control[unix.SizeofCmsghdr:]
		if c.Level == unix.SOL_SOCKET && c.Type == unix.SO_TIMESTAMPNS {
			if word == 8 {
				return int64(binary.NativeEndian.Uint64(b))*1e9 + int64(binary.NativeEndian.Uint64(b[8:]))
			}
			return int64(int32(binary.NativeEndian.Uint32(b)))*1e9 + int64(int32(binary.NativeEndian.Uint32(b[4:])))
		}
	}
	return time.Now().UnixNano()
}

// account adds what the kernel could not put into the socket's buffer, or refused
// because of a wrong checksum.
func (s *mirrorSocket) account() {
	if s.fd < 0 {
		return
	}
	const drops = 8 // SK_MEMINFO_DROPS
	var info [16]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno == 0 && size > drops*4 {
		s.stats.Drops += uint64(info[drops] - s.drops)
		s.drops = info[drops]
	}
}

// close ends the socket. Its buffers stay while they are lent.
func (s *mirrorSocket) close(lent bool) {
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
	if m := &s.set; !lent && m.data != nil {
		unix.Munmap(m.data)
		m.data = nil
	}
}

// permission says how to get the capability that is needed.
func permission(err error, what string) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("live capture: %w", err)
	}
	binary, e := os.Executable()
	if e != nil {
		binary = os.Args[0]
	}
	capability := "CAP_NET_RAW"
	if strings.Contains(err.Error(), "bind") {
		capability = "CAP_NET_BIND_SERVICE"
	}
	return fmt.Errorf("%s needs the capability %s: run `sudo setcap %s+ep %s` once, or run it with sudo: %w",
		what, capability, strings.ToLower(capability), binary, unix.EPERM)
}
