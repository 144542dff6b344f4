package kafkaeventsreceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/kafka"
	"github.com/monban/monban/internal/link"
	"github.com/monban/monban/internal/seldom"
	"github.com/monban/monban/internal/shard"
	"github.com/monban/monban/receiver/kafkaeventsreceiver/internal/metadata"
)

type kafkaEvents struct {
	cfg  *Config
	log  *zap.Logger
	next consumer.Logs
	obs  *receiverhelper.ObsReport
	tel  *metadata.TelemetryBuilder

	group   atomic.Pointer[kafka.Group]
	proto   plog.ProtoUnmarshaler
	decoder *flatjson.Decoder

	faults seldom.Faults
	link   link.Link
}

func newReceiver(cfg *Config, set receiver.Settings, next consumer.Logs) (*kafkaEvents, error) {
	r := &kafkaEvents{cfg: cfg, log: set.Logger, next: next, decoder: flatjson.NewDecoder()}
	var err error
	r.obs, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "kafka", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	if r.tel, err = metadata.NewTelemetryBuilder(set.TelemetrySettings); err != nil {
		return nil, err
	}
	return r, r.tel.RegisterKafkaEventsPartitionsCallback(func(_ context.Context, o metric.Int64Observer) error {
		if g := r.group.Load(); g != nil {
			o.Observe(int64(g.Partitions()))
		}
		return nil
	})
}

// Start joins the group, in the background. All who learn and write are known by now, as receivers start last.
func (r *kafkaEvents) Start(ctx context.Context, host component.Host) error {
	states, ok := host.GetExtensions()[*r.cfg.State].(shard.States)
	if !ok {
		return fmt.Errorf("state: there is no kafka_state extension %q; define it under extensions and list it under service.extensions", r.cfg.State)
	}
	settings, err := states.Attach()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	client, err := r.cfg.Client(ctx, r.cfg.CreateTopics)
	if err != nil {
		return err
	}
	client.Compression, client.MaxMessageBytes = r.cfg.Compression, r.cfg.MaxMessageBytes
	group, err := kafka.NewGroup(kafka.GroupConfig{
		Config: client, Group: r.cfg.GroupID, Topics: r.cfg.Topics, Outputs: settings.Outputs,
		StateTopic: settings.Topic, Interval: settings.Interval, SessionTimeout: r.cfg.SessionTimeout, MaxShards: r.cfg.MaxSites,
		Forget: settings.Forget,
	}, kafka.Work{
		Judge: r.judge, States: states.Checkpoint, Resume: states.Resume, Forget: states.Forget,
		Trouble: r.trouble, Fares: r.fares, Done: r.done,
	})
	if err != nil {
		return err
	}
	r.link.Begin(host)
	r.group.Store(group)
	return group.Start()
}

// Shutdown writes a last checkpoint of each partition and leaves the group.
func (r *kafkaEvents) Shutdown(ctx context.Context) error {
	r.link.End()
	if g := r.group.Load(); g != nil {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.ShutdownGrace)
		defer cancel()
		g.Close(ctx)
	}
	r.tel.Shutdown()
	return nil
}

// judge hands on the records of messages of one shard, each message by itself: so that what is found does not
// depend on how many came together.
func (r *kafkaEvents) judge(ctx context.Context, name string, messages []*kgo.Record) error {
	ctx = shard.In(ctx, name)
	for _, m := range messages {
		ld, err := r.decode(m)
		if err != nil {
			r.drop("malformed", m, err)
			continue
		}
		n := ld.LogRecordCount()
		if n == 0 {
			continue
		}
		op := r.obs.StartLogsOp(ctx)
		err = r.next.ConsumeLogs(op, ld)
		r.obs.EndLogsOp(op, metadata.Type.String(), n, err)
		if permanent(err) { // the next time would be no better
			r.drop("refused", m, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// permanent tells whether all who refused did so for good: of several behind one may have, while another was just
// away.
func permanent(err error) bool {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if several, ok := e.(interface{ Unwrap() []error }); ok {
			all := several.Unwrap()
			return len(all) > 0 && !slices.ContainsFunc(all, func(e error) bool { return !permanent(e) })
		}
	}
	return consumererror.IsPermanent(err)
}

// decode reads a message as its header says, else as configured.
func (r *kafkaEvents) decode(m *kgo.Record) (plog.Logs, error) {
	encoding := r.cfg.Encoding
	for _, h := range m.Headers {
		if h.Key == "content-type" {
			switch string(h.Value) {
			case "application/json":
				encoding = encodingJSON
			case "application/x-protobuf":
				encoding = encodingOTLP
			}
		}
	}
	if encoding == encodingOTLP {
		return r.proto.UnmarshalLogs(m.Value)
	}
	ld := plog.NewLogs()
	return ld, r.decoder.Decode(m.Value, ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords())
}

// drop counts a message of which nothing can be made.
func (r *kafkaEvents) drop(reason string, m *kgo.Record, err error) {
	r.tel.KafkaEventsDropped.Add(context.Background(), 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", reason))))
	r.say(reason, "a message could not be used and is passed over", zap.String("topic", m.Topic), zap.Int32("partition", m.Partition),
		zap.Int64("offset", m.Offset), zap.Error(err))
}

func (r *kafkaEvents) trouble(kind, what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	r.tel.KafkaEventsTroubles.Add(context.Background(), 1)
	r.say(kind, what, zap.Error(err))
}

// fares makes what holds up the group or a partition the receiver's health.
func (r *kafkaEvents) fares(what string, err error) {
	if err == nil {
		r.link.Up(what)
	} else {
		r.link.Down(what, err)
	}
}

func (r *kafkaEvents) done(c kafka.Checkpoint) {
	r.tel.KafkaEventsCheckpointDuration.Record(context.Background(), c.Took.Seconds())
	r.tel.KafkaEventsCheckpointSize.Add(context.Background(), int64(c.Bytes))
	r.log.Debug("checkpoint", zap.String("topic", c.Topic), zap.Int32("partition", c.Partition), zap.Int64("offset", c.Offset),
		zap.Int("sites", c.Shards), zap.Int("bytes", c.Bytes), zap.Duration("took", c.Took))
}

// say warns of what, unless the same was said a short while ago.
func (r *kafkaEvents) say(kind, what string, fields ...zap.Field) {
	if r.faults.Due(kind) {
		r.log.Warn(what, fields...)
	}
}
