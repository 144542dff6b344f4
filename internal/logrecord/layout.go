package logrecord

import (
	"bytes"
	"fmt"
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// The Collector's log records are made of one small allocation a value: 30 for an ordinary flow,
// which takes longer than metering its packets. What follows mirrors how they lie in memory, so
// that a record can be laid out in slabs. It is unsafe in the sense of the language, so it is
// checked before it is used (see [check]), once a process: each type by reflection, and then by
// making the same records both ways and comparing what the Collector makes of them. When the two
// differ, the public way is taken, which is slower and always right. The memory has the same
// pointers in the same places as the real types, so that the collector of garbage sees no
// difference.
//
//nolint:unused // fields that nobody reads hold the places of the Collector's
type (
	// word is an interface value.
	word struct{ typ, data unsafe.Pointer }

	// Attr is an attribute of a log record; see [Attrs].
	Attr struct {
		value word
		key   string
		index int32
	}

	// record is what a plog.LogRecord refers to.
	record struct {
		body         word
		severityText string
		eventName    string
		attributes   []Attr
		time         uint64
		observed     uint64
		severity     int32
		dropped      uint32
		flags        uint32
		trace        [16]byte
		span         [8]byte
	}

	// list is a value that is a list: what its interface's data word points to, and what that points to.
	list struct {
		values *[]word
		of     []word
	}

	ref struct { // plog.LogRecord
		orig  *record
		state unsafe.Pointer
	}
	slice struct { // plog.LogRecordSlice
		orig  *[]*record
		state unsafe.Pointer
	}
	valueRef struct { // pcommon.Value
		orig  *word
		state unsafe.Pointer
	}
)

// layout is what was found out about the Collector's types.
var layout struct {
	err error // why the public way is taken; nil when the mirror fits
	// The types of values, as the first word of an interface has them.
	typInt, typFloat, typBool, typString, typList unsafe.Pointer
}

// Types that stand for those of the Collector when its own are not what they were.
type (
	ownInt    struct{ v int64 }
	ownFloat  struct{ v float64 }
	ownBool   struct{ v bool }
	ownString struct{ v string }
	ownList   struct{ v *[]word } //nolint:unused // only its layout is of interest
)

func init() {
	if layout.err = check(); layout.err != nil {
		useOwn()
	}
}

// useOwn makes [Attrs] give attributes of our own types.
func useOwn() {
	typ := func(x any) unsafe.Pointer { return (*word)(unsafe.Pointer(&x)).typ }
	layout.typInt, layout.typFloat, layout.typBool = typ(&ownInt{}), typ(&ownFloat{}), typ(&ownBool{})
	layout.typString, layout.typList = typ(&ownString{}), typ(&ownList{})
}

// sample is a record with a value of each type that we write, made the public way.
func sample() (plog.Logs, plog.LogRecord) {
	l := plog.NewLogs()
	lr := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetEventName("name")
	lr.SetTimestamp(1 << 60)
	lr.SetObservedTimestamp(1<<60 + 1)
	m := lr.Attributes()
	m.PutInt("int", -1<<62)
	m.PutDouble("float", 0.1)
	m.PutBool("bool", true)
	m.PutStr("string", "text")
	setInts(m.PutEmptySlice("ints"), []int64{1, -2})
	setStrings(m.PutEmptySlice("strings"), []string{"a", ""})
	return l, lr
}

// check holds our mirror against the Collector's types, and learns the words of their types. The
// Collector's pooling of what records are made of, off by default, would take parts of our slabs
// for wholes; then the public way is taken too.
func check() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("looking at the Collector's types: %v", r)
		}
	}()
	logs, lr := sample()
	if err := same(reflect.TypeFor[plog.LogRecord](), reflect.TypeFor[ref](), 0); err != nil {
		return err
	}
	if err := same(reflect.TypeFor[plog.LogRecordSlice](), reflect.TypeFor[slice](), 0); err != nil {
		return err
	}
	if err := same(reflect.TypeFor[pcommon.Value](), reflect.TypeFor[valueRef](), 0); err != nil {
		return err
	}
	attrs := (*ref)(unsafe.Pointer(&lr)).orig.attributes
	if len(attrs) != 6 {
		return fmt.Errorf("%d attributes", len(attrs))
	}
	for i, want := range []struct {
		typ  *unsafe.Pointer
		like reflect.Type
	}{
		{&layout.typInt, reflect.TypeFor[ownInt]()}, {&layout.typFloat, reflect.TypeFor[ownFloat]()}, {&layout.typBool, reflect.TypeFor[ownBool]()},
		{&layout.typString, reflect.TypeFor[ownString]()}, {&layout.typList, reflect.TypeFor[ownList]()},
	} {
		*want.typ = attrs[i].value.typ
		held := *(*any)(unsafe.Pointer(&attrs[i].value))
		t := reflect.TypeOf(held)
		if t.Kind() != reflect.Pointer {
			return fmt.Errorf("value is a %s", t)
		}
		if err := same(t.Elem(), want.like, 0); err != nil {
			return err
		}
	}
	var a Arena
	ours := plog.NewLogs()
	records := ours.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	r := a.record(records)
	r.eventName, r.time, r.observed = "name", 1<<60, 1<<60+1
	b := a.begin(6)
	b.PutInt("int", -1<<62)
	b.PutFloat("float", 0.1)
	b.PutBool("bool", true)
	b.PutString("string", "text")
	b.PutInts("ints", []int64{1, -2})
	b.PutStrings("strings", []string{"a", ""})
	r.attributes = a.end()
	var m plog.ProtoMarshaler
	want, err := m.MarshalLogs(logs)
	if err != nil {
		return err
	}
	got, err := m.MarshalLogs(ours)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) || !reflect.DeepEqual(ours.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().AsRaw(), lr.Attributes().AsRaw()) {
		return fmt.Errorf("records come out differently")
	}
	return nil
}

