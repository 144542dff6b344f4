package summaryexporter

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/monban/monban/internal/summary"
)

const (
	widthElse = 80  // where there is no terminal
	widthMost = 160 // longer lines are hard to read
)

// options asks the terminal and the environment what they can show.
func (e *summaryExporter) options() summary.Options {
	o := summary.Options{
		Width:   e.cfg.Width,
		Color:   e.cfg.Color == colorAlways,
		Unicode: speaksUnicode(os.Getenv),
		Zone:    time.Local,
		Now:     e.now().UnixNano(),
		Hints:   e.cfg.Hints,
	}
	f, isFile := e.out.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if e.cfg.Color == colorAuto {
		o.Color = terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if o.Width == 0 {
		o.Width = widthElse
		if terminal {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				o.Width = min(w, widthMost)
			}
		} else if w, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && w > 0 {
			o.Width = min(w, widthMost)
		}
	}
	return o
}

// speaksUnicode reports whether the locale's character set is UTF-8.
func speaksUnicode(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := env(name); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}
