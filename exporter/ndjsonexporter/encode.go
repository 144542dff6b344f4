package ndjsonexporter

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/reference"
)

// encoder turns log records into lines. It is not safe for concurrent use.
type encoder struct {
	times    map[string]bool   // keys whose integers are points in time
	keys     [1 << keyBits]key // the keys last seen, ready to be written
	resource pcommon.Map
	lengths  [256]bool // of the resource's keys
	head     []byte    // the resource's attributes as members, each with a comma before it
	day      int64     // of date, in days since the epoch
	date     [11]byte  // "2006-01-02T"
	second   int64     // of clock, in the day
	clock    [9]byte   // "15:04:05."
}

// maxDepth bounds how deep nested values are followed; what is deeper becomes null.
const maxDepth = 32

func newEncoder() *encoder {
	return &encoder{times: reference.Times(), day: math.MinInt64, second: -1, clock: [9]byte{2: ':', 5: ':', 8: '.'}, resource: pcommon.NewMap()}
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
func (e *encoder) key(name string) *key {
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
	slot.quoted = append(appendString(append(slot.quoted[:0], ','), written), ':')
	return slot
}

// setResource makes r the resource of the records that follow.
func (e *encoder) setResource(r pcommon.Map) {
	e.resource, e.head, e.lengths = r, e.head[:0], [256]bool{}
	for k, v := range r.All() {
		e.lengths[len(k)&255] = true
		e.head = e.member(e.head, k, v)
	}
}

// appendRecord appends the line of lr, with its newline.
func (e *encoder) appendRecord(b []byte, lr plog.LogRecord) []byte {
	b = append(b, `{"timestamp":`...)
	t := lr.Timestamp()
	if t == 0 {
		t = lr.ObservedTimestamp()
	}
	b = e.appendTime(b, int64(t))
	if name := lr.EventName(); name != "" {
		b = append(b, `,"event":`...)
		b = appendString(b, name)
	}
	b = appendEnvelope(b, lr)
	if body := lr.Body(); body.Type() != pcommon.ValueTypeEmpty {
		b = append(b, `,"body":`...)
		b = e.value(b, body, 0)
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
				b = appendString(b, s)
			} else {
				b = e.value(b, a.Value(), 0)
			}
		} else if k.time {
			b = e.appendTime(b, n)
		} else {
			b = appendInt(b, n)
		}
	}
	return append(b, '}', '\n')
}

