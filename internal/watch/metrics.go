package watch

import (
	"context"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/shard"
	"github.com/monban/monban/internal/threshold"
)

// point is the data point in hand.
type point struct {
	of       int // number of its resource in the batch
	rm       pmetric.ResourceMetrics
	sm       pmetric.ScopeMetrics
	m        pmetric.Metric
	resource pcommon.Map
	attrs    pcommon.Map
	raw      any // the point itself, only set when a condition wants it
	sample   threshold.Sample
}

// Metrics judges a batch. Unless it is a dry run it marks points and drops what rules do not
// let pass. What is told goes to give, and the batch to forward when anything of it is left; either may be nil.
func (w *Watch) Metrics(ctx context.Context, md pmetric.Metrics, give func(plog.Logs) error, forward func(pmetric.Metrics) error) error {
	if err := shard.Alone(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	had := md.ResourceMetrics().Len() > 0
	out := plog.NewLogs()
	w.forget()
	if w.set.Config.DryRun {
		w.ahead(w.earliest(md))
	}
	for of, rm := range md.ResourceMetrics().All() {
		w.point.of, w.point.rm, w.point.resource = of, rm, rm.Resource().Attributes()
		if len(w.partners) > 0 {
			w.walk(ctx, rm, w.partners, true)
		}
		w.walk(ctx, rm, w.byName, false)
		out = w.told(out, rm.Resource())
	}
	out = w.finish(out)
	w.point = point{} // hold nothing of the batch
	w.give(out, give)
	var err error
	if forward != nil {
		if w.drops() {
			md.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
				rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool { return sm.Metrics().Len() == 0 })
				return rm.ScopeMetrics().Len() == 0
			})
		}
		if !had || md.ResourceMetrics().Len() > 0 {
			err = forward(md)
		}
	}
	w.saved(ctx)
	return err
}

// drops reports whether any rule may drop points.
func (w *Watch) drops() bool {
	for i := range w.conf {
		if w.conf[i].Does(threshold.Pass) && !w.set.Config.DryRun {
			return true
		}
	}
	return false
}

// walk judges what of a resource the rules by name select.
func (w *Watch) walk(ctx context.Context, rm pmetric.ResourceMetrics, by map[string][]int, partners bool) {
	for _, sm := range rm.ScopeMetrics().All() {
		empty := false
		for _, m := range sm.Metrics().All() {
			if !partners && len(w.named.waiting) > 0 {
				w.named.meet(m.Name(), m.Unit())
			}
			rules := by[m.Name()]
			if len(rules) == 0 {
				continue
			}
			w.point.sm, w.point.m = sm, m
			if partners {
				w.metric(m, func() bool { w.partner(rules); return false }, false)
				continue
			}
			w.meet(m, rules)
			drop := false
			for _, i := range rules {
				drop = drop || w.conf[i].Does(threshold.Pass)
			}
			if left := w.metric(m, func() bool { return w.judge(ctx, rules) }, drop && !w.set.Config.DryRun); left == 0 && drop {
				empty = true
			}
		}
		if empty && !partners && !w.set.Config.DryRun {
			sm.Metrics().RemoveIf(func(m pmetric.Metric) bool { return w.passes(m.Name()) && points(m) == 0 })
		}
	}
}

// passes reports whether a rule drops points of the metric.
func (w *Watch) passes(name string) bool {
	for _, i := range w.byName[name] {
		if w.conf[i].Does(threshold.Pass) {
			return true
		}
	}
	return false
}

func points(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 1
}

// earliest is the first time of the points of a batch that rules select, 0 for none.
func (w *Watch) earliest(md pmetric.Metrics) (first int64) {
	look := func() bool {
		if t := w.point.sample.Time; t > 0 && (first == 0 || t < first) {
			first = t
		}
		return false
	}
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if len(w.byName[m.Name()]) > 0 {
					w.metric(m, look, false)
				}
			}
		}
	}
	return first
}

