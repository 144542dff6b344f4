package elasticsearchexporter

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/monban/monban/exporter/elasticsearchexporter/internal/metadata"
)

// Records and data points that have no time get the one at which they came: equal ones are a document each, in
// one batch and in two, and what is sent again stays the same document.
func TestWithoutTime(t *testing.T) {
	defer func(old []time.Duration) { pauses = old }(pauses)
	pauses = []time.Duration{1, 1}
	for _, c := range []struct {
		name  string
		batch bool // then the data is ours to change
	}{{"with batches", true}, {"without", false}} {
		for _, mode := range []string{"ecs", "otel"} {
			t.Run(c.name+" "+mode, func(t *testing.T) {
				s := newBulkServer(t)
				s.whole = func(w http.ResponseWriter, n int) bool {
					if n <= 2 {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
					return n <= 2
				}
				cfg := createDefaultConfig().(*Config)
				cfg.Endpoints, cfg.Template, cfg.Mapping.Mode = []string{s.URL}, templateOff, mode
				cfg.RetryConfig.InitialInterval, cfg.RetryConfig.MaxInterval = 1, 1
				queue := cfg.QueueConfig.Get()
				if c.batch {
					queue.Batch.Get().FlushTimeout = time.Millisecond
				} else {
					queue.Batch = configoptional.None[exporterhelper.BatchConfig]()
				}
				set := exporter.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
				logs, err := createLogs(t.Context(), set, cfg)
				require.NoError(t, err)
				require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
				require.Equal(t, c.batch, logs.Capabilities().MutatesData)
				metrics, err := createMetrics(t.Context(), set, cfg)
				require.NoError(t, err)
				require.NoError(t, metrics.Start(t.Context(), componenttest.NewNopHost()))
				begun := time.Now()
				for range 2 {
					ld := plog.NewLogs()
					records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
					for range 3 {
						records.AppendEmpty().Body().SetStr("door open")
					}
					md := pmetric.NewMetrics()
					g := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
					g.SetName("door")
					points := g.SetEmptyGauge().DataPoints()
					for range 3 {
						points.AppendEmpty().SetIntValue(1)
					}
					if !c.batch { // as another exporter of the pipeline has it too
						ld.MarkReadOnly()
						md.MarkReadOnly()
					}
					require.NoError(t, logs.ConsumeLogs(t.Context(), ld))
					require.NoError(t, metrics.ConsumeMetrics(t.Context(), md))
					if !c.batch {
						assert.Zero(t, records.At(0).ObservedTimestamp(), "others have it too")
						assert.Zero(t, points.At(0).Timestamp())
					}
				}
				require.NoError(t, logs.Shutdown(t.Context()))
				require.NoError(t, metrics.Shutdown(t.Context()))
				assert.Equal(t, 6, s.count("logs-"), "a document each")
				assert.Equal(t, 6, s.count("metrics-"), "a document each")
				for _, doc := range s.docs {
					var d struct {
						Time time.Time `json:"@timestamp"`
					}
					require.NoError(t, json.Unmarshal([]byte(doc), &d))
					assert.False(t, d.Time.Before(begun.Add(-time.Second)) || d.Time.After(time.Now()), doc)
				}
			})
		}
	}
}

// A try that is made again makes the same documents.
func TestWithoutTimeIsTheSameAgain(t *testing.T) {
	s := newBulkServer(t)
	e, tel, _ := push(t, s, nil)
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	records.AppendEmpty().Body().SetStr("door open")
	records.AppendEmpty().Body().SetStr("door open")
	ld = e.arrival.Observe(ld, true)
	require.NoError(t, e.pushLogs(t.Context(), ld))
	require.NoError(t, e.pushLogs(t.Context(), ld))
	assert.Equal(t, map[string]int64{"created": 2, "exists": 2}, outcomesOf(t, tel))

	point := pmetric.NewMetrics()
	g := point.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	m := g.AppendEmpty()
	m.SetEmptyHistogram().DataPoints().AppendEmpty()
	m = g.AppendEmpty()
	m.SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
	m = g.AppendEmpty()
	m.SetEmptySummary().DataPoints().AppendEmpty()
	m = g.AppendEmpty()
	m.SetEmptySum().DataPoints().AppendEmpty().SetTimestamp(7)
	times := map[int64]bool{}
	each(e.timed(point, true), func(p timedPoint) { times[int64(p.Timestamp())] = true })
	assert.Len(t, times, 4)
	assert.True(t, times[7])
	assert.False(t, times[0])
}
