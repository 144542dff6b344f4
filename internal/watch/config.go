package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottldatapoint"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottllog"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/ottlfuncs"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/threshold"
)

// Config is that of the threshold processor and of the threshold connector.
type Config struct {
	// Rules are judged each for itself.
	Rules []threshold.Rule `mapstructure:"rules"`
	// DryRun changes and writes nothing: at the end it says how often each rule would have fired.
	DryRun bool `mapstructure:"dry_run"`
	// Storage is the storage extension that keeps open alarms and entities over a restart.
	Storage *component.ID `mapstructure:"storage"`
	// SaveInterval is how often they are saved, besides at the end.
	SaveInterval time.Duration `mapstructure:"save_interval"`
}

// NewDefaultConfig has no rule yet.
func NewDefaultConfig() *Config { return &Config{SaveInterval: time.Minute} }

// Check reports everything that is wrong at once. It is not called Validate, or the Collector would call it twice.
func (c *Config) Check() error {
	errs := []error{threshold.Check(c.Rules)}
	if c.SaveInterval < time.Second {
		errs = append(errs, errors.New("save_interval must be at least 1s"))
	}
	_, err := compileConditions(c.Rules, component.TelemetrySettings{Logger: zap.NewNop()})
	return errors.Join(append(errs, err)...)
}

// Only reports every rule that does anything but this, or but these.
func (c *Config) Only(what ...string) error {
	var errs []error
	for i := range c.Rules {
		for _, d := range c.Rules[i].Do {
			if !slices.Contains(what, d) {
				errs = append(errs, fmt.Errorf("rule %q: do: it can't %s here", c.Rules[i].Name, d))
			}
		}
	}
	return errors.Join(errs...)
}

// condition is a rule's where, in the one or the other language.
type condition struct {
	point  *ottl.Condition[*ottldatapoint.TransformContext]
	record *ottl.Condition[*ottllog.TransformContext]
}

func compileConditions(rules []threshold.Rule, set component.TelemetrySettings) ([]condition, error) {
	all := make([]condition, len(rules))
	var errs []error
	points, err := ottldatapoint.NewParser(ottlfuncs.StandardConverters[*ottldatapoint.TransformContext](), set)
	if err != nil {
		return nil, err
	}
	records, err := ottllog.NewParser(ottlfuncs.StandardConverters[*ottllog.TransformContext](), set)
	if err != nil {
		return nil, err
	}
	for i, r := range rules {
		switch {
		case r.Where == "":
		case r.Metric != "":
			all[i].point, err = points.ParseCondition(r.Where)
		default:
			all[i].record, err = records.ParseCondition(r.Where)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %q: where: %w", r.Name, err))
			err = nil
		}
	}
	return all, errors.Join(errs...)
}

// holdsPoint evaluates the condition on the data point in hand.
func (w *Watch) holdsPoint(ctx context.Context, c *condition) (bool, error) {
	p := &w.point
	t := ottldatapoint.NewTransformContextPtr(p.rm, p.sm, p.m, p.raw)
	defer t.Close()
	return c.point.Eval(ctx, t)
}

func (w *Watch) holdsRecord(ctx context.Context, c *condition) (bool, error) {
	t := ottllog.NewTransformContextPtr(w.record.rl, w.record.sl, w.record.lr)
	defer t.Close()
	return c.record.Eval(ctx, t)
}
