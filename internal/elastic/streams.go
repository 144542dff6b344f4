package elastic

import (
	"strings"

	"github.com/monban/monban/internal/reference"
)

// Datasets besides those of events.
const (
	Other      = "monban.other"      // events of others
	DeadLetter = "monban.deadletter" // what a server refused
)

// Mode is how documents are laid out.
type Mode string

// Modes.
const (
	ECS  Mode = "ecs"  // nested, under the names of the Elastic Common Schema
	OTel Mode = "otel" // as OpenTelemetry has them: attributes, resource.attributes
)

// Kind is what ECS calls the category of an event.
type Kind struct {
	Kind     string   // event.kind
	Category []string // event.category
	Type     []string // event.type
	Action   string   // event.action
}

// kinds are those of our events, by EventName.
var kinds = map[string]Kind{
	"network.flow":       {"event", []string{"network"}, []string{"connection"}, "network_flow"},
	"network.flood":      {"event", []string{"network"}, []string{"connection"}, "network_flood"},
	"network.sighting":   {"event", []string{"network"}, []string{"info"}, "device_sighting"},
	"network.capture":    {"state", []string{"host"}, []string{"info"}, "capture_state"},
	"device.inventory":   {"asset", []string{"host"}, []string{"info"}, "device_inventory"},
	"device.baseline":    {"state", []string{"host"}, []string{"info"}, "device_baseline"},
	"device.observation": {"event", []string{"host"}, []string{"info"}, "device_observation"},
	"host.posture":       {"event", []string{"host"}, []string{"change"}, "host_posture"},
	"traffic.forecast":   {"metric", []string{"network"}, []string{"info"}, "traffic_forecast"},
	"threat.report":      {"alert", []string{"intrusion_detection", "network"}, []string{"info"}, "threat_report"},
}

// KindOf is the ECS category of an event by its name, of events of others by "".
func KindOf(event string) Kind {
	k, ok := kinds[event]
	switch {
	case ok:
		return k
	case event == "":
		return Kind{Kind: "event"}
	}
	k = Kind{"event", []string{"host"}, []string{"info"}, strings.ReplaceAll(event, ".", "_")}
	if strings.HasPrefix(event, "collector.") { // what runs here, and how it fares
		k.Kind = "state"
	}
	return k
}

// datasets are those that are not named by the last word of the event's name.
var datasets = map[string]string{"device.inventory": "monban.device"}

// Dataset is the data set of an event of ours: monban.flow for network.flow.
func Dataset(event string) string {
	if d, ok := datasets[event]; ok {
		return d
	}
	return "monban." + event[strings.LastIndexByte(event, '.')+1:]
}

// MetricDataset is the data set of a metric by its name: what the host has, what the Collector
// says of itself, and all others.
func MetricDataset(metric string) string {
	first, _, _ := strings.Cut(metric, ".")
	switch first {
	case "system", "process", "host", "hw", "container":
		return "monban.host"
	}
	if strings.HasPrefix(metric, "otelcol_") || first == "otelcol" {
		return "monban.collector"
	}
	return "monban.metric"
}

// metricDatasets are all that MetricDataset gives.
var metricDatasets = []string{"monban.host", "monban.collector", "monban.metric"}

// Stream is a data stream.
type Stream struct {
	Type      string // logs or metrics
	Dataset   string // with .otel at its end in that mode
	Namespace string
}

// StreamOf is the data stream of a data set.
func StreamOf(typ, dataset string, mode Mode, namespace string) Stream {
	if mode == OTel && dataset != DeadLetter {
		dataset += ".otel"
	}
	return Stream{typ, dataset, namespace}
}

// Name is the name of the data stream.
func (s Stream) Name() string { return s.Type + "-" + s.Dataset + "-" + s.Namespace }

// Streams lists every data stream that is written to, that of dead letters last.
func Streams(mode Mode, namespace string) (all []Stream) {
	for _, e := range reference.Events() {
		all = append(all, StreamOf("logs", Dataset(e.Name), mode, namespace))
	}
	all = append(all, StreamOf("logs", Other, mode, namespace))
	for _, d := range metricDatasets {
		all = append(all, StreamOf("metrics", d, mode, namespace))
	}
	return append(all, StreamOf("logs", DeadLetter, mode, namespace))
}

// CheckNamespace tells why a namespace can't be part of a data stream's name.
func CheckNamespace(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > 100:
		return "must not be longer than 100 bytes"
	case strings.ToLower(s) != s:
		return "must be in lower case"
	case strings.ContainsAny(s, "-\\/*?\"<>| ,#:"):
		return "must hold none of - \\ / * ? \" < > | , # : and no space"
	}
	return ""
}
