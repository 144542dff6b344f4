package elasticsearchexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/flatjson/flatjsontest"
	"github.com/monban/monban/internal/reference"
)

// encoders are made once, as their plans take a while. Tests of this package do not run side by side.
var encoders = map[elastic.Mode]*encoder{elastic.ECS: newEncoder(elastic.ECS, "test"), elastic.OTel: newEncoder(elastic.OTel, "test")}

// document encodes one record alone and gives its stream, id and document.
func document(t testing.TB, mode elastic.Mode, resource map[string]any, fill func(plog.LogRecord)) (stream, id string, doc map[string]any) {
	t.Helper()
	e := encoders[mode]
	r := pcommon.NewMap()
	if err := r.FromRaw(resource); err != nil {
		t.Fatal(err)
	}
	e.setScope(r, pcommon.NewInstrumentationScope())
	lr := plog.NewLogRecord()
	fill(lr)
	return parse(t, e.appendRecord(nil, lr))
}

// parse reads the two lines of a bulk request and fails when an object has a key twice.
func parse(t testing.TB, b []byte) (stream, id string, doc map[string]any) {
	t.Helper()
	lines := bytes.Split(b, []byte("\n"))
	if len(lines) != 3 || len(lines[2]) != 0 {
		t.Fatalf("%d lines: %s", len(lines), b)
	}
	var action struct {
		Create struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		}
	}
	if err := json.Unmarshal(lines[0], &action); err != nil {
		t.Fatalf("%v: %s", err, lines[0])
	}
	if err := json.Unmarshal(lines[1], &doc); err != nil {
		t.Fatalf("%v: %s", err, lines[1])
	}
	if err := twice(json.NewDecoder(bytes.NewReader(lines[1]))); err != nil {
		t.Fatalf("%v: %s", err, lines[1])
	}
	return action.Create.Index, action.Create.ID, doc
}

