package baselineprocessor

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadata"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadatatest"
)

var epoch = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano()

// end is the n-th host of the plant.
func end(n byte, port uint16) flow.End {
	mac := packet.MAC{2, 0, 0, 0, 0, n}
	return flow.End{Addr: netip.AddrFrom4([4]byte{10, 0, 0, n}), Port: port, MAC: mac, Device: mac.String(), TTLMin: 64, TTLMax: 64, Packets: 5, Bytes: 500}
}

// talk is a session with payload; try is a SYN that nobody answered.
func talk(at time.Duration, src, dst byte, port uint16) *flow.Record {
	t := epoch + int64(at)
	return &flow.Record{ID: 9, Start: t, Since: t, End: t, Net: packet.NetIPv4, Proto: packet.ProtoTCP, State: "SF", Reason: flow.Ended,
		Src: end(src, 40000), Dst: end(dst, port), FirstSizes: []int64{100, -200}}
}

func try(at time.Duration, src, dst byte, port uint16) *flow.Record {
	r := talk(at, src, dst, port)
	r.State, r.Reason, r.FirstSizes, r.Src.Packets, r.Dst.Packets, r.Dst.Bytes = "S0", flow.Idle, nil, 1, 0, 0
	return r
}

// batch puts events into one scope of one resource. A string is the name of an
// event that is not ours.
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
		case string:
			lr := records.AppendEmpty()
			lr.SetEventName(e)
			lr.Attributes().PutInt("source.address", 7)
		}
	}
	return logs
}

// plant gives minutes of usual work: forty sessions of two devices with a broker.
func plant(from, to int) plog.Logs {
	var events []any
	for m := from; m < to; m++ {
		for s := range 6 {
			at := time.Duration(m)*time.Minute + time.Duration(s)*10*time.Second
			events = append(events, talk(at, 20, 10, 1883), talk(at+time.Second, 21, 10, 1883))
		}
	}
	return batch(events...)
}

// scan is a host that tries telnet on one host after another.
func scan(at time.Duration) plog.Logs {
	var events []any
	for i := range 12 {
		events = append(events, try(at+time.Duration(i)*time.Second, 20, byte(100+i), 23))
	}
	return batch(events...)
}

type host struct {
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

func start(t *testing.T, cfg *Config, h component.Host, next consumer.Logs) (processor.Logs, *componenttest.Telemetry) {
	t.Helper()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	p, err := NewFactory().CreateLogs(t.Context(), metadatatest.NewSettings(tel), cfg, next)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), h))
	t.Cleanup(func() { assert.NoError(t, p.Shutdown(context.Background())) })
	return p, tel
}

func config() *Config { return NewFactory().CreateDefaultConfig().(*Config) }

// events lists the event names of all records, with their evidence.
func events(all []plog.Logs) (names []string) {
	for _, logs := range all {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					var r flow.Record
					logrecord.Read(lr, flow.Fields, &r)
					name := lr.EventName()
					for _, x := range r.Anomaly.Reasons {
						name += " " + x.Kind
					}
					names = append(names, name)
				}
			}
		}
	}
	return names
}

func count(names []string, with string) (n int) {
	for _, x := range names {
		if strings.Contains(x, with) {
			n++
		}
	}
	return n
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want []string
	}{
		{"defaults", func(*Config) {}, nil},
		{"no devices", func(c *Config) { c.MaxDevices = 0 }, []string{"max_devices"}},
		{"too many devices", func(c *Config) { c.MaxDevices = 2e6 }, []string{"max_devices"}},
		{"saved all the time", func(c *Config) { c.SaveInterval = time.Millisecond }, []string{"save_interval"}},
		{"all at once", func(c *Config) { c.MaxDevices, c.SaveInterval = -1, 0 }, []string{"max_devices", "save_interval"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config()
			c.edit(cfg)
			err := cfg.Validate()
			if c.want == nil {
				require.NoError(t, err)
			}
			for _, w := range c.want {
				require.ErrorContains(t, err, w)
			}
		})
	}
}

