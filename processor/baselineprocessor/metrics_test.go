package baselineprocessor

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/unusual"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadatatest"
)

func startMetrics(t *testing.T, cfg *Config, h component.Host, next consumer.Metrics) (processor.Metrics, *componenttest.Telemetry) {
	t.Helper()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	p, err := NewFactory().CreateMetrics(t.Context(), metadatatest.NewSettings(tel), cfg, next)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), h))
	t.Cleanup(func() { assert.NoError(t, p.Shutdown(context.Background())) })
	return p, tel
}

var fromMetrics = attribute.NewSet(attribute.String("learned_from", "metrics"))

func stamp(at int64) pcommon.Timestamp { return pcommon.Timestamp(epoch + at*1e9) }

// metrics is one batch of a host, which fill makes.
func metrics(fill func(pmetric.MetricSlice)) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "edge-1")
	fill(rm.ScopeMetrics().AppendEmpty().Metrics())
	return md
}

// gauge is a point of a temperature in two places.
func gauge(at int64, a, b float64) pmetric.Metrics {
	return metrics(func(ms pmetric.MetricSlice) {
		m := ms.AppendEmpty()
		m.SetName("hw.temperature")
		m.SetUnit("Cel")
		points := m.SetEmptyGauge().DataPoints()
		for i, v := range []float64{a, b} {
			dp := points.AppendEmpty()
			dp.SetTimestamp(stamp(at))
			dp.SetDoubleValue(v)
			dp.Attributes().PutStr("hw.location", []string{"inlet", "outlet"}[i])
			dp.Attributes().PutStr("hw.id", "7")
		}
	})
}

// season is a day's curve with noise.
func season(r *rand.Rand, at int64) float64 {
	return 40 + 5*math.Sin(2*math.Pi*float64(at)/86400) + r.NormFloat64()
}

const fortnight = 14 * 86400

// teach gives two benign weeks, a point in five minutes.
func teach(t *testing.T, p processor.Metrics, r *rand.Rand, from, to int64) {
	t.Helper()
	for at := from; at < to; at += 300 {
		require.NoError(t, p.ConsumeMetrics(t.Context(), gauge(at, season(r, at), season(r, at))))
	}
}

