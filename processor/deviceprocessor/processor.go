package deviceprocessor

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/oui"
	"github.com/monban/monban/processor/deviceprocessor/internal/metadata"
)

type deviceProcessor struct {
	cfg       *Config
	set       processor.Settings
	next      consumer.Logs
	telemetry *metadata.TelemetryBuilder

	mu        sync.Mutex // the inventory sees one batch at a time
	inventory *device.Inventory
	keeper    *keep.Keeper
	stopped   bool
	arena     logrecord.Arena
	flow      flow.Record         // scratch
	seen      app.Sighting        // scratch
	observer  pcommon.Resource    // of the last batch, for what is told at the end
	events    plog.LogRecordSlice // of the resource at hand
}

func newProcessor(set processor.Settings, cfg *Config, next consumer.Logs) (*deviceProcessor, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	home, err := cfg.prefixes()
	if err != nil {
		return nil, err
	}
	vendor := oui.Vendor
	if cfg.OUIFile != "" {
		own, err := oui.Load(cfg.OUIFile)
		if err != nil {
			return nil, fmt.Errorf("oui_file: %w", err)
		}
		vendor = own.Vendor
	}
	p := &deviceProcessor{
		cfg: cfg, set: set, next: next, telemetry: t,
		inventory: device.NewInventory(device.Config{Home: home, Site: cfg.Site, MaxDevices: cfg.MaxDevices, Vendor: vendor}),
		observer:  pcommon.NewResource(),
		events:    plog.NewLogRecordSlice(),
	}
	watch := func(get func(device.Stats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			o.Observe(get(p.inventory.Stats()))
			return nil
		}
	}
	return p, errors.Join(
		t.RegisterDeviceKnownCallback(watch(func(s device.Stats) int64 { return int64(s.Devices) })),
		t.RegisterDeviceNewCallback(watch(func(s device.Stats) int64 { return int64(s.New) })),
		t.RegisterDeviceEvictedCallback(watch(func(s device.Stats) int64 { return int64(s.Evicted) })),
	)
}

func (*deviceProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (p *deviceProcessor) Start(ctx context.Context, host component.Host) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeper, err = keep.Open(ctx, host, p.cfg.Storage, component.KindProcessor, p.set.ID, p.cfg.SaveInterval, p.inventory, p.set.Logger)
	return err
}

// Shutdown tells what changed and was not told yet, and saves the inventory.
func (p *deviceProcessor) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	if left := p.inventory.Flush(); len(left) > 0 {
		out := plog.NewLogs()
		rl := out.ResourceLogs().AppendEmpty()
		p.observer.CopyTo(rl.Resource())
		p.append(left)
		p.tell(rl)
		if err := p.next.ConsumeLogs(ctx, out); err != nil {
			p.set.Logger.Error("What became known of devices last could not be handed on.", zap.Error(err))
		}
	}
	p.telemetry.Shutdown()
	return p.keeper.Close(ctx, p.inventory)
}

func (p *deviceProcessor) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, rl := range logs.ResourceLogs().All() {
		if i == 0 {
			rl.Resource().CopyTo(p.observer)
		}
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				switch lr.EventName() {
				case flow.Fields.Name:
					has := readFlow(lr, &p.flow)
					p.append(p.inventory.Flow(&p.flow))
					markFlow(&p.arena, lr, &p.flow, has)
				case app.Sightings.Name:
					p.seen = app.Sighting{Time: int64(lr.Timestamp())}
					logrecord.Read(lr, app.Sightings, &p.seen)
					p.append(p.inventory.Sighting(&p.seen))
					if p.seen.Device != "" {
						lr.Attributes().PutStr(keyDevice, p.seen.Device)
					}
				}
			}
		}
		if p.events.Len() > 0 {
			p.tell(rl)
		}
	}
	err := p.next.ConsumeLogs(ctx, logs)
	p.keeper.SaveIfDue(ctx, p.inventory) // only now: what is saved as told must have been told
	return err
}

func (p *deviceProcessor) append(events []device.Record) {
	for i := range events {
		logrecord.AppendTo(&p.arena, p.events, device.Records, events[i].Time, &events[i])
	}
}

// tell puts the collected events before all else of a resource, since whoever
// reads in order must know a device before the flow that showed it.
func (p *deviceProcessor) tell(rl plog.ResourceLogs) {
	all := plog.NewScopeLogsSlice()
	sl := all.AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	p.events.MoveAndAppendTo(sl.LogRecords())
	rl.ScopeLogs().MoveAndAppendTo(all)
	all.MoveAndAppendTo(rl.ScopeLogs())
}
