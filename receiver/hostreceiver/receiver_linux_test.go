package hostreceiver

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/monban/monban/internal/host"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// config reads a configuration as the Collector does, with what is wrong as an error.
func config(t *testing.T, set map[string]any) (*Config, error) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	if err := confmap.NewFromStringMap(set).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, xconfmap.Validate(cfg)
}

type m = map[string]any

// everything turns all scrapers on, with all metrics.
func everything() m {
	scrapers := m{}
	for metric, name := range scraperOf {
		if scrapers[name] == nil {
			scrapers[name] = m{"metrics": m{}}
		}
		scrapers[name].(m)["metrics"].(m)[metric] = m{"enabled": true}
	}
	return scrapers
}

// scrapeAll reads once with each scraper, by its name.
func scrapeAll(t *testing.T, cfg *Config) map[string]pmetric.Metrics {
	t.Helper()
	out := map[string]pmetric.Metrics{}
	for name, r := range readings(t, cfg) {
		md, err := r.scrape(context.Background())
		require.NoError(t, err, name)
		out[name] = md
	}
	return out
}

func readings(t *testing.T, cfg *Config) map[string]*reading {
	t.Helper()
	s := newSource(cfg, receivertest.NewNopSettings(metadata.Type))
	out := map[string]*reading{}
	for _, n := range s.all() {
		if r := n.scraper.make(s); r != nil {
			out[n.name] = r
		}
	}
	return out
}

// flat gives each point as "metric{key=value,…}" and its value.
func flat(md pmetric.Metrics) map[string]float64 {
	out := map[string]float64{}
	for _, m := range eachMetric(md) {
		for _, p := range points(m).All() {
			var attrs []string
			for k, v := range p.Attributes().All() {
				attrs = append(attrs, k+"="+v.AsString())
			}
			slices.Sort(attrs)
			v := p.DoubleValue()
			if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
				v = float64(p.IntValue())
			}
			out[m.Name()+"{"+strings.Join(attrs, ",")+"}"] = v
		}
	}
	return out
}

// TestThisHost reads the computer that the test runs on, and checks what must hold anywhere.
func TestThisHost(t *testing.T) {
	cfg, err := config(t, m{"scrapers": everything()})
	require.NoError(t, err)
	all := readings(t, cfg)
	require.Len(t, all, 11)
	got := map[string]float64{}
	resources := 0
	for range 2 { // shares need two readings
		for name, r := range all {
			md, err := r.scrape(context.Background())
			require.NoError(t, err, name)
			for k, v := range flat(md) {
				got[k] = v
			}
			for _, rm := range md.ResourceMetrics().All() {
				resources++
				name, ok := rm.Resource().Attributes().Get("host.name")
				self, _ := os.Hostname()
				assert.True(t, ok)
				assert.Equal(t, self, name.Str())
			}
		}
	}
	assert.Greater(t, resources, 20, "a resource for each process")
	total := 0.0
	for _, state := range []string{"used", "free", "buffers", "cached"} {
		total += got["system.memory.usage{system.memory.state="+state+"}"]
	}
	assert.Equal(t, got["system.memory.limit{}"], total, "the states of memory add up to all there is")
	assert.Positive(t, got["system.uptime{}"])
	assert.Positive(t, got["system.process.created{}"])
	assert.Positive(t, got["system.cpu.time{cpu.logical_number=0,cpu.mode=user}"])
	assert.Contains(t, got, "system.cpu.load_average.1m{}")
	assert.Contains(t, got, "system.network.io{network.interface.name=lo,network.io.direction=receive}")
	assert.Contains(t, got, "system.network.connection.count{network.connection.state=listen,network.transport=tcp}")
	assert.Contains(t, got, "system.network.connection.count{network.transport=udp}")
	assert.Contains(t, got, "process.thread.count{}")
	share := 0.0
	for k, v := range got {
		if strings.HasPrefix(k, "system.cpu.utilization{cpu.logical_number=0,") {
			share += v
		}
	}
	if share != 0 { // no tick may have passed between the readings
		assert.InDelta(t, 1, share, 0.05)
	}
	for k := range got {
		name, _, _ := strings.Cut(k, "{")
		assert.NotEmpty(t, scraperOf[name], name)
	}
}

