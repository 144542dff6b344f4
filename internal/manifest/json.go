package manifest

import (
	"encoding/json"
	"time"

	"github.com/monban/monban/internal/event"
)

// JSON gives the snapshot as one object. Each of its parts is an event as it would stand in a line of NDJSON, so
// that each obeys the schema of its kind.
func (s *Snapshot) JSON(version int) ([]byte, error) {
	return json.MarshalIndent(document{
		Version:      version,
		Orchestrator: object(Orchestrators, s.Orchestrator.Time, &s.Orchestrator),
		Pipelines:    objects(Pipelines, func(p *Pipeline) int64 { return p.Time }, s.Pipelines),
		Sources:      objects(DataSources, func(p *DataSource) int64 { return p.Time }, s.Sources),
		Definitions:  objects(ProcessorDefinitions, func(p *ProcessorDefinition) int64 { return p.Time }, s.Definitions),
		Manifests:    objects(ProcessorManifests, func(p *ProcessorManifest) int64 { return p.Time }, s.Manifests),
	}, "", "  ")
}

type document struct {
	Version      int              `json:"schema_version"`
	Orchestrator map[string]any   `json:"orchestrator"`
	Pipelines    []map[string]any `json:"pipelines"`
	Sources      []map[string]any `json:"data_sources"`
	Definitions  []map[string]any `json:"processor_definitions"`
	Manifests    []map[string]any `json:"processor_manifests"`
}

func objects[R any](t *event.Table[R], at func(*R) int64, list []R) []map[string]any {
	all := make([]map[string]any, 0, len(list))
	for i := range list {
		all = append(all, object(t, at(&list[i]), &list[i]))
	}
	return all
}

func object[R any](t *event.Table[R], at int64, r *R) map[string]any {
	s := sink{"timestamp": instant(at), "event": t.Name}
	t.Put(r, s)
	for _, f := range t.Fields {
		if n, ok := s[f.Key].(int64); ok && f.Kind == event.Time {
			s[f.Key] = instant(n)
		}
	}
	return s
}

func instant(ns int64) string {
	return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z")
}

type sink map[string]any

func (s sink) PutInt(k string, v int64)              { s[k] = v }
func (s sink) PutFloat(k string, v float64)          { s[k] = v }
func (s sink) PutBool(k string, v bool)              { s[k] = v }
func (s sink) PutString(k string, v string)          { s[k] = v }
func (s sink) PutStrings(k string, v []string)       { s[k] = v }
func (s sink) PutInts(k string, v []int64)           { s[k] = v }
func (s sink) PutReasons(k string, v []event.Reason) { s[k] = v }
