//go:build linux

package search

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/testbed/servers"
)

// renewedTemplate finds an older version of a template there, which is renewed and gives the data
// stream a new index, and then a later one, which is left alone. What is as it should be is not touched.
func renewedTemplate(t *testing.T, s *servers.Search, ns string) {
	c, err := elastic.NewClient(http.DefaultClient, []string{s.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	server, err := c.Identify(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if server.OpenSearch != s.OpenSearch() || !strings.Contains(s.Name, strings.ToLower(strings.Split(server.String(), " ")[0])) {
		t.Errorf("%s is taken for %s", s.Name, server)
	}
	install := func() []string {
		t.Helper()
		did, err := c.Install(ctx, server, elastic.ECS, elastic.Retention, ns)
		if err != nil || len(did.Kept) > 0 {
			t.Fatal(did.Kept, err)
		}
		return did.Changed
	}
	install()
	if changed := install(); len(changed) != 0 {
		t.Errorf("installed again: %v", changed)
	}
	stream := "logs-monban.flow-" + ns
	body := []byte(`{"create":{"_index":"` + stream + `","_id":"1"}}` + "\n" + `{"@timestamp":"2026-02-03T04:05:06.000000007Z","source":{"ip":"10.0.0.1"}}` + "\n")
	if r, err := c.Bulk(ctx, elastic.BulkPath(server), body, 1, nil); err != nil || r[0].Verdict != elastic.Created {
		t.Fatalf("%v %v", r, err)
	}
	if r, err := c.Bulk(ctx, elastic.BulkPath(server), body, 1, nil); err != nil || r[0].Verdict != elastic.Exists {
		t.Fatalf("%v %v", r, err)
	}
	const path = "/_component_template/logs-monban.flow@mappings"
	mark := func(version int) {
		t.Helper()
		for _, r := range elastic.Resources(server, elastic.ECS, elastic.Retention) {
			if r.Path != path {
				continue
			}
			var v map[string]any
			if err := json.Unmarshal(r.Body, &v); err != nil {
				t.Fatal(err)
			}
			v["_meta"] = map[string]any{"managed_by": "monban", "version": version, "content": "other"}
			if err := s.Do(ctx, http.MethodPut, path, v, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	mark(elastic.TemplateVersion - 1)
	if changed := install(); !slices.Contains(changed, path) || !slices.Contains(changed, stream) {
		t.Errorf("an older template: %v changed", changed)
	}
	mark(elastic.TemplateVersion + 1)
	if changed := install(); len(changed) != 0 {
		t.Errorf("a later template: %v changed", changed)
	}
	mark(elastic.TemplateVersion - 1)
	install()
	all, err := s.All(ctx, stream)
	if err != nil || len(all) != 1 || all[0].ID != "1" {
		t.Errorf("%v %v", all, err)
	}
}
