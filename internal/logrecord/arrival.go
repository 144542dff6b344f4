package logrecord

import (
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Arrival gives a time to what comes without one: when it came, to the nanosecond, and none twice. So two
// records that say the same stay two where equal ones are taken for the same one sent again. It is for the
// place before a queue, as what is tried again must keep its time. The zero value works.
type Arrival struct{ last atomic.Int64 }

// Next keeps n nanoseconds for the caller, from now or from behind those that it gave before, and tells the first.
func (a *Arrival) Next(n int) int64 {
	for {
		last := a.last.Load()
		first := max(time.Now().UnixNano(), last+1)
		if a.last.CompareAndSwap(last, first+int64(n)-1) {
			return first
		}
	}
}

// Observe sets the observed timestamp of the records that have neither that nor a timestamp. It gives ld
// back, or a copy where something is to be set and ld is not ours to change.
func (a *Arrival) Observe(ld plog.Logs, ours bool) plog.Logs {
	n := 0
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if timeless(lr) {
					n++
				}
			}
		}
	}
	if n == 0 {
		return ld
	}
	if !ours {
		own := plog.NewLogs()
		ld.CopyTo(own)
		ld = own
	}
	at := pcommon.Timestamp(a.Next(n)) //nolint:gosec // after 1970
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if timeless(lr) {
					lr.SetObservedTimestamp(at)
					at++
				}
			}
		}
	}
	return ld
}

func timeless(lr plog.LogRecord) bool { return lr.Timestamp() == 0 && lr.ObservedTimestamp() == 0 }
