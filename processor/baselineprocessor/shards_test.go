package baselineprocessor

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/shard/shardtest"
)

// A shard that moves, also in the middle of a scan, is judged as one that stays.
func TestHandOver(t *testing.T) {
	shardtest.HandOver(t, func(t *testing.T, h component.Host, next consumer.Logs) consumer.Logs {
		cfg := config()
		cfg.Storage = &shardtest.ID
		p, _ := start(t, cfg, h, next)
		return p
	}, func() (all []plog.Logs) {
		for m := 0; m < 60; m += 15 {
			all = append(all, plant(m, m+15))
		}
		for i := range 4 { // no part of it is a scan by itself
			var events []any
			for j := range 4 {
				n := 4*i + j
				events = append(events, try(time.Hour+time.Duration(n)*time.Second, 20, byte(100+n), 23))
			}
			all = append(all, batch(events...))
		}
		other := plant(61, 62)
		other.ResourceLogs().At(0).Resource().Attributes().PutStr("observer.ip", "192.0.2.1")
		return append(all, other, plant(75, 76))
	})
}
