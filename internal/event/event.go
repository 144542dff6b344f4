// Package event says how a Go record becomes an event with named attributes and
// back, by one table of fields a record type. Everything that is written about a
// field (log attribute, NDJSON key, JSON schema, Elasticsearch mapping, reference
// page) comes from its row, so a new field is one row.
//
// Zero values are never written: absent means zero, and a reader gets the zero
// value back. A table is immutable after [NewTable] and safe for concurrent use.
package event

import (
	"fmt"
	"math"
	"net/netip"
	"unsafe"
)

// Kind is the type of a field's value.
type Kind uint8

// Kinds.
const (
	Int     Kind = iota // signed 64 bit
	Time                // nanoseconds since the Unix epoch, held as Int
	Float               // 64 bit
	Bool                //
	String              //
	Strings             // list of strings
	Ints                // list of Int
	Reasons             // list of Reason
)

var kindNames = [...]string{"int", "time", "double", "bool", "string", "string[]", "int[]", "reason[]"}

// String names the kind as the reference page does.
func (k Kind) String() string { return kindNames[k] }

// A Sink takes the attributes of one event, in table order.
type Sink interface {
	PutInt(key string, v int64)
	PutFloat(key string, v float64)
	PutBool(key string, v bool)
	PutString(key string, v string)
	PutStrings(key string, v []string)
	PutInts(key string, v []int64)
	PutReasons(key string, v []Reason)
}

// A Value is one attribute as read back. Its methods return the zero value when
// the attribute is of another type.
type Value interface {
	Int() int64
	Float() float64
	Bool() bool
	Str() string
	Strs() []string
	Ints() []int64
	Reasons() []Reason
}

// A Field is one row of a table of record type R.
type Field[R any] struct {
	Key     string // attribute key
	Kind    Kind
	Unit    string // UCUM, "" for none
	Elastic string // Elasticsearch mapping type
	Doc     string // one line, what it means
	Element string // information element of IPFIX that says the same, "" for none
	Common  string // field of the Elastic Common Schema that says the same, "" for none
	Mapped  string // mapping type of that field, when it is not Elastic

	put func(*R, Sink)
	set func(*R, Value)

	step    Step
	follows func(*R) bool           // nil unless step.Guarded
	text    func(*R, []byte) []byte // of an OpText
	word    func(*R) string         // of an OpWord
}

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Number is a field held as any integer type; at gives its place in the record. An event holds
// what is above the signed range as the greatest of it, and an unsigned field reads what is
// below zero as zero: neither turns a count into another.
func Number[R any, N integer](key, unit, doc string, at func(*R) *N) Field[R] {
	return Field[R]{Key: key, Kind: Int, Unit: unit, Elastic: "long", Doc: doc, step: stepAt(opOf[N](), at),
		put: func(r *R, s Sink) {
			if v := *at(r); v != 0 {
				s.PutInt(key, signed(v))
			}
		},
		set: func(r *R, v Value) { *at(r) = stored[N](v.Int()) },
	}
}

// signed is v as an event holds it.
func signed[N integer](v N) int64 {
	if n := int64(v); v < 0 || n >= 0 {
		return n
	}
	return math.MaxInt64
}

// stored is what a field of type N makes of what an event holds.
func stored[N integer](v int64) N {
	if ^N(0) > 0 {
		v = max(v, 0)
	}
	return N(v)
}

// Instant is a field that holds nanoseconds since the Unix epoch.
func Instant[R any](key, doc string, at func(*R) *int64) Field[R] {
	f := Number(key, "ns", doc, at)
	f.Kind, f.Elastic = Time, "date_nanos"
	return f
}

// Real is a floating point field.
func Real[R any](key, unit, doc string, at func(*R) *float64) Field[R] {
	return Field[R]{Key: key, Kind: Float, Unit: unit, Elastic: "double", Doc: doc, step: stepAt(OpFloat, at),
		put: func(r *R, s Sink) {
			if v := *at(r); v != 0 {
				s.PutFloat(key, v)
			}
		},
		set: func(r *R, v Value) { *at(r) = v.Float() },
	}
}

