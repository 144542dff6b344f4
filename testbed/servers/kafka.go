//go:build linux

package servers

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// What a broker of Apache Kafka 4.1.0 needs of org.apache.kafka:kafka_2.13 and all that it depends on.
//
//go:embed kafka.jars
var kafkaJars string

// KafkaOptions say what cluster to start. The zero value is one broker without passwords.
type KafkaOptions struct {
	Brokers    int               // 1 if 0; each is a controller as well
	Users      map[string]string // passwords by name: clients need SASL/PLAIN then
	TLS        map[string]string // settings of one more listener, which speaks TLS: ssl.keystore.location and so on
	Properties map[string]string // of server.properties, besides or instead of ours
	Heap       string            // of each, "512m" if ""
}

// Kafka is a cluster of Apache Kafka.
type Kafka struct {
	Brokers []*Process
	Addrs   []string // host:port of each
	Secure  []string // likewise, of the listeners that speak TLS
	users   map[string]string
}

// StartKafka starts a cluster for this test, which ends with it. A failed test shows the end of
// each broker's log and tells where all of it is.
func StartKafka(t testing.TB, o KafkaOptions) *Kafka {
	t.Helper()
	if err := Available(); err != nil {
		Need(t, err)
	}
	k, err := NewKafka(t.Context(), t.Name(), t.TempDir(), o)
	if k != nil {
		t.Cleanup(func() {
			k.Kill()
			if t.Failed() {
				for _, b := range k.Brokers {
					t.Logf("the log of %s is %s; its end:\n%s", b.Name, b.Log, b.Tail(15))
				}
			}
		})
	}
	var fetch *fetchError
	if errors.As(err, &fetch) {
		Need(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fetchError is that of a server which could not be had.
type fetchError struct{ error }

// NewKafka starts a cluster with its data in dir, for tests that share one; name is that of its
// logs. The cluster comes back even with an error, to be killed, unless it is nil.
func NewKafka(ctx context.Context, name, dir string, o KafkaOptions) (*Kafka, error) {
	jars, err := Fetch(ctx, parseArtifacts(kafkaJars)...)
	if err != nil {
		return nil, &fetchError{err}
	}
	n, classpath := max(1, o.Brokers), strings.Join(jars, ":")
	ports := make([]int, 3*n) // of clients, of controllers, of clients with TLS
	for i := range ports {
		for ports[i] == 0 || slices.Contains(ports[:i], ports[i]) {
			if ports[i], err = FreePort(); err != nil {
				return nil, err
			}
		}
	}
	var voters []string
	for i := range n {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[n+i]))
	}
	k := &Kafka{users: o.Users}
	for i := range n {
		b := &Process{Name: fmt.Sprintf("broker %d", i+1), wait: 2 * time.Minute}
		if b.Log, err = LogFile(fmt.Sprintf("%s-kafka-%d", name, i+1)); err != nil {
			return k, err
		}
		home := filepath.Join(dir, fmt.Sprintf("broker-%d", i+1))
		addr := fmt.Sprintf("127.0.0.1:%d", ports[i])
		properties := filepath.Join(home, "server.properties")
		if err := os.MkdirAll(home, 0o755); err != nil {
			return k, err
		}
		secure := ""
		if len(o.TLS) > 0 {
			secure = fmt.Sprintf("127.0.0.1:%d", ports[2*n+i])
			k.Secure = append(k.Secure, secure)
		}
		if err := os.WriteFile(properties, o.properties(i+1, n, addr, secure, ports[n+i], voters, home), 0o600); err != nil {
			return k, err
		}
		format := exec.CommandContext(ctx, "java", "-XX:TieredStopAtLevel=1", "-cp", classpath, "kafka.tools.StorageTool",
			"format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", properties)
		if out, err := format.CombinedOutput(); err != nil {
			return k, fmt.Errorf("formatting %s: %w\n%s", home, err, out)
		}
		heap := o.Heap
		if heap == "" {
			heap = "512m"
		}
		b.command = func() *exec.Cmd {
			cmd := exec.Command("java", "-Xmx"+heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
				"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
				"-cp", classpath, "kafka.Kafka", properties)
			cmd.Dir = home
			return cmd
		}
		b.answers = func(ctx context.Context) error { return k.answers(ctx, addr) }
		k.Brokers, k.Addrs = append(k.Brokers, b), append(k.Addrs, addr)
	}
	for _, b := range k.Brokers {
		if err := b.Launch(); err != nil {
			return k, err
		}
	}
	for _, b := range k.Brokers { // together, as one of three does not answer for the cluster alone
		if err := b.Await(ctx); err != nil {
			return k, err
		}
	}
	return k, k.complete(ctx, n)
}

func (o KafkaOptions) properties(id, n int, addr, secure string, controller int, voters []string, home string) []byte {
	replicas, inSync := fmt.Sprint(n), fmt.Sprint(max(1, n-1))
	p := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        fmt.Sprint(id),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"listeners":                      fmt.Sprintf("CLIENT://%s,CONTROLLER://127.0.0.1:%d", addr, controller),
		"advertised.listeners":           "CLIENT://" + addr,
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "CLIENT",
		"listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT",
		"log.dirs":                       filepath.Join(home, "data"),

		"default.replication.factor":               replicas,
		"min.insync.replicas":                      inSync,
		"offsets.topic.replication.factor":         replicas,
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            inSync,
		"transaction.state.log.num.partitions":     "4",
		"broker.session.timeout.ms":                "3000", // how long a killed broker's number is taken
		"broker.heartbeat.interval.ms":             "500",
		"auto.create.topics.enable":                "false",
		"group.initial.rebalance.delay.ms":         "0",
	}
	if len(o.Users) > 0 {
		p["listener.security.protocol.map"] = "CONTROLLER:PLAINTEXT,CLIENT:SASL_PLAINTEXT"
		p["sasl.enabled.mechanisms"] = "PLAIN"
		p["sasl.mechanism.inter.broker.protocol"] = "PLAIN"
		jaas := `org.apache.kafka.common.security.plain.PlainLoginModule required username="broker" password="broker" user_broker="broker"`
		for user, password := range o.Users {
			jaas += fmt.Sprintf(" user_%s=%q", user, password)
		}
		p["listener.name.client.plain.sasl.jaas.config"] = jaas + ";"
	}
	if secure != "" {
		p["listeners"] += ",SECURE://" + secure
		p["advertised.listeners"] += ",SECURE://" + secure
		p["listener.security.protocol.map"] += ",SECURE:SSL"
		for key, value := range o.TLS {
			p["listener.name.secure."+key] = value
		}
	}
	maps.Copy(p, o.Properties)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", key, p[key])
	}
	return []byte(b.String())
}

