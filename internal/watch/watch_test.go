package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/threshold"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const epoch = int64(1_770_000_000e9)

// read reads a configuration as the Collector does.
func read(t testing.TB, text string) *Config {
	t.Helper()
	raw, err := confmap.NewRetrievedFromYAML([]byte(text))
	require.NoError(t, err)
	conf, err := raw.AsConf()
	require.NoError(t, err)
	cfg := NewDefaultConfig()
	require.NoError(t, conf.Unmarshal(cfg))
	require.NoError(t, xconfmap.Validate(cfg))
	return cfg
}

// made is a Watch with what it logs and sends.
type made struct {
	*Watch
	logs *observer.ObservedLogs
	sent []plog.Logs
}

func start(t testing.TB, signal Signal, do, text string) *made {
	t.Helper()
	return startOn(t, componenttest.NewNopHost(), signal, do, text)
}

func startOn(t testing.TB, host component.Host, signal Signal, do, text string) *made {
	t.Helper()
	cfg := read(t, text)
	require.NoError(t, cfg.Check())
	core, logs := observer.New(zap.InfoLevel)
	m := &made{logs: logs}
	set := componenttest.NewNopTelemetrySettings()
	set.Logger = zap.New(core)
	w, err := New(Settings{Config: cfg, Signal: signal, Do: do, Telemetry: set, Scope: "test",
		Send: func(_ context.Context, l plog.Logs) error { m.sent = append(m.sent, l); return nil }})
	require.NoError(t, err)
	m.Watch = w
	require.NoError(t, w.Start(t.Context(), host, component.KindProcessor, component.MustNewID("threshold")))
	t.Cleanup(func() { require.NoError(t, w.Shutdown(context.Background())) })
	return m
}

// gauge is a batch of one host with a metric.
func gauge(name string, second int64, values ...float64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", "edge-1")
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName(name)
	m.SetUnit("1")
	points := m.SetEmptyGauge().DataPoints()
	for i, v := range values {
		dp := points.AppendEmpty()
		dp.SetTimestamp(pcommon.Timestamp(epoch + second*1e9))
		dp.SetDoubleValue(v)
		dp.Attributes().PutInt("cpu", int64(i))
		dp.Attributes().PutStr("state", []string{"user", "idle"}[i%2])
	}
	return md
}

// through sends a batch through and gives what comes out of each metric.
func (m *made) through(t testing.TB, md pmetric.Metrics) (out []string) {
	t.Helper()
	handed := false
	require.NoError(t, m.Metrics(t.Context(), md, func(l plog.Logs) error { m.sent = append(m.sent, l); return nil }, func(md pmetric.Metrics) error {
		handed = true
		for _, rm := range md.ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				for _, mt := range sm.Metrics().All() {
					s := mt.Name()
					if mt.Type() == pmetric.MetricTypeGauge {
						for _, dp := range mt.Gauge().DataPoints().All() {
							s += fmt.Sprintf(" %v", dp.DoubleValue())
							if v, ok := dp.Attributes().Get("threshold.severity"); ok {
								r, _ := dp.Attributes().Get("threshold.rule")
								s += "!" + v.Str() + "/" + r.Str()
							}
						}
					}
					out = append(out, s)
				}
			}
		}
		return nil
	}))
	if !handed {
		return []string{"nothing"}
	}
	return out
}

// told lists what was sent, and forgets it.
func (m *made) told() (all []baseline.Observation) {
	for _, l := range m.sent {
		for _, rl := range l.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if lr.EventName() == baseline.Observations.Name {
						o := baseline.Observation{Time: int64(lr.Timestamp())}
						logrecord.Read(lr, baseline.Observations, &o)
						all = append(all, o)
					}
				}
			}
		}
	}
	m.sent = nil
	return all
}