// Flag is a boolean field, written only when true.
func Flag[R any](key, doc string, at func(*R) *bool) Field[R] {
	return Field[R]{Key: key, Kind: Bool, Elastic: "boolean", Doc: doc, step: stepAt(OpBool, at),
		put: func(r *R, s Sink) {
			if *at(r) {
				s.PutBool(key, true)
			}
		},
		set: func(r *R, v Value) { *at(r) = v.Bool() },
	}
}

// Text is a string field.
func Text[R any, S ~string](key, doc string, at func(*R) *S) Field[R] {
	return Field[R]{Key: key, Kind: String, Elastic: "keyword", Doc: doc, step: stepAt(OpString, at),
		put: func(r *R, s Sink) {
			if v := *at(r); v != "" {
				s.PutString(key, string(v))
			}
		},
		set: func(r *R, v Value) { *at(r) = S(v.Str()) },
	}
}

// Address is an IP address, written in its usual text form.
func Address[R any](key, doc string, at func(*R) *netip.Addr) Field[R] {
	return Field[R]{Key: key, Kind: String, Elastic: "ip", Doc: doc, step: stepAt(OpAddr, at),
		put: func(r *R, s Sink) {
			if v := *at(r); v.IsValid() {
				s.PutString(key, v.String())
			}
		},
		set: func(r *R, v Value) { *at(r) = ParseAddr(v.Str()) },
	}
}

// Texts is a list of strings.
func Texts[R any](key, doc string, at func(*R) *[]string) Field[R] {
	return Field[R]{Key: key, Kind: Strings, Elastic: "keyword", Doc: doc, step: stepAt(OpStrings, at),
		put: func(r *R, s Sink) {
			if v := *at(r); len(v) > 0 {
				s.PutStrings(key, v)
			}
		},
		set: func(r *R, v Value) { *at(r) = v.Strs() },
	}
}

// Numbers is a list of integers.
func Numbers[R any](key, unit, doc string, at func(*R) *[]int64) Field[R] {
	return Field[R]{Key: key, Kind: Ints, Unit: unit, Elastic: "long", Doc: doc, step: stepAt(OpInts, at),
		put: func(r *R, s Sink) {
			if v := *at(r); len(v) > 0 {
				s.PutInts(key, v)
			}
		},
		set: func(r *R, v Value) { *at(r) = v.Ints() },
	}
}

// Custom is a string-like field with its own text form, such as a MAC address.
func Custom[R any](key, elastic, doc string, get func(*R) string, set func(*R, string)) Field[R] {
	return Field[R]{Key: key, Kind: String, Elastic: elastic, Doc: doc,
		put: func(r *R, s Sink) {
			if v := get(r); v != "" {
				s.PutString(key, v)
			}
		},
		set: func(r *R, v Value) { set(r, v.Str()) },
	}
}

// Word is a string-like field whose text is one of few, so that get makes no new memory.
func Word[R any](key, elastic, doc string, get func(*R) string, set func(*R, string)) Field[R] {
	f := Custom(key, elastic, doc, get, set)
	f.step, f.word = Step{Op: OpWord}, get
	return f
}

// Formatted is a [Custom] field whose text is appended to a buffer, nothing when it is left out.
func Formatted[R any](key, elastic, doc string, text func(*R, []byte) []byte, set func(*R, string)) Field[R] {
	f := Custom(key, elastic, doc, func(r *R) string { return string(text(r, nil)) }, set)
	f.step, f.text = Step{Op: OpText}, text
	return f
}

// Derived is a field that is written but never read back, because it follows
// from others.
func Derived[R any](key string, kind Kind, unit, elastic, doc string, put func(*R, Sink)) Field[R] {
	return Field[R]{Key: key, Kind: kind, Unit: unit, Elastic: elastic, Doc: doc, put: put, set: func(*R, Value) {}}
}

