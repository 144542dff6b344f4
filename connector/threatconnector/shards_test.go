package threatconnector

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/shard/shardtest"
)

// An incident that moves is told once, goes on, and ends.
func TestHandOver(t *testing.T) {
	shardtest.HandOver(t, func(t *testing.T, h component.Host, next consumer.Logs) consumer.Logs {
		cfg := config()
		cfg.Storage = &shardtest.ID
		c, _ := start(t, cfg, h, next)
		return c
	}, func() []plog.Logs {
		return []plog.Logs{
			batch(judged(0, baseline.SynFlood, "x"), judged(0, baseline.HostSweep, "y")),
			batch(judged(time.Second, baseline.SynFlood, "x")),
			batch(usual(10 * time.Second)),
			batch(judged(2*time.Minute, baseline.SynFlood, "x"), judged(2*time.Minute, baseline.NewPeer, "y")),
			batch(usual(time.Hour)),
		}
	})
}
