package learnedreceiver

import (
	"context"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/receiver/learnedreceiver/internal/metadata"
)

// NewFactory makes the factory of the receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithLogs(createLogs, metadata.LogsStability))
}

func createDefaultConfig() component.Config {
	return &Config{
		Baseline:  component.MustNewID("baseline"),
		Inventory: component.MustNewID("device"),
	}
}

func createLogs(_ context.Context, set receiver.Settings, config component.Config, _ consumer.Logs) (receiver.Logs, error) {
	return &learned{cfg: config.(*Config), id: set.ID, logger: set.Logger, out: os.Stdout, source: run.Begin()}, nil
}
