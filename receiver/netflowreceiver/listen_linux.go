package netflowreceiver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const datagramsAtOnce = 32

// listener is one UDP socket, read many datagrams a system call.
type listener struct {
	conn  *net.UDPConn
	batch *ipv4.PacketConn // recvmmsg does not mind the family
	msgs  []ipv4.Message
	drops uint32 // as the kernel told last
}

// listen opens a socket with a buffer, and says how large that really is.
func listen(endpoint string, buffer int) (*listener, int, error) {
	granted := 0
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			s := int(fd)
			if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil { // needs CAP_NET_ADMIN
				_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
			}
			granted, _ = unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF)
			granted /= 2 // the kernel doubles it for its own needs
			_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		})
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp", endpoint)
	if err != nil {
		return nil, 0, fmt.Errorf("listening on %s: %w", endpoint, err)
	}
	l := &listener{conn: conn.(*net.UDPConn), batch: ipv4.NewPacketConn(conn), msgs: make([]ipv4.Message, datagramsAtOnce)}
	for i := range l.msgs {
		l.msgs[i].Buffers = [][]byte{make([]byte, 1<<16)}
		l.msgs[i].OOB = make([]byte, 64)
	}
	return l, granted, nil
}

// read waits for datagrams until a time, and says how many came.
func (l *listener) read(until time.Time) (int, error) {
	if err := l.conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, err := l.batch.ReadBatch(l.msgs, 0)
	if err != nil {
		return 0, err
	}
	for i := range n {
		l.overflow(l.msgs[i].OOB[:l.msgs[i].NN])
	}
	return n, nil
}

// datagram gives the i-th of the last read.
func (l *listener) datagram(i int) (netip.Addr, []byte) {
	m := &l.msgs[i]
	a, ok := m.Addr.(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, nil
	}
	from, _ := netip.AddrFromSlice(a.IP)
	return from.Unmap(), m.Buffers[0][:m.N]
}

// overflow reads how many datagrams the kernel has dropped since the socket was opened.
func (l *listener) overflow(oob []byte) {
	for len(oob) >= unix.SizeofCmsghdr {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return
		}
		if hdr.Level == unix.SOL_SOCKET && hdr.Type == unix.SO_RXQ_OVFL && len(data) >= 4 {
			l.drops = *(*uint32)(unsafe.Pointer(&data[0]))
		}
		oob = rest
	}
}
