//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package probeprocessor marks each resource with the probe that vouches for it, as the probe_auth extension found
// it, or with a name that the configuration gives to all that a receiver without authentication takes.
//
// It promises that no attribute below probe. is the sender's own: not on a resource, a scope, a record or a data point. It
// gives up what batches lose: behind a batch processor nobody knows any more who sent, so it belongs in front.
package probeprocessor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/probe"
	"github.com/monban/monban/internal/seldom"
	"github.com/monban/monban/processor/probeprocessor/internal/metadata"
)

// What unvouched can be.
const (
	refuse     = "refuse"
	quarantine = "quarantine"
)

// Config says who vouches when the sender was not authenticated.
type Config struct {
	// Name is the probe that vouches for what comes without authentication, such as from Kafka, where the topic's
	// access list alone keeps others out.
	Name string `mapstructure:"name"`

	// Unvouched is what happens to what nobody vouches for: refuse or quarantine.
	Unvouched string `mapstructure:"unvouched"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Unvouched != refuse && c.Unvouched != quarantine {
		errs = append(errs, fmt.Errorf("unvouched must be %s or %s, not %q", refuse, quarantine, c.Unvouched))
	}
	if c.Name != "" && !probe.ValidName(c.Name) {
		errs = append(errs, errors.New("name must be 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"))
	}
	return errors.Join(errs...)
}

// NewFactory makes the factory of the processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(metadata.Type,
		func() component.Config { return &Config{Unvouched: quarantine} },
		processor.WithLogs(func(ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
			p, err := newProbe(cfg.(*Config), set)
			if err != nil {
				return nil, err
			}
			return processorhelper.NewLogs(ctx, set, cfg, next, p.logs, mutates, processorhelper.WithShutdown(p.shutdown))
		}, metadata.LogsStability),
		processor.WithMetrics(func(ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
			p, err := newProbe(cfg.(*Config), set)
			if err != nil {
				return nil, err
			}
			return processorhelper.NewMetrics(ctx, set, cfg, next, p.metrics, mutates, processorhelper.WithShutdown(p.shutdown))
		}, metadata.MetricsStability))
}

var mutates = processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true})

// errUnvouched is permanent: the same data will not be vouched for when it comes again.
var errUnvouched = consumererror.NewPermanent(errors.New("nobody vouches for this data"))

type probeProcessor struct {
	cfg *Config
	log *zap.Logger
	tel *metadata.TelemetryBuilder
	id  attribute.KeyValue

	faults seldom.Faults
}

func newProbe(cfg *Config, set processor.Settings) (*probeProcessor, error) {
	tel, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	return &probeProcessor{cfg: cfg, log: set.Logger, tel: tel, id: attribute.String("processor", set.ID.String())}, err
}

func (p *probeProcessor) shutdown(context.Context) error {
	p.tel.Shutdown()
	return nil
}

// verdict says who vouches for what came with ctx.
func (p *probeProcessor) verdict(ctx context.Context) probe.Verdict {
	if v, ok := client.FromContext(ctx).Auth.(probe.Voucher); ok {
		return v.Verdict
	}
	if p.cfg.Name != "" {
		return probe.Verdict{Name: p.cfg.Name, By: []string{probe.ByConfiguration}}
	}
	return probe.Verdict{Reason: probe.Unvouched}
}

func (p *probeProcessor) logs(ctx context.Context, ld plog.Logs) (plog.Logs, error) {
	v := p.verdict(ctx)
	items := ld.LogRecordCount()
	if err := p.count(ctx, v, items); err != nil {
		return ld, err
	}
	var s stripper
	for _, rl := range ld.ResourceLogs().All() {
		s.resource(rl.Resource(), v)
		for _, sl := range rl.ScopeLogs().All() {
			s.strip(sl.Scope().Attributes())
			for _, lr := range sl.LogRecords().All() {
				s.strip(lr.Attributes())
			}
		}
	}
	p.removed(ctx, v, s.removed)
	return ld, nil
}

func (p *probeProcessor) metrics(ctx context.Context, md pmetric.Metrics) (pmetric.Metrics, error) {
	v := p.verdict(ctx)
	if err := p.count(ctx, v, md.DataPointCount()); err != nil {
		return md, err
	}
	var s stripper
	for _, rm := range md.ResourceMetrics().All() {
		s.resource(rm.Resource(), v)
		for _, sm := range rm.ScopeMetrics().All() {
			s.strip(sm.Scope().Attributes())
			for _, m := range sm.Metrics().All() {
				s.strip(m.Metadata())
				s.points(m)
			}
		}
	}
	p.removed(ctx, v, s.removed)
	return md, nil
}

// count counts the items, and refuses them when nobody vouches and that is how it should be.
func (p *probeProcessor) count(ctx context.Context, v probe.Verdict, items int) error {
	switch {
	case v.Reason == "":
		p.tel.ProbeItemsTrusted.Add(ctx, int64(items), metric.WithAttributeSet(attribute.NewSet(p.id, attribute.String("probe", v.Name))))
	case p.cfg.Unvouched == refuse:
		p.tel.ProbeItemsRefused.Add(ctx, int64(items), metric.WithAttributeSet(attribute.NewSet(p.id)))
		return errUnvouched
	default:
		p.tel.ProbeItemsQuarantined.Add(ctx, int64(items), metric.WithAttributeSet(attribute.NewSet(p.id)))
	}
	return nil
}

// removed tells of senders that say themselves who they are: a chain of Monbans does so rightly, anybody else lies.
func (p *probeProcessor) removed(ctx context.Context, v probe.Verdict, n int) {
	if n == 0 {
		return
	}
	who := v.Name
	if v.Reason != "" {
		who = "unknown"
	}
	p.tel.ProbeClaimsRemoved.Add(ctx, int64(n), metric.WithAttributeSet(attribute.NewSet(p.id, attribute.String("probe", who))))
	if p.faults.Due("claims") {
		p.log.Warn("A sender says itself who vouches for its data; that was removed", zap.String("probe", who), zap.Int("attributes", n))
	}
}

// stripper removes claims and counts them.
type stripper struct{ removed int }

func (s *stripper) resource(r pcommon.Resource, v probe.Verdict) {
	a := r.Attributes()
	s.strip(a)
	a.PutStr(probe.Trust, v.Trust())
	if v.Reason != "" {
		a.PutStr(probe.Why, string(v.Reason))
		return
	}
	a.PutStr(probe.Name, v.Name)
	by := a.PutEmptySlice(probe.VouchedBy)
	by.EnsureCapacity(len(v.By))
	for _, way := range v.By {
		by.AppendEmpty().SetStr(way)
	}
}

func (s *stripper) strip(m pcommon.Map) {
	for k := range m.All() {
		if claims(k) { // rare, so that looking comes before writing
			m.RemoveIf(func(k string, _ pcommon.Value) bool {
				if claims(k) {
					s.removed++
					return true
				}
				return false
			})
			return
		}
	}
}

// claims reports whether an attribute is ours alone, in whatever case, since some backends don't tell cases apart.
func claims(key string) bool {
	const bare = len(probe.Prefix) - 1 // "probe" itself may be a map, whose keys some backends join by dots
	if len(key) < bare || key[0]|0x20 != probe.Prefix[0] || len(key) > bare && key[bare] != '.' {
		return false
	}
	return strings.EqualFold(key[:bare], probe.Prefix[:bare])
}

func (s *stripper) points(m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			s.strip(p.Attributes())
			s.exemplars(p.Exemplars())
		}
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			s.strip(p.Attributes())
			s.exemplars(p.Exemplars())
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			s.strip(p.Attributes())
			s.exemplars(p.Exemplars())
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			s.strip(p.Attributes())
			s.exemplars(p.Exemplars())
		}
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			s.strip(p.Attributes())
		}
	}
}

func (s *stripper) exemplars(list pmetric.ExemplarSlice) {
	for _, e := range list.All() {
		s.strip(e.FilteredAttributes())
	}
}
