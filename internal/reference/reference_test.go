package reference

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the tables say; run go generate ./internal/reference (%v)", name, err)
		}
	}
	old, err := filepath.Glob("../../schema/*")
	if err != nil || len(old) != len(Events())+1 {
		t.Errorf("schema/ has %d files for %d events and the manifest (%v)", len(old), len(Events()), err)
	}
}

func TestSchemasCompileAndBite(t *testing.T) {
	for _, e := range Events() {
		b, err := Schema(e)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("x.json", doc); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile("x.json")
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		for _, bad := range []string{`{}`, `{"event":"other","timestamp":"2026-02-03T04:05:06.000000007Z"}`, `{"event":"` + e.Name + `","timestamp":7}`} {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
			if err != nil {
				t.Fatal(err)
			}
			if s.Validate(v) == nil {
				t.Errorf("%s takes %s", e.Name, bad)
			}
		}
	}
}

func TestKeysAreSound(t *testing.T) {
	files := map[string]bool{Other: true}
	for _, e := range Events() {
		if files[e.File] {
			t.Errorf("two events in %s", e.File)
		}
		files[e.File] = true
		for _, r := range e.Rows {
			if r.Key != strings.ToLower(r.Key) || strings.ContainsAny(r.Key, " \"\\") || r.Doc == "" || r.Elastic == "" {
				t.Errorf("%s: row %+v", e.Name, r)
			}
			switch r.Key {
			case "timestamp", "event", "severity", "body", "trace_id", "span_id":
				t.Errorf("%s: the line itself uses %s", e.Name, r.Key)
			}
		}
	}
	if b, err := json.Marshal(object{{"b", 1}, {"a", object{}}}); err != nil || string(b) != `{"b":1,"a":{}}` {
		t.Errorf("%s %v", b, err)
	}
}
