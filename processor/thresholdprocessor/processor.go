package thresholdprocessor

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

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
	each := func(tell func(metric.Int64Observer, string, threshold.Tally, int)) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			p.watch.Report(func(rule string, t threshold.Tally, entities int) { tell(o, rule, t, entities) })
			return nil
		}
	}
	rule := func(name string, more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributes(append(more, attribute.String("rule", name))...)
	}
	return p, errors.Join(
		p.telemetry.RegisterThresholdPointsCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			for i, n := range t.Points {
				if n > 0 {
					o.Observe(int64(n), rule(name, attribute.String("outcome", threshold.Outcome(i).String())))
				}
			}
		})),
		p.telemetry.RegisterThresholdAlarmsCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			for _, a := range t.Alarms() {
				o.Observe(int64(a.N), rule(name, attribute.String("alarm", a.Name)))
			}
		})),
		p.telemetry.RegisterThresholdEntitiesCallback(each(func(o metric.Int64Observer, name string, _ threshold.Tally, entities int) {
			o.Observe(int64(entities), rule(name))
		})),
		p.telemetry.RegisterThresholdEvictedCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			o.Observe(int64(t.Evicted), rule(name))
		})),
		p.telemetry.RegisterThresholdSetBackCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			o.Observe(int64(t.SetBack), rule(name))
		})),
		p.telemetry.RegisterThresholdUntoldCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(p.watch.Untold())
			return nil
		}),
	)
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
