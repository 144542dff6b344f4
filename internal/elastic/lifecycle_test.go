package elastic

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is put on servers has one version: a server with a later one keeps it, so a change without a new
// version would go to and fro between two Monbans of which each has its own.
func TestTemplateVersionRises(t *testing.T) {
	h := sha256.New()
	for _, s := range []Server{{Major: 8}, {Major: 8, Minor: 14, Lifecycle: ILM}, {Major: 9, Minor: 1, Lifecycle: StreamLifecycle}, {OpenSearch: true, Major: 2}, {OpenSearch: true, Major: 3, Lifecycle: ISM}} {
		for _, mode := range []Mode{ECS, OTel} {
			for _, r := range Resources(s, mode, Retention) {
				fmt.Fprintln(h, r.Path, r.Content)
			}
		}
	}
	if sum := hex.EncodeToString(h.Sum(nil)[:6]); sum != templateSums[TemplateVersion-1] {
		t.Errorf("a mapping, a template or a policy has changed: raise TemplateVersion by appending %q to templateSums, then go generate ./internal/elastic", sum)
	}
	seen := map[string]bool{}
	for _, s := range templateSums {
		if seen[s] {
			t.Errorf("%s is the sum of two versions", s)
		}
		seen[s] = true
	}
}

// lifecycleServer has lifecycle policies as the documentation of both servers shows them; the packages that
// real servers are tested with have none.
type lifecycleServer struct {
	*httptest.Server
	openSearch bool
	policy     map[string]any // as it was put there, below "policy"; nil for none
	seq        int
	stale      bool // somebody else is faster
	status     int  // of change_policy
	log        []string
}

func newLifecycleServer(t *testing.T, openSearch bool) *lifecycleServer {
	s := &lifecycleServer{openSearch: openSearch, status: 200}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *lifecycleServer) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_, _ = w.Write(encode(v))
	}
	isPolicy := r.URL.Path == "/_ilm/policy/monban" || r.URL.Path == "/_plugins/_ism/policies/monban"
	if isPolicy || strings.Contains(r.URL.Path, "change_policy") {
		s.log = append(s.log, r.Method+" "+r.URL.String())
	}
	switch {
	case isPolicy && r.Method == http.MethodGet && s.policy == nil:
		answer(404, object{"error": object{"type": "resource_not_found_exception", "reason": "Lifecycle policy not found: monban"}, "status": 404})
	case isPolicy && r.Method == http.MethodGet && s.openSearch:
		var p map[string]any // with what the server adds
		_ = json.Unmarshal(encode(s.policy), &p)
		p["policy_id"], p["last_updated_time"], p["schema_version"], p["error_notification"] = "monban", 1577990934044, 1, nil
		for _, state := range p["states"].([]any) {
			for _, action := range state.(map[string]any)["actions"].([]any) {
				a := action.(map[string]any)
				a["retry"] = object{"count": 3, "backoff": "exponential", "delay": "1m"}
				if rollover, ok := a["rollover"].(map[string]any); ok {
					rollover["copy_alias"] = false
				}
			}
		}
		for _, template := range p["ism_template"].([]any) {
			template.(map[string]any)["last_updated_time"] = 1577990934044
		}
		answer(200, object{"_id": "monban", "_version": s.seq + 1, "_seq_no": s.seq, "_primary_term": 1, "policy": p})
	case isPolicy && r.Method == http.MethodGet:
		var p map[string]any
		_ = json.Unmarshal(encode(s.policy), &p)
		if end, ok := p["phases"].(map[string]any)["delete"].(map[string]any); ok {
			end["actions"].(map[string]any)["delete"] = object{"delete_searchable_snapshot": true}
		}
		answer(200, object{"monban": object{"version": s.seq, "modified_date": "2026-02-03T04:05:06.000Z", "policy": p,
			"in_use_by": object{"indices": []string{}, "data_streams": []string{}, "composable_templates": []string{}}}})
	case isPolicy:
		if q := r.URL.Query(); s.openSearch && s.policy != nil && (s.stale || q.Get("if_seq_no") != fmt.Sprint(s.seq) || q.Get("if_primary_term") != "1") {
			s.stale = false
			answer(409, object{"error": object{"type": "version_conflict_engine_exception", "reason": "[monban]: version conflict"}, "status": 409})
			return
		}
		b, _ := io.ReadAll(r.Body)
		var body struct{ Policy map[string]any }
		_ = json.Unmarshal(b, &body)
		s.policy = body.Policy
		s.seq++
		answer(200, object{"acknowledged": true})
	case strings.Contains(r.URL.Path, "change_policy"):
		answer(s.status, object{"updated_indices": 2, "failures": false, "failed_indices": []any{}})
	case r.Method == http.MethodGet: // templates, of which there are none
		answer(404, object{"error": object{"type": "resource_not_found_exception", "reason": "none"}, "status": 404})
	default:
		answer(200, object{"acknowledged": true})
	}
}

