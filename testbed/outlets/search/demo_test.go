//go:build linux

package search

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/reference"
	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// TestDemo sends the demo capture with configs/elasticsearch.yaml to each server, in both modes, and
// holds that as many events of each kind are there as in the NDJSON files of the same run, that none
// was refused, and that every field is in the template. The queue is in memory, so that it is empty at
// the end; what can't be sent once by then would be given up, so a request has much time. With MONBAN_UPDATE=1 it writes
// docs/elasticsearch/documents.md.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	for _, v := range servers.SearchVersions() {
		for _, mode := range []elastic.Mode{elastic.ECS, elastic.OTel} {
			t.Run(v+" "+string(mode), func(t *testing.T) { demo(t, server(t, v), mode, namespace(t)) })
		}
	}
}

func demo(t *testing.T, s *servers.Search, mode elastic.Mode, ns string) {
	dir, root := t.TempDir(), testbed.Root()
	var exporters []string
	for _, name := range []string{"flows", "events", "reports"} {
		exporters = append(exporters, "elasticsearch/"+name+": {timeout: 100s, mapping: {mode: "+string(mode)+"}, sending_queue: {storage: null, block_on_overflow: true}}")
	}
	cmd := exec.Command(testbed.Binary(t), "--config", filepath.Join(root, "configs", "elasticsearch.yaml"), "--config",
		"yaml:{receivers: {packetflow: {interfaces: [], files: ['"+filepath.Join(root, "testbed", "lab", "demo.pcap.gz")+"'], at_end: exit}}, "+
			"exporters: {ndjson: {directory: '"+dir+"/out'}, "+strings.Join(exporters, ", ")+"}, "+
			"service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}, "+
			"pipelines: {logs/flows: {exporters: [elasticsearch/flows, ndjson]}, logs/events: {exporters: [elasticsearch/events, ndjson]}, "+
			"logs/reports: {exporters: [elasticsearch/reports, ndjson]}}}}")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MONBAN_STATE="+dir+"/state", "ELASTICSEARCH_URL="+s.URL, "MONBAN_NAMESPACE="+ns)
	r := testbed.Exec(t, cmd)
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	defer func() {
		if t.Failed() {
			t.Logf("what monban said:\n%s", tail(r.Stderr, 25))
		}
	}()
	if n, err := s.Count(t.Context(), "logs-monban.deadletter-"+ns); n != 0 || err != nil {
		letters, _ := s.All(t.Context(), "logs-monban.deadletter-"+ns)
		t.Errorf("%d dead letters, %v: %s", n, err, letters)
	}
	var page bytes.Buffer
	kinds := 0
	for _, e := range reference.Events() {
		b, err := os.ReadFile(filepath.Join(dir, "out", e.File+".ndjson"))
		if err != nil {
			continue // the demo has no such event
		}
		stream := elastic.StreamOf("logs", elastic.Dataset(e.Name), mode, ns)
		hits, err := s.All(t.Context(), stream.Name())
		if want := bytes.Count(b, []byte("\n")); err != nil || len(hits) != want {
			t.Errorf("%s: %d documents of %d events, %v", stream.Name(), len(hits), want, err)
		}
		if len(hits) == 0 {
			continue
		}
		kinds++
		mapped(t, s, stream, hits)
		if mode == elastic.ECS {
			slices.SortFunc(hits, func(a, b servers.Hit) int {
				return strings.Compare(at(a)+string(a.Source), at(b)+string(b.Source))
			})
			var v any
			_ = json.Unmarshal(hits[len(hits)/2].Source, &v)
			pretty, _ := json.MarshalIndent(v, "", "  ")
			fmt.Fprintf(&page, "\n## %s\n\nIn `logs-%s-default`:\n\n```json\n%s\n```\n", e.Name, stream.Dataset, bytes.ReplaceAll(pretty, []byte(ns), []byte("default")))
		}
	}
	if kinds < 5 {
		t.Errorf("only %d kinds of events in the demo", kinds)
	}
	if mode == elastic.ECS && s.Name == "elasticsearch-9.1.0" && os.Getenv("MONBAN_UPDATE") == "1" {
		head := "<!-- Made by `MONBAN_UPDATE=1 go test ./testbed/outlets/search -run TestDemo` from the demo capture. -->\n\n# A document of each kind, as it lies in Elasticsearch\n\n" +
			"The demo capture, sent by [`configs/elasticsearch.yaml`](../../configs/elasticsearch.yaml) to " + s.Name + ".\n"
		if err := os.WriteFile(filepath.Join(root, "docs", "elasticsearch", "documents.md"), append([]byte(head), bytes.ReplaceAll(page.Bytes(), []byte(root+"/"), nil)...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func at(h servers.Hit) string {
	var v struct {
		At string `json:"@timestamp"`
	}
	_ = json.Unmarshal(h.Source, &v)
	return v.At
}

// mapped holds that the server knows each field of some documents, and by our type.
func mapped(t *testing.T, s *servers.Search, stream elastic.Stream, hits []servers.Hit) {
	t.Helper()
	var caps struct {
		Fields map[string]map[string]any `json:"fields"`
	}
	if err := s.Do(t.Context(), "GET", "/"+stream.Name()+"/_field_caps?fields=*", nil, &caps); err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, h := range hits {
		var v map[string]any
		if err := json.Unmarshal(h.Source, &v); err != nil {
			t.Fatal(err)
		}
		for path := range leaves("", v, map[string]bool{}) {
			if caps.Fields[path] == nil && !missing[path] {
				missing[path] = true
				t.Errorf("%s: the server does not know %s", stream.Name(), path)
			}
		}
	}
}

func leaves(prefix string, v any, out map[string]bool) map[string]bool {
	switch x := v.(type) {
	case map[string]any:
		for k, y := range x {
			leaves(strings.TrimPrefix(prefix+"."+k, "."), y, out)
		}
	case []any:
		for _, y := range x {
			leaves(prefix, y, out)
		}
	default:
		out[prefix] = true
	}
	return out
}
