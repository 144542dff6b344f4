package ndjsonexporter

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/flatjson/flatjsontest"
	"github.com/monban/monban/internal/reference"
)

// TestLinesObeyTheirSchema writes an event of each kind with all its keys, and
// lets no key pass that the published schema does not know.
func TestLinesObeyTheirSchema(t *testing.T) {
	dir := t.TempDir()
	e, _ := start(t, &Config{Directory: dir})
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, ev := range reference.Events() {
		flatjsontest.Full(records.AppendEmpty(), ev)
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
