package hostreceiver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/host"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/posture"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

const (
	lookEvery   = 5 * time.Second
	settleFor   = time.Second // a file that changes is often not yet whole
	refusedEach = 10 * time.Second
)

// postureReceiver tells of the host's security.
type postureReceiver struct {
	cfg      *Config
	set      receiver.Settings
	log      *zap.Logger
	next     consumer.Logs
	obs      *receiverhelper.ObsReport
	tel      *metadata.TelemetryBuilder
	host     *host.Host
	device   string
	resource pcommon.Resource

	watcher *posture.Watcher
	keeper  *keep.Keeper
	ctx     context.Context // not Start's: of the background
	cancel  context.CancelFunc
	running sync.WaitGroup
	once    sync.Once

	told, lost, known atomic.Int64 // what the metrics show

	mu         sync.Mutex // of all below, and of the watcher
	waiting    []posture.Record
	sent       uint64
	dropped    uint64
	complained time.Time
}

func newPosture(cfg *Config, set receiver.Settings, next consumer.Logs) (*postureReceiver, error) {
	r := &postureReceiver{cfg: cfg, set: set, log: set.Logger, next: next, host: host.New(cfg.RootPath)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	id := identity(r.host, cfg)
	r.device, r.resource = id.Device, resource(id, cfg)
	var err error
	r.obs, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "host", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	cfg.made.logs = true
	r.tel, err = metadata.NewTelemetryBuilder(set.TelemetrySettings)
	return r, err
}

// Start takes what is known of the host, and begins to look.
func (r *postureReceiver) Start(ctx context.Context, h component.Host) (err error) {
	if err := r.host.Check(); err != nil {
		return err
	}
	if r.cfg.given.metrics && !r.cfg.made.metrics { // all receivers are made before one is started
		r.log.Warn("scrapers is set, but no pipeline of metrics has this receiver, so that nothing is read for it; list the receiver in one, or take scrapers out.")
	}
	cfg := r.cfg.Posture.posture()
	cfg.Device = r.device
	if r.watcher, err = posture.New(r.host, cfg); err != nil {
		return err
	}
	p := &r.cfg.Posture
	if r.keeper, err = keep.Open(ctx, h, p.Storage, component.KindReceiver, r.set.ID, p.SaveInterval, (*postureState)(r), r.log); err != nil {
		r.watcher.Close()
		r.watcher = nil
		return err
	}
	if err := r.observe(); err != nil {
		return err
	}
	r.watcher.Run(r.ctx)
	r.running.Go(r.run)
	return nil
}

// Shutdown hands on what waits, and saves what is known.
func (r *postureReceiver) Shutdown(ctx context.Context) (err error) {
	r.once.Do(func() {
		r.cancel()
		r.running.Wait()
		r.tel.Shutdown()
		if r.watcher == nil {
			return
		}
		r.watcher.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.send(ctx)
		n := zap.Int("events", len(r.waiting))
		switch {
		case len(r.waiting) > 0 && r.keeper == nil:
			r.log.Error("Events are lost, as what is behind refused them to the end; with posture::storage they are told at the next start.", n)
		case len(r.waiting) > 0:
			r.log.Warn("Events that what is behind refused to the end are kept, and told at the next start.", n)
		}
		err = r.keeper.Close(ctx, (*postureState)(r))
	})
	return err
}

func (r *postureReceiver) run() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		r.look(time.Now())
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		case <-r.watcher.Wake():
			select { // once for all that changes together
			case <-r.ctx.Done():
				return
			case <-time.After(settleFor):
			}
		}
	}
}

func (r *postureReceiver) look(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, r.watcher.Look(now)...)
	if over := len(r.waiting) - posture.MaxWaiting; over > 0 {
		r.dropped += uint64(over)
		r.waiting = append([]posture.Record(nil), r.waiting[over:]...)
	}
	r.send(r.ctx)
	r.publish()
	r.keeper.SaveIfDue(r.ctx, (*postureState)(r))
	if none := r.watcher.Unmatched; len(none) > 0 {
		r.watcher.Unmatched = nil
		r.log.Warn("Patterns under posture::files match no file now, so that nothing of them is watched until one appears; see that they are written right.", zap.Strings("patterns", none))
	}
}

// postureState is what is kept over a restart: the facts that are known, and the events of their changes that
// what is behind has not taken yet.
type postureState postureReceiver

// Snapshot is called with the lock held.
func (s *postureState) Snapshot() ([]byte, error) { return s.watcher.Snapshot(s.waiting) }

// Restore is called before anything runs.
func (s *postureState) Restore(data []byte) (err error) {
	s.waiting, err = s.watcher.Restore(data)
	return err
}

func (r *postureReceiver) publish() {
	r.told.Store(int64(r.sent))
	r.lost.Store(int64(r.dropped + r.watcher.Dropped))
	r.known.Store(int64(r.watcher.Facts()))
}

// send hands on what waits. What is behind may take it later.
func (r *postureReceiver) send(ctx context.Context) {
	if len(r.waiting) == 0 {
		return
	}
	ctx = r.obs.StartLogsOp(ctx)
	n := len(r.waiting)
	err := r.next.ConsumeLogs(ctx, r.logs())
	r.obs.EndLogsOp(ctx, "posture", n, err)
	switch {
	case err == nil:
		r.sent += uint64(n)
	case consumererror.IsPermanent(err):
		r.dropped += uint64(n)
	default:
		if time.Since(r.complained) >= refusedEach {
			r.complained = time.Now()
			r.log.Warn("Posture events are refused by what is behind; they are sent again.", zap.Int("events", n), zap.Error(err))
		}
		return
	}
	r.waiting = nil
}

var severities = map[string]plog.SeverityNumber{
	posture.Info: plog.SeverityNumberInfo, posture.Warn: plog.SeverityNumberWarn, posture.Error: plog.SeverityNumberError,
}

func (r *postureReceiver) logs() plog.Logs {
	out := plog.NewLogs()
	rl := out.ResourceLogs().AppendEmpty()
	r.resource.CopyTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	sl.Scope().SetVersion(r.set.BuildInfo.Version)
	for i := range r.waiting {
		rec := &r.waiting[i]
		lr := logrecord.Append(sl.LogRecords(), posture.Records, rec.Time, rec)
		lr.SetSeverityNumber(severities[rec.Severity])
		lr.SetSeverityText(rec.Severity)
	}
	return out
}

func (r *postureReceiver) observe() error {
	attrs := metric.WithAttributes(attribute.String("receiver", r.set.ID.String()))
	if err := r.tel.RegisterHostUnreadableCallback(func(_ context.Context, o metric.Int64Observer) error {
		observeFaults(o, r.set.ID, map[string]*host.Faults{"posture": &r.watcher.Faults})
		return nil
	}); err != nil {
		return err
	}
	for _, m := range []struct {
		register func(metric.Int64Callback) error
		value    *atomic.Int64
	}{
		{r.tel.RegisterHostPostureDroppedCallback, &r.lost},
		{r.tel.RegisterHostPostureEventsCallback, &r.told},
		{r.tel.RegisterHostPostureFactsCallback, &r.known},
	} {
		if err := m.register(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(m.value.Load(), attrs)
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
