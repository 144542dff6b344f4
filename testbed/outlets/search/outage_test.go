//go:build linux

package search

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// shipped is configs/elasticsearch.yaml, fed by OTLP in place of an interface, with room for little
// in the queues of flows and of other events. It tells where its Prometheus page is.
func shipped(t *testing.T, s *servers.Search, ns string) (p *process, metrics string) {
	t.Helper()
	var ports [2]int
	for i := range ports {
		var err error
		if ports[i], err = servers.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	endpoint := "127.0.0.1:" + strconv.Itoa(ports[0])
	config := fmt.Sprintf(`{receivers: {otlp: {protocols: {http: {endpoint: "%s"}}}},
connectors: {routing: {table: [
  {context: log, condition: 'log.event_name == "network.flow"', pipelines: [logs/flows]},
  {context: log, condition: 'log.event_name == "threat.report"', pipelines: [logs/reports]}]}},
exporters: {elasticsearch/flows: {sending_queue: {queue_size: 1000000}}, elasticsearch/events: {sending_queue: {queue_size: 100000}}},
service: {telemetry: {logs: {encoding: console}, metrics: {level: normal, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]}},
  pipelines: {logs/watch: {receivers: [otlp], processors: [], exporters: [threat, routing]}, logs/reports: {receivers: [threat, routing]}}}}`, endpoint, ports[1])
	p = &process{
		before: []string{"--config", filepath.Join(testbed.Root(), "configs", "elasticsearch.yaml")},
		env:    []string{"ELASTICSEARCH_URL=" + s.URL, "MONBAN_NAMESPACE=" + ns, "MONBAN_STATE=" + t.TempDir()},
		config: config, otlp: "http://" + endpoint + "/v1/logs",
	}
	return run(t, p), fmt.Sprintf("127.0.0.1:%d", ports[1])
}

// outage is an hour without a server in short, a round for a minute (at length ten of them), in which our process is killed, too: flows and
// sightings fill their queues, reports still have room. What had to be given up is counted by kind, and
// all else arrives.
func outage(t *testing.T, s *servers.Search, ns string) {
	p, metrics := shipped(t, s, ns)
	kinds := []*feed{{only: "network.flow"}, {only: "network.sighting"}, {only: "threat.report"}}
	streams := []string{"flow", "sighting", "report"}
	refused, given := make([]int, len(kinds)), make([]float64, len(kinds))
	for i, f := range kinds { // each by itself, as one answer is for a whole request
		f.accepted, f.next = map[int]bool{}, i*1_000_000
		f.send(p, 300)
	}
	count := func() {
		for i, stream := range streams {
			given[i] += testbed.Metric(t, metrics, "otelcol_elasticsearch_given_up", `stream="logs-monban.`+stream+"-"+ns+`"`)
		}
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	rounds := 60
	if long() {
		rounds = 600
	}
	for round := range rounds {
		for i, f := range kinds {
			if !f.try(p, 100) {
				refused[i] += 100
			}
		}
		if round == rounds/2 {
			count()
			p.kill()
			p.launch()
		}
	}
	count()
	for i, stream := range streams {
		if int(given[i]) != refused[i] {
			t.Errorf("%v records for %s were counted as given up, %d were refused", given[i], stream, refused[i])
		}
		if i < 2 == (refused[i] == 0) {
			t.Errorf("%d records for %s were given up", refused[i], stream)
		}
	}
	p.says("Records were given up", "logs-monban.flow-"+ns, "queue is full")
	p.says("Records were given up", "logs-monban.sighting-"+ns, "queue is full")
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := newFeed()
	for i, f := range kinds {
		t.Logf("%s: %d accepted, %d given up", streams[i], len(f.accepted), refused[i])
		maps.Copy(all.accepted, f.accepted)
	}
	all.arrived(t, s, ns)
	p.stop()
}
