// Command images draws docs/images/demo.svg: what the demo prints on a terminal.
//
//	go run ./docs/images -monban ./monban
//
// It runs the real binary on the demo capture, and turns what that prints, colours
// and all, into an SVG. Two things are left out, so that the same program gives the
// same picture: how long the reading took, and, where a mark says so, the rest of a
// long section. The picture is dark on any page.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"log"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// Sizes in SVG user units. A terminal's cell is about 0.6 of the font's size.
const (
	fontSize   = 14.0
	cellWidth  = 8.4
	lineHeight = 18.0
	margin     = 18.0
	titleBar   = 34.0
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("images: ")
	monban := flag.String("monban", "./monban", "the program to run")
	capture := flag.String("capture", "testbed/lab/demo.pcap.gz", "the capture to give it")
	out := flag.String("out", "docs/images/demo.svg", "the picture to write")
	width := flag.Int("width", 100, "columns of the terminal")
	reports := flag.Int("reports", 3, "reports to show in full")
	devices := flag.Int("devices", 3, "devices to show")
	flag.Parse()

	text, err := run(*monban, *capture, *width)
	if err != nil {
		log.Fatal(err)
	}
	lines := shorten(strings.Split(strings.TrimRight(text, "\n"), "\n"), *reports, *devices)
	command := "monban --config pcap:" + *capture
	if err := os.WriteFile(*out, draw(command, lines, *width), 0o644); err != nil {
		log.Fatal(err)
	}
}

// run gives what the program prints on a terminal of that many columns.
func run(monban, capture string, width int) (string, error) {
	cmd := exec.Command(monban, "--config", "pcap:"+capture,
		"--set", "exporters::summary::color=always", "--set", "exporters::summary::width="+strconv.Itoa(width))
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w\n%s", cmd, err, stderr.Bytes())
	}
	return string(b), nil
}

var (
	escape   = regexp.MustCompile("\x1b\\[([0-9;]*)m")
	readIn   = regexp.MustCompile(`;?\s*read in .*$`)
	heading  = regexp.MustCompile("^\x1b\\[1;4m")
	severity = regexp.MustCompile(`^(LOW|MEDIUM|HIGH|CRITICAL)  `)
)

func plain(s string) string { return escape.ReplaceAllString(s, "") }

// shorten keeps the head, the gravest reports and the busiest devices, and marks
// what it left out.
func shorten(lines []string, reports, devices int) (kept []string) {
	section, seen, left := "", 0, 0
	mark := func(what string) {
		if left > 0 {
			kept = append(kept, fmt.Sprintf("\x1b[2m  … %d more %s\x1b[0m", left, what))
			left = 0
		}
	}
	for _, l := range lines {
		text := plain(l)
		if heading.MatchString(l) {
			switch section {
			case "Out of":
				mark("reports")
				kept = append(kept, "")
			case "Devices":
				mark("devices, most traffic, applications, what was not seen")
				return kept
			}
			section, seen = strings.SplitN(text, ":", 2)[0], 0
			if f := strings.Fields(section); len(f) > 1 && f[0] == "Out" {
				section = "Out of"
			}
			kept = append(kept, l)
			continue
		}
		switch section {
		case "":
			if l = readIn.ReplaceAllString(l, ""); strings.TrimSpace(plain(l)) == "" && text != "" {
				continue
			}
		case "Out of":
			if severity.MatchString(text) {
				seen++
				if seen > reports {
					left++
				}
			}
			if seen > reports {
				continue
			}
		case "Devices":
			if strings.HasPrefix(text, "  ") && !strings.HasPrefix(text, "   ") && !strings.HasPrefix(text, "  name ") {
				seen++
				if seen > devices {
					left++
				}
			}
			if seen > devices {
				continue
			}
		}
		kept = append(kept, l)
	}
	return kept
}

// run of text in one style.
type span struct {
	at    int // column
	text  string
	style string // SGR parameters
}

// spans takes a line of terminal output apart.
func spans(line string) (all []span, columns int) {
	style := ""
	for line != "" {
		loc := escape.FindStringSubmatchIndex(line)
		text := line
		if loc != nil {
			text = line[:loc[0]]
		}
		if text != "" {
			all = append(all, span{columns, text, style})
			columns += len([]rune(text))
		}
		if loc == nil {
			break
		}
		if style = line[loc[2]:loc[3]]; style == "0" {
			style = ""
		}
		line = line[loc[1]:]
	}
	return all, columns
}

// classes of the styles that the summary uses.
var classes = map[string]string{
	"": "n", "1": "b", "2": "d", "1;31": "r", "1;97;41": "a", "33": "y", "36": "c", "32": "g", "1;4": "h",
}

const css = `
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;fill:#d7dde5;white-space:pre}
.b,.h{fill:#fff;font-weight:700}.h{text-decoration:underline}.d{fill:#8b98a8}.r{fill:#ff7b72;font-weight:700}
.a{fill:#fff;font-weight:700}.y{fill:#e3b341}.c{fill:#76c7e8}.g{fill:#7ee787}`

func draw(command string, lines []string, width int) []byte {
	var b bytes.Buffer
	w := 2*margin + float64(width)*cellWidth
	h := titleBar + margin + float64(len(lines)+2)*lineHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="What monban prints for the demo capture">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, "<style>%s</style>\n", css)
	fmt.Fprintf(&b, `<rect x="0.5" y="0.5" width="%.0f" height="%.0f" rx="9" fill="#12171e" stroke="#39424e"/>`+"\n", w-1, h-1)
	for i, c := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%.0f" cy="17" r="5.5" fill="%s"/>`+"\n", margin+4+float64(i)*19, c)
	}
	y := titleBar + lineHeight
	write := func(s span) {
		class, known := classes[s.style]
		if !known {
			log.Fatalf("the summary uses the style %q, which this program does not know", s.style)
		}
		n := len([]rune(s.text))
		x := margin + float64(s.at)*cellWidth
		if class == "a" {
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" fill="#b62324"/>`, x, y-13.5, float64(n)*cellWidth, lineHeight)
		}
		if strings.TrimSpace(s.text) == "" {
			return
		}
		fmt.Fprintf(&b, `<text class="%s" x="%.1f" y="%.1f" textLength="%.1f" xml:space="preserve">%s</text>`+"\n",
			class, x, y, float64(n)*cellWidth, html.EscapeString(s.text))
	}
	write(span{0, "$ ", "32"})
	write(span{2, command, "1"})
	for _, l := range lines {
		y += lineHeight
		all, _ := spans(l)
		for _, s := range all {
			write(s)
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
