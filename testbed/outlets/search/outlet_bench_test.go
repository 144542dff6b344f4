//go:build linux

package search

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/exporter/elasticsearchexporter"
	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/flatjson/flatjsontest"
)

// sink takes bulk requests and OTLP, believes everything and counts the bytes of the bodies.
func sink(b *testing.B, bytes *atomic.Int64, documents int) string {
	answer := `{"errors":false,"items":[` + strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, documents), ",") + `]}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		bytes.Add(n)
		switch {
		case strings.HasPrefix(r.URL.Path, "/_bulk"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		case r.URL.Path == "/":
			_, _ = io.WriteString(w, `{"version":{"number":"9.1.0"}}`)
		default:
			w.Header().Set("Content-Type", "application/x-protobuf")
		}
	}))
	b.Cleanup(s.Close)
	return s.URL
}

func configured(b *testing.B, f component.Factory, yaml string) component.Config {
	b.Helper()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(yaml))
	if err != nil {
		b.Fatal(err)
	}
	conf, err := retrieved.AsConf()
	if err != nil {
		b.Fatal(err)
	}
	cfg := f.CreateDefaultConfig()
	if err := conf.Unmarshal(cfg); err != nil {
		b.Fatal(err)
	}
	return cfg
}

// thousand makes a thousand different flows.
func thousand() plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "edge")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i := range 1000 {
		lr := records.AppendEmpty()
		flatjsontest.Usual(lr)
		lr.SetTimestamp(pcommon.Timestamp(1_754_000_000_000_000_000 + i*1_234_567))
		lr.Attributes().PutInt("source.port", int64(30_000+i*7))
		lr.Attributes().PutStr("source.address", fmt.Sprintf("192.168.%d.%d", i%7, i%251))
	}
	return ld
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOutlet sends the same flows through our exporter and, beside it, through the Collector's
// own OTLP exporter, each as it comes, to a server that does nothing: CPU and bytes on the wire a record.
// The CPU has the server's share in it, which reads and forgets.
func BenchmarkOutlet(b *testing.B) {
	for _, c := range []struct {
		name, yaml string
		factory    exporter.Factory
	}{
		{"elasticsearch_ecs", "{template: off, ", elasticsearchexporter.NewFactory()},
		{"elasticsearch_otel", "{template: off, mapping: {mode: otel}, ", elasticsearchexporter.NewFactory()},
		{"otlp_http", "{", otlphttpexporter.NewFactory()},
		{"otlp_http_json", "{encoding: json, ", otlphttpexporter.NewFactory()},
	} {
		b.Run(c.name, func(b *testing.B) {
			var wire atomic.Int64
			url := sink(b, &wire, 1000)
			cfg := configured(b, c.factory, c.yaml+"endpoint: "+url+", sending_queue: {enabled: false}}")
			e, err := c.factory.CreateLogs(context.Background(), exportertest.NewNopSettings(c.factory.Type()), cfg)
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Start(context.Background(), componenttest.NewNopHost()); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = e.Shutdown(context.Background()) }()
			ld := thousand()
			begun := cpu()
			for b.Loop() {
				if err := e.ConsumeLogs(context.Background(), ld); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N) * 1000
			used := float64(cpu() - begun)
			b.ReportMetric(used/n, "cpu-ns/record")
			b.ReportMetric(1e9*n/used, "records/s/core")
			b.ReportMetric(float64(wire.Load())/n, "wire-B/record")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type hostWith map[component.ID]component.Component

func (h hostWith) GetExtensions() map[component.ID]component.Component { return h }

// BenchmarkQueue shows what each storage costs as the queue's: how long a thousand records take until
// they are accepted, which with a storage means that they are on the disk as far as it syncs.
func BenchmarkQueue(b *testing.B) {
	for _, c := range []struct {
		name, yaml string
		factory    extension.Factory
	}{
		{"memory", "", nil},
		{"state_storage", "{directory: DIR}", statestorage.NewFactory()},
		{"file_storage", "{directory: DIR}", filestorage.NewFactory()},
		{"file_storage_fsync", "{directory: DIR, fsync: true}", filestorage.NewFactory()},
	} {
		b.Run(c.name, func(b *testing.B) {
			var wire atomic.Int64
			f := elasticsearchexporter.NewFactory()
			host, storage := hostWith{}, ""
			if c.factory != nil {
				cfg := configured(b, c.factory, strings.ReplaceAll(c.yaml, "DIR", filepath.ToSlash(b.TempDir())))
				x, err := c.factory.Create(context.Background(), extensiontest.NewNopSettings(c.factory.Type()), cfg)
				if err != nil {
					b.Fatal(err)
				}
				if err := x.Start(context.Background(), host); err != nil {
					b.Fatal(err)
				}
				defer func() { _ = x.Shutdown(context.Background()) }()
				id := component.NewID(c.factory.Type())
				host[id], storage = x, "storage: "+id.String()+", "
			}
			cfg := configured(b, f, "{template: off, endpoint: "+sink(b, &wire, 1000)+", sending_queue: {"+storage+"batch: null}}")
			e, err := f.CreateLogs(context.Background(), exportertest.NewNopSettings(f.Type()), cfg)
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Start(context.Background(), host); err != nil {
				b.Fatal(err)
			}
			ld := thousand()
			for b.Loop() {
				copied := plog.NewLogs()
				ld.CopyTo(copied)
				if err := e.ConsumeLogs(context.Background(), copied); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
			if err := e.Shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
