package baselineprocessor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/series"
	"github.com/monban/monban/internal/unusual"
	"github.com/monban/monban/processor/baselineprocessor/internal/metadata"
)

// metricsBaseline learns the series of a pipeline of metrics.
type metricsBaseline struct {
	cfg       *Config
	set       processor.Settings
	next      consumer.Metrics
	telemetry *metadata.TelemetryBuilder

	mu      sync.Mutex // the set sees one batch at a time
	series  *series.Set
	keeper  *keep.Keeper
	stopped bool
	noValue uint64
	learned map[string]bool // whether a metric of this name is
	began   [series.Drift + 1]int64

	// The point in hand.
	resource, attributes pcommon.Map
	metric               pmetric.Metric
	name                 uint64 // its hash
	of                   sum    // hash of the resource and the scope
	bands                pmetric.NumberDataPointSlice
	banded               bool
}

// maxNames bounds the names of metrics for which it is remembered whether they are learned.
const maxNames = 10000

func newMetrics(set processor.Settings, cfg *Config, next consumer.Metrics) (*metricsBaseline, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	p := &metricsBaseline{cfg: cfg, set: set, next: next, telemetry: t, series: series.New(cfg.Metrics.series()), learned: map[string]bool{}}
	return p, observeSeries(t, "metrics", &p.mu, p.series, func() uint64 { return p.noValue })
}

// observeSeries registers what is told of a set of series.
func observeSeries(t *metadata.TelemetryBuilder, of string, mu *sync.Mutex, s *series.Set, noValue func() uint64) error {
	from := attribute.String("learned_from", of)
	watch := func(get func() uint64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			mu.Lock()
			defer mu.Unlock()
			o.Observe(int64(get()), metric.WithAttributes(from))
			return nil
		}
	}
	return errors.Join(
		t.RegisterBaselineSeriesCallback(watch(func() uint64 { return uint64(s.Len()) })),
		t.RegisterBaselineSeriesFreedCallback(watch(func() uint64 { return s.Freed })),
		t.RegisterBaselinePointsCallback(func(_ context.Context, o metric.Int64Observer) error {
			mu.Lock()
			defer mu.Unlock()
			for _, out := range series.Outcomes() {
				o.Observe(int64(s.Points[out]), metric.WithAttributes(from, attribute.String("outcome", out.String())))
			}
			o.Observe(int64(noValue()), metric.WithAttributes(from, attribute.String("outcome", "no_value")))
			return nil
		}),
	)
}

func (*metricsBaseline) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// sideID names what a side of the processor keeps: those of logs and of metrics have one id.
func sideID(id component.ID, side string) component.ID {
	if id.Name() != "" {
		side = id.Name() + "/" + side
	}
	return component.NewIDWithName(id.Type(), side)
}

func (p *metricsBaseline) Start(ctx context.Context, host component.Host) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeper, err = keep.Open(ctx, host, p.cfg.Storage, component.KindProcessor, sideID(p.set.ID, "metrics"), p.cfg.SaveInterval, p.series, p.set.Logger)
	return err
}

// Shutdown saves what was learned.
func (p *metricsBaseline) Shutdown(ctx context.Context) error {
	p.telemetry.Shutdown() // first, as whoever reads metrics now waits for the lock
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	return p.keeper.Close(ctx, p.series)
}

func (p *metricsBaseline) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.series.Begin(time.Now().UnixNano())
	for _, rm := range md.ResourceMetrics().All() {
		p.resource = rm.Resource().Attributes()
		var res sum
		res.attributes(p.resource)
		for _, sm := range rm.ScopeMetrics().All() {
			p.of = res
			p.of.add(xxhash.Sum64String(sm.Scope().Name()), 7)
			metrics := sm.Metrics()
			for i, n := 0, metrics.Len(); i < n; i++ { // what bands add comes behind
				p.judge(metrics, i)
			}
		}
	}
	p.count(ctx)
	// Nothing of the batch is held on to.
	p.resource, p.attributes, p.metric, p.bands = pcommon.Map{}, pcommon.Map{}, pmetric.Metric{}, pmetric.NumberDataPointSlice{}
	err := p.next.ConsumeMetrics(ctx, md)
	p.keeper.SaveIfDue(ctx, p.series) // only now: what is saved as told must have been told
	return err
}

