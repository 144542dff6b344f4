//go:build linux

package outlets

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/reference"
	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// broker is one for all tests of the package that do not need their own.
var broker *servers.Kafka

func TestMain(m *testing.M) {
	code := m.Run()
	if broker != nil {
		broker.Kill()
	}
	os.Exit(code)
}

func oneBroker(t *testing.T) *servers.Kafka {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a broker")
	}
	servers.Need(t, servers.Available())
	if broker == nil {
		dir, err := os.MkdirTemp("", "outlets")
		if err != nil {
			t.Fatal(err)
		}
		k, err := servers.NewKafka(context.Background(), "outlets", dir, servers.KafkaOptions{})
		if err != nil {
			k.Kill()
			servers.Need(t, err)
		}
		broker = k
	}
	return broker
}

// shipped is configs/kafka.yaml, fed by OTLP in place of an interface, with topics of this test alone.
func shipped(t *testing.T, k *servers.Kafka, topics string, more ...string) *monban {
	t.Helper()
	override := `yaml:{receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP}"}}}},
connectors: {routing: {table: [
  {context: log, condition: 'log.event_name == "network.flow"', pipelines: [logs/flows]},
  {context: log, condition: 'log.event_name == "threat.report"', pipelines: [logs/reports]}]}},
exporters: {kafka_events/flows: {topic_prefix: ` + topics + `.}, kafka_events/events: {topic_prefix: ` + topics + `.}, kafka_events/reports: {topic_prefix: ` + topics + `.}},
service: {telemetry: {metrics: {level: normal, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: "${env:METRICS_PORT}"}}}}]}},
  pipelines: {logs/watch: {receivers: [otlp], processors: [], exporters: [threat, routing]}, logs/reports: {receivers: [threat, routing]}}}}`
	config := filepath.Join(testbed.Root(), "configs", "kafka.yaml")
	if strings.HasPrefix(topics, "missing") {
		config = withoutTopics(t, config)
	}
	configs := append([]string{config, override}, more...)
	return start(t, []string{"KAFKA_BROKERS=" + strings.Join(k.Addrs, ","), "MONBAN_INSTANCE=" + topics}, configs...)
}

// withoutTopics is the configuration for where an administrator makes the topics.
func withoutTopics(t *testing.T, config string) string {
	t.Helper()
	b, err := os.ReadFile(config)
	must(t, err)
	b = regexp.MustCompile(`(?m)^    create_topics:.*\n      .*\n`).ReplaceAll(b, nil)
	if strings.Contains(string(b), "create_topics") {
		t.Fatal("create_topics is still there")
	}
	name := filepath.Join(t.TempDir(), "kafka.yaml")
	must(t, os.WriteFile(name, b, 0o644))
	return name
}

// topicsOf are all topics with a prefix.
func topicsOf(prefix string) (all []string) {
	for _, e := range reference.Events() {
		all = append(all, prefix+"."+e.File)
	}
	return all
}

// exact fails unless all that was accepted is there once, and in order.
func exact(t *testing.T, o outcome) {
	t.Helper()
	once(t, o)
	if o.disorder > 0 {
		t.Fail()
	}
}

