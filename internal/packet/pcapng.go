package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// Block types of pcapng. Others are skipped.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacketOld = 2
	blockSimple    = 3
	blockStats     = 5
	blockPacket    = 6

	sectionMagic = 0x1a2b3c4d
)

const (
	maxMetaBlock   = 1 << 20 // section, interface and statistics blocks
	maxPacketExtra = 1 << 16 // block and options of a packet
	maxInterfaces  = 1 << 14 // in one section
)

// pcapngReader reads pcapng: any number of sections in either byte order, with
// packets in enhanced, simple and obsolete blocks.
type pcapngReader struct {
	*window
	name, path string
	add        declare
	lost       func(iface int, n uint64) // what the capturing machine says it lost so far
	big        bool
	section    bool
	ifaces     []ngInterface
	last       int64  // time of the packet before, which simple packets get
	passing    uint32 // length of the block that is being passed over, 0 if none
	left       int64  // of it, but for the length at its end
}

type ngInterface struct {
	index int // in the source
	link  LinkType
	snap  uint32
	max   uint32
	clock ngClock
	tick  uint64 // nanoseconds, where they are whole and count from the epoch, as in nearly all; else 0
	most  uint64 // ticks that fit
}

// ngClock turns timestamps into nanoseconds since the epoch. What does not fit
// into 64 bits is held at the end of time.
type ngClock struct {
	unit   uint64 // ticks in a second
	offset int64  // seconds
}

var microseconds = ngClock{unit: 1e6}

func (c ngClock) nanos(ts uint64) int64 {
	hi, lo := bits.Mul64(ts%c.unit, 1e9)
	sub, _ := bits.Div64(hi, lo, c.unit)
	const most = math.MaxInt64/1_000_000_000 - 1
	sec := int64(min(ts/c.unit, most)) + c.offset
	return max(min(sec, most), -most)*1e9 + int64(sub)
}

// resolution reads if_tsresol: a negative power of ten, or of two.
func resolution(v byte) (unit uint64, err error) {
	exp := v & 0x7f
	switch {
	case v&0x80 != 0 && exp < 64:
		return 1 << exp, nil
	case v&0x80 == 0 && exp < 20:
		for unit = 1; exp > 0; exp-- {
			unit *= 10
		}
		return unit, nil
	}
	return 0, fmt.Errorf("an interface whose clock has an impossible resolution (%#02x)", v)
}

// want asks for n bytes to be in the window before the block can be read.
type want int

func (want) Error() string { return "more bytes wanted" }

