package summary

import (
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// When a page has colours.
const (
	ColorAuto   = "auto" // on a terminal that can show them, unless NO_COLOR is set
	ColorAlways = "always"
	ColorNever  = "never"
)

const (
	widthElse = 80  // where there is no terminal
	widthMost = 160 // longer lines are hard to read
)

// Terminal asks out and the environment what they can show. A width of 0 is the
// terminal's.
func Terminal(out io.Writer, color string, width int, now time.Time) Options {
	o := Options{Width: width, Color: color == ColorAlways, Unicode: speaksUnicode(os.Getenv), Zone: time.Local, Now: now.UnixNano()}
	f, isFile := out.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if color == ColorAuto {
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
