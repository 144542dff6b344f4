package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goMod = `module example.com/dist

go 1.26.0

require (
	go.opentelemetry.io/collector/confmap v1.61.0
	go.opentelemetry.io/collector/receiver/otlpreceiver v0.155.0
	github.com/open-telemetry/opentelemetry-collector-contrib/connector/routingconnector v0.149.0
	github.com/open-telemetry/opentelemetry-collector-contrib/internal/common v0.149.0
	github.com/open-telemetry/opentelemetry-collector-contrib/processor/filterprocessor v0.155.0
)
`

const toolsMod = `module example.com/dist/internal/tools

go 1.26.0

require (
	go.opentelemetry.io/collector/cmd/builder v0.155.0
	go.opentelemetry.io/collector/confmap v1.61.0
)
`

const manifest = `dist: {name: dist}
telemetry: {gomod: example.com/dist v0.1.0, import: example.com/dist/telemetry}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.155.0
  - gomod: example.com/dist v0.1.0
    import: example.com/dist/receiver/ourreceiver
connectors:
  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/connector/routingconnector v0.149.0
processors:
  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/processor/filterprocessor v0.155.0
`

func TestCheck(t *testing.T) {
	swap := strings.NewReplacer
	for _, c := range []struct {
		name string
		file string
		edit *strings.Replacer
		want string // in the one complaint; "" for none
	}{
		{"all agree", "go.mod", swap(), ""},
		{"a later train of the core", "go.mod", swap("confmap v1.61.0", "confmap v1.71.0"), "confmap is v1.71.0, and the Collector's train is v0.155.0 and v1.61.0"},
		{"a beta of a later train", "go.mod", swap("\ngo ", "\nrequire go.opentelemetry.io/collector/filter v0.165.0\n\ngo "), "filter@v0.155.0"},
		{"contrib of a later train", "go.mod", swap("internal/common v0.149.0", "internal/common v0.156.0"), "internal/common is v0.156.0"},
		{"a version of the manifest's own", "builder-config.yaml", swap("routingconnector v0.149.0", "routingconnector v0.150.0"), "v0.150.0 there and v0.149.0 in go.mod"},
		{"not required", "builder-config.yaml", swap("otlpreceiver", "nopreceiver"), "nopreceiver v0.155.0 is not in go.mod"},
		{"a component that nobody put in", "receiver/newreceiver/factory.go", swap(), "receivers lacks receiver/newreceiver"},
		{"a provider that nobody put in", "confmap/newprovider/provider.go", swap(), "providers lacks confmap/newprovider"},
		{"a component that is gone", "builder-config.yaml", swap("ourreceiver", "goneourreceiver"), "receiver/goneourreceiver, which is not in the tree"},
		{"another builder", "internal/tools/go.mod", swap("builder v0.155.0", "builder v0.156.0", "confmap v1.61.0", "confmap v1.61.0"), "train is v0.156.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			files := map[string]string{
				"go.mod": goMod, "internal/tools/go.mod": toolsMod, "builder-config.yaml": manifest,
				"receiver/ourreceiver/factory.go": "", "telemetry/telemetry.go": "",
			}
			files[c.file] = c.edit.Replace(files[c.file])
			for name, text := range files {
				file := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			wrong, err := check(root)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(wrong, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("complaints %q, want one with %q", got, c.want)
			}
		})
	}
}
