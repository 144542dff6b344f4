package probeprocessor

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/internal/probe"
	"github.com/monban/monban/processor/probeprocessor/internal/metadata"
	"github.com/monban/monban/processor/probeprocessor/internal/metadatatest"
)

func sent(v client.AuthData) context.Context {
	return client.NewContext(context.Background(), client.Info{Auth: v})
}

var (
	known    = sent(probe.Voucher{Verdict: probe.Verdict{Name: "plc-a", By: []string{probe.ByToken}}})
	stranger = sent(probe.Voucher{Verdict: probe.Verdict{Reason: probe.UnknownToken}})
)

// liar is authentication data of somebody else, such as the claims of a web token.
type liar struct{}

func (liar) GetAttribute(string) any     { return "plc-a" }
func (liar) GetAttributeNames() []string { return []string{probe.Name, probe.Trust} }
func claim(m pcommon.Map) {
	m.PutStr("probe.name", "x")
	m.PutStr("kept", "y")
	m.PutStr("probe.z", "")
}
func settings(tel *componenttest.Telemetry) processor.Settings {
	return processor.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: tel.NewTelemetrySettings()}
}

func logs() plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	claim(rl.Resource().Attributes())
	sl := rl.ScopeLogs().AppendEmpty()
	claim(sl.Scope().Attributes())
	claim(sl.LogRecords().AppendEmpty().Attributes())
	return ld
}

func TestLogs(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		ctx  context.Context
		want string // the resource's attributes
	}{
		{"a known probe", Config{Unvouched: refuse}, known, "map[kept:y probe.name:plc-a probe.trust:trusted probe.vouched_by:[token]]"},
		{"an unknown one", Config{Unvouched: quarantine}, stranger, "map[kept:y probe.reason:unknown_token probe.trust:quarantined]"},
		{"an unknown one is not wanted", Config{Unvouched: refuse}, stranger, ""},
		{"nobody was asked", Config{Unvouched: quarantine}, context.Background(), "map[kept:y probe.reason:unvouched probe.trust:quarantined]"},
		{"nobody was asked, and that is not wanted", Config{Unvouched: refuse}, context.Background(), ""},
		{"a name for what is not asked", Config{Name: "kafka", Unvouched: refuse}, context.Background(), "map[kept:y probe.name:kafka probe.trust:trusted probe.vouched_by:[configuration]]"},
		{"a name does not whitewash", Config{Name: "kafka", Unvouched: quarantine}, stranger, "map[kept:y probe.reason:unknown_token probe.trust:quarantined]"},
		{"nor does it replace", Config{Name: "kafka", Unvouched: quarantine}, known, "map[kept:y probe.name:plc-a probe.trust:trusted probe.vouched_by:[token]]"},
		{"somebody else's authentication", Config{Unvouched: quarantine}, sent(liar{}), "map[kept:y probe.reason:unvouched probe.trust:quarantined]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tel := componenttest.NewTelemetry()
			defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
			sink := new(consumertest.LogsSink)
			require.NoError(t, c.cfg.Validate())
			p, err := NewFactory().CreateLogs(t.Context(), settings(tel), &c.cfg, sink)
			require.NoError(t, err)
			err = p.ConsumeLogs(c.ctx, logs())
			if c.want == "" {
				require.True(t, consumererror.IsPermanent(err), err)
				assert.Zero(t, sink.LogRecordCount())
				metadatatest.AssertEqualProbeItemsRefused(t, tel, []metricdata.DataPoint[int64]{{Value: 1, Attributes: attribute.NewSet(attribute.String("processor", "probe"))}}, metricdatatest.IgnoreTimestamp())
				return
			}
			require.NoError(t, err)
			rl := sink.AllLogs()[0].ResourceLogs().At(0)
			assert.Equal(t, c.want, fmt.Sprint(rl.Resource().Attributes().AsRaw()))
			for _, m := range []pcommon.Map{rl.ScopeLogs().At(0).Scope().Attributes(), rl.ScopeLogs().At(0).LogRecords().At(0).Attributes()} {
				assert.Equal(t, map[string]any{"kept": "y"}, m.AsRaw())
			}
			require.NoError(t, p.Shutdown(t.Context()))
		})
	}
}

