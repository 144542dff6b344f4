package testbed

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip"
)

// demo is the capture that is part of the repository.
func demo() string { return filepath.Join(Root(), "testbed", "lab", "demo.pcap.gz") }

// fromCapture replaces a configuration's interfaces by the demo capture, as a second --config does,
// and the queues on disk of these exporters by some in memory, which are empty at the end.
func fromCapture(exporters ...string) string {
	var queues []string
	for _, e := range exporters {
		queues = append(queues, e+": {sending_queue: {storage: null, block_on_overflow: true}}")
	}
	return "yaml:{receivers: {packetflow: {interfaces: [], files: ['" + demo() + "'], at_end: exit}}, " +
		"exporters: {" + strings.Join(queues, ", ") + "}, " +
		"service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}}"
}

// TestConfigs validates every configuration that the repository offers.
func TestConfigs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(Root(), "configs", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cmd := exec.Command(Binary(t), "validate", "--config", file)
			cmd.Dir = Root()
			if r := Exec(t, cmd); r.Code != 0 {
				t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
			}
		})
	}
}

// run runs one of the configurations on the demo capture in a directory of its own.
func run(t *testing.T, config, override string, env ...string) (dir string, r Result) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command(Binary(t), "--config", filepath.Join(Root(), "configs", config), "--config", override)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MONBAN_STATE="+filepath.Join(dir, "state"), "MONBAN_OUT="+filepath.Join(dir, "out"), "MONBAN_CAPTURE="+demo())
	cmd.Env = append(cmd.Env, env...)
	r = Exec(t, cmd)
	if r.Code != 0 {
		t.Fatalf("%s: exit code %d\n%s", config, r.Code, r.Stderr)
	}
	return dir, r
}

// events counts the lines in each of the files of events.
func events(t *testing.T, dir string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	files, _ := filepath.Glob(filepath.Join(dir, "out", "*.ndjson"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		counts[strings.TrimSuffix(filepath.Base(file), ".ndjson")] = strings.Count(string(b), "\n")
	}
	return counts
}

func TestCaptureConfig(t *testing.T) {
	dir, r := run(t, "capture.yaml", fromCapture())
	counts := events(t, dir)
	if counts["flows"] == 0 || counts["reports"] == 0 || counts["devices"] == 0 {
		t.Errorf("events %v, want flows, devices and reports", counts)
	}
	if !strings.Contains(r.Stdout, "report") {
		t.Errorf("no summary\n%s", r.Stdout)
	}
	for _, owner := range []string{"processor_device", "processor_baseline", "connector_threat"} {
		if saved, _ := filepath.Glob(filepath.Join(dir, "state", owner, "*.state")); len(saved) == 0 {
			t.Errorf("nothing of %s was saved", owner)
		}
	}
}

// backend is an OTLP server that counts what it gets.
type backend struct {
	plogotlp.UnimplementedGRPCServer
	mu    sync.Mutex
	count map[string]int
}

func (b *backend) Export(_ context.Context, req plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rl := range req.Logs().ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				b.count[lr.EventName()]++
			}
		}
	}
	return plogotlp.NewExportResponse(), nil
}

// TestOTLPConfig sends everything to a real OTLP server and finds all of it there.
func TestOTLPConfig(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{count: map[string]int{}}
	server := grpc.NewServer()
	plogotlp.RegisterGRPCServer(server, b)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()

	_, r := run(t, "otlp.yaml", fromCapture("otlp_grpc"), "OTLP_ENDPOINT="+l.Addr().String(), "OTLP_INSECURE=true")
	dir, _ := run(t, "capture.yaml", fromCapture())
	b.mu.Lock()
	defer b.mu.Unlock()
	got := map[string]int{"flows": b.count["network.flow"], "devices": b.count["device.inventory"], "reports": b.count["threat.report"]}
	want := events(t, dir)
	for kind, n := range got {
		if n != want[kind] || n == 0 {
			t.Errorf("%d %s over OTLP, %d in files\n%s", n, kind, want[kind], r.Stderr)
		}
	}
}

// TestKafkaConfig sends everything to a Kafka broker and finds all of it there, one message an event
// in the topic of its kind, with all of a device in one partition.
func TestKafkaConfig(t *testing.T) {
	topics := []string{"monban.flows", "monban.devices", "monban.reports"}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	address := broker.ListenAddrs()[0]
	run(t, "kafka.yaml", fromCapture("kafka_events/flows", "kafka_events/events", "kafka_events/reports"), "KAFKA_BROKERS="+address)
	dir, _ := run(t, "capture.yaml", fromCapture())
	want := events(t, dir)

	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := map[string]int{}
	partitions := map[string]int32{}
	all := func() bool {
		return got["monban.flows"] >= want["flows"] && got["monban.reports"] >= want["reports"] && got["monban.devices"] >= want["devices"]
	}
	for !all() && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var e map[string]any
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatal(err)
			}
			got[r.Topic]++
			if id, ok := e["source.device.id"].(string); ok && r.Topic == "monban.flows" && string(r.Key) != id {
				t.Errorf("a flow of %s has the key %q", id, r.Key)
			}
			key := string(r.Key)
			if p, ok := partitions[key]; ok && p != r.Partition {
				t.Fatalf("events of %s in the partitions %d and %d", key, p, r.Partition)
			}
			partitions[key] = r.Partition
		})
	}
	if got["monban.flows"] != want["flows"] || got["monban.reports"] != want["reports"] || got["monban.devices"] != want["devices"] {
		t.Errorf("in Kafka %v, in files %v", got, want)
	}
	if len(partitions) < 5 {
		t.Errorf("events of the devices %v, want more", partitions)
	}
}

// TestVersion holds what `make build` promises: a binary that tells its version and commit.
func TestVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("links a second binary")
	}
	name := filepath.Join(t.TempDir(), "monban")
	build := exec.Command("make", "--silent", "build", "BINARY="+name, "VERSION=9.8.7+abcdef")
	build.Dir = Root()
	if r := Exec(t, build); r.Code != 0 {
		t.Fatalf("make build: %s", r.Stderr)
	}
	r := Exec(t, exec.Command(name, "--version"))
	if want := "monban version 9.8.7+abcdef\n"; r.Stdout != want {
		t.Errorf("--version prints %q, want %q", r.Stdout, want)
	}
}