// TestFixture reads a whole host below a root path, where each figure is known.
func TestFixture(t *testing.T) {
	_, err := config(t, m{"root_path": "testdata/root", "scrapers": everything(), "observer": "plant-box"})
	require.ErrorContains(t, err, "root_path must begin with /")
	root, err := filepath.Abs("testdata/root")
	require.NoError(t, err)
	scrapers := everything()
	delete(scrapers, "filesystem") // statfs of what is not mounted
	cfg, err := config(t, m{"root_path": root, "scrapers": scrapers, "observer": "plant-box", "resource_attributes": m{"os.name": m{"enabled": true}}})
	require.NoError(t, err)
	got := map[string]float64{}
	var process pcommon.Resource
	for name, md := range scrapeAll(t, cfg) {
		for k, v := range flat(md) {
			got[k] = v
		}
		if name == "process" {
			require.Equal(t, 2, md.ResourceMetrics().Len(), "three processes, one of which makes no sense")
			process = md.ResourceMetrics().At(0).Resource()
			if pid, _ := process.Attributes().Get("process.pid"); pid.Int() != 77 {
				process = md.ResourceMetrics().At(1).Resource()
			}
		}
	}
	for k, want := range map[string]float64{
		"system.cpu.time{cpu.logical_number=0,cpu.mode=user}":                                         100,
		"system.cpu.time{cpu.logical_number=1,cpu.mode=interrupt}":                                    9, // 4 and 5
		"system.memory.usage{system.memory.state=used}":                                               4000 << 10,
		"system.memory.usage{system.memory.state=cached}":                                             3000 << 10, // with what the kernel can give back
		"system.memory.limit{}":                                                                       10000 << 10,
		"system.cpu.load_average.5m{}":                                                                0.25,
		"system.paging.faults{system.paging.fault.type=major}":                                        30,
		"system.paging.faults{system.paging.fault.type=minor}":                                        970,
		"system.paging.operations{system.paging.direction=in,system.paging.fault.type=major}":         7,
		"system.paging.usage{system.device=/dev/sda2,system.paging.state=used}":                       512 << 10,
		"system.disk.io{disk.io.direction=read,system.device=sda}":                                    2000 * 512,
		"system.disk.operation_time{disk.io.direction=write,system.device=sda}":                       0.8,
		"system.disk.io_time{system.device=sda}":                                                      1.2,
		"system.disk.limit{system.device=sda}":                                                        1 << 30,
		"system.network.io{network.interface.name=eth9,network.io.direction=receive}":                 1111,
		"system.network.packet.dropped{network.interface.name=eth9,network.io.direction=transmit}":    8,
		"system.network.packet.count{network.io.direction=transmit,system.device=eth9}":               66,
		"system.network.connection.count{network.connection.state=established,network.transport=tcp}": 1,
		"system.network.connection.count{network.connection.state=listen,network.transport=tcp}":      2,
		"system.network.connection.count{network.transport=udp}":                                      1,
		"system.network.conntrack.count{}":                                                            12,
		"system.process.count{process.state=sleeping}":                                                2,
		"system.process.count{process.state=running}":                                                 0,
		"system.process.created{}":                                                                    4242,
		"system.uptime{}":                                                                             3600.5,
		"hw.temperature{hw.id=coretemp_temp1,hw.name=Package,hw.parent=coretemp}":                     41.5,
		"hw.fan.speed{hw.id=coretemp_fan1,hw.name=,hw.parent=coretemp}":                               1200,
		"process.cpu.time{cpu.mode=user}":                                                             0.5,
		"process.disk.io{disk.io.direction=write}":                                                    200,
		"process.context_switches{process.context_switch.type=involuntary}":                           6,
		"process.signals_pending{}":                                                                   1,
		"process.unix.file_descriptor.count{}":                                                        2,
		"system.cpu.frequency{cpu.logical_number=0}":                                                  1.5e9,
	} {
		v, ok := got[k]
		assert.True(t, ok, "no %s", k)
		assert.InDelta(t, want, v, 1e-6, k)
	}
	assert.NotContains(t, got, "hw.temperature{hw.id=coretemp_temp2,hw.name=,hw.parent=coretemp}", "a sensor that says NaN")
	owner := "ada"
	if id := os.Getuid(); id != 0 {
		owner = strconv.Itoa(id)
	}
	want := m{
		"device.id": "plant-box", "host.name": "plant-box", "host.id": "0123456789abcdef0123456789abcdef", "os.type": "linux", "os.name": "debian",
		"process.pid": int64(77), "process.parent_pid": int64(1), "process.executable.name": "weird) (name-of-a-program", "process.owner": owner,
		"process.command": "/opt/weird) (name-of-a-program", "process.command_line": "/opt/weird) (name-of-a-program --flag",
	}
	assert.Equal(t, want, process.Attributes().AsRaw())
}

// TestContribNaming holds the names of a dashboard that was made for contrib's receiver.
func TestContribNaming(t *testing.T) {
	root, err := filepath.Abs("testdata/root")
	require.NoError(t, err)
	scrapers := everything()
	delete(scrapers, "filesystem")
	// A configuration made for it names its metrics.
	scrapers["network"] = m{"metrics": m{"system.network.packets": m{"enabled": false}, "system.network.conntrack.count": m{"enabled": true}}}
	cfg, err := config(t, m{"root_path": root, "naming": "contrib", "scrapers": scrapers})
	require.NoError(t, err)
	got := map[string]float64{}
	for _, md := range scrapeAll(t, cfg) {
		for k, v := range flat(md) {
			got[k] = v
		}
	}
	for _, k := range []string{
		"system.cpu.time{cpu=cpu0,state=wait}", "system.cpu.time{cpu=cpu1,state=softirq}", "system.cpu.time{cpu=cpu1,state=interrupt}",
		"system.memory.usage{state=buffered}", "system.memory.usage{state=slab_reclaimable}", "system.linux.memory.available{}",
		"system.network.dropped{device=eth9,direction=transmit}", "system.network.connections{protocol=tcp,state=LISTEN}",
		"system.memory.linux.hugepages.usage{system.memory.linux.hugepages.state=free}", "system.disk.io{device=sda,direction=read}",
		"system.paging.operations{direction=page_in,type=major}", "system.processes.count{status=sleeping}", "system.processes.created{}",
		"process.threads{}", "process.open_file_descriptors{}", "process.cpu.time{state=user}", "process.cpu.time{state=wait}",
	} {
		assert.Contains(t, got, k)
	}
	for k := range got {
		assert.NotContains(t, k, "system.network.packets")
		assert.NotContains(t, k, "system.device")
		assert.NotContains(t, k, "protocol=udp")
	}
	assert.Equal(t, 4.0, got["system.cpu.time{cpu=cpu1,state=interrupt}"])
}

