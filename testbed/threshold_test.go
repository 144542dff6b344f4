package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"
)

// metricsBackend is an OTLP server that remembers the points it gets.
type metricsBackend struct {
	pmetricotlp.UnimplementedGRPCServer
	mu     sync.Mutex
	points []string
}

func (b *metricsBackend) Export(_ context.Context, req pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rm := range req.Metrics().ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				for _, dp := range m.Gauge().DataPoints().All() {
					state, _ := dp.Attributes().Get("state")
					b.points = append(b.points, pointName(m.Name(), state.Str(), int64(dp.Timestamp()), dp.DoubleValue()))
				}
			}
		}
	}
	return pmetricotlp.NewExportResponse(), nil
}

func pointName(metric, state string, t int64, v float64) string {
	return fmt.Sprintf("%s %s %d %v", metric, state, t, v)
}

// scrape is what a host says of itself at one instant.
func scrape(t int64, values map[[2]string]float64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "edge-1")
	sm := rm.ScopeMetrics().AppendEmpty()
	byName := map[string]pmetric.NumberDataPointSlice{}
	for k, v := range values {
		points, ok := byName[k[0]]
		if !ok {
			m := sm.Metrics().AppendEmpty()
			m.SetName(k[0])
			m.SetUnit("1")
			points = m.SetEmptyGauge().DataPoints()
			byName[k[0]] = points
		}
		dp := points.AppendEmpty()
		dp.SetTimestamp(pcommon.Timestamp(t))
		dp.SetDoubleValue(v)
		dp.Attributes().PutStr("state", k[1])
	}
	return md
}

// thresholds is the binary with configs/threshold.yaml.
type thresholds struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	url    string
}

func startThresholds(t *testing.T, dir, backend string) *thresholds {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	p := &thresholds{url: "http://" + address + "/v1/metrics"}
	p.cmd = exec.Command(Binary(t), "--config", filepath.Join(Root(), "configs", "threshold.yaml"),
		"--config", "yaml:{service: {telemetry: {metrics: {level: none, readers: []}}}}")
	p.cmd.Env = append(os.Environ(), "MONBAN_STATE="+filepath.Join(dir, "state"), "MONBAN_OUT="+filepath.Join(dir, "out"), "MONBAN_OTLP="+address,
		"OTLP_ENDPOINT="+backend, "OTLP_INSECURE=true")
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return p
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it does not listen\n%s", p.stderr.String())
		}
	}
}

func (p *thresholds) send(t *testing.T, md pmetric.Metrics) {
	t.Helper()
	body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(p.url, "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %s\n%s", r.Status, p.stderr.String())
	}
}

func (p *thresholds) end(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
}

// TestThresholds runs the real binary: points above 80 % come out at a real backend, those and no
// others, and the rise, the worsening and the fall of an alarm come out as events, at their instants,
// though the binary was stopped and started while the alarm was up.
func TestThresholds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &metricsBackend{}
	server := grpc.NewServer()
	pmetricotlp.RegisterGRPCServer(server, b)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()

	dir := t.TempDir()
	p := startThresholds(t, dir, l.Addr().String())
	begin := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC).UnixNano()
	const every = int64(10e9)
	var want []string
	at := func(i int) int64 { return begin + int64(i)*every }
	for i := range 90 {
		idle := 0.5
		switch {
		case i >= 20 && i < 40: // 80 % busy and more, from 200 s on
			idle = 0.1
		case i >= 40 && i < 60: // 98 %
			idle = 0.02
		}
		used := float64(i*37%100) / 100
		values := map[[2]string]float64{
			{"system.cpu.utilization", "idle"}: idle, {"system.cpu.utilization", "user"}: 1 - idle,
			{"system.memory.utilization", "used"}: used, {"system.memory.utilization", "free"}: 1 - used,
			{"system.filesystem.utilization", ""}: 0.8 + float64(i%2)/100,
		}
		for k, v := range values {
			filtered := k == [2]string{"system.memory.utilization", "used"} || k[0] == "system.filesystem.utilization"
			if !filtered || v > 0.8 {
				want = append(want, pointName(k[0], k[1], at(i), v))
			}
		}
		p.send(t, scrape(at(i), values))
		if i == 45 {
			p.end(t)
			p = startThresholds(t, dir, l.Addr().String())
		}
	}
	p.end(t)

	b.mu.Lock()
	slices.Sort(b.points)
	slices.Sort(want)
	if !slices.Equal(b.points, want) {
		t.Errorf("%d points came out, want %d", len(b.points), len(want))
	}
	b.mu.Unlock()

	text, err := os.ReadFile(filepath.Join(dir, "out", "observations.ndjson"))
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
	type event struct {
		Phase    string   `json:"observation.phase"`
		Rule     string   `json:"observation.rule"`
		Severity string   `json:"observation.severity"`
		Value    float64  `json:"observation.value"`
		Low      float64  `json:"observation.low"`
		Peak     float64  `json:"observation.peak"`
		Duration float64  `json:"observation.duration"`
		Time     string   `json:"timestamp"`
		Device   string   `json:"device.id"`
		Entity   []string `json:"observation.entity"`
		ID       string   `json:"observation.id"`
		Summary  string   `json:"observation.summary"`
	}
	var got []string
	ids := map[string]bool{}
	for line := range bytes.Lines(text) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Rule != "cpu-busy" {
			continue
		}
		ids[e.ID] = true
		if e.Device != "edge-1" || e.Summary == "" || len(e.Entity) == 0 {
			t.Errorf("%s", line)
		}
		when, err := time.Parse(time.RFC3339Nano, e.Time)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s at %v: %v, bound %v, for %vs, worst %v", e.Phase, e.Severity, when.Sub(time.Unix(0, begin)), e.Value, e.Low, e.Duration, e.Peak))
	}
	expected := []string{
		"rise warn at 5m20s: 0.1, bound 0.2, for 120s, worst 0.1",
		"change critical at 8m40s: 0.02, bound 0.05, for 320s, worst 0.02",
		"fall critical at 11m0s: 0.5, bound 0.05, for 460s, worst 0.02",
	}
	if !slices.Equal(got, expected) {
		t.Errorf("events\n%q\nwant\n%q\n%s", got, expected, p.stderr.String())
	}
	if len(ids) != 1 {
		t.Errorf("the events of one alarm have the ids %v", ids)
	}
	if reports, err := os.ReadFile(filepath.Join(dir, "out", "reports.ndjson")); err != nil || !bytes.Contains(reports, []byte(`"report.class":"threshold"`)) {
		t.Errorf("no report of the class threshold: %v\n%s", err, reports)
	}
}
