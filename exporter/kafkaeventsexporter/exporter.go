package kafkaeventsexporter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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
	"github.com/monban/monban/internal/link"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/seldom"
	"github.com/monban/monban/internal/shard"
)

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

	topics   *topics
	encoders sync.Pool // of *encoder
	producer *kafka.Producer

	ctx    context.Context // over when what is on its way is to be given up
	cancel context.CancelCauseFunc

	faults  seldom.Faults
	link    link.Link
	apart   sync.Once             // that records leave their transaction is said
	last    atomic.Pointer[error] // fault of a connection since something was sent
	arrival logrecord.Arrival     // of what comes without a time
}

func newExporter(ctx context.Context, cfg *Config, set exporter.Settings) (*kafkaEvents, error) {
	tb, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &kafkaEvents{cfg: cfg, logger: set.Logger, tb: tb, topics: newTopics(cfg)}
	e.encoders.New = func() any { return newEncoder(cfg, e.topics) }
	e.ctx, e.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return e, nil
}

func (e *kafkaEvents) start(ctx context.Context, host component.Host) error {
	cfg, err := e.cfg.Client(ctx, e.cfg.CreateTopics)
	if err != nil {
		return err
	}
	cfg.Compression, cfg.MaxMessageBytes = e.cfg.Compression, e.cfg.MaxMessageBytes
	cfg.TransactionalID, cfg.MarkTopic = e.cfg.TransactionalID, e.cfg.TopicPrefix+"marks"
	e.producer, err = kafka.NewProducer(cfg, e.topics.all, func(kind, what string, err error) {
		e.say(kind, what, zap.Error(err))
		err = fmt.Errorf("%s: %w", what, err)
		e.last.Store(&err)
	})
	e.link.Begin(host)
	return err
}

// say warns of what, unless the same kind was said a short while ago.
func (e *kafkaEvents) say(kind, what string, fields ...zap.Field) {
	if e.faults.Due(kind) {
		e.logger.Warn(what, fields...)
	}
}

// silence is how long a call may wait for the cluster before that counts as a fault. A cluster that
// has lost one broker of several is slower than that only while it chooses new leaders.
const silence = 5 * time.Second

var errSilence = errors.New("the cluster has not taken anything for " + silence.String())

// consume is [kafkaEvents.send], and tells how the exporter fares. Send itself waits for a cluster that is
// away, so that no answer is a fault as well.
func (e *kafkaEvents) consume(ctx context.Context, ld plog.Logs) error {
	told := make(chan struct{})
	waiting := time.AfterFunc(silence, func() {
		defer close(told)
		err := errSilence
		if last := e.last.Load(); last != nil {
			err = *last
		}
		e.link.Down("", err)
	})
	err := e.send(ctx, ld)
	if !waiting.Stop() {
		<-told // or it would be the last word
	}
	if err == nil {
		e.last.Store(nil)
		e.link.Up("")
	} else if !consumererror.IsPermanent(err) {
		e.link.Down("", err)
	}
	return err
}

// send sends the records of ld, and returns when the cluster has them. It does so for as long as
// it takes, or until the exporter is shut down.
func (e *kafkaEvents) send(ctx context.Context, ld plog.Logs) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.ctx, func() { cancel(errShutdown) })()
	if err := e.producer.Ready(ctx); err != nil {
		return err
	}
	batch, err := e.encode(ld, e.producer.Known, e.producer.Limit)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	result, err := e.producer.Send(ctx, batch.messages)
	if err != nil {
		return err
	}
	for _, i := range result.Repeated {
		batch.outcomes[i] = outcomeRepeated
	}
	for _, r := range result.Refused {
		e.refused(&batch, r.Index, r.Err)
	}
	e.countAll(&batch)
	return nil
}

func (e *kafkaEvents) encode(ld plog.Logs, known func(uint64) bool, limit func(string) int) (batch, error) {
	enc := e.encoders.Get().(*encoder)
	defer e.encoders.Put(enc)
	return enc.encode(ld, known, limit)
}

func (e *kafkaEvents) refused(b *batch, i int, err error) {
	b.outcomes[i] = outcomeRefused
	m := b.messages[i]
	e.say("refused", "the cluster will never take this message, its records are lost",
		zap.String("topic", m.Topic), zap.ByteString("key", m.Key), zap.Int("bytes", len(m.Value)), zap.Error(err))
}

func (e *kafkaEvents) countAll(b *batch) {
	for _, c := range b.contents {
		e.count(c.event, b.outcomes[c.message], c.records)
	}
	for event, n := range b.known {
		e.count(event, outcomeRepeated, n)
	}
}

// join tells the extension what is written in its transactions.
func (e *kafkaEvents) join(_ context.Context, host component.Host) error {
	r := shard.Find(host, e.cfg.Transaction)
	if r == nil {
		return fmt.Errorf("transaction: there is no kafka_state extension %q; define it under extensions and list it under service.extensions", e.cfg.Transaction)
	}
	r.Write(e.topics.all...)
	return nil
}

var errOutside = errors.New("records came outside of a partition's transaction: between the kafka_events receiver and this exporter there must be nothing that lets records wait, and no other receiver may feed it")

// consumeWithin writes the records of ld in the transaction of the partition that they came from. Readers see them with
// the partition's next checkpoint.
func (e *kafkaEvents) consumeWithin(ctx context.Context, ld plog.Logs) error {
	tx, ok := kafka.Within(ctx)
	if !ok {
		return errOutside
	}
	ld = e.arrival.Observe(ld, false)
	batch, err := e.encode(ld, func(uint64) bool { return false }, tx.Limit)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	fit := batch.messages[:0:0]
	for i, m := range batch.messages {
		// The cluster would refuse it, and the whole transaction with it.
		if size, most := m.Size(), tx.Limit(m.Topic); size > most {
			e.refused(&batch, i, fmt.Errorf("it has %d bytes, the topic takes %d", size, most))
			continue
		}
		fit = append(fit, m)
	}
	if err := tx.Send(ctx, fit); err != nil {
		return err
	}
	e.countAll(&batch)
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

// ConsumeLogs puts ld into the queue, with a time for each record: what tells a record that is sent again is made
// of that too. When the queue is full the records are given up, by kind.
func (c *counting) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	if _, ok := kafka.Within(ctx); ok {
		c.e.apart.Do(func() {
			c.e.logger.Warn("Records come from partitions that are judged in transactions, and are written outside of these: whenever a partition goes back to its last checkpoint, " +
				"those since are written again. Name the extension that the kafka_events receiver has as its `state` under `transaction` here, unless this is for another cluster")
		})
	}
	ld = c.e.arrival.Observe(ld, !ld.IsReadOnly() && c.Capabilities().MutatesData)
	kinds := map[string]int{}
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				kinds[c.e.topics.kind(lr)]++
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
	c.e.link.End()
	t := time.AfterFunc(c.e.cfg.ShutdownGrace, func() { c.e.cancel(errShutdown) })
	defer t.Stop()
	return c.Logs.Shutdown(ctx)
}
