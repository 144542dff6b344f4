package baselineprocessor

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/shard"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadata"
)

type baselineProcessor struct {
	cfg       *Config
	set       processor.Settings
	next      consumer.Logs
	telemetry *metadata.TelemetryBuilder

	sites        *shard.Engines[*site]
	keeper       *keep.Keeper // of the one site; nil with shards
	keepsTraffic *keep.Keeper
	evicted      atomic.Int64 // by engines that are no more
	stopped      bool
}

func newBaseline(set processor.Settings, cfg *Config, next consumer.Logs) (*baselineProcessor, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	p := &baselineProcessor{
		cfg: cfg, set: set, next: next, telemetry: t,
	}
	p.sites = shard.New(func() *site { return newSite(cfg) }, func(s *site) {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.evicted.Add(int64(s.engine.Evicted))
	})
	if cfg.Metrics.Traffic {
		// what is held for shards is not counted by series
		if err := observeSeries(t, "flows", &p.sites.One().mu, p.sites.One().traffic.Series(), func() uint64 { return 0 }); err != nil {
			return nil, err
		}
	}
	watch := func(before func() int64, get func(*baseline.Engine) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			sum := before()
			p.sites.Each(func(s *site) {
				s.mu.Lock()
				defer s.mu.Unlock()
				sum += get(s.engine)
			})
			o.Observe(sum)
			return nil
		}
	}
	return p, errors.Join(
		t.RegisterBaselineDevicesCallback(watch(func() int64 { return 0 }, func(e *baseline.Engine) int64 { return int64(e.Len()) })),
		t.RegisterBaselineEvictedCallback(watch(p.evicted.Load, func(e *baseline.Engine) int64 { return int64(e.Evicted) })),
	)
}

func (*baselineProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (p *baselineProcessor) Start(ctx context.Context, host component.Host) (err error) {
	if r := shard.Find(host, p.cfg.Storage); r != nil {
		return p.sites.Join(r, component.KindProcessor, p.set.ID)
	}
	s := p.sites.One()
	s.mu.Lock()
	defer s.mu.Unlock()
	p.keeper, err = keep.Open(ctx, host, p.cfg.Storage, component.KindProcessor, p.set.ID, p.cfg.SaveInterval, s.engine, p.set.Logger)
	if err == nil && s.traffic != nil {
		p.keepsTraffic, err = keep.Open(ctx, host, p.cfg.Storage, component.KindProcessor, sideID(p.set.ID, "traffic"), p.cfg.SaveInterval, s.traffic.Series(), p.set.Logger)
	}
	return err
}

// Shutdown says for every device what is normal, and saves what was learned. Of shards it says nothing: others go on
// with them.
func (p *baselineProcessor) Shutdown(ctx context.Context) error {
	p.telemetry.Shutdown() // first, as whoever reads metrics now waits for the lock
	s := p.sites.One()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	if all := s.engine.Statuses(); len(all) > 0 {
		out, records := s.batch()
		for i := range all {
			logrecord.Append(records, baseline.Statuses, all[i].Time, &all[i])
		}
		if err := p.next.ConsumeLogs(ctx, out); err != nil {
			p.set.Logger.Error("What is normal for each device could not be handed on.", zap.Error(err))
		}
	}
	err := p.keeper.Close(ctx, s.engine)
	if s.traffic != nil {
		err = errors.Join(err, p.keepsTraffic.Close(ctx, s.traffic.Series()))
	}
	return err
}

func (p *baselineProcessor) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	s, err := p.sites.Of(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.telemetry.BaselineUnusual.Add(ctx, s.consume(logs))
	err = p.next.ConsumeLogs(ctx, logs)
	p.keeper.SaveIfDue(ctx, s.engine) // only now: what is saved as told must have been told
	if s.traffic != nil {
		p.keepsTraffic.SaveIfDue(ctx, s.traffic.Series())
	}
	return err
}
