package ndjsonexporter

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/reference"
)

// full fills a record with every attribute of an event.
func full(lr plog.LogRecord, e reference.Event) {
	lr.SetEventName(e.Name)
	lr.SetTimestamp(1_754_000_000_123_456_789)
	lr.SetSeverityText("high")
	lr.Body().SetStr("in one sentence")
	a := lr.Attributes()
	for i, r := range e.Rows {
		switch r.Kind {
		case event.Int:
			a.PutInt(r.Key, int64(i))
		case event.Time:
			a.PutInt(r.Key, 1_754_000_000_000_000_000+int64(i))
		case event.Float:
			a.PutDouble(r.Key, 0.5/float64(i%3)) // with an infinity
		case event.Bool:
			a.PutBool(r.Key, true)
		case event.String:
			a.PutStr(r.Key, fmt.Sprintf("%d\x00\xff", i))
		case event.Strings:
			a.PutEmptySlice(r.Key).AppendEmpty().SetStr("x")
		case event.Ints:
			a.PutEmptySlice(r.Key).AppendEmpty().SetInt(-1)
		case event.Reasons:
			m := a.PutEmptySlice(r.Key).AppendEmpty().SetEmptyMap()
			for _, k := range []string{"kind", "device", "subject", "expected", "seen"} {
				m.PutStr(k, k)
			}
			m.PutDouble("strength", 4)
		}
	}
}

// TestLinesObeyTheirSchema writes an event of each kind with all its keys, and
// lets no key pass that the published schema does not know.
func TestLinesObeyTheirSchema(t *testing.T) {
	dir := t.TempDir()
	e, _ := start(t, &Config{Directory: dir})
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, ev := range reference.Events() {
		full(records.AppendEmpty(), ev)
	}
	if err := e.ConsumeLogs(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	for _, ev := range reference.Events() {
		file := filepath.Join("..", "..", "schema", ev.Name+".schema.json")
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		doc.(map[string]any)["additionalProperties"] = false
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(file, doc); err != nil {
			t.Fatal(err)
		}
		schema, err := c.Compile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, ev.File+".ndjson"))
		if err != nil || len(b) == 0 {
			t.Fatal(ev.File, err)
		}
		for line := range bytes.Lines(b) {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: %v", ev.Name, err)
			}
		}
	}
}
