package thresholdprocessor

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/threshold"
	"github.com/monban/monban/processor/thresholdprocessor/internal/metadata"
	"github.com/monban/monban/processor/thresholdprocessor/internal/metadatatest"
)

func bound(x float64) *float64 { return &x }

func config(rules ...threshold.Rule) *Config {
	cfg := NewFactory().CreateDefaultConfig().(*Config)
	cfg.Watch.Rules = rules
	return cfg
}

// level is a batch of one point.
func level(second int64, value float64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("level")
	dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.Timestamp(1_770_000_000e9 + second*1e9))
	dp.SetDoubleValue(value)
	return md
}

func record(second int64, value float64) plog.Logs {
	ld := plog.NewLogs()
	lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetTimestamp(pcommon.Timestamp(1_770_000_000e9 + second*1e9))
	lr.Attributes().PutDouble("level", value)
	return ld
}

func TestConfig(t *testing.T) {
	cfg := config()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"rules": []any{map[string]any{
		"name": "r", "metric": "level", "above": 80, "clear": 70.5, "for": "2m", "share": map[string]any{"at_least": 0.8, "of": "10m"},
		"outside": []any{1, 2}, "do": []any{"event"}}}}).Unmarshal(cfg))
	r := cfg.Watch.Rules[0]
	assert.InDelta(t, 80, *r.Bounds.Above, 0)
	assert.InDelta(t, 70.5, *r.Bounds.Clear, 0)
	err := xconfmap.Validate(cfg)
	require.ErrorContains(t, err, "above, below and outside exclude each other")
	require.ErrorContains(t, err, "use the connector threshold")
	require.Error(t, confmap.NewFromStringMap(map[string]any{"rules": []any{map[string]any{"abov": 1}}}).Unmarshal(config()), "an unknown key")
	require.NoError(t, xconfmap.Validate(config(threshold.Rule{Name: "r", Metric: "level", Bounds: threshold.Bounds{Above: bound(1)}})))
}

func TestPassesOnlyWhatIsAbove(t *testing.T) {
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	sink := new(consumertest.MetricsSink)
	cfg := config(threshold.Rule{Name: "high", Metric: "level", Bounds: threshold.Bounds{Above: bound(80)}, Do: []string{threshold.Pass}})
	p, err := NewFactory().CreateMetrics(t.Context(), metadatatest.NewSettings(tel), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	assert.True(t, p.Capabilities().MutatesData)
	for i, v := range []float64{79, 80, 81, 95, 80, 10, 90} {
		require.NoError(t, p.ConsumeMetrics(t.Context(), level(int64(i), v)))
	}
	require.NoError(t, p.ConsumeMetrics(t.Context(), level(3, 0)), "late")
	var got []float64
	for _, md := range sink.AllMetrics() {
		got = append(got, md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0).DoubleValue())
	}
	assert.Equal(t, []float64{81, 95, 90, 0}, got, "a late point goes the way of its entity")

	rule := attribute.String("rule", "high")
	set := func(more ...attribute.KeyValue) attribute.Set { return attribute.NewSet(append(more, rule)...) }
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualThresholdPoints(t, tel, []metricdata.DataPoint[int64]{
		{Attributes: set(attribute.String("outcome", "judged")), Value: 7}, {Attributes: set(attribute.String("outcome", "out_of_order")), Value: 1}}, ignore)
	metadatatest.AssertEqualThresholdAlarms(t, tel, []metricdata.DataPoint[int64]{
		{Attributes: set(attribute.String("alarm", "rise")), Value: 2}, {Attributes: set(attribute.String("alarm", "fall")), Value: 1},
		{Attributes: set(attribute.String("alarm", "change"))}, {Attributes: set(attribute.String("alarm", "missing"))}, {Attributes: set(attribute.String("alarm", "flapping"))}}, ignore)
	metadatatest.AssertEqualThresholdEntities(t, tel, []metricdata.DataPoint[int64]{{Attributes: set(), Value: 1}}, ignore)
	metadatatest.AssertEqualThresholdEvicted(t, tel, []metricdata.DataPoint[int64]{{Attributes: set()}}, ignore)
	metadatatest.AssertEqualThresholdSetBack(t, tel, []metricdata.DataPoint[int64]{{Attributes: set()}}, ignore)
	metadatatest.AssertEqualThresholdUntold(t, tel, []metricdata.DataPoint[int64]{{}}, ignore)
	require.NoError(t, p.Shutdown(t.Context()))
}