func TestLifecycleIsRenewed(t *testing.T) {
	for _, openSearch := range []bool{false, true} {
		server := Server{Major: 9, Minor: 1, Lifecycle: ILM}
		if openSearch {
			server = Server{OpenSearch: true, Major: 3, Lifecycle: ISM}
		}
		t.Run(server.String(), func(t *testing.T) {
			s := newLifecycleServer(t, openSearch)
			c, err := NewClient(http.DefaultClient, []string{s.URL}, "")
			if err != nil {
				t.Fatal(err)
			}
			path := Resources(server, ECS, Retention)[0].Path
			// install tells whether the policy was changed, and what was left alone
			install := func(retention time.Duration) (changed bool, kept []string) {
				t.Helper()
				s.log = nil
				did, err := c.Install(t.Context(), server, ECS, retention, "default")
				if err != nil {
					t.Fatal(err)
				}
				return slices.Contains(did.Changed, path), did.Kept
			}
			end := func() string {
				b := string(encode(s.policy))
				for _, d := range []string{"90d", "30d", "7d\"},\"state_name", "12h"} {
					if strings.Contains(b, `"`+d) {
						return d
					}
				}
				return ""
			}
			expect := func(what string, retention time.Duration, changed bool, kept int, want string) {
				t.Helper()
				got, list := install(retention)
				if got != changed || len(list) != kept || end() != want {
					t.Errorf("%s: changed %t, kept %q, ends after %q; want %t, %d, %q\n%s", what, got, list, end(), changed, kept, want, encode(s.policy))
				}
			}
			const day = 24 * time.Hour
			expect("none", 90*day, true, 0, "90d")
			expect("as it should be", 90*day, false, 0, "90d")
			expect("another retention", 30*day, true, 0, "30d")
			if openSearch && !slices.Contains(s.log, "POST /_plugins/_ism/change_policy/logs-monban.*,metrics-monban.*") {
				t.Errorf("indices that are there were left with the old policy: %q", s.log)
			}
			expect("for ever", 0, true, 0, "")
			expect("no longer", 12*time.Hour, true, 0, "12h")

			if openSearch {
				s.status = 403
				_, kept := install(30 * day)
				if len(kept) != 1 || !strings.Contains(kept[0], "change_policy") || end() != "30d" {
					t.Errorf("%q %q", kept, end())
				}
				s.status = 200
				s.stale = true
				if _, err := c.Install(t.Context(), server, ECS, 90*day, "default"); err == nil || end() != "30d" {
					t.Errorf("another's change was written over: %v", err)
				}
			}
			expect("once more", 90*day, true, 0, "90d")

			// somebody changes it by hand, and our mark stays
			b := string(encode(s.policy))
			ours := s.policy
			s.policy = nil
			_ = json.Unmarshal([]byte(strings.Replace(b, "20gb", "50gb", 1)), &s.policy)
			expect("changed by hand", 90*day, false, 1, "90d")
			expect("changed by hand, another retention", 30*day, false, 1, "90d")
			_, kept := install(30 * day)
			if !strings.Contains(kept[0], path) || !strings.Contains(kept[0], "docs/elasticsearch") {
				t.Errorf("%q", kept)
			}
			s.policy = ours
			expect("handed back", 30*day, true, 0, "30d")

			// one of somebody else's, without a mark
			b = string(encode(s.policy))
			s.policy = nil
			_ = json.Unmarshal([]byte(strings.NewReplacer(`"managed_by":"monban"`, `"x":1`, "Monban:", "Ours:").Replace(b)), &s.policy)
			expect("of others, the same", 30*day, false, 0, "30d")
			expect("of others, another", 90*day, false, 1, "30d")

			// one of a later version
			s.policy = nil
			later := strings.NewReplacer(fmt.Sprintf(`"version":%d`, TemplateVersion), `"version":9999`, fmt.Sprintf("(version %d,", TemplateVersion), "(version 9999,").Replace(b)
			_ = json.Unmarshal([]byte(later), &s.policy)
			expect("of a later version", 90*day, false, 0, "30d")
		})
	}
}

