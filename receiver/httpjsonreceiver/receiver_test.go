package httpjsonreceiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/bearertokenauthextension"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/receiver/httpjsonreceiver/internal/metadata"
)

const rules = `
metrics:
  - {name: inverter.power, unit: W, description: AC power, path: $.ac.power, scale: 0.1}
  - {name: inverter.state, unit: "1", path: $.ac.state, values: {running: 1, "off": 0}}
  - {name: inverter.energy, unit: Wh, type: sum, path: $.ac.energy}
  - {name: inverter.phase.voltage, unit: V, each: "$.phases[*]", path: $.v, attributes: {phase: $.name}}
logs:
  - {event_name: device.alarm, severity: warn, each: "$.alarms[*]", body: $.text, attributes: {alarm.code: $.code}}
`

const answer = `{"ac": {"power": 15205, "state": "running", "energy": 12}, "phases": [{"name": "L1", "v": 230.5}, {"name": "L2", "v": "?"}],
 "alarms": [{"code": 7, "text": "fan"}, {"code": 9, "text": {"de": "heiß"}}]}`

type host struct {
	ext map[component.ID]component.Component
	mu  sync.Mutex
	all []string
}

func (h *host) GetExtensions() map[component.ID]component.Component { return h.ext }

func (h *host) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, fmt.Sprint(e.Status(), " ", e.Err()))
}

func (h *host) statuses() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.all, "\n")
}

// polling is a receiver that polls, with what came of it.
type polling struct {
	*host
	metrics *consumertest.MetricsSink
	logs    *consumertest.LogsSink
	said    *observer.ObservedLogs
	tel     *componenttest.Telemetry
	stop    func()
}

func configOf(t *testing.T, yaml string) *Config {
	t.Helper()
	r, err := confmap.NewRetrievedFromYAML([]byte(yaml))
	require.NoError(t, err)
	conf, err := r.AsConf()
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, conf.Unmarshal(cfg))
	return cfg
}

func start(t *testing.T, yaml string, next consumer.Logs, change func(*Config), ext map[component.ID]component.Component) *polling {
	t.Helper()
	cfg := configOf(t, yaml)
	require.NoError(t, xconfmap.Validate(cfg))
	cfg.Interval = 30 * time.Millisecond
	if change != nil {
		change(cfg)
	}
	p := &polling{host: &host{ext: ext}, metrics: new(consumertest.MetricsSink), logs: new(consumertest.LogsSink), tel: componenttest.NewTelemetry()}
	core, said := observer.New(zap.DebugLevel)
	p.said = said
	set := receiver.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: p.tel.NewTelemetrySettings(), BuildInfo: component.BuildInfo{Command: "monban", Version: "1"}}
	set.Logger = zap.New(core)
	if next == nil {
		next = p.logs
	}
	f := NewFactory()
	l, err := f.CreateLogs(t.Context(), set, cfg, next)
	require.NoError(t, err)
	m, err := f.CreateMetrics(t.Context(), set, cfg, p.metrics)
	require.NoError(t, err)
	for _, c := range []component.Component{l, m} {
		require.NoError(t, c.Start(t.Context(), p))
	}
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			for _, c := range []component.Component{l, m} {
				require.NoError(t, c.Shutdown(context.Background()))
			}
			require.Empty(t, pollers.of)
			require.NoError(t, p.tel.Shutdown(context.Background()))
		})
	}
	t.Cleanup(p.stop)
	return p
}

// counter gives a metric's values, each as target, reason and value.
func (p *polling) counter(t *testing.T, name string) string {
	t.Helper()
	m, err := p.tel.GetMetric("otelcol_" + name)
	if err != nil {
		return "" // not counted yet
	}
	var points []metricdata.DataPoint[int64]
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		points = d.DataPoints
	case metricdata.Gauge[int64]:
		points = d.DataPoints
	}
	var out []string
	for _, dp := range points {
		target, _ := dp.Attributes.Value("target")
		why, _ := dp.Attributes.Value("reason")
		out = append(out, fmt.Sprintf("%s %s %d;", target.AsString(), why.AsString(), dp.Value))
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 20*time.Second, 5*time.Millisecond, what)
}

