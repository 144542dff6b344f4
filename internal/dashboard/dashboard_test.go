package dashboard

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/reference"
)

// files are all files, made once.
var files = sync.OnceValue(Files)

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	root := filepath.Join("..", "..")
	for name, want := range files() {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the table says; run go generate ./internal/dashboard (%v)", name, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(root, "dashboards", "*", "*.*son"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		rel, _ := filepath.Rel(root, path)
		if _, ok := files()[filepath.ToSlash(rel)]; !ok {
			t.Errorf("%s is of no dashboard any more", rel)
		}
	}
}

// every calls fn for each panel that asks data streams.
func every(fn func(d *Dashboard, p *Panel)) {
	for _, d := range Dashboards() {
		for i := range d.Panels {
			if d.Panels[i].search() {
				fn(&d, &d.Panels[i])
			}
		}
	}
}

// keys are all that a panel names.
func (p *Panel) keys() (all []string) {
	for _, c := range p.Where {
		all = append(all, c.Key)
		if c.Of != "" {
			all = append(all, c.Of)
		}
	}
	for _, v := range p.Values {
		if v.Agg != "count" {
			all = append(all, v.Key)
		}
	}
	for _, s := range p.By {
		all = append(all, s.Key)
	}
	return append(all, p.Columns...)
}

var numeric = []string{"long", "double", "float"}

func TestKeysAreOfOurEvents(t *testing.T) {
	names := map[string]bool{}
	for _, e := range reference.Events() {
		names[e.Name] = true
	}
	checked := 0
	every(func(d *Dashboard, p *Panel) {
		if len(p.Events) == 0 == (p.Metric == "") {
			t.Errorf("%s asks neither events nor a metric, or both", d.Name(p))
		}
		for _, e := range p.Events {
			if !names[e] {
				t.Errorf("%s asks for %s, which is no event", d.Name(p), e)
			}
		}
		for _, k := range p.keys() {
			f, err := p.resolve(k)
			if err != nil {
				t.Errorf("%s: %v", d.ID, err)
				continue
			}
			checked++
			if f.typ == "" || f.typ == "reasons" || f.typ == "labels" || f.path == "" {
				t.Errorf("%s: %s is %q of type %q", d.Name(p), k, f.path, f.typ)
			}
		}
		if t.Failed() {
			return
		}
		for _, v := range p.Values {
			typ := p.valueField(v).typ
			switch v.Agg {
			case "count":
			case "sum", "avg":
				if !slices.Contains(numeric, typ) {
					t.Errorf("%s: %s of %s, which is %s", d.Name(p), v.Agg, v.Key, typ)
				}
			case "max":
				if !slices.Contains(append([]string{"date"}, numeric...), typ) {
					t.Errorf("%s: %s of %s, which is %s", d.Name(p), v.Agg, v.Key, typ)
				}
			case "cardinality":
				if typ == "text" {
					t.Errorf("%s: %s of %s, which is %s", d.Name(p), v.Agg, v.Key, typ)
				}
			default:
				t.Errorf("%s: no aggregation %s", d.Name(p), v.Agg)
			}
		}
		for _, s := range p.By {
			typ := p.must(s.Key).typ
			if !slices.Contains([]string{"keyword", "ip", "long"}, typ) {
				t.Errorf("%s: by %s, which is %s", d.Name(p), s.Key, typ)
			}
			if p.Shape == Bars && slices.Contains(numeric, typ) {
				t.Errorf("%s: bars by the number %s, which Grafana can't", d.Name(p), s.Key)
			}
		}
	})
	if checked < 150 {
		t.Errorf("only %d keys checked", checked)
	}
	t.Logf("%d keys are of our events", checked)

	wrong := Panel{Events: []string{flows}}
	for _, k := range []string{"flow.io.octets", "monban.flow.tcp.state", "anomaly.reasons.why", "anomaly.reasons", "source.address.x", ""} {
		if f, err := wrong.resolve(k); err == nil {
			t.Errorf("%q is %s", k, f.path)
		}
	}
}

func TestPanelsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range Dashboards() {
		if seen[d.ID] || d.ID == "" || d.Title == "" || d.Answers == "" {
			t.Errorf("dashboard %q is there twice, or is not named", d.ID)
		}
		seen[d.ID] = true
		for i := range d.Panels {
			p := &d.Panels[i]
			if seen[d.Name(p)] || p.ID == "" || p.ID == "guide" || p.Title == "" || p.Answers == "" {
				t.Errorf("panel %q is there twice, or is not named", d.Name(p))
			}
			seen[d.Name(p)] = true
			if p.search() != d.Panels[0].search() {
				t.Errorf("%s asks another program than the rest of its dashboard", d.Name(p))
			}
			if !p.search() {
				continue
			}
			values, by, columns := len(p.Values), len(p.By), len(p.Columns)
			ok := false
			switch p.Shape {
			case Number:
				ok = values == 1 && by == 0 && columns == 0
			case Lines:
				ok = (values == 1 && by == 1 || values > 0 && by == 0) && columns == 0 // several values are lines of their own
			case Bars:
				ok = values == 1 && by == 1 && columns == 0
			case Table:
				ok = values > 0 && by > 0 && columns == 0
			case Rows:
				ok = values == 0 && by == 0 && columns > 0
			}
			if !ok {
				t.Errorf("%s is %s with %d values by %d and %d columns", d.Name(p), p.Shape, values, by, columns)
			}
			if d.Device && len(p.devices()) == 0 {
				t.Errorf("%s is about one device, and its events name none", d.Name(p))
			}
		}
		for _, guide := range []int{0, 3} {
			places := d.layout(guide)
			for i, a := range places {
				if a.x < 0 || a.w <= 0 || a.x+a.w > 24 {
					t.Errorf("%s: panel %d is at %+v", d.ID, i, a)
				}
				for _, b := range places[:i] {
					if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
						t.Errorf("%s: %+v lies over %+v", d.ID, a, b)
					}
				}
			}
		}
	}
}