// Table is the definition of one kind of event.
type Table[R any] struct {
	Name   string // EventName of the log record
	Doc    string
	Fields []Field[R]

	keys  []string // of Fields, close together
	steps []Step   // likewise
	byKey map[string]int
}

// NewTable makes a table. It panics when two fields share a key, which is a
// programming error found by the first test that imports the package.
func NewTable[R any](name, doc string, groups ...[]Field[R]) *Table[R] {
	t := &Table[R]{Name: name, Doc: doc, byKey: map[string]int{}}
	for _, g := range groups {
		t.Fields = append(t.Fields, g...)
	}
	for i, f := range t.Fields {
		if _, twice := t.byKey[f.Key]; twice {
			panic(fmt.Sprintf("event %s: key %s defined twice", name, f.Key))
		}
		t.byKey[f.Key] = i
		t.keys = append(t.keys, f.Key)
		t.steps = append(t.steps, f.step)
	}
	return t
}

// Put writes every non-zero field of r to s.
func (t *Table[R]) Put(r *R, s Sink) {
	for i := range t.Fields {
		if f := &t.Fields[i]; !f.step.zero(unsafe.Pointer(r)) {
			f.put(r, s)
		}
	}
}

// PutField writes the field with this key, if there is one and it is not zero.
func (t *Table[R]) PutField(r *R, key string, s Sink) {
	if i, ok := t.byKey[key]; ok {
		t.Fields[i].put(r, s)
	}
}

// Set fills the field with this key from v. It returns where to look for the next
// key: attributes mostly come in table order, so that a few comparisons from there
// are cheaper than a look-up. Start at 0; a key that the table lacks is passed over.
func (t *Table[R]) Set(r *R, key string, v Value, from int) (next int) {
	i := t.Find(key, from)
	if i < 0 {
		return from
	}
	t.Fields[i].set(r, v)
	return i + 1
}

// Row describes a field without its record type, for schemas and reference pages.
type Row struct {
	Key, Unit, Elastic, Doc, Element string
	Common, Mapped                   string // field of the Elastic Common Schema, and its mapping type
	Kind                             Kind
}

// Definition is what [Table.Describe] gives: an event kind without its Go type.
type Definition struct {
	Name, Doc string
	Rows      []Row
}

// Describe lists the table's rows in order.
func (t *Table[R]) Describe() Definition {
	d := Definition{Name: t.Name, Doc: t.Doc}
	for _, f := range t.Fields {
		d.Rows = append(d.Rows, Row{f.Key, f.Unit, f.Elastic, f.Doc, f.Element, f.Common, f.Mapped, f.Kind})
	}
	return d
}

// Unless leaves the field out of records for which follows holds, because its
// value follows from others there.
func (f Field[R]) Unless(follows func(*R) bool) Field[R] {
	if before := f.follows; before != nil {
		own := follows
		follows = func(r *R) bool { return before(r) || own(r) }
	}
	f.follows, f.step.Guarded = follows, true
	put := f.put
	f.put = func(r *R, s Sink) {
		if !follows(r) {
			put(r, s)
		}
	}
	return f
}

// IPFIX names the information element, by its name in the IANA registry, that says
// the same as the field. That of the reverse direction is "reverse" and the name
// (RFC 5103); several are separated by a comma.
func (f Field[R]) IPFIX(element string) Field[R] {
	f.Element = element
	return f
}

// ECS names the field of the Elastic Common Schema that says the same as the field, with its
// mapping type where that is another than ours. A point in time is a date there.
func (f Field[R]) ECS(name string, mapped ...string) Field[R] {
	f.Common = name
	switch {
	case len(mapped) > 0:
		f.Mapped = mapped[0]
	case f.Kind == Time:
		f.Mapped = "date"
	}
	return f
}