// Client makes a client of the cluster, with a password if the cluster wants one.
func (k *Kafka) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(k.access(k.Addrs...), opts...)...)
}

func (k *Kafka) access(addrs ...string) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(addrs...), kgo.MetadataMinAge(100 * time.Millisecond)}
	if len(k.users) > 0 {
		opts = append(opts, kgo.SASL(plain.Auth{User: "broker", Pass: "broker"}.AsMechanism()))
	}
	return opts
}

func (k *Kafka) answers(ctx context.Context, addr string) error {
	cl, err := kgo.NewClient(k.access(addr)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.Ping(ctx)
}

// complete waits until the cluster knows n brokers.
func (k *Kafka) complete(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cl, err := k.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
		if err == nil && len(brokers) == n {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the cluster has %d brokers of %d: %w", len(brokers), n, errors.Join(err, ctx.Err()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// CreateTopic makes a topic, replicated to all brokers. Settings come in pairs: "max.message.bytes", "2000".
func (k *Kafka) CreateTopic(ctx context.Context, name string, partitions int, settings ...string) error {
	cl, err := k.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	configs := map[string]*string{}
	for i := 0; i+1 < len(settings); i += 2 {
		configs[settings[i]] = &settings[i+1]
	}
	_, err = kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), int16(len(k.Brokers)), configs, name)
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", name, err)
	}
	return nil
}

// Read gives all records of the topics that are there now, in the order of each partition; of
// transactions only those that were committed.
func (k *Kafka) Read(ctx context.Context, topics ...string) (records []*kgo.Record, err error) {
	cl, err := k.Client(kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords()) // those are the last of a transaction
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of %v: %w", topics, err)
	}
	left := map[string]map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if left[o.Topic] == nil {
			left[o.Topic] = map[int32]int64{}
		}
		if o.Offset > 0 {
			left[o.Topic][o.Partition] = o.Offset
		}
	})
	for {
		for topic, ends := range left {
			if len(ends) == 0 {
				delete(left, topic)
			}
		}
		if len(left) == 0 {
			return records, nil
		}
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return records, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, ok := left[r.Topic][r.Partition]
			if ok && r.Offset < end && !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset >= end-1 {
				delete(left[r.Topic], r.Partition)
			}
		})
	}
}

// Kill ends all brokers.
func (k *Kafka) Kill() {
	for _, b := range k.Brokers {
		_ = b.Kill()
	}
}
