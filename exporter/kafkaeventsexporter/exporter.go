package kafkaeventsexporter

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/exporter/kafkaeventsexporter/internal/metadata"
	"github.com/monban/monban/internal/kafka"
)

// sayAgain is how long a fault that goes on is not mentioned again.
const sayAgain = time.Minute

// Outcomes of records.
const (
	outcomeSent     = "sent"
	outcomeRepeated = "repeated"
	outcomeRefused  = "refused"
	outcomeGivenUp  = "given_up"
)

var errShutdown = errors.New("the Collector ends")

type kafkaEvents struct {
	cfg    *Config
	logger *zap.Logger
	tb     *metadata.TelemetryBuilder

	mu       sync.Mutex // of encoder
	encoder  *encoder
	producer *kafka.Producer

	ctx    context.Context // over when what is on its way is to be given up
	cancel context.CancelCauseFunc

	saidMu sync.Mutex
	said   map[string]time.Time
}

func newExporter(ctx context.Context, cfg *Config, set exporter.Settings) (*kafkaEvents, error) {
	tb, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &kafkaEvents{cfg: cfg, logger: set.Logger, tb: tb, encoder: newEncoder(cfg), said: map[string]time.Time{}}
	e.ctx, e.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return e, nil
}

func (e *kafkaEvents) start(ctx context.Context, _ component.Host) error {
	cfg := kafka.Config{
		Brokers: e.cfg.brokers(), ClientID: e.cfg.ClientID,
		Mechanism: e.cfg.SASL.Mechanism, Username: e.cfg.SASL.Username, Password: string(e.cfg.SASL.Password),
		Compression: e.cfg.Compression, MaxMessageBytes: e.cfg.MaxMessageBytes,
		TransactionalID: e.cfg.TransactionalID, MarkTopic: e.cfg.TopicPrefix + "marks",
	}
	if e.cfg.TLS.HasValue() {
		tls, err := e.cfg.TLS.Get().LoadTLSConfig(ctx)
		if err != nil {
			return err
		}
		cfg.TLS = tls
	}
	if e.cfg.CreateTopics.HasValue() {
		t := e.cfg.CreateTopics.Get()
		cfg.Create, cfg.Partitions, cfg.Replicas = true, t.Partitions, t.ReplicationFactor
	}
	var err error
	e.producer, err = kafka.NewProducer(cfg, e.encoder.topics(), func(kind, what string, err error) {
		e.say(kind, what, zap.Error(err))
	})
	if err == nil {
		e.encoder.limit = e.producer.Limit
	}
	return err
}

// say warns of what, unless the same kind was said a short while ago.
func (e *kafkaEvents) say(kind, what string, fields ...zap.Field) {
	e.saidMu.Lock()
	recent := time.Since(e.said[kind]) < sayAgain
	if !recent {
		e.said[kind] = time.Now()
	}
	e.saidMu.Unlock()
	if !recent {
		e.logger.Warn(what, fields...)
	}
}

// consume sends the records of ld, and returns when the cluster has them. It does so for as long as
// it takes, or until the exporter is shut down.
func (e *kafkaEvents) consume(ctx context.Context, ld plog.Logs) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.ctx, func() { cancel(errShutdown) })()
	if err := e.producer.Ready(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	batch, err := e.encoder.encode(ld, e.producer.Known)
	e.mu.Unlock()
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	result, err := e.producer.Send(ctx, batch.messages)
	if err != nil {
		return err
	}
	for _, i := range result.Repeated {
		batch.contents[i].outcome = outcomeRepeated
	}
	for _, r := range result.Refused {
		batch.contents[r.Index].outcome = outcomeRefused
		m := batch.messages[r.Index]
		e.say("refused", "the cluster will never take this message, its records are lost",
			zap.String("topic", m.Topic), zap.ByteString("key", m.Key), zap.Int("bytes", len(m.Value)), zap.Error(r.Err))
	}
	for _, c := range batch.contents {
		e.count(c.event, c.outcome, c.records)
	}
	for event, n := range batch.known {
		e.count(event, outcomeRepeated, n)
	}
	return nil
}

func (e *kafkaEvents) count(event, outcome string, n int) {
	e.tb.KafkaEventsRecords.Add(context.Background(), int64(n), metric.WithAttributeSet(attribute.NewSet(
		attribute.String("event", event), attribute.String("outcome", outcome))))
}

func (e *kafkaEvents) shutdown(context.Context) error {
	e.cancel(errShutdown)
	if e.producer != nil {
		e.producer.Close()
	}
	e.tb.Shutdown()
	return nil
}

// counting is the exporter as pipelines see it: before its queue.
type counting struct {
	exporter.Logs
	e *kafkaEvents
}

// ConsumeLogs puts ld into the queue. When that is full the records are given up, by kind.
func (c *counting) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	kinds := map[string]int{}
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				kinds[c.e.encoder.kind(lr)]++
			}
		}
	}
	err := c.Logs.ConsumeLogs(ctx, ld)
	if err != nil {
		for event, n := range kinds {
			c.e.count(event, outcomeGivenUp, n)
			c.e.say("given up "+event, "records were given up", zap.String("event", event), zap.Int("records", n), zap.Error(err))
		}
	}
	return err
}

// Shutdown waits for what is on its way, but not for a cluster that is not there: what the queue
// on disk has is sent after the next start.
func (c *counting) Shutdown(ctx context.Context) error {
	t := time.AfterFunc(c.e.cfg.ShutdownGrace, func() { c.e.cancel(errShutdown) })
	defer t.Stop()
	return c.Logs.Shutdown(ctx)
}
