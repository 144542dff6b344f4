package elasticsearchexporter

import (
	"context"

	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/reference"
)

// streamNames are the data streams of our events, by their names, and under "" that of all others.
func streamNames(mode elastic.Mode, namespace string) map[string]string {
	all := map[string]string{"": elastic.StreamOf("logs", elastic.Other, mode, namespace).Name()}
	for _, e := range reference.Events() {
		all[e.Name] = elastic.StreamOf("logs", elastic.Dataset(e.Name), mode, namespace).Name()
	}
	return all
}

// gracefulLogs is the exporter as pipelines see it: before its queue.
type gracefulLogs struct {
	exporter.Logs
	e       *elasticExporter
	streams map[string]string
}

// ConsumeLogs puts ld into the queue, with a time for each record: its id is made of that too, and must stay the
// same when it is sent again. What the queue does not take is given up, which is counted by data stream.
func (g *gracefulLogs) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	ld = g.e.arrival.Observe(ld, !ld.IsReadOnly() && g.Capabilities().MutatesData)
	events := map[string]int{} // counted before, as ld is the queue's afterwards
	last, n := "", 0
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if name := lr.EventName(); name != last {
					events[last] += n
					last, n = name, 0
				}
				n++
			}
		}
	}
	events[last] += n
	err := g.Logs.ConsumeLogs(ctx, ld)
	if err == nil || !g.e.queued() {
		return err // without a queue the caller has the error, and what was not sent
	}
	given := map[string]int{}
	for name, n := range events {
		stream, ours := g.streams[name]
		if !ours {
			stream = g.streams[""]
		}
		given[stream] += n
	}
	g.e.givenUp(ctx, given, err)
	return err
}

// Shutdown drains the queue as long as the server answers.
func (g *gracefulLogs) Shutdown(ctx context.Context) error { return g.e.drain(ctx, g.Logs.Shutdown) }

type gracefulMetrics struct {
	exporter.Metrics
	e *elasticExporter
}

// ConsumeMetrics is [gracefulLogs.ConsumeLogs] for data points.
func (g *gracefulMetrics) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	md = g.e.timed(md, !md.IsReadOnly() && g.Capabilities().MutatesData)
	points := map[string]int{} // by data set
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				points[elastic.MetricDataset(m.Name())] += dataPoints(m)
			}
		}
	}
	err := g.Metrics.ConsumeMetrics(ctx, md)
	if err == nil || !g.e.queued() {
		return err
	}
	given := map[string]int{}
	for dataset, n := range points {
		given[elastic.StreamOf("metrics", dataset, g.e.mode, g.e.cfg.Namespace).Name()] = n
	}
	g.e.givenUp(ctx, given, err)
	return err
}

// Shutdown drains the queue as long as the server answers.
func (g *gracefulMetrics) Shutdown(ctx context.Context) error {
	return g.e.drain(ctx, g.Metrics.Shutdown)
}

// timed is [logrecord.Arrival.Observe] for data points, which have but one time.
func (e *elasticExporter) timed(md pmetric.Metrics, ours bool) pmetric.Metrics {
	n := 0
	each(md, func(p timedPoint) {
		if p.Timestamp() == 0 {
			n++
		}
	})
	if n == 0 {
		return md
	}
	if !ours {
		own := pmetric.NewMetrics()
		md.CopyTo(own)
		md = own
	}
	at := pcommon.Timestamp(e.arrival.Next(n)) //nolint:gosec // after 1970
	each(md, func(p timedPoint) {
		if p.Timestamp() == 0 {
			p.SetTimestamp(at)
			at++
		}
	})
	return md
}

type timedPoint interface {
	Timestamp() pcommon.Timestamp
	SetTimestamp(pcommon.Timestamp)
}

// each calls f with every data point.
func each(md pmetric.Metrics, f func(timedPoint)) {
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					of(m.Gauge().DataPoints(), f)
				case pmetric.MetricTypeSum:
					of(m.Sum().DataPoints(), f)
				case pmetric.MetricTypeHistogram:
					of(m.Histogram().DataPoints(), f)
				case pmetric.MetricTypeExponentialHistogram:
					of(m.ExponentialHistogram().DataPoints(), f)
				case pmetric.MetricTypeSummary:
					of(m.Summary().DataPoints(), f)
				}
			}
		}
	}
}

func of[P timedPoint](points interface {
	Len() int
	At(int) P
}, f func(timedPoint),
) {
	for i := range points.Len() {
		f(points.At(i))
	}
}

// queued tells whether an error means that the queue did not take what came. Without one, or where its result is waited
// for, some of it may be at the server.
func (e *elasticExporter) queued() bool {
	q := e.cfg.QueueConfig
	return q.HasValue() && !q.Get().WaitForResult
}

func dataPoints(m pmetric.Metric) int {
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
	return 0
}

// givenUp counts what the queue did not take, by data stream, and says so once a minute for each.
func (e *elasticExporter) givenUp(ctx context.Context, given map[string]int, err error) {
	for stream, n := range given {
		if n == 0 {
			continue
		}
		e.tb.ElasticsearchGivenUp.Add(context.WithoutCancel(ctx), int64(n), metric.WithAttributeSet(attribute.NewSet(attribute.String("stream", stream))))
		if e.faults.Due("given up " + stream) {
			e.logger.Error("Records were given up, as the queue does not take them", zap.String("stream", stream), zap.Int("records", n), zap.Error(err))
		}
	}
}
