package elasticsearchexporter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/exporter/elasticsearchexporter/internal/metadata"
	"github.com/monban/monban/internal/flatjson/flatjsontest"
)

// bulkServer answers bulk requests as a test says and remembers what it has. What real servers do
// is tested with real ones in testbed/outlets; this is for answers that those give seldom.
type bulkServer struct {
	*httptest.Server
	mu       sync.Mutex
	docs     map[string]string // by stream and id
	requests int
	limit    int // of a request's bytes, 0 for none
	whole    func(w http.ResponseWriter, n int) bool
	item     func(stream, doc string) (status int, reason string)
	header   http.Header
}

func newBulkServer(t *testing.T) *bulkServer {
	s := &bulkServer{docs: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *bulkServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/" {
		_, _ = io.WriteString(w, `{"version":{"number":"9.1.0"}}`)
		return
	}
	s.requests++
	s.header = r.Header
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	b, _ := io.ReadAll(body)
	if s.limit > 0 && len(b) > s.limit {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if s.whole != nil {
		n := s.requests
		s.mu.Unlock() // it may take its time
		done := s.whole(w, n)
		s.mu.Lock()
		if done {
			return
		}
	}
	var items []string
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
		_ = json.Unmarshal(lines.Bytes(), &action)
		lines.Scan()
		status, reason, key := 201, "", action.Create.Index+"/"+action.Create.ID
		if s.item != nil {
			status, reason = s.item(action.Create.Index, lines.Text())
		}
		if s.docs[key] != "" {
			status = 409
		}
		if status == 201 {
			s.docs[key] = lines.Text()
			items = append(items, `{"create":{"status":201}}`)
		} else {
			items = append(items, fmt.Sprintf(`{"create":{"status":%d,"error":{"type":"some_exception","reason":%q}}}`, status, reason))
		}
	}
	_, _ = io.WriteString(w, `{"errors":true,"items":[`+strings.Join(items, ",")+`]}`)
}

func (s *bulkServer) count(stream string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.docs {
		if strings.HasPrefix(k, stream) {
			n++
		}
	}
	return n
}

// push gives the exporter's own function, without queue and retries, and its counters.
func push(t *testing.T, s *bulkServer, change func(*Config)) (*elasticExporter, *componenttest.Telemetry, *observer.ObservedLogs) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints, cfg.Template = []string{s.URL}, templateOff
	if change != nil {
		change(cfg)
	}
	require.NoError(t, xconfmap.Validate(cfg))
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	core, logs := observer.New(zap.InfoLevel)
	set := exporter.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: tel.NewTelemetrySettings()}
	set.Logger = zap.New(core)
	e, err := newExporter(cfg, set)
	require.NoError(t, err)
	require.NoError(t, e.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.shutdown(context.Background())) })
	return e, tel, logs
}

// some makes n records of two resources.
func some(n int) plog.Logs {
	ld := plog.NewLogs()
	for r := range 2 {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutInt("resource", int64(r))
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := r; i < n; i += 2 {
			lr := records.AppendEmpty()
			flatjsontest.Usual(lr)
			lr.Attributes().PutInt("n", int64(i))
		}
	}
	return ld
}

func outcomesOf(t *testing.T, tel *componenttest.Telemetry) map[string]int64 {
	t.Helper()
	m, err := tel.GetMetric("otelcol_elasticsearch_documents")
	require.NoError(t, err)
	counts := map[string]int64{}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		o, _ := p.Attributes.Value("outcome")
		counts[o.AsString()] = p.Value
	}
	return counts
}

func TestPartsAreSentAgain(t *testing.T) {
	s := newBulkServer(t)
	e, tel, _ := push(t, s, nil)
	s.item = func(_, doc string) (int, string) {
		for _, n := range []string{`"n":"3"`, `"n":"4"`, `"n":"9"`} {
			if strings.Contains(doc, n) {
				return 429, "busy"
			}
		}
		return 201, ""
	}
	err := e.pushLogs(t.Context(), some(10))
	var partly consumererror.Logs
	require.ErrorAs(t, err, &partly)
	assert.Contains(t, err.Error(), "busy")
	assert.Equal(t, 3, partly.Data().LogRecordCount())
	assert.Equal(t, 7, s.count(""))
	s.item = nil
	require.NoError(t, e.pushLogs(t.Context(), partly.Data()))
	assert.Equal(t, 10, s.count(""))
	require.NoError(t, e.pushLogs(t.Context(), some(10)))
	assert.Equal(t, 10, s.count(""), "a repeat is not a double")
	assert.Equal(t, map[string]int64{"created": 10, "later": 3, "exists": 10}, outcomesOf(t, tel))
}

