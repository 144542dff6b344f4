package thresholdprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"

	"github.com/monban/monban/internal/threshold"
	"github.com/monban/monban/internal/watch"
	"github.com/monban/monban/processor/thresholdprocessor/internal/metadata"
)

// thresholdProcessor is what the processors of both signals share.
type thresholdProcessor struct {
	set       processor.Settings
	watch     *watch.Watch
	telemetry *metadata.TelemetryBuilder
	next      consumer.Logs // nil in a pipeline of metrics
}

func newProcessor(set processor.Settings, cfg *Config, signal watch.Signal) (*thresholdProcessor, error) {
	p := &thresholdProcessor{set: set}
	s := watch.Settings{Config: &cfg.Watch, Signal: signal, Do: threshold.Mark, Telemetry: set.TelemetrySettings, Scope: metadata.ScopeName}
	if signal == watch.Logs {
		s.Send = func(ctx context.Context, logs plog.Logs) error { return p.next.ConsumeLogs(ctx, logs) }
	}
	var err error
	if p.watch, err = watch.New(s); err != nil {
		return nil, err
	}
	if p.telemetry, err = metadata.NewTelemetryBuilder(set.TelemetrySettings); err != nil {
		return nil, err
	}
	return p, p.watch.Observe(p.telemetry)
}

func (*thresholdProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (p *thresholdProcessor) Start(ctx context.Context, host component.Host) error {
	return p.watch.Start(ctx, host, component.KindProcessor, p.set.ID)
}

func (p *thresholdProcessor) Shutdown(ctx context.Context) error {
	err := p.watch.Shutdown(ctx)
	p.telemetry.Shutdown()
	return err
}

type metricsProcessor struct {
	*thresholdProcessor
	to consumer.Metrics
}

func (p *metricsProcessor) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	return p.watch.Metrics(ctx, md, nil, func(md pmetric.Metrics) error { return p.to.ConsumeMetrics(ctx, md) })
}

type logsProcessor struct{ *thresholdProcessor }

func (p *logsProcessor) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	return p.watch.Logs(ctx, ld, nil, func(ld plog.Logs) error { return p.next.ConsumeLogs(ctx, ld) })
}
