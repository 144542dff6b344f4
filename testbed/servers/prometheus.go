//go:build linux

package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Prometheus is Debian's package prometheus, as it is installed here.
type Prometheus struct {
	*Process
	URL string
}

// StartPrometheus starts one for this test that scrapes these addresses every second.
func StartPrometheus(t testing.TB, targets ...string) *Prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		Need(t, fmt.Errorf("%w: install Debian's package prometheus", err))
	}
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: monban, static_configs: [{targets: ['" + strings.Join(targets, "', '") + "']}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	p := &Prometheus{Process: &Process{Name: "prometheus", wait: time.Minute}, URL: "http://" + listen}
	if p.Log, err = LogFile(t.Name() + "-prometheus"); err != nil {
		t.Fatal(err)
	}
	p.command = func() *exec.Cmd {
		return exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen)
	}
	p.answers = func(ctx context.Context) error {
		_, err := p.Query(ctx, "vector(1)")
		return err
	}
	t.Cleanup(func() { _ = p.Kill() })
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// Query evaluates an expression now, and tells how many series there are.
func (p *Prometheus) Query(ctx context.Context, expr string) (series int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return 0, fmt.Errorf("%s: %.200s", res.Status, b)
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	return len(answer.Data.Result), nil
}