// meet looks at a metric that rules select for the first time.
func (w *Watch) meet(m pmetric.Metric, rules []int) {
	for _, i := range rules {
		k := &w.named
		r := &w.conf[i]
		if k.met[i] {
			continue
		}
		k.met[i] = true
		w.engine.SetUnit(i, strings.Clone(m.Unit()))
		if r.Unit != "" && m.Unit() != r.Unit {
			w.log.Warn("Points are not judged: their metric has another unit than the rule says.",
				zap.String("rule", r.Name), zap.String("metric", m.Name()), zap.String("unit", m.Unit()), zap.String("unit of the rule", r.Unit))
		}
		whole := m.Type() == pmetric.MetricTypeHistogram || m.Type() == pmetric.MetricTypeExponentialHistogram || m.Type() == pmetric.MetricTypeSummary
		switch {
		case whole && r.Value == "":
			w.log.Warn("Points are not judged: their metric is a histogram or summary, and the rule does not say by value what of it is meant.",
				zap.String("rule", r.Name), zap.String("metric", m.Name()))
			w.trials[i].told = true
		case !whole && r.Value != "":
			w.log.Warn("Points are not judged: the rule asks for the "+r.Value+" of a histogram or summary, and their metric is of numbers.",
				zap.String("rule", r.Name), zap.String("metric", m.Name()))
			w.trials[i].told = true
		}
		for _, f := range w.engine.Misfits(i, m.Unit()) {
			said := []zap.Field{zap.String("rule", r.Name), zap.String("metric", m.Name()), zap.Float64(f.Key, f.Bound)}
			if f.Meant != 0 {
				said = append(said, zap.Float64("meant, perhaps", f.Meant))
			}
			w.log.Warn(f.Why+": the metric is a share from 0 to 1.", said...)
		}
	}
}

// temporality is what the numbers of a sum stand for.
func temporality(t pmetric.AggregationTemporality, monotonic bool) threshold.Temporality {
	switch {
	case t == pmetric.AggregationTemporalityDelta:
		return threshold.Delta
	case t == pmetric.AggregationTemporalityCumulative && monotonic:
		return threshold.Cumulative
	}
	return threshold.Gauge
}

// metric puts each of its points in hand and asks what to do with it; it drops those for which the answer is
// true if it may, and tells how many are left.
func (w *Watch) metric(m pmetric.Metric, drop func() bool, may bool) (left int) {
	p := &w.point
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return w.numbers(m.Gauge().DataPoints(), threshold.Gauge, drop, may)
	case pmetric.MetricTypeSum:
		return w.numbers(m.Sum().DataPoints(), temporality(m.Sum().AggregationTemporality(), m.Sum().IsMonotonic()), drop, may)
	case pmetric.MetricTypeHistogram:
		t := temporality(m.Histogram().AggregationTemporality(), true)
		all := m.Histogram().DataPoints()
		one := func(dp pmetric.HistogramDataPoint) bool {
			p.attrs, p.raw = dp.Attributes(), nil
			if w.named.conditions {
				p.raw = dp
			}
			p.sample = threshold.Sample{Time: int64(dp.Timestamp()), Start: int64(dp.StartTimestamp()), Temporality: t, Distribution: w.histogram(dp)}
			w.none(dp.Flags())
			return drop()
		}
		if may {
			all.RemoveIf(one)
		} else {
			for _, dp := range all.All() {
				one(dp)
			}
		}
		return all.Len()
	case pmetric.MetricTypeExponentialHistogram:
		t := temporality(m.ExponentialHistogram().AggregationTemporality(), true)
		all := m.ExponentialHistogram().DataPoints()
		one := func(dp pmetric.ExponentialHistogramDataPoint) bool {
			p.attrs, p.raw = dp.Attributes(), nil
			if w.named.conditions {
				p.raw = dp
			}
			p.sample = threshold.Sample{Time: int64(dp.Timestamp()), Start: int64(dp.StartTimestamp()), Temporality: t, Distribution: w.exponential(dp)}
			w.none(dp.Flags())
			return drop()
		}
		if may {
			all.RemoveIf(one)
		} else {
			for _, dp := range all.All() {
				one(dp)
			}
		}
		return all.Len()
	case pmetric.MetricTypeSummary:
		all := m.Summary().DataPoints()
		one := func(dp pmetric.SummaryDataPoint) bool {
			p.attrs, p.raw = dp.Attributes(), nil
			if w.named.conditions {
				p.raw = dp
			}
			p.sample = threshold.Sample{Time: int64(dp.Timestamp()), Start: int64(dp.StartTimestamp()), Distribution: w.summary(dp)}
			w.none(dp.Flags())
			return drop()
		}
		if may {
			all.RemoveIf(one)
		} else {
			for _, dp := range all.All() {
				one(dp)
			}
		}
		return all.Len()
	}
	return 1
}

func (w *Watch) numbers(all pmetric.NumberDataPointSlice, t threshold.Temporality, drop func() bool, may bool) int {
	if may {
		all.RemoveIf(func(dp pmetric.NumberDataPoint) bool {
			w.number(dp, t)
			return drop()
		})
		return all.Len()
	}
	n := all.Len()
	for i := range n {
		w.number(all.At(i), t)
		drop()
	}
	return n
}