func TestPolls(t *testing.T) {
	var polls atomic.Int64
	var body atomic.Pointer[string]
	set := func(s string) { body.Store(&s) }
	set(answer)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		polls.Add(1)
		if r.Header.Get("User-Agent") != "monban/1" || r.Header.Get("X-Key") != "k" || r.URL.RawQuery != "a=b" {
			http.Error(w, "who are you", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, *body.Load())
	}))
	defer server.Close()
	p := start(t, "targets: [{name: inv-1, endpoint: '"+server.URL+"/s.json?a=b', headers: {X-Key: k}, attributes: {device.id: 'aa:bb', server.address: liar}}]\nobserver: box\n"+rules, nil, nil, nil)
	eventually(t, "polls", func() bool { return len(p.metrics.AllMetrics()) >= 3 })
	set(strings.Replace(answer, `"code": 7`, `"code": 8`, 1))
	eventually(t, "an alarm", func() bool { return p.logs.LogRecordCount() == 3 })
	n := len(p.metrics.AllMetrics())
	eventually(t, "two polls more", func() bool { return len(p.metrics.AllMetrics()) >= n+2 })
	p.stop()
	assert.InDelta(t, len(p.metrics.AllMetrics()), polls.Load(), 1, "both pipelines have the same polls")

	rm := p.metrics.AllMetrics()[0].ResourceMetrics().At(0)
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	a := rm.Resource().Attributes().AsRaw()
	assert.Equal(t, port, fmt.Sprint(a["server.port"]))
	delete(a, "server.port")
	assert.Equal(t, map[string]any{"device.id": "aa:bb", "host.name": "box", "http_json.target": "inv-1", "server.address": host}, a)
	var got []string
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		var dps pmetric.NumberDataPointSlice
		kind := "gauge"
		if m.Type() == pmetric.MetricTypeSum {
			dps = m.Sum().DataPoints()
			kind = fmt.Sprint("sum ", m.Sum().IsMonotonic(), m.Sum().AggregationTemporality())
		} else {
			dps = m.Gauge().DataPoints()
		}
		for _, dp := range dps.All() {
			got = append(got, fmt.Sprint(m.Name(), " ", m.Unit(), " ", kind, " ", dp.DoubleValue(), dp.Attributes().AsRaw()))
		}
	}
	assert.Equal(t, []string{
		"inverter.power W gauge 1520.5 map[]", "inverter.state 1 gauge 1 map[]", "inverter.energy Wh sum true Cumulative 12 map[]", "inverter.phase.voltage V gauge 230.5 map[phase:L1]",
	}, got)
	var told []string
	for _, ld := range p.logs.AllLogs() {
		for _, lr := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			told = append(told, fmt.Sprint(lr.EventName(), " ", lr.SeverityNumber(), " ", lr.Body().AsString(), lr.Attributes().AsRaw()))
		}
	}
	assert.Equal(t, []string{"device.alarm Warn fanmap[alarm.code:7]", `device.alarm Warn {"de":"heiß"}map[alarm.code:9]`, "device.alarm Warn fanmap[alarm.code:8]"}, told)
}

// TestFaults lets a device do what devices do. The reason is counted and said once, and a good answer heals.
func TestFaults(t *testing.T) {
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen.Add(1)
		fmt.Fprint(w, answer)
	}))
	defer thief.Close()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(bytes.Repeat([]byte("["), 50<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	quit := make(chan struct{})
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    reason
		says    string
	}{
		"status":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, status, "500 Internal"},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, status, "204"},
		"empty":      {func(http.ResponseWriter, *http.Request) {}, notJSON, "no JSON"},
		"a page":     {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, notJSON, "no JSON"},
		"half":       {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer[:50]) }, notJSON, "no JSON"},
		"two":        {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}{}") }, notJSON, "something follows"},
		"deep":       {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("[", 60_000)) }, notJSON, "no JSON"},
		"huge":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 65<<10)) }, tooLarge, "longer than 64 KiB"},
		"endless":    {func(w http.ResponseWriter, _ *http.Request) { endless(w) }, tooLarge, "longer than 64 KiB"},
		"packed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}, tooLarge, "longer than 64 KiB"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { hang(r, quit) }, timeout, ""},
		"dripping": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "{")
			w.(http.Flusher).Flush()
			hang(r, quit)
		}, timeout, "reading the answer"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			fmt.Fprint(w, "{")
		}, connection, "unexpected EOF"},
		"another host": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL, http.StatusFound) }, redirected, "to another host"},
		"another port": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"0/", http.StatusFound)
		}, redirected, "to another host"},
		"round": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }, redirected, "more than 3 times"},
		"no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := http.NewResponseController(w).Hijack()
			fmt.Fprint(c, "SSH-2.0\r\n")
			c.Close()
		}, connection, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			var good atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if good.Load() {
					fmt.Fprint(w, answer)
					return
				}
				c.handler(w, r)
			}))
			defer server.Close()
			limit := "30s"
			if c.want == timeout {
				limit = "200ms"
			}
			p := start(t, "max_body_kib: 64\ntargets: [{name: plc, endpoint: '"+server.URL+"/?token=S3CRET', headers: {Authorization: Bearer S3CRET}, timeout: "+limit+"}]\n"+rules, nil, nil, nil)
			eventually(t, "it is said", func() bool { return p.said.FilterMessage("A poll came to nothing").Len() > 0 })
			first := p.said.FilterMessage("A poll came to nothing").All()[0].ContextMap()
			assert.Equal(t, string(c.want), first["reason"])
			assert.Contains(t, first["error"], c.says)
			assert.Contains(t, p.statuses(), "polls come to nothing: plc ("+string(c.want)+")")
			eventually(t, "it is counted again", func() bool {
				return !strings.Contains(p.counter(t, "http_json_failures"), "Value:1 ") && p.counter(t, "http_json_failures") != ""
			})
			assert.Equal(t, 1, p.said.FilterMessage("A poll came to nothing").Len(), "said once")
			assert.Contains(t, p.counter(t, "http_json_failures"), string(c.want))
			assert.Contains(t, p.counter(t, "http_json_up"), "plc  0;")
			assert.Zero(t, p.metrics.DataPointCount())
			good.Store(true)
			eventually(t, "it heals", func() bool {
				return p.metrics.DataPointCount() > 0 && strings.Contains(p.counter(t, "http_json_up"), "plc  1;")
			})
			eventually(t, "that is said", func() bool { return strings.HasSuffix(p.statuses(), "StatusOK <nil>") })
			for _, e := range p.said.All() {
				assert.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), "S3CRET")
			}
			assert.NotContains(t, p.statuses(), "S3CRET")
		})
	}
	close(quit)
	assert.Zero(t, stolen.Load(), "another host got the credentials")
}

