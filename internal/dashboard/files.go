package dashboard

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object as encoding/json takes it, which sorts its keys.
type object = map[string]any

// Files are all files that are made of the table, by path from the root of the repository.
func Files() map[string][]byte {
	files := map[string][]byte{
		"dashboards/kibana/monban.ndjson":     lines(Kibana.Objects()),
		"dashboards/opensearch/monban.ndjson": lines(OpenSearch.Objects()),
		"docs/reference/dashboards.md":        page(),
	}
	for _, d := range Dashboards() {
		files["dashboards/grafana/"+d.ID+".json"] = indented(d.Grafana())
	}
	for name, text := range provisioning {
		files["dashboards/grafana/provisioning/"+name] = []byte(text)
	}
	return files
}

// compact is JSON without HTML's escapes.
func compact(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // of maps, slices and texts
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

func lines[T any](objects []T) []byte {
	var b []byte
	for _, o := range objects {
		b = append(append(b, compact(o)...), '\n')
	}
	return b
}

func indented(v any) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, compact(v), "", "  "); err != nil {
		panic(err)
	}
	return append(b.Bytes(), '\n')
}
