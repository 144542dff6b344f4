package kafkaeventsreceiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/multierr"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/internal/shard"
	"github.com/monban/monban/receiver/kafkaeventsreceiver/internal/metadata"
	"github.com/monban/monban/receiver/kafkaeventsreceiver/internal/metadatatest"
)

func testConfig() *Config {
	cfg := createDefaultConfig().(*Config)
	id := component.MustNewID("kafka_state")
	cfg.Topics, cfg.State = []string{"monban.edge"}, &id
	return cfg
}

func message(contentType, value string) *kgo.Record {
	r := &kgo.Record{Topic: "monban.edge", Partition: 3, Offset: 7, Value: []byte(value)}
	if contentType != "" {
		r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte(contentType)}}
	}
	return r
}

// Each message is handed on by itself, marked with its shard; what can't be read, or is refused for good, is counted
// and passed over; any other fault stops.
func TestJudge(t *testing.T) {
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetEventName("network.flow")
	proto, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
	if err != nil {
		t.Fatal(err)
	}
	var events, shards []string
	var fault error
	next, _ := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		events = append(events, ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).EventName())
		shards = append(shards, shard.Of(ctx))
		return fault
	})
	tel := componenttest.NewTelemetry()
	defer func() { _ = tel.Shutdown(context.Background()) }()
	core, logs := observer.New(zap.InfoLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.Logger = zap.New(core)
	r, err := newReceiver(testConfig(), set, next)
	if err != nil {
		t.Fatal(err)
	}
	all := []*kgo.Record{
		message("", string(proto)),
		message("application/x-protobuf", string(proto)),
		message("application/json", `{"timestamp":"2026-01-01T00:00:00Z","event":"threat.report"}`),
		message("application/json", "nonsense"),
		message("", "nonsense"),
		message("", ""), // no records
		message("text/plain", string(proto)),
	}
	if err := r.judge(t.Context(), "monban.edge/3/hall", all); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(events, " "); got != "network.flow network.flow threat.report network.flow" {
		t.Errorf("handed on: %s", got)
	}
	for _, s := range shards {
		if s != "monban.edge/3/hall" {
			t.Errorf("shard %q", s)
		}
	}
	if logs.FilterMessageSnippet("passed over").Len() != 1 { // of the two the second is like the first
		t.Errorf("said: %v", logs.All())
	}
	fault = consumererror.NewPermanent(errors.New("never"))
	if err := r.judge(t.Context(), "x", all[:1]); err != nil {
		t.Errorf("a message that is refused for good stops the partition: %v", err)
	}
	for _, mixed := range []error{errors.Join(fault, errors.New("not now")), fmt.Errorf("behind: %w", multierr.Append(errors.New("not now"), fault))} {
		fault = mixed
		if err := r.judge(t.Context(), "x", all[:1]); err == nil {
			t.Errorf("a message that one has not taken is passed over: %v", mixed)
		}
		fault = consumererror.NewPermanent(errors.New("never"))
	}
	if fault = errors.Join(fault, fault); r.judge(t.Context(), "x", all[:1]) != nil {
		t.Error("a message that two refuse for good stops the partition")
	}
	fault = errors.New("not now")
	if err := r.judge(t.Context(), "x", all[:1]); err == nil {
		t.Error("a message that was not taken is passed over")
	}
	point := func(reason string, n int64) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Attributes: attribute.NewSet(attribute.String("reason", reason)), Value: n}
	}
	metadatatest.AssertEqualKafkaEventsDropped(t, tel, []metricdata.DataPoint[int64]{point("malformed", 2), point("refused", 2)}, metricdatatest.IgnoreTimestamp())
}

func TestStartRefuses(t *testing.T) {
	r, err := newReceiver(testConfig(), receivertest.NewNopSettings(metadata.Type), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "service.extensions") {
		t.Errorf("without its extension: %v", err)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"topics must name":       func(c *Config) { c.Topics = nil },
		"group_id must":          func(c *Config) { c.GroupID = "" },
		"state must name":        func(c *Config) { c.State = nil },
		`not "xml"`:              func(c *Config) { c.Encoding = "xml" },
		"session_timeout must":   func(c *Config) { c.SessionTimeout = time.Millisecond },
		"max_sites must":         func(c *Config) { c.MaxSites = 0 },
		"compression must":       func(c *Config) { c.Compression = "zip" },
		"max_message_bytes must": func(c *Config) { c.MaxMessageBytes = 1 },
		"shutdown_grace":         func(c *Config) { c.ShutdownGrace = -1 },
		"at least one broker":    func(c *Config) { c.Brokers = nil },
		"mechanism must be":      func(c *Config) { c.SASL.Mechanism = "NTLM" },
		"partitions of 1":        func(c *Config) { c.CreateTopics.GetOrInsertDefault().Partitions = 0 },
	} {
		cfg := testConfig()
		if err := xconfmap.Validate(cfg); err != nil {
			t.Fatal(err)
		}
		change(cfg)
		if err := xconfmap.Validate(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// FuzzDecode takes anything for a message.
func FuzzDecode(f *testing.F) {
	r, err := newReceiver(testConfig(), receivertest.NewNopSettings(metadata.Type), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("application/json", []byte(`{"timestamp":"2026-01-01T00:00:00Z","event":"threat.report"}`))
	f.Add("application/x-protobuf", []byte{0x0a, 0x00})
	f.Add("", []byte("nonsense"))
	f.Fuzz(func(_ *testing.T, contentType string, value []byte) {
		if ld, err := r.decode(message(contentType, string(value))); err == nil {
			ld.LogRecordCount()
		}
	})
}
