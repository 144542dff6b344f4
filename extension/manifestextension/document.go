package manifestextension

import (
	"encoding/json"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/manifest"
	"github.com/monban/monban/internal/reference"
)

// document is the answer, by schema/collector.manifest.schema.json. Each part is an event as it stands in a line of
// NDJSON, written by the same code.
type document struct {
	Version      int               `json:"schema_version"`
	Orchestrator json.RawMessage   `json:"orchestrator"`
	Pipelines    []json.RawMessage `json:"pipelines"`
	Sources      []json.RawMessage `json:"data_sources"`
	Definitions  []json.RawMessage `json:"processor_definitions"`
	Manifests    []json.RawMessage `json:"processor_manifests"`
}

func encode(s *manifest.Snapshot) ([]byte, error) {
	e := flatjson.NewEncoder()
	return json.MarshalIndent(document{
		Version:      reference.Version,
		Orchestrator: part(e, manifest.Orchestrators, s.Orchestrator.Time, &s.Orchestrator),
		Pipelines:    parts(e, manifest.Pipelines, func(p *manifest.Pipeline) int64 { return p.Time }, s.Pipelines),
		Sources:      parts(e, manifest.DataSources, func(p *manifest.DataSource) int64 { return p.Time }, s.Sources),
		Definitions:  parts(e, manifest.ProcessorDefinitions, func(p *manifest.ProcessorDefinition) int64 { return p.Time }, s.Definitions),
		Manifests:    parts(e, manifest.ProcessorManifests, func(p *manifest.ProcessorManifest) int64 { return p.Time }, s.Manifests),
	}, "", "  ")
}

func parts[R any](e *flatjson.Encoder, t *event.Table[R], at func(*R) int64, list []R) []json.RawMessage {
	all := make([]json.RawMessage, 0, len(list)) // an empty list, not null
	for i := range list {
		all = append(all, part(e, t, at(&list[i]), &list[i]))
	}
	return all
}

func part[R any](e *flatjson.Encoder, t *event.Table[R], at int64, r *R) json.RawMessage {
	return e.AppendRecord(nil, logrecord.Append(plog.NewLogRecordSlice(), t, at, r))
}
