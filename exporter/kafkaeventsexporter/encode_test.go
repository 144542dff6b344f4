package kafkaeventsexporter

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/kafka"
	"github.com/monban/monban/internal/reference"
)

func testConfig(encoding string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Encoding = encoding
	return cfg
}

// site makes records of two devices, a report, and one of somebody else's.
func site() plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("observer.name", "gate")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("watch")
	add := func(event string, attrs ...string) {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetEventName(event)
		lr.SetTimestamp(1_754_000_000_000_000_000)
		for i := 0; i < len(attrs); i += 2 {
			lr.Attributes().PutStr(attrs[i], attrs[i+1])
		}
	}
	add("network.flow", "source.device.id", "plc", "destination.device.id", "hmi", "flow.id", "1")
	add("network.flow", "source.address", "203.0.113.9", "destination.device.id", "plc", "flow.id", "2")
	add("network.flow", "source.address", "203.0.113.9", "destination.address", "203.0.113.1", "flow.id", "3")
	add("network.flow", "source.device.id", "plc", "source.device.name", "learned", "flow.id", "4")
	add("threat.report", "device.id", "plc", "report.id", "5")
	add("somebody.else", "x", "y")
	return ld
}

func nothing(uint64) bool { return false }

func roomy(string) int { return 1 << 30 }

func encoderOf(cfg *Config) *encoder { return newEncoder(cfg, newTopics(cfg)) }

// TestKnown leaves out what is there already, in whatever batch it comes.
func TestKnown(t *testing.T) {
	for _, encoding := range []string{encodingJSON, encodingOTLP} {
		cfg := testConfig(encoding)
		cfg.TransactionalID = "x"
		e := encoderOf(cfg)
		all, err := e.encode(site(), nothing, roomy)
		if err != nil {
			t.Fatal(err)
		}
		second := all.messages[0].Marks
		if encoding == encodingJSON {
			second = all.messages[1].Marks
		} else {
			second = second[1:2]
		}
		rest, err := e.encode(site(), func(mark uint64) bool { return mark == second[0] }, roomy)
		n := 0
		for _, c := range rest.contents {
			n += c.records
		}
		if err != nil || n != 5 || rest.known["network.flow"] != 1 {
			t.Errorf("%s: %d records, known %v, %v", encoding, n, rest.known, err)
		}
	}
}

func keys(m []kafka.Message) (all []string) {
	for _, m := range m {
		all = append(all, m.Topic+" "+string(m.Key))
	}
	return all
}

func TestJSON(t *testing.T) {
	b, err := encoderOf(testConfig(encodingJSON)).encode(site(), nothing, roomy)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"monban.flows plc", "monban.flows plc", "monban.flows 203.0.113.9", "monban.flows plc",
		"monban.reports plc", "monban.other ",
	}
	if got := keys(b.messages); !slices.Equal(got, want) {
		t.Errorf("topics and keys %q, want %q", got, want)
	}
	for i, m := range b.messages {
		var v map[string]any
		if err := json.Unmarshal(m.Value, &v); err != nil || v["observer.name"] != "gate" || strings.ContainsRune(string(m.Value), '\n') {
			t.Errorf("message %d: %v: %s", i, err, m.Value)
		}
		if string(m.Headers[1].Value) != v["event"] && v["event"] != "somebody.else" {
			t.Errorf("message %d: header %s, event %s", i, m.Headers[1].Value, v["event"])
		}
	}
	again, _ := encoderOf(testConfig(encodingJSON)).encode(site(), nothing, roomy)
	for i := range b.messages {
		if again.messages[i].Marks[0] != b.messages[i].Marks[0] {
			t.Errorf("message %d has another mark when it is sent again", i)
		}
	}
}

func TestOTLP(t *testing.T) {
	cfg := testConfig(encodingOTLP)
	cfg.TransactionalID = "x"
	b, err := encoderOf(cfg).encode(site(), nothing, roomy)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"monban.flows plc", "monban.flows 203.0.113.9", "monban.reports plc", "monban.other "}
	if got := keys(b.messages); !slices.Equal(got, want) {
		t.Fatalf("topics and keys %q, want %q", got, want)
	}
	ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(b.messages[0].Value)
	if err != nil || ld.LogRecordCount() != 3 || len(b.messages[0].Marks) != 3 || b.contents[0].records != 3 {
		t.Fatalf("%d records with %d marks, %v", ld.LogRecordCount(), len(b.messages[0].Marks), err)
	}
	if v, _ := ld.ResourceLogs().At(0).Resource().Attributes().Get("observer.name"); v.AsString() != "gate" ||
		ld.ResourceLogs().At(0).ScopeLogs().At(0).Scope().Name() != "watch" {
		t.Error("the resource or the scope is lost")
	}
	var ids []string
	for _, lr := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
		id, _ := lr.Attributes().Get("flow.id")
		ids = append(ids, id.AsString())
	}
	if !slices.Equal(ids, []string{"1", "2", "4"}) {
		t.Errorf("flows %q are out of order", ids)
	}
}

