//go:build linux

package outlets

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// edge is configs/kafka-edge.yaml with the demo capture in place of an interface: a site of this name.
func edge(t *testing.T, k *servers.Kafka, topic, site string) error {
	t.Helper()
	root := testbed.Root()
	cmd := exec.Command(testbed.Binary(t), "--config", filepath.Join(root, "configs", "kafka-edge.yaml"), "--config",
		"yaml:{receivers: {packetflow: {interfaces: [], files: ['"+filepath.Join(root, "testbed", "lab", "demo.pcap.gz")+"'], at_end: exit}}, "+
			"exporters: {kafka_events: {topic: "+topic+", shutdown_grace: 100s, create_topics: {partitions: 6}, sending_queue: {storage: null, sizer: items, block_on_overflow: true}}}, "+
			"service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}}")
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+strings.Join(k.Addrs, ","), "MONBAN_STATE="+t.TempDir(), "MONBAN_OBSERVER="+site)
	if r := testbed.Exec(t, cmd); r.Code != 0 || strings.Contains(r.Stderr, "Dropping data") { // its queue is in memory
		return fmt.Errorf("edge %s: exit code %d\n%s", site, r.Code, r.Stderr)
	}
	return nil
}

// gateway is configs/kafka-gateway.yaml, of a group that writes to topics of this prefix.
func gateway(t *testing.T, k *servers.Kafka, topic, out string, more ...string) *monban {
	t.Helper()
	override := `yaml:{extensions: {kafka_state: {topic: ` + out + `.state, interval: 300ms}},
receivers: {kafka_events: {topics: [` + topic + `], group_id: ` + out + `, session_timeout: 6s, create_topics: {partitions: 6}}},
exporters: {kafka_events: {topic_prefix: ` + out + `.}},
service: {telemetry: {metrics: {level: normal, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: "${env:METRICS_PORT}"}}}}]}}}}`
	return startUntil(t, func(*monban) bool { return true }, []string{"KAFKA_BROKERS=" + strings.Join(k.Addrs, ",")},
		append([]string{filepath.Join(testbed.Root(), "configs", "kafka-gateway.yaml"), override}, more...)...)
}

// judged is all that gateways wrote, each message with how often it is there, and how many flows are among it.
func judged(t *testing.T, k *servers.Kafka, out string) (all map[string]int, flows int) {
	t.Helper()
	all = map[string]int{}
	records, err := k.Read(t.Context(), topicsOf(out)...)
	if err != nil {
		return all, 0 // not made yet
	}
	for _, r := range records {
		all[r.Topic[len(out):]+" "+string(r.Key)+" "+string(r.Value)]++
		if r.Topic == out+".flows" {
			flows++
		}
	}
	return all, flows
}

// waitJudged reads until there are so many flows, and nothing more comes.
func waitJudged(t *testing.T, k *servers.Kafka, out string, flows int, patience time.Duration) map[string]int {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		_, n := judged(t, k, out)
		if n >= flows {
			time.Sleep(2 * time.Second) // for what should not come
			all, _ := judged(t, k, out)
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d flows were judged within %s, want %d", n, patience, flows)
		}
	}
}

// TestGateways kills gateways at random moments, lets others come, pauses one until its partitions are
// with others, and kills the broker. Whatever is written must be what one gateway writes that nobody
// disturbs: every flow judged once, with the same verdict, every report once, with the same words.
func TestGateways(t *testing.T) {
	k := oneBroker(t)
	const topic = "gw.edge"
	must(t, edge(t, k, topic, "site-0"))
	first := gateway(t, k, topic, "gw.quiet")
	wantFlows := 0
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) { // how many flows a site has
		_, n := 0, 0
		if records, err := k.Read(t.Context(), "gw.quiet.flows"); err == nil {
			n = len(records)
		}
		if n > 0 && n == wantFlows {
			break
		}
		if wantFlows = n; time.Now().After(deadline) {
			t.Fatal("nothing was judged")
		}
	}
	random := rand.New(rand.NewPCG(7, 7))
	others := []*monban{gateway(t, k, topic, "gw.wild"), gateway(t, k, topic, "gw.wild")}
	rounds, sites := kills(), 1
	for i := range rounds {
		fed := make(chan error, 1)
		go func() {
			fed <- errors.Join(edge(t, k, topic, fmt.Sprintf("site-%d", sites)), edge(t, k, topic, fmt.Sprintf("site-%d", sites+1)))
		}()
		time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
		victim := others[random.IntN(len(others))]
		switch {
		case i%5 == 1: // its partitions go to the other, then it wakes up in the middle of its transaction
			must(t, victim.cmd.Process.Signal(syscall.SIGSTOP))
			time.Sleep(10 * time.Second)
			must(t, victim.cmd.Process.Signal(syscall.SIGCONT))
		case i%5 == 2: // in the middle of everybody's transactions
			must(t, <-fed)
			must(t, k.Brokers[0].Kill())
			time.Sleep(time.Duration(random.IntN(8000)) * time.Millisecond)
			must(t, k.Brokers[0].Start(t.Context()))
		case i%5 == 3:
			victim.stop()
			victim.launch()
		default:
			victim.kill()
			victim.launch()
		}
		if i%5 != 2 {
			must(t, <-fed)
		}
		sites += 2
	}
	want := waitJudged(t, k, "gw.quiet", wantFlows*sites, 2*time.Minute)
	got := waitJudged(t, k, "gw.wild", wantFlows*sites, 2*time.Minute)
	first.stop()
	for _, o := range others {
		o.stop()
	}
	lost, twice, other := 0, 0, 0
	for m, n := range want {
		switch {
		case got[m] < n:
			lost += n - got[m]
		case got[m] > n:
			twice += got[m] - n
		}
	}
	for _, m := range slices.Sorted(maps.Keys(got)) {
		if want[m] == 0 {
			if other++; other <= 10 {
				t.Logf("only there: %s", m)
			}
		}
	}
	reports := 0
	for m := range want {
		if strings.HasPrefix(m, ".reports ") {
			reports++
		}
	}
	t.Logf("%d rounds, %d sites, %d flows, %d records, %d of them reports: %d lost, %d twice, %d others", rounds, sites, wantFlows*sites, len(want), reports, lost, twice, other)
	if lost+twice+other > 0 || reports == 0 {
		t.Fail()
	}
}

