package manifestextension

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/forwardconnector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/batchprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"

	"github.com/monban/monban/exporter/ndjsonexporter"
	"github.com/monban/monban/receiver/manifestreceiver"
)

// frail is a receiver that fares as the test tells it.
type frail struct {
	component.StartFunc
	component.ShutdownFunc
}

type frailConfig struct {
	Endpoint string         `mapstructure:"endpoint"`
	Password string         `mapstructure:"password"` // not opaque, as it should be
	Words    map[string]any `mapstructure:"words"`
}

func frailFactory(hosts chan component.Host) receiver.Factory {
	t := component.MustNewType("frail")
	return receiver.NewFactory(t, func() component.Config { return &frailConfig{} },
		receiver.WithLogs(func(context.Context, receiver.Settings, component.Config, consumer.Logs) (receiver.Logs, error) {
			return &frail{StartFunc: func(_ context.Context, h component.Host) error { hosts <- h; return nil }}, nil
		}, component.StabilityLevelStable))
}

const secretText = "vErYsEcReT0815"

func configuration(dir, endpoint string) string {
	return `yaml:
extensions:
  manifest: {endpoint: "` + endpoint + `", change_interval: 1s}
receivers:
  frail: {endpoint: "http://u:` + secretText + `@127.0.0.1:1/?token=` + secretText + `", password: ` + secretText + `, words: {a: 1}}
  manifest: {observer: box-1}
  otlp: {protocols: {http: {endpoint: "127.0.0.1:0", response_headers: {X-Key: ` + secretText + `}}}}
processors:
  batch: {timeout: 50ms}
connectors:
  forward:
exporters:
  ndjson: {directory: "` + dir + `"}
  otlp_grpc: {endpoint: "127.0.0.1:1", headers: {authorization: Bearer ` + secretText + `}}
  otlp_http: {endpoint: "http://u:` + secretText + `@127.0.0.1:1/?token=` + secretText + `", headers: {x: ` + secretText + `}}
service:
  extensions: [manifest]
  telemetry: {logs: {level: error}, metrics: {level: none}}
  pipelines:
    logs/in: {receivers: [otlp, frail], processors: [batch], exporters: [forward]}
    logs/away: {receivers: [otlp], exporters: [otlp_grpc, otlp_http]}
    logs/out: {receivers: [forward, manifest], exporters: [ndjson]}
`
}

// collect runs a real Collector until the test ends or stop is called.
func collect(t *testing.T, config string) (host component.Host, stop func()) {
	t.Helper()
	hosts := make(chan component.Host, 1)
	modules := map[component.Type]string{component.MustNewType("batch"): "example.com/batch v9"}
	col, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "monban", Version: "1.2.3"},
		Factories: func() (otelcol.Factories, error) {
			var f otelcol.Factories
			f.Telemetry = otelconftelemetry.NewFactory()
			var errs [5]error
			f.Receivers, errs[0] = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory(), manifestreceiver.NewFactory(), frailFactory(hosts))
			f.Processors, errs[1] = otelcol.MakeFactoryMap[processor.Factory](batchprocessor.NewFactory())
			f.Exporters, errs[2] = otelcol.MakeFactoryMap[exporter.Factory](ndjsonexporter.NewFactory(), otlpexporter.NewFactory(), otlphttpexporter.NewFactory())
			f.Connectors, errs[3] = otelcol.MakeFactoryMap[connector.Factory](forwardconnector.NewFactory())
			f.Extensions, errs[4] = otelcol.MakeFactoryMap[extension.Factory](NewFactory())
			f.ProcessorModules = modules
			f.ConnectorModules = map[component.Type]string{component.MustNewType("forward"): "example.com/forward v9"}
			return f, errors.Join(errs[:]...)
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{config}, ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
		DisableGracefulShutdown: true,
	})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- col.Run(context.Background()) }()
	select {
	case host = <-hosts:
	case err := <-ended:
		t.Fatalf("the Collector ended: %v", err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			col.Shutdown()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return host, stop
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// schemas compiles the published schemas; an unknown key is an error here, as they were made for our own.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	files, err := filepath.Glob("../../schema/collector.*.json")
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	ids := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		require.NoError(t, err)
		m := doc.(map[string]any)
		m["additionalProperties"] = false
		m["properties"].(map[string]any)["host.name"] = map[string]any{"type": "string"} // of the resource
		ids[m["title"].(string)] = m["$id"].(string)
		require.NoError(t, c.AddResource(m["$id"].(string), m))
	}
	all := map[string]*jsonschema.Schema{}
	for title, id := range ids {
		all[title], err = c.Compile(id)
		require.NoError(t, err)
	}
	require.Len(t, all, 6)
	return all
}

