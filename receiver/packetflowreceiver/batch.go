package packetflowreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/logrecord"
)

const (
	scopeName = "github.com/monban/monban/receiver/packetflowreceiver"
	batchSize = 512                    // records
	batchAge  = 200 * time.Millisecond // of the oldest record, on live interfaces
)

// batch collects records and hands them on. What was handed on is never touched
// again, as others may keep it.
type batch struct {
	observer string
	version  string
	send     func(plog.Logs)

	arena   logrecord.Arena
	logs    plog.Logs
	records plog.LogRecordSlice
	open    bool
	since   time.Time // first record of a live source's batch
	live    bool
}

func (b *batch) begin() {
	b.logs = plog.NewLogs()
	rl := b.logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", b.observer)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(scopeName)
	sl.Scope().SetVersion(b.version)
	b.records = sl.LogRecords()
	b.records.EnsureCapacity(batchSize)
	b.open = true
	if b.live {
		b.since = time.Now()
	}
}

// add appends one event, whose timestamp is t.
func add[R any](b *batch, table *event.Table[R], t int64, r *R) {
	if !b.open {
		b.begin()
	}
	logrecord.AppendTo(&b.arena, b.records, table, t, r)
	if b.records.Len() >= batchSize {
		b.flush()
	}
}

// flush hands on what there is.
func (b *batch) flush() {
	if !b.open {
		return
	}
	logs := b.logs
	b.open, b.logs, b.records = false, plog.Logs{}, plog.LogRecordSlice{}
	b.send(logs)
}

// stale reports whether records have waited long enough.
func (b *batch) stale(now time.Time) bool { return b.open && now.Sub(b.since) >= batchAge }