func TestUnusualIsMarkedInPlace(t *testing.T) {
	sink := new(consumertest.LogsSink)
	p, tel := start(t, config(), componenttest.NewNopHost(), sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), plant(0, 5)))
	require.Zero(t, count(events(sink.AllLogs()), " "), "usual work is marked")
	sink.Reset()

	require.NoError(t, p.ConsumeLogs(t.Context(), scan(5*time.Minute)))
	got := events(sink.AllLogs())
	require.Len(t, got, 12)
	marked := count(got, baseline.HostSweep)
	assert.Greater(t, marked, 5)
	assert.Less(t, marked, 12, "the first contacts prove nothing")
	lr := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(11)
	score, ok := lr.Attributes().Get("anomaly.score")
	require.True(t, ok)
	assert.Greater(t, score.Double(), 0.5)
	assert.LessOrEqual(t, score.Double(), 1.0)

	metadatatest.AssertEqualBaselineUnusual(t, tel, []metricdata.DataPoint[int64]{{Value: int64(marked)}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualBaselineDevices(t, tel, []metricdata.DataPoint[int64]{{Value: 3}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualBaselineEvicted(t, tel, []metricdata.DataPoint[int64]{{Value: 0}}, metricdatatest.IgnoreTimestamp())
}

func TestSightingsAndDevicesAreJudged(t *testing.T) {
	sink := new(consumertest.LogsSink)
	p, _ := start(t, config(), componenttest.NewNopHost(), sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), plant(0, 30)))
	sink.Reset()
	at := epoch + int64(30*time.Minute)
	claim := func(n byte, after time.Duration) *app.Sighting {
		return &app.Sighting{Time: at + int64(after), Kind: app.ARPClaim, MAC: end(n, 0).MAC, Address: end(10, 0).Addr, Device: end(n, 0).Device}
	}
	visitor := end(99, 0)
	require.NoError(t, p.ConsumeLogs(t.Context(), batch(
		&device.Record{Time: at, ID: visitor.Device, Change: device.New, MAC: visitor.MAC, Addresses: []string{visitor.Addr.String()}, Evidence: "ARP"},
		claim(10, 0), claim(66, time.Second), claim(10, 2*time.Second), claim(66, 3*time.Second),
	)))
	got := events(sink.AllLogs())
	assert.Equal(t, 1, count(got, "device.inventory "+baseline.NewDevice))
	assert.Equal(t, 2, count(got, "network.sighting "+baseline.ARPConflict))
}

func TestOthersPassUntouched(t *testing.T) {
	in := batch("somebody.elses", "", "network.flow.not", baseline.Statuses.Name)
	other := in.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	other.Body().SetStr("a line of a log file")
	want := plog.NewLogs()
	in.CopyTo(want)
	sink := new(consumertest.LogsSink)
	p, _ := start(t, config(), componenttest.NewNopHost(), sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), in))
	require.NoError(t, p.ConsumeLogs(t.Context(), plog.NewLogs()))
	require.Len(t, sink.AllLogs(), 2)
	assert.Equal(t, want, sink.AllLogs()[0])
}

func TestBrokenRecordsPass(t *testing.T) {
	logs := batch(flow.Fields.Name, app.Sightings.Name, device.Records.Name)
	sink := new(consumertest.LogsSink)
	p, _ := start(t, config(), componenttest.NewNopHost(), sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), logs))
	assert.Equal(t, 3, sink.LogRecordCount())
}

