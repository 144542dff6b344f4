package packet

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Most bytes that one packet may have in a capture. libpcap holds the same limits:
// what claims more is damage, not a packet.
const (
	maxCaptured    = 256 << 10
	maxCapturedBus = 16 << 20 // USB and D-Bus
)

func maxFor(link LinkType) int {
	switch link {
	case 189, 220, 231, 249:
		return maxCapturedBus
	}
	return maxCaptured
}

// reader reads packets of one file. next has the contract of Source.NextBatch but
// that its errors are bare, and that it may give errIdle.
type reader interface {
	next(frames []Frame) (int, error)
	pos() int64
}

// declare makes an interface known and returns its index.
type declare func(Interface) (int, error)

// pcapReader reads classic pcap: microseconds, nanoseconds, Kuznetsov's longer
// record headers, in either byte order.
type pcapReader struct {
	*window
	big   bool
	swap  bool  // records of before 2.3 have the two lengths the other way round
	head  int   // of a record
	frac  int64 // nanoseconds that one unit of the second word is
	max   int
	link  LinkType
	iface int
}

const (
	pcapMicros = 0xa1b2c3d4
	pcapNanos  = 0xa1b23c4d
	pcapLonger = 0xa1b2cd34 // Kuznetsov: interface index, protocol and packet type added
)

// pcapMagic tells whether b begins a classic pcap file, and in which byte order.
func pcapMagic(b []byte) (magic uint32, big, ok bool) {
	if len(b) < 4 {
		return 0, false, false
	}
	for _, big := range []bool{false, true} {
		switch magic := word(b, big); magic {
		case pcapMicros, pcapNanos, pcapLonger:
			return magic, big, true
		}
	}
	return 0, false, false
}

// newPcapReader wants a window that was filled with 4 bytes.
func newPcapReader(w *window, name, path string, add declare) (*pcapReader, error) {
	if err := w.fill(24); err != nil {
		return nil, fmt.Errorf("its header of 24 bytes is cut off: %w", err)
	}
	b := w.buf[w.lo:]
	magic, big, _ := pcapMagic(b)
	r := &pcapReader{window: w, big: big, head: 16, frac: 1000}
	switch magic {
	case pcapNanos:
		r.frac = 1
	case pcapLonger:
		r.head = 24
	}
	version := word(b[4:], big)
	if big {
		version = bits.RotateLeft32(version, 16)
	}
	major, minor := version&0xffff, version>>16
	if major != 2 && major != 543 { // AIX's
		return nil, fmt.Errorf("pcap version %d.%d, of which nothing is known here", major, minor)
	}
	r.swap = major == 2 && minor <= 3 || major == 543
	r.link = LinkType(word(b[20:], big) & 0x03ffffff) // above: length of the frame check sequence
	r.link = min(r.link, 0xffff)                      // ours are beyond, and none of a file's
	r.max = maxFor(r.link)
	w.lo += 24
	var err error
	r.iface, err = add(Interface{Name: name, File: path, Link: r.link, SnapLen: snapLen(word(b[16:], big))})
	return r, err
}

// wireLen believes the length on the wire, but where no packet has that many bytes
// it is what was captured: one lie must not weigh gigabytes in a flow.
func wireLen(wire, captured uint32) int {
	if wire > maxCapturedBus {
		return int(captured)
	}
	return int(wire)
}

// snapLen leaves out limits that are none.
func snapLen(n uint32) int {
	if n >= maxCaptured {
		return 0
	}
	return int(n)
}

func (r *pcapReader) next(frames []Frame) (int, error) {
	for {
		n, want, err := r.parse(frames)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		if err := r.fill(want); err != nil {
			return 0, err
		}
	}
}

// parse takes what is whole in the window. When that is nothing it says how many
// bytes it wants.
func (r *pcapReader) parse(frames []Frame) (n, want int, err error) {
	b := r.buf[r.lo:r.hi]
	big, head, limit := r.big, r.head, uint32(r.max)
	at := 0
	want = head
	for n < len(frames) && len(b)-at >= head {
		h := b[at : at+16 : len(b)]
		captured, wire := word(h[8:], big), word(h[12:], big)
		if r.swap && captured > wire {
			captured, wire = wire, captured
		}
		if captured > limit {
			err = fmt.Errorf("a packet of %d bytes, which is more than the %d that one can have", captured, limit)
			break
		}
		start := at + head
		end := start + int(captured)
		if end > len(b) {
			want = end - at
			break
		}
		f := &frames[n]
		f.Time = int64(word(h, big))*1e9 + int64(word(h[4:], big))*r.frac
		f.Data = b[start:end:end]
		f.WireLen = wireLen(wire, captured)
		f.Interface, f.Link = r.iface, r.link
		at = end
		n++
	}
	r.lo += at
	return n, want, err
}

// word reads 32 bits.
func word(b []byte, big bool) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if big {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func half(b []byte, big bool) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if big {
		v = bits.ReverseBytes16(v)
	}
	return v
}