func (p *metricsBaseline) count(ctx context.Context) {
	for k := range p.began {
		if n := p.began[k]; n > 0 {
			p.telemetry.BaselineAnomalies.Add(ctx, n, metric.WithAttributes(attribute.String("kind", series.Kind(k).String())))
			p.began[k] = 0
		}
	}
}

func (p *metricsBaseline) judge(metrics pmetric.MetricSlice, i int) {
	m := metrics.At(i)
	name := m.Name()
	learn, known := p.learned[name]
	if !known {
		learn = p.cfg.Metrics.learns(name)
		if len(p.learned) < maxNames {
			p.learned[name] = learn
		}
	}
	if !learn {
		return
	}
	p.metric, p.name, p.banded = m, xxhash.Sum64String(name), false
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, dp := range m.Gauge().DataPoints().All() {
			p.number(dp, false, false)
		}
	case pmetric.MetricTypeSum:
		delta, rises := m.Sum().AggregationTemporality() == pmetric.AggregationTemporalityDelta, m.Sum().IsMonotonic()
		for _, dp := range m.Sum().DataPoints().All() {
			p.number(dp, rises, delta)
		}
	case pmetric.MetricTypeHistogram:
		delta := m.Histogram().AggregationTemporality() == pmetric.AggregationTemporalityDelta
		for _, dp := range m.Histogram().DataPoints().All() {
			p.distribution(dp, dp.Sum(), dp.HasSum(), delta)
		}
	case pmetric.MetricTypeExponentialHistogram:
		delta := m.ExponentialHistogram().AggregationTemporality() == pmetric.AggregationTemporalityDelta
		for _, dp := range m.ExponentialHistogram().DataPoints().All() {
			p.distribution(dp, dp.Sum(), dp.HasSum(), delta)
		}
	case pmetric.MetricTypeSummary:
		for _, dp := range m.Summary().DataPoints().All() {
			p.distribution(dp, dp.Sum(), true, false)
		}
	}
	if p.banded {
		p.appendBands(metrics, i)
	}
}

func (p *metricsBaseline) number(dp pmetric.NumberDataPoint, rises, delta bool) {
	if dp.Flags().NoRecordedValue() {
		p.noValue++
		return
	}
	v := dp.DoubleValue()
	if dp.ValueType() == pmetric.NumberDataPointValueTypeInt {
		v = float64(dp.IntValue())
	}
	p.attributes = dp.Attributes()
	key := p.key(0)
	start, t := int64(dp.StartTimestamp()), int64(dp.Timestamp())
	switch {
	case rises && delta:
		verdict, out := p.series.Delta(key, start, t, v)
		p.tell(key, "", perSecond, t, &verdict, out)
	case rises:
		verdict, out := p.series.Counter(key, start, t, v)
		p.tell(key, "", perSecond, t, &verdict, out)
	default:
		verdict, out := p.series.Gauge(key, t, v)
		p.tell(key, "", same, t, &verdict, out)
	}
}

// point is what points of distributions share.
type point interface {
	Count() uint64
	StartTimestamp() pcommon.Timestamp
	Timestamp() pcommon.Timestamp
	Attributes() pcommon.Map
	Flags() pmetric.DataPointFlags
}

