package summary

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/threat"
)

// Rows of each part.
const (
	shownReports = 20
	shownDevices = 30
	shownNew     = 15
	shownTalks   = 10
	shownApps    = 12
)

// Text is the summary for a person.
func (s *Summary) Text(o Options) string {
	p := &page{Options: o}
	p.Width = max(p.Width, 40)
	s.head(p)
	s.showReports(p)
	s.showDevices(p)
	s.showNew(p)
	s.showTalks(p)
	s.showApps(p)
	s.showLosses(p)
	s.showHints(p)
	if p.Broken {
		p.line()
		p.text("Something failed, as the error says: this may not be everything.", 0, red)
	} else if s.flows > 0 || len(s.reports) > 0 {
		p.line()
		text, st := s.verdict()
		p.text(text, 0, st)
	}
	return p.b.String()
}

// total adds the captures up.
func (s *Summary) total() (t app.Capture) {
	for _, name := range s.captureOrder {
		c := s.captures[name]
		t.Packets += c.Packets
		t.Bytes += c.Bytes
		t.Flows += c.Flows
		t.Evicted += c.Evicted
		t.Refused += c.Refused
		t.Dropped += c.Dropped
		t.Missed += c.Missed
		t.Unwanted += c.Unwanted
		t.Outages += c.Outages
		t.Suppressed += c.Suppressed
		t.Reasons = append(t.Reasons, c.Reasons...)
		t.Warnings = append(t.Warnings, c.Warnings...)
		if c.First != 0 && (t.First == 0 || c.First < t.First) {
			t.First = c.First
		}
		t.Last = max(t.Last, c.Last)
	}
	if len(s.captures) == 0 { // flows of another meter
		t.Packets, t.Bytes, t.Flows, t.First, t.Last = s.packets, s.bytes, s.flows, s.first, s.last
	}
	return t
}

func (s *Summary) head(p *page) {
	t := s.total()
	name := strings.Join(s.captureOrder, ", ")
	if name == "" {
		name = "flows"
	}
	title := p.fit(p.clean(strings.Repeat(p.rule(), 2)+" monban: "+name+" "), p.Width)
	p.line(p.paint(title+strings.Repeat(p.rule(), p.Width-cells(title)), bold))
	if t.Packets == 0 && s.flows == 0 {
		p.text("There was no packet.", 0, none)
		return
	}
	if t.First != 0 {
		length := time.Duration(t.Last - t.First)
		when := fmt.Sprintf("%s to %s %s", p.stamp(t.First, 0), p.stamp(t.Last, t.First), p.zone(t.Last))
		if length > 0 {
			when += ", " + span(length)
		}
		p.text(when, 0, none)
	}
	what := fmt.Sprintf("%s, %s", plural(t.Packets, "packet"), size(t.Bytes))
	if seconds := float64(t.Last-t.First) / 1e9; seconds >= 1 {
		what += fmt.Sprintf(", %s on average", rate(float64(t.Bytes)*8/seconds))
	}
	what += fmt.Sprintf("; %s between %s", plural(max(t.Flows, s.flows), "flow"), plural(uint64(s.met())+s.more, "device"))
	if took := time.Duration(p.Now - s.begun); p.Hints.Word == "pcap" && took > 0 {
		what += fmt.Sprintf("; read in %s", span(took))
	}
	p.text(what, 0, none)
}

// verdict is the last line, the one that stays in view.
func (s *Summary) verdict() (string, style) {
	if len(s.reports) == 0 {
		switch learned, all := s.learned(); {
		case all == 0:
			return "Nothing out of the ordinary was reported.", bold
		case learned == 0:
			return "Nothing was reported. No device is learned yet, so only what needs no learning could be.", bold
		default:
			return "Nothing out of the ordinary was reported.", green
		}
	}
	counts := map[string]uint64{}
	for _, r := range s.reports {
		counts[r.Severity]++
	}
	var parts []string
	worst := none
	for i := len(severities) - 1; i >= 0; i-- {
		if n := counts[severities[i]]; n > 0 {
			if worst == none {
				worst = severityStyle(severities[i])
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, cmp.Or(severities[i], "other")))
		}
	}
	return fmt.Sprintf("%s: %s.", plural(uint64(len(s.reports))+s.moreReports, "report"), strings.Join(parts, ", ")), worst
}

// learned counts the devices of this run that have a baseline.
func (s *Summary) learned() (learned, all int) {
	for _, m := range s.devices {
		if m.met && m.status != nil {
			all++
			if m.status.Learned {
				learned++
			}
		}
	}
	return learned, all
}

func severityStyle(s string) style {
	switch s {
	case threat.Critical:
		return alarm
	case threat.High:
		return red
	case threat.Medium:
		return yellow
	}
	return cyan
}

