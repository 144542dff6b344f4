//go:build linux

package outlets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// manifest is the address of a manifest, and the configuration that has it beside other extensions.
func manifest(t *testing.T, beside string) (address, config string) {
	t.Helper()
	port, err := servers.FreePort()
	must(t, err)
	address = fmt.Sprintf("127.0.0.1:%d", port)
	return address, "yaml:{extensions: {manifest: {endpoint: '" + address + "'}}, service: {extensions: [manifest, " + beside + "]}}"
}

// TestHealth has the broker go away, and hang, and come back: the manifest must say so of who sends.
func TestHealth(t *testing.T) {
	k := oneBroker(t)
	address, config := manifest(t, "state_storage")
	m := shipped(t, k, "health", config)
	f := newFeed(m)
	f.once()
	testbed.WaitUnwell(t, address)
	const down = "=recoverable_error"
	all := []string{"exporter:kafka_events/events" + down, "exporter:kafka_events/flows" + down, "exporter:kafka_events/reports" + down}
	for _, fault := range []struct {
		name      string
		away, end func() error
	}{
		{"killed", k.Brokers[0].Kill, func() error { return k.Brokers[0].Start(t.Context()) }},
		{"paused", k.Brokers[0].Pause, k.Brokers[0].Resume},
	} {
		must(t, fault.away())
		f.once()
		testbed.WaitUnwell(t, address, all...)
		must(t, fault.end())
		testbed.WaitUnwell(t, address)
		t.Logf("broker %s: said, and that it is back", fault.name)
	}
	exact(t, compare(t, k, time.Minute, topicsOf("health"), f))
}

// TestGatewayHealth is likewise for who reads, with nothing to read meanwhile.
func TestGatewayHealth(t *testing.T) {
	k := oneBroker(t)
	must(t, edge(t, k, "well.edge", "site-0"))
	address, config := manifest(t, "kafka_state")
	gateway(t, k, "well.edge", "well.a", config)
	waitJudged(t, k, "well.a", 1000, time.Minute)
	testbed.WaitUnwell(t, address)
	must(t, k.Brokers[0].Kill())
	testbed.WaitUnwell(t, address, "receiver:kafka_events=recoverable_error")
	must(t, k.Brokers[0].Start(t.Context()))
	testbed.WaitUnwell(t, address)
}

// TestDamagedQueue leaves the queue's files as a loss of power may leave what was not synced: the last one written cut
// off, or a part of it zeroed. Only what was in it may be gone, and the process must start.
func TestDamagedQueue(t *testing.T) {
	k := oneBroker(t)
	for _, how := range []string{"cut", "zeroed", "head zeroed"} {
		if how != "cut" && !long() {
			continue
		}
		t.Run(how, func(t *testing.T) {
			topics := "damaged-" + strings.ReplaceAll(how, " ", "-")
			m := shipped(t, k, topics)
			must(t, k.Brokers[0].Kill())
			f := newFeed(m, "network.flow")
			for range 10 {
				f.once()
			}
			m.kill()
			file := newest(t, m.dir)
			damage(t, file, how)
			must(t, k.Brokers[0].Start(t.Context()))
			m.launch() // or the test ends here
			g := newFeed(m, "network.flow")
			g.next = 5000
			for range 5 {
				g.once()
			}
			once(t, compare(t, k, time.Minute, topicsOf(topics), g))
			var o outcome
			for begun := time.Now(); time.Since(begun) < time.Minute; {
				if o = compare(t, k, 0, topicsOf(topics), f, g); o.lost <= f.size {
					break
				}
			}
			t.Logf("%s %s: %v", filepath.Base(file), how, o)
			if o.lost > f.size || o.doubles > 0 {
				t.Errorf("one damaged file took %d records along, want %d at most", o.lost, f.size)
			}
		})
	}
}

// newest is the file below dir that was written last and has records of flows.
func newest(t *testing.T, dir string) (name string) {
	t.Helper()
	var at time.Time
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && strings.Contains(path, "kafka_events") && info.Size() > 1000 && info.ModTime().After(at) {
			name, at = path, info.ModTime()
		}
		return err
	}))
	if name == "" {
		t.Fatalf("there is no file of the queue below %s", dir)
	}
	return name
}

func damage(t *testing.T, name, how string) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	switch half := len(b) / 2; how {
	case "cut":
		b = b[:half]
	case "zeroed":
		clear(b[half:])
	case "head zeroed":
		clear(b[:half])
	}
	must(t, os.WriteFile(name, b, 0o600))
}

// TestProbesBehindKafka reads with the stock receiver what kafka_events wrote as JSON, set as docs/how-to/probes.md has it: begun
// after the first records, killed while what it read can't be handed on, and killed in the middle.
func TestProbesBehindKafka(t *testing.T) {
	k := oneBroker(t)
	writer := shipped(t, k, "probe")
	f := newFeed(writer, "network.flow")
	f.once()
	once(t, compare(t, k, time.Minute, topicsOf("probe"), f))
	dead, err := servers.FreePort()
	must(t, err)
	reader := startUntil(t, func(*monban) bool { return true },
		[]string{"KAFKA_BROKERS=" + k.Addrs[0], fmt.Sprintf("OUT=127.0.0.1:%d", dead)}, `yaml:{extensions: {flat_json: {}},
receivers: {kafka/plc-gateway-1: {brokers: ["${env:KAFKA_BROKERS}"], group_id: probe, session_timeout: 6s, heartbeat_interval: 1s,
  logs: {topics: [probe.flows], encoding: flat_json}, `+stockSettings(t)+`}},
processors: {probe/plc-gateway-1: {name: plc-gateway-1, unvouched: refuse}},
exporters: {kafka_events: {brokers: ["${env:OUT}"], topic: probed, encoding: json, create_topics: {partitions: 2}, sending_queue: {enabled: false}}},
service: {extensions: [flat_json], telemetry: {metrics: {level: none, readers: []}},
  pipelines: {logs: {receivers: [kafka/plc-gateway-1], processors: [probe/plc-gateway-1], exporters: [kafka_events]}}}}`)
	waitForLog(t, reader, "no connection to")
	time.Sleep(3 * time.Second) // the receiver tells the broker each second how far it is
	reader.kill()
	reader.env = append(reader.env, "OUT="+k.Addrs[0])
	reader.launch()
	rounds := 1
	if long() {
		rounds = kills()
	}
	f.during(func() {
		for range rounds {
			time.Sleep(8 * time.Second) // the broker gives the partitions to the next when the last has been silent for 6 s
			reader.kill()
			reader.launch()
		}
	})
	o := compare(t, k, 2*time.Minute, []string{"probed"}, f)
	if t.Log(o); o.lost > 0 || o.accepted == 0 {
		t.Fail()
	}
	records, err := k.Read(t.Context(), "probed")
	must(t, err)
	for _, r := range records {
		if !strings.Contains(string(r.Value), `"probe.name":"plc-gateway-1"`) {
			t.Fatalf("nobody vouches for %s", r.Value)
		}
	}
}

// stockSettings are those of the receiver in docs/how-to/probes.md that keep records.
func stockSettings(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testbed.Root(), "docs", "how-to", "probes.md"))
	must(t, err)
	var settings []string
	for _, name := range []string{"initial_offset", "message_marking", "error_backoff"} {
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, name+": ") {
				line, _, _ = strings.Cut(line, " #")
				settings = append(settings, line)
			}
		}
	}
	if len(settings) != 3 {
		t.Fatalf("docs/how-to/probes.md has only %q of the settings", settings)
	}
	return strings.Join(settings, ", ")
}
