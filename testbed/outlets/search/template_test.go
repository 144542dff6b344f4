//go:build linux

package search

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

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
	retention, kept := elastic.Retention, []string(nil)
	install := func() []string {
		t.Helper()
		did, err := c.Install(ctx, server, elastic.ECS, retention, ns)
		if err != nil {
			t.Fatal(err)
		}
		kept = did.Kept
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
	if server.Lifecycle == elastic.StreamLifecycle {
		keptFor := func() string {
			t.Helper()
			var list struct {
				Streams []struct {
					Lifecycle struct {
						Retention string `json:"data_retention"`
					} `json:"lifecycle"`
				} `json:"data_streams"`
			}
			if err := s.Do(ctx, http.MethodGet, "/_data_stream/"+stream+"/_lifecycle", nil, &list); err != nil || len(list.Streams) != 1 {
				t.Fatalf("%v %v", list, err)
			}
			return list.Streams[0].Lifecycle.Retention
		}
		if got := keptFor(); got != "90d" {
			t.Errorf("kept for %s", got)
		}
		retention = 30 * 24 * time.Hour
		if install(); keptFor() != "30d" || len(kept) > 0 {
			t.Errorf("kept for %s after retention was changed to 30d: %v", keptFor(), kept)
		}
		if err := s.Do(ctx, http.MethodPut, "/_data_stream/"+stream+"/_lifecycle", map[string]any{"data_retention": "7d"}, nil); err != nil {
			t.Fatal(err)
		}
		retention = 60 * 24 * time.Hour
		for range 2 {
			if install(); keptFor() != "7d" || len(kept) != 1 || !strings.Contains(kept[0], "The retention of "+stream+" is not") {
				t.Errorf("kept for %s after somebody changed it to 7d: %v", keptFor(), kept)
			}
		}
	} else {
		t.Logf("%s has no lifecycle of data streams", server)
	}
	all, err := s.All(ctx, stream)
	if err != nil || len(all) != 1 || all[0].ID != "1" {
		t.Errorf("%v %v", all, err)
	}
}