// appendEnvelope appends what few records carry: severity and trace context.
func appendEnvelope(b []byte, lr plog.LogRecord) []byte {
	if s := lr.SeverityText(); s != "" {
		b = append(b, `,"severity":`...)
		b = appendString(b, s)
	} else if n := lr.SeverityNumber(); n != plog.SeverityNumberUnspecified {
		b = append(b, `,"severity":`...)
		b = appendString(b, n.String())
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
func (e *encoder) appendResourceWithout(b []byte, attrs pcommon.Map) []byte {
	for k, v := range e.resource.All() {
		if _, twice := attrs.Get(k); !twice {
			b = e.member(b, k, v)
		}
	}
	return b
}

func (e *encoder) appendAttributes(b []byte, attrs pcommon.Map) []byte {
	for k, v := range attrs.All() {
		b = e.member(b, k, v)
	}
	return b
}

// member appends one attribute with a comma before it.
func (e *encoder) member(b []byte, name string, v pcommon.Value) []byte {
	k := e.key(name)
	b = append(b, k.quoted...)
	if v.Type() == pcommon.ValueTypeInt {
		if k.time {
			return e.appendTime(b, v.Int())
		}
		return appendInt(b, v.Int())
	}
	return e.value(b, v, 0)
}

func (e *encoder) value(b []byte, v pcommon.Value, depth int) []byte {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return appendString(b, v.Str())
	case pcommon.ValueTypeInt:
		return appendInt(b, v.Int())
	case pcommon.ValueTypeDouble:
		return appendFloat(b, v.Double())
	case pcommon.ValueTypeBool:
		return strconv.AppendBool(b, v.Bool())
	case pcommon.ValueTypeBytes:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes().AsRaw())
		return append(b, '"')
	case pcommon.ValueTypeSlice:
		if depth == maxDepth {
			break
		}
		b = append(b, '[')
		for i, x := range v.Slice().All() {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.value(b, x, depth+1)
		}
		return append(b, ']')
	case pcommon.ValueTypeMap:
		if depth == maxDepth {
			break
		}
		b = append(b, '{')
		first := true
		for k, x := range v.Map().All() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendString(b, k)
			b = append(b, ':')
			b = e.value(b, x, depth+1)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// appendInt appends n. Ports, packets and bytes are mostly short, and strconv is made for all.
func appendInt(b []byte, n int64) []byte {
	if n < 0 || n >= 1e8 {
		return strconv.AppendInt(b, n, 10)
	}
	var c [8]byte
	u, i := uint32(n), len(c)
	for u >= 100 {
		i -= 2
		copy(c[i:], pairs[u%100*2:][:2])
		u /= 100
	}
	if u >= 10 {
		i -= 2
		copy(c[i:], pairs[u*2:][:2])
	} else {
		i--
		c[i] = '0' + byte(u)
	}
	return append(b, c[i:]...)
}

// pairs are the numbers to 99, two digits each.
var pairs = func() (t [200]byte) {
	for i := range 100 {
		t[2*i], t[2*i+1] = '0'+byte(i/10), '0'+byte(i%10)
	}
	return t
}()

// appendFloat writes what JSON has no number for as null.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plainPrefix is how many bytes of s stand for themselves, found eight at a time.
func plainPrefix(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, slash, del := x^ones*'"', x^ones*'\\', x^ones*0x7f
		if (x|(x-ones*0x20)|(quote-ones)|(slash-ones)|(del-ones))&tops != 0 {
			break // one of them is special, or nearly: the loop below knows
		}
	}
	for i < len(s) && plain[s[i]] {
		i++
	}
	return i
}

const digits = "0123456789abcdef"

// appendString appends s in quotes. Invalid UTF-8 becomes U+FFFD; control
// characters, C1 and DEL too, are escaped, so that a name from the wire can't
// speak to the terminal on which someone looks at the file.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	i := plainPrefix(s)
	b = append(b, s[:i]...)
	for i < len(s) {
		c := s[i]
		if plain[c] {
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\r':
			b = append(b, '\\', 'r')
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r) // U+FFFD for what is not UTF-8
		}
		i += n
	}
	return append(b, '"')
}

const (
	nanosADay    = 86400 * 1e9
	nanosASecond = int64(1e9)
)

// appendTime appends Unix nanoseconds as RFC 3339 in UTC, always with nine
// digits, so that the strings sort as the times do.
func (e *encoder) appendTime(b []byte, ns int64) []byte {
	day := ns / nanosADay
	ns -= day * nanosADay
	if ns < 0 {
		day, ns = day-1, ns+nanosADay
	}
	if day != e.day {
		e.day = day
		y, m, d := time.Unix(day*86400, 0).UTC().Date()
		e.date = [11]byte{
			'0' + byte(y/1000), '0' + byte(y/100%10), '0' + byte(y/10%10), '0' + byte(y%10), '-',
			'0' + byte(m/10), '0' + byte(m%10), '-', '0' + byte(d/10), '0' + byte(d%10), 'T',
		}
	}
	if second := ns / nanosASecond; second != e.second {
		e.second = second
		h, m, s := second/3600, second/60%60, second%60
		copy(e.clock[0:], pairs[h*2:][:2])
		copy(e.clock[3:], pairs[m*2:][:2])
		copy(e.clock[6:], pairs[s*2:][:2])
	}
	frac := uint32(ns % nanosASecond)
	var c [32]byte // "2006-01-02T15:04:05.000000000Z" with its quotes is 32
	c[0] = '"'
	copy(c[1:], e.date[:])
	copy(c[12:], e.clock[:])
	c[21] = '0' + byte(frac/1e8)
	frac %= 1e8
	high, low := frac/1e4, frac%1e4
	copy(c[22:], pairs[high/100*2:][:2])
	copy(c[24:], pairs[high%100*2:][:2])
	copy(c[26:], pairs[low/100*2:][:2])
	copy(c[28:], pairs[low%100*2:][:2])
	c[30], c[31] = 'Z', '"'
	return append(b, c[:32]...)
}
