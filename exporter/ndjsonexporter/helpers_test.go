package ndjsonexporter

import (
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// counted gives the counters as "file outcome" → records.
func counted(t *testing.T, tel *componenttest.Telemetry) map[string]int64 {
	t.Helper()
	m, err := tel.GetMetric("otelcol_ndjson_records")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		file, _ := p.Attributes.Value("file")
		outcome, _ := p.Attributes.Value("outcome")
		counts[file.AsString()+" "+outcome.AsString()] = p.Value
	}
	return counts
}
