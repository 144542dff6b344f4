package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/posture"
	"github.com/monban/monban/internal/threat"
)

const generated = "<!-- Made by `go generate ./internal/reference`; change the tables in internal/ instead. -->\n\n"

// Fields is the reference page of all events, in Markdown.
func Fields() string {
	var b strings.Builder
	b.WriteString(generated)
	b.WriteString(`# Fields

Every event is an OpenTelemetry log record with an event name, and one line of JSON where the
[ndjson exporter](../../exporter/ndjsonexporter/README.md) writes it. These tables, the [JSON schemas](../../schema) and the code that
writes the events come from one definition.

A key that is absent means zero, empty or false, or follows from the others as its row says. Units are those of
[UCUM](https://ucum.org). As a log attribute a time is an integer of nanoseconds since 1970; in JSON it is a string
(RFC 3339, UTC). Every record has a timestamp besides, and its resource names the observer (` + "`host.name`" + `).

The [elasticsearch exporter](../../exporter/elasticsearchexporter/README.md) writes a key that has a name in the Elastic Common Schema
under that name, and any other below ` + "`monban`" + `: ` + "`flow.tcp.state`" + ` is ` + "`monban.flow.tcp.state`" + ` there.
`)
	fmt.Fprintf(&b, "\nSchema version %d. A new key is no new version; a key that changes its meaning or goes away is ([compatibility](schemas.md)).\n", Version)
	b.WriteString("\n| Event | NDJSON file | |\n|---|---|---|\n")
	for _, e := range Events() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | `%s.ndjson` | %s |\n", e.Name, anchor(e.Name), e.File, cell(e.Doc))
	}
	for _, e := range Events() {
		fmt.Fprintf(&b, "\n## %s\n\n%s [Schema](../../schema/%s.schema.json).\n\n", e.Name, e.Doc, e.Name)
		standard := slices.ContainsFunc(e.Rows, func(r event.Row) bool { return r.Element != "" })
		common := slices.ContainsFunc(e.Rows, func(r event.Row) bool { return r.Common != "" })
		head, rule := "| Key | Type | Unit | Elasticsearch |", "|---|---|---|---|"
		if common {
			head, rule = head+" [ECS](https://www.elastic.co/docs/reference/ecs) |", rule+"---|"
		}
		if standard {
			head, rule = head+" [IPFIX](https://www.iana.org/assignments/ipfix) |", rule+"---|"
		}
		b.WriteString(head + " Meaning |\n" + rule + "---|\n")
		for _, r := range e.Rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |", r.Key, r.Kind, unit(r), r.Elastic)
			if common {
				fmt.Fprintf(&b, " %s |", code(r.Common))
			}
			if standard {
				fmt.Fprintf(&b, " %s |", r.Element)
			}
			fmt.Fprintf(&b, " %s |\n", cell(r.Doc))
		}
	}
	b.WriteString("\n## Reasons\n\nEach entry of `anomaly.reasons` has `kind` ([kinds of evidence](reports.md#evidence)), `device` (the id of the device that acts), " +
		"`subject` (what exactly; equal subjects are the same finding), `strength`, `expected` and `seen` (one plain sentence each).\n")
	return b.String()
}

// Reports is the reference page of evidence and classes, in Markdown.
func Reports() string {
	var b strings.Builder
	b.WriteString(generated)
	b.WriteString("# Evidence and classes\n\nHow [reports](fields.md#threatreport) come about: the baseline and the host receiver find evidence, the threat connector adds it up for each class. " +
		"The leading class is reported; `unknown` is an answer.\n")
	b.WriteString("\n## Evidence\n\nThe strength of novelty is in nats of surprise, that of a rule a certainty from 0 to 1.\n\n| Kind | | What it means |\n|---|---|---|\n")
	for _, d := range baseline.Definitions() {
		how := "novelty"
		if d.Rule {
			how = "rule"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Kind, how, cell(d.Doc))
	}
	for _, d := range posture.Definitions() {
		fmt.Fprintf(&b, "| `%s` | rule | %s |\n", d.Kind, cell(d.Doc))
	}
	b.WriteString("\n## Classes\n\n| Class | Severity | What it means | ATT&CK | What to do |\n|---|---|---|---|---|\n")
	for _, c := range threat.Classes {
		techniques := strings.Join(append(append([]string{}, c.ICS...), c.Enterprise...), "; ")
		fmt.Fprintf(&b, "| `%s` %s | %s | %s | %s | %s |\n", c.Name, cell(c.Title), c.Severity, cell(c.Doc), cell(techniques), cell(c.Action))
	}
	return b.String()
}

func unit(r event.Row) string { return code(r.Unit) }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// anchor is the fragment that GitHub gives a heading.
func anchor(heading string) string { return strings.ReplaceAll(heading, ".", "") }

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// Files are all generated files by their path from the repository's root.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{
		"docs/reference/fields.md":  []byte(Fields()),
		"docs/reference/reports.md": []byte(Reports()),
	}
	for _, e := range Events() {
		b, err := Schema(e)
		if err != nil {
			return nil, err
		}
		files["schema/"+e.Name+".schema.json"] = b
	}
	b, err := Manifest()
	if err != nil {
		return nil, err
	}
	files["schema/"+manifestName+".schema.json"] = b
	return files, nil
}
