package threatconnector

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/monban/monban/connector/thresholdconnector"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/processor/thresholdprocessor"
)

type m = map[string]any

func load(t *testing.T, cfg component.Config, from m) component.Config {
	t.Helper()
	require.NoError(t, confmap.NewFromStringMap(from).Unmarshal(cfg))
	return cfg
}

func begin(t *testing.T, c component.Component, err error) {
	t.Helper()
	require.NoError(t, err)
	require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { assert.NoError(t, c.Shutdown(context.Background())) })
}

func reportsOf(sink *consumertest.LogsSink) (all []threat.Report) {
	for _, logs := range sink.AllLogs() {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if lr.EventName() == threat.Reports.Name {
						r := threat.Report{Time: int64(lr.Timestamp())}
						logrecord.Read(lr, threat.Reports, &r)
						all = append(all, r)
					}
				}
			}
		}
	}
	return all
}

// A disk that is full for 41 minutes is one incident, of which the report says which disk, by which
// rule, how bad it is, and until when: whether the numbers are metrics or stand in log records.
func TestReportOfAnAlarmThatLasts(t *testing.T) {
	const minutes, full = 60, 41
	value := func(minute int) float64 {
		if minute < full {
			return 0.95
		}
		return 0.1
	}
	rule := func(of, severity string) m {
		return m{"rules": []any{m{"name": "disk almost full", of: "fs.utilization", "per": []any{"mp"}, "above": 0.9, "severity": severity, "do": []any{"event"}}}}
	}
	for name, feed := range map[string]func(t *testing.T, next connector.Logs){
		"connector": func(t *testing.T, next connector.Logs) {
			f := thresholdconnector.NewFactory()
			c, err := f.CreateMetricsToLogs(t.Context(), connectortest.NewNopSettings(f.Type()), load(t, f.CreateDefaultConfig(), rule("metric", "critical")), next)
			begin(t, c, err)
			for minute := range minutes {
				md := pmetric.NewMetrics()
				rm := md.ResourceMetrics().AppendEmpty()
				rm.Resource().Attributes().PutStr("device.id", "02:00:00:00:00:07")
				rm.Resource().Attributes().PutStr("host.name", "edge-1")
				m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
				m.SetName("fs.utilization")
				m.SetUnit("1")
				dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
				dp.SetTimestamp(pcommon.Timestamp(at(time.Duration(minute) * time.Minute)))
				dp.SetDoubleValue(value(minute))
				dp.Attributes().PutStr("mp", "/a")
				require.NoError(t, c.ConsumeMetrics(t.Context(), md))
				require.NoError(t, next.ConsumeLogs(t.Context(), batch(usual(time.Duration(minute)*time.Minute))))
			}
		},
		"processor": func(t *testing.T, next connector.Logs) {
			f := thresholdprocessor.NewFactory()
			p, err := f.CreateLogs(t.Context(), processortest.NewNopSettings(f.Type()), load(t, f.CreateDefaultConfig(), rule("attribute", "critical")), next)
			begin(t, p, err)
			for minute := range minutes {
				ld := plog.NewLogs()
				rl := ld.ResourceLogs().AppendEmpty()
				rl.Resource().Attributes().PutStr("device.id", "02:00:00:00:00:07")
				rl.Resource().Attributes().PutStr("host.name", "edge-1")
				lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
				lr.SetTimestamp(pcommon.Timestamp(at(time.Duration(minute) * time.Minute)))
				lr.Attributes().PutDouble("fs.utilization", value(minute))
				lr.Attributes().PutStr("mp", "/a")
				require.NoError(t, p.ConsumeLogs(t.Context(), ld))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			sink := new(consumertest.LogsSink)
			c, _ := start(t, config(), componenttest.NewNopHost(), sink)
			feed(t, c)
			all := reportsOf(sink)
			require.NotEmpty(t, all)
			for i, r := range all {
				assert.Equal(t, all[0].ID, r.ID)
				assert.Equal(t, threat.Critical, r.Severity)
				assert.Equal(t, "02:00:00:00:00:07", r.Device)
				assert.Equal(t, "edge-1", r.DeviceName)
				assert.Equal(t, "disk almost full (mp=/a): fs.utilization is 0.95. Expected: fs.utilization at most 0.9.", r.Summary)
				if i < len(all)-1 {
					assert.Equal(t, "open", r.Status)
				}
			}
			last := all[len(all)-1]
			assert.Equal(t, "closed", last.Status)
			assert.Equal(t, at(0), last.First)
			assert.Equal(t, at(full*time.Minute), last.Last)
		})
	}
}
