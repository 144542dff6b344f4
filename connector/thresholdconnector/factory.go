// Package thresholdconnector judges metrics, and numbers in log records, by rules that people
// write, and writes an observation into a pipeline of logs when an alarm rises, changes and falls.
// It leaves what it judges as it is; the threshold processor marks and filters.
package thresholdconnector

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"

	"github.com/monban/monban/connector/thresholdconnector/internal/metadata"
	"github.com/monban/monban/internal/watch"
)

// NewFactory makes the factory of the threshold connector.
func NewFactory() connector.Factory {
	return connector.NewFactory(metadata.Type, func() component.Config { return &Config{*watch.NewDefaultConfig()} },
		connector.WithMetricsToLogs(createMetricsToLogs, metadata.MetricsToLogsStability),
		connector.WithLogsToLogs(createLogsToLogs, metadata.LogsToLogsStability))
}

func createMetricsToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Metrics, error) {
	c, err := newConnector(set, cfg.(*Config), watch.Metrics, next)
	if err != nil {
		return nil, err
	}
	return &metricsConnector{c}, nil
}

func createLogsToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Logs, error) {
	c, err := newConnector(set, cfg.(*Config), watch.Logs, next)
	if err != nil {
		return nil, err
	}
	return &logsConnector{c}, nil
}
