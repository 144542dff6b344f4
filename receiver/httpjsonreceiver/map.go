package httpjsonreceiver

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/monban/monban/internal/jsonmap"
)

var severities = map[string]plog.SeverityNumber{
	"": plog.SeverityNumberUnspecified, "debug": plog.SeverityNumberDebug, "info": plog.SeverityNumberInfo, "warn": plog.SeverityNumberWarn,
	"error": plog.SeverityNumberError, "fatal": plog.SeverityNumberFatal,
}

// hand makes metrics and records of an answer and hands them on. Its error is a *failure.
func (p *poller) hand(ctx context.Context, t *target, doc any) error {
	miss := func(why jsonmap.Reason, n int) {
		p.tel.HTTPJSONValuesMissing.Add(ctx, int64(n), metric.WithAttributeSet(attribute.NewSet(p.id(), attribute.String("target", t.Name), attribute.String("reason", string(why)))))
	}
	now := pcommon.NewTimestampFromTime(time.Now())
	err := errors.Join(p.handMetrics(ctx, t, doc, now, miss), p.handLogs(ctx, t, doc, now, miss))
	if err != nil {
		return &failure{refused, err}
	}
	return nil
}

func (p *poller) handMetrics(ctx context.Context, t *target, doc any, now pcommon.Timestamp, miss func(jsonmap.Reason, int)) error {
	if len(t.numbers) == 0 {
		return nil
	}
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	p.resource(rm.Resource(), t)
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.Scope().SetName(scopeName)
	sm.Scope().SetVersion(p.set.BuildInfo.Version)
	of := map[string]pmetric.NumberDataPointSlice{} // rules of one name are one metric
	for i := range t.numbers {
		points := t.numbers[i].Points(doc, miss)
		if len(points) == 0 {
			continue
		}
		c := &p.cfg.Metrics[i]
		to, ok := of[c.Name]
		if !ok {
			to = open(sm.Metrics().AppendEmpty(), c)
			of[c.Name] = to
		}
		for _, x := range points {
			dp := to.AppendEmpty()
			dp.SetTimestamp(now)
			dp.SetDoubleValue(x.Value)
			put(dp.Attributes(), x.Attributes)
		}
	}
	n := md.DataPointCount()
	if n == 0 {
		return nil
	}
	ctx = p.obs.StartMetricsOp(ctx)
	err := p.nextMetrics.ConsumeMetrics(ctx, md)
	p.obs.EndMetricsOp(ctx, "json", n, err)
	return err
}

func open(m pmetric.Metric, c *MetricConfig) pmetric.NumberDataPointSlice {
	m.SetName(c.Name)
	m.SetDescription(c.Description)
	m.SetUnit(c.Unit)
	if c.Type != sum {
		return m.SetEmptyGauge().DataPoints()
	}
	s := m.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	return s.DataPoints()
}

func (p *poller) handLogs(ctx context.Context, t *target, doc any, now pcommon.Timestamp, miss func(jsonmap.Reason, int)) error {
	if len(t.records) == 0 {
		return nil
	}
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	p.resource(rl.Resource(), t)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(scopeName)
	sl.Scope().SetVersion(p.set.BuildInfo.Version)
	var taken []func()
	for i := range t.records {
		list, done := t.records[i].Records(doc, miss)
		taken = append(taken, done)
		c := &p.cfg.Logs[i]
		for _, x := range list {
			lr := sl.LogRecords().AppendEmpty()
			lr.SetEventName(c.EventName)
			lr.SetTimestamp(now)
			lr.SetObservedTimestamp(now)
			lr.SetSeverityNumber(severities[c.Severity])
			lr.SetSeverityText(c.Severity)
			put(lr.Attributes(), x.Attributes)
			value(lr.Body(), x.Body)
		}
	}
	if n := ld.LogRecordCount(); n > 0 {
		ctx = p.obs.StartLogsOp(ctx)
		err := p.nextLogs.ConsumeLogs(ctx, ld)
		p.obs.EndLogsOp(ctx, "json", n, err)
		if err != nil {
			return err // and they are new the next time, too
		}
	}
	for _, done := range taken {
		done()
	}
	return nil
}

func (p *poller) resource(r pcommon.Resource, t *target) {
	a := r.Attributes()
	for _, k := range slices.Sorted(maps.Keys(t.Attributes)) {
		a.PutStr(k, t.Attributes[k])
	}
	a.PutStr("host.name", p.observer)
	a.PutStr("http_json.target", t.Name)
	a.PutStr("server.address", t.address.Hostname())
	if n, err := strconv.ParseUint(t.address.Port(), 10, 16); err == nil {
		a.PutInt("server.port", int64(n))
	}
}

func put(to pcommon.Map, list []jsonmap.Attribute) {
	for _, a := range list {
		switch v := a.Value.(type) {
		case string:
			to.PutStr(a.Key, v)
		case bool:
			to.PutBool(a.Key, v)
		case int64:
			to.PutInt(a.Key, v)
		case float64:
			to.PutDouble(a.Key, v)
		}
	}
}

// deepest is how deep a record's body may be. What is below is written as text, since many readers of
// records give up at some depth.
const deepest = 16

func value(to pcommon.Value, v any) { valueIn(to, v, 0) }

func valueIn(to pcommon.Value, v any, depth int) {
	if depth >= deepest {
		if b, err := json.Marshal(v); err == nil {
			to.SetStr(string(b))
		}
		return
	}
	switch v := v.(type) {
	case map[string]any:
		m := to.SetEmptyMap()
		m.EnsureCapacity(len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			valueIn(m.PutEmpty(k), v[k], depth+1)
		}
	case []any:
		l := to.SetEmptySlice()
		l.EnsureCapacity(len(v))
		for _, x := range v {
			valueIn(l.AppendEmpty(), x, depth+1)
		}
	default:
		switch s, _ := jsonmap.Scalar(v); s := s.(type) {
		case string:
			to.SetStr(s)
		case bool:
			to.SetBool(s)
		case int64:
			to.SetInt(s)
		case float64:
			to.SetDouble(s)
		}
	}
}
