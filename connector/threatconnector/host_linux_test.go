package threatconnector

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/monban/monban/connector/thresholdconnector"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/processor/baselineprocessor"
	"github.com/monban/monban/receiver/hostreceiver"
)

// smallHost is the root directory of a host that has accounts, a load and an interface.
func smallHost(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/stat": "cpu 0\nbtime 1770000000\n", "proc/loadavg": "0.50 0.40 0.30 1/100 4242\n", "etc/hostname": "box\n", "etc/machine-id": "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "sudo:x:27:\n", "sys/class/net/eth0/address": "00:00:5e:00:53:01\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	return root
}

// The host is one device, with one name, for what is told of its security, its thresholds, what was
// learned of its metrics, and its flows.
func TestHostIsOneDevice(t *testing.T) {
	for want, given := range map[string]m{"00:00:5e:00:53:01": {}, "box-17": {"device_id": "box-17"}} {
		t.Run(want, func(t *testing.T) { oneDevice(t, want, given) })
	}
}

func oneDevice(t *testing.T, want string, given m) {
	root, sink := smallHost(t), new(consumertest.LogsSink)
	logs, _ := start(t, config(), componenttest.NewNopHost(), sink)
	metrics := startMetrics(t, sink)

	host := hostreceiver.NewFactory()
	given["off"] = []any{"listener", "setuid", "module", "usb_storage", "encryption", "updates", "unit", "file", "login", "ssh_key", "sudoers", "time", "firewall"}
	cfg := load(t, host.CreateDefaultConfig(), m{"root_path": root, "collection_interval": "1s", "initial_delay": "0s", "scrapers": m{"load": nil}, "posture": given})
	scraped, listed := new(consumertest.MetricsSink), new(atomic.Int64)
	posture, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		defer listed.Add(int64(ld.LogRecordCount()))
		return logs.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	hm, err := host.CreateMetrics(t.Context(), receivertest.NewNopSettings(host.Type()), cfg, scraped)
	begin(t, hm, err)
	hl, err := host.CreateLogs(t.Context(), receivertest.NewNopSettings(host.Type()), cfg, posture)
	begin(t, hl, err)

	// Posture: an account that was not there.
	require.Eventually(t, func() bool { return scraped.DataPointCount() > 0 && listed.Load() == 2 }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\neve:x:0:0::/:/bin/sh\n"), 0o644))
	require.Eventually(t, func() bool { return len(reportsOf(sink)) > 0 }, 30*time.Second, 10*time.Millisecond)

	// Thresholds: the load that was read.
	th := thresholdconnector.NewFactory()
	tc, err := th.CreateMetricsToLogs(t.Context(), connectortest.NewNopSettings(th.Type()), load(t, th.CreateDefaultConfig(),
		m{"rules": []any{m{"name": "busy", "metric": "system.cpu.load_average.1m", "above": 0.25, "severity": "critical"}}}), logs)
	begin(t, tc, err)
	md := scraped.AllMetrics()[0]
	require.NoError(t, tc.(interface {
		ConsumeMetrics(context.Context, pmetric.Metrics) error
	}).ConsumeMetrics(t.Context(), md))

	// What was learned of metrics: the load of two weeks, and one that is stuck.
	bp := baselineprocessor.NewFactory()
	bm, err := bp.CreateMetrics(t.Context(), processortest.NewNopSettings(bp.Type()), bp.CreateDefaultConfig(), metrics)
	begin(t, bm, err)
	r := rand.New(rand.NewPCG(1, 2))
	const weeks = 14 * 86400
	for at := int64(0); at < weeks+2*3600; at += 300 {
		next := pmetric.NewMetrics()
		md.CopyTo(next)
		v := 40 + r.NormFloat64()
		if at >= weeks {
			v = 40.25
		}
		for _, m := range next.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
			dp := m.Gauge().DataPoints().At(0)
			dp.SetTimestamp(pcommon.Timestamp(epoch + at*1e9))
			dp.SetDoubleValue(v)
		}
		require.NoError(t, bm.ConsumeMetrics(t.Context(), next))
	}

	// A flow of the device that the wire knows.
	require.NoError(t, logs.ConsumeLogs(t.Context(), batch(judged(0, baseline.SynFlood, want))))

	classes := map[string]string{}
	for _, r := range reportsOf(sink) {
		assert.Equal(t, want, r.Device, r.Class)
		assert.Equal(t, "box", r.DeviceName, r.Class)
		classes[r.Class] = r.Severity
	}
	assert.Equal(t, map[string]string{threat.HostAccess: threat.High, threat.Threshold: threat.Critical, threat.StuckSensor: threat.Medium, threat.Flood: threat.High}, classes)
}
