// Package form turns what an engine knows into bytes and back, both by one walk through its
// fields, so that what is written and what is read can't differ.
//
// It promises the same bytes for the same state (maps go in the order of their keys), values that
// come back bit by bit, and that no data whatever makes it panic or take memory beyond the
// bounds given and a small multiple of the data's length. It gives up being read by people and by
// other versions: a head with a version comes first.
package form

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// ErrDamaged is that of data which no walk has written.
var ErrDamaged = errors.New("the data is damaged or of something else")

// Walk is one way through a state: it writes the fields that it is shown, or reads them. After the
// first error it reads zeros.
type Walk struct {
	b    []byte
	read bool
	err  error
	keys []string // room to sort them in
}

// Writer makes a walk that writes; room is about how many bytes that will be.
func Writer(room int) *Walk { return &Walk{b: make([]byte, 0, room)} }

// Reader makes a walk that reads.
func Reader(data []byte) *Walk { return &Walk{b: data, read: true} }

// Reading tells which of the two it is.
func (w *Walk) Reading() bool { return w.read }

// Bytes is what was written.
func (w *Walk) Bytes() []byte { return w.b }

// Err is the first error.
func (w *Walk) Err() error { return w.err }

// End is the first error, also when there is more data than was read.
func (w *Walk) End() error {
	w.Check(!w.read || len(w.b) == 0)
	return w.err
}

// Check refuses what was read when it makes no sense.
func (w *Walk) Check(sense bool) {
	if !sense && w.read {
		w.Fail(ErrDamaged)
	}
}

// Fail ends the walk.
func (w *Walk) Fail(err error) {
	if w.err == nil {
		w.err = err
	}
	if w.read {
		w.b = nil
	}
}

// Head says what follows, and in which version. other is the error for another version than that.
func (w *Walk) Head(what string, version uint16, other error) {
	name, v := what, version
	w.Text(&name)
	w.U16(&v)
	switch {
	case w.err != nil:
	case name != what:
		w.Fail(ErrDamaged)
	case v != version:
		w.Fail(fmt.Errorf("%w: %d, this program writes %d", other, v, version))
	}
}

var zeros [8]byte

func (w *Walk) take(n int) []byte {
	if len(w.b) < n {
		w.Fail(ErrDamaged)
		return zeros[:n]
	}
	x := w.b[:n]
	w.b = w.b[n:]
	return x
}

// U64 is eight bytes, the lowest first.
func (w *Walk) U64(p *uint64) {
	if w.read {
		*p = binary.LittleEndian.Uint64(w.take(8))
	} else {
		w.b = binary.LittleEndian.AppendUint64(w.b, *p)
	}
}

// U32 is four bytes.
func (w *Walk) U32(p *uint32) {
	if w.read {
		*p = binary.LittleEndian.Uint32(w.take(4))
	} else {
		w.b = binary.LittleEndian.AppendUint32(w.b, *p)
	}
}

// U16 is two bytes.
func (w *Walk) U16(p *uint16) {
	if w.read {
		*p = binary.LittleEndian.Uint16(w.take(2))
	} else {
		w.b = binary.LittleEndian.AppendUint16(w.b, *p)
	}
}

// U8 is a byte.
func (w *Walk) U8(p *uint8) {
	if w.read {
		*p = w.take(1)[0]
	} else {
		w.b = append(w.b, *p)
	}
}

// I64 is eight bytes, as times are.
func (w *Walk) I64(all ...*int64) {
	for _, p := range all {
		x := uint64(*p)
		w.U64(&x)
		*p = int64(x)
	}
}

// Flag is a byte.
func (w *Walk) Flag(p *bool) { w.Flags(p) }

// Flags are up to eight in a byte.
func (w *Walk) Flags(all ...*bool) {
	x := uint8(0)
	for i, p := range all {
		if *p {
			x |= 1 << i
		}
	}
	w.U8(&x)
	for i, p := range all {
		*p = x>>i&1 != 0
	}
	w.Check(x>>len(all) == 0)
}

// F64 are finite numbers of eight bytes: what is none is refused when it is read.
func (w *Walk) F64(all ...*float64) {
	for _, p := range all {
		x := math.Float64bits(*p)
		w.U64(&x)
		*p = math.Float64frombits(x)
		w.Check(math.Abs(*p) <= math.MaxFloat64)
	}
}

// F32 are finite numbers of four bytes.
func (w *Walk) F32(all ...*float32) {
	for _, p := range all {
		w.f32(p)
	}
}

// F32s are those of an array.
func (w *Walk) F32s(all []float32) {
	if !w.read {
		w.b = slices.Grow(w.b, 4*len(all))
		for _, x := range all {
			w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(x))
		}
		return
	}
	for i := range all {
		w.f32(&all[i])
	}
}

func (w *Walk) f32(p *float32) {
	x := math.Float32bits(*p)
	w.U32(&x)
	*p = math.Float32frombits(x)
	w.Check(math.Abs(float64(*p)) <= math.MaxFloat32)
}

