package thresholdconnector

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/monban/monban/connector/thresholdconnector/internal/metadata"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/threshold"
)

func bound(x float64) *float64 { return &x }

func config(rules ...threshold.Rule) *Config {
	cfg := NewFactory().CreateDefaultConfig().(*Config)
	cfg.Watch.Rules = rules
	return cfg
}

func level(second int64, value float64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "edge-1")
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("level")
	dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.Timestamp(1_770_000_000e9 + second*1e9))
	dp.SetDoubleValue(value)
	md.MarkReadOnly() // a connector that changed it would panic
	return md
}

func phases(sink *consumertest.LogsSink) (all []baseline.Phase) {
	for _, ld := range sink.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				var o baseline.Observation
				logrecord.Read(lr, baseline.Observations, &o)
				all = append(all, o.Phase)
			}
		}
	}
	return all
}

func TestMetricsBecomeObservations(t *testing.T) {
	sink := new(consumertest.LogsSink)
	cfg := config(threshold.Rule{Name: "high", Metric: "level", Steps: []threshold.Step{
		{Severity: "warn", Bounds: threshold.Bounds{Above: bound(80)}}, {Severity: "critical", Bounds: threshold.Bounds{Above: bound(95)}}}})
	require.NoError(t, xconfmap.Validate(cfg))
	c, err := NewFactory().CreateMetricsToLogs(t.Context(), connectortest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	assert.False(t, c.Capabilities().MutatesData)
	require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost()))
	for i, v := range []float64{50, 90, 97, 85, 20} {
		require.NoError(t, c.ConsumeMetrics(t.Context(), level(int64(i), v)))
	}
	assert.Equal(t, []baseline.Phase{baseline.Rise, baseline.Change, baseline.Change, baseline.Fall}, phases(sink))
	require.NoError(t, c.Shutdown(t.Context()))
	require.NoError(t, c.Shutdown(t.Context()))
}

func TestLogsBecomeObservations(t *testing.T) {
	sink := new(consumertest.LogsSink)
	cfg := config(threshold.Rule{Name: "high", Attribute: "level", Bounds: threshold.Bounds{Above: bound(80)}})
	c, err := NewFactory().CreateLogsToLogs(t.Context(), connectortest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	for i, v := range []float64{50, 90, 20} {
		ld := plog.NewLogs()
		lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.Timestamp(1_770_000_000e9 + int64(i)*1e9))
		lr.Attributes().PutDouble("level", v)
		ld.MarkReadOnly()
		require.NoError(t, c.ConsumeLogs(t.Context(), ld))
	}
	assert.Equal(t, []baseline.Phase{baseline.Rise, baseline.Fall}, phases(sink))
	require.NoError(t, c.Shutdown(t.Context()))
}

func TestItOnlyTells(t *testing.T) {
	for _, do := range []string{threshold.Pass, threshold.Mark} {
		cfg := config(threshold.Rule{Name: "r", Metric: "level", Bounds: threshold.Bounds{Above: bound(1)}, Do: []string{threshold.Event, do}})
		require.ErrorContains(t, xconfmap.Validate(cfg), "it can't "+do+" here")
	}
}

// What could not be handed on is not lost: a batch that is sent again brings nothing new.
func TestNextThatFails(t *testing.T) {
	errNext := errors.New("full")
	sink := new(consumertest.LogsSink)
	failing := true
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if failing {
			return errNext
		}
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	cfg := config(threshold.Rule{Name: "high", Metric: "level", Bounds: threshold.Bounds{Above: bound(80)}})
	c, err := NewFactory().CreateMetricsToLogs(t.Context(), connectortest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	require.NoError(t, c.ConsumeMetrics(t.Context(), level(1, 90)))
	require.NoError(t, c.ConsumeMetrics(t.Context(), level(2, 10)))
	failing = false
	require.NoError(t, c.ConsumeMetrics(t.Context(), level(3, 90)))
	assert.Equal(t, []baseline.Phase{baseline.Rise, baseline.Fall, baseline.Rise}, phases(sink))
	failing = true
	require.NoError(t, c.ConsumeMetrics(t.Context(), level(4, 10)))
	failing = false
	require.NoError(t, c.Shutdown(t.Context()))
	assert.Equal(t, []baseline.Phase{baseline.Rise, baseline.Fall, baseline.Rise, baseline.Fall}, phases(sink), "the last at the end")
}
