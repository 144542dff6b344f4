// Package thresholdprocessor judges metrics, and numbers in log records, by rules that people
// write. It lets only what is past its bound pass, marks it, and in pipelines of logs writes an
// observation when an alarm rises, changes and falls. In pipelines of metrics the threshold
// connector does that.
package thresholdprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"

	"github.com/monban/monban/internal/watch"
	"github.com/monban/monban/processor/thresholdprocessor/internal/metadata"
)

// NewFactory makes the factory of the threshold processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(metadata.Type, func() component.Config { return &Config{*watch.NewDefaultConfig()} },
		processor.WithMetrics(createMetrics, metadata.MetricsStability),
		processor.WithLogs(createLogs, metadata.LogsStability))
}

func createMetrics(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
	c, err := newProcessor(set, cfg.(*Config), watch.Metrics)
	if err != nil {
		return nil, err
	}
	return &metricsProcessor{c, next}, nil
}

func createLogs(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	c, err := newProcessor(set, cfg.(*Config), watch.Logs)
	if err != nil {
		return nil, err
	}
	c.next = next
	return &logsProcessor{c}, nil
}