// distribution learns how many values come, and their mean.
func (p *metricsBaseline) distribution(dp point, total float64, hasSum, delta bool) {
	if dp.Flags().NoRecordedValue() {
		p.noValue++
		return
	}
	p.attributes = dp.Attributes()
	start, t, n := int64(dp.StartTimestamp()), int64(dp.Timestamp()), float64(dp.Count())
	count, mean := p.key(1), p.key(2)
	var v series.Verdict
	var out series.Outcome
	if delta {
		v, out = p.series.Delta(count, start, t, n)
	} else {
		v, out = p.series.Counter(count, start, t, n)
	}
	p.tell(count, ".count", counts, t, &v, out)
	switch {
	case !hasSum || delta && n == 0:
		return
	case delta:
		v, out = p.series.Gauge(mean, t, total/n)
	default:
		v, out = p.series.Mean(mean, start, t, n, total)
	}
	p.tell(mean, ".mean", same, t, &v, out)
}

func (p *metricsBaseline) key(part uint64) series.Key {
	of := p.of
	of.attributes(p.attributes)
	return of.key(p.name, part)
}

// unit is that of a series beside that of its metric.
type unit int

const (
	same      unit = iota
	perSecond      // a rate
	counts         // the rate of how many there were
)

func (u unit) of(metric string) string {
	switch u {
	case perSecond:
		if metric == "" {
			metric = "1"
		}
		return metric + "/s"
	case counts:
		return "1/s"
	}
	return metric
}

// tell marks the point in hand when there is something to say of it.
func (p *metricsBaseline) tell(key series.Key, part string, u unit, t int64, v *series.Verdict, out series.Outcome) {
	if out != series.Learned {
		return
	}
	if v.Known && p.cfg.Metrics.Bands {
		p.band(part, t, v)
	}
	if !unusual.Says(v, t) {
		return
	}
	if v.Phase == series.Began {
		p.began[v.Kind]++
	}
	s := unusual.Subject{Key: key, Metric: p.metric.Name() + part, Unit: u.of(p.metric.Unit()), Entity: logrecord.Entity(p.attributes, unusual.IsMark)}
	o := unusual.Observe(&s, t, v)
	if _, news := p.attributes.Get("observation.phase"); news && o.Phase == "" {
		return // of the other part of the point, which is more than that this one goes on
	}
	p.attributes.RemoveIf(func(k string, _ pcommon.Value) bool { // or the point tells half of the one and half of the other
		return strings.HasPrefix(k, "observation.") || k == "anomaly.score"
	})
	logrecord.PutAttributes(p.attributes, baseline.Observations, &o, unusual.Marks...)
	if part != "" {
		p.attributes.PutStr(unusual.Part, part)
	}
	p.attributes.PutStr(unusual.UnitOf, s.Unit)
}

// band remembers what was expected of the point in hand.
func (p *metricsBaseline) band(part string, t int64, v *series.Verdict) {
	if !p.banded {
		p.banded = true
		p.bands = pmetric.NewNumberDataPointSlice()
	}
	for _, b := range [...]struct {
		name  string
		value float64
	}{{"low", v.Low}, {"expected", v.Expected}, {"high", v.High}} {
		dp := p.bands.AppendEmpty()
		for k, x := range p.attributes.All() {
			if !unusual.IsMark(k) {
				x.CopyTo(dp.Attributes().PutEmpty(k))
			}
		}
		dp.Attributes().PutStr("baseline.bound", b.name)
		if part != "" {
			dp.Attributes().PutStr("baseline.part", part[1:])
		}
		dp.SetStartTimestamp(pcommon.Timestamp(t))
		dp.SetTimestamp(pcommon.Timestamp(t))
		dp.SetDoubleValue(b.value)
	}
}

// appendBands adds the metric with what is expected of metric i.
func (p *metricsBaseline) appendBands(metrics pmetric.MetricSlice, i int) {
	band := metrics.AppendEmpty()
	of := metrics.At(i) // where it is now: appending may have moved all
	band.SetName(of.Name() + ".usual")
	band.SetDescription("What is usual for " + of.Name() + " at this time: nearly all values lie from low to high")
	band.SetUnit(of.Unit())
	if of.Type() == pmetric.MetricTypeSum && of.Sum().IsMonotonic() {
		band.SetUnit(perSecond.of(of.Unit()))
	}
	p.bands.MoveAndAppendTo(band.SetEmptyGauge().DataPoints())
}
