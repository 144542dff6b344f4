package logrecord

import (
	"math"
	"net/netip"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
)

// Arena makes log records out of slabs: an ordinary flow takes less than one allocation instead
// of 30. The zero value is ready. What was made is never used again, so that others may keep and
// change it; but a record, or a text of one, that is kept keeps the slabs alive that it lies in,
// about 50 KiB. Keep clones. Not safe for concurrent use.
type Arena struct {
	attrs   []Attr
	numbers []uint64 // integers, floats and truths
	strings []string
	lists   []list
	words   []word // elements of lists
	text    []byte // of addresses and the like
	records []record
	n       int // attributes of the record at hand
	asked   bool
	public  bool // the public way is taken
}

// Sizes of slabs, below 32 KiB, from where on memory is had one by one from the heap.
const (
	slabAttrs   = 800 // some 25 records
	slabNumbers = 1024
	slabStrings = 512
	slabLists   = 128
	slabWords   = 512
	slabText    = 8 << 10
	slabRecords = 64
	spare       = 6 // room for attributes that processors add to a record
)

// ready reports whether records can be made out of slabs.
func (a *Arena) ready() bool {
	if !a.asked {
		a.asked, a.public = true, layout.err != nil || pooled()
	}
	return !a.public
}

// record appends a record to l.
func (a *Arena) record(l plog.LogRecordSlice) *record {
	if len(a.records) == 0 {
		a.records = make([]record, slabRecords)
	}
	r := &a.records[0]
	a.records = a.records[1:]
	s := (*slice)(unsafe.Pointer(&l))
	*s.orig = append(*s.orig, r)
	return r
}

// begin makes room for the n attributes of one record, and for the values of most.
func (a *Arena) begin(n int) *Arena {
	if len(a.attrs) < n+spare {
		a.attrs = make([]Attr, max(slabAttrs, n+spare))
	}
	if len(a.numbers) < n {
		a.numbers = make([]uint64, max(slabNumbers, n))
	}
	if len(a.strings) < n {
		a.strings = make([]string, max(slabStrings, n))
	}
	a.n = 0
	return a
}

// end gives the attributes since begin, with room for some more.
func (a *Arena) end() []Attr {
	out := a.attrs[:a.n:min(a.n+spare, len(a.attrs))]
	a.attrs = a.attrs[cap(out):]
	return out
}

func (a *Arena) add(key string, typ, data unsafe.Pointer) {
	x := &a.attrs[a.n]
	x.key = key
	x.value = word{typ, data}
	a.n++
}

func (a *Arena) number(v uint64) unsafe.Pointer {
	if len(a.numbers) == 0 {
		a.numbers = make([]uint64, slabNumbers)
	}
	p := &a.numbers[0]
	*p = v
	a.numbers = a.numbers[1:]
	return unsafe.Pointer(p)
}

func (a *Arena) str(v string) unsafe.Pointer {
	if len(a.strings) == 0 {
		a.strings = make([]string, slabStrings)
	}
	p := &a.strings[0]
	*p = v
	a.strings = a.strings[1:]
	return unsafe.Pointer(p)
}

// room makes room for n more bytes of text. What is appended to it stays in place.
func (a *Arena) room(n int) []byte {
	if cap(a.text)-len(a.text) < n {
		a.text = make([]byte, 0, max(slabText, n))
	}
	return a.text[len(a.text):]
}

