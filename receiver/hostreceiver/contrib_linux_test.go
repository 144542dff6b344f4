package hostreceiver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// contribMetrics is what contrib's receiver has on Linux at v0.155: unit, type and attributes of each metric.
var contribMetrics = map[string]string{
	"system.cpu.frequency":                      "Hz gauge double cpu",
	"system.cpu.logical.count":                  "{cpu} sum int",
	"system.cpu.physical.count":                 "{cpu} sum int",
	"system.cpu.time":                           "s sum monotonic double cpu state",
	"system.cpu.utilization":                    "1 gauge double cpu state",
	"system.disk.io":                            "By sum monotonic int device direction",
	"system.disk.io_time":                       "s sum monotonic double device",
	"system.disk.merged":                        "{operations} sum monotonic int device direction",
	"system.disk.operation_time":                "s sum monotonic double device direction",
	"system.disk.operations":                    "{operations} sum monotonic int device direction",
	"system.disk.pending_operations":            "{operations} sum int device",
	"system.disk.weighted_io_time":              "s sum monotonic double device",
	"system.filesystem.inodes.usage":            "{inodes} sum int device mode mountpoint state type",
	"system.filesystem.usage":                   "By sum int device mode mountpoint state type",
	"system.filesystem.utilization":             "1 gauge double device mode mountpoint type",
	"system.cpu.load_average.15m":               "{thread} gauge double",
	"system.cpu.load_average.1m":                "{thread} gauge double",
	"system.cpu.load_average.5m":                "{thread} gauge double",
	"system.linux.memory.available":             "By sum int",
	"system.linux.memory.dirty":                 "By sum int",
	"system.memory.limit":                       "By sum int",
	"system.memory.linux.hugepages.limit":       "{page} sum int",
	"system.memory.linux.hugepages.page_size":   "By sum int",
	"system.memory.linux.hugepages.reserved":    "{page} sum int",
	"system.memory.linux.hugepages.surplus":     "{page} sum int",
	"system.memory.linux.hugepages.usage":       "{page} sum int system.memory.linux.hugepages.state",
	"system.memory.linux.hugepages.utilization": "1 gauge double system.memory.linux.hugepages.state",
	"system.memory.linux.shared":                "By sum int",
	"system.memory.page_size":                   "By gauge int",
	"system.memory.usage":                       "By sum int state",
	"system.memory.utilization":                 "1 gauge double state",
	"system.network.connections":                "{connections} sum int protocol state",
	"system.network.conntrack.count":            "{entries} sum int",
	"system.network.conntrack.max":              "{entries} sum int",
	"system.network.dropped":                    "{packets} sum monotonic int device direction",
	"system.network.errors":                     "{errors} sum monotonic int device direction",
	"system.network.io":                         "By sum monotonic int device direction",
	"system.network.packets":                    "{packets} sum monotonic int device direction",
	"system.paging.faults":                      "{faults} sum monotonic int type",
	"system.paging.operations":                  "{operations} sum monotonic int direction type",
	"system.paging.usage":                       "By sum int device state",
	"system.paging.utilization":                 "1 gauge double device state",
	"system.processes.count":                    "{processes} sum int status",
	"system.processes.created":                  "{processes} sum monotonic int",
	"process.context_switches":                  "{count} sum monotonic int type",
	"process.cpu.time":                          "s sum monotonic double state",
	"process.cpu.utilization":                   "1 gauge double state",
	"process.disk.io":                           "By sum monotonic int direction",
	"process.disk.operations":                   "{operations} sum monotonic int direction",
	"process.memory.usage":                      "By sum int",
	"process.memory.utilization":                "1 gauge double",
	"process.memory.virtual":                    "By sum int",
	"process.open_file_descriptors":             "{count} sum int",
	"process.paging.faults":                     "{faults} sum monotonic int type",
	"process.signals_pending":                   "{signals} sum int",
	"process.threads":                           "{threads} sum int",
	"process.uptime":                            "s gauge double",
	"system.uptime":                             "s gauge double",
}

// ownMetrics are ours only.
var ownMetrics = []string{"hw.fan.speed", "hw.temperature", "system.disk.limit", "system.filesystem.limit", "system.memory.linux.slab.usage"}

// notEverywhere are metrics that some hosts have none of.
var notEverywhere = []string{"system.cpu.frequency", "system.network.conntrack.count", "system.network.conntrack.max", "system.paging.usage",
	"system.paging.utilization", "system.memory.linux.hugepages.utilization", "system.disk.", "system.filesystem.inodes.usage", "process.disk."}

// shape is how contribMetrics describes a metric, with the attributes of a point.
func shape(m pmetric.Metric, p pmetric.NumberDataPoint) string {
	out := []string{m.Unit(), "gauge"}
	if m.Type() == pmetric.MetricTypeSum {
		out[1] = "sum"
		if m.Sum().IsMonotonic() {
			out = append(out, "monotonic")
		}
	}
	out = append(out, map[pmetric.NumberDataPointValueType]string{
		pmetric.NumberDataPointValueTypeInt: "int", pmetric.NumberDataPointValueTypeDouble: "double"}[p.ValueType()])
	var keys []string
	for k := range p.Attributes().All() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return strings.Join(append(out, keys...), " ")
}

