package dashboard

import "strconv"

// visualization is the visState of a panel: an aggregation-based visualization, whose layout both
// Kibana and OpenSearch Dashboards have had since before they parted.
func (p *Panel) visualization(title string) object {
	return object{"title": title, "type": visTypes[p.Shape], "aggs": p.aggs(), "params": p.params()}
}

var visTypes = map[Shape]string{Number: "metric", Lines: "line", Bars: "horizontal_bar", Table: "table"}

// schemas are the places that visualizations have for what documents are told apart by.
func (p *Panel) schema() string {
	switch p.Shape {
	case Table:
		return "bucket"
	case Lines:
		return "group"
	}
	return "segment"
}

// aggs are the panel's aggregations: values first, then what they are told apart by.
func (p *Panel) aggs() (all []object) {
	add := func(typ, schema string, params object) {
		all = append(all, object{"id": strconv.Itoa(len(all) + 1), "enabled": true, "type": typ, "schema": schema, "params": params})
	}
	for _, v := range p.Values {
		params := object{"customLabel": v.Label}
		if v.Agg != "count" {
			params["field"] = p.must(v.Key).path
		}
		add(v.Agg, "metric", params)
	}
	if p.Shape == Lines {
		add("date_histogram", "segment", object{
			"field": timestamp, "interval": "auto", "min_doc_count": 1, "extended_bounds": object{},
			"useNormalizedEsInterval": true, "scaleMetricValues": false, "drop_partials": false, "customLabel": "time",
		})
	}
	for i, s := range p.By {
		add("terms", p.schema(), object{
			"field": p.must(s.Key).path, "size": s.size(), "order": "desc", "orderBy": "1", "customLabel": s.Label,
			"otherBucket": false, "otherBucketLabel": "other", "missingBucket": p.missing(i), "missingBucketLabel": Missing,
		})
	}
	return all
}

func (p *Panel) params() object {
	switch p.Shape {
	case Number:
		return object{"addTooltip": true, "addLegend": false, "type": "metric", "metric": object{
			"percentageMode": false, "useRanges": false, "colorSchema": "Green to Red", "metricColorMode": "None",
			"colorsRange": []object{{"from": 0, "to": 10000}}, "labels": object{"show": true}, "invertColors": false,
			"style": object{"bgFill": "#000", "bgColor": false, "labelColor": false, "subText": "", "fontSize": 36},
		}}
	case Table:
		return object{"perPage": 10, "showPartialRows": false, "showMetricsAtAllLevels": false, "showTotal": false, "totalFunc": "sum",
			"percentageCol": "", "sort": object{"columnIndex": nil, "direction": nil}}
	}
	return p.axes()
}

// axes are the params of what has axes.
func (p *Panel) axes() object {
	category, value, series, kind := "bottom", "left", "line", "line"
	mode := "normal"
	if p.Shape == Bars {
		category, value, series, kind = "left", "bottom", "histogram", "histogram" // bars that lie are a histogram turned
	}
	title := p.Values[0].Label
	if len(p.Values) > 1 { // the legend has them
		title = ""
	}
	var all []object
	for i, v := range p.Values {
		all = append(all, object{
			"show": true, "type": series, "mode": mode, "data": object{"label": v.Label, "id": strconv.Itoa(i + 1)},
			"valueAxis": "ValueAxis-1", "drawLinesBetweenPoints": true, "lineWidth": 2, "showCircles": true, "interpolate": "linear",
		})
	}
	return object{
		"type": kind, "grid": object{"categoryLines": false},
		"categoryAxes": []object{{
			"id": "CategoryAxis-1", "type": "category", "position": category, "show": true, "style": object{}, "scale": object{"type": "linear"},
			"labels": object{"show": true, "filter": true, "truncate": 100, "rotate": 0}, "title": object{},
		}},
		"valueAxes": []object{{
			"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": value, "show": true, "style": object{}, "scale": object{"type": "linear", "mode": "normal"},
			"labels": object{"show": true, "rotate": 0, "filter": p.Shape == Bars, "truncate": 100}, "title": object{"text": title},
		}},
		"seriesParams": all, "addTooltip": true, "addLegend": p.Shape == Lines, "legendPosition": "right", "times": []any{}, "addTimeMarker": false,
		"labels": object{"show": p.Shape == Bars}, "thresholdLine": object{"show": false, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
	}
}
