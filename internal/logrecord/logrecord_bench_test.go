package logrecord_test

import (
	"net/netip"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/packet"
)

// usual is a connection as most are.
func usual() *flow.Record {
	r := &flow.Record{
		Start: 1e18, End: 1e18 + 5e9, Net: packet.NetIPv4, Proto: packet.ProtoTCP, State: "SF", Service: "https", Reason: flow.Ended,
		Community: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", FirstSizes: []int64{517, -1400, 80, -300},
	}
	r.Src = flow.End{Addr: netip.MustParseAddr("10.20.30.101"), Port: 50123, Packets: 12, Bytes: 1800, Frames: 1968, Flags: 27, TTLMin: 64, TTLMax: 64, MAC: packet.MAC{2, 2, 3, 4, 5, 6}}
	r.Dst = flow.End{Addr: netip.MustParseAddr("203.0.113.30"), Port: 443, Packets: 11, Bytes: 9000, Frames: 9154, Flags: 27, TTLMin: 57, TTLMax: 57, MAC: packet.MAC{2, 2, 3, 4, 5, 7}}
	return r
}

func BenchmarkAppend(b *testing.B) {
	r := usual()
	b.ReportAllocs()
	for i := 0; i < b.N; {
		l := plog.NewLogRecordSlice()
		l.EnsureCapacity(512)
		for range 512 {
			logrecord.Append(l, flow.Fields, r.End, r)
			i++
		}
	}
}

func BenchmarkRead(b *testing.B) {
	lr := logrecord.Append(plog.NewLogRecordSlice(), flow.Fields, 1, usual())
	var r flow.Record
	b.ReportAllocs()
	for range b.N {
		logrecord.Read(lr, flow.Fields, &r)
	}
}

func BenchmarkArena(b *testing.B) {
	r := usual()
	var a logrecord.Arena
	b.ReportAllocs()
	for i := 0; i < b.N; {
		l := plog.NewLogRecordSlice()
		l.EnsureCapacity(512)
		for range 512 {
			logrecord.AppendTo(&a, l, flow.Fields, r.End, r)
			i++
		}
	}
}
