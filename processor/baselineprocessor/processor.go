package baselineprocessor

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/traffic"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadata"
)

type baselineProcessor struct {
	cfg       *Config
	set       processor.Settings
	next      consumer.Logs
	telemetry *metadata.TelemetryBuilder

	mu           sync.Mutex // the engine sees one batch at a time
	engine       *baseline.Engine
	keeper       *keep.Keeper
	traffic      *traffic.Traffic // nil when it is not learned
	keepsTraffic *keep.Keeper
	found        []baseline.Observation // of traffic, in this batch
	ahead        []traffic.Forecast
	stopped      bool
	checked      int64             // data time at which learning was last re-estimated
	flow         flow.Record       // scratch
	seen         app.Sighting      // scratch
	device       device.Record     // scratch
	resFrom      plog.ResourceLogs // names the observer, for what has no record of its own
	hasRes       bool
}

func newBaseline(set processor.Settings, cfg *Config, next consumer.Logs) (*baselineProcessor, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	p := &baselineProcessor{
		cfg: cfg, set: set, next: next, telemetry: t,
		engine: baseline.New(baseline.Config{MaxDevices: cfg.MaxDevices}),
	}
	if cfg.Metrics.Traffic {
		p.traffic = traffic.New(cfg.Metrics.series())
		if err := observeSeries(t, "flows", &p.mu, p.traffic.Series(), func() uint64 { return 0 }); err != nil {
			return nil, err
		}
	}
	watch := func(get func() int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			o.Observe(get())
			return nil
		}
	}
	return p, errors.Join(
		t.RegisterBaselineDevicesCallback(watch(func() int64 { return int64(p.engine.Len()) })),
		t.RegisterBaselineEvictedCallback(watch(func() int64 { return int64(p.engine.Evicted) })),
	)
}

func (*baselineProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (p *baselineProcessor) Start(ctx context.Context, host component.Host) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeper, err = keep.Open(ctx, host, p.cfg.Storage, component.KindProcessor, p.set.ID, p.cfg.SaveInterval, p.engine, p.set.Logger)
	if err == nil && p.traffic != nil {
		p.keepsTraffic, err = keep.Open(ctx, host, p.cfg.Storage, component.KindProcessor, sideID(p.set.ID, "traffic"), p.cfg.SaveInterval, p.traffic.Series(), p.set.Logger)
	}
	return err
}

// Shutdown says for every device what is normal, and saves what was learned.
func (p *baselineProcessor) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	if all := p.engine.Statuses(); len(all) > 0 {
		out, records := p.batch()
		for i := range all {
			logrecord.Append(records, baseline.Statuses, all[i].Time, &all[i])
		}
		if err := p.next.ConsumeLogs(ctx, out); err != nil {
			p.set.Logger.Error("What is normal for each device could not be handed on.", zap.Error(err))
		}
	}
	p.telemetry.Shutdown()
	err := p.keeper.Close(ctx, p.engine)
	if p.traffic != nil {
		err = errors.Join(err, p.keepsTraffic.Close(ctx, p.traffic.Series()))
	}
	return err
}

func (p *baselineProcessor) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	unusual, last := int64(0), int64(0)
	for _, rl := range logs.ResourceLogs().All() {
		if !p.hasRes {
			p.resFrom, p.hasRes = plog.NewResourceLogs(), true
			rl.Resource().CopyTo(p.resFrom.Resource())
		}
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if p.judge(lr) {
					unusual++
				}
				last = max(last, int64(lr.Timestamp()))
			}
		}
	}
	p.telemetry.BaselineUnusual.Add(ctx, unusual)
	if last > 0 {
		p.tell(last, logs)
	}
	err := p.next.ConsumeLogs(ctx, logs)
	p.keeper.SaveIfDue(ctx, p.engine) // only now: what is saved as told must have been told
	if p.traffic != nil {
		p.keepsTraffic.SaveIfDue(ctx, p.traffic.Series())
	}
	return err
}

// judge looks at one record and puts the verdict on it.
func (p *baselineProcessor) judge(lr plog.LogRecord) bool {
	switch lr.EventName() {
	case flow.Fields.Name:
		p.flow = flow.Record{End: int64(lr.Timestamp()), FirstSizes: p.flow.FirstSizes[:0]}
		logrecord.Read(lr, flow.Fields, &p.flow)
		p.flow.Complete()
		p.engine.Flow(&p.flow)
		if p.traffic != nil {
			found, ahead := p.traffic.Flow(&p.flow)
			p.found, p.ahead = append(p.found, found...), append(p.ahead, ahead...)
		}
		if p.flow.Anomaly.Score > 0 {
			logrecord.Put(lr, flow.Fields, &p.flow, "anomaly.score", "anomaly.reasons")
			return true
		}
	case flow.Floods.Name:
		f := flow.Flood{End: int64(lr.Timestamp())}
		logrecord.Read(lr, flow.Floods, &f)
		f.Complete()
		p.engine.Flood(&f)
		if f.Anomaly.Score > 0 {
			logrecord.Put(lr, flow.Floods, &f, "anomaly.score", "anomaly.reasons")
			return true
		}
	case app.Sightings.Name:
		p.seen = app.Sighting{Time: int64(lr.Timestamp())}
		logrecord.Read(lr, app.Sightings, &p.seen)
		p.engine.Sighting(&p.seen)
		if p.seen.Anomaly.Score > 0 {
			logrecord.Put(lr, app.Sightings, &p.seen, "anomaly.score", "anomaly.reasons")
			return true
		}
	case device.Records.Name:
		p.device = device.Record{Time: int64(lr.Timestamp())}
		logrecord.Read(lr, device.Records, &p.device)
		p.engine.Device(&p.device)
		if p.device.Anomaly.Score > 0 {
			logrecord.Put(lr, device.Records, &p.device, "anomaly.score", "anomaly.reasons")
			return true
		}
	}
	return false
}

// tell appends to the batch what only time shows: silent devices, and devices
// whose learning has ended.
func (p *baselineProcessor) tell(now int64, logs plog.Logs) {
	const often = 10e9
	found := append(p.engine.Tick(now), p.found...)
	ahead := p.ahead
	p.found, p.ahead = nil, nil
	var changed []baseline.Status
	if now-p.checked >= often || now < p.checked {
		p.checked = now
		changed = p.engine.Learned()
	}
	if len(found)+len(changed)+len(ahead) == 0 {
		return
	}
	out, records := p.batch()
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
func (p *baselineProcessor) batch() (plog.Logs, plog.LogRecordSlice) {
	out := plog.NewLogs()
	rl := out.ResourceLogs().AppendEmpty()
	if p.hasRes {
		p.resFrom.Resource().CopyTo(rl.Resource())
	}
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	return out, sl.LogRecords()
}
