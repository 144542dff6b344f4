package elasticsearchexporter

import (
	"math"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/flatjson"
)

// point is what data points of all kinds have.
type point interface {
	Timestamp() pcommon.Timestamp
	StartTimestamp() pcommon.Timestamp
	Attributes() pcommon.Map
}

// points calls fn for each data point of a metric with the members that only its kind has: each
// with a comma before it. It is how both the encoder and the count of what was refused go about.
func points(m pmetric.Metric, b []byte, fn func(p point, kind string, members []byte)) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			fn(p, "gauge", appendNumberPoint(b[:0], p))
		}
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			b = appendTemporality(b[:0], m.Sum().AggregationTemporality())
			if m.Sum().IsMonotonic() {
				b = append(b, `,"monotonic":true`...)
			}
			fn(p, "sum", appendNumberPoint(b, p))
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			fn(p, "histogram", appendHistogram(appendTemporality(b[:0], m.Histogram().AggregationTemporality()), p))
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			fn(p, "exponential_histogram", appendExponential(appendTemporality(b[:0], m.ExponentialHistogram().AggregationTemporality()), p))
		}
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			fn(p, "summary", appendSummary(b[:0], p))
		}
	}
}

func appendTemporality(b []byte, t pmetric.AggregationTemporality) []byte {
	switch t {
	case pmetric.AggregationTemporalityDelta:
		return append(b, `,"temporality":"delta"`...)
	case pmetric.AggregationTemporalityCumulative:
		return append(b, `,"temporality":"cumulative"`...)
	}
	return b
}

func appendNumberPoint(b []byte, p pmetric.NumberDataPoint) []byte {
	switch p.ValueType() {
	case pmetric.NumberDataPointValueTypeInt:
		return flatjson.AppendInt(append(b, `,"value":`...), p.IntValue())
	case pmetric.NumberDataPointValueTypeDouble:
		return flatjson.AppendFloat(append(b, `,"value":`...), p.DoubleValue())
	}
	return b
}

func appendTotals(b []byte, count uint64, sum float64) []byte {
	b = strconv.AppendUint(append(b, `,"count":`...), count, 10)
	b = flatjson.AppendFloat(append(b, `,"sum":`...), sum)
	if count > 0 {
		b = flatjson.AppendFloat(append(b, `,"value":`...), sum/float64(count))
	}
	return b
}

func appendRange(b []byte, hasMin bool, least float64, hasMax bool, most float64) []byte {
	if hasMin {
		b = flatjson.AppendFloat(append(b, `,"min":`...), least)
	}
	if hasMax {
		b = flatjson.AppendFloat(append(b, `,"max":`...), most)
	}
	return b
}

func appendHistogram(b []byte, p pmetric.HistogramDataPoint) []byte {
	b = appendTotals(b, p.Count(), p.Sum())
	b = appendRange(b, p.HasMin(), p.Min(), p.HasMax(), p.Max())
	b = append(b, `,"bounds":[`...)
	for i, x := range p.ExplicitBounds().All() {
		b = flatjson.AppendFloat(comma(b, i), x)
	}
	b = append(b, `],"counts":[`...)
	for i, n := range p.BucketCounts().All() {
		b = strconv.AppendUint(comma(b, i), n, 10)
	}
	return append(b, ']')
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

// appendExponential appends an exponential histogram with its buckets spelt out, the negative ones
// from the least upwards.
func appendExponential(b []byte, p pmetric.ExponentialHistogramDataPoint) []byte {
	b = appendTotals(b, p.Count(), p.Sum())
	b = appendRange(b, p.HasMin(), p.Min(), p.HasMax(), p.Max())
	bound := func(i int) float64 { return math.Exp2(float64(i) * math.Exp2(-float64(p.Scale()))) }
	var bounds []float64
	var counts []uint64
	negative, positive := p.Negative(), p.Positive()
	for i := negative.BucketCounts().Len() - 1; i >= 0; i-- {
		bounds = append(bounds, -bound(int(negative.Offset())+i))
		counts = append(counts, negative.BucketCounts().At(i))
	}
	bounds = append(bounds, p.ZeroThreshold())
	counts = append(counts, p.ZeroCount())
	for i := range positive.BucketCounts().Len() {
		bounds = append(bounds, bound(int(positive.Offset())+i+1))
		counts = append(counts, positive.BucketCounts().At(i))
	}
	b = append(b, `,"bounds":[`...)
	for i, x := range bounds {
		b = flatjson.AppendFloat(comma(b, i), x)
	}
	b = append(b, `],"counts":[`...)
	for i, n := range counts {
		b = strconv.AppendUint(comma(b, i), n, 10)
	}
	return append(b, ']')
}

func appendSummary(b []byte, p pmetric.SummaryDataPoint) []byte {
	b = appendTotals(b, p.Count(), p.Sum())
	b = append(b, `,"quantiles":[`...)
	for i, q := range p.QuantileValues().All() {
		b = flatjson.AppendFloat(comma(b, i), q.Quantile())
	}
	b = append(b, `],"quantile_values":[`...)
	for i, q := range p.QuantileValues().All() {
		b = flatjson.AppendFloat(comma(b, i), q.Value())
	}
	return append(b, ']')
}

// appendPoint appends the lines of a data point to a bulk request.
func (e *encoder) appendPoint(b []byte, m pmetric.Metric, pt point, kind string, members []byte) []byte {
	p := e.metrics[elastic.MetricDataset(m.Name())]
	e.id, e.stream = "", p.stream
	at := int64(pt.Timestamp())
	d := append(e.values[:0], `{"name":`...)
	d = flatjson.AppendString(d, m.Name())
	if u := m.Unit(); u != "" {
		d = flatjson.AppendString(append(d, `,"unit":`...), u)
	}
	d = flatjson.AppendString(append(d, `,"type":`...), kind)
	if s := pt.StartTimestamp(); s != 0 {
		d = e.clock.AppendTime(append(d, `,"start":`...), int64(s))
	}
	d = append(append(d, members...), '}')
	e.metric = append(e.metric[:0], d...)
	if e.mode == elastic.OTel {
		doc := e.clock.AppendTime(append(e.doc[:0], `{"@timestamp":`...), at)
		doc = append(doc, p.nativeStream...)
		doc = append(append(doc, `,"metric":`...), e.metric...)
		doc = append(appendMembers(append(doc, `,"attributes":{`...), pt.Attributes()), '}')
		doc = append(doc, e.head...)
		e.finish(append(doc, '}'))
	} else {
		e.begin(p)
		for k, v := range pt.Attributes().All() {
			e.labels, e.keys = appendLabel(e.labels, e.keys, k, v)
		}
		e.origin(p)
		e.raw(p.metric, e.metric)
		e.write(p, at)
	}
	b = elastic.AppendAction(b, p.stream, e.id)
	b = append(b, e.doc...)
	return append(b, '\n')
}