func TestLearningIsTold(t *testing.T) {
	sink := new(consumertest.LogsSink)
	p, _ := start(t, config(), componenttest.NewNopHost(), sink)
	for m := range 40 {
		require.NoError(t, p.ConsumeLogs(t.Context(), plant(m, m+1)))
	}
	told := 0
	for _, logs := range sink.AllLogs() {
		for i, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if lr.EventName() != baseline.Statuses.Name {
						continue
					}
					told++
					var s baseline.Status
					logrecord.Read(lr, baseline.Statuses, &s)
					assert.True(t, s.Learned)
					assert.NotEmpty(t, s.Usual)
					assert.Positive(t, i, "what is told stands behind the batch that showed it")
					name, _ := rl.Resource().Attributes().Get("host.name")
					assert.Equal(t, "edge-1", name.Str())
					assert.Equal(t, metadata.ScopeName, sl.Scope().Name())
				}
			}
		}
	}
	assert.Equal(t, 3, told, "each of three devices, once")

	sink.Reset()
	require.NoError(t, p.Shutdown(t.Context()))
	assert.Equal(t, 3, count(events(sink.AllLogs()), baseline.Statuses.Name), "at the end, all once more")
	sink.Reset()
	require.NoError(t, p.Shutdown(t.Context()))
	assert.Empty(t, sink.AllLogs(), "but not twice")
}

func TestSilenceIsTold(t *testing.T) {
	sink := new(consumertest.LogsSink)
	p, _ := start(t, config(), componenttest.NewNopHost(), sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), plant(0, 120)))
	sink.Reset()
	for m := 120; m < 180; m++ { // device 21 is gone
		at := time.Duration(m) * time.Minute
		require.NoError(t, p.ConsumeLogs(t.Context(), batch(talk(at, 20, 10, 1883), talk(at+30*time.Second, 20, 10, 1883))))
	}
	assert.Equal(t, 1, count(events(sink.AllLogs()), baseline.Observations.Name))
}

func TestShutdownWithoutStart(t *testing.T) {
	sink := new(consumertest.LogsSink)
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), config(), sink)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, p.Shutdown(t.Context()))
	}
	assert.Empty(t, sink.AllLogs())
}

var errNext = errors.New("the next one is full")

func TestNextThatFails(t *testing.T) {
	p, _ := start(t, config(), componenttest.NewNopHost(), consumertest.NewErr(errNext))
	require.ErrorIs(t, p.ConsumeLogs(t.Context(), plant(0, 2)), errNext)
	require.NoError(t, p.Shutdown(t.Context()), "what was learned is kept all the same")
}

func TestManyAtOnce(t *testing.T) {
	sink := new(consumertest.LogsSink)
	p, _ := start(t, config(), componenttest.NewNopHost(), sink)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for m := range 10 {
				assert.NoError(t, p.ConsumeLogs(context.Background(), plant(10*i+m, 10*i+m+1)))
			}
		})
	}
	all.Wait()
	assert.GreaterOrEqual(t, sink.LogRecordCount(), 8*10*12)
}

// storage starts a real state storage.
func storage(t *testing.T, dir string) (component.ID, host) {
	t.Helper()
	f := statestorage.NewFactory()
	cfg := f.CreateDefaultConfig().(*statestorage.Config)
	cfg.Directory = dir
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	id := component.NewID(f.Type())
	return id, host{map[component.ID]component.Component{id: ext}}
}

func TestWhatWasLearnedOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	id, h := storage(t, dir)
	cfg := config()
	cfg.Storage = &id
	sink := new(consumertest.LogsSink)
	p, _ := start(t, cfg, h, sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), plant(0, 60)))
	require.NoError(t, p.Shutdown(t.Context()))
	before := statuses(sink)
	require.Len(t, before, 3)

	sink.Reset()
	p, tel := start(t, cfg, h, sink)
	metadatatest.AssertEqualBaselineDevices(t, tel, []metricdata.DataPoint[int64]{{Value: 3}}, metricdatatest.IgnoreTimestamp())
	require.NoError(t, p.ConsumeLogs(t.Context(), plant(60*24, 60*24+1))) // a day later
	require.NoError(t, p.Shutdown(t.Context()))
	after := statuses(sink)
	require.Len(t, after, 3)
	for i, s := range after {
		assert.Equal(t, before[i].Device, s.Device)
		assert.True(t, s.Learned)
		assert.Greater(t, s.Flows, before[i].Flows)
		assert.Less(t, s.Watched-before[i].Watched, 120.0, "the pause counts as watched")
	}

	// A state that makes no sense is set aside, and learning begins anew.
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "Watched") {
			return os.WriteFile(path, b[:len(b)/2], 0o600)
		}
		return nil
	}))
	_, tel = start(t, cfg, h, sink)
	metadatatest.AssertEqualBaselineDevices(t, tel, []metricdata.DataPoint[int64]{{Value: 0}}, metricdatatest.IgnoreTimestamp())
}

