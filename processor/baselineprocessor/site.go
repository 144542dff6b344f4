package baselineprocessor

import (
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/form"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/traffic"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadata"
)

// site is what one baseline needs: all of what a processor sees, or one shard.
type site struct {
	mu       sync.Mutex // the engine sees one batch at a time
	engine   *baseline.Engine
	traffic  *traffic.Traffic       // nil when it is not learned
	found    []baseline.Observation // of traffic, in this batch
	ahead    []traffic.Forecast
	checked  int64            // data time at which learning was last re-estimated
	flow     flow.Record      // scratch
	seen     app.Sighting     // scratch
	device   device.Record    // scratch
	observer pcommon.Resource // of the last batch, for what has no record of its own
}

func newSite(cfg *Config) *site {
	s := &site{engine: baseline.New(baseline.Config{MaxDevices: cfg.MaxDevices}), observer: pcommon.NewResource()}
	if cfg.Metrics.Traffic {
		s.traffic = traffic.New(cfg.Metrics.series())
	}
	return s
}

// siteVersion is that of the form of [site.Checkpoint].
const siteVersion = 1

var errSiteVersion = errors.New("what was learned of a site is of another version")

// siteState is what a site hands over.
type siteState struct {
	checked           int64
	baseline, traffic []byte // nil for none
}

func (s *siteState) walk(w *form.Walk) {
	w.Head("site", siteVersion, errSiteVersion)
	w.I64(&s.checked)
	w.Blob(&s.baseline)
	w.Blob(&s.traffic)
}

// Checkpoint implements [shard.Engine].
func (s *site) Checkpoint() (_ []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := siteState{checked: s.checked}
	if all.baseline, err = s.engine.Checkpoint(); err != nil {
		return nil, err
	}
	if s.traffic != nil {
		if all.traffic, err = s.traffic.Checkpoint(); err != nil {
			return nil, err
		}
	}
	w := form.Writer(64 + len(all.baseline) + len(all.traffic))
	all.walk(w)
	return w.Bytes(), nil
}

// Resume implements [shard.Engine].
func (s *site) Resume(state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all siteState
	w := form.Reader(state)
	all.walk(w)
	if err := w.End(); err != nil {
		return fmt.Errorf("reading what was learned of a site: %w", err)
	}
	if err := s.engine.Resume(all.baseline); err != nil {
		return err
	}
	s.checked = all.checked
	if s.traffic == nil || len(all.traffic) == 0 {
		return nil // it was switched on or off since
	}
	return s.traffic.Resume(all.traffic)
}

// consume judges a batch, adds to it what only time shows, and returns how many records are unusual.
func (s *site) consume(logs plog.Logs) (unusual int64) {
	last := int64(0)
	for i, rl := range logs.ResourceLogs().All() {
		if i == 0 {
			rl.Resource().CopyTo(s.observer)
		}
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if s.judge(lr) {
					unusual++
				}
				last = max(last, int64(lr.Timestamp()))
			}
		}
	}
	if last > 0 {
		s.tell(last, logs)
	}
	return unusual
}

// judge looks at one record and puts the verdict on it.
func (s *site) judge(lr plog.LogRecord) bool {
	switch lr.EventName() {
	case flow.Fields.Name:
		s.flow = flow.Record{End: int64(lr.Timestamp()), FirstSizes: s.flow.FirstSizes[:0]}
		logrecord.Read(lr, flow.Fields, &s.flow)
		s.flow.Complete()
		s.engine.Flow(&s.flow)
		if s.traffic != nil {
			found, ahead := s.traffic.Flow(&s.flow)
			s.found, s.ahead = append(s.found, found...), append(s.ahead, ahead...)
		}
		if s.flow.Anomaly.Score > 0 {
			logrecord.Put(lr, flow.Fields, &s.flow, "anomaly.score", "anomaly.reasons")
			return true
		}
	case flow.Floods.Name:
		f := flow.Flood{End: int64(lr.Timestamp())}
		logrecord.Read(lr, flow.Floods, &f)
		f.Complete()
		s.engine.Flood(&f)
		if f.Anomaly.Score > 0 {
			logrecord.Put(lr, flow.Floods, &f, "anomaly.score", "anomaly.reasons")
			return true
		}
	case app.Sightings.Name:
		s.seen = app.Sighting{Time: int64(lr.Timestamp())}
		logrecord.Read(lr, app.Sightings, &s.seen)
		s.engine.Sighting(&s.seen)
		if s.seen.Anomaly.Score > 0 {
			logrecord.Put(lr, app.Sightings, &s.seen, "anomaly.score", "anomaly.reasons")
			return true
		}
	case device.Records.Name:
		s.device = device.Record{Time: int64(lr.Timestamp())}
		logrecord.Read(lr, device.Records, &s.device)
		s.engine.Device(&s.device)
		if s.device.Anomaly.Score > 0 {
			logrecord.Put(lr, device.Records, &s.device, "anomaly.score", "anomaly.reasons")
			return true
		}
	}
	return false
}

// tell appends to the batch what only time shows: silent devices, and devices
// whose learning has ended.
func (s *site) tell(now int64, logs plog.Logs) {
	const often = 10e9
	found := append(s.engine.Tick(now), s.found...)
	ahead := s.ahead
	s.found, s.ahead = nil, nil
	var changed []baseline.Status
	if now-s.checked >= often || now < s.checked {
		s.checked = now
		changed = s.engine.Learned()
	}
	if len(found)+len(changed)+len(ahead) == 0 {
		return
	}
	out, records := s.batch()
	for i := range found {
		logrecord.Append(records, baseline.Observations, found[i].Time, &found[i])
	}
	for i := range changed {
		logrecord.Append(records, baseline.Statuses, changed[i].Time, &changed[i])
	}
	for i := range ahead {
		logrecord.Append(records, traffic.Forecasts, ahead[i].Time, &ahead[i])
	}
	out.ResourceLogs().MoveAndAppendTo(logs.ResourceLogs())
}

// batch is empty but for the resource of the observer.
func (s *site) batch() (plog.Logs, plog.LogRecordSlice) {
	out := plog.NewLogs()
	rl := out.ResourceLogs().AppendEmpty()
	s.observer.CopyTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	return out, sl.LogRecords()
}