func TestDataPointsAreSentAgain(t *testing.T) {
	s := newBulkServer(t)
	e, _, _ := push(t, s, nil)
	s.item = func(_, doc string) (int, string) {
		if strings.Contains(doc, `"name":"latency"`) || strings.Contains(doc, `"value":1,`) || strings.Contains(doc, `"value":1}`) {
			return 503, "ill"
		}
		return 201, ""
	}
	err := e.pushMetrics(t.Context(), someMetrics())
	var partly consumererror.Metrics
	require.ErrorAs(t, err, &partly)
	assert.Equal(t, 2, partly.Data().DataPointCount())
	s.item = nil
	require.NoError(t, e.pushMetrics(t.Context(), partly.Data()))
	assert.Equal(t, 6, s.count("metrics-"))
}

func TestTooLargeGoesInHalves(t *testing.T) {
	s := newBulkServer(t)
	s.limit = 10_000
	e, tel, _ := push(t, s, nil)
	ld := some(50)
	huge := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty()
	huge.SetEventName("huge")
	huge.Body().SetStr(strings.Repeat("x", 20_000))
	require.NoError(t, e.pushLogs(t.Context(), ld))
	assert.Equal(t, 50, s.count("logs-monban.flow-"))
	assert.Equal(t, 1, s.count("logs-monban.deadletter-default"))
	assert.Equal(t, map[string]int64{"created": 50, "dead_letter": 1}, outcomesOf(t, tel))
}

func TestWaitsAsTold(t *testing.T) {
	for _, status := range []int{429, 503} {
		s := newBulkServer(t)
		e, _, logs := push(t, s, nil)
		s.whole = func(w http.ResponseWriter, _ int) bool {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			return true
		}
		err := e.pushLogs(t.Context(), some(4))
		require.ErrorContains(t, err, "Throttle (7s)")
		assert.False(t, consumererror.IsPermanent(err))
		require.Error(t, e.pushLogs(t.Context(), some(4)))
		assert.Equal(t, 1, logs.FilterMessageSnippet("for the time being").Len(), "once a minute")
		s.whole = nil
		require.NoError(t, e.pushLogs(t.Context(), some(4)))
		assert.Equal(t, 1, logs.FilterMessageSnippet("works again").Len())
	}
}

// Nothing that only a person can mend makes records be given up.
func TestNothingIsPermanent(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 500, 502, 504} {
		s := newBulkServer(t)
		e, _, _ := push(t, s, nil)
		s.whole = func(w http.ResponseWriter, _ int) bool { w.WriteHeader(status); return true }
		err := e.pushLogs(t.Context(), some(4))
		require.Error(t, err)
		assert.False(t, consumererror.IsPermanent(err), status)
		var partly consumererror.Logs
		assert.False(t, errors.As(err, &partly), "all of it")
	}
}

func TestDeadLetters(t *testing.T) {
	s := newBulkServer(t)
	e, tel, logs := push(t, s, nil)
	letterStatus := 201
	s.item = func(stream, doc string) (int, string) {
		if strings.HasPrefix(stream, "logs-monban.deadletter") {
			return letterStatus, "no room"
		}
		if strings.Contains(doc, `"n":"3"`) {
			return 400, "failed to parse field [x]"
		}
		return 201, ""
	}
	require.NoError(t, e.pushLogs(t.Context(), some(10)))
	assert.Equal(t, 9, s.count("logs-monban.flow-"))
	require.Equal(t, 1, s.count("logs-monban.deadletter-"))
	for k, doc := range s.docs {
		if strings.HasPrefix(k, "logs-monban.deadletter") {
			var letter struct {
				Event struct{ ID, Original string }
				Error struct{ Type, Message, Code string }
			}
			require.NoError(t, json.Unmarshal([]byte(doc), &letter))
			assert.True(t, strings.HasSuffix(k, letter.Event.ID))
			assert.Equal(t, "failed to parse field [x]", letter.Error.Message)
			assert.True(t, json.Valid([]byte(letter.Event.Original)), letter.Event.Original)
			assert.Contains(t, letter.Event.Original, `"n":"3"`)
		}
	}
	assert.Equal(t, 1, logs.FilterMessageSnippet("went to the dead letters").Len())

	letterStatus = 429 // a dead letter that can't be sent now is no reason to lose the record
	s.docs = map[string]string{}
	err := e.pushLogs(t.Context(), some(10))
	var partly consumererror.Logs
	require.ErrorAs(t, err, &partly)
	assert.Equal(t, 1, partly.Data().LogRecordCount())
	letterStatus = 400
	require.NoError(t, e.pushLogs(t.Context(), partly.Data()))
	assert.Equal(t, 1, logs.FilterMessageSnippet("it is lost").Len())
	assert.Equal(t, map[string]int64{"created": 18, "dead_letter": 1, "later": 1, "lost": 1}, outcomesOf(t, tel))
}