// TestOneTopic keeps the order of different events that go to one topic with one key.
func TestOneTopic(t *testing.T) {
	cfg := testConfig(encodingOTLP)
	cfg.Topic, cfg.Key = "monban.edge", []string{"observer.name"}
	b, err := encoderOf(cfg).encode(site(), nothing, roomy)
	if err != nil || len(b.messages) != 1 || b.messages[0].Topic != "monban.edge" || string(b.messages[0].Key) != "gate" {
		t.Fatal(b.messages, err)
	}
	for _, h := range b.messages[0].Headers {
		if h.Key == "event" {
			t.Errorf("a message of several events is said to be of %s", h.Value)
		}
	}
	counts := map[string]int{}
	for _, c := range b.contents {
		counts[c.event] += c.records
	}
	if !maps.Equal(counts, map[string]int{"network.flow": 4, "threat.report": 1, "other": 1}) {
		t.Errorf("counts %v", counts)
	}
	ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(b.messages[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	was, is := site().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords(), ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for i, lr := range was.All() {
		if is.At(i).EventName() != lr.EventName() || !is.At(i).Attributes().Equal(lr.Attributes()) {
			t.Errorf("record %d is another", i)
		}
	}
}

// TestOTLPSplits cuts what is too large for one message, and loses nothing.
func TestOTLPSplits(t *testing.T) {
	cfg := testConfig(encodingOTLP)
	cfg.MaxMessageBytes = 4096
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range 50 {
		lr := records.AppendEmpty()
		lr.SetEventName("network.flow")
		lr.Attributes().PutStr("source.device.id", "plc")
		lr.Attributes().PutStr("x", strings.Repeat("x", 500))
	}
	b, err := encoderOf(cfg).encode(ld, nothing, roomy)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, m := range b.messages {
		if len(m.Value) > 4096 {
			t.Errorf("a message of %d bytes", len(m.Value))
		}
		n += b.contents[i].records
	}
	if n != 50 || len(b.messages) < 8 {
		t.Errorf("%d records in %d messages", n, len(b.messages))
	}
}

func TestTopics(t *testing.T) {
	cfg := testConfig(encodingJSON)
	cfg.TopicPrefix, cfg.Topics = "ot-", map[string]string{"network.flow": "netflow"}
	topics := newTopics(cfg).all
	if len(topics) != len(reference.Events())+1 || !slices.Contains(topics, "netflow") || !slices.Contains(topics, "ot-reports") || slices.Contains(topics, "ot-flows") {
		t.Errorf("topics %q", topics)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"brokers":      {func(c *Config) { c.Brokers = nil }, "at least one broker"},
		"broker":       {func(c *Config) { c.Brokers = []string{"a:9092,b c:9092"} }, `"b c:9092" is no host:port`},
		"encoding":     {func(c *Config) { c.Encoding = "xml" }, `not "xml"`},
		"compression":  {func(c *Config) { c.Compression = "zip" }, "one of zstd"},
		"event":        {func(c *Config) { c.Topics = map[string]string{"network.flaw": "x"} }, "there is no event"},
		"topic":        {func(c *Config) { c.Topics = map[string]string{"network.flow": "a b"} }, "can't be a topic"},
		"prefix":       {func(c *Config) { c.TopicPrefix = "a/" }, "can't begin a topic"},
		"mechanism":    {func(c *Config) { c.SASL.Mechanism = "NTLM" }, `not "NTLM"`},
		"no user":      {func(c *Config) { c.SASL.Mechanism = "PLAIN" }, "username must be set"},
		"no mechanism": {func(c *Config) { c.SASL.Username = "x" }, "do nothing without"},
		"size":         {func(c *Config) { c.MaxMessageBytes = 5 }, "between 16384"},
		"one topic":    {func(c *Config) { c.Topic = "a b" }, "topic: "},
		"two ways":     {func(c *Config) { c.Topic = "a"; c.Topics = map[string]string{"network.flow": "x"} }, "topics must be empty"},
		"two ids":      {func(c *Config) { c.TransactionalID = "x"; c.Transaction = &component.ID{} }, "transactional_id must be empty"},
		"two makers":   {func(c *Config) { c.CreateTopics.GetOrInsertDefault(); c.Transaction = &component.ID{} }, "create_topics must not be set"},
		"no partition": {func(c *Config) { c.CreateTopics.GetOrInsertDefault().Partitions = 0 }, "partitions of 1 or more"},
		"consumers":    {func(c *Config) { c.TransactionalID = "x"; c.QueueConfig.Get().NumConsumers = 2 }, "num_consumers must be 1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(encodingOTLP)
			if err := xconfmap.Validate(cfg); err != nil {
				t.Fatal(err)
			}
			c.change(cfg)
			if err := xconfmap.Validate(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	one := site().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for range 100 {
		for _, lr := range one.All() {
			lr.CopyTo(records.AppendEmpty())
		}
	}
	for _, encoding := range []string{encodingJSON, encodingOTLP} {
		b.Run(encoding, func(b *testing.B) {
			e := encoderOf(testConfig(encoding))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.encode(ld, nothing, roomy); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records.Len()), "ns/record")
		})
	}
}
