package summaryexporter

import (
	"context"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/monban/monban/exporter/summaryexporter/internal/metadata"
	"github.com/monban/monban/internal/summary"
)

// NewFactory makes the factory of the exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type, createDefaultConfig,
		exporter.WithLogs(createLogs, metadata.LogsStability))
}

func createDefaultConfig() component.Config {
	return &Config{Output: outputStdout, Color: summary.ColorAuto}
}

func createLogs(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Logs, error) {
	cfg := config.(*Config)
	out := os.Stdout
	if cfg.Output == outputStderr {
		out = os.Stderr
	}
	e := newExporter(cfg, out)
	e.logger = set.Logger
	return exporterhelper.NewLogs(ctx, set, config, e.consume,
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown))
}
