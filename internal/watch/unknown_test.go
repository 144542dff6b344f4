package watch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/monban/monban/internal/threshold"
)

// said lists what was logged, each with its level and rule, and forgets it.
func (m *made) said() (all []string) {
	for _, l := range m.logs.TakeAll() {
		s := l.Level.String() + " "
		if rule, ok := l.ContextMap()["rule"]; ok {
			s += fmt.Sprint(rule) + ": "
		}
		all = append(all, s+l.Message)
	}
	return all
}

// late lets ten minutes go by, and two more seconds to see that all is said once.
func (m *made) late() []string {
	for i := range 3 {
		m.idle(time.Now().Add(11*time.Minute + time.Duration(i)*time.Second))
	}
	return m.said()
}

// TestNeverSelected: a condition that never holds says so, with what its texts may have meant.
func TestNeverSelected(t *testing.T) {
	rules := `{rules: [
		{name: value, metric: m, where: 'attributes["state"] == "usedd"', above: 0.8},
		{name: name, metric: m, where: 'attributes["stat"] == "user"', above: 0.8},
		{name: resource, metric: m, where: 'resource.attributes["host.name"] == "edge-2"', above: 0.8},
		{name: nothing, metric: m, where: 'metric.type == 77', above: 0.8},
		{name: broken, metric: m, where: 'Int(attributes["state"]) + attributes["none"] > 1', above: 0.8},
		{name: good, metric: m, where: 'attributes["state"] == "user"', above: 0.8}]}`
	m := start(t, Metrics, threshold.Mark, rules)
	for i := range int64(3) {
		md := gauge("m", 10*i, 0.1, 0.2)
		md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(1).Attributes().PutStr("state", "used")
		m.through(t, md)
	}
	m.idle(time.Now().Add(9 * time.Minute))
	assert.Empty(t, m.said(), "before ten minutes are over")
	const judged = "A rule has judged nothing: where holds for none of the 6 points that came"
	want := []string{
		`warn value: ` + judged + `; state is used, user; similar to "usedd": used, user`,
		`warn name: ` + judged + `; similar to "stat": state`,
		`warn resource: ` + judged + `; host.name is edge-1; similar to "edge-2": edge-1`,
		`warn nothing: ` + judged,
		`warn broken: A rule has judged nothing: where could not be evaluated for any of the 6 points that came`,
	}
	assert.Equal(t, want, m.late())
	assert.Empty(t, m.late(), "said once")

	t.Run("at the end of a dry run", func(t *testing.T) {
		m := start(t, Metrics, threshold.Mark, strings.Replace(rules, "{rules", "{dry_run: true, rules", 1))
		m.through(t, gauge("m", 0, 0.1))
		require.NoError(t, m.Shutdown(t.Context()))
		said := m.said()
		require.Len(t, said, 5+6)
		assert.Equal(t, `warn value: A rule has judged nothing: where holds for none of the 1 points that came; state is user; similar to "usedd": user`, said[0])
	})
	t.Run("not yet at the end of another", func(t *testing.T) {
		m := start(t, Metrics, threshold.Mark, rules)
		m.through(t, gauge("m", 0, 0.1))
		require.NoError(t, m.Shutdown(t.Context()))
		assert.Empty(t, m.said())
	})
}

// mounts is a batch of a file system for each of these.
func mounts(second int64, names ...string) pmetric.Metrics {
	md := gauge("fs", second, make([]float64, len(names))...)
	for i, dp := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().All() {
		_ = dp.Attributes().FromRaw(map[string]any{"mp": names[i], "type": "ext4"})
	}
	return md
}

