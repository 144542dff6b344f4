package dashboard

import (
	"slices"
	"strings"
)

// The variables of a Grafana dashboard that name its data sources; the reader may choose others.
const (
	logsVariable       = "logs"
	metricsVariable    = "metrics"
	prometheusVariable = "prometheus"
	deviceVariable     = "device"
)

// provisioning are files that Grafana reads at its start.
var provisioning = map[string]string{
	"datasources/monban.yaml": `# Made by ` + "`go generate ./internal/dashboard`" + `. Copy it to /etc/grafana/provisioning/datasources, and set the addresses.
apiVersion: 1
datasources:
  - name: monban-logs
    uid: monban-logs
    type: elasticsearch
    access: proxy
    url: http://127.0.0.1:9200
    jsonData: {index: "logs-monban.*", timeField: "@timestamp", maxConcurrentShardRequests: 5}
  - name: monban-metrics
    uid: monban-metrics
    type: elasticsearch
    access: proxy
    url: http://127.0.0.1:9200
    jsonData: {index: "metrics-monban.*", timeField: "@timestamp", maxConcurrentShardRequests: 5}
  - name: monban-prometheus
    uid: monban-prometheus
    type: prometheus
    access: proxy
    url: http://127.0.0.1:9090
`,
	"dashboards/monban.yaml": `# Made by ` + "`go generate ./internal/dashboard`" + `. Copy it to /etc/grafana/provisioning/dashboards, and the JSON files to path.
apiVersion: 1
providers:
  - name: monban
    folder: Monban
    type: file
    options: {path: /var/lib/grafana/dashboards/monban}
`,
}

// Grafana is the dashboard as Grafana imports it.
func (d *Dashboard) Grafana() map[string]any {
	var panels []object
	for i, at := range d.layout(0) {
		panels = append(panels, d.grafanaPanel(&d.Panels[i], i+1, at))
	}
	list := []object{}
	for _, s := range d.sources() {
		list = append(list, object{
			"name": s, "label": "Data source: " + s, "type": "datasource", "query": sourceTypes[s], "refresh": 1, "regex": "",
			"hide": 0, "multi": false, "includeAll": false, "options": []any{}, "current": object{"text": "monban-" + s, "value": "monban-" + s},
		})
	}
	if d.Device {
		find := fields()[inventory]["device.id"].path
		list = append(list, object{
			"name": deviceVariable, "label": "Device", "type": "query", "datasource": sourceOf(logsVariable), "refresh": 2, "sort": 1,
			"query":      `{"find":"terms","field":"` + find + `","size":1000}`,
			"includeAll": true, "allValue": "*", "multi": false, "options": []any{}, "current": object{"text": "All", "value": "$__all"}, "hide": 0,
		})
	}
	return object{
		"uid": d.object(""), "title": "Monban: " + d.Title, "description": d.Answers, "tags": []string{"monban"},
		"schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1, "timezone": "browser", "refresh": "1m",
		"time": object{"from": "now-24h", "to": "now"}, "panels": panels, "templating": object{"list": list}, "annotations": object{"list": []any{}},
		"links": []object{{"title": "Monban", "type": "dashboards", "tags": []string{"monban"}, "asDropdown": true, "icon": "external link",
			"includeVars": false, "keepTime": true, "targetBlank": false, "tooltip": ""}},
	}
}

var sourceTypes = map[string]string{logsVariable: "elasticsearch", metricsVariable: "elasticsearch", prometheusVariable: "prometheus"}

func (p *Panel) source() string {
	switch {
	case !p.search():
		return prometheusVariable
	case p.Metric != "":
		return metricsVariable
	}
	return logsVariable
}

// sources are the variables of the data sources that the dashboard needs.
func (d *Dashboard) sources() (all []string) {
	for _, s := range []string{logsVariable, metricsVariable, prometheusVariable} {
		for i := range d.Panels {
			if d.Panels[i].source() == s {
				all = append(all, s)
				break
			}
		}
	}
	return all
}