// Count is a number that is mostly small, in as few bytes as it needs; ten when it is negative.
func Count[T ~int | ~int64 | ~uint | ~uint8 | ~uint32 | ~uint64](w *Walk, p *T) {
	if !w.read {
		w.b = binary.AppendUvarint(w.b, uint64(*p))
		return
	}
	x, n := binary.Uvarint(w.b)
	if n <= 0 || uint64(T(x)) != x {
		w.Fail(ErrDamaged)
		*p = 0
		return
	}
	w.b = w.b[n:]
	*p = T(x)
}

// Raw are the bytes of an array.
func (w *Walk) Raw(b []byte) {
	switch {
	case !w.read:
		w.b = append(w.b, b...)
	case len(w.b) < len(b):
		w.Fail(ErrDamaged)
		clear(b)
	default:
		w.b = w.b[copy(b, w.b):]
	}
}

// Blob are bytes with their number; those read lie in the data.
func (w *Walk) Blob(p *[]byte) {
	n := w.Len(len(*p), math.MaxInt)
	if !w.read {
		w.b = append(w.b, *p...)
		return
	}
	if *p = nil; n > 0 {
		*p = w.b[:n:n]
	}
	w.b = w.b[n:]
}

// Text is a string, of any bytes.
func (w *Walk) Text(p *string) {
	n := w.Len(len(*p), math.MaxInt)
	if !w.read {
		w.b = append(w.b, *p...)
		return
	}
	*p, w.b = string(w.b[:n]), w.b[n:]
}

// Texts is a list of them.
func (w *Walk) Texts(p *[]string, most int) { List(w, p, most, w.Text) }

// Addr is an address, or none.
func (w *Walk) Addr(p *netip.Addr) {
	const none, four, six, zoned = 0, 4, 6, 7
	kind := uint8(none)
	switch {
	case p.Is4():
		kind = four
	case p.Zone() != "":
		kind = zoned
	case p.IsValid():
		kind = six
	}
	w.U8(&kind)
	switch kind {
	case none:
		if w.read {
			*p = netip.Addr{}
		}
	case four:
		var b [4]byte
		if !w.read {
			b = p.As4()
		}
		if w.Raw(b[:]); w.read {
			*p = netip.AddrFrom4(b)
		}
	case six, zoned:
		b, zone := p.As16(), p.Zone()
		w.Raw(b[:])
		if kind == zoned {
			w.Text(&zone)
			w.Check(zone != "")
		}
		if w.read {
			*p = netip.AddrFrom16(b).WithZone(zone)
		}
	default:
		w.Fail(ErrDamaged)
	}
}

// Len is how many items follow, n when writing. Those read are at most that many, and at most as many as there are bytes left.
func (w *Walk) Len(n, most int) int {
	Count(w, &n)
	if w.read && (n < 0 || n > most || n > len(w.b)) {
		w.Fail(ErrDamaged)
		return 0
	}
	return n
}

// begin is for how many items room is made before the first is read.
const begin = 1024

// List is a list of items, each of at least a byte.
func List[T any](w *Walk, p *[]T, most int, item func(*T)) {
	n := w.Len(len(*p), most)
	if !w.read {
		for i := range *p {
			item(&(*p)[i])
		}
		return
	}
	if *p = nil; n == 0 {
		return
	}
	all := make([]T, 0, min(n, begin))
	for range n {
		var x T
		if item(&x); w.err != nil {
			return
		}
		all = append(all, x)
	}
	*p = all
}

// Map is a map in the order of its keys, of which each has at least a byte. Where none is read, what is there stays.
func Map[K comparable, V any](w *Walk, p *map[K]V, most int, order func(a, b K) int, key func(*K), value func(*V)) {
	n := w.Len(len(*p), most)
	if n == 0 {
		return
	}
	type entry struct {
		key   K
		value V
	}
	if !w.read {
		all := make([]entry, 0, n)
		for k, v := range *p {
			all = append(all, entry{k, v})
		}
		slices.SortFunc(all, func(a, b entry) int { return order(a.key, b.key) })
		for i := range all {
			key(&all[i].key)
			value(&all[i].value)
		}
		return
	}
	m := make(map[K]V, min(n, begin))
	var last K
	var e, none entry
	for i := range n {
		e = none
		key(&e.key)
		value(&e.value)
		w.Check(i == 0 || order(last, e.key) < 0)
		if w.err != nil {
			return
		}
		last = e.key
		m[e.key] = e.value
	}
	*p = m
}

// Set is a map of which only the keys matter.
func Set[K comparable, V any](w *Walk, p *map[K]V, most int, order func(a, b K) int, key func(*K), value V) {
	Map(w, p, most, order, key, func(v *V) { *v = value })
}

// Named is a [Map] by texts. Nearly all maps are, and a site has some hundred thousand entries:
// this takes half as long.
func Named[V any](w *Walk, p *map[string]V, most int, value func(*V)) {
	if w.read {
		Map(w, p, most, strings.Compare, w.Text, value)
		return
	}
	w.Len(len(*p), most)
	keys := w.keys[:0]
	w.keys = nil // value may hold maps, too
	for k := range *p {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var v V
	for i := range keys {
		w.Text(&keys[i])
		v = (*p)[keys[i]]
		value(&v)
	}
	clear(keys)
	w.keys = keys
}
