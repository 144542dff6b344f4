//go:build linux

package dashboards

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monban/monban/internal/dashboard"
	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// monban is the binary, reading the demo capture and watching itself and its host.
type monban struct {
	telemetry, host string // addresses to scrape
	otlp            string // address that takes what was recorded
	dir             string // of the files that are watched
	log             string
}

const namespace = "dash"

// start starts the binary; it ends with the test.
func start(t *testing.T, url string) *monban {
	t.Helper()
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = servers.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`
extensions:
  manifest:
receivers:
  packetflow: {files: ['%s'], at_end: stay}
  manifest:
  host:
    collection_interval: 5s
    initial_delay: 100ms
    scrapers:
      cpu: {metrics: {system.cpu.utilization: {enabled: true}}}
      load:
      memory: {metrics: {system.memory.utilization: {enabled: true}}}
      disk:
      filesystem: {metrics: {system.filesystem.utilization: {enabled: true}}}
      network:
      processes:
      process: {include: {match_type: strict, names: [monban]}}
processors:
  device:
  baseline:
connectors:
  threat:
exporters:
  elasticsearch: {endpoints: ['%s'], namespace: %s, sending_queue: {block_on_overflow: true, batch: {flush_timeout: 200ms}}}
  prometheus: {endpoint: '127.0.0.1:%d', resource_to_telemetry_conversion: {enabled: true}}
service:
  extensions: [manifest]
  telemetry:
    logs: {level: info, encoding: console}
    metrics: {level: normal, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]}
  pipelines:
    logs/flows: {receivers: [packetflow], processors: [device, baseline], exporters: [threat, elasticsearch]}
    logs/reports: {receivers: [threat], exporters: [elasticsearch]}
    logs/manifest: {receivers: [manifest], exporters: [elasticsearch]}
    metrics: {receivers: [host], exporters: [elasticsearch, prometheus]}
`, filepath.Join(testbed.Root(), "testbed", "lab", "demo.pcap.gz"), url, namespace, ports[0], ports[1])
	m := &monban{log: filepath.Join(t.TempDir(), "stderr"), dir: t.TempDir(), otlp: fmt.Sprintf("127.0.0.1:%d", ports[2])}
	for _, name := range []string{"settings", "auth.log"} {
		if err := os.WriteFile(filepath.Join(m.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.host, m.telemetry = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(testbed.Binary(t), "--config", "yaml:"+config,
		"--config", "yaml:"+fmt.Sprintf(history, m.otlp), "--config", "yaml:"+fmt.Sprintf(watched, m.dir))
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b, _ := os.ReadFile(m.log); t.Failed() {
			t.Logf("what monban said:\n%s", b[max(0, len(b)-4000):])
		}
	})
	return m
}

// fill waits until all of the demo is there, and figures of the host, and adds what the demo has nothing of.
func fill(t *testing.T, s *servers.Search, m *monban) {
	t.Helper()
	await(t, s, "metrics-monban.host-"+namespace, "*", 1) // it listens
	record(t, m.otlp)
	change(t, s, m.dir)
	await(t, s, "logs-monban.forecast-"+namespace, "*", 1000)
	for _, q := range []string{"monban.posture.kind:file AND monban.posture.change:changed", "monban.posture.kind:login"} {
		await(t, s, "logs-monban.posture-"+namespace, q, 1)
	}
	const demo = 7000 // records at least
	last := -1
	for begun := time.Now(); ; time.Sleep(2 * time.Second) {
		n, err := s.Count(t.Context(), "logs-monban.*-"+namespace)
		figures, _ := s.Count(t.Context(), "metrics-monban.host-"+namespace)
		if err == nil && n > demo && n == last && figures > 0 {
			t.Logf("%d events, %d figures of the host", n, figures)
			break
		}
		if last = n; time.Since(begun) > 5*time.Minute {
			t.Fatalf("%d events and %d figures came, %v", n, figures, err)
		}
	}
	// Streams that the demo has no events for are made from their templates, each by a document that no panel asks for.
	for _, stream := range elastic.Streams(elastic.ECS, namespace) {
		if err := s.Do(t.Context(), http.MethodPost, "/"+stream.Name()+"/_doc?op_type=create&refresh=true", map[string]any{"@timestamp": "2000-01-01T00:00:00Z"}, nil); err != nil {
			t.Errorf("making %s: %v", stream.Name(), err)
		}
	}
}

// answer is what the server says to a panel's search.
type answer struct {
	Hits struct {
		Total struct{ Value int }
		Hits  []json.RawMessage
	}
	Aggregations map[string]json.RawMessage
}

// ask runs a panel's search, with more conditions.
func ask(ctx context.Context, s *servers.Search, p *dashboard.Panel, more ...string) (int, error) {
	body := p.Request("1m")
	filter := body["query"].(map[string]any)["bool"].(map[string]any)
	for _, q := range more {
		filter["filter"] = append(filter["filter"].([]any), map[string]any{"query_string": map[string]any{"query": q}})
	}
	var a answer
	if err := s.Do(ctx, http.MethodPost, "/"+p.Index()+"/_search", body, &a); err != nil {
		return 0, err
	}
	switch {
	case p.Shape == dashboard.Rows:
		return len(a.Hits.Hits), nil
	case p.Shape == dashboard.Number && len(a.Aggregations) == 0:
		return a.Hits.Total.Value, nil
	case p.Shape == dashboard.Number:
		var v struct{ Value *float64 }
		err := json.Unmarshal(a.Aggregations["1"], &v)
		if v.Value == nil {
			return 0, err
		}
		return int(*v.Value), err
	}
	return buckets(a.Aggregations)
}

