package netflowreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/netflow"
)

const (
	scopeName = "github.com/monban/monban/receiver/netflowreceiver"
	batchSize = 512                    // records
	batchAge  = 200 * time.Millisecond // of the oldest record
)

// batch collects records and hands them on, those of one exporter under one
// Resource. What was handed on is never touched again, as others may keep it.
type batch struct {
	observer string
	version  string
	send     func(plog.Logs)

	logs   plog.Logs
	of     map[uint32]plog.LogRecordSlice // by the exporter's id
	last   plog.LogRecordSlice            // of exporter lastID
	lastID uint32                         // 0 for none
	n      int
	since  time.Time // when the batch was begun
}

// add appends one record.
func (b *batch) add(from *netflow.Source, r *flow.Record) {
	if b.n == 0 {
		b.logs, b.of, b.since = plog.NewLogs(), map[uint32]plog.LogRecordSlice{}, time.Now()
	}
	if b.lastID != from.ID {
		records, ok := b.of[from.ID]
		if !ok {
			records = b.open(from)
			b.of[from.ID] = records
		}
		b.last, b.lastID = records, from.ID
	}
	logrecord.Append(b.last, flow.Fields, r.End, r)
	if b.n++; b.n >= batchSize {
		b.flush()
	}
}

func (b *batch) open(from *netflow.Source) plog.LogRecordSlice {
	rl := b.logs.ResourceLogs().AppendEmpty()
	a := rl.Resource().Attributes()
	a.PutStr("host.name", b.observer)
	a.PutStr("observer.ip", from.Addr.String())
	if from.Name != "" {
		a.PutStr("observer.name", from.Name)
	}
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(scopeName)
	sl.Scope().SetVersion(b.version)
	return sl.LogRecords()
}

// flush hands on what there is.
func (b *batch) flush() {
	if b.n == 0 {
		return
	}
	logs := b.logs
	b.logs, b.of, b.last, b.lastID, b.n = plog.Logs{}, nil, plog.LogRecordSlice{}, 0, 0
	b.send(logs)
}

// stale reports whether records have waited long enough.
func (b *batch) stale(now time.Time) bool { return b.n > 0 && now.Sub(b.since) >= batchAge }