func (w *Watch) number(dp pmetric.NumberDataPoint, t threshold.Temporality) {
	p := &w.point
	p.attrs = dp.Attributes()
	p.raw = nil
	if w.named.conditions {
		p.raw = dp
	}
	p.sample = threshold.Sample{Time: int64(dp.Timestamp()), Start: int64(dp.StartTimestamp()), Temporality: t}
	switch dp.ValueType() {
	case pmetric.NumberDataPointValueTypeDouble:
		p.sample.Value = dp.DoubleValue()
	case pmetric.NumberDataPointValueTypeInt:
		p.sample.Value = float64(dp.IntValue())
	default:
		p.sample.Value = nan
	}
	w.none(dp.Flags())
}

// none makes a point that says it has no value one without.
func (w *Watch) none(f pmetric.DataPointFlags) {
	if f.NoRecordedValue() {
		w.point.sample.Value, w.point.sample.Distribution = nan, nil
		w.point.sample.Empty = true
	}
}

// judge asks all rules about the point in hand, and tells whether it is dropped.
func (w *Watch) judge(ctx context.Context, rules []int) bool {
	p := &w.point
	var c choice
	for _, i := range rules {
		r := &w.conf[i]
		if r.Unit != "" && r.Unit != p.m.Unit() {
			w.engine.Skip(i, threshold.WrongUnit)
			continue
		}
		t := &w.trials[i]
		if !t.over {
			t.comes(p.resource, p.attrs)
		}
		if w.cond[i].point != nil {
			ok, err := w.holdsPoint(ctx, &w.cond[i])
			if err != nil {
				w.engine.Skip(i, threshold.BadCondition)
			}
			if err != nil || !ok {
				continue
			}
		}
		v := w.engine.Observe(i, w.key(i, p.of, p.resource, p.attrs), &p.sample)
		if !t.over {
			t.selected(r.Per, p.resource, p.attrs, v.Outcome)
		}
		w.decide(&c, r, v)
	}
	c.mark.put(p.attrs)
	return c.gone()
}

// partner gives the point in hand to the rules that divide by it.
func (w *Watch) partner(rules []int) {
	p := &w.point
	for _, i := range rules {
		w.engine.Partner(i, w.key(i, p.of, p.resource, p.attrs), &p.sample)
	}
}

func (w *Watch) histogram(dp pmetric.HistogramDataPoint) *threshold.Distribution {
	d := &w.dist
	bounds, counts := d.Bounds[:0], d.Counts[:0]
	for _, b := range dp.ExplicitBounds().All() {
		bounds = append(bounds, b)
	}
	for _, n := range dp.BucketCounts().All() {
		counts = append(counts, n)
	}
	*d = threshold.Distribution{Count: dp.Count(), Sum: dp.Sum(), HasSum: dp.HasSum(), Min: dp.Min(), HasMin: dp.HasMin(), Max: dp.Max(), HasMax: dp.HasMax(),
		Bounds: bounds, Counts: counts, Positive: threshold.Buckets{Counts: d.Positive.Counts[:0]}, Negative: threshold.Buckets{Counts: d.Negative.Counts[:0]}}
	return d
}

func (w *Watch) exponential(dp pmetric.ExponentialHistogramDataPoint) *threshold.Distribution {
	d := &w.dist
	side := func(b pmetric.ExponentialHistogramDataPointBuckets, to []uint64) threshold.Buckets {
		to = to[:0]
		for _, n := range b.BucketCounts().All() {
			to = append(to, n)
		}
		return threshold.Buckets{Offset: b.Offset(), Counts: to}
	}
	*d = threshold.Distribution{Count: dp.Count(), Sum: dp.Sum(), HasSum: dp.HasSum(), Min: dp.Min(), HasMin: dp.HasMin(), Max: dp.Max(), HasMax: dp.HasMax(),
		Bounds: d.Bounds[:0], Counts: d.Counts[:0], Exponential: true, Scale: dp.Scale(), Zero: dp.ZeroCount(),
		Positive: side(dp.Positive(), d.Positive.Counts), Negative: side(dp.Negative(), d.Negative.Counts)}
	return d
}

func (w *Watch) summary(dp pmetric.SummaryDataPoint) *threshold.Distribution {
	d := &w.dist
	quantiles, values := d.Quantiles[:0], d.Values[:0]
	for _, q := range dp.QuantileValues().All() {
		quantiles, values = append(quantiles, q.Quantile()), append(values, q.Value())
	}
	*d = threshold.Distribution{Count: dp.Count(), Sum: dp.Sum(), HasSum: true, Quantiles: quantiles, Values: values,
		Bounds: d.Bounds[:0], Counts: d.Counts[:0], Positive: threshold.Buckets{Counts: d.Positive.Counts[:0]}, Negative: threshold.Buckets{Counts: d.Negative.Counts[:0]}}
	return d
}
