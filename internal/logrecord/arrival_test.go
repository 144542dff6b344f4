package logrecord

import (
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestArrival(t *testing.T) {
	logs := func() plog.Logs {
		ld := plog.NewLogs()
		for range 2 {
			records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
			records.AppendEmpty()
			records.AppendEmpty().SetTimestamp(1)
			records.AppendEmpty().SetObservedTimestamp(2)
		}
		return ld
	}
	var a Arrival
	begun := pcommon.Timestamp(time.Now().UnixNano())
	seen := map[pcommon.Timestamp]bool{}
	check := func(ld plog.Logs) {
		t.Helper()
		for _, rl := range ld.ResourceLogs().All() {
			records := rl.ScopeLogs().At(0).LogRecords()
			at := records.At(0).ObservedTimestamp()
			if at < begun || seen[at] || records.At(0).Timestamp() != 0 {
				t.Errorf("%d, of %v", at, seen)
			}
			seen[at] = true
			if records.At(1).Timestamp() != 1 || records.At(1).ObservedTimestamp() != 0 || records.At(2).ObservedTimestamp() != 2 {
				t.Error("a record with a time was changed")
			}
		}
	}
	ours := logs()
	if got := a.Observe(ours, true); got != ours {
		t.Error("copied")
	}
	check(ours)
	if got := a.Observe(ours, false); got != ours {
		t.Error("copied, though every record has a time")
	}
	shared := logs()
	shared.MarkReadOnly()
	check(a.Observe(shared, false))
	if shared.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).ObservedTimestamp() != 0 {
		t.Error("what is not ours was changed")
	}
}

func TestArrivalGivesNoTimeTwice(t *testing.T) {
	var a Arrival
	var all sync.WaitGroup
	first := make([][]int64, 8)
	for i := range first {
		all.Go(func() {
			for range 1000 {
				first[i] = append(first[i], a.Next(3))
			}
		})
	}
	all.Wait()
	seen := map[int64]bool{}
	for _, list := range first {
		for _, at := range list {
			for n := range int64(3) {
				if seen[at+n] {
					t.Fatalf("%d twice", at+n)
				}
				seen[at+n] = true
			}
		}
	}
}
