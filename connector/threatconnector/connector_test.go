package threatconnector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/monban/monban/connector/threatconnector/internal/metadata"
	"github.com/monban/monban/connector/threatconnector/internal/metadatatest"
	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/posture"
	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/internal/threat"
)

var epoch = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC).UnixNano()

func at(d time.Duration) int64 { return epoch + int64(d) }

func anomaly(kind, device string) event.Anomaly {
	return event.Anomaly{Score: 0.8, Reasons: []event.Reason{{Kind: kind, Device: device, Subject: "s", Strength: 1, Expected: "nothing like it", Seen: device + " did it"}}}
}

// judged is a flow with evidence; usual is one without.
func judged(d time.Duration, kind, device string) *flow.Record {
	r := usual(d)
	r.Src.Device, r.Anomaly = device, anomaly(kind, device)
	return r
}

func usual(d time.Duration) *flow.Record {
	return &flow.Record{Start: at(d), End: at(d), Net: packet.NetIPv4, Proto: packet.ProtoTCP, State: "S0", Community: "1:abc",
		Src: flow.End{Addr: netip.MustParseAddr("10.0.0.5"), Port: 4000, Packets: 1, Bytes: 44}, Dst: flow.End{Addr: netip.MustParseAddr("10.0.0.9"), Port: 23}}
}

func batch(events ...any) plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "edge-1")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for _, e := range events {
		switch e := e.(type) {
		case *flow.Record:
			logrecord.Append(records, flow.Fields, e.End, e)
		case *app.Sighting:
			logrecord.Append(records, app.Sightings, e.Time, e)
		case *device.Record:
			logrecord.Append(records, device.Records, e.Time, e)
		case *posture.Record:
			logrecord.Append(records, posture.Records, e.Time, e)
		case *baseline.Observation:
			logrecord.Append(records, baseline.Observations, e.Time, e)
		case string:
			records.AppendEmpty().SetEventName(e)
		}
	}
	logs.MarkReadOnly() // as a pipeline that shares its batches does
	return logs
}

func config() *Config { return NewFactory().CreateDefaultConfig().(*Config) }

type host struct {
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

func start(t *testing.T, cfg *Config, h component.Host, next consumer.Logs) (connector.Logs, *componenttest.Telemetry) {
	t.Helper()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	c, err := NewFactory().CreateLogsToLogs(t.Context(), metadatatest.NewSettings(tel), cfg, next)
	require.NoError(t, err)
	require.NoError(t, c.Start(t.Context(), h))
	t.Cleanup(func() { assert.NoError(t, c.Shutdown(context.Background())) })
	return c, tel
}

// written reads all reports, and checks the records around them.
func written(t *testing.T, sink *consumertest.LogsSink) (all []threat.Report) {
	t.Helper()
	for _, logs := range sink.AllLogs() {
		for _, rl := range logs.ResourceLogs().All() {
			name, _ := rl.Resource().Attributes().Get("host.name")
			assert.Equal(t, "edge-1", name.AsString())
			for _, sl := range rl.ScopeLogs().All() {
				assert.Equal(t, metadata.ScopeName, sl.Scope().Name())
				for _, lr := range sl.LogRecords().All() {
					assert.Equal(t, threat.Reports.Name, lr.EventName())
					r := threat.Report{Time: int64(lr.Timestamp())}
					logrecord.Read(lr, threat.Reports, &r)
					assert.Equal(t, r.Severity, lr.SeverityText())
					assert.Equal(t, r.Summary, lr.Body().Str())
					assert.NotZero(t, lr.SeverityNumber())
					all = append(all, r)
				}
			}
		}
	}
	return all
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"defaults", *config(), nil},
		{"each severity", Config{FailOn: "critical", SaveInterval: time.Minute}, nil},
		{"no severity", Config{FailOn: "urgent", SaveInterval: time.Minute}, []string{`fail_on is "urgent", it must be low, medium, high or critical`}},
		{"all at once", Config{FailOn: "High"}, []string{"fail_on", "save_interval"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.cfg.Validate()
			if c.want == nil {
				require.NoError(t, err)
			}
			for _, w := range c.want {
				require.ErrorContains(t, err, w)
			}
		})
	}
}

