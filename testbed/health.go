package testbed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// Unwell lists what the manifest of a process at address (host:port) calls not ok, each as kind:id=health.
func Unwell(address string) ([]string, error) {
	res, err := scraper.Get("http://" + address + "/manifest")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the manifest's answer is %s", res.Status)
	}
	var m struct {
		Orchestrator struct {
			Unwell []string `json:"orchestrator.unwell"`
		} `json:"orchestrator"`
	}
	err = json.NewDecoder(res.Body).Decode(&m)
	return m.Orchestrator.Unwell, err
}

// WaitUnwell waits until the manifest calls these not ok and nothing else, for two minutes at most.
func WaitUnwell(t testing.TB, address string, want ...string) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		got, err := Unwell(address)
		if err == nil && slices.Equal(got, want) {
			return
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("the manifest says %q (%v), want %q", got, err, want)
		}
	}
}
