package dashboard

import (
	"strconv"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/reference"
)

// Target is a program that takes saved objects.
type Target struct {
	Name string
	// versions are those of the layouts that the objects have, by type: the program brings older
	// ones up to its own when it takes them, and refuses newer ones.
	versions map[string]string
	core     string // coreMigrationVersion; "" where there is none
	layout   string // version of a dashboard's panels
}

// The programs. Layouts are the oldest that the objects fulfil, so that the oldest version that is
// promised takes them.
var (
	Kibana = &Target{Name: "kibana", core: "8.8.0", layout: "8.9.0",
		versions: map[string]string{"index-pattern": "8.0.0", "visualization": "8.5.0", "search": "8.0.0", "dashboard": "8.9.0"}}
	OpenSearch = &Target{Name: "opensearch", layout: "7.10.0",
		versions: map[string]string{"index-pattern": "7.6.0", "visualization": "7.10.0", "search": "7.9.3", "dashboard": "7.9.3"}}
)

// Saved is a saved object. Attributes that end in JSON are texts that hold JSON.
type Saved struct {
	Attributes object            `json:"attributes"`
	Core       string            `json:"coreMigrationVersion,omitempty"`
	ID         string            `json:"id"`
	Migration  map[string]string `json:"migrationVersion,omitempty"`
	References []Reference       `json:"references"`
	Type       string            `json:"type"`
	TypeAt     string            `json:"typeMigrationVersion,omitempty"`
}

// Reference is to another saved object.
type Reference struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

// source is where the attribute kibanaSavedObjectMeta refers to a data view.
const source = "kibanaSavedObjectMeta.searchSourceJSON.index"

// view is a data view, which OpenSearch Dashboards calls an index pattern.
type view struct{ id, name, pattern string }

var (
	logs    = view{"monban-logs", "Monban events", "logs-monban.*"}
	metrics = view{"monban-metrics", "Monban metrics", "metrics-monban.*"}
)

func (p *Panel) view() view {
	if p.Metric != "" {
		return metrics
	}
	return logs
}

// Objects are the saved objects of all dashboards, those that others refer to first.
func (t *Target) Objects() (all []Saved) {
	for _, v := range []view{logs, metrics} {
		all = append(all, t.dataView(v))
	}
	var pages []Saved
	for _, d := range Dashboards() {
		if !d.Panels[0].search() {
			continue
		}
		note := t.saved("visualization", d.object("guide"), d.guide(), nil)
		members := []Saved{note}
		for i := range d.Panels {
			members = append(members, t.panel(&d, &d.Panels[i]))
		}
		all = append(all, members...)
		pages = append(pages, t.page(&d, members))
	}
	return append(all, pages...)
}

// object is the id of a saved object of a dashboard.
func (d *Dashboard) object(part string) string {
	if part == "" {
		return "monban-" + d.ID
	}
	return "monban-" + d.ID + "-" + part
}

func (t *Target) saved(typ, id string, attributes object, references []Reference) Saved {
	s := Saved{Type: typ, ID: id, Attributes: attributes, References: references, Core: t.core}
	if s.References == nil {
		s.References = []Reference{}
	}
	if t.core != "" {
		s.TypeAt = t.versions[typ]
	} else {
		s.Migration = map[string]string{typ: t.versions[typ]}
	}
	return s
}

func (t *Target) dataView(v view) Saved {
	attributes := object{"title": v.pattern, "timeFieldName": timestamp, "fieldFormatMap": string(compact(formats(v)))}
	if t == Kibana {
		attributes["name"], attributes["allowNoIndex"] = v.name, true
		attributes["fields"], attributes["fieldAttrs"], attributes["runtimeFieldMap"], attributes["sourceFilters"] = "[]", "{}", "{}", "[]"
	}
	return t.saved("index-pattern", v.id, attributes, nil)
}

// formats say how values of fields are shown, by the units of the tables.
func formats(v view) object {
	all := object{}
	if v != logs {
		return all
	}
	for _, e := range reference.Events() {
		columns := elastic.Columns(e, elastic.ECS)
		for i, r := range e.Rows {
			if r.Unit == "By" && columns[i].Type == "long" {
				all[columns[i].Path] = object{"id": "bytes"}
			}
		}
	}
	all["network.bytes"] = object{"id": "bytes"}
	all["event.duration"] = object{"id": "duration", "params": object{"inputFormat": "nanoseconds", "outputFormat": "asSeconds", "outputPrecision": 3}}
	return all
}

