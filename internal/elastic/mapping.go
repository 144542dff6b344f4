package elastic

import (
	"maps"
	"slices"
	"strings"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/reference"
)

// ECSVersion is that of the schema whose names are used.
const ECSVersion = "8.17.0"

// Own is the object below which those of our fields lie that have no name in ECS.
const Own = "monban"

// Leaf is one field of a document.
type Leaf struct {
	Path string // dotted
	Type string // mapping type
	Doc  string // "" for what comes from a table of events
}

// Columns are where the attributes of an event lie, in the order of its rows, with their mapping
// types. In OTel mode the paths are below attributes. A key that is the beginning of another,
// such as a and a.b, can't be a value and an object at once: it gets .value at its end.
func Columns(e reference.Event, mode Mode) []Leaf {
	all := make([]Leaf, len(e.Rows))
	for i, r := range e.Rows {
		switch {
		case mode == OTel:
			all[i] = Leaf{Path: r.Key, Type: r.Elastic}
		case r.Common == "":
			all[i] = Leaf{Path: Own + "." + r.Key, Type: r.Elastic}
		case r.Mapped != "":
			all[i] = Leaf{Path: r.Common, Type: r.Mapped}
		default:
			all[i] = Leaf{Path: r.Common, Type: r.Elastic}
		}
		if r.Kind == event.Reasons {
			all[i].Type = "reasons"
		}
	}
	for i := range all {
		for j := range all {
			if i != j && strings.HasPrefix(all[j].Path, all[i].Path+".") {
				all[i].Path += ".value"
				break
			}
		}
	}
	return all
}

// common are the fields that every document in ECS mode may have.
var common = []Leaf{
	{"@timestamp", "date", "The record's time, else the time at which it was observed; all nine digits are in the document"},
	{"data_stream.type", "keyword", "logs or metrics"},
	{"data_stream.dataset", "keyword", "As in the data stream's name"},
	{"data_stream.namespace", "keyword", "Likewise"},
	{"ecs.version", "keyword", "Version of the Elastic Common Schema"},
	{"event.kind", "keyword", "event, state, asset, metric, or alert for a threat report"},
	{"event.category", "keyword", "network, host, intrusion_detection"},
	{"event.type", "keyword", "connection, change or info"},
	{"event.action", "keyword", "network_flow, threat_report, …; for events of others their event name"},
	{"event.dataset", "keyword", "monban.flow, monban.report, …"},
	{"event.module", "keyword", "monban"},
	{"event.id", "keyword", "The document's _id: log.record.uid where the record has one, else made from all that it holds"},
	{"event.severity", "long", "Of a threat report 21 (low), 47, 73 or 99 (critical), of other records OpenTelemetry's severity number"},
	{"log.level", "keyword", "The record's severity in words"},
	{"message", "text", "The record in one sentence, where it has one"},
	{"observer.vendor", "keyword", "Monban"},
	{"observer.product", "keyword", "Monban"},
	{"observer.type", "keyword", "ids"},
	{"observer.hostname", "keyword", "host.name of the resource, for events of ours"},
	{"trace.id", "keyword", "Where the record belongs to a trace"},
	{"span.id", "keyword", "Likewise"},
	{"service.name", "keyword", "Of the resource"},
	{"service.version", "keyword", "Likewise"},
	{"service.node.name", "keyword", "service.instance.id of the resource"},
	{"host.name", "keyword", "Of the resource, for events of others; of ours the name of the device spoken of"},
	{"labels", "labels", "All other attributes, dots in their names replaced by _, values as text"},
}

// computed are the fields that follow from others, by event.
var computed = map[string][]Leaf{
	"network.flow": {
		{"event.end", "date", "The record's time"},
		{"event.duration", "long", "Nanoseconds from event.start to event.end"},
		{"event.risk_score", "float", "100 times anomaly.score"},
		{"network.type", "keyword", "ipv4 or ipv6"},
		{"network.direction", "keyword", "internal, inbound, outbound or external: whether each end has a private address (RFC 1918, RFC 4193, link-local, multicast)"},
		{"network.bytes", "long", "Both directions"},
		{"network.packets", "long", "Likewise"},
		{"network.community_id", "keyword", "Community ID version 1, computed where the record has none"},
		{"related.ip", "ip", "Both addresses"},
	},
	"network.flood": {
		{"event.risk_score", "float", "100 times anomaly.score"},
		{"network.bytes", "long", "Both directions"},
		{"network.packets", "long", "Likewise"},
		{"related.ip", "ip", "The addresses"},
	},
	"network.sighting":   {{"event.risk_score", "float", "100 times anomaly.score"}},
	"device.inventory":   {{"event.risk_score", "float", "100 times anomaly.score"}},
	"device.observation": {{"event.risk_score", "float", "100 times anomaly.score"}},
	"host.posture":       {{"event.risk_score", "float", "100 times anomaly.score"}},
	"threat.report": {
		{"event.risk_score", "float", "event.severity times report.confidence"},
		{"threat.framework", "keyword", "MITRE ATT&CK"},
		{"threat.technique.id", "keyword", "Ids of the techniques, Enterprise and ICS"},
		{"threat.technique.name", "keyword", "Their names"},
	},
}