// buckets counts those of the innermost level.
func buckets(aggs map[string]json.RawMessage) (n int, err error) {
	for _, name := range []string{"by", "time"} {
		if aggs[name] == nil {
			continue
		}
		var level struct{ Buckets []map[string]json.RawMessage }
		if err := json.Unmarshal(aggs[name], &level); err != nil {
			return 0, err
		}
		for _, b := range level.Buckets {
			inner, err := buckets(b)
			if err != nil {
				return 0, err
			}
			n += max(inner, 1)
		}
	}
	return n, nil
}

// device is one of the demo of which every panel has something to say.
const device = "8c:16:45:e3:70:50"

func TestPanels(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	returned := map[string]map[string]int{}
	for _, version := range servers.SearchVersions() {
		t.Run(version, func(t *testing.T) {
			s := servers.StartSearch(t, servers.SearchOptions{Version: version})
			m := start(t, s.URL)
			fill(t, s, m)
			counts := map[string]int{}
			product, _, _ := strings.Cut(version, "-")
			if slices.Contains([]string{"elasticsearch-9.1.0", "opensearch-3.4.0"}, version) {
				returned[product] = counts
			}
			search(t, s, counts)
			if version == "elasticsearch-9.1.0" {
				t.Run("prometheus", func(t *testing.T) {
					returned["prometheus"] = map[string]int{}
					scrape(t, servers.StartPrometheus(t, m.telemetry, m.host), returned["prometheus"])
				})
			}
		})
	}
	path := filepath.Join(testbed.Root(), "internal", "dashboard", "returned.json")
	if os.Getenv("UPDATE") != "" && !t.Failed() && len(returned) == 3 {
		b, err := json.MarshalIndent(returned, "", "  ")
		if err == nil {
			err = os.WriteFile(path, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The page has a figure for each panel, though not necessarily this one: the host is another.
	page := dashboard.Returned()
	for server, counts := range returned {
		for name := range counts {
			if _, ok := page[server][name]; !ok && os.Getenv("UPDATE") == "" {
				t.Errorf("the reference page has no figure of %s for %s; UPDATE=1 writes it", server, name)
			}
		}
	}
}

// search asks all panels that ask data streams.
func search(t *testing.T, s *servers.Search, counts map[string]int) {
	t.Helper()
	ctx := t.Context()
	for _, d := range dashboard.Dashboards() {
		for i := range d.Panels {
			p := &d.Panels[i]
			if len(p.Asks) > 0 {
				continue
			}
			name := d.Name(p)
			n, err := ask(ctx, s, p)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if n == 0 && !p.Quiet {
				t.Errorf("%s finds nothing: %s", name, p.Lucene())
			}
			counts[name] = n
			mapped(t, s, name, p)
			if !d.Device {
				continue
			}
			// As Grafana asks for one device, and for all; and as Kibana does with its id in the search bar.
			one, err1 := ask(ctx, s, p, strings.ReplaceAll(d.GrafanaQuery(p), "${device:lucene}", strings.ReplaceAll(device, ":", `\:`)))
			all, err2 := ask(ctx, s, p, strings.ReplaceAll(d.GrafanaQuery(p), "${device:lucene}", "*"))
			bar, err3 := ask(ctx, s, p, `"`+device+`"`)
			if err1 != nil || err2 != nil || err3 != nil {
				t.Errorf("%s: %v, %v, %v", name, err1, err2, err3)
			}
			if one == 0 || bar < one || all < one {
				t.Errorf("%s: %d of one device, %d by the search bar, %d of all", name, one, bar, all)
			}
		}
	}
}

// mapped holds that every field of a panel is one of the index, of its type, and can be asked for as the panel does.
func mapped(t *testing.T, s *servers.Search, name string, p *dashboard.Panel) {
	t.Helper()
	var caps struct {
		Fields map[string]map[string]struct{ Searchable, Aggregatable bool }
	}
	fields := p.Fields()
	if len(fields) == 0 {
		return
	}
	err := s.Do(t.Context(), http.MethodGet, "/"+p.Index()+"/_field_caps?fields="+strings.Join(slices.Sorted(maps.Keys(fields)), ","), nil, &caps)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	for field, want := range fields {
		types := caps.Fields[field]
		have, ok := types[want]
		if !ok || len(types) != 1 || !have.Searchable || want != "text" && !have.Aggregatable {
			t.Errorf("%s: %s is not %s: %+v", name, field, want, types)
		}
	}
}

// scrape asks all panels that ask Prometheus.
func scrape(t *testing.T, prometheus *servers.Prometheus, counts map[string]int) {
	t.Helper()
	for _, d := range dashboard.Dashboards() {
		for i := range d.Panels {
			p := &d.Panels[i]
			for _, a := range p.Asks {
				expr := strings.ReplaceAll(a.Expr, "$__rate_interval", "1m")
				n, err := 0, error(nil)
				for begun := time.Now(); time.Since(begun) < 30*time.Second; time.Sleep(500 * time.Millisecond) {
					if n, err = prometheus.Query(t.Context(), expr); n > 0 || err != nil {
						break
					}
				}
				if err != nil {
					t.Errorf("%s: %v", d.Name(p), err)
				}
				if n == 0 {
					t.Errorf("%s: no series of %s", d.Name(p), expr)
				}
				counts[d.Name(p)] += n
			}
		}
	}
}