// twice looks for keys that an object has twice, which servers refuse and encoding/json does not.
func twice(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return err
			}
			if seen[k.(string)] {
				return fmt.Errorf("%q twice", k)
			}
			seen[k.(string)] = true
			if err := twice(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		for d.More() {
			if err := twice(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}

// flat lists the leaves of a document by their dotted paths.
func flat(prefix string, v any, out map[string]any) map[string]any {
	if m, ok := v.(map[string]any); ok {
		for k, x := range m {
			flat(strings.TrimPrefix(prefix+"."+k, "."), x, out)
		}
		return out
	}
	out[prefix] = v
	return out
}

// Every field of every document is in the template, and every field of the template is in some document.
func TestDocumentsFitTheTemplates(t *testing.T) {
	for _, ev := range reference.Events() {
		t.Run(ev.Name, func(t *testing.T) {
			known := map[string]string{}
			for _, l := range elastic.Leaves(ev.Name) {
				known[l.Path] = l.Type
			}
			fill := func(lr plog.LogRecord) {
				flatjsontest.Full(lr, ev)
				lr.SetSeverityNumber(plog.SeverityNumberInfo)
				lr.SetTraceID(pcommon.TraceID{1})
				lr.SetSpanID(pcommon.SpanID{1})
				a := lr.Attributes()
				for _, k := range []string{"source.address", "destination.address"} {
					if _, ok := a.Get(k); ok {
						a.PutStr(k, "192.168.1.2")
					}
				}
				if _, ok := a.Get("flow.start"); ok {
					a.PutInt("flow.start", 5)
				}
				if _, ok := a.Get("report.severity"); ok {
					a.PutStr("report.severity", "high")
					a.PutEmptySlice("threat.technique.ics").AppendEmpty().SetStr("T0846 Remote System Discovery")
				}
				a.PutDouble("anomaly.score", 0.5)
				a.PutStr("something.else", "x")
			}
			resource := map[string]any{"host.name": "edge", "service.name": "monban", "service.version": "1", "service.instance.id": "a", "site": "plant"}
			stream, id, doc := document(t, elastic.ECS, resource, fill)
			if want := "logs-" + elastic.Dataset(ev.Name) + "-test"; stream != want {
				t.Errorf("stream %s, not %s", stream, want)
			}
			fields := flat("", doc, map[string]any{})
			if fields["event.id"] != id {
				t.Errorf("event.id %v, _id %s", fields["event.id"], id)
			}
			for path := range fields {
				if known[path] == "" && !strings.HasPrefix(path, "labels.") {
					t.Errorf("%s is not in the template", path)
				}
				delete(known, path)
			}
			for path := range known {
				switch path {
				case "labels", "host.name", "network.community_id", "source.mac", "destination.mac", "host.mac":
				default:
					t.Errorf("%s is in the template and not in the document", path)
				}
			}
		})
	}
}

func TestDocuments(t *testing.T) {
	const at = 1_754_000_000_123_456_789
	resource := map[string]any{"host.name": "edge", "site.name": "plant"}
	for _, c := range []struct {
		name string
		fill func(plog.LogRecord)
		want string // as JSON
	}{
		{"a flow", func(lr plog.LogRecord) {
			lr.SetTimestamp(at)
			lr.SetEventName("network.flow")
			a := lr.Attributes()
			a.PutStr("source.address", "192.168.1.20")
			a.PutInt("source.port", 40812)
			a.PutStr("destination.address", "192.168.1.2")
			a.PutInt("destination.port", 502)
			a.PutStr("network.transport", "tcp")
			a.PutInt("flow.io.bytes", 100)
			a.PutInt("flow.reverse.io.bytes", 50)
			a.PutInt("flow.io.packets", 2)
			a.PutInt("flow.start", at-1000)
			a.PutStr("flow.dst_mac", "00:11:22:aa:bb:cc")
			a.PutStr("source.device.id", "00:11:22:33:44:55")
			a.PutInt("flow.vlan_id", 7)
			a.PutStr("flow.tcp.state", "SF")
		}, `{"@timestamp":"2025-07-31T22:13:20.123456789Z","data_stream":{"type":"logs","dataset":"monban.flow","namespace":"test"},"ecs":{"version":"8.17.0"},
"event":{"kind":"event","category":["network"],"type":["connection"],"action":"network_flow","dataset":"monban.flow","module":"monban",
"start":"2025-07-31T22:13:20.123455789Z","end":"2025-07-31T22:13:20.123456789Z","duration":1000,"id":"ID"},
"source":{"ip":"192.168.1.20","port":40812,"bytes":100,"packets":2,"mac":"00-11-22-33-44-55"},
"destination":{"ip":"192.168.1.2","port":502,"bytes":50,"mac":"00-11-22-AA-BB-CC"},
"network":{"transport":"tcp","type":"ipv4","direction":"internal","bytes":150,"packets":2,"community_id":"1:Nl6x+pOgIopvIVMZjYTCSfHEqSw=","vlan":{"id":7}},
"observer":{"vendor":"Monban","product":"Monban","type":"ids","hostname":"edge"},"related":{"ip":["192.168.1.20","192.168.1.2"]},
"labels":{"site_name":"plant"},"monban":{"source":{"device":{"id":"00:11:22:33:44:55"}},"flow":{"tcp":{"state":"SF"}}}}`},
		{"a report", func(lr plog.LogRecord) {
			lr.SetTimestamp(at)
			lr.SetEventName("threat.report")
			lr.Body().SetStr("plc-1 scans")
			lr.SetSeverityNumber(plog.SeverityNumberError)
			lr.SetSeverityText("high")
			a := lr.Attributes()
			a.PutStr("report.severity", "high")
			a.PutDouble("report.confidence", 0.5)
			a.PutStr("report.class", "port_scan")
			a.PutStr("security_rule.name", "Port scan")
			a.PutEmptySlice("threat.technique.enterprise").AppendEmpty().SetStr("T1046 Network Service Discovery")
			a.PutEmptySlice("threat.technique.ics").AppendEmpty().SetStr("T0846 Remote System Discovery")
		}, `{"@timestamp":"2025-07-31T22:13:20.123456789Z","data_stream":{"type":"logs","dataset":"monban.report","namespace":"test"},"ecs":{"version":"8.17.0"},
"event":{"kind":"alert","category":["intrusion_detection","network"],"type":["info"],"action":"threat_report","dataset":"monban.report","module":"monban","severity":73,"risk_score":36.5,"id":"ID"},
"log":{"level":"high"},"message":"plc-1 scans","rule":{"id":"port_scan","name":"Port scan"},"labels":{"site_name":"plant"},
"threat":{"framework":"MITRE ATT&CK","technique":{"id":["T1046","T0846"],"name":["Network Service Discovery","Remote System Discovery"]}},
"observer":{"vendor":"Monban","product":"Monban","type":"ids","hostname":"edge"},
"monban":{"report":{"severity":"high","confidence":0.5},"threat":{"technique":{"enterprise":["T1046 Network Service Discovery"],"ics":["T0846 Remote System Discovery"]}}}}`},
		{"a record of others", func(lr plog.LogRecord) {
			lr.SetObservedTimestamp(at)
			lr.SetEventName("door.opened")
			lr.SetSeverityNumber(plog.SeverityNumberWarn)
			lr.Body().SetEmptyMap().PutInt("n", 1)
			a := lr.Attributes()
			a.PutStr("a.b", "1")
			a.PutInt("a_b", 2)
			a.PutBool("", true)
			a.PutEmptySlice("list").AppendEmpty().SetStr("\x1b")
			a.PutStr("log.record.uid", "01ARZ3")
		}, `{"@timestamp":"2025-07-31T22:13:20.123456789Z","data_stream":{"type":"logs","dataset":"monban.other","namespace":"test"},"ecs":{"version":"8.17.0"},
"event":{"kind":"event","action":"door.opened","dataset":"monban.other","module":"monban","severity":13,"id":"01ARZ3"},"log":{"level":"warn"},"message":"{\"n\":1}",
"host":{"name":"edge"},"labels":{"site_name":"plant","a_b":"1","a_b_":"2","attribute":"true","list":"[\"\\u001b\"]","log_record_uid":"01ARZ3"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, id, doc := document(t, elastic.ECS, resource, c.fill)
			var want map[string]any
			if err := json.Unmarshal([]byte(strings.Replace(c.want, `"ID"`, `"`+id+`"`, 1)), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, doc); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The id of a record follows from what it holds and from nothing else.
func TestIDs(t *testing.T) {
	usual := func(lr plog.LogRecord) { flatjsontest.Usual(lr) }
	for _, mode := range []elastic.Mode{elastic.ECS, elastic.OTel} {
		ids := map[string]string{}
		add := func(name string, resource map[string]any, fill func(plog.LogRecord)) {
			_, id, _ := document(t, mode, resource, fill)
			_, again, _ := document(t, mode, resource, fill)
			if id != again || len(id) > 128 {
				t.Errorf("%s %s: id %s, then %s", mode, name, id, again)
			}
			if other, ok := ids[id]; ok {
				t.Errorf("%s: %s and %s have one id", mode, name, other)
			}
			ids[id] = name
		}
		add("usual", nil, usual)
		add("a nanosecond later", nil, func(lr plog.LogRecord) { usual(lr); lr.SetTimestamp(lr.Timestamp() + 1) })
		add("another observer", map[string]any{"host.name": "b"}, usual)
		add("one more attribute", nil, func(lr plog.LogRecord) { usual(lr); lr.Attributes().PutStr("x", "") })
		add("an id of its own", nil, func(lr plog.LogRecord) { usual(lr); lr.Attributes().PutStr(recordID, "mine") })
		add("an id that is too long", nil, func(lr plog.LogRecord) { usual(lr); lr.Attributes().PutStr(recordID, strings.Repeat("x", 600)) })
		add("an id that is no text for a line", nil, func(lr plog.LogRecord) { usual(lr); lr.Attributes().PutStr(recordID, "a\n\"") })
		if ids["mine"] == "" {
			t.Errorf("%s: %v", mode, ids)
		}
	}
}

func TestNative(t *testing.T) {
	stream, _, doc := document(t, elastic.OTel, map[string]any{"host.name": "edge"}, func(lr plog.LogRecord) {
		lr.SetTimestamp(1_754_000_000_123_456_789)
		lr.SetObservedTimestamp(1_754_000_000_123_456_790)
		lr.SetEventName("network.flow")
		lr.SetSeverityNumber(9)
		lr.SetSeverityText("info")
		lr.Body().SetStr("hello")
		lr.SetTraceID(pcommon.TraceID{1})
		lr.Attributes().PutInt("flow.start", 1)
		lr.Attributes().PutStr("source.address", "10.0.0.1")
		lr.Attributes().PutStr("", "x")
		lr.Attributes().PutStr("a..b", "x")
	})
	if stream != "logs-monban.flow.otel-test" {
		t.Error(stream)
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(`{"@timestamp":"2025-07-31T22:13:20.123456789Z","observed_timestamp":"2025-07-31T22:13:20.123456790Z",
"data_stream":{"type":"logs","dataset":"monban.flow.otel","namespace":"test"},"event_name":"network.flow","severity_number":9,"severity_text":"info","body":{"text":"hello"},
"trace_id":"01000000000000000000000000000000","attributes":{"flow.start":"1970-01-01T00:00:00.000000001Z","source.address":"10.0.0.1","\"\"":"x","\"a..b\"":"x"},
"resource":{"attributes":{"host.name":"edge"}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, doc); diff != "" {
		t.Error(diff)
	}
}

// someMetrics has a data point of each kind.
func someMetrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "edge")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	g := ms.AppendEmpty()
	g.SetName("system.cpu.utilization")
	g.SetUnit("1")
	p := g.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetTimestamp(1_754_000_000_123_456_789)
	p.SetDoubleValue(0.25)
	p.Attributes().PutStr("cpu.mode", "user")
	s := ms.AppendEmpty()
	s.SetName("otelcol_exporter_sent")
	s.SetEmptySum().SetIsMonotonic(true)
	s.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for i := range 2 {
		p := s.Sum().DataPoints().AppendEmpty()
		p.SetTimestamp(1_754_000_000_123_456_789)
		p.SetStartTimestamp(1_754_000_000_000_000_000)
		p.SetIntValue(int64(i))
	}
	h := ms.AppendEmpty()
	h.SetName("latency")
	hp := h.SetEmptyHistogram().DataPoints().AppendEmpty()
	hp.SetCount(4)
	hp.SetSum(10)
	hp.SetMin(1)
	hp.SetMax(4)
	hp.ExplicitBounds().FromRaw([]float64{2})
	hp.BucketCounts().FromRaw([]uint64{1, 3})
	x := ms.AppendEmpty()
	x.SetName("latency.exponential")
	xp := x.SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
	xp.SetCount(3)
	xp.SetSum(6)
	xp.SetZeroCount(1)
	xp.Negative().SetOffset(0)
	xp.Negative().BucketCounts().FromRaw([]uint64{1})
	xp.Positive().SetOffset(1)
	xp.Positive().BucketCounts().FromRaw([]uint64{1})
	q := ms.AppendEmpty()
	q.SetName("latency.summary")
	qp := q.SetEmptySummary().DataPoints().AppendEmpty()
	qp.SetCount(2)
	qp.SetSum(3)
	v := qp.QuantileValues().AppendEmpty()
	v.SetQuantile(0.5)
	v.SetValue(1.5)
	ms.AppendEmpty().SetName("nothing") // of no type at all
	return md
}

func TestMetrics(t *testing.T) {
	for _, mode := range []elastic.Mode{elastic.ECS, elastic.OTel} {
		known := map[string]bool{}
		for _, l := range elastic.MetricLeaves() {
			known[l.Path] = true
		}
		got := map[string]any{}
		e := newEncoder(mode, "test")
		for _, rm := range someMetrics().ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				e.setScope(rm.Resource().Attributes(), sm.Scope())
				for _, m := range sm.Metrics().All() {
					points(m, nil, func(p point, kind string, members []byte) {
						stream, id, doc := parse(t, e.appendPoint(nil, m, p, kind, members))
						if got[id] != nil {
							t.Errorf("%s twice", id)
						}
						got[id] = doc
						metric := doc["metric"].(map[string]any)
						if want := "metrics-" + elastic.MetricDataset(m.Name()); !strings.HasPrefix(stream, want) {
							t.Errorf("stream %s of %s", stream, m.Name())
						}
						if mode == elastic.ECS {
							for path := range flat("", doc, map[string]any{}) {
								if !known[path] && !strings.HasPrefix(path, "labels.") {
									t.Errorf("%s is not in the template", path)
								}
							}
						}
						var want string
						switch m.Name() {
						case "system.cpu.utilization":
							want = `{"name":"system.cpu.utilization","unit":"1","type":"gauge","value":0.25}`
						case "latency":
							want = `{"name":"latency","type":"histogram","count":4,"sum":10,"value":2.5,"min":1,"max":4,"bounds":[2],"counts":[1,3]}`
						case "latency.exponential":
							want = `{"name":"latency.exponential","type":"exponential_histogram","count":3,"sum":6,"value":2,"bounds":[-1,0,4],"counts":[1,1,1]}`
						case "latency.summary":
							want = `{"name":"latency.summary","type":"summary","count":2,"sum":3,"value":1.5,"quantiles":[0.5],"quantile_values":[1.5]}`
						default:
							return
						}
						var w map[string]any
						_ = json.Unmarshal([]byte(want), &w)
						if diff := cmp.Diff(w, metric); diff != "" {
							t.Error(diff)
						}
					})
				}
			}
		}
		if len(got) != 6 {
			t.Errorf("%s: %d documents: %v", mode, len(got), slices.Collect(maps.Keys(got)))
		}
	}
}

// Whatever a record holds, its lines are two and valid, and no object has a key twice.
func FuzzDocument(f *testing.F) {
	f.Add("network.flow", "source.address", "10.0.0.1", "flow.src_mac", "00:11:22:33:44:55", int64(7))
	f.Add("threat.report", "threat.technique.ics", "\x00", "..", "x", int64(-1))
	f.Add("", "a.b", "\xff", "a_b", "", int64(0))
	f.Fuzz(func(t *testing.T, event, k1, v1, k2, v2 string, n int64) {
		for _, mode := range []elastic.Mode{elastic.ECS, elastic.OTel} {
			document(t, mode, map[string]any{k1: v2, k2: n}, func(lr plog.LogRecord) {
				lr.SetEventName(event)
				lr.SetTimestamp(pcommon.Timestamp(n))
				lr.Attributes().PutStr(k1, v1)
				lr.Attributes().PutStr(k2, v2)
				lr.Attributes().PutInt(k1+k2, n)
				lr.Attributes().PutEmptySlice(k2 + k1).AppendEmpty().SetStr(v1)
				lr.Body().SetStr(v2)
			})
		}
	})
}

// BenchmarkEncode encodes a flow with its action and its id, and BenchmarkMarshal has encoding/json
// make the very same document out of maps that are there already.
func BenchmarkEncode(b *testing.B) {
	for _, mode := range []elastic.Mode{elastic.ECS, elastic.OTel} {
		lr, e := benchmarkRecord(mode)
		b.Run(string(mode), func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = e.appendRecord(buf[:0], lr)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkMarshal(b *testing.B) {
	for _, mode := range []elastic.Mode{elastic.ECS, elastic.OTel} {
		lr, e := benchmarkRecord(mode)
		_, _, doc := parse(b, e.appendRecord(nil, lr))
		b.Run(string(mode), func(b *testing.B) {
			var buf bytes.Buffer
			enc := json.NewEncoder(io.Writer(&buf))
			b.ReportAllocs()
			for b.Loop() {
				buf.Reset()
				if err := enc.Encode(doc); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(buf.Len()))
		})
	}
}

func benchmarkRecord(mode elastic.Mode) (plog.LogRecord, *encoder) {
	lr := plog.NewLogRecord()
	flatjsontest.Usual(lr)
	r := pcommon.NewMap()
	r.PutStr("host.name", "edge-1")
	e := newEncoder(mode, "default")
	e.setScope(r, pcommon.NewInstrumentationScope())
	return lr, e
}

// Names that become one are told apart in a time that does not grow with their cube.
func TestLabelsThatCollide(t *testing.T) {
	const bits = 11
	lr := plog.NewLogRecord()
	for n := range 1 << bits {
		name := []byte("a")
		for b := range bits {
			name = append(name, "_."[n>>b&1], 'a')
		}
		lr.Attributes().PutInt(string(name), 1)
	}
	e := newEncoder(elastic.ECS, "default")
	document := e.appendRecord(nil, lr)
	distinct := map[string]bool{}
	for _, k := range e.keys {
		distinct[k] = true
	}
	if len(distinct) != 1<<bits || len(document) > 500_000 {
		t.Errorf("%d names, %d bytes", len(distinct), len(document))
	}
}

// A server that takes connections and says nothing does not hold up the end.
func TestSilentServer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(done)
	f := NewFactory()
	cfg := f.CreateDefaultConfig().(*Config)
	cfg.Endpoints = []string{s.URL}
	e, err := f.CreateLogs(t.Context(), exportertest.NewNopSettings(f.Type()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		ld := plog.NewLogs()
		records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for range 2000 {
			records.AppendEmpty().Body().SetStr("x")
		}
		if err := e.ConsumeLogs(t.Context(), ld); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() {
		_ = e.Shutdown(context.Background())
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute): // each request's own limit is 30 s, and there would be 18 in turn
		t.Error("it does not end")
	}
}
