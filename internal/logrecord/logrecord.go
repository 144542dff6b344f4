// Package logrecord is the bridge between our events and OpenTelemetry log
// records, both ways. It is the only place that knows both, so that what we know
// stays free of Collector code and components stay thin.
package logrecord

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/monban/monban/internal/event"
)

// usual is room for the attributes of an ordinary record, and for what processors add.
const usual = 24

// Append adds r to records as a log record with the table's event name and time
// (Unix nanoseconds) as its timestamp.
func Append[R any](records plog.LogRecordSlice, t *event.Table[R], time int64, r *R) plog.LogRecord {
	lr := records.AppendEmpty()
	lr.SetEventName(t.Name)
	lr.SetTimestamp(pcommon.Timestamp(time))
	lr.SetObservedTimestamp(pcommon.Timestamp(time))
	var b builder // a table's keys are unique, so that none need be looked for in what is there
	b.EnsureCapacity(usual)
	t.Put(r, &b)
	b.UnsafeIntoMap(lr.Attributes())
	return lr
}

// Put writes the fields with these keys of r to lr, and leaves all others of lr
// as they are: for processors that add to a record.
func Put[R any](lr plog.LogRecord, t *event.Table[R], r *R, keys ...string) {
	s := sink{lr.Attributes()}
	for _, k := range keys {
		t.PutField(r, k, s)
	}
}

// sink writes to attributes that may be there already.
type sink struct{ m pcommon.Map }

func (s sink) PutInt(k string, v int64)              { s.m.PutInt(k, v) }
func (s sink) PutFloat(k string, v float64)          { s.m.PutDouble(k, v) }
func (s sink) PutBool(k string, v bool)              { s.m.PutBool(k, v) }
func (s sink) PutString(k string, v string)          { s.m.PutStr(k, v) }
func (s sink) PutStrings(k string, v []string)       { setStrings(s.m.PutEmptySlice(k), v) }
func (s sink) PutInts(k string, v []int64)           { setInts(s.m.PutEmptySlice(k), v) }
func (s sink) PutReasons(k string, v []event.Reason) { setReasons(s.m.PutEmptySlice(k), v) }

// builder writes to a map that is empty.
type builder struct{ xpdata.MapBuilder }

func (b *builder) PutInt(k string, v int64)        { b.AppendEmpty(k).SetInt(v) }
func (b *builder) PutFloat(k string, v float64)    { b.AppendEmpty(k).SetDouble(v) }
func (b *builder) PutBool(k string, v bool)        { b.AppendEmpty(k).SetBool(v) }
func (b *builder) PutString(k string, v string)    { b.AppendEmpty(k).SetStr(v) }
func (b *builder) PutStrings(k string, v []string) { setStrings(b.AppendEmpty(k).SetEmptySlice(), v) }
func (b *builder) PutInts(k string, v []int64)     { setInts(b.AppendEmpty(k).SetEmptySlice(), v) }
func (b *builder) PutReasons(k string, v []event.Reason) {
	setReasons(b.AppendEmpty(k).SetEmptySlice(), v)
}

func setStrings(l pcommon.Slice, v []string) {
	l.EnsureCapacity(len(v))
	for _, x := range v {
		l.AppendEmpty().SetStr(x)
	}
}

func setInts(l pcommon.Slice, v []int64) {
	l.EnsureCapacity(len(v))
	for _, x := range v {
		l.AppendEmpty().SetInt(x)
	}
}

func setReasons(l pcommon.Slice, v []event.Reason) {
	l.EnsureCapacity(len(v))
	for _, x := range v {
		m := l.AppendEmpty().SetEmptyMap()
		m.EnsureCapacity(6)
		m.PutStr("kind", x.Kind)
		m.PutStr("device", x.Device)
		m.PutStr("subject", x.Subject)
		m.PutDouble("strength", x.Strength)
		m.PutStr("expected", x.Expected)
		m.PutStr("seen", x.Seen)
	}
}

type value struct{ v pcommon.Value }

func (x *value) Int() int64 {
	if x.v.Type() == pcommon.ValueTypeInt {
		return x.v.Int()
	}
	return 0
}

func (x *value) Float() float64 {
	switch x.v.Type() {
	case pcommon.ValueTypeDouble:
		return x.v.Double()
	case pcommon.ValueTypeInt: // JSON on the way makes whole numbers Ints
		return float64(x.v.Int())
	}
	return 0
}

func (x *value) Bool() bool { return x.v.Type() == pcommon.ValueTypeBool && x.v.Bool() }

func (x *value) Str() string {
	if x.v.Type() == pcommon.ValueTypeStr {
		return x.v.Str()
	}
	return ""
}

func (x *value) list() pcommon.Slice {
	if x.v.Type() == pcommon.ValueTypeSlice {
		return x.v.Slice()
	}
	return pcommon.NewSlice()
}

func (x *value) Strs() []string {
	l := x.list()
	out := make([]string, 0, l.Len())
	for _, v := range l.All() {
		out = append(out, (&value{v}).Str())
	}
	return out
}

func (x *value) Ints() []int64 {
	l := x.list()
	out := make([]int64, 0, l.Len())
	for _, v := range l.All() {
		out = append(out, (&value{v}).Int())
	}
	return out
}

func (x *value) Reasons() []event.Reason {
	l := x.list()
	out := make([]event.Reason, 0, l.Len())
	for _, v := range l.All() {
		if v.Type() != pcommon.ValueTypeMap {
			continue
		}
		var r event.Reason
		for k, f := range v.Map().All() {
			switch k {
			case "kind":
				r.Kind = (&value{f}).Str()
			case "device":
				r.Device = (&value{f}).Str()
			case "subject":
				r.Subject = (&value{f}).Str()
			case "strength":
				r.Strength = (&value{f}).Float()
			case "expected":
				r.Expected = (&value{f}).Str()
			case "seen":
				r.Seen = (&value{f}).Str()
			}
		}
		out = append(out, r)
	}
	return out
}