func hang(r *http.Request, quit chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-quit:
	}
}

func endless(w http.ResponseWriter) {
	for {
		if _, err := w.Write(bytes.Repeat([]byte("1"), 1<<16)); err != nil {
			return
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	p := start(t, "targets: [{name: plc, endpoint: 'http://"+addr+"'}]\n"+rules, nil, nil, nil)
	eventually(t, "it is said", func() bool { return strings.Contains(p.statuses(), "plc (connection)") })
}

// A device that is switched off and on again is asked again, on new connections.
func TestSwitchedOffAndOn(t *testing.T) {
	serve := func(addr string) (*http.Server, string) {
		var l net.Listener
		eventually(t, "the address is free", func() bool {
			var err error
			l, err = net.Listen("tcp", addr)
			return err == nil
		})
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })}
		go func() { _ = s.Serve(l) }()
		return s, l.Addr().String()
	}
	device, addr := serve("127.0.0.1:0")
	p := start(t, "targets: [{name: plc, endpoint: 'http://"+addr+"'}]\n"+rules, nil, nil, nil)
	eventually(t, "it answers", func() bool { return p.metrics.DataPointCount() > 0 })
	require.NoError(t, device.Close())
	eventually(t, "it is gone", func() bool { return strings.Contains(p.statuses(), "plc (connection)") })
	n := p.metrics.DataPointCount()
	device, _ = serve(addr)
	defer device.Close()
	eventually(t, "it answers again", func() bool {
		return p.metrics.DataPointCount() > n && strings.HasSuffix(p.statuses(), "StatusOK <nil>")
	})
	assert.Equal(t, 2, p.logs.LogRecordCount(), "its alarms were told before")
}

// TestTLSAndBearer asks a server with TLS that wants a token, as the bearer token extension sends it.
func TestTLSAndBearer(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer S3CRET" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	ef := bearertokenauthextension.NewFactory()
	ecfg := ef.CreateDefaultConfig().(*bearertokenauthextension.Config)
	ecfg.BearerToken = "S3CRET"
	ext, err := ef.Create(t.Context(), extensiontest.NewNopSettings(ef.Type()), ecfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, ext.Shutdown(context.Background())) }()
	extensions := map[component.ID]component.Component{component.NewID(ef.Type()): ext}

	p := start(t, "targets: [{name: plc, endpoint: '"+server.URL+"', tls: {ca_file: "+ca+"}, auth: {authenticator: bearertokenauth}}]\n"+rules, nil, nil, extensions)
	eventually(t, "it answers", func() bool { return p.metrics.DataPointCount() > 0 })
	p.stop()
	for yaml, want := range map[string]string{
		"endpoint: '" + server.URL + "', auth: {authenticator: bearertokenauth}":                                   "plc (tls)", // an authority nobody knows
		"endpoint: '" + server.URL + "', tls: {ca_file: " + ca + "}":                                               "plc (status)",
		"endpoint: '" + strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "', tls: {ca_file: " + ca + "}": "plc (tls)", // another name
		"endpoint: 'https://" + plain(t) + "', tls: {ca_file: " + ca + "}":                                         "plc (tls)",
	} {
		p := start(t, "targets: [{name: plc, "+yaml+"}]\n"+rules, nil, nil, extensions)
		eventually(t, want, func() bool { return strings.Contains(p.statuses(), want) })
		p.stop()
	}
	cfg := configOf(t, "targets: [{name: plc, endpoint: '"+server.URL+"', auth: {authenticator: nobody}}]\n"+rules)
	r, err := NewFactory().CreateMetrics(t.Context(), receiver.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()}, cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(t.Context(), &host{}), "target plc: ")
	require.NoError(t, r.Shutdown(t.Context()))
}