func sourceOf(variable string) object {
	return object{"type": sourceTypes[variable], "uid": "${" + variable + "}"}
}

// GrafanaQuery is the panel's query in Grafana: of a dashboard about one device, with that device.
func (d *Dashboard) GrafanaQuery(p *Panel) string {
	q := p.Lucene()
	if !d.Device {
		return q
	}
	var parts []string
	for _, f := range p.devices() {
		parts = append(parts, f+":${"+deviceVariable+":lucene}")
	}
	return q + " AND (" + strings.Join(parts, " OR ") + ")"
}

var grafanaTypes = map[Shape]string{Number: "stat", Lines: "timeseries", Bars: "barchart", Table: "table", Rows: "table"}

func (d *Dashboard) grafanaPanel(p *Panel, id int, at place) object {
	defaults := object{}
	if u := p.unit(); u != "" {
		defaults["unit"] = u
	}
	overrides := []object{}
	panel := object{
		"id": id, "type": grafanaTypes[p.Shape], "title": p.Title, "description": p.Answers, "datasource": sourceOf(p.source()),
		"gridPos": object{"x": at.x, "y": at.y, "w": at.w, "h": at.h},
		"targets": d.targets(p), "fieldConfig": object{"defaults": defaults, "overrides": overrides},
	}
	if p.search() {
		switch {
		case p.Shape == Table:
			overrides = p.columns()
		case p.Shape == Lines && len(p.Values) > 1:
			overrides = p.lines()
		}
		panel["fieldConfig"] = object{"defaults": defaults, "overrides": overrides}
	}
	switch p.Shape {
	case Number:
		panel["options"] = object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "orientation": "auto", "textMode": "value",
			"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "percentChangeColorMode": "standard", "showPercentChange": false, "wideLayout": true,
		}
		defaults["noValue"] = "0"
	case Lines:
		panel["options"] = object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
		defaults["custom"] = object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": false}
	case Bars:
		panel["options"] = object{
			"orientation": "horizontal", "showValue": "auto", "stacking": "none", "barWidth": 0.8, "groupWidth": 0.7, "fullHighlight": false,
			"xTickLabelMaxLength": 40, "xTickLabelRotation": 0, "xField": p.must(p.By[0].Key).path,
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []string{}},
			"tooltip": object{"mode": "single", "sort": "none"},
		}
	default:
		panel["options"] = object{"showHeader": true, "frameIndex": 0, "cellHeight": "sm"}
		defaults["custom"] = object{"filterable": true}
		panel["transformations"] = p.transformations()
	}
	return panel
}

// columns name the columns of a table as the panel does, and say what they hold.
func (p *Panel) columns() []object {
	column := func(name, label string, more ...object) object {
		return object{"matcher": object{"id": "byName", "options": name}, "properties": append([]object{{"id": "displayName", "value": label}}, more...)}
	}
	var all []object
	for _, s := range p.By {
		var more []object
		if slices.Contains(deviceKeys, s.Key) {
			more = append(more, object{"id": "links", "value": []object{{"title": "This device", "url": "/d/monban-device?var-device=${__value.raw}&${__url_time_range}"}}})
		}
		all = append(all, column(p.must(s.Key).path, s.Label, more...))
	}
	for _, v := range p.Values {
		f := p.valueField(v)
		// Grafana calls a column by what it counts, and where two count the same, by the field too.
		name := grafanaNames[v.Agg]
		if slices.ContainsFunc(p.Values, func(w Value) bool { return w != v && w.Agg == v.Agg }) {
			name += " " + f.path
		}
		var more []object
		switch {
		case v.Key == timestamp:
			more = append(more, object{"id": "unit", "value": "dateTimeAsIso"})
		case grafanaUnits[f.unit] != "":
			more = append(more, object{"id": "unit", "value": grafanaUnits[f.unit]})
		}
		all = append(all, column(name, v.Label, more...))
	}
	return all
}

