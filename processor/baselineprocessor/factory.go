// Package baselineprocessor learns what each device usually does and marks what
// is not usual, with a score and reasons. It works on the log records that the
// packetflow receiver writes and the device processor has put names to, in place
// and in order; records of other kinds pass untouched. In a pipeline of metrics it
// learns what each series usually is.
package baselineprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"

	"github.com/monban/monban/processor/baselineprocessor/internal/metadata"
)

// NewFactory makes the factory of the baseline processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(metadata.Type, createDefaultConfig,
		processor.WithLogs(createLogs, metadata.LogsStability),
		processor.WithMetrics(createMetrics, metadata.MetricsStability))
}

func createLogs(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	return newBaseline(set, cfg.(*Config), next)
}

func createMetrics(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
	return newMetrics(set, cfg.(*Config), next)
}
