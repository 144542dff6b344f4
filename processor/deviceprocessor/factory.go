// Package deviceprocessor puts the inventory ids and names of the two ends on each
// flow and on each sighting, and adds an event for each new device and for what
// becomes known of it, before the records that showed it. Records of other kinds
// pass untouched.
package deviceprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"

	"github.com/monban/monban/processor/deviceprocessor/internal/metadata"
)

// NewFactory makes the factory of the device processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(metadata.Type, createDefaultConfig,
		processor.WithLogs(createLogs, metadata.LogsStability))
}

func createLogs(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	return newProcessor(set, cfg.(*Config), next)
}