func validate(t *testing.T, s *jsonschema.Schema, b []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	require.NoError(t, err, string(b))
	require.NoError(t, s.Validate(v), string(b))
}

func get(t *testing.T, url, host string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Host = host
	r, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, b
}

func lines(t *testing.T, dir, name string) (all []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name+".ndjson"))
	if err != nil {
		return nil
	}
	for l := range bytes.Lines(b) {
		if !bytes.HasSuffix(l, []byte("\n")) {
			break // still being written
		}
		var m map[string]any
		require.NoError(t, json.Unmarshal(l, &m))
		all = append(all, m)
	}
	return all
}

// A real Collector tells what it is made of at the endpoint and as records, by the schemas, without a secret; and
// again what changed.
func TestRunningCollector(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	host, stop := collect(t, configuration(dir, addr))
	all := schemas(t)
	url := "http://" + addr + path

	require.Eventually(t, func() bool { return len(lines(t, dir, "processor_manifests")) > 0 }, 20*time.Second, 20*time.Millisecond)
	code, answer := get(t, url, "")
	require.Equal(t, http.StatusOK, code, string(answer))
	validate(t, all["collector.manifest"], answer)
	var doc struct {
		Orchestrator map[string]any
		Pipelines    []map[string]any
		DataSources  []map[string]any `json:"data_sources"`
		Definitions  []map[string]any `json:"processor_definitions"`
		Manifests    []map[string]any `json:"processor_manifests"`
	}
	require.NoError(t, json.Unmarshal(answer, &doc))
	assert.Equal(t, "monban", doc.Orchestrator["service.name"])
	assert.Equal(t, "1.2.3", doc.Orchestrator["service.version"])
	assert.Equal(t, []any{"frail", "manifest", "otlp"}, doc.Orchestrator["orchestrator.data_sources"])
	assert.Equal(t, []any{"batch", "forward"}, doc.Orchestrator["orchestrator.processors"])
	assert.Equal(t, []any{"ndjson", "otlp_grpc", "otlp_http"}, doc.Orchestrator["orchestrator.exporters"])
	assert.Equal(t, "ok", doc.Orchestrator["otelcol.health"])
	require.Len(t, doc.Pipelines, 3)
	assert.Equal(t, []any{"forward"}, doc.Pipelines[1]["otelcol.pipeline.exporters"])
	require.Len(t, doc.DataSources, 3)
	require.Len(t, doc.Definitions, 2)
	require.Len(t, doc.Manifests, 2)
	batch := doc.Manifests[0]
	assert.Equal(t, "example.com/batch", batch["otelcol.component.module"])
	assert.Equal(t, "v9", batch["otelcol.component.version"])
	assert.Contains(t, batch["otelcol.component.settings"], "timeout=50ms")
	assert.Contains(t, batch["otelcol.component.settings"], "send_batch_size=8192")
	assert.Equal(t, "ok", batch["otelcol.health"])
	assert.Equal(t, []any{"logs=Beta", "metrics=Beta", "traces=Beta"}, doc.Definitions[0]["otelcol.component.stability"])

	// The records are the same.
	counts := map[string]int{"orchestrator": 1, "pipelines": 3, "data_sources": 3, "processor_definitions": 2, "processor_manifests": 2}
	for file, n := range counts {
		assert.Len(t, lines(t, dir, file), n, file)
	}
	told := lines(t, dir, "processor_manifests")[0]
	assert.Equal(t, batch["otelcol.component.settings"], told["otelcol.component.settings"])
	assert.Equal(t, "box-1", told["host.name"])
	assert.Equal(t, "start", lines(t, dir, "orchestrator")[0]["orchestrator.reason"])

	// A receiver falls ill: it, its pipeline and the orchestrator are told again, and nothing else.
	componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(errors.New("asking http://u:"+secretText+"@plc/: no answer")))
	require.Eventually(t, func() bool { return len(lines(t, dir, "orchestrator")) == 2 }, 20*time.Second, 20*time.Millisecond)
	counts = map[string]int{"orchestrator": 2, "pipelines": 4, "data_sources": 4, "processor_definitions": 2, "processor_manifests": 2}
	require.Eventually(t, func() bool { return len(lines(t, dir, "data_sources")) == 4 }, 20*time.Second, 20*time.Millisecond)
	for file, n := range counts {
		assert.Len(t, lines(t, dir, file), n, file)
	}
	ill := lines(t, dir, "data_sources")[3]
	assert.Equal(t, "frail", ill["otelcol.component.id"])
	assert.Equal(t, "recoverable_error", ill["otelcol.health"])
	assert.Equal(t, "asking http://[REDACTED]@plc/: no answer", ill["otelcol.health.error"])
	assert.Equal(t, "Warn", ill["severity"])
	assert.Equal(t, []any{"receiver:frail=recoverable_error"}, lines(t, dir, "orchestrator")[1]["orchestrator.unwell"])

	_, ailing := get(t, url, "")
	validate(t, all["collector.manifest"], ailing)
	stop()
	files, err := filepath.Glob(dir + "/*.ndjson")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 5)
	everything := append(answer, ailing...)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		everything = append(everything, b...)
		for l := range bytes.Lines(b) {
			var head struct{ Event string }
			require.NoError(t, json.Unmarshal(l, &head))
			validate(t, all[head.Event], l)
		}
	}
	assert.NotContains(t, string(everything), secretText)
	assert.Contains(t, string(everything), "endpoint=http://[REDACTED]@127.0.0.1:1/?token=[REDACTED]")
}

