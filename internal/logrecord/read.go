package logrecord

import (
	"net/netip"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
)

// Attrs gives the attributes of lr, to read them faster than its own methods do. They are valid
// until lr is changed.
func Attrs(lr plog.LogRecord) []Attr {
	if layout.err != nil {
		return converted(lr.Attributes())
	}
	return (*ref)(unsafe.Pointer(&lr)).orig.attributes
}

// converted makes attributes of our own types, for when the mirror does not fit.
func converted(m pcommon.Map) []Attr {
	out := make([]Attr, 0, m.Len())
	for k, v := range m.All() {
		a := Attr{key: k}
		switch v.Type() {
		case pcommon.ValueTypeInt:
			a.value = word{layout.typInt, unsafe.Pointer(&ownInt{v.Int()})}
		case pcommon.ValueTypeDouble:
			a.value = word{layout.typFloat, unsafe.Pointer(&ownFloat{v.Double()})}
		case pcommon.ValueTypeBool:
			a.value = word{layout.typBool, unsafe.Pointer(&ownBool{v.Bool()})}
		case pcommon.ValueTypeStr:
			a.value = word{layout.typString, unsafe.Pointer(&ownString{v.Str()})}
		default:
			other := v
			a.value.data = unsafe.Pointer(&other)
		}
		out = append(out, a)
	}
	return out
}

// Key is the attribute's key.
func (a *Attr) Key() string { return a.key }

// Int gives the value and true if it is an integer.
func (a *Attr) Int() (int64, bool) {
	if a.value.typ == layout.typInt {
		return *(*int64)(a.value.data), true
	}
	return 0, false
}

// Float gives the value and true if it is a floating point number.
func (a *Attr) Float() (float64, bool) {
	if a.value.typ == layout.typFloat {
		return *(*float64)(a.value.data), true
	}
	return 0, false
}

// Bool gives the value and true if it is a truth.
func (a *Attr) Bool() (v, ok bool) {
	if a.value.typ == layout.typBool {
		return *(*bool)(a.value.data), true
	}
	return false, false
}

// Str gives the value and true if it is a text.
func (a *Attr) Str() (string, bool) {
	if a.value.typ == layout.typString {
		return *(*string)(a.value.data), true
	}
	return "", false
}

// Value gives the value as the Collector has it, to be read only.
func (a *Attr) Value() pcommon.Value {
	if layout.err == nil {
		v := valueRef{&a.value, readOnly}
		return *(*pcommon.Value)(unsafe.Pointer(&v))
	}
	if a.value.typ == nil {
		return *(*pcommon.Value)(a.value.data)
	}
	if v, ok := a.Int(); ok {
		return pcommon.NewValueInt(v)
	} else if v, ok := a.Float(); ok {
		return pcommon.NewValueDouble(v)
	} else if v, ok := a.Bool(); ok {
		return pcommon.NewValueBool(v)
	}
	v, _ := a.Str()
	return pcommon.NewValueStr(v)
}

// readOnly is the state of values that must not be changed.
var readOnly = func() unsafe.Pointer {
	l := plog.NewLogs()
	l.MarkReadOnly()
	v := l.ResourceLogs()
	return (*struct{ orig, state unsafe.Pointer })(unsafe.Pointer(&v)).state
}()

// Read fills r from the attributes of lr. Attributes that the table does not
// know stay in lr and are ignored. Room in lists of integers that r has is used.
func Read[R any](lr plog.LogRecord, t *event.Table[R], r *R) {
	var x value // one for all: as an interface each would be an allocation
	steps := t.Steps()
	attrs := Attrs(lr)
	next := 0
	for i := range attrs {
		a := &attrs[i]
		f := t.Find(a.key, next)
		if f < 0 {
			continue
		}
		next = f + 1
		at := unsafe.Add(unsafe.Pointer(r), steps[f].Offset)
		switch op := steps[f].Op; {
		case op >= event.OpInt8 && op <= event.OpUint64:
			v, _ := a.Int()
			if op >= event.OpUint8 {
				v = max(v, 0)
			}
			switch op {
			case event.OpInt8, event.OpUint8:
				*(*uint8)(at) = uint8(v)
			case event.OpInt16, event.OpUint16:
				*(*uint16)(at) = uint16(v)
			case event.OpInt32, event.OpUint32:
				*(*uint32)(at) = uint32(v)
			default:
				*(*int64)(at) = v
			}
		case op == event.OpString:
			*(*string)(at), _ = a.Str()
		case op == event.OpAddr:
			s, _ := a.Str()
			*(*netip.Addr)(at) = event.ParseAddr(s)
		case op == event.OpBool:
			*(*bool)(at), _ = a.Bool()
		case op == event.OpFloat:
			v, ok := a.Float()
			if n, whole := a.Int(); !ok && whole { // JSON on the way makes whole numbers Ints
				v = float64(n)
			}
			*(*float64)(at) = v
		case op == event.OpInts && layout.err == nil && a.value.typ == layout.typList:
			*(*[]int64)(at) = ints(a.list(), (*(*[]int64)(at))[:0])
		default:
			x.v = a.Value()
			t.SetAt(f, r, &x)
		}
	}
}

// list gives the elements of a list.
func (a *Attr) list() []word {
	if l := *(**[]word)(a.value.data); l != nil {
		return *l
	}
	return nil
}

// ints reads a list of integers into out, as far as there is room.
func ints(of []word, out []int64) []int64 {
	if cap(out) < len(of) {
		out = make([]int64, 0, len(of))
	}
	for i := range of {
		n := int64(0)
		if of[i].typ == layout.typInt {
			n = *(*int64)(of[i].data)
		}
		out = append(out, n)
	}
	return out
}

// Has reports whether lr has an attribute with this key, and looks from the last: what
// processors added stands there.
func Has(lr plog.LogRecord, key string) bool {
	attrs := Attrs(lr)
	for i := len(attrs) - 1; i >= 0; i-- {
		if attrs[i].key == key {
			return true
		}
	}
	return false
}

// Add adds a text to a record that has no attribute with this key.
func (a *Arena) Add(lr plog.LogRecord, key, value string) {
	if !a.ready() {
		lr.Attributes().PutStr(key, value)
		return
	}
	r := (*ref)(unsafe.Pointer(&lr)).orig
	r.attributes = append(r.attributes, Attr{key: key, value: word{layout.typString, a.str(value)}})
}

// Replace puts a text, under a key that the record has not, in the place of another text.
func (a *Arena) Replace(lr plog.LogRecord, key, to, value string) {
	if !a.ready() {
		m := lr.Attributes()
		m.Remove(key)
		m.PutStr(to, value)
		return
	}
	attrs := Attrs(lr)
	for i := range attrs {
		if attrs[i].key == key {
			attrs[i] = Attr{key: to, value: word{layout.typString, a.str(value)}}
			return
		}
	}
}
