package probeauthextension

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/monban/monban/extension/probeauthextension/internal/metadata"
	"github.com/monban/monban/extension/probeauthextension/internal/metadatatest"
	"github.com/monban/monban/processor/probeprocessor"
	"github.com/monban/monban/testbed"
)

// host has one extension, and keeps what components report of their health.
type host struct {
	ext      component.Component
	statuses []componentstatus.Status
}

func (h *host) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.NewID(metadata.Type): h.ext}
}

func (h *host) Report(e *componentstatus.Event) {
	if e.Status() != componentstatus.StatusStarting {
		h.statuses = append(h.statuses, e.Status())
	}
}

// gate is a real OTLP receiver over TLS, this extension, the processor behind it, and what came through.
type gate struct {
	*testbed.Authority
	host       *host
	ext        *probeAuth
	registry   string
	grpc, http string
	sink       *consumertest.LogsSink
	logs       *observer.ObservedLogs
	tel        *componenttest.Telemetry
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// standard knows four probes, each in its own way.
func standard() string {
	return `
probes:
  - {name: by-certificate, certificates: ["dns:plc-a"]}
  - {name: by-token, tokens: ["` + hashed("token-1") + `"]}
  - {name: by-both, certificates: ["dns:plc-b"], tokens: ["` + hashed("token-b") + `"]}
  - {name: banned, tokens: ["` + hashed("token-x") + `"], disabled: true}
`
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o640))
	require.NoError(t, os.Rename(path+".new", path))
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func config(t *testing.T, cfg component.Config, yaml string) {
	t.Helper()
	r, err := confmap.NewRetrievedFromYAML([]byte(yaml))
	require.NoError(t, err)
	conf, err := r.AsConf()
	require.NoError(t, err)
	require.NoError(t, conf.Unmarshal(cfg))
}

// open starts a gate. how is the part of the receiver's protocols that names the extension.
func open(t *testing.T, unknown, how, clientCA string) *gate {
	t.Helper()
	g := &gate{Authority: testbed.NewAuthority(t), sink: new(consumertest.LogsSink), tel: componenttest.NewTelemetry()}
	t.Cleanup(func() { require.NoError(t, g.tel.Shutdown(context.Background())) })
	g.registry = g.File("probes.yaml")
	replace(t, g.registry, standard())
	core, logs := observer.New(zap.DebugLevel)
	g.logs = logs
	set := extension.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: g.tel.NewTelemetrySettings()}
	set.Logger = zap.New(core)
	cfg := createDefaultConfig().(*Config)
	cfg.Registry, cfg.Unknown, cfg.ReloadInterval = g.registry, unknown, time.Hour // the tests look themselves
	require.NoError(t, cfg.Validate())
	ext, err := newProbeAuth(cfg, set)
	require.NoError(t, err)
	g.ext, g.host = ext, &host{ext: ext}
	require.NoError(t, ext.Start(t.Context(), g.host))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })

	pf := probeprocessor.NewFactory()
	p, err := pf.CreateLogs(t.Context(), processortest.NewNopSettings(pf.Type()), pf.CreateDefaultConfig(), g.sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), g.host))
	t.Cleanup(func() { require.NoError(t, p.Shutdown(context.Background())) })

	server := g.Sign(t, "server", time.Now().Add(time.Hour))
	g.grpc, g.http = freePort(t), freePort(t)
	secured := fmt.Sprintf(`tls: {cert_file: %q, key_file: %q%s}`, server.Cert, server.Key, strings.ReplaceAll(clientCA, "CA", fmt.Sprintf("%q", g.File("ca.pem"))))
	rf := otlpreceiver.NewFactory()
	rcfg := rf.CreateDefaultConfig()
	config(t, rcfg, fmt.Sprintf("protocols:\n  grpc: {endpoint: %q, %s, %s}\n  http: {endpoint: %q, %s, %s}\n", g.grpc, secured, how, g.http, secured, how))
	r, err := rf.CreateLogs(t.Context(), receivertest.NewNopSettings(rf.Type()), rcfg, p)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), g.host))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return g
}

const (
	middleware = "middlewares: [{id: probe_auth}]"
	auth       = "auth: {authenticator: probe_auth}"
	mutual     = ", client_ca_file: CA" // who has no certificate can't connect
)

