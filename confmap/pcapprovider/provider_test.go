package pcapprovider

import (
	"context"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"

	"github.com/monban/monban/confmap/liveprovider"
)

func resolve(t *testing.T, uris ...string) (map[string]any, error) {
	t.Helper()
	r, err := confmap.NewResolver(confmap.ResolverSettings{URIs: uris, ProviderFactories: []confmap.ProviderFactory{
		NewFactory(), liveprovider.NewFactory(), yamlprovider.NewFactory()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := r.Resolve(context.Background()); err != nil {
		return nil, err
	}
	conf, err := r.Resolve(context.Background())
	if err != nil { // as after SIGHUP
		t.Fatal(err)
	}
	return conf.ToStringMap(), nil
}

// TestConfig holds what a user has to write in YAML to get the same.
func TestConfig(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"${env:HOME}.pcap", "a.pcap"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const telemetry = `
  telemetry:
    logs: {level: warn, encoding: console, disable_caller: true, disable_stacktrace: true, disable_zap_resource: true}
    metrics: {level: none}
`
	for uri, want := range map[string]string{
		"pcap:${env:HOME}.pcap": `
receivers: {packetflow: {files: ['${env:HOME}.pcap'], at_end: exit, progress: auto}}
processors: {device: {}, baseline: {}}
connectors: {threat: {}}
exporters: {summary: {output: stdout, hints: {word: pcap}}}
service:
  pipelines:
    logs/flows: {receivers: [packetflow], processors: [device, baseline], exporters: [threat, summary]}
    logs/reports: {receivers: [threat], exporters: [summary]}` + telemetry,
		"pcap:a.pcap?out=o&state=$s&home=10.1.2.3/8,fd00::1&site=Plant 1&fail_on=high": `
extensions: {state_storage: {directory: $s}}
receivers: {packetflow: {files: [a.pcap], at_end: exit, progress: auto}}
processors: {device: {home: [10.0.0.0/8, 'fd00::1/128'], site: Plant 1, storage: state_storage}, baseline: {storage: state_storage}}
connectors: {threat: {storage: state_storage, fail_on: high}}
exporters:
  ndjson: {directory: o, on_error: stop}
  summary: {output: stdout, hints: {word: pcap, out: o, state: $s, home: '10.1.2.3/8,fd00::1'}}
service:
  extensions: [state_storage]
  pipelines:
    logs/flows: {receivers: [packetflow], processors: [device, baseline], exporters: [threat, ndjson, summary]}
    logs/reports: {receivers: [threat], exporters: [ndjson, summary]}` + telemetry,
		"pcap:-?out=-": `
receivers: {packetflow: {files: ['-'], at_end: exit, progress: auto}}
processors: {device: {}, baseline: {}}
connectors: {threat: {}}
exporters:
  ndjson: {path: '-', on_error: stop}
  summary: {output: stderr, hints: {word: pcap, out: '-'}}
service:
  pipelines:
    logs/flows: {receivers: [packetflow], processors: [device, baseline], exporters: [threat, ndjson, summary]}
    logs/reports: {receivers: [threat], exporters: [ndjson, summary]}` + telemetry,
		"live:lo?out=o&filter=udp": `
receivers: {packetflow: {interfaces: [lo], filter: udp}}
processors: {device: {}, baseline: {}}
connectors: {threat: {}}
exporters:
  ndjson: {directory: o, on_error: drop, rotation: {max_size_mib: 100, max_files: 20, compress: true}}
  summary: {output: stdout, follow: true, hints: {word: live, out: o}}
service:
  pipelines:
    logs/flows: {receivers: [packetflow], processors: [device, baseline], exporters: [threat, ndjson, summary]}
    logs/reports: {receivers: [threat], exporters: [ndjson, summary]}` + telemetry,
	} {
		t.Run(uri, func(t *testing.T) {
			got, err := resolve(t, uri)
			if err != nil {
				t.Fatal(err)
			}
			r, err := confmap.NewRetrievedFromYAML([]byte(want))
			if err != nil {
				t.Fatal(err)
			}
			conf, err := r.AsConf()
			if err != nil {
				t.Fatal(err)
			}
			if w := conf.ToStringMap(); !reflect.DeepEqual(got, w) {
				t.Errorf("got  %v\nwant %v", got, w)
			}
		})
	}
}

func TestTwoWordsAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.pcap", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, uris := range [][]string{{"pcap:a.pcap", "live:lo"}, {"live:lo", "pcap:a.pcap"}, {"pcap:a.pcap", "pcap:a.pcap"}} {
		_, err := resolve(t, uris...)
		if err == nil || !strings.Contains(err.Error(), uris[0]+" and "+uris[1]+" can't be used together") {
			t.Errorf("%v", err)
		}
	}
	got, err := resolve(t, "pcap:a.pcap", "yaml:processors::device::site: mine")
	if err != nil || !reflect.DeepEqual(got["processors"].(map[string]any)["device"], map[string]any{"site": "mine"}) {
		t.Errorf("with a second configuration: %v, %v", got, err)
	}
}

func TestScheme(t *testing.T) {
	if err := confmaptest.ValidateProviderScheme(NewFactory().Create(confmaptest.NewNopProviderSettings())); err != nil {
		t.Error(err)
	}
}