func TestLogsTellBehindTheirBatch(t *testing.T) {
	sink := new(consumertest.LogsSink)
	cfg := config(threshold.Rule{Name: "high", Attribute: "level", Bounds: threshold.Bounds{Above: bound(80)}, Do: []string{threshold.Event}})
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	for i, v := range []float64{79, 81, 95, 80} {
		require.NoError(t, p.ConsumeLogs(t.Context(), record(int64(i), v)))
	}
	var counts []int
	for _, ld := range sink.AllLogs() {
		counts = append(counts, ld.LogRecordCount())
	}
	assert.Equal(t, []int{1, 2, 1, 2}, counts)
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, p.Shutdown(t.Context()))
}

func TestNothingToJudgeStopsTheStart(t *testing.T) {
	cfg := config(threshold.Rule{Name: "high", Metric: "level", Bounds: threshold.Bounds{Above: bound(80)}})
	_, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.ErrorContains(t, err, "no rule has attribute")
}

func TestNextThatFails(t *testing.T) {
	errNext := errors.New("full")
	cfg := config(threshold.Rule{Name: "high", Metric: "level", Bounds: threshold.Bounds{Above: bound(80)}})
	p, err := NewFactory().CreateMetrics(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewErr(errNext))
	require.NoError(t, err)
	require.ErrorIs(t, p.ConsumeMetrics(t.Context(), level(0, 1)), errNext)
	require.NoError(t, p.Shutdown(t.Context()))
}

// What was told behind a batch that is refused is told behind the next: when the batch is sent
// again it brings nothing new.
func TestLogsThatAreRefused(t *testing.T) {
	sink := new(consumertest.LogsSink)
	failing := true
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if failing {
			return errors.New("full")
		}
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	cfg := config(threshold.Rule{Name: "high", Attribute: "level", Bounds: threshold.Bounds{Above: bound(80)}, Do: []string{threshold.Event}})
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	require.Error(t, p.ConsumeLogs(t.Context(), record(0, 90)))
	failing = false
	require.NoError(t, p.ConsumeLogs(t.Context(), record(0, 90)))
	assert.Equal(t, 2, sink.LogRecordCount(), "the record, and the rise")
	require.NoError(t, p.Shutdown(t.Context()))
}

type host struct {
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

// One processor may stand in pipelines of both signals, and what each knows outlives a restart.
func TestStateOfBothSignalsOutlivesARestart(t *testing.T) {
	f := statestorage.NewFactory()
	scfg := f.CreateDefaultConfig().(*statestorage.Config)
	scfg.Directory = t.TempDir()
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), scfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	id := component.NewID(f.Type())
	h := host{map[component.ID]component.Component{id: ext}}

	cfg := config(threshold.Rule{Name: "m", Metric: "level", Bounds: threshold.Bounds{Above: bound(80), Clear: bound(10)}, Do: []string{threshold.Pass}},
		threshold.Rule{Name: "l", Attribute: "level", Bounds: threshold.Bounds{Below: bound(80), Clear: bound(100)}, Do: []string{threshold.Pass}})
	cfg.Watch.Storage = &id
	require.NoError(t, xconfmap.Validate(cfg))
	for round, value := range []float64{90, 50} { // 50 passes only because the alarm is up
		metrics, logs := new(consumertest.MetricsSink), new(consumertest.LogsSink)
		pm, err := NewFactory().CreateMetrics(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, metrics)
		require.NoError(t, err)
		pl, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, logs)
		require.NoError(t, err)
		require.NoError(t, pm.Start(t.Context(), h))
		require.NoError(t, pl.Start(t.Context(), h))
		require.NoError(t, pm.ConsumeMetrics(t.Context(), level(int64(round), value)))
		require.NoError(t, pl.ConsumeLogs(t.Context(), record(int64(round), map[int]float64{0: 70, 1: 90}[round])))
		require.NoError(t, pm.Shutdown(t.Context()))
		require.NoError(t, pl.Shutdown(t.Context()))
		assert.Equal(t, 1, metrics.DataPointCount(), "round %d", round)
		assert.Equal(t, 1, logs.LogRecordCount(), "round %d", round)
	}
}

func TestMissingStorageStopsTheStart(t *testing.T) {
	cfg := config(threshold.Rule{Name: "m", Metric: "level", Bounds: threshold.Bounds{Above: bound(80)}})
	id := component.MustNewID("state_storage")
	cfg.Watch.Storage = &id
	p, err := NewFactory().CreateMetrics(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.ErrorContains(t, p.Start(t.Context(), componenttest.NewNopHost()), `there is no extension "state_storage"`)
	require.NoError(t, p.Shutdown(t.Context()))
}
