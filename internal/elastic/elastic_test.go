package elastic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monban/monban/internal/reference"
)

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	for name, want := range Files() {
		got, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the tables say; run go generate ./internal/elastic (%v)", name, err)
		}
	}
}

// all are the fields of every document in ECS mode, by path.
func all() map[string]string {
	fields := map[string]string{}
	lists := [][]Leaf{Leaves(""), MetricLeaves(), deadLetter}
	for _, e := range reference.Events() {
		lists = append(lists, Leaves(e.Name))
	}
	for _, list := range lists {
		for _, l := range list {
			fields[l.Path] = l.Type
		}
	}
	return fields
}

// A path is a field or an object, and of one type in all streams: else a data view over logs-monban.*
// could not search it.
func TestPathsAreSound(t *testing.T) {
	types := map[string]string{}
	for _, mode := range []Mode{ECS, OTel} {
		for _, e := range reference.Events() {
			seen := map[string]bool{}
			leaves := Leaves(e.Name)
			if mode == OTel {
				leaves = attributeLeaves(e.Name)
			}
			for _, l := range leaves {
				for other := range seen {
					if strings.HasPrefix(l.Path, other+".") || strings.HasPrefix(other, l.Path+".") {
						t.Errorf("%s: %s and %s", e.Name, l.Path, other)
					}
				}
				seen[l.Path] = true
				if was := types[l.Path]; was != "" && was != l.Type {
					t.Errorf("%s: %s is %s here and %s elsewhere", e.Name, l.Path, l.Type, was)
				}
				types[l.Path] = l.Type
			}
		}
	}
	names := map[string]bool{}
	for _, s := range append(Streams(ECS, "x"), Streams(OTel, "x")...) {
		if names[s.Name()] && s.Dataset != DeadLetter {
			t.Errorf("two streams %s", s.Name())
		}
		names[s.Name()] = true
	}
}

// ecsVersion is the version of npm's @elastic/ecs that names are checked against.
const ecsVersion = "9.4.0"