func (r *pcapngReader) next(frames []Frame) (int, error) {
	n := 0
	for n < len(frames) {
		took, err := r.block(&frames[n])
		if took {
			n++
		}
		if err == nil {
			continue
		}
		if n > 0 {
			return n, nil // and find the same again in the next call
		}
		more, ok := err.(want)
		if !ok {
			return 0, err
		}
		if err := r.fill(int(more)); err != nil {
			if err == io.EOF && r.passing != 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	return n, nil
}

// block reads one block, and says whether it was a packet. After an error it can
// be called again.
func (r *pcapngReader) block(f *Frame) (bool, error) {
	if r.passing != 0 {
		return false, r.pass()
	}
	b := r.buf[r.lo:r.hi]
	if len(b) < 12 {
		return false, want(12)
	}
	kind := word(b, r.big)
	if kind == blockSection { // reads the same in both orders
		switch uint32(sectionMagic) {
		case word(b[8:], false):
			r.big = false
		case word(b[8:], true):
			r.big = true
		default:
			return false, fmt.Errorf("a section whose byte order is % x, neither one nor the other", b[8:12])
		}
	} else if !r.section {
		return false, errors.New("a block before the first section header")
	}
	size := word(b[4:], r.big)
	if size < 12 || size&3 != 0 {
		return false, fmt.Errorf("a block whose length says %d", size)
	}
	var limit uint32
	switch kind {
	case blockSection, blockInterface, blockStats:
		limit = maxMetaBlock
	case blockPacket, blockPacketOld, blockSimple:
		limit = maxCapturedBus + maxPacketExtra
	default:
		r.passing, r.left = size, int64(size)-4
		return false, nil
	}
	if size > limit {
		return false, fmt.Errorf("a block of type %d whose length says %d", kind, size)
	}
	if len(b) < int(size) {
		return false, want(size)
	}
	b = b[:size]
	if tail := word(b[size-4:], r.big); tail != size {
		return false, fmt.Errorf("a block of type %d whose length is %d at its front and %d at its end", kind, size, tail)
	}
	took, err := r.body(kind, b[8:size-4], f)
	if err == nil {
		r.lo += int(size)
	}
	return took, err
}

// pass goes over a block of no interest, however long it is.
func (r *pcapngReader) pass() error {
	n := min(r.left, int64(r.hi-r.lo))
	r.lo += int(n)
	r.left -= n
	if r.left > 0 {
		return want(1)
	}
	if r.hi-r.lo < 4 {
		return want(4)
	}
	if tail := word(r.buf[r.lo:], r.big); tail != r.passing {
		return fmt.Errorf("a block whose length is %d at its front and %d at its end", r.passing, tail)
	}
	r.lo += 4
	r.passing = 0
	return nil
}

func (r *pcapngReader) body(kind uint32, b []byte, f *Frame) (bool, error) {
	short := func() (bool, error) {
		return false, fmt.Errorf("a block of type %d that is too short for its content (%d bytes)", kind, len(b))
	}
	switch kind {
	case blockPacket:
		if len(b) < 20 {
			return short()
		}
		return r.packet(f, word(b, r.big), b[4:], 20-4)
	case blockPacketOld:
		if len(b) < 20 {
			return short()
		}
		return r.packet(f, uint32(half(b, r.big)), b[4:], 20-4)
	case blockSimple:
		if len(b) < 4 {
			return short()
		}
		return r.simple(f, b)
	case blockSection:
		if len(b) < 16 {
			return short()
		}
		if major := half(b[4:], r.big); major != 1 {
			return false, fmt.Errorf("pcapng version %d.%d, of which nothing is known here", major, half(b[6:], r.big))
		}
		r.section, r.ifaces = true, r.ifaces[:0]
	case blockInterface:
		if len(b) < 8 {
			return short()
		}
		return false, r.declare(b)
	case blockStats:
		if len(b) < 12 {
			return short()
		}
		r.stats(b)
	}
	return false, nil
}

func (r *pcapngReader) packet(f *Frame, id uint32, b []byte, head int) (bool, error) {
	if id >= uint32(len(r.ifaces)) {
		return false, fmt.Errorf("a packet of interface %d, where only %d are declared", id, len(r.ifaces))
	}
	i := &r.ifaces[id]
	captured := word(b[8:], r.big)
	if captured > i.max || int(captured) > len(b)-head {
		return false, fmt.Errorf("a packet of %d bytes in a block that has room for %d", captured, len(b)-head)
	}
	ts := uint64(word(b, r.big))<<32 | uint64(word(b[4:], r.big))
	if i.tick != 0 && ts <= i.most {
		f.Time = int64(ts * i.tick)
	} else {
		f.Time = i.clock.nanos(ts)
	}
	end := head + int(captured)
	f.Data = b[head:end:end]
	f.WireLen = wireLen(word(b[12:], r.big), captured)
	f.Interface, f.Link = i.index, i.link
	r.last = f.Time
	return true, nil
}

func (r *pcapngReader) simple(f *Frame, b []byte) (bool, error) {
	if len(r.ifaces) == 0 {
		return false, errors.New("a simple packet before any interface")
	}
	i := &r.ifaces[0]
	wire := word(b, r.big)
	captured := wire
	if i.snap != 0 {
		captured = min(captured, i.snap)
	}
	if captured > i.max || int(captured) > len(b)-4 {
		return false, fmt.Errorf("a packet of %d bytes in a block that has room for %d", captured, len(b)-4)
	}
	end := 4 + int(captured)
	*f = Frame{Time: r.last, Data: b[4:end:end], WireLen: wireLen(wire, captured), Interface: i.index, Link: i.link}
	return true, nil
}

func (r *pcapngReader) declare(b []byte) error {
	if len(r.ifaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces", maxInterfaces)
	}
	i := ngInterface{link: LinkType(half(b, r.big)), snap: word(b[4:], r.big), clock: microseconds}
	i.max = uint32(maxFor(i.link))
	name := ""
	var err error
	for code, value := range r.options(b[8:]) {
		switch {
		case code == 2: // if_name
			name = string(bytes.TrimRight(value, "\x00"))
		case code == 9 && len(value) >= 1: // if_tsresol
			if i.clock.unit, err = resolution(value[0]); err != nil {
				return err
			}
		case code == 14 && len(value) >= 8: // if_tsoffset
			offset := int64(word(value, r.big)) | int64(word(value[4:], r.big))<<32
			if r.big {
				offset = int64(binary.BigEndian.Uint64(value))
			}
			const millennium = 365243 * 86400 // more would overflow, and mean nothing
			i.clock.offset = min(max(offset, -millennium), millennium)
		}
	}
	if c := i.clock; c.offset == 0 && c.unit <= 1e9 && 1e9%c.unit == 0 {
		i.tick = 1e9 / c.unit
		i.most = math.MaxInt64 / i.tick
	}
	if name == "" {
		name = r.name
		if n := len(r.ifaces); n > 0 {
			name = fmt.Sprintf("%s#%d", r.name, n)
		}
	}
	if i.index, err = r.add(Interface{Name: name, File: r.path, Link: i.link, SnapLen: snapLen(i.snap)}); err != nil {
		return err
	}
	r.ifaces = append(r.ifaces, i)
	return nil
}

func (r *pcapngReader) stats(b []byte) {
	id := word(b, r.big)
	if id >= uint32(len(r.ifaces)) {
		return
	}
	var lost uint64
	for code, value := range r.options(b[12:]) {
		if (code == 5 || code == 7) && len(value) >= 8 { // isb_ifdrop, isb_osdrop
			n := binary.LittleEndian.Uint64(value)
			if r.big {
				n = binary.BigEndian.Uint64(value)
			}
			lost += n
		}
	}
	r.lost(r.ifaces[id].index, lost)
}

// options walks over a block's options as far as they are sane.
func (r *pcapngReader) options(b []byte) func(func(uint16, []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			code, n := half(b, r.big), int(half(b[2:], r.big))
			b = b[4:]
			if code == 0 || n > len(b) || !yield(code, b[:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}
