//go:build linux

package servers

import (
	"net/http"
	"os"
	"testing"
)

// TestSearch starts each server, writes, kills it and finds again what it wrote.
func TestSearch(t *testing.T) {
	if os.Getenv("MONBAN_LONG") != "1" {
		t.Skip("make test-servers starts each; the tests in testbed/outlets start those that they need")
	}
	for _, v := range SearchVersions() {
		t.Run(v, func(t *testing.T) {
			s := StartSearch(t, SearchOptions{Version: v})
			if err := s.Do(t.Context(), http.MethodPut, "/x/_create/1", map[string]int{"a": 1}, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			all, err := s.All(t.Context(), "x")
			if err != nil || len(all) != 1 || all[0].ID != "1" || string(all[0].Source) != `{"a":1}` {
				t.Errorf("%s %v", all, err)
			}
			if n, err := s.Count(t.Context(), "x,y"); n != 1 || err != nil {
				t.Errorf("%d %v", n, err)
			}
		})
	}
}
