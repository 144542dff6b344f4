package deviceprocessor

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/processor/deviceprocessor/internal/metadata"
)

const start = 1_700_000_000_000_000_000

func mac(n byte) packet.MAC { return packet.MAC{0, 0x0e, 0x8c, 3, 4, n} }

func aFlow(at int64, src string, sm byte, dst string, dm byte) *flow.Record {
	r := &flow.Record{
		ID: 7, Start: start + at*1e9, End: start + at*1e9 + 1e8, Net: packet.NetIPv4, Proto: packet.ProtoTCP, State: "SF", Community: "1:abc", Reason: flow.Ended, Service: "modbus",
		Src: flow.End{Addr: netip.MustParseAddr(src), Port: 40000, MAC: mac(sm), Packets: 3, Bytes: 300, Frames: 342, Flags: 0x1a, TTLMin: 64, TTLMax: 64},
		Dst: flow.End{Addr: netip.MustParseAddr(dst), Port: 502, MAC: mac(dm), Packets: 2, Bytes: 200, Frames: 228, Flags: 0x12, TTLMin: 64, TTLMax: 64},
	}
	return r
}

func aClaim(at int64, m byte, addr string) *app.Sighting {
	return &app.Sighting{Time: start + at*1e9, Kind: app.ARPClaim, MAC: mac(m), Address: netip.MustParseAddr(addr)}
}

// batch makes one resource with these events in one scope.
func batch(events ...any) plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "edge-1")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("meter")
	for _, e := range events {
		switch e := e.(type) {
		case *flow.Record:
			logrecord.Append(sl.LogRecords(), flow.Fields, e.End, e)
		case *app.Sighting:
			logrecord.Append(sl.LogRecords(), app.Sightings, e.Time, e)
		case string:
			lr := sl.LogRecords().AppendEmpty()
			lr.SetEventName(e)
			lr.Attributes().PutStr("source.address", "10.0.0.1")
		}
	}
	return logs
}

// lines gives each record as "scope event key=value …".
func lines(logs plog.Logs, keys ...string) (all []string) {
	for _, rl := range logs.ResourceLogs().All() {
		host, _ := rl.Resource().Attributes().Get("host.name")
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				s := host.AsString() + " " + filepath.Base(sl.Scope().Name()) + " " + lr.EventName()
				for _, k := range keys {
					if v, ok := lr.Attributes().Get(k); ok {
						s += " " + k + "=" + v.AsString()
					}
				}
				all = append(all, s)
			}
		}
	}
	return all
}