// TestProcesses reads real processes by rules, one of which ends between the readings.
func TestProcesses(t *testing.T) {
	cfg, err := config(t, m{"scrapers": m{"process": m{"include": m{"names": []any{"hostreceiver.*test"}, "match_type": "regexp"}}}})
	require.NoError(t, err)
	r := readings(t, cfg)["process"]
	for range 2 {
		md, err := r.scrape(context.Background())
		require.NoError(t, err)
		require.Equal(t, 1, md.ResourceMetrics().Len())
		a := md.ResourceMetrics().At(0).Resource().Attributes()
		pid, _ := a.Get("process.pid")
		assert.EqualValues(t, os.Getpid(), pid.Int())
	}
}

// TestUnreadable holds that what is wrong is counted by its reason, and costs nothing else.
func TestUnreadable(t *testing.T) {
	root, err := filepath.Abs("testdata/root")
	require.NoError(t, err)
	cfg, err := config(t, m{"root_path": root, "scrapers": m{"processes": nil, "sensors": nil, "process": nil}})
	require.NoError(t, err)
	all := readings(t, cfg)
	for name, want := range map[string]uint64{"processes": 1, "process": 1, "sensors": 2} {
		_, err := all[name].scrape(context.Background())
		require.NoError(t, err)
		assert.Equal(t, want, all[name].faults.Count(host.Malformed), name)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		set  m
		want []string
	}{
		{"usual", m{"scrapers": m{"cpu": nil, "load": m{"cpu_average": true}, "process": m{"mute_process_all_errors": true, "exclude": m{"names": []any{"a"}, "match_type": "strict"}}}}, nil},
		{"none", nil, nil},
		{"metric of another scraper", m{"scrapers": m{"cpu": m{"metrics": m{"system.memory.usage": m{"enabled": true}}}}}, []string{"cpu has no metric system.memory.usage; it has system.cpu.frequency"}},
		{"named twice", m{"scrapers": m{"network": m{"metrics": m{"system.network.packets": m{"enabled": true}, "system.network.packet.count": m{"enabled": true}}}}}, []string{"twice"}},
		{"unknown scraper", m{"scrapers": m{"gpu": nil}}, []string{"gpu"}},
		{"all at once", m{
			"naming": "own", "root_path": "hostfs", "observer": "a\nb", "collection_interval": "0s",
			"scrapers": m{
				"disk":       m{"include": m{"interfaces": []any{"eth0"}}},
				"network":    m{"exclude": m{"interfaces": []any{"("}, "match_type": "regexp"}},
				"filesystem": m{"include_fs_types": m{"match_type": "glob", "fs_types": []any{"ext4"}}},
				"process":    m{"scrape_process_delay": "-1s"},
			},
		}, []string{"naming must be", "root_path must begin", "observer", "requires positive value", "interfaces does nothing here; it takes devices",
			`"(" is no regular expression`, `not "glob"`, "scrape_process_delay must not be negative"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config(t, c.set)
			if len(c.want) == 0 {
				require.NoError(t, err)
			}
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	cfg, err := config(t, m{"root_path": "/nonexistent", "scrapers": m{"cpu": nil}})
	require.NoError(t, err)
	r, err := newMetrics(cfg, receivertest.NewNopSettings(metadata.Type), nil)
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(context.Background(), componenttest.NewNopHost()), "/nonexistent is no root directory")
	require.NoError(t, r.Shutdown(context.Background()))
	require.NoError(t, r.Shutdown(context.Background()), "twice")
	cfg, _ = config(t, nil)
	_, err = newMetrics(cfg, receivertest.NewNopSettings(metadata.Type), nil)
	require.ErrorContains(t, err, "scrapers names none")
}

func BenchmarkScrape(b *testing.B) {
	cfg := createDefaultConfig().(*Config)
	set := m{}
	for name := range everything() {
		if name != "process" {
			set[name] = nil
		}
	}
	if err := confmap.NewFromStringMap(m{"scrapers": set}).Unmarshal(cfg); err != nil {
		b.Fatal(err)
	}
	s := newSource(cfg, receivertest.NewNopSettings(metadata.Type))
	for _, n := range s.all() {
		if r := n.scraper.make(s); r != nil {
			b.Run(n.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := r.scrape(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
