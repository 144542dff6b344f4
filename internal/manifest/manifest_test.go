package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

var plant = map[string]any{
	"receivers":  map[string]any{"otlp": map[string]any{"protocols": map[string]any{"grpc": map[string]any{"endpoint": "127.0.0.1:4317"}}}, "idle": nil},
	"processors": map[string]any{"device": map[string]any{"site": "a"}, "batch": nil},
	"connectors": map[string]any{"threat": map[string]any{"window": time.Minute}},
	"exporters":  map[string]any{"ndjson": nil},
	"service": map[string]any{
		"extensions": []any{"manifest"},
		"pipelines": map[string]any{
			"logs/in":  map[string]any{"receivers": []any{"otlp"}, "processors": []any{"device", "batch"}, "exporters": []any{"threat"}},
			"logs/out": map[string]any{"receivers": []any{"threat"}, "processors": []any{"batch"}, "exporters": []any{"ndjson"}},
			"metrics":  map[string]any{"receivers": []any{"otlp"}, "exporters": []any{"ndjson"}},
		},
	},
}

func model() *Model {
	m := New(Identity{Name: "monban", Version: "1", Started: time.Unix(1, 0)})
	m.Know([]Type{
		{Kind: Receiver, Name: "otlp", Module: "m/otlp v1"},
		{Kind: Processor, Name: "device", Module: "m/device v2", Stability: []string{"logs=Alpha"}, Defaults: map[string]any{"max": 7}},
		{Kind: Connector, Name: "threat", Module: "m/threat v3"},
	})
	m.Configure(plant)
	return m
}

func TestSnapshot(t *testing.T) {
	m := model()
	at := time.Unix(100, 0)
	m.Report(Instance{Receiver, "otlp", "logs/in"}, OK, "", at)
	m.Report(Instance{Receiver, "otlp", "metrics"}, OK, "", at)
	m.Report(Instance{Processor, "batch", "logs/in"}, OK, "", at)
	m.Report(Instance{Processor, "batch", "logs/out"}, OK, "", at)
	m.Report(Instance{Exporter, "ndjson", "logs/out metrics"}, OK, "", at)
	s := m.Snapshot(Start, at)
	if got := fmt.Sprint(s.Orchestrator.Pipelines, s.Orchestrator.Sources, s.Orchestrator.Processors, s.Orchestrator.Exporters, s.Orchestrator.Extensions, s.Orchestrator.Health); got !=
		"[logs/in logs/out metrics] [otlp] [batch device threat] [ndjson] [manifest]ok" {
		t.Error(got)
	}
	source := s.Sources[0]
	if got := fmt.Sprint(source.ID, source.Module, source.Version, source.Signals, source.Pipelines, source.Settings, source.Health); got !=
		"otlpm/otlpv1[logs metrics] [logs/in metrics] [protocols::grpc::endpoint=127.0.0.1:4317]ok" {
		t.Error(got)
	}
	var lines []string
	for _, p := range s.Manifests {
		lines = append(lines, fmt.Sprint(p.Kind, " ", p.ID, p.Version, p.Pipelines, p.Settings, p.Health))
	}
	if got := strings.Join(lines, "\n"); got != "processor batch[logs/in logs/out] []ok\nprocessor devicev2[logs/in] [site=a]unknown\nconnector threatv3[logs/in logs/out] [window=1m0s]unknown" {
		t.Error(got)
	}
	if d := s.Definitions; len(d) != 2 || d[0].Type != "device" || d[0].Used != 1 || d[0].Settings[0] != "max=7" || d[1].Kind != "connector" || d[1].Used != 1 {
		t.Errorf("%+v", d)
	}

	// One instance that is ill makes the component ill, and its pipelines, and no others.
	if !m.Report(Instance{Processor, "batch", "logs/out"}, Recoverable, "sending to https://me:pw@h/: refused", at.Add(time.Second)) {
		t.Error("nothing new")
	}
	if m.Report(Instance{Processor, "batch", "logs/out"}, Recoverable, "sending to https://me:pw@h/: refused", at.Add(2*time.Second)) {
		t.Error("the same is new")
	}
	later := m.Snapshot(Change, at.Add(3*time.Second))
	if later.Orchestrator.Health != Recoverable || fmt.Sprint(later.Orchestrator.Unwell) != "[processor:batch=recoverable_error]" || strings.Contains(later.Orchestrator.Error, "pw") {
		t.Errorf("%+v", later.Orchestrator)
	}
	news, some := later.Since(s)
	if !some || len(news.Pipelines) != 1 || news.Pipelines[0].ID != "logs/out" || len(news.Manifests) != 1 || news.Manifests[0].ID != "batch" || len(news.Sources)+len(news.Definitions) != 0 {
		t.Errorf("%+v", news)
	}
	if _, some := later.Since(later); some {
		t.Error("it differs from itself")
	}
	if later.Orchestrator.Config != s.Orchestrator.Config {
		t.Error("another hash of the same configuration")
	}
	m.Configure(map[string]any{"receivers": map[string]any{}})
	if m.Snapshot("", at).Orchestrator.Config == s.Orchestrator.Config {
		t.Error("the same hash of another configuration")
	}
}

