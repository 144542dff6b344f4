package summary

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/monban/monban/internal/threat"
)

const labels = 12 // the column at which the texts of a report begin

// sortedReports lists the reports, the gravest first, then the surest, then as
// they came.
func (s *Summary) sortedReports() []*threat.Report {
	all := make([]*threat.Report, 0, len(s.reports))
	for _, r := range s.reports {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *threat.Report) int {
		return cmp.Or(cmp.Compare(severity(b.Severity), severity(a.Severity)), cmp.Compare(b.Confidence, a.Confidence),
			cmp.Compare(a.First, b.First), cmp.Compare(a.ID, b.ID))
	})
	return all
}

func (s *Summary) showReports(p *page) {
	all := s.sortedReports()
	if len(all) == 0 {
		return
	}
	p.section("Out of the ordinary")
	for i, r := range all {
		if i == shownReports {
			break
		}
		if i > 0 {
			p.line()
		}
		s.showReport(p, r)
	}
	if n := uint64(max(0, len(all)-shownReports)) + s.moreReports; n > 0 {
		p.line()
		p.text(fmt.Sprintf("and %s more%s", plural(n, "report"), p.see("reports")), 0, none)
	}
}

// see points to a file that has the rest.
func (p *page) see(file string) string {
	switch {
	case p.Hints.Word == "":
		return ""
	case p.Hints.Out == "":
		return "; out=DIR writes them all"
	case p.Hints.Out == "-":
		return " on standard output"
	}
	return ", see " + strings.TrimSuffix(p.Hints.Out, "/") + "/" + file + ".ndjson"
}

func (s *Summary) showReport(p *page, r *threat.Report) {
	level := strings.ToUpper(cmp.Or(r.Severity, "?"))
	title := cmp.Or(r.Title, r.Class, "unknown")
	sure := percent(r.Confidence) + " sure"
	head := fmt.Sprintf("%s  %s", level, p.clean(title))
	if space := p.Width - cells(head) - cells(sure); space >= 2 {
		p.line(p.paint(level, severityStyle(r.Severity)), "  ", p.paint(p.clean(title), bold), strings.Repeat(" ", min(space, 100-cells(head)-cells(sure))), p.paint(sure, dim))
	} else {
		p.line(p.paint(level, severityStyle(r.Severity)), "  ", p.paint(p.fit(p.clean(title), p.Width-cells(level)-2), bold))
		p.entry("sure", percent(r.Confidence), labels, none)
	}
	p.entry("device", s.describe(r.Device, r.DeviceName), labels, none)
	if r.Summary != "" {
		p.entry("what", r.Summary, labels, none)
	} else {
		p.entry("seen", r.Seen, labels, none)
		p.entry("usual", r.Expected, labels, none)
	}
	p.entry("when", p.when(r), labels, none)
	p.entry("towards", s.victims(r.Victims), labels, none)
	p.entry("evidence", evidence(r), labels, none)
	if r.Confidence < 0.8 {
		p.entry("or else", runnerUp(r.Runner), labels, none)
	}
	p.entry("ATT&CK", strings.Join(slices.Concat(r.ICS, r.Enterprise), " · "), labels, none)
	p.entry("do", r.Action, labels, bold)
	p.entry("report", fmt.Sprintf("%s, revision %d, %s", r.ID, r.Revision, r.Status), labels, dim)
}

// describe is all a person needs to find a device.
func (s *Summary) describe(id, name string) string {
	m := s.devices[id]
	if m == nil {
		if name != "" && name != id {
			return name + " · " + id
		}
		return id
	}
	parts := []string{m.title()}
	for _, part := range []string{m.Vendor, first(m.Addresses), m.MAC.String()} {
		if part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " · ")
}

func first(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return l[0]
}

// when is the time of a report, in words.
func (p *page) when(r *threat.Report) string {
	if r.First == 0 {
		return ""
	}
	text := p.stamp(r.First, 0)
	if d := time.Duration(r.Last - r.First); d >= time.Second {
		text += fmt.Sprintf(" to %s, for %s", p.stamp(r.Last, r.First), span(d))
	}
	return text
}

func (s *Summary) victims(ids []string) string {
	const shown = 6
	var names []string
	for _, id := range ids[:min(shown, len(ids))] {
		names = append(names, s.name(id))
	}
	text := strings.Join(names, ", ")
	if n := len(ids) - shown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func evidence(r *threat.Report) string {
	parts := make([]string, 0, len(r.Evidence)+1)
	for _, e := range r.Evidence {
		parts = append(parts, words(e))
	}
	text := strings.Join(parts, ", ")
	if r.Flows > 0 {
		flows := fmt.Sprintf("%s, %s, %s", plural(r.Flows, "flow"), plural(r.Packets, "packet"), size(r.Bytes))
		if text != "" {
			text += "; "
		}
		text += flows
	}
	return text
}

// runnerUp turns "host_scan 0.12" into "host scan (12 %)".
func runnerUp(s string) string {
	if i := strings.LastIndexByte(s, ' '); i > 0 {
		if p, err := strconv.ParseFloat(s[i+1:], 64); err == nil {
			return words(s[:i]) + " (" + percent(p) + ")"
		}
	}
	return words(s)
}

// Line is a report in one line, told as it happens.
func (s *Summary) Line(r *threat.Report, o Options) string {
	p := &page{Options: o}
	head := fmt.Sprintf("%s  %-8s  ", p.stamp(r.Last, p.Now), strings.ToUpper(r.Severity))
	text := fmt.Sprintf("%s: %s", cmp.Or(r.Title, r.Class), cmp.Or(r.Summary, r.Seen))
	if who := s.name(r.Device); who != "" {
		text = who + ", " + text
	}
	return p.paint(head, severityStyle(r.Severity)) + p.fit(p.clean(text), max(20, max(p.Width, 40)-cells(head))) + "\n"
}