// TestGatewayMisused holds that what can't work says so, and does not judge in silence what it can't hand over.
func TestGatewayMisused(t *testing.T) {
	k := oneBroker(t)
	must(t, edge(t, k, "misused.edge", "site-0"))
	for name, c := range map[string]struct{ override, says string }{
		"batch between":          {`{processors: {batch: {}}, service: {pipelines: {logs/watch: {processors: [batch, baseline]}}}}`, "nothing that lets records wait"},
		"another storage":        {`{extensions: {state_storage: {directory: "${env:MONBAN_STATE}/s"}}, processors: {baseline: {storage: state_storage}}, service: {extensions: [kafka_state, state_storage]}}`, "must be the extension that the kafka_events receiver names"},
		"a queue on kafka_state": {`{exporters: {otlp_http: {endpoint: "http://127.0.0.1:1", sending_queue: {storage: kafka_state}}}, service: {pipelines: {logs/reports: {exporters: [otlp_http]}}}}`, "give otlp_http another storage"},
		"two receivers":          {`{receivers: {kafka_events/2: {topics: [x], group_id: y, state: kafka_state}}, service: {pipelines: {logs/watch: {receivers: [kafka_events, kafka_events/2]}}}}`, "two receivers name the same"},
		"no transaction":         {`{exporters: {kafka_events: {transaction: null, brokers: ["${env:KAFKA_BROKERS}"]}}}`, "are written outside of these"},
		"threshold processor": {`{processors: {threshold: {rules: [{name: r, event: network.flow, attribute: flow.io.bytes, above: 1}]}},
service: {pipelines: {logs/watch: {processors: [threshold, baseline]}}}}`, "this component has one state for all"},
		"threshold connector": {`{connectors: {threshold: {rules: [{name: r, event: network.flow, attribute: flow.io.bytes, above: 1}]}},
service: {pipelines: {logs/watch: {exporters: [threat, kafka_events, threshold]}, logs/alarms: {receivers: [threshold], exporters: [kafka_events]}}}}`, "this component has one state for all"},
		"not listed": {`{service: {extensions: []}}`, "no kafka_state extension"},
	} {
		t.Run(name, func(t *testing.T) {
			m := gateway(t, k, "misused.edge", "mis."+strings.ReplaceAll(name, " ", "-"), "yaml:"+c.override)
			for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
				if b, err := os.ReadFile(m.log()); err == nil && strings.Contains(string(b), c.says) {
					return
				}
				if time.Since(begun) > 40*time.Second {
					t.Fatalf("it never says %q", c.says)
				}
			}
		})
	}
}

// TestGatewayEndsWithoutBroker ends a gateway whose broker is away, or hangs: it must not wait for longer than it is told to.
func TestGatewayEndsWithoutBroker(t *testing.T) {
	k := oneBroker(t)
	must(t, edge(t, k, "alone.edge", "site-0"))
	m := gateway(t, k, "alone.edge", "alone.a", "yaml:{receivers: {kafka_events: {shutdown_grace: 3s}}}")
	waitJudged(t, k, "alone.a", 1000, time.Minute)
	must(t, k.Brokers[0].Pause())
	took := m.stop()
	must(t, k.Brokers[0].Resume())
	t.Logf("beside a broker that hangs it took %s", took)
	if took > 15*time.Second {
		t.Fail()
	}
	dead, err := servers.FreePort()
	must(t, err)
	m = gateway(t, &servers.Kafka{Addrs: []string{fmt.Sprintf("127.0.0.1:%d", dead)}}, "alone.edge", "alone.b")
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if b, err := os.ReadFile(m.log()); err == nil && strings.Contains(string(b), "no connection to") {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal("it does not say that there is no broker")
		}
	}
	if took := m.stop(); took > 15*time.Second {
		t.Errorf("without a broker it took %s", took)
	}
}