func TestEvidenceBecomesAReport(t *testing.T) {
	for name, c := range map[string]struct {
		event any
		class string
	}{
		"flow":        {judged(0, baseline.PortSweep, "d"), threat.PortScan},
		"sighting":    {&app.Sighting{Time: at(0), Kind: app.ARPClaim, Anomaly: anomaly(baseline.ARPConflict, "d")}, threat.ARPSpoofing},
		"device":      {&device.Record{Time: at(0), ID: "d", Name: "plc-1", Anomaly: anomaly(baseline.NewDevice, "d")}, threat.NewDevice},
		"posture":     {&posture.Record{Time: at(0), Kind: posture.User, Change: posture.Added, Device: "d", Anomaly: anomaly(posture.EvidenceOf(posture.User), "d")}, threat.HostAccess},
		"observation": {&baseline.Observation{Time: at(0), Device: "d", Anomaly: anomaly(baseline.Silent, "d")}, threat.SilentDevice},
	} {
		t.Run(name, func(t *testing.T) {
			sink := new(consumertest.LogsSink)
			c2, _ := start(t, config(), componenttest.NewNopHost(), sink)
			require.NoError(t, c2.ConsumeLogs(t.Context(), batch("somebody.elses", c.event, usual(time.Second), usual(10*time.Second))))
			all := written(t, sink)
			require.Len(t, all, 1)
			assert.Equal(t, c.class, all[0].Class)
			assert.Equal(t, "d", all[0].Device)
			assert.Equal(t, at(0), all[0].Time)
			if name == "device" {
				assert.Equal(t, "plc-1", all[0].DeviceName)
			}
			if name == "posture" {
				assert.Equal(t, "edge-1", all[0].DeviceName, "the device is the observer")
			}
		})
	}
}

func TestUsualRecordsMakeNothing(t *testing.T) {
	sink := new(consumertest.LogsSink)
	c, _ := start(t, config(), componenttest.NewNopHost(), sink)
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(usual(0), "somebody.elses", "", usual(time.Second))))
	require.NoError(t, c.ConsumeLogs(t.Context(), plog.NewLogs()))
	require.NoError(t, c.Shutdown(t.Context()))
	assert.Empty(t, sink.AllLogs(), "empty batches are not sent either")
}

func TestOneIncidentIsCountedOnce(t *testing.T) {
	sink := new(consumertest.LogsSink)
	c, tel := start(t, config(), componenttest.NewNopHost(), sink)
	for s := range 300 {
		require.NoError(t, c.ConsumeLogs(t.Context(), batch(judged(time.Duration(s)*time.Second, baseline.PortSweep, "d"))))
	}
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(usual(20*time.Minute))))
	all := written(t, sink)
	ids := map[string]bool{}
	for i, r := range all {
		ids[r.ID] = true
		assert.EqualValues(t, i+1, r.Revision)
	}
	assert.Len(t, ids, 1)
	assert.Less(t, len(all), 9, "five minutes")
	last := all[len(all)-1]
	assert.Equal(t, "closed", last.Status)
	assert.EqualValues(t, 300, last.Flows)
	metadatatest.AssertEqualThreatIncidents(t, tel, []metricdata.DataPoint[int64]{{
		Value: 1, Attributes: attribute.NewSet(attribute.String("class", threat.PortScan), attribute.String("severity", threat.Medium)),
	}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualThreatReports(t, tel, []metricdata.DataPoint[int64]{{Value: int64(len(all))}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualThreatEvidenceDropped(t, tel, []metricdata.DataPoint[int64]{{Value: 0}}, metricdatatest.IgnoreTimestamp())
}

func TestSeverityNumbersRise(t *testing.T) {
	last := plog.SeverityNumberUnspecified
	for _, s := range []string{threat.Low, threat.Medium, threat.High, threat.Critical} {
		assert.Greater(t, severityNumbers[s], last, s)
		last = severityNumbers[s]
	}
}

func TestShutdownTellsWhatIsOpen(t *testing.T) {
	sink := new(consumertest.LogsSink)
	c, _ := start(t, config(), componenttest.NewNopHost(), sink)
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(judged(0, baseline.PortSweep, "d"), judged(time.Second, baseline.PortSweep, "d"))))
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(judged(5*time.Second, baseline.PortSweep, "d"))))
	before := len(written(t, sink))
	for range 2 {
		require.NoError(t, c.Shutdown(t.Context()))
	}
	all := written(t, sink)
	require.Len(t, all, before+1)
	assert.EqualValues(t, 3, all[before].Flows)
	assert.Equal(t, "open", all[before].Status)
}

func TestShutdownWithoutStart(t *testing.T) {
	c, err := NewFactory().CreateLogsToLogs(t.Context(), connectortest.NewNopSettings(metadata.Type), config(), consumertest.NewNop())
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, c.Shutdown(t.Context()))
	}
	assert.False(t, c.Capabilities().MutatesData)
}

var errNext = errors.New("the next one is full")

func TestNextThatFails(t *testing.T) {
	c, err := NewFactory().CreateLogsToLogs(t.Context(), connectortest.NewNopSettings(metadata.Type), config(), consumertest.NewErr(errNext))
	require.NoError(t, err)
	require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(usual(0))))
	require.ErrorIs(t, c.ConsumeLogs(t.Context(), batch(judged(0, baseline.PortSweep, "d"))), errNext)
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(judged(time.Second, baseline.PortSweep, "d"))), "it waits for the next update")
	require.ErrorIs(t, c.Shutdown(t.Context()), errNext)
}

