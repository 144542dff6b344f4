package reference

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// released is the copy of schema/ as the last release had it; see docs/reference/schemas.md.
const released = "testdata/released"

// TestOnlyAdditionsSinceTheLastRelease holds the promise of a version: what was written by the last release
// can be read by what was made for it.
func TestOnlyAdditionsSinceTheLastRelease(t *testing.T) {
	now, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(released + "/*.schema.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d schemas of the last release: %v", len(files), err)
	}
	var broken []string
	version := 0.0
	for _, f := range files {
		was, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ Version float64 }
		if err := json.Unmarshal(was, &head); err != nil {
			t.Fatal(err)
		}
		version = max(version, head.Version)
		name := "schema/" + filepath.Base(f)
		is, ok := now[name]
		if !ok {
			broken = append(broken, name+" is gone")
			continue
		}
		b, err := Breaks(was, is)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range b {
			broken = append(broken, path.Base(name)+": "+what)
		}
	}
	switch {
	case version == Version && len(broken) > 0:
		t.Errorf("the version of the schemas is still %d, but since the last release\n  %s\nAdd a new key beside the old one, or see docs/reference/schemas.md for a new version", Version, strings.Join(broken, "\n  "))
	case version != Version && (version+1 != Version || len(broken) == 0):
		t.Errorf("the version of the schemas was %v and is %d, with %d breaks: it rises by one, and only when something breaks", version, Version, len(broken))
	}
}

// Each kind of change that breaks a reader is seen, and none that does not.
func TestBreaks(t *testing.T) {
	const was = `{"$id":"x","version":1,"type":"object","required":["timestamp"],"properties":{
		"timestamp":{"type":"string","pattern":"^2"},
		"n":{"type":"integer","unit":"By","elasticsearch":"long","description":"a"},
		"f":{"type":["number","null"]},
		"e":{"enum":["a","b"]},
		"l":{"type":"array","items":{"type":"object","additionalProperties":false,"properties":{"k":{"type":"string"}},"required":["k"]}}}}`
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"another sentence", `"description":"a"`, `"description":"b"`, ""},
		{"a key more", `"e":{`, `"new":{"type":"string"},"e":{`, ""},
		{"one more that is always there", `["timestamp"]`, `["timestamp","n"]`, ""},
		{"narrower", `["number","null"]`, `"number"`, ""},
		{"a value less", `["a","b"]`, `["a"]`, ""},
		{"a key that is gone", `"e":{"enum":["a","b"]},`, ``, "a key e, which is gone"},
		{"another type", `"type":"integer"`, `"type":"string"`, "was of type integer and is of type string"},
		{"no type", `"type":"integer",`, ``, "was of type integer and is of type <nil>"},
		{"a wider type", `"type":"integer"`, `"type":["integer","null"]`, "/n was of type"},
		{"another unit", `"By"`, `"KiBy"`, "had unit By and has KiBy"},
		{"another mapping", `"long"`, `"double"`, "had elasticsearch long and has double"},
		{"another form", `"^2"`, `"^3"`, "had pattern"},
		{"a value more", `["a","b"]`, `["a","b","c"]`, "had only the values [a b] and has [a b c]"},
		{"no longer always there", `["timestamp"]`, `[]`, "always had [timestamp]"},
		{"no longer always there, within", `["k"]`, `[]`, "/l[] always had [k]"},
		{"a new key where none is allowed", `{"k":`, `{"j":{"type":"string"},"k":`, "is closed, and has a new key j"},
		{"open where it was closed", `"additionalProperties":false,`, ``, "additionalProperties"},
		{"another type within a list", `{"k":{"type":"string"}}`, `{"k":{"type":"integer"}}`, "/l[]/k was of type"},
		{"another address", `"$id":"x"`, `"$id":"y"`, "the schema had $id"},
	} {
		is := strings.Replace(was, c.from, c.to, 1)
		if is == was && c.from != c.to {
			t.Fatal(c.name, "changes nothing")
		}
		got, err := Breaks([]byte(was), []byte(is))
		if err != nil {
			t.Fatal(c.name, err)
		}
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, c := range [][2]string{{"{", "{}"}, {"{}", "["}} {
		if _, err := Breaks([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%q is compared", c)
		}
	}
}

func FuzzBreaks(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":["string","null"],"enum":[1]}}}`), []byte(`{"items":{"items":{}}}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if got, err := Breaks(a, a); err == nil && len(got) > 0 {
			t.Errorf("%s breaks itself: %q", a, got)
		}
		_, _ = Breaks(a, b)
	})
}
