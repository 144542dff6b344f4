package dashboard

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

func number(n int) string { return strconv.Itoa(n) }

// returnedJSON is what each panel got from real servers that hold the events of the demo, written by the
// test in testbed/outlets/dashboards with UPDATE=1.
//
//go:embed returned.json
var returnedJSON []byte

// Returned is what panels got, by name of the server and id of the panel as in [Dashboard.Name].
func Returned() map[string]map[string]int {
	var all map[string]map[string]int
	if err := json.Unmarshal(returnedJSON, &all); err != nil {
		panic(err) // of a file that is part of the program
	}
	return all
}

// Name is how a panel is called on the reference page and in tests.
func (d *Dashboard) Name(p *Panel) string { return d.ID + "/" + p.ID }

// page is the reference page of all panels.
func page() []byte {
	var b strings.Builder
	b.WriteString("<!-- Made by `go generate ./internal/dashboard`; change the table in internal/dashboard instead. -->\n\n# Dashboards\n\n" +
		"[How to put them in place](../how-to/dashboards.md). The same table makes all of them: saved objects for [Kibana](../../dashboards/kibana/monban.ndjson) and\n" +
		"[OpenSearch Dashboards](../../dashboards/opensearch/monban.ndjson), and [Grafana's](../../dashboards/grafana). Those that ask Prometheus are for Grafana only.\n\n" +
		"The last columns are what each panel's query returned from real servers that held what Monban wrote of the demo capture, of itself and the machine\n" +
		"meanwhile, and of ten recorded days of flows and figures (what takes days to learn): buckets of the innermost level, or documents; of numbers the number; of Prometheus series. Panels marked *quiet* are empty when all is well.\n" +
		"`UPDATE=1 go test ./testbed/outlets/dashboards && go generate ./internal/dashboard` writes it anew.\n")
	returned := Returned()
	shown := func(server, name string) string {
		n, ok := returned[server][name]
		if !ok {
			return ""
		}
		return number(n)
	}
	for _, d := range Dashboards() {
		search := d.Panels[0].search()
		fmt.Fprintf(&b, "\n## %s\n\n%s", d.Title, d.Answers)
		if d.Device {
			b.WriteString(" The reader picks the device.")
		}
		if search {
			b.WriteString("\n\n| Panel | Answers | Asks | Elasticsearch 9.1 | OpenSearch 3.4 |\n|---|---|---|---|---|\n")
		} else {
			b.WriteString("\n\n| Panel | Answers | Asks | Prometheus 2.42 |\n|---|---|---|---|\n")
		}
		for i := range d.Panels {
			p := &d.Panels[i]
			title, name := p.Title, d.Name(p)
			if p.Quiet {
				title += " *(quiet)*"
			}
			if search {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", title, p.Answers, p.asks(), shown("elasticsearch", name), shown("opensearch", name))
			} else {
				var asks []string
				for _, a := range p.Asks {
					asks = append(asks, "`"+a.Expr+"`")
				}
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", title, p.Answers, strings.Join(asks, ", "), shown("prometheus", name))
			}
		}
	}
	return []byte(b.String())
}

// asks says in short what a panel asks.
func (p *Panel) asks() string {
	var values, by []string
	for _, v := range p.Values {
		if v.Agg == "count" {
			values = append(values, "count")
		} else {
			values = append(values, v.Agg+" of `"+p.must(v.Key).path+"`")
		}
	}
	if p.Shape == Rows {
		values = append(values, "newest")
	}
	if p.Shape == Lines {
		by = append(by, "time")
	}
	for _, s := range p.By {
		by = append(by, "`"+p.must(s.Key).path+"`")
	}
	text := strings.Join(values, ", ")
	if len(by) > 0 {
		text += " by " + strings.Join(by, ", ")
	}
	return text + " of `" + strings.ReplaceAll(p.Lucene(), "|", `\|`) + "`"
}
