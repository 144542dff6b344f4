package testbed

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOutsiderElasticsearch has somebody else's distribution with one receiver of core and our
// Elasticsearch exporter, and nothing more of ours: it builds, and a record comes out as a document.
// Whether a real server takes it is tested in testbed/outlets.
func TestOutsiderElasticsearch(t *testing.T) {
	if testing.Short() {
		t.Skip("builds another distribution")
	}
	consult()
	root, dir := Root(), t.TempDir()
	manifest := `dist: {name: outsider, module: example.com/outsider, description: somebody else's, version: 1.0.0, output_path: ` + dir + `}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.155.0
exporters:
  - gomod: github.com/monban/monban v0.1.0
    import: github.com/monban/monban/exporter/elasticsearchexporter
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.61.0
  - gomod: go.opentelemetry.io/collector/confmap/provider/yamlprovider v1.61.0
replaces:
  - github.com/monban/monban => ` + root + "\n"
	name := filepath.Join(dir, "manifest.yaml")
	if err := os.WriteFile(name, []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "tool", "-modfile=internal/tools/go.mod", "builder", "--skip-strict-versioning=false", "--config="+name)
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("an outsider can't build the exporter: %v\n%s", err, out)
	}

	got := make(chan string, 10)
	elastic := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/":
			_, _ = io.WriteString(w, `{"version":{"number":"9.1.0"}}`)
		case r.URL.Path == "/_bulk":
			got <- string(b)
			_, _ = io.WriteString(w, `{"errors":false,"items":[{"create":{"status":201}}]}`)
		}
	}))
	defer elastic.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(filepath.Join(dir, "outsider"), "--config", `yaml:{receivers: {otlp: {protocols: {http: {endpoint: "`+addr+`"}}}}, `+
		`exporters: {elasticsearch: {endpoint: "`+elastic.URL+`", compression: none, template: off}}, `+
		`service: {telemetry: {metrics: {level: none}}, pipelines: {logs: {receivers: [otlp], exporters: [elasticsearch]}}}}`)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	const record = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1754000000000000000","eventName":"door.opened","attributes":[{"key":"door","value":{"stringValue":"north"}}]}]}]}]}`
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		res, err := http.Post("http://"+addr+"/v1/logs", "application/json", strings.NewReader(record))
		if err == nil {
			_ = res.Body.Close()
			break
		}
		if time.Since(begun) > time.Minute {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("the outsider takes no records: %v\n%s", err, said.String())
		}
	}
	select {
	case body := <-got:
		for _, want := range []string{`"_index":"logs-monban.other-default"`, `"action":"door.opened"`, `"labels":{"door":"north"}`} {
			if !strings.Contains(body, want) {
				t.Errorf("the bulk request does not have %s: %s", want, body)
			}
		}
	case <-time.After(time.Minute):
		t.Error("no document came")
	}
}
