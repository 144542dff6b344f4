// Package flatjsontest has log records for tests and benchmarks of those who write them.
package flatjsontest

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/reference"
)

// Usual fills in a flow with 20 attributes, as most are.
func Usual(lr plog.LogRecord) {
	lr.SetTimestamp(1_754_000_000_123_456_789)
	lr.SetEventName("network.flow")
	a := lr.Attributes()
	for _, k := range []string{"source.address", "destination.address"} {
		a.PutStr(k, "192.168.178.120")
	}
	for _, k := range []string{"source.port", "destination.port", "flow.io.packets", "flow.io.bytes", "flow.reverse.io.packets",
		"flow.reverse.io.bytes", "flow.tcp_flags", "flow.reverse.tcp_flags", "flow.ttl.min", "flow.reverse.ttl.min"} {
		a.PutInt(k, 49152)
	}
	a.PutInt("flow.start", 1_754_000_000_023_456_789)
	a.PutStr("network.transport", "tcp")
	a.PutStr("network.protocol.name", "modbus")
	a.PutStr("network.community_id", "1:wCb3OG7yAFWelaUydu0D+125CLM=")
	a.PutStr("flow.src_mac", "00:11:22:33:44:55")
	a.PutStr("flow.dst_mac", "00:11:22:33:44:66")
	a.PutStr("flow.tcp.state", "SF")
	a.PutStr("flow.end_reason", "end")
}

// Full fills a record with every attribute of an event.
func Full(lr plog.LogRecord, e reference.Event) {
	lr.SetEventName(e.Name)
	lr.SetTimestamp(1_754_000_000_123_456_789)
	lr.SetSeverityText("high")
	lr.Body().SetStr("in one sentence")
	a := lr.Attributes()
	for i, r := range e.Rows {
		switch r.Kind {
		case event.Int:
			a.PutInt(r.Key, int64(i))
		case event.Time:
			a.PutInt(r.Key, 1_754_000_000_000_000_000+int64(i))
		case event.Float:
			a.PutDouble(r.Key, 0.5/float64(i%3)) // with an infinity
		case event.Bool:
			a.PutBool(r.Key, true)
		case event.String:
			a.PutStr(r.Key, fmt.Sprintf("%d\x00\xff", i))
		case event.Strings:
			a.PutEmptySlice(r.Key).AppendEmpty().SetStr("x")
		case event.Ints:
			a.PutEmptySlice(r.Key).AppendEmpty().SetInt(-1)
		case event.Reasons:
			m := a.PutEmptySlice(r.Key).AppendEmpty().SetEmptyMap()
			for _, k := range []string{"kind", "device", "subject", "expected", "seen"} {
				m.PutStr(k, k)
			}
			m.PutDouble("strength", 4)
		}
	}
}
