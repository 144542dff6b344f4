package netflowreceiver

import (
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/monban/monban/internal/netflow"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		set  map[string]any
		want []string // parts of the error, all of them; none when valid
	}{
		{"default", nil, nil},
		{"usual", map[string]any{
			"endpoints": []any{"0.0.0.0:2055", "[::]:6343"}, "unknown_exporters": "drop", "pair_wait": "0s", "max_clock_skew": "0s",
			"exporters": []any{map[string]any{"address": "10.0.0.1", "name": "core", "sampling": 100}, map[string]any{"address": "10.0.0.0/8", "allow": false}},
		}, nil},
		{"no endpoint", map[string]any{"endpoints": []any{}}, []string{"endpoints must have an address to listen on"}},
		{"bad endpoints", map[string]any{"endpoints": []any{"2055", "host:http", "h:1", "h:1"}}, []string{`"2055" is not host:port`, `"host:http" is not host:port`, "endpoints has h:1 twice"}},
		{"nobody may send", map[string]any{"unknown_exporters": "drop", "exporters": []any{map[string]any{"address": "10.0.0.1", "allow": false}}},
			[]string{"unknown_exporters: drop needs exporters"}},
		{"all at once", map[string]any{
			"unknown_exporters": "perhaps", "read_buffer_mib": 0, "save_interval": "1ms", "max_exporters": 0, "max_templates": 0, "max_waiting": 1,
			"pair_wait": "1h", "template_wait": "-1s", "aggregate_interval": "1ms", "max_clock_skew": "1ms",
			"exporters": []any{map[string]any{"address": "router"}, map[string]any{"address": "10.0.0.1"}, map[string]any{"address": "10.0.0.1/32"}, map[string]any{"address": "10.0.0.2", "name": "a\tb", "sampling": 1 << 30}},
		}, []string{
			"unknown_exporters must be accept or drop", "read_buffer_mib must be", "save_interval must be", "max_exporters must be", "max_templates must be",
			"max_waiting must be", "pair_wait must be", "template_wait must be", "aggregate_interval must be", "max_clock_skew must be",
			`"router" is neither an IP address nor a network`, "exporters has 10.0.0.1/32 twice", "must not contain tabs", "sampling of 10.0.0.2 must be",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := createDefaultConfig()
			if err := confmap.NewFromStringMap(c.set).Unmarshal(cfg); err != nil {
				t.Fatal(err)
			}
			err := xconfmap.Validate(cfg)
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v\nlacks %q", err, want)
				}
			}
		})
	}
}

// TestReadme holds that the README names every element and every option.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range netflow.Elements {
		if !strings.Contains(string(b), "`"+e.Name+"`") {
			t.Errorf("README.md lacks %s", e.Name)
		}
	}
	m := confmap.New()
	if err := m.Marshal(createDefaultConfig()); err != nil {
		t.Fatal(err)
	}
	for key := range m.ToStringMap() {
		if !strings.Contains(string(b), "| `"+key+"` |") {
			t.Errorf("README.md lacks the option %s", key)
		}
	}
}