// pooled reports whether the Collector takes back what records are made of.
func pooled() (on bool) {
	featuregate.GlobalRegistry().VisitAll(func(g *featuregate.Gate) {
		if g.ID() == "pdata.useProtoPooling" {
			on = g.IsEnabled()
		}
	})
	return on
}

// same compares two types by where what they hold lies.
func same(real, ours reflect.Type, depth int) error {
	differ := func(why string, a, b any) error {
		return fmt.Errorf("%s is not laid out like %s: %s %v, not %v", real, ours, why, a, b)
	}
	if ours == reflect.TypeFor[word]() && real.Kind() == reflect.Struct && real.NumField() == 1 { // an AnyValue
		real = real.Field(0).Type
	}
	switch {
	case depth > 8:
		return nil
	case real.Size() != ours.Size() || real.Align() != ours.Align():
		return differ("size", real.Size(), ours.Size())
	case ours.Kind() == reflect.UnsafePointer && real.Kind() == reflect.Pointer:
		return nil
	case ours == reflect.TypeFor[word]():
		if real.Kind() != reflect.Interface || real.NumMethod() != 0 {
			return differ("kind", real.Kind(), "an empty interface")
		}
		return nil
	case real.Kind() != ours.Kind():
		// *ArrayValue is a pointer to a struct of one slice.
		if real.Kind() == reflect.Struct && real.NumField() == 1 && real.Field(0).Offset == 0 {
			return same(real.Field(0).Type, ours, depth+1)
		}
		return differ("kind", real.Kind(), ours.Kind())
	}
	switch real.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return same(real.Elem(), ours.Elem(), depth+1)
	case reflect.Struct:
		if real.NumField() != ours.NumField() {
			return differ("fields", real.NumField(), ours.NumField())
		}
		for i := range real.NumField() {
			if a, b := real.Field(i).Offset, ours.Field(i).Offset; a != b {
				return differ(real.Field(i).Name+" at", a, b)
			}
			if err := same(real.Field(i).Type, ours.Field(i).Type, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