type host struct {
	component.Host
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

// run makes a processor, starts it, and gives what comes out of it. Without a
// directory it keeps nothing.
func run(t *testing.T, dir string, change func(*Config)) (*deviceProcessor, *consumertest.LogsSink, func()) {
	t.Helper()
	ctx := context.Background()
	cfg := createDefaultConfig().(*Config)
	h := host{componenttest.NewNopHost(), map[component.ID]component.Component{}}
	var store extension.Extension
	if dir != "" {
		f := statestorage.NewFactory()
		id := component.NewID(f.Type())
		c := f.CreateDefaultConfig().(*statestorage.Config)
		c.Directory = dir
		var err error
		if store, err = f.Create(ctx, extensiontest.NewNopSettings(f.Type()), c); err != nil {
			t.Fatal(err)
		}
		if err := store.Start(ctx, h); err != nil {
			t.Fatal(err)
		}
		h.extensions[id] = store
		cfg.Storage = &id
	}
	if change != nil {
		change(cfg)
	}
	sink := &consumertest.LogsSink{}
	p, err := newProcessor(processortest.NewNopSettings(metadata.Type), cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx, h); err != nil {
		t.Fatal(err)
	}
	return p, sink, func() {
		t.Helper()
		if err := p.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		if store != nil {
			if err := store.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBatch(t *testing.T) {
	p, sink, stop := run(t, "", nil)
	ctx := context.Background()
	answer := &app.Sighting{Time: start, Kind: app.DNSAnswer, MAC: mac(1), Name: "cloud.example.com", Addresses: []string{"93.184.216.34"}}
	ask := &app.Sighting{Time: start, Kind: app.DHCPAsk, MAC: mac(1), Name: "plc-1"}
	if err := p.ConsumeLogs(ctx, batch("other.event", ask, answer, aFlow(1, "10.0.0.1", 1, "10.0.0.2", 2), aFlow(2, "10.0.0.1", 1, "93.184.216.34", 254))); err != nil {
		t.Fatal(err)
	}
	stop()
	keys := []string{"device.id", "device.change", "device.name", "device.manufacturer", "source.device.id", "source.device.name", "destination.device.id", "destination.domain", "device.addresses"}
	want := [][]string{{
		"edge-1 deviceprocessor device.inventory device.id=00:0e:8c:03:04:01 device.change=new device.name=plc-1 device.manufacturer=Siemens AG",
		"edge-1 deviceprocessor device.inventory device.id=00:0e:8c:03:04:02 device.change=new device.manufacturer=Siemens AG device.addresses=[\"10.0.0.2\"]",
		"edge-1 deviceprocessor device.inventory device.id=00:0e:8c:03:04:fe device.change=new device.manufacturer=Siemens AG",
		"edge-1 meter other.event",
		"edge-1 meter network.sighting device.id=00:0e:8c:03:04:01",
		"edge-1 meter network.sighting device.id=00:0e:8c:03:04:01",
		"edge-1 meter network.flow source.device.id=00:0e:8c:03:04:01 source.device.name=plc-1 destination.device.id=00:0e:8c:03:04:02",
		"edge-1 meter network.flow source.device.id=00:0e:8c:03:04:01 source.device.name=plc-1 destination.domain=cloud.example.com",
	}, {
		"edge-1 deviceprocessor device.inventory device.id=00:0e:8c:03:04:01 device.change=updated device.name=plc-1 device.manufacturer=Siemens AG device.addresses=[\"10.0.0.1\"]",
	}}
	all := sink.AllLogs()
	if len(all) != len(want) {
		t.Fatalf("%d batches, want %d", len(all), len(want))
	}
	for i := range want {
		if got := lines(all[i], keys...); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("batch %d:\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(want[i], "\n"))
		}
	}
}

// Nothing but the ends' ids and names is added, nothing changed, and only what the
// ids say taken away.
func TestNothingElseChanges(t *testing.T) {
	p, sink, stop := run(t, "", nil)
	defer stop()
	in := batch(aFlow(1, "10.0.0.1", 1, "10.0.0.2", 2))
	before := plog.NewLogs()
	in.CopyTo(before)
	if err := p.ConsumeLogs(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	record := func(l plog.Logs, scope int) map[string]any {
		return l.ResourceLogs().At(0).ScopeLogs().At(scope).LogRecords().At(0).Attributes().AsRaw()
	}
	want := record(before, 0)
	want[keySourceDevice], want[keyDestDevice] = mac(1).String(), mac(2).String()
	delete(want, keySourceMAC)
	delete(want, keyDestMAC)
	if got := record(sink.AllLogs()[0], 1); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	events := func() plog.Logs {
		return batch(aClaim(1, 1, "10.0.0.1"), aFlow(1, "10.0.0.1", 1, "10.0.0.2", 2), aFlow(2, "10.9.0.1", 3, "10.0.0.2", 2))
	}
	news := func(sink *consumertest.LogsSink) (n int) {
		for _, l := range sink.AllLogs() {
			n += strings.Count(strings.Join(lines(l, "device.change"), "\n"), "device.change=new")
		}
		return n
	}
	for i, want := range []int{3, 0, 0} {
		p, sink, stop := run(t, dir, nil)
		if err := p.ConsumeLogs(context.Background(), events()); err != nil {
			t.Fatal(err)
		}
		stop()
		if got := news(sink); got != want {
			t.Errorf("run %d: %d new devices, want %d", i, got, want)
		}
	}
	// A state of another version is set aside, and a new one begun.
	_, _, stop := run(t, dir, func(c *Config) { c.Site = "elsewhere" })
	stop()
	aside := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if b, _ := os.ReadFile(path); strings.Contains(string(b), "00:0e:8c:03:04:01") {
				aside++
			}
		}
		return err
	})
	if err != nil || aside != 1 {
		t.Errorf("%d files keep the other site's state, want 1 (%v)", aside, err)
	}
}

func TestMissingStorage(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	id := component.MustNewID("nowhere")
	cfg.Storage = &id
	p, err := newProcessor(processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
	if err := p.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := p.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestVendorsOfOnesOwn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vendors.txt")
	if err := os.WriteFile(file, []byte("# ours\n00:0e:8c Our Workshop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, sink, stop := run(t, "", func(c *Config) { c.OUIFile = file })
	if err := p.ConsumeLogs(context.Background(), batch(aClaim(1, 1, "10.0.0.1"))); err != nil {
		t.Fatal(err)
	}
	stop()
	if got := lines(sink.AllLogs()[0], "device.manufacturer")[0]; !strings.HasSuffix(got, "=Our Workshop") {
		t.Errorf("got %s", got)
	}
	cfg := createDefaultConfig().(*Config)
	cfg.OUIFile = file + ".missing"
	if _, err := newProcessor(processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop()); err == nil || !strings.Contains(err.Error(), "oui_file") {
		t.Errorf("missing file: %v", err)
	}
}

func TestConfig(t *testing.T) {
	bad := &Config{Home: []string{"10.0.0.0/8", "10.0.0", "fd00::/200"}, Site: "a@b", MaxDevices: 0, SaveInterval: time.Millisecond}
	err := bad.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{`"10.0.0"`, `"fd00::/200"`, "site", "max_devices", "save_interval"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("nothing about %s in: %v", word, err)
		}
	}
	good := createDefaultConfig().(*Config)
	good.Home, good.Site = []string{"10.0.0.0/8", "fd00::1"}, "Plant 1"
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// The fast path reads what the table of fields would.
func TestFastPath(t *testing.T) {
	rows := map[string]bool{}
	for _, r := range append(flow.Fields.Describe().Rows, app.Sightings.Describe().Rows...) {
		rows[r.Key] = true
	}
	for _, k := range []string{keySource, keySourcePort, keyDest, keyDestPort, keyTransport, keyService, keySourceMAC, keyDestMAC, keyPackets, keyPacketsBack, keyFlags, keyFlagsBack,
		keyStart, keyPart, keyICMPType, keyGuessed, keySourceDevice, keySourceName, keySourceDomain, keyDestDevice, keyDestName, keyDestDomain, keyDevice} {
		if !rows[k] {
			t.Errorf("no table has a field %s", k)
		}
	}
	frame := &flow.Record{End: start, Net: 0x88cc, Src: flow.End{MAC: mac(1), Packets: 1}, Dst: flow.End{MAC: packet.MAC{1, 0x80, 0xc2, 0, 0, 0xe}}}
	ping := aFlow(1, "fe80::1", 1, "fe80::2", 2)
	ping.Net, ping.Proto, ping.ICMPType, ping.Guessed, ping.Part = packet.NetIPv6, packet.ProtoICMPv6, 128, true, 3
	for _, r := range []*flow.Record{aFlow(1, "10.0.0.1", 1, "10.0.0.2", 2), frame, ping} {
		lr := batch(r).ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		got, want := flow.Record{}, flow.Record{End: int64(lr.Timestamp())}
		readFlow(lr, &got)
		logrecord.Read(lr, flow.Fields, &want)
		want.Complete()
		// Only these are read.
		trim := func(e flow.End) flow.End {
			return flow.End{Addr: e.Addr, Port: e.Port, MAC: e.MAC, Packets: e.Packets, Flags: e.Flags}
		}
		want = flow.Record{Start: want.Start, End: want.End, Src: trim(want.Src), Dst: trim(want.Dst), Net: want.Net, Proto: want.Proto, Part: want.Part, Guessed: want.Guessed, ICMPType: want.ICMPType, Service: want.Service}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func BenchmarkConsume(b *testing.B) {
	p, err := newProcessor(processortest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config), consumertest.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	const n = 1000
	var events []any
	for i := range int64(n) {
		events = append(events, aFlow(i, fmt.Sprintf("10.0.0.%d", i%100+1), byte(i%100+1), fmt.Sprintf("93.184.%d.%d", i%250, i%13), 254))
	}
	logs := batch(events...)
	records, s := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords(), p.sites.One()
	b.ReportAllocs()
	for b.Loop() {
		for _, lr := range records.All() { // as it came, without copying it each time
			has := readFlow(lr, &s.flow)
			s.append(s.inventory.Flow(&s.flow))
			markFlow(&s.arena, lr, &s.flow, has)
			lr.Attributes().RemoveIf(func(k string, _ pcommon.Value) bool { return k == keySourceDevice || k == keyDestDevice })
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/flow")
}
