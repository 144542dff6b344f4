package httpjsonreceiver

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/monban/monban/receiver/httpjsonreceiver/internal/metadata"
)

// NewFactory makes the factory of the receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithLogs(createLogs, metadata.LogsStability),
		receiver.WithMetrics(createMetrics, metadata.MetricsStability))
}

// pollers has the one poller of each configuration, which a device is to be asked by only once when the receiver is in
// pipelines of logs and of metrics.
var pollers = struct {
	sync.Mutex
	of map[*Config]*poller
}{of: map[*Config]*poller{}}

func shared(cfg *Config, set receiver.Settings) (*poller, error) {
	pollers.Lock()
	defer pollers.Unlock()
	if p := pollers.of[cfg]; p != nil {
		return p, nil
	}
	p, err := newPoller(cfg, set)
	if err != nil {
		return nil, err
	}
	pollers.of[cfg] = p
	p.forget = func() {
		pollers.Lock()
		defer pollers.Unlock()
		delete(pollers.of, cfg)
	}
	return p, nil
}

func createLogs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	p, err := shared(cfg.(*Config), set)
	if err != nil {
		return nil, err
	}
	p.nextLogs = next
	return p, nil
}

func createMetrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	p, err := shared(cfg.(*Config), set)
	if err != nil {
		return nil, err
	}
	p.nextMetrics = next
	return p, nil
}
