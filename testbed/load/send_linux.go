package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/monban/monban/internal/packet"
)

// sendCommand makes this program the sender, in a namespace of its own.
const sendCommand = "-send"

const (
	burst      = 64        // frames that one system call sends
	maxReplay  = 256 << 20 // bytes of a capture that are kept
	interfaceA = "va"      // the sender's end
)

// traffic fills frames that go out one after another.
type traffic interface {
	next() []byte
}

// sender obeys lines of the form "KIND RATE SECONDS [CAPTURE]", and answers each with
// "SENT NANOSECONDS CPU-NANOSECONDS".
func sender(in io.Reader, out io.Writer) error {
	runtime.LockOSThread() // its CPU time is that of sending
	lines := bufio.NewScanner(in)
	var fd int
	for lines.Scan() {
		var kind, capture string
		var rate, seconds int
		if n, err := fmt.Sscan(lines.Text(), &kind, &rate, &seconds, &capture); err != nil && n < 3 {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if fd == 0 {
			var err error
			if fd, err = outlet(); err != nil {
				return err
			}
		}
		var t traffic
		var err error
		switch kind {
		case "small":
			t = newSmall()
		case "mixed":
			t = newMixed()
		case "replay":
			if t, err = newReplay(capture); err != nil {
				return err
			}
		default:
			return fmt.Errorf("there is no traffic %q", kind)
		}
		cpu, start := threadTime(), time.Now()
		sent, err := send(fd, t, rate, time.Duration(seconds)*time.Second)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, sent, time.Since(start).Nanoseconds(), (threadTime() - cpu).Nanoseconds()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func threadTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// outlet is a socket that sends frames as they are, past the queueing discipline.
func outlet() (int, error) {
	i, err := net.InterfaceByName(interfaceA)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return 0, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index})
}

type mmsghdr struct {
	unix.Msghdr
	size uint32
}

// send sends at a rate, or as fast as can be when that is 0, and counts what the kernel took.
func send(fd int, t traffic, rate int, long time.Duration) (sent int, err error) {
	headers, vectors := make([]mmsghdr, burst), make([]unix.Iovec, burst)
	frames := make([][]byte, burst)
	for i := range headers {
		headers[i].Iov = &vectors[i]
		headers[i].SetIovlen(1)
	}
	start := time.Now()
	for {
		passed := time.Since(start)
		if passed >= long {
			return sent, nil
		}
		n := burst
		if rate > 0 {
			due := int(passed.Seconds() * float64(rate))
			if n = min(burst, due-sent); n < min(burst, rate/1000) || n <= 0 {
				time.Sleep(500 * time.Microsecond)
				continue
			}
		}
		for i := range n {
			frames[i] = append(frames[i][:0], t.next()...)
			vectors[i].Base = &frames[i][0]
			vectors[i].SetLen(len(frames[i]))
		}
		for at := 0; at < n; {
			k, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&headers[at])), uintptr(n-at), 0, 0, 0)
			switch errno {
			case 0:
				at += int(k)
				sent += int(k)
			case unix.EINTR, unix.EAGAIN:
			case unix.ENOBUFS: // the other end's queue was full: that frame is the interface's loss
				at++
				sent++
			default:
				return sent, fmt.Errorf("sendmmsg: %w", errno)
			}
		}
	}
}

// small are frames of 64 bytes with their checksum: 5,000 flows of UDP, both ways in turn.
type small struct {
	frames [][]byte
	at     int
}

const smallFlows = 5000

func newSmall() *small {
	s := &small{}
	for i := range smallFlows {
		a, b := [4]byte{10, 20, byte(i >> 8), byte(i)}, [4]byte{10, 30, 0, byte(i)}
		port := uint16(20000 + i)
		s.frames = append(s.frames, udp(nil, a, b, port, 5683, 18), udp(nil, b, a, 5683, port, 18))
	}
	return s
}

func (s *small) next() []byte {
	f := s.frames[s.at]
	s.at = (s.at + 1) % len(s.frames)
	return f
}