func TestFailOnSetsTheExitCode(t *testing.T) {
	require.Zero(t, run.ExitCode(), "another test has set it")
	cfg := config()
	cfg.FailOn = threat.High
	c, _ := start(t, cfg, componenttest.NewNopHost(), consumertest.NewNop())
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(judged(0, baseline.PortSweep, "d"))))
	assert.Zero(t, run.ExitCode(), "medium is below high")
	require.NoError(t, c.ConsumeLogs(t.Context(), batch(judged(time.Minute, baseline.BruteForce, "d"))))
	assert.Equal(t, run.ExitFound, run.ExitCode())
}

func TestManyAtOnce(t *testing.T) {
	sink := new(consumertest.LogsSink)
	c, _ := start(t, config(), componenttest.NewNopHost(), sink)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for s := range 20 {
				assert.NoError(t, c.ConsumeLogs(context.Background(), batch(judged(time.Duration(s)*time.Second, baseline.SynFlood, fmt.Sprint("d", i)))))
			}
		})
	}
	all.Wait()
	assert.GreaterOrEqual(t, len(written(t, sink)), 8)
}

func TestIncidentsOutliveARestart(t *testing.T) {
	f := statestorage.NewFactory()
	sc := f.CreateDefaultConfig().(*statestorage.Config)
	sc.Directory = t.TempDir()
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), sc)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	id := component.NewID(f.Type())
	h := host{map[component.ID]component.Component{id: ext}}
	cfg := config()
	cfg.Storage = &id

	sink := new(consumertest.LogsSink)
	for part := range 3 {
		c, _ := start(t, cfg, h, sink)
		for s := range 60 {
			require.NoError(t, c.ConsumeLogs(t.Context(), batch(judged(time.Duration(part*60+s)*time.Second, baseline.PortSweep, "d"))))
		}
		require.NoError(t, c.Shutdown(t.Context()))
	}
	all := written(t, sink)
	for i, r := range all {
		assert.Equal(t, all[0].ID, r.ID)
		assert.EqualValues(t, i+1, r.Revision, "a revision is written twice, or left out")
	}
	assert.EqualValues(t, 180, all[len(all)-1].Flows)
}

func TestMissingStorageStopsTheStart(t *testing.T) {
	cfg := config()
	id := component.MustNewID("state_storage")
	cfg.Storage = &id
	c, err := NewFactory().CreateLogsToLogs(t.Context(), connectortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.ErrorContains(t, c.Start(t.Context(), componenttest.NewNopHost()), `there is no extension "state_storage"`)
	require.NoError(t, c.Shutdown(t.Context()))
}

// FuzzConsume feeds whatever OTLP can carry: an upstream may be broken or hostile.
func FuzzConsume(f *testing.F) {
	strange := judged(0, baseline.PortSweep, "d")
	strange.Anomaly.Reasons = append(strange.Anomaly.Reasons, event.Reason{Kind: "nobody knows", Device: "d", Strength: math.NaN()}, event.Reason{})
	for _, logs := range []plog.Logs{
		batch(judged(0, baseline.PortSweep, "d"), usual(time.Second)), batch(strange, flow.Fields.Name, app.Sightings.Name, device.Records.Name),
		batch(&device.Record{Time: at(0), ID: "d", Name: "n", Anomaly: anomaly(baseline.NewDevice, "d")}),
	} {
		b, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		logs, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(data)
		if err != nil {
			return
		}
		sink := new(consumertest.LogsSink)
		c, err := newThreat(connectortest.NewNopSettings(metadata.Type), config(), sink)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range []plog.Logs{batch(judged(0, baseline.SynFlood, "x")), logs, batch(usual(time.Second)), logs, batch(usual(time.Hour))} {
			if err := c.ConsumeLogs(context.Background(), l); err != nil {
				t.Fatal(i, err)
			}
		}
		state, err := c.sites.One().engine.Snapshot()
		if err != nil {
			t.Fatalf("the incidents can't be saved: %v", err)
		}
		if err := threat.New().Restore(state); err != nil {
			t.Fatalf("what was saved can't be restored: %v", err)
		}
		if err := c.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, logs := range sink.AllLogs() {
			for _, sl := range logs.ResourceLogs().At(0).ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					var r threat.Report
					logrecord.Read(lr, threat.Reports, &r)
					if !(r.Confidence > 0 && r.Confidence <= 1) || r.ID == "" || r.Device == "" {
						t.Errorf("%+v", r)
					}
				}
			}
		}
	})
}

// BenchmarkConsume reads batches in which nothing is unusual, as most are.
func BenchmarkConsume(b *testing.B) {
	c, err := newThreat(connectortest.NewNopSettings(metadata.Type), config(), consumertest.NewNop())
	require.NoError(b, err)
	for _, x := range []struct {
		name  string
		event any
	}{{"usual", usual(0)}, {"evidence", judged(0, baseline.PortSweep, "d")}} {
		b.Run(x.name, func(b *testing.B) {
			events := make([]any, 1000)
			for i := range events {
				events[i] = x.event
			}
			logs := batch(events...)
			b.ReportAllocs()
			for i := 0; i < b.N; i += len(events) {
				if err := c.ConsumeLogs(context.Background(), logs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