// A batch that is larger than a request goes in several.
func TestSeveralRequests(t *testing.T) {
	s := newBulkServer(t)
	e, _, _ := push(t, s, func(c *Config) { c.Bulk.MaxBytes = 4096 })
	require.NoError(t, e.pushLogs(t.Context(), some(100)))
	assert.Equal(t, 100, s.count(""))
	assert.Greater(t, s.requests, 20)
}

func TestAuthorization(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Config)
	}{
		{"Basic bW9uYmFuOnNlY3JldA==", func(c *Config) { c.User, c.Password = "monban", "secret" }},
		{"ApiKey aWQ6a2V5", func(c *Config) { c.APIKey = "id:key" }},
		{"ApiKey aWQ6a2V5", func(c *Config) { c.APIKey = "aWQ6a2V5" }},
		{"Bearer token", func(c *Config) { c.BearerToken = "token" }},
		{"", nil},
	} {
		s := newBulkServer(t)
		e, _, _ := push(t, s, c.change)
		require.NoError(t, e.pushLogs(t.Context(), some(1)))
		assert.Equal(t, c.want, s.header.Get("Authorization"))
		assert.NotContains(t, fmt.Sprint(*e.cfg), "secret")
	}
}

// The whole exporter with queue and retries: a server that is away at first gets everything.
func TestQueueAndRetries(t *testing.T) {
	s := newBulkServer(t)
	s.whole = func(w http.ResponseWriter, n int) bool {
		if n < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n < 4
	}
	f := NewFactory()
	cfg := f.CreateDefaultConfig().(*Config)
	cfg.Endpoints, cfg.Template = []string{s.URL}, templateOff
	cfg.RetryConfig.InitialInterval, cfg.RetryConfig.MaxInterval = 1, 1
	cfg.QueueConfig.Get().Batch = configoptional.None[exporterhelper.BatchConfig]()
	set := exporter.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	e, err := f.CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	for i := range 10 {
		ld := some(10)
		ld.ResourceLogs().At(0).Resource().Attributes().PutInt("call", int64(i))
		ld.ResourceLogs().At(1).Resource().Attributes().PutInt("call", int64(i))
		require.NoError(t, e.ConsumeLogs(t.Context(), ld))
	}
	// what is in memory while the server is away does not outlive the exporter, so wait
	require.Eventually(t, func() bool { return s.count("") == 100 }, 20*time.Second, time.Millisecond)
	require.NoError(t, e.Shutdown(t.Context()))
}

