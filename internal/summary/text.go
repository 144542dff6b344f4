package summary

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// clean makes s safe to print: control characters, terminal escapes, invisible
// and direction-changing characters and invalid UTF-8 become a question mark, as
// a name on the wire may hold anything. Where the locale can't show it, so does
// all that is not ASCII.
func (o *Options) clean(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError, !unicode.IsGraphic(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			b.WriteByte('?')
		case !o.Unicode && r >= 0x7f:
			b.WriteString(ascii(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ascii stands in for the signs that our own texts use.
func ascii(r rune) string {
	switch r {
	case '–', '—', '−':
		return "-"
	case '×':
		return "x"
	case '→':
		return "->"
	case '…':
		return "..."
	case '·', '─':
		return "-"
	case '’', '‘':
		return "'"
	case '“', '”':
		return `"`
	case 'µ', 'μ':
		return "u"
	case '≤':
		return "<="
	case '≥':
		return ">="
	}
	return "?"
}

// cells is how many columns of the terminal s takes.
func cells(s string) (n int) {
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	switch {
	case r < 0x7f:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts s to n columns, with a sign that something is missing.
func (o *Options) fit(s string, n int) string {
	if cells(s) <= n {
		return s
	}
	dots := "…"
	if !o.Unicode {
		dots = "~"
	}
	if n < 1 {
		return ""
	}
	used := 1
	for i, r := range s {
		if used += runeCells(r); used > n {
			return strings.TrimRight(s[:i], " ") + dots
		}
	}
	return s
}

// wrap breaks s into lines of at most n columns, between words where it can.
func wrap(s string, n int) (lines []string) {
	n = max(n, 8)
	var line strings.Builder
	used := 0
	for _, word := range strings.Fields(s) {
		w := cells(word)
		if used > 0 && used+1+w > n {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
		}
		if used > 0 {
			line.WriteByte(' ')
			used++
		}
		for _, r := range word { // a word longer than a line is broken anywhere
			if c := runeCells(r); used+c > n {
				lines = append(lines, line.String())
				line.Reset()
				used = 0
			}
			line.WriteRune(r)
			used += runeCells(r)
		}
	}
	if used > 0 {
		lines = append(lines, line.String())
	}
	return lines
}

// words turns a label such as new_ot_write into words.
func words(label string) string {
	parts := strings.Split(label, "_")
	for i, w := range parts {
		switch w {
		case "ot", "arp", "dns", "tcp", "udp", "icmp", "sctp", "vlan":
			parts[i] = strings.ToUpper(w)
		case "ipv4", "ipv6":
			parts[i] = "IP" + w[2:]
		}
	}
	return strings.Join(parts, " ")
}

// count writes a whole number with its thousands apart.
func count(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural is "1 flow" or "1,234 flows".
func plural(n uint64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "y") {
		return count(n) + " " + strings.TrimSuffix(one, "y") + "ies"
	}
	return count(n) + " " + one + "s"
}

// size writes bytes in decimal units with about three digits.
func size(n uint64) string { return scaled(float64(n), "B") }

// rate writes bits a second.
func rate(bits float64) string { return scaled(bits, "bit/s") }

func scaled(x float64, unit string) string {
	if x < 999.5 {
		return fmt.Sprintf("%.0f %s", x, unit)
	}
	for _, p := range []string{"k", "M", "G", "T", "P", "E"} {
		x /= 1000
		switch {
		case x < 9.995:
			return fmt.Sprintf("%.2f %s%s", x, p, unit)
		case x < 99.95:
			return fmt.Sprintf("%.1f %s%s", x, p, unit)
		case x < 999.5 || p == "E":
			return fmt.Sprintf("%.0f %s%s", x, p, unit)
		}
	}
	return ""
}

// span writes how long something took, in its two largest units.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	type unit struct {
		name string
		size time.Duration
	}
	units := []unit{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		if i == len(units)-1 {
			return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
		}
		next := units[i+1]
		d = d.Round(next.size)
		if rest := d % u.size / next.size; rest != 0 {
			return fmt.Sprintf("%d %s %d %s", d/u.size, u.name, rest, next.name)
		}
		return fmt.Sprintf("%d %s", d/u.size, u.name)
	}
	return "0 s"
}

// percent writes a share, never as a certainty that it is not.
func percent(p float64) string {
	switch {
	case math.IsNaN(p):
		return "?"
	case p <= 0:
		return "0 %"
	case p < 0.001:
		return "under 0.1 %"
	case p < 0.0995:
		return fmt.Sprintf("%.1f %%", p*100)
	case p < 0.995 || p >= 1:
		return fmt.Sprintf("%.0f %%", min(p, 1)*100)
	}
	return "99 %"
}