func TestPass(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{rules: [{name: r, metric: m, above: 0.8, do: [pass]}]}`)
	assert.Equal(t, []string{"m 0.9 0.81"}, m.through(t, gauge("m", 0, 0.9, 0.8, 0.1, 0.81)))
	assert.Equal(t, []string{"other 0.1"}, m.through(t, gauge("other", 0, 0.1)), "what no rule selects passes")
	assert.Equal(t, []string{"nothing"}, m.through(t, gauge("m", 10, 0.1, 0.1)), "an empty batch is not handed on")
	empty := pmetric.NewMetrics()
	assert.Empty(t, m.through(t, empty), "one that came empty is")

	t.Run("one of two rules is enough", func(t *testing.T) {
		m := start(t, Metrics, threshold.Mark, `{rules: [{name: high, metric: m, above: 0.8, do: [pass]}, {name: low, metric: m, below: 0.2, do: [pass, mark]}]}`)
		assert.Equal(t, []string{"m 0.9 0.1!warn/low"}, m.through(t, gauge("m", 0, 0.9, 0.5, 0.1)))
	})
	t.Run("only what the condition selects is filtered", func(t *testing.T) {
		m := start(t, Metrics, threshold.Mark, `{rules: [{name: r, metric: m, where: 'attributes["state"] == "idle"', above: 0.8, do: [pass]}]}`)
		assert.Equal(t, []string{"m 0.1 0.9 0.3"}, m.through(t, gauge("m", 0, 0.1, 0.9, 0.3, 0.4)))
	})
	t.Run("what has no room passes", func(t *testing.T) {
		m := start(t, Metrics, threshold.Mark, `{rules: [{name: r, metric: m, above: 0.8, max_entities: 2, do: [pass]}]}`)
		assert.Equal(t, []string{"m 0.9 0.3 0.4"}, m.through(t, gauge("m", 0, 0.1, 0.9, 0.3, 0.4)))
	})
}

func TestMark(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `
rules:
  - {name: steps, metric: m, per: [host.name, cpu], steps: [{severity: warn, above: 0.5}, {severity: critical, above: 0.9}]}
  - {name: mean, metric: m, above: 0.7, severity: error}`)
	assert.Equal(t, []string{"m 0.4 0.6!warn/steps 0.8!error/mean 0.95!critical/steps"}, m.through(t, gauge("m", 0, 0.4, 0.6, 0.8, 0.95)))
}

// An entity is what its attributes say, in whatever order they come and whether the point has them or the resource.
func TestEntities(t *testing.T) {
	m := start(t, Metrics, threshold.Event, `{rules: [{name: all, metric: m, above: 1}, {name: host, metric: m, above: 1, per: [host.name, rack]}, {name: site, metric: m, above: 1, per: [site]}]}`)
	md := pmetric.NewMetrics()
	add := func(resource, attrs []string) {
		rm := md.ResourceMetrics().AppendEmpty()
		mt := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		mt.SetName("m")
		dp := mt.SetEmptyGauge().DataPoints().AppendEmpty()
		dp.SetTimestamp(pcommon.Timestamp(epoch))
		dp.SetIntValue(0)
		for i := 0; i < len(resource); i += 2 {
			rm.Resource().Attributes().PutStr(resource[i], resource[i+1])
		}
		for i := 0; i < len(attrs); i += 2 {
			dp.Attributes().PutStr(attrs[i], attrs[i+1])
		}
	}
	add([]string{"host.name", "a"}, []string{"cpu", "0", "mode", "idle"})
	add([]string{"host.name", "a"}, []string{"mode", "idle", "cpu", "0"}) // the same
	add([]string{"host.name", "a"}, []string{"cpu", "1", "mode", "idle"})
	add([]string{"host.name", "a", "rack", "7"}, nil)
	add([]string{"host.name", "a"}, []string{"host.name", "b"}) // the point knows better
	m.through(t, md)
	entities := map[string]int{}
	m.Report(func(rule string, _ threshold.Tally, n int) { entities[rule] = n })
	assert.Equal(t, map[string]int{"all": 4, "host": 3, "site": 1}, entities)
}

func TestEvents(t *testing.T) {
	m := start(t, Metrics, threshold.Event, `{rules: [{name: r, metric: m, where: 'attributes["state"] == "user"', above: 0.8, clear: 0.7, for: 20s, missing_for: 1m, per: [host.name]}]}`)
	for i, v := range []float64{0.9, 0.85, 0.95, 0.75, 0.6} {
		assert.Len(t, m.through(t, gauge("m", int64(10*i), v)), 1)
	}
	require.Len(t, m.sent, 2)
	rl := m.sent[0].ResourceLogs().At(0)
	host, _ := rl.Resource().Attributes().Get("host.name")
	assert.Equal(t, "edge-1", host.Str(), "the resource is that of the point")
	lr := rl.ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, plog.SeverityNumberWarn, lr.SeverityNumber())
	assert.Equal(t, "r (host.name=edge-1): m is 0.95, for 20s", lr.Body().Str())
	assert.Equal(t, plog.SeverityNumberInfo, m.sent[1].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).SeverityNumber())
	all := m.told()
	assert.Equal(t, []baseline.Phase{baseline.Rise, baseline.Fall}, []baseline.Phase{all[0].Phase, all[1].Phase})
	assert.Equal(t, "1", all[0].Unit)
	assert.Equal(t, "edge-1", all[0].Device)
	assert.Equal(t, epoch+int64(20e9), all[0].Time)

	// When nothing comes, the clock on the wall tells of silence.
	m.idle(m.heard.Add(59 * time.Second))
	assert.Empty(t, m.told())
	m.idle(m.heard.Add(61 * time.Second))
	all = m.told()
	require.Len(t, all, 1)
	assert.Equal(t, "missing", all[0].Kind)
	assert.Equal(t, epoch+int64(101e9), all[0].Time)
}

func TestHistogramsAndSums(t *testing.T) {
	m := start(t, Metrics, threshold.Event, `
rules:
  - {name: sum, metric: total, rate: second, above: 5}
  - {name: gauge, metric: level, rate: second, below: -5}
  - {name: hist, metric: hist, value: p90, above: 3}
  - {name: exp, metric: exp, value: mean, above: 3}
  - {name: summary, metric: summary, value: p99, above: 3}
  - {name: ratio, metric: used, over: {metric: limit}, above: 0.8}`)
	rises := map[string]int64{}
	for s := range int64(4) {
		md := pmetric.NewMetrics()
		metrics := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
		add := func(name string) pmetric.Metric {
			mt := metrics.AppendEmpty()
			mt.SetName(name)
			return mt
		}
		at := pcommon.Timestamp(epoch + s*10e9)
		high := s == 2
		sum := add("total").SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		dp := sum.DataPoints().AppendEmpty()
		dp.SetTimestamp(at)
		dp.SetIntValue([]int64{0, 10, 80, 90}[s])
		level := add("level").SetEmptySum()
		level.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		dp = level.DataPoints().AppendEmpty()
		dp.SetTimestamp(at)
		dp.SetIntValue([]int64{100, 90, 0, -10}[s])
		h := add("hist").SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		hp := h.DataPoints().AppendEmpty()
		hp.SetTimestamp(at)
		hp.ExplicitBounds().FromRaw([]float64{2, 10})
		hp.BucketCounts().FromRaw([]uint64{10, 0, 0})
		if high {
			hp.BucketCounts().FromRaw([]uint64{0, 10, 0})
		}
		hp.SetCount(10)
		x := add("exp").SetEmptyExponentialHistogram()
		x.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		xp := x.DataPoints().AppendEmpty()
		xp.SetTimestamp(at)
		xp.SetCount(uint64(10 + s))
		xp.SetSum([]float64{10, 11, 20, 21}[s])
		q := add("summary").SetEmptySummary().DataPoints().AppendEmpty()
		q.SetTimestamp(at)
		v := q.QuantileValues().AppendEmpty()
		v.SetQuantile(0.99)
		v.SetValue(map[bool]float64{true: 4, false: 2}[high])
		// The limit comes after what is divided by it, and counts all the same.
		dp = add("used").SetEmptyGauge().DataPoints().AppendEmpty()
		dp.SetTimestamp(at)
		dp.SetIntValue(70)
		dp = add("limit").SetEmptyGauge().DataPoints().AppendEmpty()
		dp.SetTimestamp(at)
		dp.SetIntValue(map[bool]int64{true: 80, false: 100}[high])
		m.through(t, md)
		for _, o := range m.told() {
			if o.Phase == baseline.Rise {
				rises[o.Rule] = (o.Time - epoch) / 1e9
			}
		}
	}
	assert.Equal(t, map[string]int64{"sum": 20, "gauge": 20, "hist": 20, "exp": 20, "summary": 20, "ratio": 20}, rises)
}

func TestNoRecordedValue(t *testing.T) {
	m := start(t, Metrics, threshold.Event, `{rules: [{name: r, metric: m, below: 1}]}`)
	md := gauge("m", 0, 0.5, 0.5)
	points := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints()
	points.At(0).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	m.through(t, md)
	m.Report(func(_ string, tally threshold.Tally, _ int) {
		assert.Equal(t, uint64(1), tally.Points[threshold.NoNumber])
		assert.Equal(t, uint64(1), tally.Rises)
	})
}

// records is a batch of log records with numbers.
func records(second int64, values ...any) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "edge-1")
	for i, v := range values {
		lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.SetEventName("network.flow")
		lr.SetTimestamp(pcommon.Timestamp(epoch + second*1e9 + int64(i)))
		_ = lr.Attributes().FromRaw(map[string]any{"bytes": v, "limit": 100, "source.device.id": "plc"})
	}
	return ld
}

func (m *made) throughLogs(t testing.TB, ld plog.Logs) (out []string) {
	t.Helper()
	require.NoError(t, m.Logs(t.Context(), ld, nil, func(ld plog.Logs) error {
		m.sent = append(m.sent, ld)
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					s := lr.EventName()
					if v, ok := lr.Attributes().Get("bytes"); ok {
						s += " " + v.AsString()
					}
					if v, ok := lr.Attributes().Get("threshold.rule"); ok {
						s += "!" + v.Str()
					}
					out = append(out, s)
				}
			}
		}
		return nil
	}))
	return out
}

func TestLogs(t *testing.T) {
	m := start(t, Logs, threshold.Mark, `
rules:
  - {name: big, attribute: bytes, event: network.flow, above: 50, per: [source.device.id], do: [event, mark]}
  - {name: share, attribute: bytes, over: {attribute: limit}, above: 0.9, where: 'attributes["source.device.id"] == "plc"', do: [pass]}
  - {name: other, attribute: bytes, event: other, above: 0}`)
	// What is no number can't be judged, and goes the way of its entity.
	assert.Equal(t, []string{"network.flow 95!big", "network.flow text!big", "device.observation"}, m.throughLogs(t, records(0, 10, 95.0, "text")))
	all := m.told()
	require.Len(t, all, 1)
	assert.Equal(t, "plc", all[0].Device)
	assert.Equal(t, []string{"source.device.id=plc"}, all[0].Entity)
	counts := map[string]uint64{}
	m.Report(func(rule string, tally threshold.Tally, _ int) {
		for i, n := range tally.Points {
			if n > 0 {
				counts[rule+" "+threshold.Outcome(i).String()] = n
			}
		}
	})
	assert.Equal(t, map[string]uint64{"big judged": 2, "big no_number": 1, "share judged": 2, "share no_number": 1}, counts)
}

func TestTimeOfARecord(t *testing.T) {
	lr := plog.NewLogRecord()
	assert.InDelta(t, float64(time.Now().UnixNano()), float64(timeOf(lr)), 1e10)
	lr.SetObservedTimestamp(5)
	assert.Equal(t, int64(5), timeOf(lr))
	lr.SetTimestamp(4)
	assert.Equal(t, int64(4), timeOf(lr))
}

func TestConfigs(t *testing.T) {
	bad := func(text, want string) {
		t.Helper()
		assert.ErrorContains(t, read(t, text).Check(), want)
	}
	bad(`{rules: []}`, "there is none")
	bad(`{rules: [{name: r, metric: m, above: 1}], save_interval: 1ms}`, "save_interval must be at least 1s")
	bad(`{rules: [{name: r, metric: m, above: 1, where: 'attributes["x" == 3'}]}`, `rule "r": where: `)
	bad(`{rules: [{name: r, attribute: a, above: 1, where: 'metric.name == "m"'}]}`, `rule "r": where: `)
	events := read(t, `{rules: [{name: r, metric: m, above: 1, do: [event]}]}`)
	assert.ErrorContains(t, events.NoEvents(), `rule "r": a pipeline of metrics carries no log records: use the connector threshold`)
	assert.NoError(t, read(t, `{rules: [{name: r, attribute: a, above: 1, do: [event]}]}`).NoEvents())
	assert.ErrorContains(t, read(t, `{rules: [{name: r, metric: m, above: 1, do: [event, pass]}]}`).Only(threshold.Event), `rule "r": do: it can't pass here`)
	_, err := New(Settings{Config: read(t, `{rules: [{name: r, metric: m, above: 1}]}`), Signal: Logs, Telemetry: componenttest.NewNopTelemetrySettings()})
	assert.ErrorContains(t, err, "no rule has attribute, so nothing in a pipeline of logs would ever be judged")
}

