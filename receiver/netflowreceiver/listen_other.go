//go:build !linux

package netflowreceiver

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// listener is one UDP socket.
type listener struct {
	conn  *net.UDPConn
	buf   []byte
	n     int
	from  netip.Addr
	drops uint32 // not told here
}

// listen opens a socket with a buffer, and says how large that really is.
func listen(endpoint string, buffer int) (*listener, int, error) {
	conn, err := net.ListenPacket("udp", endpoint)
	if err != nil {
		return nil, 0, fmt.Errorf("listening on %s: %w", endpoint, err)
	}
	l := &listener{conn: conn.(*net.UDPConn), buf: make([]byte, 1<<16)}
	if err := l.conn.SetReadBuffer(buffer); err != nil {
		return l, 0, nil
	}
	return l, buffer, nil
}

// read waits for a datagram until a time, and says how many came.
func (l *listener) read(until time.Time) (int, error) {
	if err := l.conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, from, err := l.conn.ReadFromUDPAddrPort(l.buf)
	if err != nil {
		return 0, err
	}
	l.n, l.from = n, from.Addr().Unmap()
	return 1, nil
}

// datagram gives that of the last read.
func (l *listener) datagram(int) (netip.Addr, []byte) { return l.from, l.buf[:l.n] }
