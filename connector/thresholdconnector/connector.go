package thresholdconnector

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/monban/monban/connector/thresholdconnector/internal/metadata"
	"github.com/monban/monban/internal/threshold"
	"github.com/monban/monban/internal/watch"
)

// thresholdConnector is what the connectors of both signals share.
type thresholdConnector struct {
	set       connector.Settings
	watch     *watch.Watch
	telemetry *metadata.TelemetryBuilder
	next      consumer.Logs
}

func newConnector(set connector.Settings, cfg *Config, signal watch.Signal, next consumer.Logs) (*thresholdConnector, error) {
	c := &thresholdConnector{set: set, next: next}
	s := watch.Settings{Config: &cfg.Watch, Signal: signal, Do: threshold.Event, Telemetry: set.TelemetrySettings, Scope: metadata.ScopeName,
		Send: next.ConsumeLogs}
	var err error
	if c.watch, err = watch.New(s); err != nil {
		return nil, err
	}
	if c.telemetry, err = metadata.NewTelemetryBuilder(set.TelemetrySettings); err != nil {
		return nil, err
	}
	each := func(tell func(metric.Int64Observer, string, threshold.Tally, int)) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			c.watch.Report(func(rule string, t threshold.Tally, entities int) { tell(o, rule, t, entities) })
			return nil
		}
	}
	rule := func(name string, more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributes(append(more, attribute.String("rule", name))...)
	}
	return c, errors.Join(
		c.telemetry.RegisterThresholdPointsCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			for i, n := range t.Points {
				if n > 0 {
					o.Observe(int64(n), rule(name, attribute.String("outcome", threshold.Outcome(i).String())))
				}
			}
		})),
		c.telemetry.RegisterThresholdAlarmsCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			for _, a := range t.Alarms() {
				o.Observe(int64(a.N), rule(name, attribute.String("alarm", a.Name)))
			}
		})),
		c.telemetry.RegisterThresholdEntitiesCallback(each(func(o metric.Int64Observer, name string, _ threshold.Tally, entities int) {
			o.Observe(int64(entities), rule(name))
		})),
		c.telemetry.RegisterThresholdEvictedCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			o.Observe(int64(t.Evicted), rule(name))
		})),
		c.telemetry.RegisterThresholdSetBackCallback(each(func(o metric.Int64Observer, name string, t threshold.Tally, _ int) {
			o.Observe(int64(t.SetBack), rule(name))
		})),
		c.telemetry.RegisterThresholdUntoldCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(c.watch.Untold())
			return nil
		}),
	)
}

func (*thresholdConnector) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (c *thresholdConnector) Start(ctx context.Context, host component.Host) error {
	return c.watch.Start(ctx, host, component.KindConnector, c.set.ID)
}

func (c *thresholdConnector) Shutdown(ctx context.Context) error {
	err := c.watch.Shutdown(ctx)
	c.telemetry.Shutdown()
	return err
}

type metricsConnector struct{ *thresholdConnector }

func (c *metricsConnector) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	return c.watch.Metrics(ctx, md, func(out plog.Logs) error { return c.next.ConsumeLogs(ctx, out) }, nil)
}

type logsConnector struct{ *thresholdConnector }

func (c *logsConnector) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	return c.watch.Logs(ctx, ld, func(out plog.Logs) error { return c.next.ConsumeLogs(ctx, out) }, nil)
}