// statuses are the last ones of each device, in order.
func statuses(sink *consumertest.LogsSink) (all []baseline.Status) {
	last := map[string]baseline.Status{}
	for _, logs := range sink.AllLogs() {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if lr.EventName() == baseline.Statuses.Name {
						var s baseline.Status
						logrecord.Read(lr, baseline.Statuses, &s)
						last[s.Device] = s
					}
				}
			}
		}
	}
	for _, s := range last {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b baseline.Status) int { return strings.Compare(a.Device, b.Device) })
	return all
}

func TestMissingStorageStopsTheStart(t *testing.T) {
	cfg := config()
	id := component.MustNewID("state_storage")
	cfg.Storage = &id
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.ErrorContains(t, p.Start(t.Context(), componenttest.NewNopHost()), `there is no extension "state_storage"`)
	require.NoError(t, p.Shutdown(t.Context()))
}

func TestFewerDevicesThanThereAre(t *testing.T) {
	cfg := config()
	cfg.MaxDevices = 8
	p, tel := start(t, cfg, componenttest.NewNopHost(), consumertest.NewNop())
	var events []any
	for i := range 100 {
		events = append(events, talk(time.Duration(i)*time.Second, byte(i), byte(i+100), 80))
	}
	require.NoError(t, p.ConsumeLogs(t.Context(), batch(events...)))
	metadatatest.AssertEqualBaselineDevices(t, tel, []metricdata.DataPoint[int64]{{Value: 8}}, metricdatatest.IgnoreTimestamp())
}

// FuzzConsume feeds whatever OTLP can carry: an upstream may be broken or hostile.
func FuzzConsume(f *testing.F) {
	m := plog.ProtoMarshaler{}
	for _, logs := range []plog.Logs{plant(0, 1), scan(0), batch(flow.Fields.Name, app.Sightings.Name, device.Records.Name)} {
		b, err := m.MarshalLogs(logs)
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
		p, err := newBaseline(processortest.NewNopSettings(metadata.Type), config(), consumertest.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		again := plog.NewLogs()
		logs.CopyTo(again)
		for _, l := range []plog.Logs{plant(0, 3), logs, again, scan(3 * time.Minute)} {
			if err := p.ConsumeLogs(context.Background(), l); err != nil {
				t.Fatal(err)
			}
		}
		state, err := p.sites.One().engine.Snapshot()
		if err != nil {
			t.Fatalf("what was learned can't be saved: %v", err)
		}
		if err := baseline.New(baseline.NewDefaultConfig()).Restore(state); err != nil {
			t.Fatalf("what was saved can't be restored: %v", err)
		}
		if err := p.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkJudge reads a usual record, judges it, and writes the verdict.
func BenchmarkJudge(b *testing.B) {
	p, err := newBaseline(processortest.NewNopSettings(metadata.Type), config(), consumertest.NewNop())
	require.NoError(b, err)
	logs := plant(0, 10)
	records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	b.Run("read and judge", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			p.sites.One().judge(records.At(i % records.Len()))
		}
	})
	b.Run("batches of 1000", func(b *testing.B) {
		b.ReportAllocs()
		big := plant(0, 84)
		n := big.LogRecordCount()
		for i := 0; i < b.N; i += n {
			if err := p.ConsumeLogs(context.Background(), big); err != nil {
				b.Fatal(err)
			}
		}
	})
}
