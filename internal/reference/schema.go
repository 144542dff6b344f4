package reference

import (
	"encoding/json"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/manifest"
)

// Version is that of all events together. It rises when a key changes its
// meaning or goes away; a new key is no new version.
const Version = 1

const base = "https://github.com/monban/monban/schema/"

// object is a JSON object that keeps its order.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		k, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, k...), ':'), v...)
	}
	return append(b, '}'), nil
}

const timePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z$`

// Schema is the JSON Schema (draft 2020-12) of one line of e as the ndjson
// exporter writes it, indented, with a newline at its end.
func Schema(e Event) ([]byte, error) {
	properties := object{
		{"timestamp", instant("When it happened")},
		{"event", object{{"const", e.Name}}},
		{"severity", text("Severity, where the record has one")},
		{"trace_id", text("Trace, where the record belongs to one")},
		{"span_id", text("Span, likewise")},
		{"body", object{{"description", "The record in one sentence, where it has one"}}},
	}
	for _, r := range e.Rows {
		properties = append(properties, member{r.Key, property(r)})
	}
	b, err := json.MarshalIndent(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", base + e.Name + ".schema.json"},
		{"title", e.Name},
		{"description", e.Doc + " One line of " + e.File + ".ndjson. Keys that are not here were added by others: the resource's, such as host.name, and other processors'."},
		{"version", Version},
		{"type", "object"},
		{"properties", properties},
		{"required", []string{"timestamp", "event"}},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

const manifestName = "collector.manifest"

// Manifest is the JSON Schema of what the manifest extension answers: events in one object.
func Manifest() ([]byte, error) {
	of := func(name string) object { return object{{"$ref", base + name + ".schema.json"}} }
	list := func(name, doc string) object {
		return object{{"type", "array"}, {"items", of(name)}, {"description", doc}}
	}
	b, err := json.MarshalIndent(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", base + manifestName + ".schema.json"},
		{"title", manifestName},
		{"description", "What the manifest extension answers: the parts of a running Collector and how they fare."},
		{"version", Version},
		{"type", "object"},
		{"properties", object{
			{"schema_version", object{{"const", Version}}},
			{"orchestrator", of(manifest.Orchestrators.Name)},
			{"pipelines", list(manifest.Pipelines.Name, manifest.Pipelines.Doc)},
			{"data_sources", list(manifest.DataSources.Name, manifest.DataSources.Doc)},
			{"processor_definitions", list(manifest.ProcessorDefinitions.Name, manifest.ProcessorDefinitions.Doc)},
			{"processor_manifests", list(manifest.ProcessorManifests.Name, manifest.ProcessorManifests.Doc)},
		}},
		{"required", []string{"schema_version", "orchestrator", "pipelines", "data_sources", "processor_definitions", "processor_manifests"}},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

func property(r event.Row) object {
	o := kindSchema(r.Kind)
	o = append(o, member{"description", r.Doc})
	if r.Unit != "" && r.Kind != event.Time {
		o = append(o, member{"unit", r.Unit})
	}
	return append(o, member{"elasticsearch", r.Elastic})
}

func kindSchema(k event.Kind) object {
	switch k {
	case event.Int:
		return object{{"type", "integer"}}
	case event.Time:
		return object{{"type", "string"}, {"format", "date-time"}, {"pattern", timePattern}}
	case event.Float:
		return object{{"type", []string{"number", "null"}}}
	case event.Bool:
		return object{{"type", "boolean"}}
	case event.Strings:
		return object{{"type", "array"}, {"items", object{{"type", "string"}}}}
	case event.Ints:
		return object{{"type", "array"}, {"items", object{{"type", "integer"}}}}
	case event.Reasons:
		return object{{"type", "array"}, {"items", object{
			{"type", "object"},
			{"properties", object{
				{"kind", text("Kind of evidence")},
				{"device", text("Id of the device that acts")},
				{"subject", text("What exactly: a service, a peer, a command, an address")},
				{"strength", object{{"type", []string{"number", "null"}}, {"description", "How strong: nats of surprise for novelty, a certainty from 0 to 1 for rules"}}},
				{"expected", text("What is usual")},
				{"seen", text("What was seen instead")},
			}},
			{"required", []string{"kind", "device", "subject", "strength", "expected", "seen"}},
			{"additionalProperties", false},
		}}}
	}
	return object{{"type", "string"}}
}

func text(doc string) object { return object{{"type", "string"}, {"description", doc}} }

func instant(doc string) object {
	return append(kindSchema(event.Time), member{"description", doc})
}
