package threatconnector

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/monban/monban/connector/threatconnector/internal/metadatatest"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/processor/baselineprocessor"
)

func startMetrics(t *testing.T, next consumer.Logs) connector.Metrics {
	t.Helper()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	c, err := NewFactory().CreateMetricsToLogs(t.Context(), metadatatest.NewSettings(tel), config(), next)
	require.NoError(t, err)
	require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { assert.NoError(t, c.Shutdown(context.Background())) })
	return c
}

// sample is a batch of a host: a point of every type, the gauge with this value.
func sample(host string, at int64, v float64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	if host != "" {
		rm.Resource().Attributes().PutStr("host.name", host)
	}
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	m := ms.AppendEmpty()
	m.SetName("hw.temperature")
	m.SetUnit("Cel")
	dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.Timestamp(epoch + at*1e9))
	dp.SetDoubleValue(v)
	dp.Attributes().PutStr("hw.location", "inlet")
	for _, dp := range []interface{ SetTimestamp(pcommon.Timestamp) }{
		ms.AppendEmpty().SetEmptySum().DataPoints().AppendEmpty(), ms.AppendEmpty().SetEmptyHistogram().DataPoints().AppendEmpty(),
		ms.AppendEmpty().SetEmptyExponentialHistogram().DataPoints().AppendEmpty(), ms.AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty(),
	} {
		dp.SetTimestamp(pcommon.Timestamp(epoch + at*1e9))
	}
	return md
}

// The whole way: two benign weeks, a sensor that is stuck for an hour, and one that is well again.
func TestAStuckSensorIsReported(t *testing.T) {
	sink := new(consumertest.LogsSink)
	c := startMetrics(t, sink)
	p, err := baselineprocessor.NewFactory().CreateMetrics(t.Context(), processortest.NewNopSettings(baselineprocessor.NewFactory().Type()),
		baselineprocessor.NewFactory().CreateDefaultConfig(), c)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { assert.NoError(t, p.Shutdown(context.Background())) }()
	r := rand.New(rand.NewPCG(1, 2))
	const weeks = 14 * 86400
	for at := int64(0); at < weeks+3*3600; at += 300 {
		v := 40 + r.NormFloat64()
		if at >= weeks && at < weeks+3600 {
			v = 40.25
		}
		require.NoError(t, p.ConsumeMetrics(t.Context(), sample("press-7", at, v)))
	}
	var phases, statuses []string
	for _, logs := range sink.AllLogs() {
		for _, rl := range logs.ResourceLogs().All() {
			name, _ := rl.Resource().Attributes().Get("host.name")
			assert.Equal(t, "press-7", name.Str())
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				switch lr.EventName() {
				case baseline.Observations.Name:
					o := baseline.Observation{Time: int64(lr.Timestamp())}
					logrecord.Read(lr, baseline.Observations, &o)
					phases = append(phases, string(o.Phase))
					assert.Equal(t, "stuck", o.Kind)
					assert.Equal(t, "press-7", o.Device)
					assert.Equal(t, "hw.temperature", o.Metric)
					assert.Equal(t, "Cel", o.Unit)
					assert.Equal(t, []string{"hw.location=inlet"}, o.Entity)
					assert.Equal(t, o.Summary, lr.Body().Str())
				case threat.Reports.Name:
					var rep threat.Report
					logrecord.Read(lr, threat.Reports, &rep)
					statuses = append(statuses, rep.Status)
					assert.Equal(t, threat.StuckSensor, rep.Class)
					assert.Equal(t, "press-7", rep.Device)
					assert.Contains(t, rep.Seen, "hw.temperature (hw.location=inlet) is 40.25 Cel again and again")
					assert.NotEmpty(t, rep.ICS)
				default:
					t.Errorf("an event %q", lr.EventName())
				}
			}
		}
	}
	assert.Equal(t, []string{"rise", "fall"}, phases)
	require.NotEmpty(t, statuses)
	assert.Equal(t, "open", statuses[0])
	assert.Equal(t, "closed", statuses[len(statuses)-1])
	assert.Less(t, len(statuses), 14, "one incident, while it goes on: %v", statuses)
}

func TestPointsThatAreNotOurs(t *testing.T) {
	sink := new(consumertest.LogsSink)
	c := startMetrics(t, sink)
	require.NoError(t, c.ConsumeMetrics(t.Context(), pmetric.NewMetrics()))
	require.NoError(t, c.ConsumeMetrics(t.Context(), sample("h", 0, 1)))
	assert.Empty(t, sink.AllLogs())
	// A mark with a kind that we do not know is passed on, and is no evidence.
	md := sample("", 60, 1)
	a := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0).Attributes()
	a.PutStr("observation.kind", "haunted")
	a.PutStr("observation.phase", "rise")
	a.PutInt("observation.value", 7)
	md.MarkReadOnly()
	require.NoError(t, c.ConsumeMetrics(t.Context(), md))
	require.Len(t, sink.AllLogs(), 1)
	lr := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	var o baseline.Observation
	logrecord.Read(lr, baseline.Observations, &o)
	assert.Equal(t, baseline.Observation{Device: "unnamed source of hw.temperature", Phase: baseline.Rise, Kind: "haunted", Metric: "hw.temperature", Unit: "Cel",
		Entity: []string{"hw.location=inlet"}, Value: 7}, o)
	assert.Equal(t, plog.SeverityNumberInfo, lr.SeverityNumber())
	assert.Equal(t, 1, sink.LogRecordCount(), "no report")
}