// panel is the visualization or the saved search of a panel.
func (t *Target) panel(d *Dashboard, p *Panel) Saved {
	search := string(compact(object{"query": object{"language": "lucene", "query": p.Lucene()}, "filter": []any{}, "indexRefName": source}))
	title := p.Title + " [Monban " + d.Title + "]"
	refs := []Reference{{p.view().id, source, "index-pattern"}}
	if p.Shape == Rows {
		var columns []string
		for _, c := range p.Columns {
			columns = append(columns, p.must(c).path)
		}
		return t.saved("search", d.object(p.ID), object{
			"title": title, "description": p.Answers, "columns": columns, "hits": 0, "version": 1,
			"sort":                  []any{[]string{timestamp, "desc"}},
			"kibanaSavedObjectMeta": object{"searchSourceJSON": search},
		}, refs)
	}
	return t.saved("visualization", d.object(p.ID), object{
		"title": title, "description": p.Answers, "uiStateJSON": "{}", "version": 1,
		"visState":              string(compact(p.visualization(title))),
		"kibanaSavedObjectMeta": object{"searchSourceJSON": search},
	}, refs)
}

// guide is the visualization at the top: what the dashboard is for, and the way to the others.
func (d *Dashboard) guide() object {
	text := "**" + d.Answers + "**\n\n"
	if d.Device {
		text += "Write the id of a device in quotes into the search bar, such as `\"94:18:82:5c:20:10\"`; ids are in [Devices](#/view/monban-devices).\n\n"
	}
	between := ""
	for _, other := range Dashboards() {
		if other.Panels[0].search() {
			text += between + "[" + other.Title + "](#/view/" + other.object("") + ")"
			between = " · "
		}
	}
	title := "Guide [Monban " + d.Title + "]"
	return object{
		"title": title, "description": "", "uiStateJSON": "{}", "version": 1,
		"visState": string(compact(object{"title": title, "type": "markdown", "aggs": []any{},
			"params": object{"fontSize": 12, "openLinksInNewTab": false, "markdown": text}})),
		"kibanaSavedObjectMeta": object{"searchSourceJSON": `{"query":{"language":"kuery","query":""},"filter":[]}`},
	}
}

// page is the dashboard of saved objects: the guide and the panels.
func (t *Target) page(d *Dashboard, members []Saved) Saved {
	var panels []object
	var refs []Reference
	for i, at := range d.layout(3) {
		m := members[i]
		index := strconv.Itoa(i + 1)
		name := "panel_" + index
		title := ""
		if i > 0 {
			title = d.Panels[i-1].Title
		}
		// OpenSearch Dashboards knows a reference by the panel's own name for it, Kibana by its index besides.
		reference := name
		if t == Kibana {
			reference = index + ":" + name
		}
		embed := object{"title": title}
		if i == 0 {
			embed = object{"hidePanelTitles": true}
		}
		panel := object{
			"version": t.layout, "panelIndex": index, "panelRefName": name, "embeddableConfig": embed,
			"gridData": object{"x": 2 * at.x, "y": 2 * at.y, "w": 2 * at.w, "h": 2 * at.h, "i": index},
		}
		if t == Kibana {
			panel["type"] = m.Type
		}
		if title != "" {
			panel["title"] = title
		}
		panels = append(panels, panel)
		refs = append(refs, Reference{m.ID, reference, m.Type})
	}
	return t.saved("dashboard", d.object(""), object{
		"title": "Monban: " + d.Title, "description": d.Answers, "hits": 0, "version": 1, "timeRestore": false,
		"optionsJSON":           `{"useMargins":true,"syncColors":false,"hidePanelTitles":false}`,
		"panelsJSON":            string(compact(panels)),
		"kibanaSavedObjectMeta": object{"searchSourceJSON": `{"query":{"language":"kuery","query":""},"filter":[]}`},
	}, refs)
}

// place is where a panel is on a grid of 24 columns.
type place struct{ x, y, w, h int }

// layout places the panels from left to right and from the top to the bottom; the first place is
// that of the guide, of this height, where that is not 0.
func (d *Dashboard) layout(guide int) (all []place) {
	x, y, high := 0, guide, 0
	if guide > 0 {
		all = append(all, place{0, 0, 24, guide})
	}
	for i := range d.Panels {
		w, h := d.Panels[i].size()
		if x+w > 24 {
			x, y, high = 0, y+high, 0
		}
		all = append(all, place{x, y, w, h})
		x, high = x+w, max(high, h)
	}
	return all
}

func (p *Panel) size() (w, h int) {
	switch p.Shape {
	case Number:
		w, h = 4, 4
	case Rows:
		w, h = 24, 9
	default:
		w, h = 12, 8
	}
	if p.Width > 0 {
		w = p.Width
	}
	return w, h
}