func TestAMetricThatMoves(t *testing.T) {
	sink := new(consumertest.MetricsSink)
	p, tel := startMetrics(t, config(), componenttest.NewNopHost(), sink)
	r := rand.New(rand.NewPCG(1, 2))
	teach(t, p, r, 0, fortnight)
	for _, md := range sink.AllMetrics() {
		for _, dp := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().All() {
			require.Equal(t, 2, dp.Attributes().Len(), "usual points pass untouched")
		}
	}
	sink.Reset()
	for at := int64(fortnight); at < fortnight+3600; at += 300 {
		require.NoError(t, p.ConsumeMetrics(t.Context(), gauge(at, season(r, at)+12, season(r, at))))
	}
	for at := int64(fortnight + 3600); at < fortnight+3*3600; at += 300 {
		require.NoError(t, p.ConsumeMetrics(t.Context(), gauge(at, season(r, at), season(r, at))))
	}
	var seen []baseline.Observation
	for _, md := range sink.AllMetrics() {
		points := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints()
		assert.Equal(t, 2, points.At(1).Attributes().Len(), "the other series is as usual")
		if points.At(0).Attributes().Len() == 2 {
			continue
		}
		var o baseline.Observation
		logrecord.ReadAttributes(points.At(0).Attributes(), baseline.Observations, &o)
		seen = append(seen, o)
	}
	var words []string
	for _, o := range seen {
		words = append(words, strings.TrimSpace(string(o.Phase)+" "+o.Kind))
		assert.Equal(t, seen[0].ID, o.ID)
		assert.Equal(t, int64(stamp(fortnight)), o.Start)
	}
	require.GreaterOrEqual(t, len(words), 4, "%v", words)
	assert.Equal(t, "rise spike", words[0])
	assert.Contains(t, words, "change level_shift")
	assert.Contains(t, words, "level_shift", "an alarm that goes on is told again")
	assert.Equal(t, "fall level_shift", words[len(words)-1])
	first := seen[0]
	assert.Greater(t, first.Value, 49.0)
	assert.InDelta(t, 40, first.Expected, 2)
	assert.InDelta(t, 36, first.Low, 3)
	assert.InDelta(t, 44, first.High, 3)
	assert.Greater(t, first.Anomaly.Score, 0.5)
	assert.Contains(t, first.Summary, "hw.temperature (hw.id=7, hw.location=inlet) is 5")
	assert.Contains(t, first.Summary, "until 01:00 UTC")
	metadatatest.AssertEqualBaselineAnomalies(t, tel, []metricdata.DataPoint[int64]{{Value: 1, Attributes: attribute.NewSet(attribute.String("kind", "spike"))}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualBaselineSeries(t, tel, []metricdata.DataPoint[int64]{{Value: 2, Attributes: fromMetrics}}, metricdatatest.IgnoreTimestamp())
}

// points asks what became of points, without what there was none of.
func points(t *testing.T, tel *componenttest.Telemetry) map[string]int64 {
	t.Helper()
	m, err := tel.GetMetric("otelcol_baseline.points")
	require.NoError(t, err)
	all := map[string]int64{}
	for _, dp := range m.Data.(metricdata.Sum[int64]).DataPoints {
		if out, _ := dp.Attributes.Value("outcome"); dp.Value > 0 {
			all[out.AsString()] = dp.Value
		}
	}
	return all
}

func TestKindsOfMetrics(t *testing.T) {
	number := func(ms pmetric.MetricSlice, rises bool, how pmetric.AggregationTemporality, at int64, v int64) {
		m := ms.AppendEmpty()
		m.SetName("n")
		s := m.SetEmptySum()
		s.SetIsMonotonic(rises)
		s.SetAggregationTemporality(how)
		dp := s.DataPoints().AppendEmpty()
		dp.SetStartTimestamp(stamp(0))
		dp.SetTimestamp(stamp(at))
		dp.SetIntValue(v)
	}
	gaugeAt := func(ms pmetric.MetricSlice, at int64, v float64) {
		m := ms.AppendEmpty()
		m.SetName("g")
		dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
		dp.SetTimestamp(stamp(at))
		dp.SetDoubleValue(v)
	}
	for _, c := range []struct {
		name   string
		fill   func(ms pmetric.MetricSlice, i int64)
		points map[string]int64
		series int64
	}{
		{"a counter", func(ms pmetric.MetricSlice, i int64) {
			number(ms, true, pmetric.AggregationTemporalityCumulative, 10*i+10, 100*i)
		}, map[string]int64{"first": 1, "learned": 5}, 1},
		{"a counter that is reset", func(ms pmetric.MetricSlice, i int64) {
			number(ms, true, pmetric.AggregationTemporalityCumulative, 10*i+10, 100*(i%4))
		}, map[string]int64{"first": 1, "learned": 4, "reset": 1}, 1},
		{"a counter of deltas", func(ms pmetric.MetricSlice, i int64) {
			number(ms, true, pmetric.AggregationTemporalityDelta, 10*i+10, 100)
		}, map[string]int64{"learned": 6}, 1},
		{"a sum that falls, too", func(ms pmetric.MetricSlice, i int64) {
			number(ms, false, pmetric.AggregationTemporalityCumulative, 10*i+10, 100-i)
		}, map[string]int64{"learned": 6}, 1},
		{"NaN", func(ms pmetric.MetricSlice, i int64) { gaugeAt(ms, i+1, []float64{1, math.NaN(), math.Inf(1)}[i%3]) },
			map[string]int64{"learned": 2, "not_a_number": 4}, 1},
		{"duplicates and points out of order", func(ms pmetric.MetricSlice, i int64) {
			gaugeAt(ms, []int64{10, 20, 20, 15, 30, 25}[i], 1)
		}, map[string]int64{"learned": 3, "duplicate": 1, "late": 2}, 1},
		{"no value", func(ms pmetric.MetricSlice, i int64) {
			gaugeAt(ms, i+1, 1)
			ms.At(0).Gauge().DataPoints().At(0).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(i%2 == 0))
		}, map[string]int64{"learned": 3, "no_value": 3}, 1},
		{"a histogram", func(ms pmetric.MetricSlice, i int64) {
			h := ms.AppendEmpty().SetEmptyHistogram()
			h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			dp := h.DataPoints().AppendEmpty()
			dp.SetTimestamp(stamp(10 * i))
			dp.SetCount(uint64(10 * (i / 2)))
			dp.SetSum(float64(20 * i))
		}, map[string]int64{"first": 2, "learned": 5 + 2, "empty": 3}, 2},
		{"a histogram of deltas without sums", func(ms pmetric.MetricSlice, i int64) {
			h := ms.AppendEmpty().SetEmptyHistogram()
			h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
			dp := h.DataPoints().AppendEmpty()
			dp.SetTimestamp(stamp(10*i + 1))
			dp.SetCount(uint64(i))
		}, map[string]int64{"learned": 6}, 1},
		{"an exponential histogram of deltas", func(ms pmetric.MetricSlice, i int64) {
			h := ms.AppendEmpty().SetEmptyExponentialHistogram()
			h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
			dp := h.DataPoints().AppendEmpty()
			dp.SetTimestamp(stamp(10*i + 1))
			dp.SetCount(uint64(i))
			dp.SetSum(3)
		}, map[string]int64{"learned": 6 + 5}, 2},
		{"a summary", func(ms pmetric.MetricSlice, i int64) {
			dp := ms.AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty()
			dp.SetTimestamp(stamp(10 * i))
			dp.SetCount(uint64(10 * i))
			dp.SetSum(float64(i))
		}, map[string]int64{"first": 2, "learned": 10}, 2},
		{"attributes in any order, and marks", func(ms pmetric.MetricSlice, i int64) {
			gaugeAt(ms, i+1, 1)
			a := ms.At(0).Gauge().DataPoints().At(0).Attributes()
			if i%2 == 0 {
				a.PutStr("x", "1")
			}
			a.PutInt("y", 2)
			if i%2 == 1 {
				a.PutStr("threshold.rule", "hot")
				a.PutStr("x", "1")
			}
		}, map[string]int64{"learned": 6}, 1},
		{"attributes that tell series apart", func(ms pmetric.MetricSlice, i int64) {
			gaugeAt(ms, i+1, 1)
			a := ms.At(0).Gauge().DataPoints().At(0).Attributes()
			switch i {
			case 0:
				a.PutStr("x", "1")
			case 1:
				a.PutInt("x", 1)
			case 2:
				a.PutStr("1", "x")
			case 3:
				a.PutDouble("x", 1)
			case 4:
				a.PutBool("x", true)
			}
		}, map[string]int64{"learned": 6}, 6},
		{"nothing", func(ms pmetric.MetricSlice, _ int64) { ms.AppendEmpty().SetName("empty") }, map[string]int64{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sink := new(consumertest.MetricsSink)
			p, tel := startMetrics(t, config(), componenttest.NewNopHost(), sink)
			for i := range int64(6) {
				require.NoError(t, p.ConsumeMetrics(t.Context(), metrics(func(ms pmetric.MetricSlice) { c.fill(ms, i) })))
			}
			assert.Equal(t, c.points, points(t, tel))
			metadatatest.AssertEqualBaselineSeries(t, tel, []metricdata.DataPoint[int64]{{Value: c.series, Attributes: fromMetrics}}, metricdatatest.IgnoreTimestamp())
			assert.Len(t, sink.AllMetrics(), 6)
		})
	}
}

func TestIncludeExcludeAndRoom(t *testing.T) {
	cfg := config()
	cfg.Metrics.Include, cfg.Metrics.Exclude, cfg.Metrics.MaxSeries = []string{"system.*", "x"}, []string{"*.time"}, 3
	require.NoError(t, cfg.Metrics.Validate())
	p, tel := startMetrics(t, cfg, componenttest.NewNopHost(), consumertest.NewNop())
	require.NoError(t, p.ConsumeMetrics(t.Context(), metrics(func(ms pmetric.MetricSlice) {
		for _, name := range []string{"system.a", "system.time", "y", "x", "system.b", "system.c"} {
			m := ms.AppendEmpty()
			m.SetName(name)
			m.SetEmptyGauge().DataPoints().AppendEmpty().SetTimestamp(stamp(1))
		}
	})))
	assert.Equal(t, map[string]int64{"learned": 3, "refused": 1}, points(t, tel))
}

func TestBands(t *testing.T) {
	cfg := config()
	cfg.Metrics.Bands = true
	sink := new(consumertest.MetricsSink)
	p, _ := startMetrics(t, cfg, componenttest.NewNopHost(), sink)
	teach(t, p, rand.New(rand.NewPCG(1, 2)), 0, 3*86400)
	all := sink.AllMetrics()
	ms := all[0].ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	assert.Equal(t, 1, ms.Len(), "nothing is known yet")
	ms = all[len(all)-1].ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	require.Equal(t, 2, ms.Len())
	band := ms.At(1)
	assert.Equal(t, "hw.temperature.usual", band.Name())
	assert.Equal(t, "Cel", band.Unit())
	require.Equal(t, 6, band.Gauge().DataPoints().Len())
	values := map[string]float64{}
	for _, dp := range band.Gauge().DataPoints().All() {
		place, _ := dp.Attributes().Get("hw.location")
		bound, _ := dp.Attributes().Get("baseline.bound")
		values[place.Str()+" "+bound.Str()] = dp.DoubleValue()
	}
	assert.Len(t, values, 6)
	assert.InDelta(t, 40, values["inlet expected"], 2)
	assert.Less(t, values["inlet low"], values["inlet expected"]-2)
	assert.Greater(t, values["outlet high"], values["outlet expected"]+2)
}

func TestMetricsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	id := component.MustNewID("state_storage")
	run := func(from, to int64, last float64, r *rand.Rand) *consumertest.MetricsSink {
		cfg := statestorage.NewFactory().CreateDefaultConfig().(*statestorage.Config)
		cfg.Directory = dir
		ext, err := statestorage.NewFactory().Create(t.Context(), extensiontest.NewNopSettings(statestorage.NewFactory().Type()), cfg)
		require.NoError(t, err)
		require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
		own := config()
		own.Storage = &id
		sink := new(consumertest.MetricsSink)
		h := host{map[component.ID]component.Component{id: ext}}
		p, _ := startMetrics(t, own, h, sink)
		// The logs side of the same id keeps its state elsewhere.
		l, _ := start(t, own, h, consumertest.NewNop())
		require.NoError(t, l.ConsumeLogs(t.Context(), plant(0, 2)))
		teach(t, p, r, from, to)
		require.NoError(t, p.ConsumeMetrics(t.Context(), gauge(to, last, season(r, to))))
		require.NoError(t, l.Shutdown(t.Context()))
		require.NoError(t, p.Shutdown(t.Context()))
		require.NoError(t, p.Shutdown(t.Context()), "twice")
		require.NoError(t, ext.Shutdown(t.Context()))
		return sink
	}
	r := rand.New(rand.NewPCG(3, 4))
	run(0, 86400*2, 40, r)
	second := run(86400*2+300, 86400*2+3600, 70, r).AllMetrics()
	dp := second[len(second)-1].ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0)
	kind, ok := dp.Attributes().Get("observation.kind")
	assert.True(t, ok && kind.Str() == "spike", "what was learned before the restart tells that 70 is unusual: %v", dp.Attributes().AsRaw())
}

func TestMetricsConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*MetricsConfig)
		want   []string
	}{
		{"defaults", func(*MetricsConfig) {}, nil},
		{"a zone", func(c *MetricsConfig) { c.Timezone = "Local" }, nil},
		{"all at once", func(c *MetricsConfig) {
			*c = MetricsConfig{Timezone: "Mars/Olympus", Include: []string{"[a"}, Exclude: []string{"]["}, ForgetAfter: time.Second}
		}, []string{"max_series", "forget_after", `timezone is "Mars/Olympus"`, `include: "[a"`, `exclude: "]["`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config().Metrics
			c.change(&cfg)
			err := cfg.Validate()
			if c.want == nil {
				require.NoError(t, err)
			}
			for _, w := range c.want {
				require.ErrorContains(t, err, w)
			}
		})
	}
}

func TestMarksAreMarks(t *testing.T) {
	for _, k := range append(unusual.Marks, unusual.Part, unusual.UnitOf) {
		assert.True(t, unusual.IsMark(k), k)
	}
	assert.False(t, unusual.IsMark("host.name"))
}

func BenchmarkMetrics(b *testing.B) {
	p, err := NewFactory().CreateMetrics(b.Context(), processor.Settings{ID: component.MustNewID("baseline"), TelemetrySettings: componenttest.NewNopTelemetrySettings()}, config(), consumertest.NewNop())
	require.NoError(b, err)
	// Batches that differ in value; to set a value of a point would allocate.
	r := rand.New(rand.NewPCG(5, 6))
	var batches [16]pmetric.Metrics
	for n := range batches {
		batches[n] = metrics(func(ms pmetric.MetricSlice) {
			for i := range 1000 {
				m := ms.AppendEmpty()
				m.SetName("system.memory.utilization")
				m.SetUnit("1")
				dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
				dp.Attributes().PutInt("device", int64(i))
				dp.Attributes().PutStr("state", "used")
				dp.SetDoubleValue(50 + r.NormFloat64())
			}
		})
	}
	at := int64(0)
	step := func() {
		at += 60
		md := batches[at/60%16]
		for _, m := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
			m.Gauge().DataPoints().At(0).SetTimestamp(stamp(at))
		}
		require.NoError(b, p.ConsumeMetrics(b.Context(), md))
	}
	for range 20 {
		step()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		step()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/point")
}
