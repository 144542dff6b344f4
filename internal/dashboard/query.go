package dashboard

import (
	"strings"

	"github.com/monban/monban/internal/elastic"
)

// Lucene is the panel's query in the syntax that all programs send to the server as query_string.
func (p *Panel) Lucene() string {
	var parts []string
	if p.Metric != "" {
		parts = append(parts, `data_stream.dataset:"`+elastic.MetricDataset(p.Metric)+`"`, `metric.name:"`+p.Metric+`"`)
	} else {
		var sets []string
		for _, e := range p.Events {
			sets = append(sets, elastic.Dataset(e))
		}
		parts = append(parts, "data_stream.dataset:"+oneOf(sets))
	}
	for _, c := range p.Where {
		path := p.must(c.Key).path
		if c.Of != "" {
			parts = append(parts, "(_exists_:"+path+" OR (*:* NOT _exists_:"+p.must(c.Of).path+"))")
		} else if len(c.Values) == 0 {
			parts = append(parts, "_exists_:"+path)
		} else {
			parts = append(parts, path+":"+oneOf(c.Values))
		}
	}
	return strings.Join(parts, " AND ")
}

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func oneOf(values []string) string {
	var all []string
	for _, v := range values {
		all = append(all, `"`+quoted.Replace(v)+`"`)
	}
	if len(all) == 1 {
		return all[0]
	}
	return "(" + strings.Join(all, " OR ") + ")"
}

// Index is the pattern of the data streams that the panel asks.
func (p *Panel) Index() string { return p.view().pattern }

// rowsShown is how many documents Rows has.
const rowsShown = 100

// Missing is what stands for a value that is not there, beyond the first of a table's columns.
const Missing = "–"

// size is how many values of a split are shown.
func (s Split) size() int {
	if s.Size == 0 {
		return 10
	}
	return s.Size
}

// missing reports whether the i-th split of a panel keeps documents without a value.
func (p *Panel) missing(i int) bool {
	return p.Shape == Table && i > 0 && p.must(p.By[i].Key).text()
}

// Request is the search that the panel comes to, as the programs send it: the body for _search on
// Index. Interval is that of the date histogram, which the programs choose by the time that is shown.
func (p *Panel) Request(interval string) map[string]any {
	body := map[string]any{
		"query": map[string]any{"bool": map[string]any{"filter": []any{
			map[string]any{"query_string": map[string]any{"query": p.Lucene(), "analyze_wildcard": true}},
		}}},
		"track_total_hits": true,
		"size":             0,
	}
	if p.Shape == Rows {
		var columns []string
		for _, c := range p.Columns {
			columns = append(columns, p.must(c).path)
		}
		body["size"], body["_source"] = rowsShown, columns
		body["sort"] = []any{map[string]any{timestamp: map[string]any{"order": "desc"}}}
		return body
	}
	aggs, order := map[string]any{}, "_count"
	for i, v := range p.Values {
		if v.Agg == "count" {
			continue
		}
		aggs[id(i)] = map[string]any{v.Agg: map[string]any{"field": p.must(v.Key).path}}
		if i == 0 {
			order = id(i)
		}
	}
	measures := aggs
	if p.Shape == Lines {
		aggs = map[string]any{"time": with(map[string]any{"date_histogram": map[string]any{"field": timestamp, "fixed_interval": interval, "min_doc_count": 1}}, aggs)}
	}
	for i := len(p.By) - 1; i >= 0; i-- {
		terms := map[string]any{"field": p.must(p.By[i].Key).path, "size": p.By[i].size(), "order": map[string]any{order: "desc"}}
		if p.missing(i) {
			terms["missing"] = Missing
		}
		inner := map[string]any{}
		for k, v := range aggs {
			inner[k] = v
		}
		if order != "_count" { // what is ordered by must be beside it
			inner[order] = measures[order]
		}
		aggs = map[string]any{"by": with(map[string]any{"terms": terms}, inner)}
	}
	if len(aggs) > 0 {
		body["aggs"] = aggs
	}
	return body
}

func with(agg, inner map[string]any) map[string]any {
	if len(inner) > 0 {
		agg["aggs"] = inner
	}
	return agg
}

// id names the i-th value of a panel.
func id(i int) string { return string(rune('1' + i)) }

// Fields are the fields that the panel needs, with their mapping types.
func (p *Panel) Fields() map[string]string {
	all := map[string]string{}
	add := func(key string) {
		f := p.must(key)
		all[f.path] = f.typ
	}
	for _, c := range p.Where {
		add(c.Key)
		if c.Of != "" {
			add(c.Of)
		}
	}
	for _, v := range p.Values {
		if v.Key != "" {
			add(v.Key)
		}
	}
	for _, s := range p.By {
		add(s.Key)
	}
	for _, c := range p.Columns {
		add(c)
	}
	return all
}