// TestPerThatIsNotThere: entities that a misspelt attribute makes one are told of.
func TestPerThatIsNotThere(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{rules: [
		{name: typo, metric: fs, per: [mount], above: 1000},
		{name: near, metric: fs, per: [host.name, typ], above: 1000},
		{name: merged, metric: fs, per: [host.name, device], above: 1000},
		{name: either, metric: fs, per: [host.name, mountpoint, mp], above: 1000},
		{name: all, metric: fs, above: 1000},
		{name: good, metric: fs, per: [host.name, mp], above: 1000}]}`)
	m.through(t, mounts(0, "/a", "/b"))
	m.through(t, mounts(10, "/a", "/b"))
	const apart = "A rule tells entities apart by "
	assert.Equal(t, []string{
		"warn typo: " + apart + "mount, which none of its points has; they have host.name, mp, type",
		"warn near: " + apart + "typ, which none of its points has; similar: type",
		"warn merged: " + apart + "device, which none of its points has; they have mp, type",
		"info either: " + apart + "mountpoint, which none of its points has; they have type",
	}, m.late())
	assert.Empty(t, m.late())
}

func TestPerOfRecords(t *testing.T) {
	m := start(t, Logs, threshold.Mark, `{rules: [{name: typo, attribute: bytes, per: [source.devise.id], above: 1000}, {name: good, attribute: bytes, per: [source.device.id, host.name], above: 1000}]}`)
	m.throughLogs(t, records(0, 1, 2))
	assert.Equal(t, []string{"warn typo: A rule tells entities apart by source.devise.id, which none of its points has; similar: source.device.id"}, m.late())
}

// TestOfRecords: events and attributes of log records that are not there.
func TestOfRecords(t *testing.T) {
	m := start(t, Logs, threshold.Mark, `{rules: [
		{name: event, attribute: bytes, event: network.flo, above: 50},
		{name: odd, attribute: bytes, event: zzz, above: 50},
		{name: other, attribute: packets, event: network.flow, above: 50},
		{name: text, attribute: source.device.id, above: 50},
		{name: good, attribute: bytes, event: network.flow, above: 50}]}`)
	ld := records(0, 1, 2, 3)
	lr := ld.ResourceLogs().At(0).ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetEventName("network.packet")
	lr.Attributes().PutInt("packets", 5)
	m.throughLogs(t, ld)
	assert.Equal(t, []string{
		"warn event: A rule waits for the event network.flo, which has not come; similar: network.flow",
		"warn odd: A rule waits for the event zzz, which has not come; no event that came has a similar name",
		"warn other: A rule has judged nothing: none of the 3 records of the event network.flow has the attribute packets; they have bytes, limit, source.device.id",
		"warn text: A rule has judged nothing: of what came 3 no_number",
	}, m.late())
	assert.Empty(t, m.late())
}

// An attribute that first comes late is not waited for any more.
func TestAttributeThatComesLate(t *testing.T) {
	m := start(t, Logs, threshold.Mark, `{rules: [{name: r, attribute: late, above: 50}]}`)
	for range maxLooked {
		m.throughLogs(t, records(0, 1))
	}
	ld := records(5, 1)
	ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutInt("late", 5)
	m.throughLogs(t, ld)
	assert.Empty(t, m.late())
}

// TestUnfitMetrics: what a rule asks of a metric and it does not have.
func TestUnfitMetrics(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{rules: [
		{name: histogram, metric: hist, above: 1},
		{name: number, metric: m, value: p99, above: 1},
		{name: max, metric: hist, value: max, above: 1},
		{name: rate, metric: m, rate: second, above: 1},
		{name: ratio, metric: m, over: {metric: hist}, above: 1},
		{name: good, metric: hist, value: count, above: 1}]}`)
	batch := func(second int64) {
		md := gauge("m", second, 1)
		mt := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().AppendEmpty()
		mt.SetName("hist")
		mt.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		dp := mt.Histogram().DataPoints().AppendEmpty()
		dp.SetTimestamp(pcommon.Timestamp(epoch + second*1e9))
		dp.SetCount(3)
		m.through(t, md)
	}
	batch(0)
	assert.Equal(t, []string{
		"warn number: Points are not judged: the rule asks for the p99 of a histogram or summary, and their metric is of numbers.",
		"warn histogram: Points are not judged: their metric is a histogram or summary, and the rule does not say by value what of it is meant.",
	}, m.said(), "at once")
	assert.Empty(t, m.late(), "a rate of one point is too early")
	batch(10)
	batch(20)
	assert.Equal(t, []string{
		"warn max: A rule has judged nothing: of what came 3 no_value",
		"warn ratio: A rule has judged nothing: of what came 3 no_partner",
	}, m.late())
}

func TestMisfits(t *testing.T) {
	m := start(t, Metrics, threshold.Mark, `{rules: [{name: neg, metric: x.utilization, below: -1}, {name: clear, metric: x.utilization, below: 0.5, clear: 2}, {name: good, metric: x.utilization, below: 0.5}]}`)
	m.through(t, gauge("x.utilization", 0, 0.9))
	assert.Equal(t, []string{"warn neg: The rule can never fire: the metric is a share from 0 to 1.",
		"warn clear: An alarm of the rule can never end: the metric is a share from 0 to 1."}, m.said())
}

// What is remembered of a million attributes, values and events is bounded, and nothing of it is left when all is said.
func TestTrialsAreBounded(t *testing.T) {
	var rules []string
	for i := range 30 {
		rules = append(rules, fmt.Sprintf(`{name: r%d, attribute: bytes, where: 'attributes["no"] == "no"', per: [no], above: 1}`, i))
	}
	m := start(t, Logs, threshold.Mark, "{rules: ["+strings.Join(rules, ", ")+"]}")
	for i := range 200 {
		ld := records(int64(i), 1)
		lr := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		lr.SetEventName(fmt.Sprint("event ", i))
		for k := range 60 {
			lr.Attributes().PutStr(fmt.Sprint("a", k), fmt.Sprint(i, strings.Repeat("x", i)))
		}
		m.throughLogs(t, ld)
	}
	texts := 0
	for i := range m.trials {
		assert.LessOrEqual(t, len(m.trials[i].attrs), maxNames)
		for name, a := range m.trials[i].attrs {
			texts += 1 + len(a.values)
			assert.LessOrEqual(t, len(a.values), maxValues)
			for _, s := range append(a.values, name) {
				assert.LessOrEqual(t, len(s), maxText)
			}
		}
	}
	assert.Greater(t, texts, 10_000)
	assert.LessOrEqual(t, texts, maxTexts)
	counted := m.trials[0].texts
	assert.Equal(t, texts, *counted)
	assert.Len(t, m.late(), 30)
	assert.Zero(t, *counted)
	for i := range m.trials {
		assert.Nil(t, m.trials[i].attrs)
	}
}
