// Package threatconnector writes threat reports. It reads the log records, and
// the data points, that the baseline processor has judged, and emits one report
// an incident, updated while the incident goes on, into the pipeline behind it.
package threatconnector

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"

	"github.com/monban/monban/connector/threatconnector/internal/metadata"
)

// NewFactory makes the factory of the threat connector.
func NewFactory() connector.Factory {
	return connector.NewFactory(metadata.Type, createDefaultConfig,
		connector.WithLogsToLogs(createLogsToLogs, metadata.LogsToLogsStability),
		connector.WithMetricsToLogs(createMetricsToLogs, metadata.MetricsToLogsStability))
}

func createLogsToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Logs, error) {
	return newThreat(set, cfg.(*Config), next)
}

func createMetricsToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Metrics, error) {
	c, err := newThreat(set, cfg.(*Config), next)
	if err != nil {
		return nil, err
	}
	// The logs side of the same id keeps incidents of its own.
	name := "metrics"
	if own := set.ID.Name(); own != "" {
		name = own + "/" + name
	}
	c.keeps = component.NewIDWithName(set.ID.Type(), name)
	return &metricsThreat{c}, nil
}