// What a rule waits for and does not come is said once, with what looks like it.
func TestUnknownMetric(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{rules: [{name: typo, metric: system.cpu.utilisation, above: 0.8}, {name: good, metric: m, above: 0.8}, {name: odd, metric: zzz, above: 1}]}`)
	m.through(t, gauge("system.cpu.utilization", 0, 0.1))
	m.through(t, gauge("m", 0, 0.1))
	m.idle(time.Now().Add(9 * time.Minute))
	assert.Zero(t, m.logs.Len())
	m.idle(time.Now().Add(11 * time.Minute))
	m.idle(time.Now().Add(12 * time.Minute))
	var said []string
	for _, l := range m.logs.All() {
		said = append(said, l.Message)
	}
	assert.Equal(t, []string{"A rule waits for system.cpu.utilisation, which has not come; similar: system.cpu.utilization",
		"A rule waits for zzz, which has not come; nothing that came has a similar name"}, said)
}

func TestUnits(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{rules: [{name: unit, metric: m, unit: By, above: 0.8}, {name: percent, metric: x.utilization, above: 80}]}`)
	m.through(t, gauge("m", 0, 0.9))
	m.through(t, gauge("m", 10, 0.9))
	m.through(t, gauge("x.utilization", 10, 0.9))
	var said []string
	for _, l := range m.logs.All() {
		said = append(said, l.Message)
	}
	assert.Equal(t, []string{"Points are not judged: their metric has another unit than the rule says.", "The rule can never fire: the metric is a share from 0 to 1."}, said)
	m.Report(func(rule string, tally threshold.Tally, _ int) {
		if rule == "unit" {
			assert.Equal(t, uint64(2), tally.Points[threshold.WrongUnit])
		}
	})
}

