// Package threatconnector writes threat reports. It reads the log records that
// the baseline processor has judged, and emits one report an incident, updated
// while the incident goes on, into the pipeline behind it.
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
		connector.WithLogsToLogs(createLogsToLogs, metadata.LogsToLogsStability))
}

func createLogsToLogs(_ context.Context, set connector.Settings, cfg component.Config, next consumer.Logs) (connector.Logs, error) {
	return newThreat(set, cfg.(*Config), next)
}
