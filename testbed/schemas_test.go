package testbed

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// resourceKeys are what our receivers put on the resource, which flat lines have besides.
var resourceKeys = []string{"host.name", "observer.name", "observer.ip", "probe.name", "probe.trust", "probe.vouched_by", "probe.reason"}

// schemas compiles those of a directory by the name of their event. Strict ones take no key that they don't know.
func schemas(t *testing.T, dir string, strict bool) map[string]*jsonschema.Schema {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Root(), filepath.FromSlash(dir), "*.schema.json"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d schemas in %s: %v", len(files), dir, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	ids := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		m := doc.(map[string]any)
		if strict {
			m["additionalProperties"] = false
			for _, k := range resourceKeys {
				m["properties"].(map[string]any)[k] = true
			}
		}
		id := m["$id"].(string)
		ids[m["title"].(string)] = id
		if err := c.AddResource(id, m); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]*jsonschema.Schema{}
	for title, id := range ids {
		if all[title], err = c.Compile(id); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// obey validates all lines below dir against the schemas of today, to the letter, and those of the last release, as
// a reader that was made for it would. It gives how many lines there are of each event.
func obey(t *testing.T, dir string) map[string]int {
	t.Helper()
	now, released := schemas(t, "schema", true), schemas(t, "internal/reference/testdata/released", false)
	counts := map[string]int{}
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var head struct{ Event string }
			if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			counts[head.Event]++
			if now[head.Event] == nil {
				if filepath.Base(file) != "other.ndjson" {
					t.Fatalf("%s: there is no schema of %q", file, head.Event)
				}
				continue
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(lines.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if err := now[head.Event].Validate(v); err != nil {
				t.Fatalf("%v\n%s", err, lines.Text())
			}
			if s := released[head.Event]; s != nil {
				if err := s.Validate(v); err != nil {
					t.Fatalf("a reader of the last release: %v\n%s", err, lines.Text())
				}
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return counts
}

// TestSchemas validates all that the real binary writes of the demo.
func TestSchemas(t *testing.T) {
	dir := t.TempDir()
	if r := Run(t, "--config", "pcap:"+demo()+"?out="+dir); r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	counts := obey(t, dir)
	t.Log(counts)
	var missing []string
	for _, name := range []string{"network.flow", "network.sighting", "device.inventory", "device.baseline", "threat.report", "network.capture"} {
		if counts[name] == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("none of %s was validated: %v", strings.Join(missing, ", "), counts)
	}
}
