package flatjson

import (
	"encoding/hex"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/reference"
)

// Encoder turns log records into lines. It is not safe for concurrent use.
type Encoder struct {
	times    map[string]bool   // keys whose integers are points in time
	keys     [1 << keyBits]key // the keys last seen, ready to be written
	resource pcommon.Map
	lengths  [256]bool // of the resource's keys
	head     []byte    // the resource's attributes as members, each with a comma before it
	clock    Clock
}

// NewEncoder makes an encoder.
func NewEncoder() *Encoder {
	return &Encoder{times: reference.Times(), clock: NewClock(), resource: pcommon.NewMap()}
}

// key is an attribute key as it is written: with the comma before it, in quotes
// and with its colon. Kept, as quoting each key anew makes a record 18 % slower.
type key struct {
	name   string
	quoted []byte
	time   bool
}

const keyBits = 9 // several times the keys in use, so that few share a slot

// key gives the written form of name, valid until the next call. Keys of our
// tables are mostly the same string in memory, which makes the comparison one of
// pointers.
func (e *Encoder) key(name string) *key {
	slot := &e.keys[0]
	if n := len(name); n > 0 {
		h := uint32(n) | uint32(name[n/3])<<8 | uint32(name[n/2])<<16 | uint32(name[n-1])<<24
		slot = &e.keys[h*0x9e3779b1>>(32-keyBits)]
	}
	if unsafe.StringData(slot.name) == unsafe.StringData(name) && len(slot.name) == len(name) && slot.quoted != nil {
		return slot // without a call to compare
	}
	if slot.name == name && slot.quoted != nil {
		return slot
	}
	written := name
	switch name {
	case "timestamp", "event", "severity", "body", "trace_id", "span_id": // the line's own
		written = "attribute." + name
	}
	slot.name, slot.time = name, e.times[name]
	slot.quoted = append(AppendString(append(slot.quoted[:0], ','), written), ':')
	return slot
}

// SetResource makes r the resource of the records that follow.
func (e *Encoder) SetResource(r pcommon.Map) {
	e.resource, e.head, e.lengths = r, e.head[:0], [256]bool{}
	for k, v := range r.All() {
		e.lengths[len(k)&255] = true
		e.head = e.member(e.head, k, v)
	}
}

// AppendRecord appends the line of lr, with its newline.
func (e *Encoder) AppendRecord(b []byte, lr plog.LogRecord) []byte {
	b = append(b, `{"timestamp":`...)
	t := lr.Timestamp()
	if t == 0 {
		t = lr.ObservedTimestamp()
	}
	b = e.clock.AppendTime(b, int64(t))
	if name := lr.EventName(); name != "" {
		b = append(b, `,"event":`...)
		b = AppendString(b, name)
	}
	b = appendEnvelope(b, lr)
	if body := lr.Body(); body.Type() != pcommon.ValueTypeEmpty {
		b = append(b, `,"body":`...)
		b = AppendValue(b, body, 0)
	}
	start := len(b)
	b = append(b, e.head...)
	attrs := logrecord.Attrs(lr)
	for i := range attrs {
		a := &attrs[i]
		name := a.Key()
		if e.lengths[len(name)&255] {
			if _, twice := e.resource.Get(name); twice {
				b = e.appendResourceWithout(b[:start], lr.Attributes())
				b = e.appendAttributes(b, lr.Attributes())
				break
			}
		}
		k := e.key(name)
		b = append(b, k.quoted...)
		if n, ok := a.Int(); !ok {
			if s, ok := a.Str(); ok {
				b = AppendString(b, s)
			} else {
				b = AppendValue(b, a.Value(), 0)
			}
		} else if k.time {
			b = e.clock.AppendTime(b, n)
		} else {
			b = AppendInt(b, n)
		}
	}
	return append(b, '}', '\n')
}

// appendEnvelope appends what few records carry: severity and trace context.
func appendEnvelope(b []byte, lr plog.LogRecord) []byte {
	if s := lr.SeverityText(); s != "" {
		b = append(b, `,"severity":`...)
		b = AppendString(b, s)
	} else if n := lr.SeverityNumber(); n != plog.SeverityNumberUnspecified {
		b = append(b, `,"severity":`...)
		b = AppendString(b, n.String())
	}
	if id := lr.TraceID(); !id.IsEmpty() {
		b = append(b, `,"trace_id":"`...)
		b = hex.AppendEncode(b, id[:])
		b = append(b, '"')
	}
	if id := lr.SpanID(); !id.IsEmpty() {
		b = append(b, `,"span_id":"`...)
		b = hex.AppendEncode(b, id[:])
		b = append(b, '"')
	}
	return b
}

// appendResourceWithout appends the resource's attributes that are not among
// attrs: the record knows better, and a key must not come twice.
func (e *Encoder) appendResourceWithout(b []byte, attrs pcommon.Map) []byte {
	for k, v := range e.resource.All() {
		if _, twice := attrs.Get(k); !twice {
			b = e.member(b, k, v)
		}
	}
	return b
}

func (e *Encoder) appendAttributes(b []byte, attrs pcommon.Map) []byte {
	for k, v := range attrs.All() {
		b = e.member(b, k, v)
	}
	return b
}

// member appends one attribute with a comma before it.
func (e *Encoder) member(b []byte, name string, v pcommon.Value) []byte {
	k := e.key(name)
	b = append(b, k.quoted...)
	if v.Type() == pcommon.ValueTypeInt {
		if k.time {
			return e.clock.AppendTime(b, v.Int())
		}
		return AppendInt(b, v.Int())
	}
	return AppendValue(b, v, 0)
}
