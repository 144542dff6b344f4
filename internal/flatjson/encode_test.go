package flatjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/monban/monban/internal/flatjson/flatjsontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestEncode(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	for _, c := range []struct {
		name     string
		resource map[string]any
		record   func(plog.LogRecord)
		want     string
	}{
		{"nothing", nil, func(plog.LogRecord) {}, `{"timestamp":"1970-01-01T00:00:00.000000000Z"}`},
		{"observed time stands in", nil, func(lr plog.LogRecord) { lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(at)) },
			`{"timestamp":"2026-02-03T04:05:06.000000007Z"}`},
		{"flow", map[string]any{"host.name": "edge"}, func(lr plog.LogRecord) {
			lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
			lr.SetEventName("network.flow")
			lr.Attributes().PutStr("source.address", "10.0.0.1")
			lr.Attributes().PutInt("flow.start", at.UnixNano()-1)
			lr.Attributes().PutInt("source.port", 502)
			lr.Attributes().PutDouble("anomaly.score", 0.25)
			lr.Attributes().PutBool("flow.initiator_guessed", true)
		}, `{"timestamp":"2026-02-03T04:05:06.000000007Z","event":"network.flow","host.name":"edge","source.address":"10.0.0.1",` +
			`"flow.start":"2026-02-03T04:05:06.000000006Z","source.port":502,"anomaly.score":0.25,"flow.initiator_guessed":true}`},
		{"severity, body, trace", nil, func(lr plog.LogRecord) {
			lr.SetSeverityNumber(plog.SeverityNumberWarn)
			lr.SetTraceID(pcommon.TraceID{1, 2})
			lr.SetSpanID(pcommon.SpanID{3})
			lr.Body().SetStr("hello")
		}, `{"timestamp":"1970-01-01T00:00:00.000000000Z","severity":"Warn","trace_id":"01020000000000000000000000000000","span_id":"0300000000000000","body":"hello"}`},
		{"severity text wins", nil, func(lr plog.LogRecord) {
			lr.SetSeverityNumber(plog.SeverityNumberWarn)
			lr.SetSeverityText("notice")
		}, `{"timestamp":"1970-01-01T00:00:00.000000000Z","severity":"notice"}`},
		{"the record's attribute wins over the resource's", map[string]any{"device.id": "a", "site": "b"}, func(lr plog.LogRecord) {
			lr.Attributes().PutStr("x", "y")
			lr.Attributes().PutStr("device.id", "c")
		}, `{"timestamp":"1970-01-01T00:00:00.000000000Z","site":"b","x":"y","device.id":"c"}`},
		{"reserved keys", map[string]any{"event": "r"}, func(lr plog.LogRecord) { lr.Attributes().PutInt("timestamp", 1) },
			`{"timestamp":"1970-01-01T00:00:00.000000000Z","attribute.event":"r","attribute.timestamp":1}`},
		{"strings", nil, func(lr plog.LogRecord) {
			lr.Attributes().PutStr("", "\"\\\n\r\t\x00\x1b[31m\x7f")
			lr.Attributes().PutStr("utf", "é漢\u0085\U0001f600")
			lr.Attributes().PutStr("bad", "a\xffb\xc3")
		}, `{"timestamp":"1970-01-01T00:00:00.000000000Z","":"\"\\\n\r\t\u0000\u001b[31m\u007f","utf":"é漢\u0085😀","bad":"a` + "\ufffdb\ufffd" + `"}`},
		{"numbers", nil, func(lr plog.LogRecord) {
			for i, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1, 1e300, 1e-9, -2.5} {
				lr.Attributes().PutDouble(fmt.Sprint(i), f)
			}
			lr.Attributes().PutInt("min", math.MinInt64)
		}, `{"timestamp":"1970-01-01T00:00:00.000000000Z","0":null,"1":null,"2":null,"3":0,"4":1,"5":1e+300,"6":1e-09,"7":-2.5,"min":-9223372036854775808}`},
		{"nested", nil, func(lr plog.LogRecord) {
			_ = lr.Attributes().FromRaw(map[string]any{"l": []any{"a", int64(1), map[string]any{"k": []any{}}, nil, []byte{1, 2}}})
		}, `{"timestamp":"1970-01-01T00:00:00.000000000Z","l":["a",1,{"k":[]},null,"AQI="]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := NewEncoder()
			r := pcommon.NewMap()
			if err := r.FromRaw(c.resource); err != nil {
				t.Fatal(err)
			}
			e.SetResource(r)
			lr := plog.NewLogRecord()
			c.record(lr)
			got := string(e.AppendRecord(nil, lr))
			if got != c.want+"\n" {
				t.Errorf("got  %s want %s", got, c.want)
			}
			if !json.Valid([]byte(got)) {
				t.Error("not JSON")
			}
		})
	}
}

func TestEncodeDeepNesting(t *testing.T) {
	lr := plog.NewLogRecord()
	v := lr.Attributes().PutEmpty("deep")
	for range 10_000 {
		v = v.SetEmptySlice().AppendEmpty()
	}
	b := NewEncoder().AppendRecord(nil, lr)
	if !json.Valid(b) || strings.Count(string(b), "[") != MaxDepth {
		t.Errorf("%s", b)
	}
}

func TestTimesAreAsTimePrintsThem(t *testing.T) {
	e := NewEncoder()
	const layout = `"2006-01-02T15:04:05.000000000Z"`
	for _, ns := range []int64{0, 1, -1, nanosADay, -nanosADay, nanosADay - 1, 951782399_999999999, 951782400_000000000,
		4107542399_123456789, math.MaxInt64, math.MinInt64, 1754000000_100000000} {
		if got, want := string(e.clock.AppendTime(nil, ns)), time.Unix(0, ns).UTC().Format(layout); got != want {
			t.Errorf("%d: got %s, want %s", ns, got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\xff\"\\\u2028é")
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && got != want {
			t.Fatalf("%q came back as %q", s, got)
		}
		for _, r := range string(b) {
			if r < 0x20 || r >= 0x7f && r < 0xa0 {
				t.Fatalf("%q holds a control character", b)
			}
		}
	})
}

// BenchmarkEncode writes a flow, and BenchmarkMarshal has encoding/json write the very same line out of a map that
// is there already.
func BenchmarkEncode(b *testing.B) {
	lr := plog.NewLogRecord()
	flatjsontest.Usual(lr)
	r := pcommon.NewMap()
	r.PutStr("host.name", "edge-1")
	e := NewEncoder()
	e.SetResource(r)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendRecord(buf[:0], lr)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkMarshal(b *testing.B) {
	lr := plog.NewLogRecord()
	flatjsontest.Usual(lr)
	r := pcommon.NewMap()
	r.PutStr("host.name", "edge-1")
	e := NewEncoder()
	e.SetResource(r)
	ours := e.AppendRecord(nil, lr)
	var line map[string]any
	d := json.NewDecoder(bytes.NewReader(ours))
	d.UseNumber()
	if err := d.Decode(&line); err != nil {
		b.Fatal(err)
	}
	for k, v := range line { // the types that a program has
		if n, ok := v.(json.Number); ok {
			line[k], _ = n.Int64()
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		if err := enc.Encode(line); err != nil {
			b.Fatal(err)
		}
	}
	if buf.Len() != len(ours) {
		b.Errorf("%d bytes, ours %d", buf.Len(), len(ours))
	}
	b.SetBytes(int64(buf.Len()))
}

func TestNumbersAndTimesAreThoseOfTheLibrary(t *testing.T) {
	e := NewEncoder()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range int64(200_000) {
		n := i
		if i > 110_000 {
			n = rng.Int64() >> rng.IntN(64)
			if i%2 == 0 {
				n = -n
			}
		}
		if got, want := string(AppendInt(nil, n)), strconv.FormatInt(n, 10); got != want {
			t.Fatalf("%s, not %s", got, want)
		}
		at := time.Unix(0, n).UTC()
		if got, want := string(e.clock.AppendTime(nil, n)), at.Format(`"2006-01-02T15:04:05.000000000Z"`); got != want {
			t.Fatalf("%d is %s, not %s", n, got, want)
		}
	}
}
