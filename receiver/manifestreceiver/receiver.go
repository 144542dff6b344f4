//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package manifestreceiver makes log records of what the manifest extension tells: all parts of the Collector when
// it has started, those that changed later.
//
// It promises that a start or change which the pipeline refuses is told again until it is taken, and that it
// holds nothing but the newest. It gives up what changed and changed back meanwhile.
package manifestreceiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/manifest"
	"github.com/monban/monban/receiver/manifestreceiver/internal/metadata"
)

const scopeName = "github.com/monban/monban/receiver/manifestreceiver"

// Config says whom to ask.
type Config struct {
	// Extension is the id of the manifest extension.
	Extension component.ID `mapstructure:"extension"`

	// Observer names this Collector in the records' resource; the host's name by default.
	Observer string `mapstructure:"observer"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Validate says what is wrong.
func (c *Config) Validate() error {
	if c.Extension == (component.ID{}) {
		return errors.New("extension must be set: the id of the manifest extension")
	}
	return nil
}

// NewFactory makes the factory of the receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(metadata.Type,
		func() component.Config { return &Config{Extension: component.MustNewID("manifest")} },
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, ReceiverCreateSettings: set})
			return &manifestReceiver{cfg: cfg.(*Config), set: set, next: next, obs: obs}, err
		}, metadata.LogsStability))
}

type manifestReceiver struct {
	cfg    *Config
	set    receiver.Settings
	next   consumer.Logs
	obs    *receiverhelper.ObsReport
	host   string
	ctx    context.Context // not Start's
	cancel func()
}

// Start subscribes. Nothing is told before all pipelines run.
func (r *manifestReceiver) Start(_ context.Context, host component.Host) error {
	ext, ok := host.GetExtensions()[r.cfg.Extension]
	if !ok {
		return fmt.Errorf("extension: there is no %q; define it under extensions and list it under service::extensions", r.cfg.Extension)
	}
	source, ok := ext.(manifest.Source)
	if !ok {
		return fmt.Errorf("extension: %q is no manifest extension", r.cfg.Extension)
	}
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	r.host = cmp.Or(r.cfg.Observer, name)
	ctx, stop := context.WithCancel(context.Background())
	r.ctx = ctx
	unsubscribe := source.Subscribe(r.tell)
	r.cancel = func() {
		stop()
		unsubscribe()
	}
	return nil
}

// Shutdown waits for what is being handed on.
func (r *manifestReceiver) Shutdown(context.Context) error {
	if r.cancel != nil {
		r.cancel()
	}
	return nil
}

func (r *manifestReceiver) tell(s *manifest.Snapshot) error {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	a := rl.Resource().Attributes()
	a.PutStr("host.name", r.host)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(scopeName)
	sl.Scope().SetVersion(r.set.BuildInfo.Version)
	records := sl.LogRecords()
	o := &s.Orchestrator
	severity(logrecord.Append(records, manifest.Orchestrators, o.Time, o), o.Health)
	for i := range s.Pipelines {
		p := &s.Pipelines[i]
		severity(logrecord.Append(records, manifest.Pipelines, p.Time, p), p.Health)
	}
	for i := range s.Sources {
		p := &s.Sources[i]
		severity(logrecord.Append(records, manifest.DataSources, p.Time, p), p.Health)
	}
	for i := range s.Definitions {
		logrecord.Append(records, manifest.ProcessorDefinitions, s.Definitions[i].Time, &s.Definitions[i])
	}
	for i := range s.Manifests {
		p := &s.Manifests[i]
		severity(logrecord.Append(records, manifest.ProcessorManifests, p.Time, p), p.Health)
	}
	ctx := r.obs.StartLogsOp(r.ctx)
	err := r.next.ConsumeLogs(ctx, ld)
	r.obs.EndLogsOp(ctx, "manifest", records.Len(), err)
	return err
}

// severity makes what is not well visible in any log viewer.
func severity(lr plog.LogRecord, h manifest.Health) {
	switch h {
	case manifest.Recoverable:
		lr.SetSeverityNumber(plog.SeverityNumberWarn)
	case manifest.Permanent, manifest.Fatal:
		lr.SetSeverityNumber(plog.SeverityNumberError)
	default:
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
	}
	lr.SetSeverityText(lr.SeverityNumber().String())
}
