package flatjson_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/flatjson/flatjsontest"
	"github.com/monban/monban/internal/reference"
)

// TestThereAndBack reads every event with all its keys, and writes the same again.
func TestThereAndBack(t *testing.T) {
	d, e := flatjson.NewDecoder(), flatjson.NewEncoder()
	resource := pcommon.NewMap()
	resource.PutStr("observer.name", "gate")
	for _, ev := range reference.Events() {
		lr := plog.NewLogRecord()
		flatjsontest.Full(lr, ev)
		lr.Attributes().PutStr("timestamp", "an attribute of this name")
		lr.Attributes().PutBool("own", true)
		lr.SetTraceID(pcommon.TraceID{1})
		lr.SetSpanID(pcommon.SpanID{2})
		e.SetResource(resource)
		line := e.AppendRecord(nil, lr)
		got := plog.NewLogRecordSlice()
		if err := d.Decode(line, got); err != nil {
			t.Fatalf("%s: %v", ev.Name, err)
		}
		back := got.At(0)
		for k, v := range lr.Attributes().All() {
			w, ok := back.Attributes().Get(k)
			if !ok || v.Type() != w.Type() && v.Type() != pcommon.ValueTypeDouble { // an infinity is null
				t.Errorf("%s: %s was %v %q and is %v %q", ev.Name, k, v.Type(), v.AsString(), w.Type(), w.AsString())
			}
		}
		if w, _ := back.Attributes().Get("observer.name"); w.AsString() != "gate" {
			t.Errorf("%s: the resource is lost", ev.Name)
		}
		if back.SeverityNumber() != plog.SeverityNumberError {
			t.Errorf("%s: severity %v", ev.Name, back.SeverityNumber())
		}
		e.SetResource(pcommon.NewMap())
		got.At(0).Attributes().RemoveIf(func(k string, _ pcommon.Value) bool { return k == "observer.name" })
		again := e.AppendRecord(nil, back)
		if want := e.AppendRecord(nil, lr); !bytes.Equal(again, want) {
			t.Errorf("%s:\nwrote %s\nread  %s", ev.Name, want, again)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`[]`, "not an object"},
		{`{"timestamp":5}`, "timestamp: it must be a text"},
		{`{"timestamp":"yesterday"}`, "is not a time"},
		{`{"timestamp":"0001-01-01T00:00:00Z"}`, "can't be told"},
		{`{"flow.start":"x"}`, "flow.start"},
		{`{"trace_id":"12"}`, "32 digits"},
		{`{"a":1} {"b":2}`, "after the object"},
		{`{"a":`, "EOF"},
		{`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "nested deeper"},
	} {
		got := plog.NewLogRecordSlice()
		err := flatjson.NewDecoder().Decode([]byte("{\"event\":\"x\"}\n\n"+c.line), got)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "line 3: ") {
			t.Errorf("%.40s: %v, want %q", c.line, err, c.want)
		}
		if got.Len() != 1 {
			t.Errorf("%.40s: %d records", c.line, got.Len())
		}
	}
}

// FuzzDecode: what can be read is written as something that is read as the same.
func FuzzDecode(f *testing.F) {
	e := flatjson.NewEncoder()
	for _, ev := range reference.Events() {
		lr := plog.NewLogRecord()
		flatjsontest.Full(lr, ev)
		f.Add(e.AppendRecord(nil, lr))
	}
	f.Add([]byte(`{"timestamp":"2026-01-02T03:04:05+02:00","body":{"a":[1,null,1e300]},"a":1,"a":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := flatjson.NewDecoder()
		got := plog.NewLogRecordSlice()
		if d.Decode(data, got) != nil || got.Len() == 0 {
			return
		}
		e := flatjson.NewEncoder()
		one := e.AppendRecord(nil, got.At(0))
		back := plog.NewLogRecordSlice()
		if err := d.Decode(one, back); err != nil {
			t.Fatalf("%v\n%s", err, one)
		}
		if two := e.AppendRecord(nil, back.At(0)); !bytes.Equal(one, two) {
			t.Fatalf("\n%s\n%s", one, two)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	lr := plog.NewLogRecord()
	flatjsontest.Usual(lr)
	line, d := flatjson.NewEncoder().AppendRecord(nil, lr), flatjson.NewDecoder()
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(line, plog.NewLogRecordSlice()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTooManyMembers(t *testing.T) {
	var b strings.Builder
	b.WriteString("{")
	for i := range 5000 {
		fmt.Fprintf(&b, "%q:1,", strconv.Itoa(i))
	}
	flat := b.String() + `"x":1}`
	for _, line := range []string{flat, `{"x":` + flat + `}`} {
		if err := flatjson.NewDecoder().Decode([]byte(line), plog.NewLogRecordSlice()); err == nil || !strings.Contains(err.Error(), "members") {
			t.Errorf("%v", err)
		}
	}
}
