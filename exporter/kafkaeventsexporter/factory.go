package kafkaeventsexporter

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/monban/monban/exporter/kafkaeventsexporter/internal/metadata"
	"github.com/monban/monban/internal/kafkaconfig"
	"github.com/monban/monban/internal/link"
)

// NewFactory makes the factory of the exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type, createDefaultConfig,
		exporter.WithLogs(createLogs, metadata.LogsStability))
}

func createDefaultConfig() component.Config {
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.NumConsumers = 1 // more would bring a device's records out of order
	// A request is a transaction, so it should not be small.
	queue.Batch = configoptional.Some(exporterhelper.BatchConfig{
		FlushTimeout: 200 * time.Millisecond, Sizer: exporterhelper.RequestSizerTypeItems, MinSize: 2000, MaxSize: 20000,
	})
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval, retry.MaxInterval = time.Second, 15*time.Second
	retry.MaxElapsedTime = 0 // never gives up
	return &Config{
		Config:      kafkaconfig.NewDefaultConfig(),
		TopicPrefix: "monban.",
		Key: []string{
			"device.id", "source.device.id", "destination.device.id",
			"source.address", "sighting.address", "destination.address",
		},
		Encoding:        encodingOTLP,
		CreateTopics:    kafkaconfig.NewDefaultTopics(),
		Compression:     "zstd",
		MaxMessageBytes: 1000000,
		ShutdownGrace:   2 * time.Second,
		QueueConfig:     configoptional.Some(queue),
		RetryConfig:     retry,
	}
}

func createLogs(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Logs, error) {
	cfg := config.(*Config)
	if q := cfg.QueueConfig; q.HasValue() && q.Get().StorageID != nil {
		set.Logger = link.Kept(set.Logger)
	}
	e, err := newExporter(ctx, cfg, set)
	if err != nil {
		return nil, err
	}
	if cfg.Transaction != nil {
		return exporterhelper.NewLogs(ctx, set, cfg, e.consumeWithin,
			exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
			exporterhelper.WithStart(e.join), exporterhelper.WithShutdown(e.shutdown))
	}
	inner, err := exporterhelper.NewLogs(ctx, set, cfg, e.consume,
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}), // the queue waits, not the cluster
		exporterhelper.WithRetry(cfg.RetryConfig),
		exporterhelper.WithQueue(cfg.QueueConfig),
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown))
	return &counting{Logs: inner, e: e}, err
}