// A server that is slow, but answers, gets all that is in memory, however long that takes; one that does not
// answer holds up the end for the grace alone.
func TestEndWaitsForAnswers(t *testing.T) {
	defer func(old time.Duration) { shutdownGrace = old }(shutdownGrace)
	shutdownGrace = time.Second
	ends := func(t *testing.T, answer func(n int) bool) (arrived int, took time.Duration) {
		s := newBulkServer(t)
		s.whole = func(_ http.ResponseWriter, n int) bool { return answer(n) }
		f := NewFactory()
		cfg := f.CreateDefaultConfig().(*Config)
		cfg.Endpoints, cfg.Template, cfg.ClientConfig.Timeout = []string{s.URL}, templateOff, time.Second
		cfg.QueueConfig.Get().NumConsumers, cfg.QueueConfig.Get().Batch = 1, configoptional.None[exporterhelper.BatchConfig]()
		e, err := f.CreateLogs(t.Context(), exporter.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()}, cfg)
		require.NoError(t, err)
		require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
		for i := range 40 {
			ld := some(10)
			ld.ResourceLogs().At(0).Resource().Attributes().PutInt("call", int64(i))
			ld.ResourceLogs().At(1).Resource().Attributes().PutInt("call", int64(i))
			require.NoError(t, e.ConsumeLogs(t.Context(), ld))
		}
		at := time.Now()
		require.NoError(t, e.Shutdown(t.Context()))
		return s.count(""), time.Since(at)
	}
	arrived, took := ends(t, func(int) bool { time.Sleep(50 * time.Millisecond); return false })
	require.Equal(t, 400, arrived)
	require.Greater(t, took, shutdownGrace) // or it shows nothing
	arrived, took = ends(t, func(n int) bool {
		if n > 1 {
			time.Sleep(3 * time.Second)
		}
		return n > 1
	})
	require.Less(t, arrived, 400)
	require.Less(t, took, 20*time.Second) // 40 calls of three tries of a second each would be two minutes
}

// At the end of a run in which the server answered late, what is in memory is sent nevertheless.
func TestEndIsPatient(t *testing.T) {
	s := newBulkServer(t)
	e, _, _ := push(t, s, nil)
	defer func(old []time.Duration) { pauses = old }(pauses)
	pauses = []time.Duration{1, 1}
	s.item = func(_, doc string) (int, string) {
		if strings.Contains(doc, `"n":"3"`) && s.requests < 3 {
			return 429, "busy"
		}
		return 201, ""
	}
	require.NoError(t, e.logs(t.Context(), some(10)))
	assert.Equal(t, 10, s.count(""))
	assert.Equal(t, 3, s.requests)
	s.item = func(_, doc string) (int, string) {
		if strings.Contains(doc, `"value":0.25`) {
			return 429, "busy"
		}
		return 201, ""
	}
	var part consumererror.Metrics
	require.ErrorAs(t, e.metrics(t.Context(), someMetrics()), &part)
	assert.Equal(t, 1, part.Data().DataPointCount())
	assert.Equal(t, 5, s.count("metrics-"))
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"an address", "endpoints: [http://127.0.0.1:9200]", ""},
		{"the other name", "endpoint: https://elastic.example:9200", ""},
		{"stock options", "{endpoint: 'http://a:1', timeout: 5s, sending_queue: {queue_size: 10, batch: {min_size: 1}}, retry_on_failure: {enabled: false}, tls: {insecure_skip_verify: true}, compression: zstd}", ""},
		{"none", "{}", "endpoints must be set"},
		{"both", "{endpoint: 'http://a:1', endpoints: ['http://a:1']}", "can't be set together"},
		{"no address", "endpoint: elastic:9200", "is not an address like"},
		{"a password in the address", "endpoint: http://u:p@a:1", "not logged"},
		{"two ways in", "{endpoint: 'http://a:1', user: u, password: p, api_key: k}", "only one of"},
		{"half a way in", "{endpoint: 'http://a:1', user: u}", "user and password must be set together"},
		{"namespace", "{endpoint: 'http://a:1', namespace: A-b}", "namespace must be in lower case"},
		{"mode", "{endpoint: 'http://a:1', mapping: {mode: raw}}", "mapping::mode must be ecs or otel"},
		{"template", "{endpoint: 'http://a:1', template: maybe}", "template must be install, require or off"},
		{"retention", "{endpoint: 'http://a:1', retention: 1s}", "retention must be an hour"},
		{"bulk", "{endpoint: 'http://a:1', bulk: {max_bytes: 1}}", "bulk::max_bytes"},
		{"compression", "{endpoint: 'http://a:1', compression: snappy}", "compression must be gzip"},
		{"an option that is not there", "{endpoint: 'http://a:1', index: x}", "index"},
	} {
		t.Run(c.name, func(t *testing.T) {
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(c.yaml))
			require.NoError(t, err)
			conf, err := retrieved.AsConf()
			require.NoError(t, err)
			cfg := NewFactory().CreateDefaultConfig()
			if err = conf.Unmarshal(cfg); err == nil {
				err = xconfmap.Validate(cfg)
			}
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}