// sender makes a real OTLP exporter.
func (g *gate) sender(t *testing.T, protocol string, p testbed.Pair, token string) exporter.Logs {
	t.Helper()
	var f exporter.Factory
	endpoint := ""
	switch protocol {
	case "grpc":
		f, endpoint = otlpexporter.NewFactory(), g.grpc
	case "http/json":
		f, endpoint = otlphttpexporter.NewFactory(), "https://"+g.http+"\", encoding: \"json"
	default:
		f, endpoint = otlphttpexporter.NewFactory(), "https://"+g.http
	}
	yaml := fmt.Sprintf("{endpoint: \"%s\", timeout: 5s, retry_on_failure: {enabled: false}, sending_queue: {enabled: false}, tls: {ca_file: %q", endpoint, g.File("ca.pem"))
	if p.Cert != "" {
		yaml += fmt.Sprintf(", cert_file: %q, key_file: %q", p.Cert, p.Key)
	}
	yaml += "}"
	if token != "" {
		yaml += fmt.Sprintf(", headers: {authorization: %q}", token)
	}
	cfg := f.CreateDefaultConfig()
	config(t, cfg, yaml+"}")
	e, err := f.CreateLogs(t.Context(), exportertest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e
}

// records is one record that claims to be of somebody else, wherever it can.
func records() plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "box")
	rl.Resource().Attributes().PutStr("probe.name", "by-both")
	rl.Resource().Attributes().PutStr("probe.trust", "trusted")
	rl.Resource().Attributes().PutEmptyMap("probe").PutStr("name", "by-both")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().Attributes().PutStr("Probe.Name", "by-both")
	lr := sl.LogRecords().AppendEmpty()
	lr.SetEventName("network.flow")
	lr.Attributes().PutStr("probe.name", "by-both")
	lr.Attributes().PutStr("probe.vouched_by", "certificate")
	lr.Attributes().PutStr("flow.id", "1")
	lr.Attributes().PutStr("probes", "7")
	return ld
}

// got says who vouches for the last record, after a look for any claim that is left.
func (g *gate) got(t *testing.T) string {
	t.Helper()
	all := g.sink.AllLogs()
	require.NotEmpty(t, all)
	rl := all[len(all)-1].ResourceLogs().At(0)
	a := rl.Resource().Attributes().AsRaw()
	assert.Empty(t, rl.ScopeLogs().At(0).Scope().Attributes().AsRaw())
	assert.Equal(t, map[string]any{"flow.id": "1", "probes": "7"}, rl.ScopeLogs().At(0).LogRecords().At(0).Attributes().AsRaw())
	assert.Equal(t, "box", a["host.name"])
	assert.NotContains(t, a, "probe")
	return fmt.Sprint(a["probe.name"], " ", a["probe.trust"], " ", a["probe.vouched_by"], " ", a["probe.reason"])
}

const refused = "refused"

// TestWhoSends sends with each kind of credentials over each protocol, and looks at what came through.
func TestWhoSends(t *testing.T) {
	for _, c := range []struct{ name, unknown, how, ca string }{
		{"refuse", refuse, middleware, mutual},
		{"quarantine", quarantine, middleware, mutual},
		{"auth", refuse, auth, mutual},
		{"no client certificates asked for", quarantine, middleware, ""},
		{"tokens only", refuse, auth, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := open(t, c.unknown, c.how, c.ca)
			until := time.Now().Add(time.Hour)
			a, b, stranger := g.Sign(t, "plc-a", until), g.Sign(t, "plc-b", until), g.Sign(t, "plc-c", until)
			other := testbed.NewAuthority(t)
			forged, old, none := other.Sign(t, "plc-a", until), g.Sign(t, "plc-old", time.Now().Add(-time.Minute)), testbed.Pair{}
			for _, protocol := range []string{"grpc", "http", "http/json"} {
				seen := protocol == "grpc" || c.how == middleware // whether the certificate can be seen there
				seen = seen && c.ca != ""
				lax := c.unknown == quarantine
				quarantined := func(why string) string {
					if lax {
						return "<nil> quarantined <nil> " + why
					}
					return refused
				}
				pick := func(seenWant, blindWant string) string {
					if seen {
						return seenWant
					}
					return blindWant
				}
				for _, s := range []struct {
					name  string
					with  testbed.Pair
					token string
					want  string
				}{
					{"certificate", a, "", pick("by-certificate trusted [certificate] <nil>", quarantined("no_credentials"))},
					{"token", stranger, "Bearer token-1", "by-token trusted [token] <nil>"},
					{"both", b, "Bearer token-b", pick("by-both trusted [certificate token] <nil>", quarantined("certificate_missing"))},
					{"half of both", b, "", pick(quarantined("token_missing"), quarantined("no_credentials"))},
					{"the other half", stranger, "Bearer token-b", pick(quarantined("unknown_certificate"), quarantined("certificate_missing"))},
					{"somebody else's token", a, "Bearer token-b", pick(quarantined("mismatch"), quarantined("certificate_missing"))},
					{"a wrong token", a, "Bearer token-2", quarantined("unknown_token")},
					{"the hash", a, "Bearer " + hashed("token-1"), quarantined("unknown_token")},
					{"no bearer", a, "Basic dG9rZW4tMTo=", quarantined("unknown_token")},
					{"a stranger", stranger, "", pick(quarantined("unknown_certificate"), quarantined("no_credentials"))},
					{"banned", stranger, "Bearer token-x", refused},
					{"no certificate", none, "Bearer token-1", map[bool]string{true: refused, false: "by-token trusted [token] <nil>"}[c.ca != ""]},
					{"expired", old, "Bearer token-1", map[bool]string{true: refused, false: "by-token trusted [token] <nil>"}[c.ca != ""]},
					{"another authority's", forged, "", map[bool]string{true: refused, false: quarantined("no_credentials")}[c.ca != ""]},
				} {
					t.Run(protocol+"/"+s.name, func(t *testing.T) {
						before := g.sink.LogRecordCount()
						err := g.sender(t, protocol, s.with, s.token).ConsumeLogs(t.Context(), records())
						if s.want == refused {
							require.Error(t, err)
							assert.Equal(t, before, g.sink.LogRecordCount())
							return
						}
						require.NoError(t, err)
						assert.Equal(t, s.want, g.got(t))
					})
				}
			}
			for _, e := range g.logs.All() {
				assert.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), "token-", "a token is in the log")
			}
		})
	}
}

