package elastic

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/monban/monban/internal/reference"
)

// templateSums are of what each version puts on servers, from the first on. A test tells the sum to append when
// something has changed.
var templateSums = [...]string{
	"9ccf26ade493",
}

// TemplateVersion rises with every change of a mapping or a policy: by another sum. A server that has a later one keeps it.
const TemplateVersion = len(templateSums)

// priority is above that of the built-in logs-*-* and metrics-*-* (100) and of Elastic's integrations (200).
const priority = 500

// Lifecycle is what a server has to make room by itself.
type Lifecycle string

// Lifecycles.
const (
	NoLifecycle     Lifecycle = ""
	ILM             Lifecycle = "ilm"    // index lifecycle management of Elasticsearch
	StreamLifecycle Lifecycle = "stream" // data stream lifecycle of Elasticsearch
	ISM             Lifecycle = "ism"    // index state management of OpenSearch
)

// Server is what is known of the server that is talked to.
type Server struct {
	OpenSearch   bool
	Major, Minor int
	Lifecycle    Lifecycle
}

// parseVersion reads the first two numbers of a version.
func parseVersion(s string) (major, minor int) {
	a, rest, _ := strings.Cut(s, ".")
	b, _, _ := strings.Cut(rest, ".")
	major, _ = strconv.Atoi(a)
	minor, _ = strconv.Atoi(b)
	return major, minor
}

// since reports whether this is Elasticsearch of at least this version.
func (s Server) since(major, minor int) bool {
	return !s.OpenSearch && (s.Major > major || s.Major == major && s.Minor >= minor)
}

// String names the server.
func (s Server) String() string {
	name := "Elasticsearch"
	if s.OpenSearch {
		name = "OpenSearch"
	}
	if s.Major == 0 {
		return name
	}
	return fmt.Sprintf("%s %d.%d", name, s.Major, s.Minor)
}

// Resource is something to be put on a server, once.
type Resource struct {
	Path    string // /_component_template/…
	Body    []byte // JSON
	Content string // mark of what it holds, as it says itself
	Stream  string // data set and type of the data stream that its change concerns, "" for none
	policy  bool   // it is the lifecycle policy
}

// Resources are the templates and the lifecycle policy that a server needs, in the order in which
// they must be put there. retention is how long data is kept, 0 for ever.
func Resources(server Server, mode Mode, retention time.Duration) (all []Resource) {
	settings := object{"index.mapping.total_fields.limit": 2000}
	if server.since(8, 14) {
		// a flood of unknown attributes is kept, though not searchable, and no document is refused for it
		settings["index.mapping.total_fields.ignore_dynamic_beyond_limit"] = true
	}
	template := object{"settings": settings}
	switch server.Lifecycle {
	case ILM:
		all = append(all, ilm(retention))
		settings["index.lifecycle.name"] = policyName
	case ISM:
		all = append(all, ism(retention))
	case StreamLifecycle:
		lifecycle := object{"enabled": true}
		if retention > 0 {
			lifecycle["data_retention"] = duration(retention)
		}
		template["lifecycle"] = lifecycle
	}
	// The lifecycle of a data stream is a matter of its index template, settings can be shared.
	lifecycle := template["lifecycle"]
	delete(template, "lifecycle")
	all = append(all, resource("/_component_template/monban@settings", "", object{"template": template}))

	for _, s := range Streams(mode, "*") {
		name := s.Type + "-" + s.Dataset
		mappings := object{"dynamic": false, "date_detection": false, "properties": s.properties(mode),
			"dynamic_templates": []any{object{"text_as_keyword": object{"match_mapping_type": "string", "mapping": object{"type": "keyword", "ignore_above": longest}}}}}
		all = append(all, resource("/_component_template/"+name+"@mappings", name, object{"template": object{"mappings": mappings}}))
		body := object{
			"index_patterns": []string{name + "-*"},
			"priority":       priority,
			"data_stream":    object{},
			"composed_of":    []string{"monban@settings", name + "@mappings"},
		}
		if server.since(8, 7) {
			body["composed_of"] = []string{"monban@settings", name + "@mappings", "monban@custom"}
			body["ignore_missing_component_templates"] = []string{"monban@custom"}
		}
		if lifecycle != nil {
			body["template"] = object{"lifecycle": lifecycle}
		}
		all = append(all, resource("/_index_template/"+name, name, body))
	}
	return all
}

// properties is the mapping of the documents in a stream.
func (s Stream) properties(mode Mode) object {
	if s.Dataset == DeadLetter {
		return properties(deadLetter)
	}
	event := ""
	for _, e := range reference.Events() {
		if s.Type == "logs" && Dataset(e.Name) == strings.TrimSuffix(s.Dataset, ".otel") {
			event = e.Name
		}
	}
	switch {
	case mode == ECS && s.Type == "metrics":
		return properties(MetricLeaves())
	case mode == ECS:
		return properties(Leaves(event))
	case s.Type == "metrics":
		return properties(merge(native, metric))
	}
	return properties(merge(native, attributeLeaves(event)))
}

// resource makes a template with a _meta that tells its version and content.
func resource(path, stream string, body object) Resource {
	sum := sha256.Sum256(encode(body))
	content := hex.EncodeToString(sum[:6])
	body["version"] = TemplateVersion
	body["_meta"] = object{"managed_by": "monban", "version": TemplateVersion, "content": content}
	return Resource{Path: path, Body: encode(body), Content: content, Stream: stream}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps, lists, texts and numbers: a programming error
	}
	return b
}

// Console is all that an administrator has to put on a server, as Kibana's and OpenSearch
// Dashboards' consoles (Dev Tools) take it.
func Console(server Server, mode Mode, retention time.Duration) []byte {
	b := []byte("# What Monban's elasticsearch exporter needs on " + server.String() + " in mode " + string(mode) + ".\n" +
		"# Made by `go generate ./internal/elastic`. Paste it into Dev Tools, then set `template: require`.\n")
	for _, r := range Resources(server, mode, retention) {
		b = append(b, "\nPUT "+r.Path+"\n"...)
		b = append(append(b, r.Body...), '\n')
	}
	return b
}

// Retention is how long data is kept unless said otherwise.
const Retention = 90 * 24 * time.Hour

// Files are the generated files by their path from the repository's root: one console script for
// each server and mode.
func Files() map[string][]byte {
	files := map[string][]byte{}
	for name, server := range map[string]Server{
		"elasticsearch": {Major: 8, Minor: 14, Lifecycle: ILM},
		"opensearch":    {OpenSearch: true, Major: 2, Lifecycle: ISM},
	} {
		for _, mode := range []Mode{ECS, OTel} {
			files["docs/elasticsearch/"+name+"-"+string(mode)+".console"] = Console(server, mode, Retention)
		}
	}
	return files
}

// FileNames lists them in order.
func FileNames() []string { return slices.Sorted(maps.Keys(Files())) }
