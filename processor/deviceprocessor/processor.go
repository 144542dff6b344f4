package deviceprocessor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

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
	"github.com/monban/monban/internal/shard"
	"github.com/monban/monban/processor/deviceprocessor/internal/metadata"
)

type deviceProcessor struct {
	cfg       *Config
	set       processor.Settings
	next      consumer.Logs
	telemetry *metadata.TelemetryBuilder

	sites   *shard.Engines[*site]
	keeper  *keep.Keeper // of the one site; nil with shards
	stopped bool
}

// site is what one inventory needs: of all that the processor sees, or of one shard.
type site struct {
	mu        sync.Mutex // the inventory sees one batch at a time
	inventory *device.Inventory
	arena     logrecord.Arena
	flow      flow.Record         // scratch
	seen      app.Sighting        // scratch
	observer  pcommon.Resource    // of the last batch, for what is told at the end
	events    plog.LogRecordSlice // of the resource at hand
}

// Checkpoint implements [shard.Engine].
func (s *site) Checkpoint() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inventory.Checkpoint()
}

// Resume implements [shard.Engine].
func (s *site) Resume(state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inventory.Resume(state)
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
	var gone struct{ New, Evicted atomic.Int64 } // of inventories that are no more
	p := &deviceProcessor{
		cfg: cfg, set: set, next: next, telemetry: t,
		sites: shard.New(func() *site {
			return &site{
				inventory: device.NewInventory(device.Config{Home: home, Site: cfg.Site, MaxDevices: cfg.MaxDevices, Vendor: vendor}),
				observer:  pcommon.NewResource(), events: plog.NewLogRecordSlice(),
			}
		}, func(s *site) {
			s.mu.Lock()
			defer s.mu.Unlock()
			gone.New.Add(int64(s.inventory.Stats().New))
			gone.Evicted.Add(int64(s.inventory.Stats().Evicted))
		}),
	}
	watch := func(before func() int64, get func(device.Stats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			sum := before()
			p.sites.Each(func(s *site) {
				s.mu.Lock()
				defer s.mu.Unlock()
				sum += get(s.inventory.Stats())
			})
			o.Observe(sum)
			return nil
		}
	}
	return p, errors.Join(
		t.RegisterDeviceKnownCallback(watch(func() int64 { return 0 }, func(s device.Stats) int64 { return int64(s.Devices) })),
		t.RegisterDeviceNewCallback(watch(gone.New.Load, func(s device.Stats) int64 { return int64(s.New) })),
		t.RegisterDeviceEvictedCallback(watch(gone.Evicted.Load, func(s device.Stats) int64 { return int64(s.Evicted) })),
	)
}

func (*deviceProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (p *deviceProcessor) Start(ctx context.Context, host component.Host) (err error) {
	if r := shard.Find(host, p.cfg.Storage); r != nil {
		return p.sites.Join(r, component.KindProcessor, p.set.ID)
	}
	s := p.sites.One()
	s.mu.Lock()
	defer s.mu.Unlock()
	p.keeper, err = keep.Open(ctx, host, p.cfg.Storage, component.KindProcessor, p.set.ID, p.cfg.SaveInterval, s.inventory, p.set.Logger)
	return err
}

// Shutdown tells what changed and was not told yet, and saves the inventory. Of shards it tells nothing: others go on
// with them.
func (p *deviceProcessor) Shutdown(ctx context.Context) error {
	p.telemetry.Shutdown() // first, as whoever reads metrics now waits for the lock
	s := p.sites.One()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	if left := s.inventory.Flush(); len(left) > 0 {
		out := plog.NewLogs()
		rl := out.ResourceLogs().AppendEmpty()
		s.observer.CopyTo(rl.Resource())
		s.append(left)
		s.tell(rl)
		if err := p.next.ConsumeLogs(ctx, out); err != nil {
			p.set.Logger.Error("What became known of devices last could not be handed on.", zap.Error(err))
		}
	}
	return p.keeper.Close(ctx, s.inventory)
}

func (p *deviceProcessor) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	s, err := p.sites.Of(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consume(logs)
	err = p.next.ConsumeLogs(ctx, logs)
	p.keeper.SaveIfDue(ctx, s.inventory) // only now: what is saved as told must have been told
	return err
}

// consume tells who the devices of a batch are, and adds to it what became known of them.
func (s *site) consume(logs plog.Logs) {
	for i, rl := range logs.ResourceLogs().All() {
		if i == 0 {
			rl.Resource().CopyTo(s.observer)
		}
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				switch lr.EventName() {
				case flow.Fields.Name:
					has := readFlow(lr, &s.flow)
					s.append(s.inventory.Flow(&s.flow))
					markFlow(&s.arena, lr, &s.flow, has)
				case app.Sightings.Name:
					s.seen = app.Sighting{Time: int64(lr.Timestamp())}
					logrecord.Read(lr, app.Sightings, &s.seen)
					s.append(s.inventory.Sighting(&s.seen))
					if s.seen.Device != "" {
						lr.Attributes().PutStr(keyDevice, s.seen.Device)
					}
				}
			}
		}
		if s.events.Len() > 0 {
			s.tell(rl)
		}
	}
}

func (s *site) append(events []device.Record) {
	for i := range events {
		logrecord.AppendTo(&s.arena, s.events, device.Records, events[i].Time, &events[i])
	}
}

// tell puts the collected events before all else of a resource, since whoever
// reads in order must know a device before the flow that showed it.
func (s *site) tell(rl plog.ResourceLogs) {
	all := plog.NewScopeLogsSlice()
	sl := all.AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	s.events.MoveAndAppendTo(sl.LogRecords())
	rl.ScopeLogs().MoveAndAppendTo(all)
	all.MoveAndAppendTo(rl.ScopeLogs())
}
