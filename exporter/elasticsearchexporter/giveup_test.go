package elasticsearchexporter

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/exporter/elasticsearchexporter/internal/metadata"
)

// TestGivenUpIsCounted has a server that takes nothing and a queue with room for a few records: what
// it does not take is counted by data stream, and what it took is not.
func TestGivenUpIsCounted(t *testing.T) {
	defer func(d time.Duration) { shutdownGrace = d }(shutdownGrace)
	shutdownGrace = 0
	s := newBulkServer(t)
	s.whole = func(w http.ResponseWriter, _ int) bool { w.WriteHeader(http.StatusServiceUnavailable); return true }
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints, cfg.Template, cfg.ClientConfig.Timeout, cfg.Namespace = []string{s.URL}, templateOff, 10*time.Millisecond, "hall"
	queue := cfg.QueueConfig.Get()
	queue.BlockOnOverflow, queue.QueueSize, queue.Batch.Get().MinSize, queue.Batch.Get().MaxSize = false, 40, 1, 20
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	core, said := observer.New(zap.InfoLevel)
	set := exporter.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: tel.NewTelemetrySettings()}
	set.Logger = zap.New(core)
	logs, err := createLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	metrics, err := createMetrics(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, metrics.Start(t.Context(), componenttest.NewNopHost()))

	refused := map[string]int64{}
	for range 20 {
		ld, kinds := plog.NewLogs(), map[string]int64{}
		records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for _, k := range []struct{ event, stream string }{
			{"network.flow", "logs-monban.flow-hall"}, {"network.flow", "logs-monban.flow-hall"}, {"threat.report", "logs-monban.report-hall"},
			{"network.flow", "logs-monban.flow-hall"}, {"", "logs-monban.other-hall"}, {"of.others", "logs-monban.other-hall"},
		} {
			records.AppendEmpty().SetEventName(k.event)
			kinds[k.stream]++
		}
		if logs.ConsumeLogs(t.Context(), ld) != nil {
			for stream, n := range kinds {
				refused[stream] += n
			}
		}
		if metrics.ConsumeMetrics(t.Context(), someMetrics()) != nil {
			refused["metrics-monban.host-hall"]++
			refused["metrics-monban.collector-hall"] += 2
			refused["metrics-monban.metric-hall"] += 3
		}
	}
	require.NoError(t, logs.Shutdown(t.Context()))
	require.NoError(t, metrics.Shutdown(t.Context()))
	require.Len(t, refused, 6, "each kind was refused, and no other: %v", refused)
	require.Less(t, refused["logs-monban.report-hall"], int64(20), "some were taken")
	m, err := tel.GetMetric("otelcol_elasticsearch_given_up")
	require.NoError(t, err)
	counted := map[string]int64{}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		stream, _ := p.Attributes.Value("stream")
		counted[stream.AsString()] = p.Value
	}
	assert.Equal(t, refused, counted)
	assert.Equal(t, len(refused), said.FilterMessageSnippet("Records were given up").Len(), "each is said once a minute")
}