// showTalks lists the conversations that moved most.
func (s *Summary) showTalks(p *page) {
	keys := s.talks.top(func(a, b talk) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.service, b.service))
	})
	if len(keys) == 0 {
		return
	}
	p.section("Most traffic")
	var rows [][]cell
	for _, k := range keys[:min(shownTalks, len(keys))] {
		it := s.talks.items[k]
		rows = append(rows, []cell{{s.name(k.from), none}, {s.name(k.to), none}, {k.service, none}, {count(it.flows), none}, {size(it.bytes), none}})
	}
	p.table([]column{{"from", false, 12}, {"to", false, 12}, {"service", false, 8}, {"flows", true, 0}, {"bytes", true, 0}}, rows, nil)
	if s.talks.gone > 0 {
		p.text("There were too many conversations to follow each one; the ranking is close, not exact.", 2, dim)
	}
}

// name is how a person knows a device id or an address.
func (s *Summary) name(id string) string {
	m := s.devices[id]
	if m == nil {
		return id
	}
	return m.title()
}

// showApps lists services with a bar of their share.
func (s *Summary) showApps(p *page) {
	keys := s.services.top(cmp.Compare[string])
	if len(keys) == 0 {
		return
	}
	p.section("Applications, by service port")
	const bar = 20
	full, part := "#", "."
	if p.Unicode {
		full, part = "█", "▏"
	}
	var rows [][]cell
	add := func(name string, it item) {
		share := 0.0
		if s.bytes > 0 {
			share = float64(it.bytes) / float64(s.bytes)
		}
		graph := strings.Repeat(full, int(share*bar+0.5))
		if graph == "" {
			graph = part
		}
		rows = append(rows, []cell{{name, none}, {count(it.flows), none}, {size(it.bytes), none}, {percent(share), none}, {graph, cyan}})
	}
	rest, n := s.services.rest, 0
	for i, k := range keys {
		it := *s.services.items[k]
		if i < shownApps {
			add(k, it)
			continue
		}
		rest.flows += it.flows
		rest.bytes += it.bytes
		n++
	}
	switch {
	case s.services.gone > 0:
		add("all others", rest)
	case n > 0:
		add(fmt.Sprintf("%d others", n), rest)
	}
	p.table([]column{{"service", false, 10}, {"flows", true, 0}, {"bytes", true, 0}, {"share", true, 0}, {"", false, 4}}, rows, nil)
}

// showLosses says what was not seen, and that nothing was lost where that is so.
func (s *Summary) showLosses(p *page) {
	if len(s.captures) == 0 {
		return
	}
	t := s.total()
	if t.Packets == 0 && t.Dropped == 0 && len(t.Warnings) == 0 {
		return
	}
	p.section("What was not seen")
	whole := true
	say := func(n uint64, format string, args ...any) {
		if n > 0 {
			whole = false
			p.text(fmt.Sprintf(format, args...), 2, yellow)
		}
	}
	say(t.Dropped, "%s dropped by the kernel before they could be read: this machine, or the ring buffer, is too small for the traffic.", plural(t.Dropped, "packet"))
	say(t.Missed, "%s lost by interfaces before the kernel had them: the card, or the kernel's queue, was full.", plural(t.Missed, "packet"))
	say(t.Unwanted, "%s of peers that are not listed, dropped.", plural(t.Unwanted, "copy"))
	say(t.Outages, "%s of an interface's link; what passed meanwhile was not seen.", plural(t.Outages, "outage"))
	reasons := ""
	if len(t.Reasons) > 0 {
		reasons = ": " + reasonList(t.Reasons)
	}
	say(t.Refused, "%s of %s could not be decoded%s.", plural(t.Refused, "packet"), count(t.Packets), reasons)
	say(t.Evicted, "%s ended early because the flow table was full; raise max_flows.", plural(t.Evicted, "flow"))
	say(t.Suppressed, "%s held back because they came too fast.", plural(t.Suppressed, "sighting"))
	for i, w := range t.Warnings {
		if i == maxWarnings {
			p.text(fmt.Sprintf("and %d more warnings", len(t.Warnings)-i), 2, yellow)
			break
		}
		whole = false
		p.text(w, 2, yellow)
	}
	if whole {
		p.text("Nothing: every packet was decoded and counted.", 2, none)
	}
}

// reasonList turns "truncated=3" into words.
func reasonList(reasons []string) string {
	counts := map[string]uint64{}
	for _, r := range reasons {
		name, n, _ := strings.Cut(r, "=")
		var v uint64
		_, _ = fmt.Sscan(n, &v)
		counts[words(name)] += v
	}
	names := make([]string, 0, len(counts))
	for n := range counts {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	for i, n := range names {
		names[i] = fmt.Sprintf("%s %s", count(counts[n]), n)
	}
	return strings.Join(names, ", ")
}

// isAddress reports whether s is an IP address.
func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