// runContrib runs a receiver of testdata/contrib.yaml under its new name until it gave what is wanted, and
// returns its metrics by name with their shapes, and what it logged.
func runContrib(t *testing.T, name, naming string, want ...string) (map[string][]string, *observer.ObservedLogs) {
	t.Helper()
	conf, err := confmaptest.LoadConf("testdata/contrib.yaml")
	require.NoError(t, err)
	set := conf.ToStringMap()[name].(map[string]any)
	set["naming"] = naming
	cfg, err := config(t, set)
	require.NoError(t, err)
	core, logs := observer.New(zap.WarnLevel)
	settings := receivertest.NewNopSettings(metadata.Type)
	settings.Logger = zap.New(core)
	sink := new(consumertest.MetricsSink)
	r, err := NewFactory().CreateMetrics(t.Context(), settings, cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	got := map[string][]string{}
	assert.Eventually(t, func() bool {
		all := sink.AllMetrics()
		sink.Reset()
		for _, md := range all {
			for _, m := range eachMetric(md) {
				for _, p := range points(m).All() {
					if s := shape(m, p); !slices.Contains(got[m.Name()], s) {
						got[m.Name()] = append(got[m.Name()], s)
					}
				}
			}
		}
		return !slices.ContainsFunc(want, func(n string) bool { return got[n] == nil })
	}, 30*time.Second, 50*time.Millisecond, "not all metrics came")
	require.NoError(t, r.Shutdown(t.Context()))
	return got, logs
}

// TestContribConfiguration runs a configuration that has every setting of contrib's receiver, with only the name
// changed, and holds each metric against what dashboards made for it expect.
func TestContribConfiguration(t *testing.T) {
	var want []string
	for name := range contribMetrics {
		if !slices.ContainsFunc(notEverywhere, func(p string) bool { return strings.HasPrefix(name, p) }) {
			want = append(want, name)
		}
	}
	got, logs := runContrib(t, "hostmetrics", namingContrib, want...)
	for name, shapes := range got {
		if !slices.Contains(ownMetrics, name) {
			assert.Equal(t, []string{contribMetrics[name]}, shapes, name)
		}
	}
	require.Equal(t, 1, logs.Len(), "one warning: %v", logs.All())
	assert.Equal(t, []any{"metadata_collection_interval", "scrapers::disk::include::regexp", "scrapers::filesystem::exclude_fs_types::match_type",
		"scrapers::network::include::regexp", "scrapers::nfs", "scrapers::process::metrics::process.handles"}, logs.All()[0].ContextMap()["settings"])

	got, _ = runContrib(t, "hostmetrics", namingSemconv, "process.thread.count", "system.network.packet.count", "system.cpu.time")
	assert.NotContains(t, got, "process.threads")
}

// TestContribAggregation holds that attributes which are to stay may be named as contrib's output has them.
func TestContribAggregation(t *testing.T) {
	got, logs := runContrib(t, "host_metrics/aggregated", namingContrib, "system.cpu.time", "system.network.io", "process.cpu.time", "system.memory.usage")
	assert.Zero(t, logs.Len(), logs.All())
	assert.Equal(t, []string{"s sum monotonic double state"}, got["system.cpu.time"])
	assert.Equal(t, []string{"By sum monotonic int direction"}, got["system.network.io"])
	assert.Equal(t, []string{"{packets} sum monotonic int direction"}, got["system.network.packets"])
	assert.Equal(t, []string{"{connections} sum int state"}, got["system.network.connections"])
	got, _ = runContrib(t, "host_metrics/aggregated", namingSemconv, "system.cpu.time")
	assert.Equal(t, []string{"s sum monotonic double cpu.mode"}, got["system.cpu.time"])

	_, err := config(t, m{"scrapers": m{"cpu": m{"metrics": m{"system.cpu.time": m{"attributes": []any{"device"}}}}}})
	require.ErrorContains(t, err, "valid attributes: [cpu.logical_number, cpu.mode]")
	_, err = config(t, m{"scrapers": m{"disk": m{"include": m{"regexp": m{"cache": true}}}}})
	require.ErrorContains(t, err, "scrapers::disk::include::regexp has no cache; it has cacheenabled, cachemaxnumentries")
}

// TestBlockWithoutPipeline holds that a block which does nothing, as no pipeline asks for it, is said.
func TestBlockWithoutPipeline(t *testing.T) {
	start := func(cfg *Config, signals ...string) []string {
		core, logs := observer.New(zap.WarnLevel)
		settings := receivertest.NewNopSettings(metadata.Type)
		settings.Logger = zap.New(core)
		var all []component.Component
		for _, s := range signals { // as the Collector does: all are made, then started
			var r component.Component
			var err error
			if s == "logs" {
				r, err = NewFactory().CreateLogs(t.Context(), settings, cfg, consumertest.NewNop())
			} else {
				r, err = NewFactory().CreateMetrics(t.Context(), settings, cfg, consumertest.NewNop())
			}
			require.NoError(t, err)
			all = append(all, r)
		}
		for _, r := range all {
			require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
		}
		for _, r := range all {
			require.NoError(t, r.Shutdown(t.Context()))
		}
		var said []string
		for _, l := range logs.All() {
			said = append(said, l.Message)
		}
		return said
	}
	both := m{"scrapers": m{"load": nil}, "posture": m{"storage": "nonexistent", "off": []any{"setuid"}}}
	cfg, err := config(t, both)
	require.NoError(t, err)
	if said := start(cfg, "metrics"); assert.Len(t, said, 1) {
		assert.Contains(t, said[0], "posture is set, but no pipeline of logs has this receiver")
	}
	delete(both["posture"].(m), "storage")
	cfg, err = config(t, both)
	require.NoError(t, err)
	if said := start(cfg, "logs"); assert.Len(t, said, 1) {
		assert.Contains(t, said[0], "scrapers is set, but no pipeline of metrics has this receiver")
	}
	for _, order := range [][]string{{"metrics", "logs"}, {"logs", "metrics"}} {
		cfg, err = config(t, both)
		require.NoError(t, err)
		assert.Empty(t, start(cfg, order...))
	}
	cfg, err = config(t, m{"scrapers": m{"load": nil}})
	require.NoError(t, err)
	assert.Empty(t, start(cfg, "metrics"))
}
