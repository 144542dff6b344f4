package threatconnector

import (
	"context"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/unusual"
)

// metricsThreat takes the data points that the baseline processor has marked. It writes the
// observation that each of them is, and reports like those of logs.
type metricsThreat struct{ *threatConnector }

func (c *metricsThreat) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	s, err := c.sites.Of(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := plog.NewLogs()
	for _, rm := range md.ResourceMetrics().All() {
		records := plog.NewLogRecordSlice()
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				s.metric(records, rm.Resource().Attributes(), m)
			}
		}
		if records.Len() > 0 {
			rm.Resource().CopyTo(s.resource)
			here, at := s.batch()
			records.MoveAndAppendTo(at)
			here.ResourceLogs().MoveAndAppendTo(out.ResourceLogs())
		}
	}
	if reports := s.engine.Reports(); len(reports) > 0 {
		here, at := s.batch()
		c.put(ctx, at, reports)
		here.ResourceLogs().MoveAndAppendTo(out.ResourceLogs())
	}
	if out.LogRecordCount() > 0 {
		err = c.next.ConsumeLogs(ctx, out)
	}
	c.keeper.SaveIfDue(ctx, s.engine)
	return err
}

func (s *site) metric(records plog.LogRecordSlice, resource pcommon.Map, m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, dp := range m.Gauge().DataPoints().All() {
			s.point(records, resource, m, dp.Attributes(), dp.Timestamp())
		}
	case pmetric.MetricTypeSum:
		for _, dp := range m.Sum().DataPoints().All() {
			s.point(records, resource, m, dp.Attributes(), dp.Timestamp())
		}
	case pmetric.MetricTypeHistogram:
		for _, dp := range m.Histogram().DataPoints().All() {
			s.point(records, resource, m, dp.Attributes(), dp.Timestamp())
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, dp := range m.ExponentialHistogram().DataPoints().All() {
			s.point(records, resource, m, dp.Attributes(), dp.Timestamp())
		}
	case pmetric.MetricTypeSummary:
		for _, dp := range m.Summary().DataPoints().All() {
			s.point(records, resource, m, dp.Attributes(), dp.Timestamp())
		}
	}
}

// point looks at one data point. Most are usual.
func (s *site) point(records plog.LogRecordSlice, resource pcommon.Map, m pmetric.Metric, attributes pcommon.Map, at pcommon.Timestamp) {
	s.engine.Tick(int64(at))
	if _, marked := attributes.Get("observation.kind"); !marked {
		return
	}
	o := baseline.Observation{Time: int64(at)}
	logrecord.ReadAttributes(attributes, baseline.Observations, &o)
	o.Device = logrecord.Device(resource, attributes)
	if o.Device == "" {
		o.Device = "unnamed source of " + m.Name()
	}
	o.Metric, o.Unit = m.Name(), m.Unit()
	if part, ok := attributes.Get(unusual.Part); ok {
		o.Metric += part.AsString()
	}
	if unit, ok := attributes.Get(unusual.UnitOf); ok {
		o.Unit = unit.AsString()
	}
	o.Entity = logrecord.Entity(attributes, unusual.IsMark)
	o.Anomaly.Reasons = nil
	if o.Phase != baseline.Fall { // the end is no evidence
		if r := unusual.Reason(&o); r.Kind != "" {
			o.Anomaly.Reasons = []event.Reason{r}
		}
	}
	s.name(resource, o.Device)
	s.engine.Observation(&o)
	if o.Phase == "" {
		return // it goes on, which is no news
	}
	lr := logrecord.Append(records, baseline.Observations, o.Time, &o)
	lr.Body().SetStr(o.Summary)
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
}