// lines name the lines of several values as the panel does: Grafana calls them by what they count and the field.
func (p *Panel) lines() (all []object) {
	for _, v := range p.Values {
		name := grafanaNames[v.Agg] + " " + p.valueField(v).path
		all = append(all, object{"matcher": object{"id": "byName", "options": name}, "properties": []object{{"id": "displayName", "value": v.Label}}})
	}
	return all
}

// grafanaUnits are what Grafana calls the units of our tables.
var grafanaUnits = map[string]string{"By": "bytes", "By/s": "Bps", "s": "s"}

// grafanaNames are what Grafana calls the columns of values.
var grafanaNames = map[string]string{"count": "Count", "sum": "Sum", "max": "Max", "avg": "Average", "cardinality": "Unique Count"}

func (p *Panel) valueField(v Value) field {
	if v.Key == "" {
		return field{}
	}
	return p.must(v.Key)
}

// unit is how Grafana shows the panel's numbers, when it has numbers of one kind.
func (p *Panel) unit() string {
	if !p.search() {
		return p.Unit
	}
	if len(p.Values) > 0 && p.Shape != Table { // all of them are of one
		if u := grafanaUnits[p.valueField(p.Values[0]).unit]; u != "" {
			return u
		}
	}
	if p.Metric != "" && p.Values[0].Label == "bytes" {
		return "bytes"
	}
	return ""
}

// transformations choose the columns of documents, and their order.
func (p *Panel) transformations() []object {
	if p.Shape != Rows {
		return []object{}
	}
	names, order := []string{timestamp}, object{timestamp: 0}
	for _, c := range p.Columns {
		f := p.must(c).path
		order[f] = len(names)
		names = append(names, f)
	}
	return []object{
		{"id": "filterFieldsByName", "options": object{"include": object{"names": names}}},
		{"id": "organize", "options": object{"excludeByName": object{}, "indexByName": order, "renameByName": object{}}},
	}
}

// targets are the panel's queries.
func (d *Dashboard) targets(p *Panel) (all []object) {
	for i, a := range p.Asks {
		t := object{"refId": string(rune('A' + i)), "datasource": sourceOf(prometheusVariable), "editorMode": "code", "expr": a.Expr, "legendFormat": a.Legend, "range": p.Shape == Lines, "instant": p.Shape != Lines}
		if p.Shape == Table {
			t["format"] = "table"
		}
		all = append(all, t)
	}
	if p.search() {
		all = []object{d.target(p)}
	}
	return all
}

// target is the panel's query of data streams.
func (d *Dashboard) target(p *Panel) object {
	t := object{"refId": "A", "datasource": sourceOf(p.source()), "query": d.GrafanaQuery(p), "timeField": timestamp}
	if p.Shape == Rows {
		t["metrics"], t["bucketAggs"] = []object{{"id": "1", "type": "raw_data", "settings": object{"size": "100"}}}, []object{}
		return t
	}
	var values, buckets []object
	for i, v := range p.Values {
		m := object{"id": id(i), "type": v.Agg}
		if v.Agg != "count" {
			m["field"] = p.must(v.Key).path
		}
		values = append(values, m)
	}
	order := "_count"
	if p.Values[0].Agg != "count" {
		order = id(0)
	}
	terms := func(field, size, missing string) {
		settings := object{"size": size, "order": "desc", "orderBy": order, "min_doc_count": "1"}
		if missing != "" {
			settings["missing"] = missing
		}
		buckets = append(buckets, object{"id": "b" + id(len(buckets)), "type": "terms", "field": field, "settings": settings})
	}
	for i, s := range p.By {
		missing := ""
		if p.missing(i) {
			missing = Missing
		}
		terms(p.must(s.Key).path, number(s.size()), missing)
	}
	switch p.Shape {
	case Lines:
		buckets = append(buckets, object{"id": "time", "type": "date_histogram", "field": timestamp, "settings": object{"interval": "auto", "min_doc_count": "0", "trimEdges": "0"}})
	case Number:
		// Grafana wants something to tell documents apart by; this is the same in all of them.
		terms("data_stream.type", "1", "")
	}
	t["metrics"], t["bucketAggs"] = values, buckets
	return t
}
