package recordpath

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/monban/monban/connector/threatconnector"
	"github.com/monban/monban/exporter/ndjsonexporter"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/processor/baselineprocessor"
	"github.com/monban/monban/processor/deviceprocessor"
)

// usualFlows are connections of a hundred devices with a few services each, as a site's mostly are.
func usualFlows() []flow.Record {
	const devices, services = 100, 8
	all := make([]flow.Record, 0, devices*services)
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC).UnixNano()
	router := packet.MAC{2, 0, 0, 0, 0, 254}
	for s := range services {
		for d := range devices {
			r := flow.Record{Start: at, Since: at, End: at + 5e9, Net: packet.NetIPv4, Proto: packet.ProtoTCP, State: "SF", Service: "https", Reason: flow.Ended,
				FirstSizes: []int64{517, -1400, 80, -300}}
			r.Src = flow.End{Addr: netip.AddrFrom4([4]byte{10, 20, 30, byte(d + 1)}), Port: uint16(40000 + s*100 + d), MAC: packet.MAC{2, 0, 0, 0, 0, byte(d)},
				Packets: 12, Bytes: 1800, Frames: 1968, Flags: 27, TTLMin: 64, TTLMax: 64}
			r.Dst = flow.End{Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(d%10 + s*10)}), Port: 443, MAC: router,
				Packets: 11, Bytes: 9000, Frames: 9154, Flags: 27, TTLMin: 57, TTLMax: 57}
			switch s % 4 {
			case 1: // a neighbour
				r.Dst.Addr, r.Dst.MAC = netip.AddrFrom4([4]byte{10, 20, 30, byte((d+7)%devices + 1)}), packet.MAC{2, 0, 0, 0, 0, byte((d + 7) % devices)}
				r.Dst.Port, r.Service, r.Dst.TTLMin, r.Dst.TTLMax = 1883, "mqtt", 64, 64
			case 2:
				r.Proto, r.State, r.Service, r.Dst.Port, r.Src.Flags, r.Dst.Flags, r.Reason = packet.ProtoUDP, "", "dns", 53, 0, 0, flow.Idle
				r.Src.Packets, r.Src.Bytes, r.Src.Frames, r.Dst.Packets, r.Dst.Bytes, r.Dst.Frames = 1, 70, 84, 1, 140, 154
				r.FirstSizes, r.Questions = []int64{42, -112}, []string{"example.com"}
			}
			all = append(all, r)
			at += 50e6
		}
	}
	return all
}

// path is the way of a record through the distribution's components: from pdata to what consume
// does with a batch.
func path(b *testing.B, whole bool) func(plog.Logs) {
	b.Helper()
	ctx, host := context.Background(), componenttest.NewNopHost()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	ef := ndjsonexporter.NewFactory()
	ecfg := ef.CreateDefaultConfig()
	ecfg.(*ndjsonexporter.Config).Directory = b.TempDir()
	exp, err := ef.CreateLogs(ctx, exportertest.NewNopSettings(ef.Type()), ecfg)
	must(err)
	must(exp.Start(ctx, host))
	b.Cleanup(func() { must(exp.Shutdown(ctx)) })
	if !whole {
		return func(l plog.Logs) { must(exp.ConsumeLogs(ctx, l)) }
	}
	tf := threatconnector.NewFactory()
	threat, err := tf.CreateLogsToLogs(ctx, connectortest.NewNopSettings(tf.Type()), tf.CreateDefaultConfig(), consumertest.NewNop())
	must(err)
	both, err := consumer.NewLogs(func(ctx context.Context, l plog.Logs) error {
		if err := threat.ConsumeLogs(ctx, l); err != nil {
			return err
		}
		return exp.ConsumeLogs(ctx, l)
	})
	must(err)
	bf := baselineprocessor.NewFactory()
	base, err := bf.CreateLogs(ctx, processortest.NewNopSettings(bf.Type()), bf.CreateDefaultConfig(), both)
	must(err)
	df := deviceprocessor.NewFactory()
	dev, err := df.CreateLogs(ctx, processortest.NewNopSettings(df.Type()), df.CreateDefaultConfig(), base)
	must(err)
	for _, c := range []interface {
		Start(context.Context, component.Host) error
		Shutdown(context.Context) error
	}{threat, base, dev} {
		must(c.Start(ctx, host))
		b.Cleanup(func() { must(c.Shutdown(ctx)) })
	}

	return func(l plog.Logs) { must(dev.ConsumeLogs(ctx, l)) }
}

// BenchmarkRecordPath is what a record costs from the flow's entry to its line of NDJSON, without
// the packets: the meter alone, and through device, baseline and threat.
func BenchmarkRecordPath(b *testing.B) {
	for _, whole := range []bool{false, true} {
		b.Run(fmt.Sprintf("whole=%t", whole), func(b *testing.B) {
			consume := path(b, whole)
			flows := usualFlows()
			const size = 512
			var arena logrecord.Arena
			var r flow.Record // one for all, as the meter has
			shift := int64(0)
			next := 0
			round := func(n int) {
				logs := plog.NewLogs()
				rl := logs.ResourceLogs().AppendEmpty()
				rl.Resource().Attributes().PutStr("host.name", "sensor")
				records := rl.ScopeLogs().AppendEmpty().LogRecords()
				records.EnsureCapacity(n)
				for range n {
					if next == len(flows) {
						next, shift = 0, shift+flows[len(flows)-1].Start-flows[0].Start+50e6
					}
					r = flows[next]
					next++
					r.Start, r.Since, r.End = r.Start+shift, r.Since+shift, r.End+shift
					r.Community = flow.CommunityID(&r)
					logrecord.AppendTo(&arena, records, flow.Fields, r.End, &r)
				}
				consume(logs)
			}
			for range 20 { // until the devices are known
				round(size)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; left -= size {
				round(min(left, size))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/record")
		})
	}
}
