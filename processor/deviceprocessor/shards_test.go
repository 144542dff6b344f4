package deviceprocessor

import (
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/monban/monban/internal/shard/shardtest"
	"github.com/monban/monban/processor/deviceprocessor/internal/metadata"
)

// A shard that moves tells each device once, and knows it by what was seen before.
func TestHandOver(t *testing.T) {
	shardtest.HandOver(t, func(t *testing.T, h component.Host, next consumer.Logs) consumer.Logs {
		cfg := createDefaultConfig().(*Config)
		cfg.Storage = &shardtest.ID
		p, err := newProcessor(processortest.NewNopSettings(metadata.Type), cfg, next)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Shutdown(t.Context()) })
		return p
	}, func() []plog.Logs {
		return []plog.Logs{
			batch(aClaim(1e9, 1, "10.0.0.1"), aFlow(2e9, "10.0.0.1", 1, "10.0.0.2", 2)),
			batch(aFlow(3e9, "10.0.0.2", 2, "10.0.0.1", 1), aClaim(4e9, 3, "10.0.0.3")),
			batch(aFlow(90e9, "10.0.0.1", 1, "10.0.0.3", 3), aFlow(91e9, "10.0.0.7", 7, "10.0.0.2", 2)),
			batch(aClaim(200e9, 1, "10.0.0.11"), aFlow(201e9, "10.0.0.11", 1, "10.0.0.7", 7)),
		}
	})
}
