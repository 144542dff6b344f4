package thresholdconnector

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

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
	return c, c.watch.Observe(c.telemetry)
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