// Data streams with a lifecycle of their own, as Elasticsearch has where it has no policies: those that are there
// get the retention of their renewed template.
func TestStreamsAreKeptAsAsked(t *testing.T) {
	kept := map[string]string{"logs-monban.flow-default": "90d", "logs-monban.report-default": "7d", "logs-monban.flow-other": "1d", "logs-monban.x-default": "1d"}
	templates := map[string]map[string]any{}
	absent := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var body map[string]any
		_ = json.Unmarshal(b, &body)
		name, lifecycle := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/_data_stream/"), "/_lifecycle")
		switch {
		case lifecycle && absent:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"no handler found for uri"}`)
		case lifecycle && r.Method == http.MethodGet:
			var list []any
			for n, d := range kept {
				l := object{"enabled": true}
				if d != "" {
					l["data_retention"] = d
				}
				list = append(list, object{"name": n, "lifecycle": l})
			}
			_, _ = w.Write(encode(object{"data_streams": list}))
		case lifecycle:
			kept[name], _ = body["data_retention"].(string)
		case r.Method == http.MethodGet:
			var list []any
			kind := strings.Split(r.URL.Path, "/")[1]
			for path, body := range templates {
				if n, ok := strings.CutPrefix(path, "/"+kind+"/"); ok {
					list = append(list, object{"name": n, strings.TrimPrefix(kind, "_"): body})
				}
			}
			_, _ = w.Write(encode(object{strings.TrimPrefix(kind, "_") + "s": list}))
		case r.Method == http.MethodPut:
			templates[r.URL.Path] = body
		}
	}))
	defer s.Close()
	server := Server{Major: 9, Minor: 1, Lifecycle: StreamLifecycle}
	install := func(retention time.Duration) Installed {
		t.Helper()
		c, err := NewClient(http.DefaultClient, []string{s.URL}, "") // a new one, as at each start
		if err != nil {
			t.Fatal(err)
		}
		did, err := c.Install(t.Context(), server, ECS, retention, "default")
		if err != nil {
			t.Fatal(err)
		}
		return did
	}
	const day = 24 * time.Hour
	for _, step := range []struct {
		retention time.Duration
		flow      string
	}{{90 * day, "90d"}, {30 * day, "30d"}, {0, ""}, {12 * time.Hour, "12h"}, {12 * time.Hour, "12h"}} {
		did := install(step.retention)
		if kept["logs-monban.flow-default"] != step.flow || kept["logs-monban.report-default"] != "7d" || kept["logs-monban.flow-other"] != "1d" || kept["logs-monban.x-default"] != "1d" {
			t.Errorf("%s: %v", step.retention, kept)
		}
		if len(did.Kept) != 1 || !strings.HasPrefix(did.Kept[0], "The retention of logs-monban.report-default is not") {
			t.Errorf("%s: said %q", step.retention, did.Kept)
		}
	}
	absent = true
	if did := install(30 * day); len(did.Kept) > 0 {
		t.Errorf("%q", did.Kept)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"monban":{"version":1,"policy":{"phases":{"hot":{}},"_meta":{"managed_by":"monban","version":1,"content":"ab"}}}}`))
	f.Add([]byte(`{"_seq_no":1,"_primary_term":1,"policy":{"description":"Monban: x (version 1, content ab)","states":[]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPolicy(b)
		if err == nil && p.now == "" {
			t.Errorf("%s has no content", b)
		}
	})
}