// decode reads a JSON text that an attribute holds.
func decode(t *testing.T, attributes object, name string, into any) {
	t.Helper()
	text, ok := attributes[name].(string)
	if !ok {
		t.Fatalf("no text %s in %v", name, attributes)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// read gives the objects as they are in the file.
func read(t *testing.T, target *Target) (all []Saved) {
	t.Helper()
	for line := range bytes.Lines(files()["dashboards/"+target.Name+"/monban.ndjson"]) {
		var s Saved
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func TestReferencesResolve(t *testing.T) {
	for _, target := range []*Target{Kibana, OpenSearch} {
		t.Run(target.Name, func(t *testing.T) {
			known, used, refs := map[string]bool{}, map[string]bool{}, 0
			for _, s := range read(t, target) {
				key := s.Type + " " + s.ID
				if known[key] {
					t.Errorf("%s is there twice", key)
				}
				if version := s.TypeAt + s.Migration[s.Type]; version != target.versions[s.Type] || version == "" {
					t.Errorf("%s has the layout %q", key, version)
				}
				named := map[string]Reference{}
				for _, r := range s.References {
					if !known[r.Type+" "+r.ID] { // before it in the file
						t.Errorf("%s refers to %s %s, which is not there", key, r.Type, r.ID)
					}
					used[r.Type+" "+r.ID] = true
					named[r.Name] = r
					refs++
				}
				known[key] = true
				if meta, ok := s.Attributes["kibanaSavedObjectMeta"].(object); ok {
					var search struct{ IndexRefName string }
					decode(t, meta, "searchSourceJSON", &search)
					if _, ok := named[search.IndexRefName]; !ok && search.IndexRefName != "" {
						t.Errorf("%s has no reference %s", key, search.IndexRefName)
					}
				} else if s.Type != "index-pattern" {
					t.Errorf("%s has no search", key)
				}
				if s.Type != "dashboard" {
					continue
				}
				var panels []struct {
					PanelIndex, PanelRefName, Type string
					GridData                       struct {
						I          string
						X, Y, W, H int
					}
				}
				decode(t, s.Attributes, "panelsJSON", &panels)
				if len(panels) != len(s.References) {
					t.Errorf("%s has %d panels and %d references", key, len(panels), len(s.References))
				}
				for _, p := range panels {
					name := p.PanelRefName
					if target == Kibana {
						name = p.PanelIndex + ":" + name
					}
					r, ok := named[name]
					if !ok || p.Type != "" && r.Type != p.Type || p.GridData.I != p.PanelIndex || p.GridData.X+p.GridData.W > 48 {
						t.Errorf("%s: panel %+v refers to %+v", key, p, r)
					}
				}
			}
			for key := range known {
				if !used[key] && !strings.HasPrefix(key, "dashboard ") {
					t.Errorf("nothing refers to %s", key)
				}
			}
			if refs < 150 {
				t.Errorf("only %d references", refs)
			}
			t.Logf("%d objects, %d references", len(known), refs)
		})
	}
}

// question is what a panel asks, whoever writes it down.
type question struct {
	Query   string
	Values  []string // aggregation and field
	Terms   []terms
	Time    bool
	Columns []string
}

type terms struct {
	Field   string
	Size    int
	Missing bool
}

// asked is the question of the search that the tests run on servers.
func asked(p *Panel) (q question) {
	r := p.Request("1m")
	q.Query = r["query"].(object)["bool"].(object)["filter"].([]any)[0].(object)["query_string"].(object)["query"].(string)
	if c, ok := r["_source"].([]string); ok {
		q.Columns = c
		return q
	}
	aggs, _ := r["aggs"].(object)
	for aggs["by"] != nil || aggs["time"] != nil {
		if by, ok := aggs["by"].(object); ok {
			in := by["terms"].(object)
			q.Terms = append(q.Terms, terms{in["field"].(string), in["size"].(int), in["missing"] != nil})
			aggs, _ = by["aggs"].(object)
		} else {
			q.Time = aggs["time"].(object)["date_histogram"].(object)["field"] == timestamp
			aggs, _ = aggs["time"].(object)["aggs"].(object)
		}
	}
	for i, v := range p.Values {
		if a, ok := aggs[id(i)].(object); ok {
			q.Values = append(q.Values, v.Agg+" "+a[v.Agg].(object)["field"].(string))
		} else {
			q.Values = append(q.Values, v.Agg)
		}
	}
	return q
}

// saved is the question of a saved object.
func saved(t *testing.T, s Saved) (q question) {
	var search struct {
		Query struct{ Query, Language string }
	}
	decode(t, s.Attributes["kibanaSavedObjectMeta"].(object), "searchSourceJSON", &search)
	q.Query = search.Query.Query
	if search.Query.Language != "lucene" {
		t.Errorf("%s asks in %s", s.ID, search.Query.Language)
	}
	if s.Type == "search" {
		for _, c := range s.Attributes["columns"].([]any) {
			q.Columns = append(q.Columns, c.(string))
		}
		return q
	}
	var vis struct {
		Aggs []struct {
			Type, Schema string
			Params       struct {
				Field         string
				Size          int
				MissingBucket bool
			}
		}
	}
	decode(t, s.Attributes, "visState", &vis)
	for _, a := range vis.Aggs {
		switch {
		case a.Schema == "metric":
			q.Values = append(q.Values, strings.TrimSpace(a.Type+" "+a.Params.Field))
		case a.Type == "terms":
			q.Terms = append(q.Terms, terms{a.Params.Field, a.Params.Size, a.Params.MissingBucket})
		case a.Type == "date_histogram":
			q.Time = a.Params.Field == timestamp
		}
	}
	return q
}

// TestAllProgramsAskTheSame holds what is written for each program against the search that the
// tests run on servers.
func TestAllProgramsAskTheSame(t *testing.T) {
	objects := map[*Target]map[string]Saved{}
	for _, target := range []*Target{Kibana, OpenSearch} {
		objects[target] = map[string]Saved{}
		for _, s := range read(t, target) {
			objects[target][s.ID] = s
		}
	}
	asks := 0
	every(func(d *Dashboard, p *Panel) {
		want := asked(p)
		for target, all := range objects {
			if got := saved(t, all[d.object(p.ID)]); !reflect.DeepEqual(got, want) {
				t.Errorf("%s in %s asks\n%+v, not\n%+v", d.Name(p), target.Name, got, want)
			}
		}
		if got := grafana(t, d, p); !reflect.DeepEqual(got, want) {
			t.Errorf("%s in Grafana asks\n%+v, not\n%+v", d.Name(p), got, want)
		}
		asks++
	})
	t.Logf("%d panels ask the same everywhere", asks)
}

// grafana is the question of a panel of Grafana.
func grafana(t *testing.T, d *Dashboard, p *Panel) (q question) {
	var page struct {
		Panels []struct {
			Title   string
			Targets []struct {
				Query   string
				Metrics []struct{ Type, Field string }
				Buckets []struct {
					Type, Field string
					Settings    struct{ Size, Missing string }
				} `json:"bucketAggs"`
			}
			Transformations []struct {
				Options struct{ Include struct{ Names []string } }
			}
		}
	}
	if err := json.Unmarshal(files()["dashboards/grafana/"+d.ID+".json"], &page); err != nil {
		t.Fatal(err)
	}
	for i := range d.Panels {
		if &d.Panels[i] != p {
			continue
		}
		target := page.Panels[i].Targets[0]
		q.Query = target.Query
		if d.Device {
			q.Query, _, _ = strings.Cut(q.Query, " AND (device.id:${")
			q.Query, _, _ = strings.Cut(q.Query, " AND (monban.device.id:${")
			q.Query, _, _ = strings.Cut(q.Query, " AND (monban.source.device.id:${")
		}
		if p.Shape == Rows {
			q.Columns = page.Panels[i].Transformations[0].Options.Include.Names[1:]
			return q
		}
		for _, m := range target.Metrics {
			q.Values = append(q.Values, strings.TrimSpace(m.Type+" "+m.Field))
		}
		for _, b := range target.Buckets {
			switch {
			case b.Type == "date_histogram":
				q.Time = b.Field == timestamp
			case p.Shape == Number:
			default:
				size := 0
				for _, c := range b.Settings.Size {
					size = 10*size + int(c-'0')
				}
				q.Terms = append(q.Terms, terms{b.Field, size, b.Settings.Missing != ""})
			}
		}
	}
	return q
}

// Fields that the formats of the data view name are fields of documents.
func TestFormatsAreOfFields(t *testing.T) {
	known := map[string]bool{}
	for _, e := range reference.Events() {
		for _, l := range elastic.Leaves(e.Name) {
			known[l.Path] = true
		}
	}
	for path := range formats(logs) {
		if !known[path] {
			t.Errorf("a format for %s, which no document has", path)
		}
	}
	if len(formats(logs)) < 8 {
		t.Errorf("only %d formats", len(formats(logs)))
	}
}