// Whatever a component calls its secret, and wherever a URL stands, it is not shown.
func TestSecrets(t *testing.T) {
	config := map[string]any{
		"password": "S3CRET", "sasl": map[string]any{"username": "u", "password": "S3CRET"},
		"token": "S3CRET", "bearer_token": "S3CRET", "api_key": "S3CRET", "apiKey": "S3CRET", "client_secret": "S3CRET", "credentials": map[string]any{"any": "S3CRET"},
		"headers": map[string]any{"X-Scope": "S3CRET"}, "response_headers": []any{map[string]any{"name": "x", "value": "S3CRET"}},
		"tls":      map[string]any{"tpm": map[string]any{"auth": "S3CRET", "owner_auth": "S3CRET"}, "key_pem": "S3CRET", "key_file": "/etc/key", "ca_pem": "S3CRET"},
		"htpasswd": map[string]any{"inline": "u:S3CRET"}, "community": "S3CRET", "secret_number": 53227,
		"endpoint": "https://u:S3CRET@host:1/p?token=S3CRET&x=S3CRET", "endpoints": []any{"http://S3CRET@h", "a:1"},
		"text": "-----BEGIN PRIVATE KEY-----\nS3CRET\n-----END PRIVATE KEY-----", "open": "-----BEGIN KEY-----\nS3CRET",
		"line": "Authorization: Bearer S3CRETS3CRET", "args": "connect password=S3CRET now", "odd": "ftp://a@b:S3CRET@host/",
		"auth": map[string]any{"authenticator": "bearertokenauth/in"}, "token_file": "/run/token", "include_metadata": true,
		"dsn": "postgres://S3CRET", "shared_key": "S3CRET", "psk": "S3CRET",
	}
	list, cut := Settings(config)
	all := strings.Join(list, "\n")
	if strings.Contains(all, "S3CRET") || strings.Contains(all, "53227") || cut > 0 {
		t.Errorf("%d cut\n%s", cut, all)
	}
	for _, want := range []string{"tls::key_file=/etc/key", "auth::authenticator=bearertokenauth/in", "token_file=/run/token", "include_metadata=true", "sasl::username=u",
		"sasl::password=[REDACTED]", "endpoint=https://[REDACTED]@host:1/p?token=[REDACTED]&x=[REDACTED]", "endpoints::1=a:1", "args=connect password=[REDACTED] now"} {
		if !slices.Contains(list, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
}

func TestBounds(t *testing.T) {
	many := map[string]any{"long": strings.Repeat("ü", 10_000)}
	for i := range 2000 {
		many[fmt.Sprintf("k%04d", i)] = i
	}
	list, cut := Settings(many)
	if len(list) != mostSettings || cut != 2001-mostSettings {
		t.Error(len(list), cut)
	}
	long, _ := Settings(map[string]any{"long": many["long"]})
	if len(long[0]) > mostBytes+len("…") || !utf8.ValidString(long[0]) {
		t.Error(len(long[0]))
	}
	deep := map[string]any{}
	for d, i := deep, 0; i < 10_000; i++ {
		next := map[string]any{}
		d["x"] = next
		d = next
	}
	if list, _ := Settings(deep); len(list) != 1 || len(list[0]) > mostBytes+len("…") {
		t.Error(list)
	}
	m := model()
	for i := range mostInstances + 10 {
		m.Report(Instance{Processor, fmt.Sprint(i), ""}, OK, "", time.Now())
	}
	if len(m.health) != mostInstances {
		t.Error(len(m.health))
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("https://u:p@h/?a=b", "x")
	f.Add("Bearer abcdefghij password: x -----BEGIN A-----", "\xff")
	f.Fuzz(func(t *testing.T, s, user string) {
		got := Scrub(s)
		if !utf8.ValidString(got) || len(got) > 64*mostBytes {
			t.Errorf("%q", got)
		}
		if user != "" && len(user) < 100 && !strings.ContainsAny(user, "/?#@ \"'\t\n\v\f\r") && utf8.ValidString(user) {
			if u := Scrub("https://me:" + user + "@host/"); u != "https://[REDACTED]@host/" {
				t.Errorf("%q is in %q", user, u)
			}
		}
	})
}

func TestPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := model()
		p := NewPublisher(m, 10*time.Second)
		begun := time.Now()
		var told []string
		fail := 2
		cancel := p.Subscribe(func(s *Snapshot) error {
			line := fmt.Sprintf("%v %s %s %d", time.Since(begun), s.Orchestrator.Reason, s.Orchestrator.Health, len(s.Definitions))
			if fail--; fail >= 0 {
				told = append(told, line+" refused")
				return errors.New("full")
			}
			told = append(told, line)
			return nil
		})
		report := func(h Health) {
			m.Report(Instance{Receiver, "otlp", "logs/in"}, h, "", time.Now())
			p.Wake()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		report(OK) // told when ready, not before
		p.Ready(true)
		time.Sleep(30 * time.Second)
		report(Recoverable) // at once
		report(OK)          // within the interval, and gone again: not told
		report(Recoverable)
		time.Sleep(30 * time.Second)
		report(OK) // at once
		report(Recoverable)
		time.Sleep(30 * time.Second) // after the interval
		p.Ready(false)
		report(OK)
		time.Sleep(30 * time.Second)
		cancel()
		cancel()
		report(Fatal)
		want := []string{"1m0s start ok 2 refused", "1m5s start ok 2 refused", "1m10s start ok 2", "1m30s health recoverable_error 0", "2m0s health ok 0", "2m10s health recoverable_error 0"}
		if !slices.Equal(told, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
	})
}
