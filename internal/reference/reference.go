// Package reference knows every event that Monban writes. From their tables of
// fields it makes the reference page and the JSON schemas, and it tells writers
// what a key alone does not: which file an event belongs to and which integers
// are points in time. It promises one definition for all of these; it holds no
// state and touches no file.
package reference

import (
	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/manifest"
	"github.com/monban/monban/internal/posture"
	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/internal/traffic"
)

//go:generate go run ./generate ../..

// Event is one kind of event.
type Event struct {
	event.Definition
	File string // NDJSON file name without its extension
}

// Other is the file of events that are not ours.
const Other = "other"

// Events lists every kind of event, in the order of the data's way.
func Events() []Event {
	return []Event{
		{flow.Fields.Describe(), "flows"},
		{flow.Floods.Describe(), "floods"},
		{app.Sightings.Describe(), "sightings"},
		{device.Records.Describe(), "devices"},
		{baseline.Statuses.Describe(), "baselines"},
		{baseline.Observations.Describe(), "observations"},
		{traffic.Forecasts.Describe(), "forecasts"},
		{threat.Reports.Describe(), "reports"},
		{app.Captures.Describe(), "capture"},
		{posture.Records.Describe(), "posture"},
		{manifest.Orchestrators.Describe(), "orchestrator"},
		{manifest.Pipelines.Describe(), "pipelines"},
		{manifest.DataSources.Describe(), "data_sources"},
		{manifest.ProcessorDefinitions.Describe(), "processor_definitions"},
		{manifest.ProcessorManifests.Describe(), "processor_manifests"},
	}
}

// Times are the keys whose integers are nanoseconds since the Unix epoch.
func Times() map[string]bool {
	times := map[string]bool{}
	for _, e := range Events() {
		for _, r := range e.Rows {
			if r.Kind == event.Time {
				times[r.Key] = true
			}
		}
	}
	return times
}