func TestBadConditionIsCounted(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{rules: [{name: r, metric: m, where: 'Int(attributes["state"]) + attributes["none"] > 1', above: 0.8, do: [pass]}]}`)
	assert.Equal(t, []string{"m 0.9"}, m.through(t, gauge("m", 0, 0.9)), "what can't be told apart passes")
	m.Report(func(_ string, tally threshold.Tally, _ int) {
		assert.Equal(t, uint64(1), tally.Points[threshold.BadCondition])
	})
}

// A dry run changes nothing, and says what would have been.
func TestDryRun(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{dry_run: true, rules: [{name: r, metric: m, above: 0.8, do: [pass, mark]}, {name: typo, metric: n, above: 1}]}`)
	for i := range int64(10) {
		md := gauge("m", 10*i, float64(i%2), 0)
		want := pmetric.NewMetrics()
		md.CopyTo(want)
		m.through(t, md)
		assert.Equal(t, want, md)
	}
	require.NoError(t, m.Shutdown(t.Context()))
	all := m.logs.All()
	require.Len(t, all, 3)
	assert.Equal(t, "A rule waits for n, which has not come; nothing that came has a similar name", all[0].Message)
	assert.True(t, strings.HasPrefix(all[1].Message, `Rule "r" would have fired 5 times, for 1 entities of 2`), all[1].Message)
	assert.Equal(t, zap.WarnLevel, all[1].Level)
}