// once fails unless all that was accepted is there once. The Collector's queue on disk hands out the
// batch that was on its way when the process ended after all others, which is out of order.
func once(t *testing.T, o outcome) {
	t.Helper()
	t.Log(o)
	if o.lost > 0 || o.doubles > 0 || o.accepted == 0 {
		t.Fail()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBrokerKilled(t *testing.T) {
	k := oneBroker(t)
	m := shipped(t, k, "killed")
	f := newFeed(m)
	f.during(func() {
		for range pick(1, 3) {
			time.Sleep(time.Second)
			must(t, k.Brokers[0].Kill())
			time.Sleep(pick(2*time.Second, 20*time.Second))
			must(t, k.Brokers[0].Start(t.Context()))
		}
		time.Sleep(time.Second)
	})
	exact(t, compare(t, k, 2*time.Minute, topicsOf("killed"), f))
}

func TestBrokerPaused(t *testing.T) {
	k := oneBroker(t)
	m := shipped(t, k, "paused")
	f := newFeed(m)
	f.during(func() {
		time.Sleep(time.Second)
		must(t, k.Brokers[0].Pause())
		time.Sleep(pick(4*time.Second, 90*time.Second)) // a transaction is over after a minute
		must(t, k.Brokers[0].Resume())
		time.Sleep(time.Second)
	})
	exact(t, compare(t, k, 3*time.Minute, topicsOf("paused"), f))
}

// TestEndsWithoutBroker ends our process while the broker hangs: it must not wait for it.
func TestEndsWithoutBroker(t *testing.T) {
	k := oneBroker(t)
	m := shipped(t, k, "ends")
	f := newFeed(m)
	f.during(func() {
		time.Sleep(time.Second)
		must(t, k.Brokers[0].Pause())
		time.Sleep(2 * time.Second)
	})
	took := m.stop()
	must(t, k.Brokers[0].Resume())
	if t.Logf("ended in %v", took.Round(time.Millisecond)); took > 40*time.Second {
		t.Errorf("it took %v to end", took)
	}
	waitForLog(t, m, "stays in the queue on disk")
	if b, _ := os.ReadFile(m.log()); strings.Contains(string(b), "Dropping data") {
		t.Error("it says that it drops what is safe on disk")
	}
	m.launch()
	once(t, compare(t, k, 2*time.Minute, topicsOf("ends"), f))
}

// TestTopicMissing makes the topics long after the first records.
func TestTopicMissing(t *testing.T) {
	k := oneBroker(t)
	m := shipped(t, k, "missing")
	f := newFeed(m)
	for range 10 {
		f.once()
	}
	waitForLog(t, m, "the topic does not exist; create it")
	for _, topic := range append(topicsOf("missing"), "missing.marks") {
		must(t, k.CreateTopic(t.Context(), topic, 2))
	}
	exact(t, compare(t, k, time.Minute, topicsOf("missing"), f))
}

func waitForLog(t *testing.T, m *monban, text string) {
	t.Helper()
	for range 600 {
		if b, _ := os.ReadFile(m.log()); strings.Contains(string(b), text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("its log does not say %q", text)
}

// TestMessageTooLarge has one record that the topic will never take among others.
func TestMessageTooLarge(t *testing.T) {
	k := oneBroker(t)
	for _, e := range reference.Events() {
		must(t, k.CreateTopic(t.Context(), "large."+e.File, 2, "max.message.bytes", "4000"))
	}
	m := shipped(t, k, "large")
	f, huge := newFeed(m), newFeed(m, "network.flow")
	huge.pad, huge.size, huge.next = 10000, 1, 1000000
	f.during(func() {
		time.Sleep(500 * time.Millisecond)
		huge.once()
		time.Sleep(500 * time.Millisecond)
	})
	exact(t, compare(t, k, time.Minute, topicsOf("large"), f))
	waitForLog(t, m, "will never take")
	if n := m.metric("otelcol_kafka_events_records", `outcome="refused"`, `event="network.flow"`); n != 1 {
		t.Errorf("%v refused, want 1", n)
	}
}

// TestOutageFillsQueues is an hour of outage in short: flows fill their queue, reports still have room.
func TestOutageFillsQueues(t *testing.T) {
	k := oneBroker(t)
	m := shipped(t, k, "outage", `yaml:{exporters: {kafka_events/flows: {sending_queue: {queue_size: 200000}}, kafka_events/events: {sending_queue: {queue_size: 400000}}}}`)
	must(t, k.Brokers[0].Kill())
	// each by itself, as one answer is for a whole request
	flows, sightings, reports := newFeed(m, "network.flow"), newFeed(m, "network.sighting"), newFeed(m, "threat.report")
	flows.pad, sightings.next, reports.next = 500, 1000000, 2000000
	for range pick(60, 600) {
		flows.once()
		sightings.once()
		reports.once()
	}
	given := m.metric("otelcol_kafka_events_records", `outcome="given_up"`, `event="network.flow"`)
	if want := flows.refused["network.flow"]; want == 0 || int(given) != want {
		t.Errorf("%v flows were counted as given up, %d were refused", given, want)
	}
	if n := reports.refused["threat.report"]; n > 0 || m.metric("otelcol_kafka_events_records", `outcome="given_up"`, `event="threat.report"`) > 0 {
		t.Errorf("%d reports were given up", n)
	}
	waitForLog(t, m, "records were given up")
	must(t, k.Brokers[0].Start(t.Context()))
	t.Logf("%d flows, %d sightings given up", flows.refused["network.flow"], sightings.refused["network.sighting"])
	exact(t, compare(t, k, 2*time.Minute, topicsOf("outage"), flows, sightings, reports))
}

// TestKilledAtRandom kills our process without warning, with the broker away half of the time. Without
// transactions nothing is lost either, but what was on its way may be there twice: how much is told.
func TestKilledAtRandom(t *testing.T) {
	k := oneBroker(t)
	t.Run("transactions", func(t *testing.T) {
		once(t, killedAtRandom(t, k, shipped(t, k, "random"), "random"))
	})
	t.Run("without", func(t *testing.T) {
		if !long() {
			t.Skip("a measure: MONBAN_LONG=1")
		}
		o := killedAtRandom(t, k, shipped(t, k, "plain", `yaml:{exporters: {kafka_events/flows: {transactional_id: ""}, kafka_events/events: {transactional_id: ""}, kafka_events/reports: {transactional_id: ""}}}`), "plain")
		if t.Log(o); o.lost > 0 {
			t.Fail()
		}
	})
}

func killedAtRandom(t *testing.T, k *servers.Kafka, m *monban, topics string) outcome {
	t.Helper()
	f := newFeed(m)
	repeated := 0.0
	f.during(func() {
		for i := range kills() {
			away := i%2 == 1
			if away {
				must(t, k.Brokers[0].Kill())
			}
			time.Sleep(time.Duration(200+rand.IntN(1800)) * time.Millisecond)
			repeated += m.metric("otelcol_kafka_events_records", `outcome="repeated"`)
			m.kill()
			m.launch()
			if away {
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
				must(t, k.Brokers[0].Start(t.Context()))
			}
		}
		time.Sleep(time.Second)
	})
	o := compare(t, k, 3*time.Minute, topicsOf(topics), f)
	t.Logf("%v records came again after a kill and were known", repeated+m.metric("otelcol_kafka_events_records", `outcome="repeated"`))
	return o
}

// TestKilledInFlight kills our process when the broker has a batch that it has not answered: it is
// written after the kill, and the queue hands it out again.
func TestKilledInFlight(t *testing.T) {
	k := oneBroker(t)
	inFlight := func(t *testing.T, topics string, more ...string) outcome {
		m := shipped(t, k, topics, more...)
		f := newFeed(m, "network.flow")
		f.once()
		once(t, compare(t, k, time.Minute, topicsOf(topics), f)) // the connection is there
		for range 5 {
			must(t, k.Brokers[0].Pause())
			for range 5 {
				f.once()
			}
			time.Sleep(time.Second)
			m.kill()
			must(t, k.Brokers[0].Resume())
			time.Sleep(time.Second)
			m.launch()
			o := compare(t, k, time.Minute, topicsOf(topics), f)
			if o.lost > 0 {
				t.Fatal(o)
			}
		}
		return compare(t, k, time.Minute, topicsOf(topics), f)
	}
	t.Run("transactions", func(t *testing.T) {
		once(t, inFlight(t, "inflight"))
	})
	t.Run("without", func(t *testing.T) {
		if !long() {
			t.Skip("a measure: MONBAN_LONG=1")
		}
		t.Log(inFlight(t, "inflightplain", `yaml:{exporters: {kafka_events/flows: {transactional_id: ""}, kafka_events/events: {transactional_id: ""}, kafka_events/reports: {transactional_id: ""}}}`))
	})
}

// TestTwoInstances has two of ours write to the same topics.
func TestTwoInstances(t *testing.T) {
	k := oneBroker(t)
	a := shipped(t, k, "two")
	b := shipped(t, k, "two", `yaml:{exporters: {kafka_events/flows: {transactional_id: b1}, kafka_events/events: {transactional_id: b2}, kafka_events/reports: {transactional_id: b3}}}`)
	fa, fb := newFeed(a), newFeed(b)
	fa.during(func() {
		fb.during(func() {
			for range pick(1, 5) {
				time.Sleep(time.Second)
				b.kill()
				b.launch()
			}
			time.Sleep(time.Second)
		})
	})
	once(t, compare(t, k, time.Minute, topicsOf("two"), fa, fb))
}

// TestWrongPassword starts with a password that the cluster refuses, and is given the right one.
func TestWrongPassword(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	k := servers.StartKafka(t, servers.KafkaOptions{Users: map[string]string{"monban": "right"}})
	var sasl []string
	for _, e := range []string{"flows", "events", "reports"} {
		sasl = append(sasl, "kafka_events/"+e+`: {sasl: {mechanism: PLAIN, username: monban, password: "${env:KAFKA_PASSWORD}"}}`)
	}
	t.Setenv("KAFKA_PASSWORD", "wrong")
	m := shipped(t, k, "password", "yaml:{exporters: {"+strings.Join(sasl, ", ")+"}}")
	f := newFeed(m)
	for range 20 {
		f.once()
	}
	waitForLog(t, m, "SASL_AUTHENTICATION_FAILED")
	m.env = append(m.env, "KAFKA_PASSWORD=right")
	m.stop()
	m.launch()
	once(t, compare(t, k, time.Minute, topicsOf("password"), f))
}

// TestOneOfThreeLost kills one broker after the other, of three.
func TestOneOfThreeLost(t *testing.T) {
	if testing.Short() || !long() {
		t.Skip("three brokers take a while: MONBAN_LONG=1")
	}
	k := servers.StartKafka(t, servers.KafkaOptions{Brokers: 3, Heap: "256m"})
	m := shipped(t, k, "three")
	f := newFeed(m)
	f.during(func() {
		for _, b := range k.Brokers {
			time.Sleep(2 * time.Second)
			must(t, b.Kill())
			time.Sleep(5 * time.Second)
			must(t, b.Start(t.Context()))
			time.Sleep(5 * time.Second)
		}
	})
	exact(t, compare(t, k, 3*time.Minute, topicsOf("three"), f))
}

// TestFullDisk has the queue's disk run full, which refuses records but loses none.
func TestFullDisk(t *testing.T) {
	k := oneBroker(t)
	disk := t.TempDir()
	if err := mountSmall(disk); err != nil {
		t.Skipf("no small disk can be made here: %v", err)
	}
	t.Cleanup(func() { unmount(disk) })
	m := shipped(t, k, "full", `yaml:{extensions: {state_storage: {directory: `+disk+`/state}}}`)
	must(t, k.Brokers[0].Kill())
	f := newFeed(m, "network.flow")
	f.pad = 2000
	for range 500 {
		f.once()
		if f.refused["network.flow"] > 100 {
			break
		}
	}
	if f.refused["network.flow"] == 0 {
		t.Error("a full disk refused nothing")
	}
	must(t, k.Brokers[0].Start(t.Context()))
	o := compare(t, k, time.Minute, topicsOf("full"), f)
	t.Logf("%d refused", f.refused["network.flow"])
	exact(t, o)
}

// TestStock puts the Collector's own Kafka exporter through the same, as a measure.
func TestStock(t *testing.T) {
	k := oneBroker(t)
	for i, c := range []struct{ name, exporter string }{
		{"defaults", ""},
		{"queue on disk", "sending_queue: {storage: file_storage}"},
		{"queue on disk, all replicas, never gives up", "sending_queue: {storage: file_storage}, producer: {required_acks: all}, retry_on_failure: {max_elapsed_time: 0}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			topic := fmt.Sprintf("stock.%d", i)
			must(t, k.CreateTopic(t.Context(), topic, 2))
			config := `yaml:{receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP}"}}}}, extensions: {file_storage: {directory: "${env:MONBAN_STATE}", create_directory: true}},
exporters: {kafka: {brokers: ["` + k.Addrs[0] + `"], logs: {topic: ` + topic + `}, ` + c.exporter + `}},
service: {extensions: [file_storage], telemetry: {metrics: {level: none, readers: []}}, pipelines: {logs: {receivers: [otlp], exporters: [kafka]}}}}`
			m := start(t, nil, config)
			f := newFeed(m)
			f.during(func() {
				for i := range kills() {
					away := i%2 == 1
					if away {
						must(t, k.Brokers[0].Kill())
					}
					time.Sleep(time.Duration(200+rand.IntN(1800)) * time.Millisecond)
					m.kill()
					m.launch()
					if away {
						time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
						must(t, k.Brokers[0].Start(t.Context()))
					}
				}
				time.Sleep(time.Second)
			})
			o := compare(t, k, pick(15*time.Second, 45*time.Second), []string{topic}, f)
			t.Logf("%v: %.2f %% lost", o, 100*float64(o.lost)/float64(o.accepted))
		})
	}
}

// TestStockFinalErrors has the stock exporter, with the settings that lose least, meet what it calls final.
func TestStockFinalErrors(t *testing.T) {
	if !long() {
		t.Skip("a measure: MONBAN_LONG=1")
	}
	k := servers.StartKafka(t, servers.KafkaOptions{Users: map[string]string{"monban": "right"}})
	stock := func(topic, password string) *monban {
		return start(t, []string{"KAFKA_PASSWORD=" + password}, `yaml:{receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP}"}}}}, extensions: {file_storage: {directory: "${env:MONBAN_STATE}", create_directory: true}},
exporters: {kafka: {brokers: ["`+k.Addrs[0]+`"], logs: {topic: `+topic+`}, auth: {sasl: {mechanism: PLAIN, username: monban, password: "${env:KAFKA_PASSWORD}"}}, sending_queue: {storage: file_storage}, producer: {required_acks: all}, retry_on_failure: {max_elapsed_time: 0}}},
service: {extensions: [file_storage], telemetry: {metrics: {level: none, readers: []}}, pipelines: {logs: {receivers: [otlp], exporters: [kafka]}}}}`)
	}
	t.Run("wrong password", func(t *testing.T) {
		must(t, k.CreateTopic(t.Context(), "password", 1))
		m := stock("password", "wrong")
		f := newFeed(m)
		for range 20 {
			f.once()
		}
		time.Sleep(30 * time.Second)
		m.env = append(m.env, "KAFKA_PASSWORD=right")
		m.stop()
		m.launch()
		t.Log(compare(t, k, 30*time.Second, []string{"password"}, f))
	})
	t.Run("one record too large", func(t *testing.T) {
		must(t, k.CreateTopic(t.Context(), "large", 1, "max.message.bytes", "8000"))
		m := stock("large", "right")
		f := newFeed(m)
		for range 10 {
			f.once()
		}
		f.pad, f.size = 1000, 20
		f.once()
		t.Log(compare(t, k, 30*time.Second, []string{"large"}, f))
	})
}