// TestMetrics looks at all places in which a metric has attributes.
func TestMetrics(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	core, said := observer.New(zap.WarnLevel)
	set := settings(tel)
	set.Logger = zap.New(core)
	sink := new(consumertest.MetricsSink)
	p, err := NewFactory().CreateMetrics(t.Context(), set, &Config{Unvouched: quarantine}, sink)
	require.NoError(t, err)
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	sm := rm.ScopeMetrics().AppendEmpty()
	claim(sm.Scope().Attributes())
	next := func() pmetric.Metric {
		m := sm.Metrics().AppendEmpty()
		claim(m.Metadata())
		return m
	}
	g := next().SetEmptyGauge().DataPoints().AppendEmpty()
	claim(g.Attributes())
	claim(g.Exemplars().AppendEmpty().FilteredAttributes())
	s := next().SetEmptySum().DataPoints().AppendEmpty()
	claim(s.Attributes())
	claim(s.Exemplars().AppendEmpty().FilteredAttributes())
	h := next().SetEmptyHistogram().DataPoints().AppendEmpty()
	claim(h.Attributes())
	claim(h.Exemplars().AppendEmpty().FilteredAttributes())
	e := next().SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
	claim(e.Attributes())
	claim(e.Exemplars().AppendEmpty().FilteredAttributes())
	claim(next().SetEmptySummary().DataPoints().AppendEmpty().Attributes())
	next()
	require.NoError(t, p.ConsumeMetrics(known, md))
	b, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(sink.AllMetrics()[0])
	require.NoError(t, err)
	assert.NotContains(t, string(b), `"probe.z"`)
	assert.NotContains(t, string(b), `"x"`)
	assert.Equal(t, "map[probe.name:plc-a probe.trust:trusted probe.vouched_by:[token]]", fmt.Sprint(rm.Resource().Attributes().AsRaw()))

	require.NoError(t, p.ConsumeMetrics(stranger, md)) // as if it came again, from somebody else
	assert.Equal(t, 1, said.Len())
	id := attribute.String("processor", "probe")
	metadatatest.AssertEqualProbeClaimsRemoved(t, tel, []metricdata.DataPoint[int64]{
		{Value: 2 * (1 + 6 + 9), Attributes: attribute.NewSet(id, attribute.String("probe", "plc-a"))},
		{Value: 3, Attributes: attribute.NewSet(id, attribute.String("probe", "unknown"))},
	}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualProbeItemsTrusted(t, tel, []metricdata.DataPoint[int64]{{Value: 5, Attributes: attribute.NewSet(id, attribute.String("probe", "plc-a"))}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualProbeItemsQuarantined(t, tel, []metricdata.DataPoint[int64]{{Value: 5, Attributes: attribute.NewSet(id)}}, metricdatatest.IgnoreTimestamp())
	require.NoError(t, p.Shutdown(t.Context()))
}

func TestConfig(t *testing.T) {
	err := (&Config{Name: "a b", Unvouched: "no"}).Validate()
	require.ErrorContains(t, err, "name must be")
	require.ErrorContains(t, err, `unvouched must be refuse or quarantine, not "no"`)
	require.Error(t, errors.Unwrap(errUnvouched))
}

func BenchmarkLogs(b *testing.B) {
	p, err := newProbe(&Config{Unvouched: quarantine}, settingsOf(b))
	if err != nil {
		b.Fatal(err)
	}
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range 1000 {
		a := records.AppendEmpty().Attributes()
		for i := range 16 {
			a.PutInt(fmt.Sprintf("flow.attribute.%d", i), 1)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.logs(known, ld); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

func settingsOf(b *testing.B) processor.Settings {
	b.Helper()
	return processor.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
}