// fields of the Elastic Common Schema, by name: from npm, kept in .cache.
func schema(t *testing.T) map[string]string {
	t.Helper()
	dir := filepath.Join("..", "..", ".cache", "ecs", ecsVersion)
	file := filepath.Join(dir, "package", "generated", "ecs_flat.ts")
	if _, err := os.Stat(file); err != nil {
		_ = os.MkdirAll(dir, 0o755)
		res, err := http.Get("https://registry.npmjs.org/@elastic/ecs/-/ecs-" + ecsVersion + ".tgz")
		if err == nil {
			defer res.Body.Close()
			tar := exec.Command("tar", "-xzf", "-", "-C", dir, "package/generated/ecs_flat.ts")
			tar.Stdin = res.Body
			err = tar.Run()
		}
		if err != nil {
			if os.Getenv("MONBAN_REQUIRE_DATA") == "1" {
				t.Fatalf("fetching @elastic/ecs: %v", err)
			}
			t.Skipf("no @elastic/ecs here: %v", err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fields, name := map[string]string{}, ""
	for _, m := range regexp.MustCompile(`(?m)^ {4}(?:flat_name:\s+'([^']+)'|type:\s+'([a-z_]+)')`).FindAllStringSubmatch(string(b), -1) {
		if m[1] != "" {
			name = m[1]
		} else if name != "" {
			fields[name], name = m[2], ""
		}
	}
	if len(fields) < 2000 {
		t.Fatalf("%d fields read of %s", len(fields), file)
	}
	return fields
}

// Every field that is not below monban, labels or metric is one of the Elastic Common Schema, of its type.
func TestNamesAreThoseOfECS(t *testing.T) {
	ecs := schema(t)
	// What is narrower, or wider in what it takes, than the type of ECS, which not every server has.
	like := map[string]string{"constant_keyword": "keyword", "match_only_text": "text", "wildcard": "keyword", "scaled_float": "double", "object": "labels"}
	checked := 0
	for path, typ := range all() {
		if strings.HasPrefix(path, Own+".") || strings.HasPrefix(path, "metric.") {
			continue
		}
		want, ok := ecs[path]
		if !ok {
			t.Errorf("%s is not in ECS", path)
			continue
		}
		if l := like[want]; l != "" {
			want = l
		}
		if path == "event.original" {
			want = "unindexed" // as ECS says in words
		}
		if typ != want {
			t.Errorf("%s is %s, in ECS %s", path, typ, want)
		}
		checked++
	}
	if checked < 60 {
		t.Errorf("only %d fields checked", checked)
	}
	t.Logf("%d fields are those of ECS", checked)
}

func TestClientFailsOver(t *testing.T) {
	var asked atomic.Int32
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer ill.Close()
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[]}`) }))
	defer well.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	c, err := NewClient(http.DefaultClient, []string{gone.URL, ill.URL, well.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := c.Bulk(t.Context(), BulkPath(Server{}), []byte("x"), 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the node that is ill was asked %d times within a second", n)
	}
	well.Close()
	_, err = c.Bulk(t.Context(), BulkPath(Server{}), []byte("x"), 0, nil)
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%v", err)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		header string
		body   string
		says   []string
		wait   time.Duration
	}{
		{429, "7", `{"error":{"type":"es_rejected_execution_exception","reason":"queue is full"},"status":429}`, []string{"429 Too Many Requests", "queue is full"}, 7 * time.Second},
		{429, "99999999", ``, []string{"429"}, time.Hour},
		{401, "", `{"error":{"type":"security_exception","reason":"unable to authenticate user [x]"}}`, []string{"unable to authenticate", "user and password, api_key or token"}, 0},
		{403, "", `{"error":{"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized"}}`, []string{"create_doc"}, 0},
		{404, "", `<html>`, []string{"is this the address of Elasticsearch"}, 0},
		{413, "", ``, []string{"bulk::max_bytes"}, 0},
		{500, "", `{"error":"` + strings.Repeat("x", 2000) + `"}`, []string{"xxx…"}, 0},
		{200, "", `[]`, []string{"not that of Elasticsearch"}, 0},
		{200, "", `{"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, []string{"2 documents", "1 were sent"}, 0},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		client, err := NewClient(http.DefaultClient, []string{s.URL}, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Bulk(t.Context(), BulkPath(Server{}), []byte("x"), 1, nil)
		s.Close()
		if err == nil {
			t.Errorf("%d: no error", c.status)
			continue
		}
		for _, want := range c.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%d does not say %q: %v", c.status, want, err)
			}
		}
		if len(err.Error()) > 900 {
			t.Errorf("%d bytes of error", len(err.Error()))
		}
		var e *Error
		if errors.As(err, &e) && e.RetryAfter != c.wait {
			t.Errorf("%d: waits %s, not %s", c.status, e.RetryAfter, c.wait)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		status      int
		typ, reason string
		want        Verdict
	}{
		{201, "", "", Created},
		{409, "version_conflict_engine_exception", "", Exists},
		{429, "es_rejected_execution_exception", "", Later},
		{429, "cluster_block_exception", "disk usage exceeded flood-stage watermark", Later},
		{403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];", Later},
		{404, "index_not_found_exception", "", Later},
		{503, "unavailable_shards_exception", "", Later},
		{400, "document_parsing_exception", "failed to parse field [source.ip]", Refused},
		{400, "document_parsing_exception", "Preview of field's value: 'shards open'", Refused},
		{400, "illegal_argument_exception", "Limit of total fields [2000] has been exceeded", Refused},
		{400, "illegal_argument_exception", "pipeline with id [geo] does not exist", Later},
		{400, "illegal_argument_exception", "field [x] is not a number: pipeline with id [geo] does not exist", Refused},
		{400, "illegal_state_exception", "Pipeline processor configured for non-existent pipeline [geo]", Later},
		{400, "illegal_argument_exception", "this cluster currently has [1000]/[1000] maximum normal shards open", Later},
		{400, "index_closed_exception", "closed", Later},
	} {
		answer := fmt.Sprintf(`{"errors":true,"items":[{"create":{"status":%d,"error":{"type":%q,"reason":%q}}}]}`, c.status, c.typ, c.reason)
		r, err := ReadResults([]byte(answer), 1, nil)
		if err != nil || r[0].Verdict != c.want {
			t.Errorf("%d %s: %v %v, not %d", c.status, c.typ, r, err, c.want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	for s, ok := range map[string]bool{"default": true, "plant.1": true, "": false, "Plant": false, "a-b": false, "a*": false, strings.Repeat("x", 101): false} {
		if (CheckNamespace(s) == "") != ok {
			t.Errorf("%q: %q", s, CheckNamespace(s))
		}
	}
}

// What a server answers is never more than an error, however wrong it is.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"x","reason":"y","caused_by":{"reason":"z"}}}}]}`), 1)
	f.Add([]byte(`{"error":{"root_cause":[]},"status":400}`), 0)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		results, err := ReadResults(b, n, nil)
		if err == nil && len(results) != n {
			t.Errorf("%d results for %d documents", len(results), n)
		}
		typ, reason := readFault(b)
		_ = (&Error{Status: n, Type: typ, Reason: reason}).Error()
		retryAfter(string(b), time.Unix(0, 0))
		parseVersion(string(b))
	})
}

func TestTemplatesAreJSON(t *testing.T) {
	for _, s := range []Server{{Major: 8, Minor: 0}, {Major: 9, Minor: 1, Lifecycle: ILM}, {Major: 8, Minor: 19, Lifecycle: StreamLifecycle}, {OpenSearch: true, Major: 2, Lifecycle: ISM}} {
		for _, mode := range []Mode{ECS, OTel} {
			contents := map[string]bool{}
			again := Resources(s, mode, Retention)
			for i, r := range Resources(s, mode, Retention) {
				if !json.Valid(r.Body) {
					t.Errorf("%s: %s", r.Path, r.Body)
				}
				contents[r.Path] = true
				if again[i].Path != r.Path || again[i].Content != r.Content {
					t.Errorf("%s is not the same twice", r.Path)
				}
			}
			if n := 2*len(Streams(mode, "x")) + 1; len(contents) < n {
				t.Errorf("%d resources, not %d", len(contents), n)
			}
		}
	}
}