// Reasons are the fields of each of anomaly.reasons.
var Reasons = []Leaf{
	{"kind", "keyword", ""}, {"device", "keyword", ""}, {"subject", "keyword", ""}, {"strength", "double", ""}, {"expected", "text", ""}, {"seen", "text", ""},
}

// metric are the fields of a document of one data point.
var metric = []Leaf{
	{"metric.name", "keyword", "Name of the metric"},
	{"metric.unit", "keyword", "Its unit"},
	{"metric.type", "keyword", "gauge, sum, histogram, exponential_histogram, summary"},
	{"metric.temporality", "keyword", "delta or cumulative"},
	{"metric.monotonic", "boolean", "A sum that only rises"},
	{"metric.start", "date", "Since when it counts"},
	{"metric.value", "double", "The number; of a histogram or a summary the mean"},
	{"metric.count", "long", "Values in a histogram or a summary"},
	{"metric.sum", "double", "Their sum"},
	{"metric.min", "double", "The least"},
	{"metric.max", "double", "The greatest"},
	{"metric.bounds", "double", "Upper bounds of the buckets; the last bucket has none"},
	{"metric.counts", "long", "Values in each bucket"},
	{"metric.quantiles", "double", "Quantiles of a summary, 0 to 1"},
	{"metric.quantile_values", "double", "Their values"},
}

// MetricLeaves are the fields of metrics in ECS mode.
func MetricLeaves() []Leaf { return merge(common, metric) }

// deadLetter are the fields of a dead letter, in both modes.
var deadLetter = []Leaf{
	{"@timestamp", "date", "When it was refused"},
	{"data_stream.type", "keyword", ""}, {"data_stream.dataset", "keyword", ""}, {"data_stream.namespace", "keyword", ""},
	{"ecs.version", "keyword", ""},
	{"event.kind", "keyword", "pipeline_error"},
	{"event.dataset", "keyword", "monban.deadletter"},
	{"event.id", "keyword", "The _id that it would have had"},
	{"event.original", "unindexed", "The document as it was refused"},
	{"error.type", "keyword", "As the server calls it: document_parsing_exception, …"},
	{"error.message", "text", "Why, in the server's words"},
	{"error.code", "keyword", "The status, 400 or 413"},
	{"monban.deadletter.stream", "keyword", "The data stream that refused it"},
}

// Leaves are the fields of an event in ECS mode, sorted so that those of one object stand together.
// An event that is not ours has only the common ones.
func Leaves(name string) []Leaf {
	var own []Leaf
	for _, e := range reference.Events() {
		if e.Name != name {
			continue
		}
		own = Columns(e, ECS)
	}
	return merge(common, computed[name], own)
}

// merge joins lists of which later ones win, and sorts the result.
func merge(lists ...[]Leaf) []Leaf {
	all := map[string]Leaf{}
	for _, list := range lists {
		for _, l := range list {
			all[l.Path] = l
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Leaf) int {
		return slices.Compare(strings.Split(a.Path, "."), strings.Split(b.Path, "."))
	})
}

// Computed are the fields that a document of an event has besides those of its table, with what
// they mean. An empty name gives those of all events.
func Computed(name string) []Leaf {
	if name == "" {
		return common
	}
	return computed[name]
}

// object is a JSON object as encoding/json takes it, which sorts its keys.
type object = map[string]any

// properties is the mapping of leaves.
func properties(leaves []Leaf) object {
	root := object{}
	for _, l := range leaves {
		at, parts := root, strings.Split(l.Path, ".")
		for _, p := range parts[:len(parts)-1] {
			below, _ := at[p].(object)
			if below == nil {
				below = object{}
				at[p] = below
			}
			inside, _ := below["properties"].(object)
			if inside == nil {
				inside = object{}
				below["properties"] = inside
			}
			at = inside
		}
		at[parts[len(parts)-1]] = leafMapping(l.Type)
	}
	return root
}

// longest is where keywords are cut off the index, though not the document.
const longest = 1024

func leafMapping(typ string) object {
	switch typ {
	case "keyword":
		return object{"type": "keyword", "ignore_above": longest}
	case "unindexed":
		return object{"type": "keyword", "index": false, "doc_values": false}
	case "labels":
		return object{"type": "object", "dynamic": true}
	case "reasons":
		return object{"properties": properties(Reasons)}
	}
	return object{"type": typ}
}

// attributeLeaves are the fields of an event in OTel mode: attributes by their own keys.
func attributeLeaves(name string) (all []Leaf) {
	for _, e := range reference.Events() {
		if e.Name != name {
			continue
		}
		for _, l := range Columns(e, OTel) {
			all = append(all, Leaf{Path: "attributes." + l.Path, Type: l.Type})
		}
	}
	return all
}

// native are the fields that every document in OTel mode may have.
var native = []Leaf{
	{"@timestamp", "date_nanos", ""}, {"observed_timestamp", "date_nanos", ""},
	{"data_stream.type", "keyword", ""}, {"data_stream.dataset", "keyword", ""}, {"data_stream.namespace", "keyword", ""},
	{"event_name", "keyword", ""}, {"severity_number", "long", ""}, {"severity_text", "keyword", ""},
	{"body.text", "text", ""}, {"trace_id", "keyword", ""}, {"span_id", "keyword", ""},
	{"scope.name", "keyword", ""}, {"scope.version", "keyword", ""},
	{"attributes", "labels", ""}, {"resource.attributes", "labels", ""}, {"body.structured", "labels", ""},
}
