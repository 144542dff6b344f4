package testbed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestBaselineConfig sends two weeks of a sensor to the real binary, which learns beside it the figures of
// this computer; then it is started again, and the sensor repeats itself. That is reported once.
func TestBaselineConfig(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	r := rand.New(rand.NewPCG(1, 2))
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	temperature := func(from, to time.Duration, stuck bool) pmetric.Metrics {
		md := pmetric.NewMetrics()
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("device.id", "press-7")
		m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("hw.temperature")
		m.SetUnit("Cel")
		points := m.SetEmptyGauge().DataPoints()
		for at := from; at < to; at += 5 * time.Minute {
			dp := points.AppendEmpty()
			dp.SetTimestamp(pcommon.NewTimestampFromTime(begin.Add(at)))
			dp.SetDoubleValue(40 + r.NormFloat64())
			if stuck {
				dp.SetDoubleValue(40.25)
			}
		}
		return md
	}
	session := func(md ...pmetric.Metrics) string {
		cmd := exec.Command(Binary(t), "--config", filepath.Join(Root(), "configs", "baseline.yaml"), "--config",
			"yaml:service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}")
		cmd.Env = append(os.Environ(), "MONBAN_STATE="+dir, "MONBAN_OUT="+filepath.Join(dir, "out"), "OTLP_PORT="+port)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill() }()
		conn, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, m := range md {
			if _, err := pmetricotlp.NewGRPCClient(conn).Export(ctx, pmetricotlp.NewExportRequestFromMetrics(m), grpc.WaitForReady(true)); err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, stderr.String())
		}
		return stderr.String()
	}
	const weeks = 14 * 24 * time.Hour
	if said := session(temperature(0, weeks, false)); said != "" {
		t.Errorf("%s", said)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "out", "reports.ndjson")); err == nil && len(b) > 0 {
		t.Errorf("two benign weeks are reported: %s", b)
	}
	if said := session(temperature(weeks, weeks+time.Hour, true)); said != "" {
		t.Errorf("%s", said)
	}
	for file, want := range map[string][]string{
		"observations": {`"observation.kind":"stuck"`, `"observation.phase":"rise"`, `"device.id":"press-7"`, `"metric.name":"hw.temperature"`, `"metric.unit":"Cel"`, "40.25 Cel again and again"},
		"reports":      {`"report.class":"stuck_sensor"`, `"press-7"`, "T0856"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, "out", file+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s has no %s:\n%s", file, w, b)
			}
		}
	}
}
