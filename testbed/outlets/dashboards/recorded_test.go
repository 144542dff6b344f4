//go:build linux

package dashboards

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed/servers"
)

// What takes days to learn is not in the demo. So ten days are sent by OTLP in some seconds: the flows of
// two devices, whose traffic moves to another level on the last day; the idle share of a processor, which is
// busy now and then; and a temperature, which leaves what it learned. Time is that of the data.
const history = `
receivers:
  otlp: {protocols: {http: {endpoint: '%s'}}}
processors:
  baseline/history:
  baseline/figures:
  filter/history: {log_conditions: ['log.event_name == "network.flow"']} # the demo's are enough
connectors:
  threat/figures:
  threshold:
    rules:
      - name: cpu-busy
        metric: system.cpu.utilization
        per: [host.name]
        steps:
          - {severity: warn, below: 0.2, clear: 0.3}
          - {severity: critical, below: 0.05, clear: 0.15}
        for: 2m
      - name: cpu-restless
        metric: system.cpu.utilization
        per: [host.name]
        below: 0.5
        flapping: {changes: 4, within: 60m}
service:
  pipelines:
    logs/history: {receivers: [otlp], processors: [baseline/history, filter/history], exporters: [elasticsearch]}
    metrics/rules: {receivers: [otlp], exporters: [threshold]}
    metrics/learned: {receivers: [otlp], processors: [baseline/figures], exporters: [threat/figures]}
    logs/observations: {receivers: [threshold, threat/figures], exporters: [elasticsearch]}
`

// watched is what the host tells of its security, with a file that must stay and a log of log-ins of the test's own.
const watched = `
receivers:
  host:
    posture:
      device_id: '02:00:00:00:00:01'
      off: [setuid] # a walk of the disks
      files: ['%[1]s/settings']
      auth_logs: ['%[1]s/auth.log']
connectors:
  threat/host:
service:
  pipelines:
    logs/posture: {receivers: [host], exporters: [threat/host, elasticsearch]}
    logs/host: {receivers: [threat/host], exporters: [elasticsearch]}
`

const days = 10

// record sends the ten days.
func record(t *testing.T, address string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	epoch := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	for h := range days*24 + 3 {
		logs, metrics := plog.NewLogs(), pmetric.NewMetrics()
		records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		rm := metrics.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("host.name", "oven-1")
		gauge := func(name, unit string) pmetric.NumberDataPointSlice {
			m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
			m.SetName(name)
			m.SetUnit(unit)
			return m.SetEmptyGauge().DataPoints()
		}
		idle, oven := gauge("system.cpu.utilization", "1"), gauge("hw.temperature", "Cel")
		for m := range 60 {
			at := epoch.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
			r := flow.Record{ID: 9, Start: at.UnixNano(), Since: at.UnixNano(), End: at.UnixNano(), Net: packet.NetIPv4, Proto: packet.ProtoTCP, State: "SF", Reason: flow.Ended, Service: "mqtt",
				Src: side(1, 40000, device), Dst: side(2, 1883, "02:00:00:00:00:02")}
			r.Src.Bytes += uint64(rng.IntN(40))
			if h >= days*24 {
				r.Src.Bytes *= 100
			}
			logrecord.Append(records, flow.Fields, r.End, &r)

			p := idle.AppendEmpty()
			p.SetTimestamp(pcommon.NewTimestampFromTime(at))
			p.Attributes().PutStr("cpu.mode", "idle")
			switch value := 0.9 - 0.05*rng.Float64(); {
			case h%24 == 6 && m < 10: // a busy time, and within it a busier one
				p.SetDoubleValue(max(0, 0.15-0.03*float64(m)))
			case h%48 == 20 && m%4 < 2: // restless
				p.SetDoubleValue(0.4)
			default:
				p.SetDoubleValue(value)
			}
			p = oven.AppendEmpty()
			p.SetTimestamp(pcommon.NewTimestampFromTime(at))
			p.Attributes().PutStr("hw.id", "oven")
			value := 180 + 15*math.Sin(2*math.Pi*float64(h*60+m)/1440) + rng.NormFloat64()
			switch {
			case h == 8*24+4 && m >= 30 && m < 33:
				value += 60
			case h >= days*24:
				value += 40
			}
			p.SetDoubleValue(value)
		}
		body, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
		if err == nil {
			err = post(address, "logs", body)
		}
		if err == nil {
			body, err = pmetricotlp.NewExportRequestFromMetrics(metrics).MarshalProto()
		}
		if err == nil {
			err = post(address, "metrics", body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func side(n byte, port uint16, device string) flow.End {
	return flow.End{Addr: netip.AddrFrom4([4]byte{10, 9, 0, n}), Port: port, Device: device, TTLMin: 64, TTLMax: 64, Packets: 5, Bytes: 5000}
}

func post(address, signal string, body []byte) error {
	res, err := http.Post("http://"+address+"/v1/"+signal, "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("sending %s: %s", signal, res.Status)
	}
	return nil
}

// change changes what must stay and lets log-ins fail, once the first look at the host was told.
func change(t *testing.T, s *servers.Search, dir string) {
	t.Helper()
	await(t, s, "logs-monban.posture-"+namespace, "*", 1)
	if err := os.WriteFile(filepath.Join(dir, "settings"), []byte("PermitRootLogin yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "auth.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for n := range 30 {
		_, err := fmt.Fprintf(log, "%s edge sshd[%d]: Failed password for root from 10.9.0.66 port %d ssh2\n", time.Now().Format(time.Stamp), 400+n, 40000+n)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// await waits for n documents that a query finds.
func await(t *testing.T, s *servers.Search, index, query string, n int) {
	t.Helper()
	body := map[string]any{"size": 0, "track_total_hits": true, "query": map[string]any{"query_string": map[string]any{"query": query}}}
	for begun := time.Now(); ; time.Sleep(time.Second) {
		var a answer
		err := s.Do(t.Context(), http.MethodPost, "/"+index+"/_search?ignore_unavailable=true&allow_no_indices=true", body, &a)
		if err == nil && a.Hits.Total.Value >= n {
			return
		}
		if time.Since(begun) > 3*time.Minute {
			t.Fatalf("%d documents of %s came in %s, not %d: %v", a.Hits.Total.Value, query, index, n, err)
		}
	}
}
