//go:build linux

package outlets

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/flatjson/flatjsontest"
	"github.com/monban/monban/testbed/servers"
)

// TestThroughput measures what a record costs on its way to a broker, beside the stock exporter and
// beside next to nothing; its table is that of docs/reference/kafka.md. It holds no times.
//
//	MONBAN_LONG=1 go test -count=1 -run TestThroughput -v ./testbed/outlets
func TestThroughput(t *testing.T) {
	if !long() {
		t.Skip("a measure: MONBAN_LONG=1")
	}
	k := oneBroker(t)
	const exactly = "required_acks: all, compression: zstd"
	queue := "sending_queue: {num_consumers: 1, block_on_overflow: true, queue_size: 20}"
	t.Logf("| %-46s | records/s of a core | µs CPU | bytes |", "way")
	var empty float64
	for i, c := range []struct{ name, exporter string }{
		{"debug", "debug: {}"},
		{"kafka, otlp_proto, defaults", "kafka: {brokers: [B], logs: {topic: T}, " + queue + "}"},
		{"kafka, otlp_proto, all replicas, zstd", "kafka: {brokers: [B], logs: {topic: T}, producer: {" + exactly + "}, " + queue + "}"},
		{"kafka, otlp_json, all replicas, zstd", "kafka: {brokers: [B], logs: {topic: T, encoding: otlp_json}, producer: {" + exactly + "}, " + queue + "}"},
		{"kafka_events, otlp_proto", "kafka_events: {brokers: [B], topics: {network.flow: T}, " + queue + "}"},
		{"kafka_events, otlp_proto, transactions", "kafka_events: {brokers: [B], topics: {network.flow: T}, create_topics: {partitions: 4}, topic_prefix: TP, transactional_id: T, " + queue + "}"},
		{"kafka_events, json", "kafka_events: {brokers: [B], topics: {network.flow: T}, encoding: json, " + queue + "}"},
		{"kafka_events, json, transactions", "kafka_events: {brokers: [B], topics: {network.flow: T}, create_topics: {partitions: 4}, topic_prefix: TP, encoding: json, transactional_id: T, " + queue + "}"},
	} {
		topic := fmt.Sprintf("speed.%d", i)
		must(t, k.CreateTopic(t.Context(), topic, 4))
		name, _, _ := strings.Cut(c.exporter, ":")
		exporter := strings.NewReplacer("[B]", "["+k.Addrs[0]+"]", "TP", topic+"-", "T}", topic+"}", "T,", topic+",").Replace(c.exporter)
		m := start(t, nil, `yaml:{receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP}"}}}}, exporters: {`+exporter+`},
service: {telemetry: {metrics: {level: normal, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: "${env:METRICS_PORT}"}}}}]}},
  pipelines: {logs: {receivers: [otlp], exporters: [`+name+`]}}}}`)
		const batches, size = 400, 500 // 1,000 as OTLP JSON are too large for the stock exporter, which drops them
		before := cpu(t, m)
		for b := range batches {
			if ok, err := m.post(flows(b*size, size)); !ok {
				t.Fatal(ok, err)
			}
		}
		if name != "debug" {
			for m.metric("otelcol_exporter_sent_log_records") < batches*size {
				time.Sleep(5 * time.Millisecond)
			}
		}
		spent := (cpu(t, m) - before).Seconds()
		m.kill()
		if name == "debug" {
			empty = spent
			t.Logf("| %-46s | %19s | %6.2f | %5s |", c.name, "–", spent*1e6/(batches*size), "–")
			continue
		}
		t.Logf("| %-46s | %19.0f | %6.2f | %5.0f |", c.name, batches*size/(spent-empty), (spent-empty)*1e6/(batches*size), float64(stored(t, k, topic))/(batches*size))
	}
	t.Logf("%d CPUs, %s; the cost of taking records by OTLP is in the first line and taken off the others", runtime.NumCPU(), runtime.Version())
}

// flows makes records as most are, each with its own numbers, of 50 devices.
func flows(first, n int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("observer.name", "gate")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	records.EnsureCapacity(n)
	for i := first; i < first+n; i++ {
		lr := records.AppendEmpty()
		flatjsontest.Usual(lr)
		lr.SetTimestamp(1_764_000_000_000_000_000 + 1_000_003*pcommon.Timestamp(i))
		a := lr.Attributes()
		a.PutStr("flow.id", fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15))
		a.PutStr("source.device.id", fmt.Sprintf("02:00:00:00:00:%02x", i*7919%50))
		a.PutInt("source.port", int64(49152+i*31%16000))
		a.PutInt("flow.io.bytes", int64(i*2654435761%100000))
		a.PutInt("flow.reverse.io.bytes", int64(i*40503%1000000))
	}
	return ld
}

// cpu is what the process has used so far.
func cpu(t *testing.T, m *monban) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	must(t, err)
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	var user, system int64
	_, err = fmt.Sscan(f[11]+" "+f[12], &user, &system)
	must(t, err)
	return time.Duration(user+system) * 10 * time.Millisecond // the kernel tells hundredths
}

// stored is how many bytes a topic has on the broker's disk, as they came over the wire.
func stored(t *testing.T, k *servers.Kafka, topic string) (n int64) {
	t.Helper()
	cl, err := k.Client()
	must(t, err)
	defer cl.Close()
	dirs, err := kadm.NewClient(cl).DescribeAllLogDirs(t.Context(), nil)
	must(t, err)
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				n += p.Size
			}
		})
	})
	return n
}
