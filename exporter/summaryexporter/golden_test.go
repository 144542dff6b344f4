package summaryexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/summary"
)

var update = flag.Bool("update", false, "write what comes out as what is wanted")

// TestGolden reads testdata/*.txtar: an events section as NDJSON, and wanted
// summaries whose names are their options: "width=80 unicode color".
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, sections := parse(string(b))
		var events string
		for i, s := range sections {
			if s.name == "events" {
				events = s.text
				continue
			}
			t.Run(filepath.Base(file)+"/"+s.name, func(t *testing.T) {
				got := summarize(t, events, s.name)
				if *update {
					sections[i].text = got
				} else if got != s.text {
					t.Errorf("got:\n%s\nwant:\n%s", got, s.text)
				}
				checkPage(t, got, s.name)
			})
		}
		if *update {
			var out strings.Builder
			out.WriteString(head)
			for _, s := range sections {
				fmt.Fprintf(&out, "-- %s --\n%s", s.name, s.text)
			}
			if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

type section struct{ name, text string }

func parse(s string) (head string, sections []section) {
	for line := range strings.Lines(s) {
		name, isHead := strings.CutPrefix(strings.TrimRight(line, "\n"), "-- ")
		name, closed := strings.CutSuffix(name, " --")
		switch {
		case isHead && closed:
			sections = append(sections, section{name: name})
		case len(sections) == 0:
			head += line
		default:
			sections[len(sections)-1].text += line
		}
	}
	return head, sections
}

func summarize(t *testing.T, events, options string) string {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Color = summary.ColorNever
	t.Setenv("LC_ALL", "C")
	for _, o := range strings.Fields(options) {
		k, v, _ := strings.Cut(o, "=")
		switch k {
		case "width":
			cfg.Width, _ = strconv.Atoi(v)
		case "color":
			cfg.Color = summary.ColorAlways
		case "unicode":
			t.Setenv("LC_ALL", "C.UTF-8")
		case "follow":
			cfg.Follow = true
		case "word":
			cfg.Hints.Word = v
		case "state":
			cfg.Hints.State = v
		case "out":
			cfg.Hints.Out = v
		case "home":
			cfg.Hints.Home = v
		default:
			t.Fatalf("no option %q", k)
		}
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := newExporter(cfg, &out)
	now := time.Date(2026, 2, 3, 18, 0, 0, 0, time.UTC)
	e.now = func() time.Time { now = now.Add(1250 * time.Millisecond); return now }
	e.summary = summary.New(e.now().UnixNano())
	zone := time.Local
	time.Local = time.FixedZone("CET", 3600)
	defer func() { time.Local = zone }()
	for line := range strings.Lines(events) {
		if err := e.consume(context.Background(), logs(t, line)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second says nothing
		if err := e.shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// checkPage holds what must be true of every page.
func checkPage(t *testing.T, page, options string) {
	t.Helper()
	_, width, _ := strings.Cut(options, "width=")
	width, _, _ = strings.Cut(width, " ")
	most, _ := strconv.Atoi(width)
	color := strings.Contains(options, "color")
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, "\x1b") && !color {
			t.Errorf("an escape in %q", line)
		}
		if n := len([]rune(line)); n > most && !color {
			t.Errorf("%d columns: %q", n, line)
		}
		for _, r := range line {
			if r < 0x20 && r != 0x1b || r == 0x7f || r > 0x7f && !strings.Contains(options, "unicode") {
				t.Errorf("%q in %q", r, line)
			}
		}
	}
}

// logs turns a line as the ndjson exporter writes it back into a record.
func logs(t *testing.T, line string) plog.Logs {
	t.Helper()
	ld := plog.NewLogs()
	lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	for k, v := range m {
		m[k] = value(v)
	}
	lr.SetEventName(m["event"].(string))
	if at, ok := m["timestamp"].(int64); ok {
		lr.SetTimestamp(pdataTime(at))
	}
	delete(m, "event")
	delete(m, "timestamp")
	if err := lr.Attributes().FromRaw(m); err != nil {
		t.Fatal(err)
	}
	return ld
}

func value(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.UnixNano()
		}
	case []any:
		for i := range v {
			v[i] = value(v[i])
		}
	}
	return v
}