func TestShutdownWithoutStart(t *testing.T) {
	w, err := New(Settings{Config: read(t, `{rules: [{name: r, metric: m, above: 1}]}`), Signal: Metrics, Do: threshold.Mark, Telemetry: componenttest.NewNopTelemetrySettings()})
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, w.Shutdown(t.Context()))
	}
}

// The example in the repository is read here, too, so that the fields of a rule are those of the page.
func TestExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "threshold.yaml"))
	require.NoError(t, err)
	raw, err := confmap.NewRetrievedFromYAML(text)
	require.NoError(t, err)
	all, err := raw.AsConf()
	require.NoError(t, err)
	for _, at := range []string{"processors::threshold/busy", "connectors::threshold"} {
		conf, err := all.Sub(at)
		require.NoError(t, err)
		cfg := NewDefaultConfig()
		require.NoError(t, conf.Unmarshal(cfg))
		require.NoError(t, cfg.Check())
	}
}

// hosts is a batch of n points of hosts with 8 CPUs each, two attributes a point.
func hosts(n int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	for h := range n / 8 {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("host.name", fmt.Sprintf("plant-%05d", h))
		m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("m")
		points := m.SetEmptyGauge().DataPoints()
		for c := range 8 {
			dp := points.AppendEmpty()
			dp.SetDoubleValue(0.5)
			dp.Attributes().PutStr("cpu", fmt.Sprintf("cpu%d", c))
			dp.Attributes().PutStr("state", "user")
		}
	}
	return md
}

