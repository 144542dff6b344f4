package watch

import (
	"context"
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/shard"
	"github.com/monban/monban/internal/threshold"
)

var nan = math.NaN()

// record is the log record in hand.
type record struct {
	of int
	rl plog.ResourceLogs
	sl plog.ScopeLogs
	lr plog.LogRecord
}

// Logs judges a batch. Unless it is a dry run it marks records and drops what rules do not let
// pass. With forward the batch goes there, and what is told behind it; without, what is told goes to give.
func (w *Watch) Logs(ctx context.Context, ld plog.Logs, give func(plog.Logs) error, forward func(plog.Logs) error) error {
	if err := shard.Alone(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	had := ld.ResourceLogs().Len() > 0
	out := plog.NewLogs()
	w.forget()
	if w.set.Config.DryRun {
		w.ahead(w.earliestRecord(ld))
	}
	drops := forward != nil && w.drops()
	for of, rl := range ld.ResourceLogs().All() {
		w.record.of, w.record.rl = of, rl
		for _, sl := range rl.ScopeLogs().All() {
			w.record.sl = sl
			if drops {
				sl.LogRecords().RemoveIf(func(lr plog.LogRecord) bool {
					w.record.lr = lr
					return w.judgeRecord(ctx)
				})
				continue
			}
			for _, lr := range sl.LogRecords().All() {
				w.record.lr = lr
				w.judgeRecord(ctx)
			}
		}
		out = w.told(out, rl.Resource())
	}
	out = w.finish(out)
	w.record = record{}
	if forward == nil {
		w.give(out, give)
		w.saved(ctx)
		return nil
	}
	if drops {
		ld.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
			rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool { return sl.LogRecords().Len() == 0 })
			return rl.ScopeLogs().Len() == 0
		})
	}
	// What is told stands behind the batch, and with it what was told of an earlier one that was refused.
	told := plog.NewLogs()
	w.owed.ResourceLogs().MoveAndAppendTo(told.ResourceLogs())
	out.ResourceLogs().MoveAndAppendTo(told.ResourceLogs())
	own := ld.ResourceLogs().Len()
	for _, rl := range told.ResourceLogs().All() {
		rl.CopyTo(ld.ResourceLogs().AppendEmpty())
	}
	if had && ld.ResourceLogs().Len() == 0 {
		return nil
	}
	err := forward(ld)
	if err != nil {
		w.owe(told, err)
		if !ld.IsReadOnly() { // who sends this very batch again must not bring what is owed, too
			at := 0
			ld.ResourceLogs().RemoveIf(func(plog.ResourceLogs) bool { at++; return at > own })
		}
	}
	w.saved(ctx)
	return err
}

// judgeRecord asks all rules about the record in hand, and tells whether it is dropped.
func (w *Watch) judgeRecord(ctx context.Context) bool {
	lr := w.record.lr
	attrs := lr.Attributes()
	if w.named.records < maxLooked {
		w.named.records++
		for name := range attrs.All() {
			w.named.meet(name, "")
		}
		w.named.event(lr.EventName())
	}
	resource := w.record.rl.Resource().Attributes()
	var c choice
	for i := range w.conf {
		r := &w.conf[i]
		if r.Event != "" && r.Event != lr.EventName() {
			continue
		}
		v, ok := attrs.Get(r.Attribute)
		by, divides := pcommon.Value{}, false
		if r.Over.Attribute != "" {
			by, divides = attrs.Get(r.Over.Attribute)
		}
		t := &w.trials[i]
		if !t.over {
			t.record(ok, attrs)
		}
		if !ok && !divides {
			continue
		}
		if !t.over && ok {
			t.comes(resource, attrs)
		}
		w.named.came(r, ok, divides)
		if w.cond[i].record != nil {
			holds, err := w.holdsRecord(ctx, &w.cond[i])
			if err != nil {
				w.engine.Skip(i, threshold.BadCondition)
			}
			if err != nil || !holds {
				continue
			}
		}
		key := w.key(i, w.record.of, resource, attrs)
		s := threshold.Sample{Time: timeOf(lr)}
		if divides {
			s.Value = numeric(by)
			w.engine.Partner(i, key, &s)
		}
		if ok {
			s.Value = numeric(v)
			v := w.engine.Observe(i, key, &s)
			if !t.over {
				t.selected(r.Per, resource, attrs, v.Outcome)
			}
			w.decide(&c, r, v)
		}
	}
	c.mark.put(attrs)
	return c.gone()
}

// earliestRecord is the first time of the records of a batch, 0 for none.
func (w *Watch) earliestRecord(ld plog.Logs) (first int64) {
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if t := timeOf(lr); first == 0 || t < first {
					first = t
				}
			}
		}
	}
	return first
}

func timeOf(lr plog.LogRecord) int64 {
	switch {
	case lr.Timestamp() != 0:
		return int64(lr.Timestamp())
	case lr.ObservedTimestamp() != 0:
		return int64(lr.ObservedTimestamp())
	}
	return time.Now().UnixNano()
}

func numeric(v pcommon.Value) float64 {
	switch v.Type() {
	case pcommon.ValueTypeInt:
		return float64(v.Int())
	case pcommon.ValueTypeDouble:
		return v.Double()
	}
	return nan
}