// plain is a server without TLS.
func plain(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestRedirectOnItsOwnHost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/status.json", http.StatusMovedPermanently)
			return
		}
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	p := start(t, "targets: [{name: plc, endpoint: '"+server.URL+"'}]\n"+rules, nil, nil, nil)
	eventually(t, "it answers", func() bool { return p.metrics.DataPointCount() > 0 })
	p.stop()
	p = start(t, "max_redirects: 0\ntargets: [{name: plc, endpoint: '"+server.URL+"'}]\n"+rules, nil, nil, nil)
	eventually(t, "it does not", func() bool { return strings.Contains(p.statuses(), "plc (redirect)") })
}

// What the pipeline refused is told again, and counted as refused; the device is up.
func TestRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
	defer server.Close()
	sink := new(consumertest.LogsSink)
	var full atomic.Bool
	full.Store(true)
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if full.Load() {
			return errors.New("full")
		}
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	p := start(t, "targets: [{name: plc, endpoint: '"+server.URL+"'}]\n"+rules, next, nil, nil)
	eventually(t, "it is refused", func() bool { return strings.Contains(p.counter(t, "http_json_failures"), "refused") })
	assert.Contains(t, p.counter(t, "http_json_up"), "plc  1;")
	full.Store(false)
	eventually(t, "it is told", func() bool { return sink.LogRecordCount() == 2 })
}

// Many slow devices are asked a few at once, and the end waits for none of them.
func TestManyAndTheEnd(t *testing.T) {
	var now, most, all atomic.Int64
	quit := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if all.Add(1) <= 20 {
			time.Sleep(5 * time.Millisecond)
			return
		}
		hang(r, quit)
	}))
	defer server.Close()
	defer close(quit)
	var b strings.Builder
	b.WriteString("max_concurrent: 3\ninterval: 1h\ntargets:\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  - {name: plc-%d, endpoint: '%s', timeout: 1h}\n", i, server.URL)
	}
	p := start(t, b.String()+rules, nil, nil, nil)
	eventually(t, "three hang", func() bool { return all.Load() >= 23 })
	begun := time.Now()
	p.stop()
	assert.Less(t, time.Since(begun), 30*time.Minute)
	assert.LessOrEqual(t, most.Load(), int64(3))
	assert.NotContains(t, p.statuses(), "timeout", "what the end cut off is no fault")
}

func TestMissing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ac": {"power": "much"}}`) }))
	defer server.Close()
	p := start(t, "targets: [{name: plc, endpoint: '"+server.URL+"'}]\n"+rules, nil, nil, nil)
	eventually(t, "it is counted", func() bool {
		c := p.counter(t, "http_json_values_missing")
		return strings.Contains(c, "no_number") && strings.Contains(c, "missing")
	})
	eventually(t, "the poll is one", func() bool { return strings.Contains(p.counter(t, "http_json_up"), "plc  1;") })
	assert.Zero(t, p.metrics.DataPointCount())
}

func TestValidate(t *testing.T) {
	cfg := configOf(t, `
interval: 10ms
jitter: 2
max_body_kib: 0
max_redirects: 11
max_items: 0
max_concurrent: 0
targets:
  - {name: a, endpoint: "http://h/"}
  - {name: a, endpoint: "ftp://h/"}
  - {name: "a b", endpoint: "http://u:p@h/"}
metrics:
  - {name: 1x, path: $.a, type: histogram}
  - {name: m, path: "$.a[*]", scale: 0}
  - {name: m, path: $..a, type: sum, attributes: {k: "$["}}
logs:
  - {severity: loud, each: x}
`)
	err := cfg.Validate()
	for _, want := range []string{
		"interval must be at least 1s", "jitter must be", "max_body_kib must be", "max_redirects must be", "max_items must be", "max_concurrent must be",
		"targets::1: there are two of the name a", "targets::1: endpoint must be a URL", "targets::2: name must be", "targets::2: endpoint must not have a user",
		"targets::0: timeout must be more than 0 and not more than interval", "metrics::0: name must be", `metrics::0: type must be gauge or sum, not "histogram"`,
		"metrics::1: scale must not be 0", "metrics::1: path: ", "several values", "metrics::2: m has another type or unit above", "looks everywhere", "attributes::k: ",
		"logs::0: event_name must be set", "logs::0: severity must be one of", "logs::0: each: ",
	} {
		require.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "u:p")
	require.ErrorContains(t, createDefaultConfig().(*Config).Validate(), "targets must have 1 to 1000 devices")
}