func TestEndpointIsForNeighboursOnly(t *testing.T) {
	addr := freePort(t)
	collect(t, configuration(t.TempDir(), addr))
	for _, c := range []struct {
		path, host string
		code       int
	}{
		{path, "", http.StatusOK},
		{path, "localhost:13134", http.StatusOK},
		{path, "localhost", http.StatusOK},
		{path, "[::1]:13134", http.StatusOK},
		{path, "evil.example", http.StatusMisdirectedRequest},
		{path, "127.0.0.1.evil.example:13134", http.StatusMisdirectedRequest},
		{"/", "", http.StatusNotFound},
		{path + "/x", "", http.StatusNotFound},
	} {
		code, body := get(t, "http://"+addr+c.path, c.host)
		assert.Equal(t, c.code, code, "%s %s: %s", c.host, c.path, body)
	}
	r, err := http.Post("http://"+addr+path, "text/plain", strings.NewReader("x"))
	require.NoError(t, err)
	defer r.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, r.StatusCode)
}

func TestValidate(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, cfg.Validate())
	cfg.NetAddr.Endpoint, cfg.ChangeInterval = "here", 0
	err := cfg.Validate()
	for _, want := range []string{`endpoint: "here" is not host:port`, "change_interval must be at least 1s"} {
		require.ErrorContains(t, err, want)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cfg := createDefaultConfig().(*Config)
	cfg.NetAddr.Endpoint = l.Addr().String()
	ext, err := newManifest(cfg, nopSettings())
	require.NoError(t, err)
	require.ErrorContains(t, ext.Start(t.Context(), nopHost{}), fmt.Sprintf("listening on %s for the manifest", l.Addr()))
	require.NoError(t, ext.Shutdown(t.Context()))
}

type nopHost struct{}

func (nopHost) GetExtensions() map[component.ID]component.Component { return nil }

func nopSettings() extension.Settings {
	return extensiontest.NewNopSettings(component.MustNewType("manifest"))
}
