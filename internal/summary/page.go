package summary

import (
	"strings"
	"time"
)

// Options say how a summary is written.
type Options struct {
	Width   int            // columns, at least 40
	Color   bool           // terminal colours
	Unicode bool           // lines and signs beyond ASCII
	Zone    *time.Location // of all times
	Now     int64          // wall clock, Unix nanoseconds
	Broken  bool           // the run broke off with an error, or could not write all it had to
	Hints   Hints
}

// Hints are what the configuration was made from, when it was made from one word,
// so that advice can be given in the same words.
type Hints struct {
	Word  string `mapstructure:"word"`  // pcap or live; "" gives no advice
	State string `mapstructure:"state"` // the options of the word
	Out   string `mapstructure:"out"`
	Home  string `mapstructure:"home"`

	// Appended says that Out held events of an earlier run.
	Appended bool `mapstructure:"appended"`
}

// style is a terminal's SGR parameters.
type style string

const (
	none    style = ""
	bold    style = "1"
	dim     style = "2"
	red     style = "1;31"
	alarm   style = "1;97;41"
	yellow  style = "33"
	cyan    style = "36"
	green   style = "32"
	heading style = "1;4"
)

func (o *Options) paint(s string, st style) string {
	if !o.Color || st == none || s == "" {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

// page is a text under way.
type page struct {
	Options
	b strings.Builder
}

func (p *page) line(parts ...string) {
	for _, s := range parts {
		p.b.WriteString(s)
	}
	p.b.WriteByte('\n')
}

// section begins a part with its title.
func (p *page) section(title string) {
	p.line()
	if p.Color {
		p.line(p.paint(title, heading))
		return
	}
	p.line(title)
	p.line(strings.Repeat(p.rule(), min(cells(title), p.Width)))
}

// rule is what lines are drawn of.
func (p *page) rule() string {
	if p.Unicode {
		return "─"
	}
	return "-"
}

// text writes s wrapped behind an indent of n columns.
func (p *page) text(s string, n int, st style) {
	for _, l := range wrap(p.clean(s), p.Width-n) {
		p.line(strings.Repeat(" ", n), p.paint(l, st))
	}
}

// entry writes "label  text" with the text wrapped in its own column.
func (p *page) entry(label, text string, at int, st style) {
	if text == "" {
		return
	}
	for i, l := range wrap(p.clean(text), p.Width-at) {
		if i > 0 {
			label = ""
		}
		p.line("  ", p.paint(pad(label, at-2), dim), p.paint(l, st))
	}
}

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-cells(s))) }

// stamp writes a time, the date only where it is not that of day.
func (p *page) stamp(ns, day int64) string {
	t, d := time.Unix(0, ns).In(p.Zone), time.Unix(0, day).In(p.Zone)
	if day != 0 && t.YearDay() == d.YearDay() && t.Year() == d.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// zone names the zone of all times by that of one.
func (p *page) zone(ns int64) string {
	name, offset := time.Unix(0, ns).In(p.Zone).Zone()
	if offset == 0 {
		return "UTC"
	}
	at := time.Unix(0, ns).In(p.Zone).Format("UTC-07:00")
	if name == "" || name[0] == '+' || name[0] == '-' {
		return at
	}
	return name + " (" + at + ")"
}

// cell is one cell of a table.
type cell struct {
	text string
	st   style
}

// column is how a table treats one of its columns.
type column struct {
	title string
	right bool // numbers
	least int  // columns it keeps when the table is too wide; 0 keeps all
}

// table writes rows in columns that fit the page: where they don't, the columns
// that may shrink lose what they have most of. What is below a row is wrapped
// over at most three lines.
func (p *page) table(columns []column, rows [][]cell, below []string) {
	const gap = 2
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = cells(c.title)
		for r := range rows {
			rows[r][i].text = p.clean(rows[r][i].text)
			widths[i] = max(widths[i], cells(rows[r][i].text))
		}
	}
	total := gap * len(columns)
	for _, w := range widths {
		total += w
	}
	for total > p.Width {
		widest := -1
		for i, c := range columns {
			if c.least > 0 && widths[i] > c.least && (widest < 0 || widths[i]-c.least > widths[widest]-columns[widest].least) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	write := func(row []cell) {
		var b strings.Builder
		for i, c := range row {
			text := p.fit(c.text, widths[i])
			space := strings.Repeat(" ", widths[i]-cells(text))
			b.WriteString(strings.Repeat(" ", gap))
			if columns[i].right {
				b.WriteString(space + p.paint(text, c.st))
			} else {
				b.WriteString(p.paint(text, c.st) + space)
			}
		}
		p.line(strings.TrimRight(b.String(), " "))
	}
	head := make([]cell, len(columns))
	for i, c := range columns {
		head[i] = cell{c.title, dim}
	}
	write(head)
	for i, row := range rows {
		write(row)
		if i < len(below) && below[i] != "" {
			lines := wrap(p.clean(below[i]), p.Width-4)
			const most = 3
			if len(lines) > most {
				lines[most-1] = p.fit(lines[most-1]+" "+lines[most], p.Width-4)
			}
			for _, l := range lines[:min(most, len(lines))] {
				p.line("    ", p.paint(l, dim))
			}
		}
	}
}
