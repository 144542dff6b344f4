package elasticsearchexporter

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/monban/monban/exporter/elasticsearchexporter/internal/metadata"
	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/link"
)

// NewFactory makes the factory of the exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type, createDefaultConfig,
		exporter.WithLogs(createLogs, metadata.LogsStability),
		exporter.WithMetrics(createMetrics, metadata.MetricsStability))
}

func createDefaultConfig() component.Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 30 * time.Second
	client.MaxIdleConnsPerHost = 16
	client.Compression = configcompression.TypeGzip
	client.CompressionParams.Level = 1 // twice as fast as the default for a tenth more bytes

	queue := exporterhelper.NewDefaultQueueConfig()
	queue.Sizer = exporterhelper.RequestSizerTypeItems
	queue.QueueSize = 100_000
	queue.NumConsumers = 4
	queue.BlockOnOverflow = true // rather wait than lose
	queue.Batch = configoptional.Some(exporterhelper.BatchConfig{
		FlushTimeout: time.Second, Sizer: exporterhelper.RequestSizerTypeItems, MinSize: 2000, MaxSize: 10_000,
	})

	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = time.Second
	retry.MaxElapsedTime = 0 // never give up

	return &Config{
		ClientConfig: client, QueueConfig: configoptional.Some(queue), RetryConfig: retry,
		Namespace: "default", Mapping: MappingConfig{Mode: string(elastic.ECS)}, Template: templateInstall,
		Retention: elastic.Retention, Bulk: BulkConfig{MaxBytes: 5 << 20},
	}
}

func options(e *elasticExporter) []exporterhelper.Option {
	return []exporterhelper.Option{
		// each request has the HTTP client's time, however many a batch takes
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
		exporterhelper.WithRetry(e.cfg.RetryConfig),
		exporterhelper.WithQueue(e.cfg.QueueConfig),
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
	}
}

func createLogs(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Logs, error) {
	set = logging(set, config)
	e, err := newExporter(config.(*Config), set)
	if err != nil {
		return nil, err
	}
	inner, err := exporterhelper.NewLogs(ctx, set, config, e.logs, options(e)...)
	return &gracefulLogs{inner, e, streamNames(e.mode, e.cfg.Namespace)}, err
}

// logging gives the queue a logger that knows what is kept at the end.
func logging(set exporter.Settings, config component.Config) exporter.Settings {
	if q := config.(*Config).QueueConfig; q.HasValue() && q.Get().StorageID != nil {
		set.Logger = link.Kept(set.Logger)
	}
	return set
}

func createMetrics(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Metrics, error) {
	set = logging(set, config)
	e, err := newExporter(config.(*Config), set)
	if err != nil {
		return nil, err
	}
	inner, err := exporterhelper.NewMetrics(ctx, set, config, e.metrics, options(e)...)
	return &gracefulMetrics{inner, e}, err
}
