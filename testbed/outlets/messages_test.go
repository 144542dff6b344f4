//go:build linux

package outlets

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
)

// TestMessages sends the demo by configs/kafka.yaml, and shows a message of each kind as it lies on
// the broker.
//
//	go test -count=1 -run TestMessages -v ./testbed/outlets
func TestMessages(t *testing.T) {
	k := oneBroker(t)
	dir := t.TempDir()
	cmd := exec.Command(testbed.Binary(t), "--config", filepath.Join(testbed.Root(), "configs", "kafka.yaml"),
		"--config", "yaml:{receivers: {packetflow: {interfaces: [], files: ['"+filepath.Join(testbed.Root(), "testbed", "lab", "demo.pcap.gz")+"'], at_end: exit}}, "+
			"exporters: {kafka_events/flows: {topic_prefix: demo.}, kafka_events/events: {topic_prefix: demo.}, kafka_events/reports: {topic_prefix: demo.}}}")
	cmd.Env = append(cmd.Environ(), "KAFKA_BROKERS="+k.Addrs[0], "MONBAN_STATE="+dir, "MONBAN_INSTANCE=demo")
	if r := testbed.Exec(t, cmd); r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	// What was not sent before the end is in the queue on disk, and is sent after the next start.
	m := shipped(t, k, "demo")
	m.kill()
	m.env = append(m.env, "MONBAN_STATE="+dir)
	m.launch()
	f := newFeed(m)
	f.once()
	once(t, compare(t, k, time.Minute, topicsOf("demo"), f))
	records, err := k.Read(t.Context(), topicsOf("demo")...)
	must(t, err)
	shown := map[string]bool{}
	for _, r := range records {
		if shown[r.Topic] || strings.Contains(string(r.Value), "test.id") {
			continue
		}
		shown[r.Topic] = true
		var headers []string
		for _, h := range r.Headers {
			headers = append(headers, h.Key+": "+string(h.Value))
		}
		t.Logf("topic %s, partition %d, key %s\n%s\n%s", r.Topic, r.Partition, r.Key, strings.Join(headers, ", "), r.Value)
	}
	for _, kind := range []string{"flows", "sightings", "devices", "baselines", "reports", "capture"} {
		if !shown["demo."+kind] {
			t.Errorf("there are no %s", kind)
		}
	}
}
