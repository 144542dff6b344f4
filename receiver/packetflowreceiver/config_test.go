package packetflowreceiver

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		set  map[string]any
		want []string // parts of the error, all of them; none when valid
	}{
		{"files", map[string]any{"files": []any{"a.pcap", "-"}, "at_end": "exit", "progress": "auto"}, nil},
		{"interfaces", map[string]any{"interfaces": []any{"eth0"}, "filter": "tcp port 502 and not host 10.0.0.1", "snap_len": 128, "buffer_mib": 64}, nil},
		{"nothing", nil, []string{"one of files, interfaces and mirrors must be set"}},
		{"both", map[string]any{"files": []any{"a"}, "interfaces": []any{"eth0"}}, []string{"files can't be set together with interfaces or mirrors"}},
		{"knobs that would do nothing", map[string]any{"files": []any{"a"}, "filter": "tcp", "snap_len": 100, "buffer_mib": 1},
			[]string{"filter is for interfaces", "snap_len is for interfaces", "buffer_mib is for interfaces"}},
		{"an interface has no end", map[string]any{"interfaces": []any{"eth0"}, "at_end": "exit"}, []string{"what is live has no end"}},
		{"mirrors", map[string]any{"mirrors": map[string]any{"listen": []any{"vxlan", "vxlan:8472", "gre"}, "address": "10.0.0.5",
			"peers": []any{map[string]any{"address": "10.0.0.1", "name": "core"}, map[string]any{"address": "fe80::1"}}}, "buffer_mib": 8, "user": "nobody"}, nil},
		{"mirrors beside an interface", map[string]any{"mirrors": map[string]any{"listen": []any{"tzsp"}}, "interfaces": []any{"eth0"}, "filter": "udp"}, nil},
		{"mirrors have no filter", map[string]any{"mirrors": map[string]any{"listen": []any{"tzsp"}}, "filter": "udp", "user": "x", "privileges": "keep"},
			[]string{"filter is for interfaces", "user has no meaning"}},
		{"mirrors in all ways wrong", map[string]any{"files": []any{"a"}, "mirrors": map[string]any{"address": "here", "unknown_peers": "ask", "peers": []any{map[string]any{"name": "x"}}}},
			[]string{"files can't be set together", `mirrors: address: "here" is no IP`, `mirrors: peers::0: "" is no IP`, "mirrors: unknown_peers must be accept or drop"}},
		{"mirrors of no kind", map[string]any{"mirrors": map[string]any{"listen": []any{"vlan"}}, "privileges": "some"}, []string{`mirrors: "vlan" is no kind`, "privileges must be drop or keep"}},
		{"everything at once", map[string]any{
			"interfaces": []any{"eth0", "eth0", ""}, "filter": "tcpp", "snap_len": 10, "buffer_mib": -1, "at_end": "stop", "progress": "on",
			"max_flows": 1, "idle_timeout": "1ms", "tcp_idle_timeout": "48h", "report_interval": "0s", "first_report": "-1s",
			"sightings": map[string]any{"repeat": "0s", "conflict_repeat": "0s", "max_per_second": 0, "max_arp_targets": 0},
		}, []string{
			"interfaces has eth0 twice", "interfaces has an empty entry", "filter: ", "snap_len must be", "buffer_mib must be",
			`at_end must be exit or stay, not "stop"`, `progress must be auto or off, not "on"`,
			"max_flows must be", "idle_timeout must be", "tcp_idle_timeout must be", "report_interval must be", "first_report must be",
			"sightings::repeat must be", "sightings::conflict_repeat must be", "sightings::max_per_second must be", "sightings::max_arp_targets must be",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := createDefaultConfig()
			if err := confmap.NewFromStringMap(c.set).Unmarshal(cfg); err != nil {
				t.Fatal(err)
			}
			err := xconfmap.Validate(cfg)
			if err == nil {
				if c.want != nil {
					t.Fatal("it is valid")
				}
				return
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("not said: %s", part)
				}
			}
			if n := strings.Count(err.Error(), "\n") + 1; n != len(c.want) {
				t.Errorf("%d errors, want %d:\n%v", n, len(c.want), err)
			}
		})
	}
}

func TestDefaultsAreOfThePackages(t *testing.T) {
	c := createDefaultConfig().(*Config)
	if c.sightings().Repeat != int64(5*time.Minute) || c.flow().TCPIdleTimeout != 5*time.Minute || !c.Promiscuous {
		t.Errorf("%+v", c)
	}
}