// TestRegistryChanges takes a probe away while its connection is open, and breaks and removes the file.
func TestRegistryChanges(t *testing.T) {
	g := open(t, refuse, middleware, mutual)
	until := time.Now().Add(time.Hour)
	with := g.Sign(t, "plc-a", until)
	senders := map[string]exporter.Logs{}
	for _, protocol := range []string{"grpc", "http"} {
		senders[protocol] = g.sender(t, protocol, with, "")
	}
	look := func() {
		g.ext.look()
		g.ext.look() // a change is taken when it is there twice
	}
	sends := func(ok bool) {
		t.Helper()
		for protocol, s := range senders {
			if err := s.ConsumeLogs(t.Context(), records()); (err == nil) != ok {
				t.Errorf("%s: %v", protocol, err)
			}
		}
	}
	sends(true)

	replace(t, g.registry, "probes: [{name: by-certificate, tokens: [plain-text]}]")
	look()
	look()
	sends(true)
	require.Equal(t, 1, g.logs.FilterMessageSnippet("can't be used").Len(), "said once")
	assert.Contains(t, fmt.Sprint(g.logs.FilterMessageSnippet("can't be used").All()[0].ContextMap()), "token number 1 must be sha256:")
	assert.NotContains(t, fmt.Sprint(g.logs.All()), "plain-text")

	require.NoError(t, os.Remove(g.registry))
	look()
	sends(true)
	require.Equal(t, 2, g.logs.FilterMessageSnippet("can't be used").Len())
	assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusRecoverableError}, g.host.statuses)

	replace(t, g.registry, standard())
	look()
	sends(true)
	assert.Equal(t, componentstatus.StatusOK, g.host.statuses[2])

	replace(t, g.registry, "probes: []")
	look()
	sends(false)
	taken := g.logs.FilterMessageSnippet("A new registry").All()
	require.Len(t, taken, 1)
	assert.Equal(t, []any{"by-certificate", "by-token", "by-both", "banned"}, taken[0].ContextMap()["removed"])

	replace(t, g.registry, standard())
	look()
	sends(true)
	result := func(r string, n int64) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: n, Attributes: attribute.NewSet(attribute.String("result", r))}
	}
	metadatatest.AssertEqualProbeAuthReloads(t, g.tel, []metricdata.DataPoint[int64]{result("failed", 2), result("taken", 2)}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualProbeAuthAccepted(t, g.tel, []metricdata.DataPoint[int64]{{Value: 10, Attributes: attribute.NewSet(attribute.String("probe", "by-certificate"))}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualProbeAuthRefused(t, g.tel, []metricdata.DataPoint[int64]{{Value: 2, Attributes: attribute.NewSet(attribute.String("reason", "unknown_certificate"))}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualProbeAuthRegistryProbes(t, g.tel, []metricdata.DataPoint[int64]{{Value: 4}}, metricdatatest.IgnoreTimestamp())
}

// A certificate that expires while its connection is open is no longer one.
func TestCertificateExpiresWithinConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a certificate to expire")
	}
	g := open(t, refuse, middleware, mutual)
	until := time.Now().Add(2 * time.Second).Truncate(time.Second).Add(time.Second)
	with := g.Sign(t, "plc-a", until)
	for _, protocol := range []string{"grpc", "http"} {
		s := g.sender(t, protocol, with, "")
		require.NoError(t, s.ConsumeLogs(t.Context(), records()))
		before := 2
		defer func() {
			time.Sleep(time.Until(until) + 50*time.Millisecond)
			err := s.ConsumeLogs(t.Context(), records()) // refused by us, so it was not TLS that did
			require.ErrorContains(t, err, "Unauthenticated")
			assert.Equal(t, before, g.sink.LogRecordCount())
		}()
	}
}

func TestConfig(t *testing.T) {
	err := (&Config{Unknown: "maybe"}).Validate()
	for _, want := range []string{"registry must be set", "reload_interval must be at least 1s", `unknown must be refuse or quarantine, not "maybe"`} {
		require.ErrorContains(t, err, want)
	}
}

func TestLifecycle(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Registry = filepath.Join(t.TempDir(), "probes.yaml")
	create := func() *probeAuth {
		p, err := newProbeAuth(cfg, extension.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()})
		require.NoError(t, err)
		return p
	}
	p := create()
	require.ErrorContains(t, p.Start(t.Context(), componenttest.NewNopHost()), "reading the registry of probes")
	require.NoError(t, p.Shutdown(t.Context()))
	replace(t, cfg.Registry, "probes: [{name: a}]")
	p = create()
	require.ErrorContains(t, p.Start(t.Context(), componenttest.NewNopHost()), "probe a: certificates or tokens must be set")
	replace(t, cfg.Registry, standard())
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, p.Shutdown(t.Context()))
}