// keep makes what was appended to room's result a text.
func (a *Arena) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if free := a.text[len(a.text):cap(a.text)]; len(b) <= len(free) && unsafe.SliceData(b) == unsafe.SliceData(free) {
		a.text = a.text[:len(a.text)+len(b)]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// list makes a list of n elements.
func (a *Arena) list(n int) (unsafe.Pointer, []word) {
	if len(a.lists) == 0 {
		a.lists = make([]list, slabLists)
	}
	if len(a.words) < n {
		a.words = make([]word, max(slabWords, n))
	}
	l := &a.lists[0]
	a.lists = a.lists[1:]
	l.of = a.words[:n:n]
	l.values = &l.of
	a.words = a.words[n:]
	return unsafe.Pointer(l), l.of
}

// PutInt implements event.Sink, as do those that follow.
func (a *Arena) PutInt(k string, v int64) { a.add(k, layout.typInt, a.number(uint64(v))) }

// PutFloat adds a floating point number.
func (a *Arena) PutFloat(k string, v float64) {
	a.add(k, layout.typFloat, a.number(*(*uint64)(unsafe.Pointer(&v))))
}

// PutBool adds a truth.
func (a *Arena) PutBool(k string, v bool) {
	p := a.number(0)
	*(*bool)(p) = v
	a.add(k, layout.typBool, p)
}

// PutString adds a text.
func (a *Arena) PutString(k string, v string) { a.add(k, layout.typString, a.str(v)) }

// PutStrings adds a list of texts.
func (a *Arena) PutStrings(k string, v []string) {
	l, of := a.list(len(v))
	for i, x := range v {
		of[i] = word{layout.typString, a.str(x)}
	}
	a.add(k, layout.typList, l)
}

// PutInts adds a list of numbers.
func (a *Arena) PutInts(k string, v []int64) {
	l, of := a.list(len(v))
	for i, x := range v {
		of[i] = word{layout.typInt, a.number(uint64(x))}
	}
	a.add(k, layout.typList, l)
}

// PutReasons adds evidence, which is rare: it is made the public way and moved here.
func (a *Arena) PutReasons(k string, v []event.Reason) {
	x := pcommon.NewValueSlice()
	setReasons(x.Slice(), v)
	a.add(k, layout.typList, (*valueRef)(unsafe.Pointer(&x)).orig.data)
}

// AppendTo is [Append] with the memory of a.
func AppendTo[R any](a *Arena, records plog.LogRecordSlice, t *event.Table[R], time int64, r *R) plog.LogRecord {
	if !a.ready() {
		return Append(records, t, time, r)
	}
	lr := a.record(records)
	lr.eventName, lr.time, lr.observed = t.Name, uint64(time), uint64(time)
	fill(a.begin(len(t.Fields)), t, r)
	lr.attributes = a.end()
	return records.At(records.Len() - 1)
}

// fill adds the fields of r that are not left out.
func fill[R any](a *Arena, t *event.Table[R], r *R) {
	steps := t.Steps()
	keys := t.Keys()[:len(steps)]
	base := unsafe.Pointer(r)
	for i := range steps {
		s := &steps[i]
		at := unsafe.Add(base, s.Offset)
		var v uint64
		switch s.Op {
		case event.OpUint8:
			v = uint64(*(*uint8)(at))
		case event.OpUint16:
			v = uint64(*(*uint16)(at))
		case event.OpUint32:
			v = uint64(*(*uint32)(at))
		case event.OpInt64:
			v = *(*uint64)(at)
		case event.OpUint64:
			v = min(*(*uint64)(at), math.MaxInt64)
		case event.OpFloat:
			if *(*float64)(at) != 0 { // -0 is zero too
				v = *(*uint64)(at)
			}
		case event.OpInt8:
			v = uint64(*(*int8)(at))
		case event.OpInt16:
			v = uint64(*(*int16)(at))
		case event.OpInt32:
			v = uint64(*(*int32)(at))
		case event.OpBool:
			v = uint64(*(*uint8)(at))
		case event.OpString:
			v = uint64(len(*(*string)(at)))
		case event.OpStrings:
			v = uint64(len(*(*[]string)(at)))
		case event.OpInts:
			v = uint64(len(*(*[]int64)(at)))
		case event.OpAddr:
			if (*netip.Addr)(at).IsValid() {
				v = 1
			}
		default:
			v = 1
		}
		if v == 0 || s.Guarded && t.Follows(i, r) {
			continue
		}
		switch s.Op {
		case event.OpFloat:
			a.add(keys[i], layout.typFloat, a.number(v))
		case event.OpBool:
			a.PutBool(keys[i], true)
		case event.OpString:
			a.add(keys[i], layout.typString, a.str(*(*string)(at)))
		case event.OpStrings:
			a.PutStrings(keys[i], *(*[]string)(at))
		case event.OpInts:
			a.PutInts(keys[i], *(*[]int64)(at))
		case event.OpAddr:
			text := a.keep(appendAddr(a.room(48), (*netip.Addr)(at)))
			a.add(keys[i], layout.typString, a.str(text))
		case event.OpText:
			if text := a.keep(t.AppendText(i, r, a.room(48))); text != "" {
				a.add(keys[i], layout.typString, a.str(text))
			}
		case event.OpWord:
			if text := t.Word(i, r); text != "" {
				a.add(keys[i], layout.typString, a.str(text))
			}
		case event.OpCall:
			t.PutAt(i, r, a)
		default:
			a.add(keys[i], layout.typInt, a.number(v))
		}
	}
}

// octets are the numbers of IPv4 addresses, each in the first bytes of four, with its length last.
var octets = func() (t [256][4]byte) {
	for i := range t {
		switch {
		case i < 10:
			t[i] = [4]byte{'0' + byte(i), 0, 0, 1}
		case i < 100:
			t[i] = [4]byte{'0' + byte(i/10), '0' + byte(i%10), 0, 2}
		default:
			t[i] = [4]byte{'0' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10), 3}
		}
	}
	return t
}()

// appendAddr is netip.Addr.AppendTo, which takes three times as long for IPv4.
func appendAddr(b []byte, a *netip.Addr) []byte {
	if !a.Is4() {
		return a.AppendTo(b)
	}
	for i, x := range a.As4() {
		if i > 0 {
			b = append(b, '.')
		}
		o := &octets[x]
		b = append(b, o[:o[3]]...)
	}
	return b
}
