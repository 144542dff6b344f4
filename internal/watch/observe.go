package watch

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/monban/monban/internal/threshold"
)

// Telemetry is what mdatagen makes for each component that has thresholds.
type Telemetry interface {
	RegisterThresholdPointsCallback(metric.Int64Callback) error
	RegisterThresholdAlarmsCallback(metric.Int64Callback) error
	RegisterThresholdEntitiesCallback(metric.Int64Callback) error
	RegisterThresholdEvictedCallback(metric.Int64Callback) error
	RegisterThresholdSetBackCallback(metric.Int64Callback) error
	RegisterThresholdUntoldCallback(metric.Int64Callback) error
}

// Observe gives t the counts of w whenever it asks.
func (w *Watch) Observe(t Telemetry) error {
	each := func(tell func(metric.Int64Observer, string, threshold.Tally, int)) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			w.Report(func(rule string, n threshold.Tally, entities int) { tell(o, rule, n, entities) })
			return nil
		}
	}
	rule := func(name string, more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributes(append(more, attribute.String("rule", name))...)
	}
	return errors.Join(
		t.RegisterThresholdPointsCallback(each(func(o metric.Int64Observer, name string, n threshold.Tally, _ int) {
			for i, points := range n.Points {
				if points > 0 {
					o.Observe(int64(points), rule(name, attribute.String("outcome", threshold.Outcome(i).String())))
				}
			}
		})),
		t.RegisterThresholdAlarmsCallback(each(func(o metric.Int64Observer, name string, n threshold.Tally, _ int) {
			for _, a := range n.Alarms() {
				o.Observe(int64(a.N), rule(name, attribute.String("alarm", a.Name)))
			}
		})),
		t.RegisterThresholdEntitiesCallback(each(func(o metric.Int64Observer, name string, _ threshold.Tally, entities int) {
			o.Observe(int64(entities), rule(name))
		})),
		t.RegisterThresholdEvictedCallback(each(func(o metric.Int64Observer, name string, n threshold.Tally, _ int) {
			o.Observe(int64(n.Evicted), rule(name))
		})),
		t.RegisterThresholdSetBackCallback(each(func(o metric.Int64Observer, name string, n threshold.Tally, _ int) {
			o.Observe(int64(n.SetBack), rule(name))
		})),
		t.RegisterThresholdUntoldCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(w.Untold())
			return nil
		}),
	)
}
