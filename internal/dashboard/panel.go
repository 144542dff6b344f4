package dashboard

import (
	"fmt"
	"strings"
	"sync"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/reference"
)

// Dashboard is a page of panels.
type Dashboard struct {
	ID      string // the same in all programs, after monban-
	Title   string
	Answers string // the question that it is for
	Device  bool   // about one device, which the reader picks
	Panels  []Panel
}

// Shape is how a panel shows what it finds.
type Shape string

// Shapes.
const (
	Number Shape = "number" // one value
	Lines  Shape = "lines"  // one value over time, a line for each value of By; or several values, a line each
	Bars   Shape = "bars"   // a bar for each value of the first of By
	Table  Shape = "table"  // a line for each combination of values of By
	Rows   Shape = "rows"   // documents, newest first
)

// Panel is one question and how it is asked. It asks either events, or one metric of the data
// streams, or Prometheus.
type Panel struct {
	ID      string // within its dashboard
	Title   string
	Answers string
	Shape   Shape
	Width   int // of 24; 0 for the shape's own

	Events []string // names of events
	Metric string   // name of a metric of the host
	Where  []Condition

	Values  []Value
	By      []Split
	Columns []string // of Rows: attribute keys

	Asks []Ask  // of Prometheus
	Unit string // of their answers, as Grafana calls it

	// Quiet is a panel that is empty when all is well, as in the demo.
	Quiet bool
}

// Ask is a question to Prometheus.
type Ask struct {
	Expr   string // PromQL
	Legend string // of its lines, as Grafana writes it
}

// Value is what a panel counts.
type Value struct {
	Agg   string // count, sum, max, avg or cardinality
	Key   string // of the attribute; "" of count
	Label string
}

// Count counts documents.
func Count(label string) Value { return Value{"count", "", label} }

// Sum adds a number up.
func Sum(key, label string) Value { return Value{"sum", key, label} }

// Max is the greatest number, or the latest time.
func Max(key, label string) Value { return Value{"max", key, label} }

// Mean is the mean of a number.
func Mean(key, label string) Value { return Value{"avg", key, label} }

// Distinct counts how many values there are, about right where they are many.
func Distinct(key, label string) Value { return Value{"cardinality", key, label} }

// Split is a field by whose values a panel tells documents apart, those with most of the first value first.
type Split struct {
	Key   string
	Label string
	Size  int
}

// Condition is what documents must fulfil: that a field is there, or has one of some values.
type Condition struct {
	Key    string
	Values []string
	Of     string // asked of documents with this field only
}

// Is asks for one of these values.
func Is(key string, values ...string) Condition { return Condition{Key: key, Values: values} }

// Has asks for any value.
func Has(key string) Condition { return Condition{Key: key} }

// HasIf asks for any value of key in documents that have of, and nothing of others.
func HasIf(of, key string) Condition { return Condition{Key: key, Of: of} }

// field is where a key lies in documents.
type field struct {
	path, typ, unit string
}

// text reports whether values of the field are words, for which a word can stand in when there are none.
func (f field) text() bool { return f.typ == "keyword" }

// timestamp is the field of all documents that says when.
const timestamp = "@timestamp"

// resolve finds the field of a key: an attribute of one of the panel's events, or a field that the
// exporter computes for it. A metric's attributes are labels.
func (p *Panel) resolve(key string) (field, error) {
	if key == timestamp {
		return field{timestamp, "date", ""}, nil
	}
	if p.Metric != "" {
		if label, ok := strings.CutPrefix(key, "labels."); ok {
			return field{"labels." + strings.ReplaceAll(label, ".", "_"), "keyword", ""}, nil
		}
		for _, l := range elastic.MetricLeaves() {
			if l.Path == key {
				return field{l.Path, l.Type, ""}, nil
			}
		}
		return field{}, fmt.Errorf("panel %s: metrics have no field %s", p.ID, key)
	}
	for _, name := range p.Events {
		if f, ok := fields()[name][key]; ok {
			return f, nil
		}
	}
	return field{}, fmt.Errorf("panel %s: no attribute or field %s of %v", p.ID, key, p.Events)
}

// fields are where the keys of each event lie, by its name.
var fields = sync.OnceValue(func() map[string]map[string]field {
	all := map[string]map[string]field{}
	for _, e := range reference.Events() {
		at := map[string]field{}
		for _, l := range elastic.Leaves(e.Name) {
			if !strings.HasPrefix(l.Path, elastic.Own+".") {
				at[l.Path] = field{l.Path, l.Type, ""}
			}
		}
		for i, l := range elastic.Columns(e, elastic.ECS) {
			r := e.Rows[i]
			if r.Kind != event.Reasons {
				at[r.Key] = field{l.Path, l.Type, r.Unit}
				continue
			}
			for _, inner := range elastic.Reasons {
				at[r.Key+"."+inner.Path] = field{l.Path + "." + inner.Path, inner.Type, ""}
			}
		}
		if f, ok := at["network.bytes"]; ok {
			f.unit = "By"
			at["network.bytes"] = f
		}
		all[e.Name] = at
	}
	return all
})

// must is resolve for the writers: the tests have resolved every key before.
func (p *Panel) must(key string) field {
	f, err := p.resolve(key)
	if err != nil {
		panic(err)
	}
	return f
}

// deviceKeys are the attributes that hold the inventory id of a device.
var deviceKeys = []string{"device.id", "source.device.id", "destination.device.id"}

// devices are the fields of the panel's documents that hold a device's id.
func (p *Panel) devices() (all []string) {
	for _, k := range deviceKeys {
		if f, err := p.resolve(k); err == nil {
			all = append(all, f.path)
		}
	}
	return all
}

// search reports whether the panel asks data streams, not Prometheus.
func (p *Panel) search() bool { return len(p.Asks) == 0 }
