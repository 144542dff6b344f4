package event

import (
	"net/netip"
	"unsafe"
)

// Op is what a [Step] takes from a record.
type Op uint8

// Ops. Of those up to OpAddr a step knows the place in the record.
const (
	OpCall    Op = iota // only the field's own functions know how; see [Table.PutAt], [Table.SetAt]
	OpInt8              // signed integers
	OpInt16             //
	OpInt32             //
	OpInt64             //
	OpUint8             // unsigned integers
	OpUint16            //
	OpUint32            //
	OpUint64            //
	OpFloat             // float64
	OpBool              //
	OpString            // any string type
	OpStrings           // []string
	OpInts              // []int64
	OpAddr              // netip.Addr, as text
	OpText              // text that [Table.AppendText] makes
	OpWord              // a word that [Table.Word] gives, which is no new memory
)

// A Step is one field as those see it who write and read whole records fast: where its value
// stands in the record and what it is. A walk over steps needs a load and a branch for a field
// that is left out, and no call for most that are not.
type Step struct {
	Offset  uint32
	Op      Op
	Guarded bool // [Table.Follows] tells whether it is left out though not zero
}

// Steps lists the steps of the table's fields, in order. It must not be changed.
func (t *Table[R]) Steps() []Step { return t.steps }

// Keys lists the keys of the table's fields, in order. It must not be changed.
func (t *Table[R]) Keys() []string { return t.keys }

// Follows reports whether field i is left out of r because its value follows from others.
func (t *Table[R]) Follows(i int, r *R) bool { return t.Fields[i].follows(r) }

// AppendText appends the text of field i, an [OpText], or nothing when it is left out.
func (t *Table[R]) AppendText(i int, r *R, b []byte) []byte { return t.Fields[i].text(r, b) }

// Word gives the text of field i, an [OpWord], "" when it is left out.
func (t *Table[R]) Word(i int, r *R) string { return t.Fields[i].word(r) }

// PutAt writes field i to s unless it is zero.
func (t *Table[R]) PutAt(i int, r *R, s Sink) { t.Fields[i].put(r, s) }

// SetAt fills field i from v.
func (t *Table[R]) SetAt(i int, r *R, v Value) { t.Fields[i].set(r, v) }

// Find is the index of the field with this key, -1 when there is none. It looks near from
// first, as attributes mostly come in table order: a few comparisons, mostly of pointers, are
// cheaper than a look-up.
func (t *Table[R]) Find(key string, from int) int {
	const near = 12
	keys := t.keys[min(from, len(t.keys)):]
	keys = keys[:min(near, len(keys))]
	for i := range keys {
		if unsafe.StringData(keys[i]) == unsafe.StringData(key) && len(keys[i]) == len(key) {
			return from + i
		}
	}
	for i := range keys {
		if keys[i] == key {
			return from + i
		}
	}
	if i, ok := t.byKey[key]; ok {
		return i
	}
	return -1
}

// stepAt makes the step of the field that at gives the place of, which is the same in all records.
func stepAt[R, V any](op Op, at func(*R) *V) Step {
	r := new(R)
	return Step{Offset: uint32(uintptr(unsafe.Pointer(at(r))) - uintptr(unsafe.Pointer(r))), Op: op}
}

// opOf is the op of an integer type.
func opOf[N integer]() Op {
	op := OpUint8
	if ^N(0) < 0 {
		op = OpInt8
	}
	for size := unsafe.Sizeof(N(0)); size > 1; size /= 2 {
		op++
	}
	return op
}

// zero reports whether a field is left out of the record at r. Of a string or a list it looks at
// the length; where only the field's own functions can tell it says no.
func (s Step) zero(r unsafe.Pointer) bool {
	at := unsafe.Add(r, s.Offset)
	switch s.Op {
	case OpInt8, OpUint8, OpBool:
		return *(*uint8)(at) == 0
	case OpInt16, OpUint16:
		return *(*uint16)(at) == 0
	case OpInt32, OpUint32:
		return *(*uint32)(at) == 0
	case OpInt64, OpUint64, OpFloat:
		return *(*uint64)(at) == 0
	case OpString, OpStrings, OpInts:
		return *(*int)(unsafe.Add(at, unsafe.Sizeof(uintptr(0)))) == 0
	}
	return false
}

// ParseAddr reads what [netip.Addr.String] writes, and all else that [netip.ParseAddr] takes.
// IPv4 addresses without needless digits take a third of the time.
func ParseAddr(s string) netip.Addr {
	if len(s) >= 7 && len(s) <= 15 {
		var four [4]byte
		n, at, digits := uint(0), 0, 0
		for i := 0; i < len(s); i++ {
			d := uint(s[i]) - '0'
			switch {
			case d <= 9 && digits < 3 && (digits == 0 || n != 0):
				n = n*10 + d
				digits++
				continue
			case s[i] == '.' && digits > 0 && n < 256 && at < 3:
				four[at] = byte(n)
				n, at, digits = 0, at+1, 0
				continue
			}
			at = -1
			break
		}
		if at == 3 && digits > 0 && n < 256 {
			four[3] = byte(n)
			return netip.AddrFrom4(four)
		}
	}
	a, _ := netip.ParseAddr(s)
	return a
}
