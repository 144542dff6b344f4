package baselineprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/traffic"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadatatest"
)

// Ten days of a sensor that reports twice a minute, and two hours in which it sends a hundred times as much.
func TestTrafficIsLearned(t *testing.T) {
	for _, on := range []bool{true, false} {
		cfg := config()
		cfg.Metrics.Traffic = on
		sink := new(consumertest.LogsSink)
		p, tel := start(t, cfg, componenttest.NewNopHost(), sink)
		for h := range 242 {
			var events []any
			for s := range 120 {
				r := talk(time.Duration(h)*time.Hour+time.Duration(s)*30*time.Second, 20, 10, 1883)
				r.Src.Bytes += uint64(s * 7 % 11)
				if h >= 240 {
					r.Src.Bytes *= 100
				}
				r.Service = "mqtt"
				events = append(events, r)
			}
			require.NoError(t, p.ConsumeLogs(t.Context(), batch(events...)))
		}
		forecasts, shifts := 0, map[string]bool{}
		for _, logs := range sink.AllLogs() {
			for _, rl := range logs.ResourceLogs().All() {
				for _, sl := range rl.ScopeLogs().All() {
					for _, lr := range sl.LogRecords().All() {
						switch lr.EventName() {
						case traffic.Forecasts.Name:
							forecasts++
							f := traffic.Forecast{Time: int64(lr.Timestamp())}
							logrecord.Read(lr, traffic.Forecasts, &f)
							assert.Equal(t, f.Time+time.Hour.Nanoseconds(), f.Until)
							assert.LessOrEqual(t, f.Low, f.Expected)
							assert.GreaterOrEqual(t, f.High, f.Expected)
						case baseline.Observations.Name:
							var o baseline.Observation
							logrecord.Read(lr, baseline.Observations, &o)
							if o.Kind != "" {
								assert.Equal(t, "level_shift", o.Kind)
								shifts[o.Device+" "+o.Entity[0]] = true
								assert.Equal(t, baseline.Metric, o.Anomaly.Reasons[0].Kind)
							}
						}
					}
				}
			}
		}
		if !on {
			assert.Zero(t, forecasts)
			assert.Empty(t, shifts)
			continue
		}
		assert.GreaterOrEqual(t, forecasts, 5*(240-26), "each hour for two devices with two directions and an application")
		a, b := end(20, 0), end(10, 0)
		assert.Equal(t, map[string]bool{a.Device + " direction=transmit": true, b.Device + " direction=receive": true, traffic.Site + " network.protocol.name=mqtt": true}, shifts)
		metadatatest.AssertEqualBaselineSeries(t, tel, []metricdata.DataPoint[int64]{{Value: 5, Attributes: attribute.NewSet(attribute.String("learned_from", "flows"))}}, metricdatatest.IgnoreTimestamp())
	}
}
