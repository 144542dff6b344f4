package testbed

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gateway is the binary with configs/probes.yaml, its ports on loopback.
type gateway struct {
	*Authority
	cmd                            *exec.Cmd
	stderr                         bytes.Buffer
	out                            string
	http, token, manifest, metrics string
}

func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (g *gateway) register(t *testing.T, probes string) {
	t.Helper()
	if err := os.WriteFile(g.File("new"), []byte("probes:"+probes), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(g.File("new"), g.File("probes.yaml")); err != nil {
		t.Fatal(err)
	}
}

// records is one record in OTLP's JSON that says it is of somebody else.
func records(id string) string {
	return `{"resourceLogs": [{"resource": {"attributes": [{"key": "probe.name", "value": {"stringValue": "liar"}}]}, "scopeLogs": [{"logRecords": [
	{"eventName": "network.flow", "timeUnixNano": "1760000000000000000", "attributes": [{"key": "flow.id", "value": {"stringValue": "` + id + `"}},
	{"key": "source.address", "value": {"stringValue": "10.0.0.5"}}, {"key": "destination.address", "value": {"stringValue": "10.0.0.6"}},
	{"key": "probe.name", "value": {"stringValue": "liar"}}, {"key": "probe.trust", "value": {"stringValue": "trusted"}}]}]}]}]}`
}

// post sends as a script would.
func (g *gateway) post(t *testing.T, to string, with *Pair, token, id string) int {
	t.Helper()
	ca, err := os.ReadFile(g.File("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots}
	if with != nil {
		c, err := tls.LoadX509KeyPair(with.Cert, with.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{c}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: time.Minute}
	req, err := http.NewRequest(http.MethodPost, "https://"+to+"/v1/logs", strings.NewReader(records(id)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

// line waits for an event with this value below out, and gives it.
func (g *gateway) line(t *testing.T, file, key, value string) map[string]any {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(filepath.Join(g.out, file))
		for l := range bytes.Lines(b) {
			var m map[string]any
			if json.Unmarshal(l, &m) == nil && fmt.Sprint(m[key]) == value {
				return m
			}
		}
	}
	t.Fatalf("no %s=%s in %s\n%s", key, value, file, g.stderr.String())
	return nil
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProbesConfig runs the gateway with real certificates, probes, strangers and a device, and takes a probe's
// trust away while it runs.
func TestProbesConfig(t *testing.T) {
	device := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ac": {"power": 1520, "energy": 7, "state": "running"}, "phases": [{"name": "L1", "voltage": 230.5}], "alarms": [{"code": 7, "text": "fan"}]}`)
	}))
	defer device.Close()
	dir := t.TempDir()
	g := &gateway{Authority: NewAuthority(t), out: filepath.Join(dir, "out"), http: freeTCP(t), token: freeTCP(t), manifest: freeTCP(t), metrics: freeTCP(t)}
	until := time.Now().Add(time.Hour)
	g.Sign(t, "server", until)
	plc, stranger, old := g.Sign(t, "plc", until), g.Sign(t, "stranger", until), g.Sign(t, "old", time.Now().Add(-time.Minute))
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	hub := "\n  - {name: hub, tokens: ['" + hash("hub-token") + "']}\n"
	g.register(t, "\n  - {name: plc, certificates: ['dns:plc'], tokens: ['"+hash("plc-token")+"']}"+hub)

	g.cmd = exec.Command(Binary(t), "--config", filepath.Join(Root(), "configs", "probes.yaml"), "--config",
		"yaml:{receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '"+g.http+"'}}}, otlp/token: {protocols: {http: {endpoint: '"+g.token+"'}}}, "+
			"http_json/inverters: {interval: 1s, targets: [{name: inverter-1, endpoint: '"+device.URL+"', timeout: 1s}]}}, "+
			"exporters: {prometheus: {endpoint: '"+g.metrics+"'}}, extensions: {manifest: {endpoint: '"+g.manifest+"'}}, service: {telemetry: {metrics: {level: none, readers: []}}}}")
	g.cmd.Env = append(os.Environ(), "MONBAN_STATE="+filepath.Join(dir, "state"), "MONBAN_OUT="+g.out, "MONBAN_REGISTRY="+g.File("probes.yaml"), "MONBAN_TLS="+filepath.Dir(g.File("x")))
	g.cmd.Stderr = &g.stderr
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.cmd.Process.Kill() })
	for begun := time.Now(); get(t, "http://"+g.manifest+"/manifest") == ""; time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it does not answer\n%s", g.stderr.String())
		}
	}
	for begun := time.Now(); g.post(t, g.token, nil, "hub-token", "hub-1") != 200; time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it does not listen\n%s", g.stderr.String())
		}
	}
	expect := func(file, id, name, trust, why string) {
		t.Helper()
		m := g.line(t, file, "flow.id", id)
		if got := fmt.Sprint(m["probe.name"], " ", m["probe.trust"], " ", m["probe.reason"]); got != name+" "+trust+" "+why {
			t.Errorf("%s: %s", id, got)
		}
	}
	expect("flows.ndjson", "hub-1", "hub", "trusted", "<nil>")
	for _, c := range []struct {
		id, token string
		with      *Pair
		code      int
	}{
		{"plc-1", "plc-token", &plc, 200}, {"half-1", "", &plc, 200}, {"stranger-1", "", &stranger, 200}, {"stolen-1", "plc-token", &stranger, 200},
		{"old-1", "plc-token", &old, 0}, {"none-1", "plc-token", nil, 0},
	} {
		if code := g.post(t, g.http, c.with, c.token, c.id); code != c.code {
			t.Errorf("%s: %d, want %d", c.id, code, c.code)
		}
	}
	expect("flows.ndjson", "plc-1", "plc", "trusted", "<nil>")
	expect("quarantine/flows.ndjson", "half-1", "<nil>", "quarantined", "token_missing")
	expect("quarantine/flows.ndjson", "stranger-1", "<nil>", "quarantined", "unknown_certificate")
	expect("quarantine/flows.ndjson", "stolen-1", "<nil>", "quarantined", "unknown_certificate")

	alarm := g.line(t, "other.ndjson", "event", "device.alarm")
	if alarm["probe.name"] != "gateway" || alarm["body"] != "fan" || alarm["device.alarm.code"] != 7.0 || fmt.Sprint(alarm["probe.vouched_by"]) != "[configuration]" {
		t.Errorf("%v", alarm)
	}
	page := get(t, "http://"+g.metrics+"/metrics")
	for _, want := range []string{"inverter_power_watts{", `inverter_phase="L1"`, "inverter_energy_Wh_total", `probe_name="gateway"`, "} 1520"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
	if o := g.line(t, "orchestrator.ndjson", "event", "collector.orchestrator"); o["otelcol.health"] != "ok" {
		t.Errorf("%v", o)
	}

	// The registry forgets the probe; nothing is started again.
	g.register(t, hub)
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		g.post(t, g.http, &plc, "plc-token", "plc-2")
		if b, _ := os.ReadFile(filepath.Join(g.out, "quarantine", "flows.ndjson")); bytes.Contains(b, []byte("plc-2")) {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal("it is still known")
		}
	}
	expect("quarantine/flows.ndjson", "plc-2", "<nil>", "quarantined", "unknown_token")
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, g.stderr.String())
	}
	if counts := obey(t, g.out); counts["collector.processor_manifest"] == 0 || counts["collector.data_source"] == 0 || counts["collector.pipeline"] == 0 {
		t.Errorf("%v", counts)
	}
	err := filepath.WalkDir(g.out, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("liar")) || bytes.Contains(b, []byte("-token\"")) {
			t.Errorf("%s has what a sender claimed, or a token", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