// The real ticker takes a change.
func TestReloads(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Registry, cfg.ReloadInterval = filepath.Join(t.TempDir(), "probes.yaml"), 10*time.Millisecond
	replace(t, cfg.Registry, "probes: []")
	p, err := newProbeAuth(cfg, extension.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()})
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, p.Shutdown(context.Background())) }()
	replace(t, cfg.Registry, standard())
	require.Eventually(t, func() bool { return len(p.known.Load().Names()) == 4 }, 10*time.Second, 5*time.Millisecond)
}

// What streams is judged too.
func TestStreams(t *testing.T) {
	g := open(t, refuse, middleware, mutual)
	options, err := g.ext.GetGRPCServerOptions(t.Context())
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(options...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer c.Close()
	for token, want := range map[string]codes.Code{"Bearer token-1": codes.OK, "Bearer token-2": codes.Unauthenticated, "": codes.Unauthenticated} {
		ctx := t.Context()
		if token != "" {
			ctx = grpcmetadata.AppendToOutgoingContext(ctx, "authorization", token)
		}
		s, err := healthpb.NewHealthClient(c).Watch(ctx, &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		_, err = s.Recv()
		assert.Equal(t, want, status.Code(err), token)
	}
	ctx := grpcmetadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer token-1", "authorization", "Bearer token-2")
	_, err = healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{})
	assert.Equal(t, codes.Unauthenticated, status.Code(err), "two tokens are none")
}

// TestBeforeUnpacking sends what can't be unpacked: where anybody can connect, who is not known gets no answer on that.
func TestBeforeUnpacking(t *testing.T) {
	g := open(t, refuse, auth, "")
	ca, err := os.ReadFile(g.File("ca.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	for token, want := range map[string]int{"token-2": http.StatusUnauthorized, "token-1": http.StatusBadRequest} {
		req, err := http.NewRequest(http.MethodPost, "https://"+g.http+"/v1/logs", strings.NewReader("not packed"))
		require.NoError(t, err)
		req.Header.Set("Content-Encoding", "gzip")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := c.Do(req)
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, want, res.StatusCode, token)
	}
}

// TestResumed comes again with the session of an earlier connection, in which no certificate is sent anew.
func TestResumed(t *testing.T) {
	g := open(t, refuse, middleware, mutual)
	p := g.Sign(t, "plc-a", time.Now().Add(time.Hour))
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	require.NoError(t, err)
	ca, err := os.ReadFile(g.File("ca.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{cert}, ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}}}
	body, err := plogotlp.NewExportRequestFromLogs(records()).MarshalJSON()
	require.NoError(t, err)
	send := func() (code int, resumed bool) {
		req, err := http.NewRequest(http.MethodPost, "https://"+g.http+"/v1/logs", bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		res, err := c.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		return res.StatusCode, res.TLS.DidResume
	}
	code, resumed := send()
	require.Equal(t, http.StatusOK, code)
	require.False(t, resumed)
	code, resumed = send()
	require.True(t, resumed, "no session was resumed, so that nothing is tested")
	require.Equal(t, http.StatusOK, code)
	assert.Equal(t, "by-certificate trusted [certificate] <nil>", g.got(t))
	replace(t, g.registry, "probes: []")
	g.ext.look()
	g.ext.look()
	code, resumed = send()
	require.True(t, resumed)
	assert.Equal(t, http.StatusUnauthorized, code)
}