func stamp(md pmetric.Metrics, t int64) {
	for _, rm := range md.ResourceMetrics().All() {
		for _, dp := range rm.ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().All() {
			dp.SetTimestamp(pcommon.Timestamp(t))
		}
	}
}

func TestNoMemoryInTheSteadyState(t *testing.T) {
	for _, rule := range []string{`{name: r, metric: m, above: 0.8, per: [host.name, cpu]}`, `{name: r, metric: m, above: 0.8}`, `{name: r, metric: m, above: 0.8, do: [mark]}`} {
		m := start(t, Metrics, threshold.Event, "{rules: ["+rule+"]}")
		md := hosts(8000)
		at := epoch
		round := func() {
			at += 10e9
			stamp(md, at)
			require.NoError(t, m.Metrics(t.Context(), md, nil, nil))
		}
		round()
		assert.Less(t, testing.AllocsPerRun(5, round), 8.0+1000*4, "a few for each resource and metric, none for a point")
	}
}

// FuzzMetrics feeds whatever OTLP can carry.
func FuzzMetrics(f *testing.F) {
	p := pmetric.ProtoMarshaler{}
	for _, md := range []pmetric.Metrics{gauge("m", 0, 0.1, 0.9), hosts(8)} {
		b, err := p.MarshalMetrics(md)
		require.NoError(f, err)
		f.Add(b)
	}
	cfg := read(f, `{rules: [{name: a, metric: m, above: 0.8, do: [pass, mark]}, {name: b, metric: m, value: p99, above: 1}, {name: c, metric: m, rate: second, above: 1},
		{name: d, metric: m, over: {metric: n}, where: 'attributes["state"] == "user"', outside: [0, 1]}, {name: e, metric: "", attribute: x, above: 1}]}`)
	f.Fuzz(func(t *testing.T, data []byte) {
		md, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(data)
		if err != nil {
			return
		}
		w, err := New(Settings{Config: cfg, Signal: Metrics, Do: threshold.Mark, Telemetry: componenttest.NewNopTelemetrySettings()})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := w.Metrics(t.Context(), md, nil, func(pmetric.Metrics) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		state, err := w.engine.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.engine.Restore(state); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKeysAreSorted(t *testing.T) {
	var k keyAll
	a, b := pcommon.NewMap(), pcommon.NewMap()
	for i, name := range []string{"z", "a", "m"} {
		a.PutInt(name, int64(i))
	}
	for _, name := range []string{"m", "z", "a"} {
		b.PutInt(name, int64(slices.Index([]string{"z", "a", "m"}, name)))
	}
	assert.Equal(t, k.appendAll(nil, a), k.appendAll(nil, b))
	assert.Equal(t, []string{"a=1", "m=2", "z=0"}, threshold.Names(string(k.appendAll(nil, a))))
}

// Marks of others are no part of who an entity is.
func TestMarksAreNoEntities(t *testing.T) {
	m := start(t, Metrics, "event", `
rules:
  - {name: hot, metric: temp, above: 80, for: 2m}
`)
	for n := range int64(6) {
		md := gauge("temp", n*60, 90)
		if n == 1 || n == 3 {
			md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0).Attributes().PutStr("observation.id", string(rune('a'+n)))
		}
		if err := m.Metrics(t.Context(), md, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.engine.Entities(0); n != 1 {
		t.Errorf("%d entities", n)
	}
}