// mac is made of the host, so that each is a device of its own.
func mac(a [4]byte) [6]byte { return [6]byte{2, 0, a[0], a[1], a[2], a[3]} }

func ipv4(b []byte, from, to [4]byte, proto byte, size int) []byte {
	dst, src := mac(to), mac(from)
	b = append(append(append(b[:0], dst[:]...), src[:]...), 8, 0)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+size))
	b = append(b, 0, 0, 0, 0, 64, proto, 0, 0)
	return append(append(b, from[:]...), to[:]...)
}

func udp(b []byte, from, to [4]byte, src, dst uint16, payload int) []byte {
	b = ipv4(b, from, to, packet.ProtoUDP, 8+payload)
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(8+payload))
	return append(append(b, 0, 0), filler[:payload]...)
}

var filler [1500]byte

// mixed is 200 devices that talk to 20 servers over TCP without end: each connection is opened,
// used and closed, and the next has another port. Sizes are mixed, and some are UDP.
type mixed struct {
	frame []byte
	talks [200]talk
	at    int
}

type talk struct {
	step, steps int
	port        uint16
	seq, ack    uint32
}

func newMixed() *mixed { return &mixed{} }

func (m *mixed) next() []byte {
	i := m.at
	m.at = (m.at + 1) % len(m.talks)
	t := &m.talks[i]
	device, server := [4]byte{10, 20, 1, byte(i)}, [4]byte{10, 30, 0, byte(i % 20)}
	if t.step == 0 {
		t.port = 1024 + (t.port+7-1024)%60000
		t.steps = 8 + i%5*40
		t.seq, t.ack = 0, 0
	}
	if i%10 == 0 { // queries, each answered
		t.step = (t.step + 1) % 2
		if t.step == 1 {
			m.frame = udp(m.frame, device, server, t.port, 5683, 40)
		} else {
			m.frame = udp(m.frame, server, device, 5683, t.port, 200)
		}
		return m.frame
	}
	const fin, syn, ack = packet.FIN, packet.SYN, packet.ACK
	out, flags, size := true, byte(ack), 0
	switch t.step {
	case 0:
		flags = syn
	case 1:
		out, flags = false, syn|ack
	case 2:
	case t.steps - 3:
		flags = fin | ack
	case t.steps - 2:
		out, flags = false, fin|ack
	case t.steps - 1:
	default:
		out = t.step%3 != 0
		size = []int{0, 60, 300, 1400}[t.step%4]
	}
	from, to, src, dst, seq, acked := device, server, t.port, uint16(8883), t.seq, t.ack
	if !out {
		from, to, src, dst, seq, acked = server, device, dst, src, t.ack, t.seq
	}
	b := ipv4(m.frame, from, to, packet.ProtoTCP, 20+size)
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, acked)
	b = append(b, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
	m.frame = append(b, filler[:size]...)
	sent := uint32(size)
	if flags&(syn|fin) != 0 {
		sent++
	}
	if out {
		t.seq += sent
	} else {
		t.ack += sent
	}
	t.step = (t.step + 1) % t.steps
	return m.frame
}

// replay repeats a capture's Ethernet frames.
type replay struct {
	frames [][]byte
	at     int
}

func newReplay(name string) (*replay, error) {
	source, err := packet.OpenFiles(name)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	r := &replay{}
	frames, size := make([]packet.Frame, 256), 0
	for size < maxReplay {
		n, err := source.NextBatch(frames)
		if err != nil {
			break // the end, or damage: what came before is repeated
		}
		for _, f := range frames[:n] {
			const mtu = 1514
			if f.Link != packet.LinkEthernet || len(f.Data) != f.WireLen || f.WireLen > mtu || f.WireLen < 14 {
				continue
			}
			r.frames = append(r.frames, append([]byte(nil), f.Data...))
			size += len(f.Data)
		}
	}
	if len(r.frames) == 0 {
		return nil, fmt.Errorf("%s has no whole Ethernet frame", name)
	}
	return r, nil
}

func (r *replay) next() []byte {
	f := r.frames[r.at]
	r.at = (r.at + 1) % len(r.frames)
	return f
}
