package kafkaeventsexporter

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/exporter/kafkaeventsexporter/internal/metadata"
)

// sink takes what the queue would.
type sink struct {
	exporter.Logs
	mutates bool
	got     []plog.Logs
}

func (s *sink) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: s.mutates}
}

func (s *sink) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	s.got = append(s.got, ld)
	return nil
}

// Equal records without a time are two and not one that is sent again, and each keeps its mark when it is.
func TestWithoutTime(t *testing.T) {
	for _, encoding := range []string{encodingJSON, encodingOTLP} {
		for _, mutates := range []bool{true, false} {
			cfg := testConfig(encoding)
			cfg.TransactionalID = "x"
			set := exportertest.NewNopSettings(metadata.Type)
			set.TelemetrySettings = componenttest.NewNopTelemetrySettings()
			e, err := newExporter(t.Context(), cfg, set)
			if err != nil {
				t.Fatal(err)
			}
			s := &sink{mutates: mutates}
			c := &counting{s, e}
			begun := time.Now()
			for range 2 {
				ld := plog.NewLogs()
				records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
				records.AppendEmpty().Body().SetStr("door open")
				records.AppendEmpty().Body().SetStr("door open")
				if !mutates {
					ld.MarkReadOnly()
				}
				if err := c.ConsumeLogs(t.Context(), ld); err != nil {
					t.Fatal(err)
				}
			}
			seen := map[uint64]bool{}
			for _, ld := range append(s.got, s.got...) {
				b, err := encoderOf(cfg).encode(ld, func(mark uint64) bool { return seen[mark] }, roomy)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range b.messages {
					for _, mark := range m.Marks {
						seen[mark] = true
					}
					if encoding == encodingJSON {
						var line struct{ Timestamp time.Time }
						if err := json.Unmarshal(m.Value, &line); err != nil || line.Timestamp.Before(begun) {
							t.Errorf("%s: %v", m.Value, err)
						}
					}
				}
			}
			if len(seen) != 4 {
				t.Errorf("%s: %d records of 4", encoding, len(seen))
			}
			if err := e.shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}
