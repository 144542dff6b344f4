package threatconnector

import (
	"context"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/monban/monban/connector/threatconnector/internal/metadata"
	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/posture"
	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/internal/shard"
	"github.com/monban/monban/internal/threat"
)

type threatConnector struct {
	cfg       *Config
	set       connector.Settings
	next      consumer.Logs
	telemetry *metadata.TelemetryBuilder

	keeps   component.ID // under which the storage keeps the incidents
	sites   *shard.Engines[*site]
	keeper  *keep.Keeper // of the one site; nil with shards
	stopped bool
}

// site is what the incidents of one site need: of all that the connector sees, or of one shard.
type site struct {
	mu       sync.Mutex // the engine sees one batch at a time
	engine   *threat.Engine
	resource pcommon.Resource // of the observer, as the last record named it
}

// Checkpoint implements [shard.Engine].
func (s *site) Checkpoint() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine.Checkpoint()
}

// Resume implements [shard.Engine].
func (s *site) Resume(state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine.Resume(state)
}

func newThreat(set connector.Settings, cfg *Config, next consumer.Logs) (*threatConnector, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	var gone atomic.Int64 // dropped by engines that are no more
	c := &threatConnector{cfg: cfg, set: set, keeps: set.ID, next: next, telemetry: t}
	c.sites = shard.New(func() *site { return &site{engine: threat.New(), resource: pcommon.NewResource()} }, func(s *site) {
		s.mu.Lock()
		defer s.mu.Unlock()
		gone.Add(int64(s.engine.Dropped))
	})
	return c, t.RegisterThreatEvidenceDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
		sum := gone.Load()
		c.sites.Each(func(s *site) {
			s.mu.Lock()
			defer s.mu.Unlock()
			sum += int64(s.engine.Dropped)
		})
		o.Observe(sum)
		return nil
	})
}

func (*threatConnector) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (c *threatConnector) Start(ctx context.Context, host component.Host) (err error) {
	if r := shard.Find(host, c.cfg.Storage); r != nil {
		return c.sites.Join(r, component.KindConnector, c.keeps)
	}
	s := c.sites.One()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.keeper, err = keep.Open(ctx, host, c.cfg.Storage, component.KindConnector, c.keeps, c.cfg.SaveInterval, s.engine, c.set.Logger)
	return err
}

// Shutdown writes what has not been told yet. Incidents stay open in the storage. Of shards it tells nothing: others
// go on with them.
func (c *threatConnector) Shutdown(ctx context.Context) error {
	c.telemetry.Shutdown() // first, as whoever reads metrics now waits for the lock
	s := c.sites.One()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	err := c.write(ctx, s, s.engine.Flush())
	if kerr := c.keeper.Close(ctx, s.engine); err == nil {
		err = kerr
	}
	return err
}

func (c *threatConnector) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	s, err := c.sites.Of(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		rl.Resource().CopyTo(s.resource)
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				s.read(lr)
			}
		}
	}
	err = c.write(ctx, s, s.engine.Reports())
	c.keeper.SaveIfDue(ctx, s.engine) // only now: what is saved as told must have been told
	return err
}

// read looks at one record. Most are usual, and cost one look-up.
func (s *site) read(lr plog.LogRecord) {
	name := lr.EventName()
	if name == device.Records.Name {
		var r device.Record
		logrecord.Read(lr, device.Records, &r)
		s.engine.Name(r.ID, r.Name)
		s.engine.Event(int64(lr.Timestamp()), &r.Anomaly)
		return
	}
	if name == baseline.Observations.Name { // also one without an anomaly, which may be the end of one
		o := baseline.Observation{Time: int64(lr.Timestamp())}
		logrecord.Read(lr, baseline.Observations, &o)
		s.name(s.resource.Attributes(), o.Device)
		s.engine.Observation(&o)
		return
	}
	if !logrecord.Has(lr, "anomaly.score") {
		s.engine.Tick(int64(lr.Timestamp()))
		return
	}
	at := int64(lr.Timestamp())
	switch name {
	case flow.Fields.Name:
		r := flow.Record{End: at}
		logrecord.Read(lr, flow.Fields, &r)
		r.Complete()
		s.engine.Flow(&r)
	case flow.Floods.Name:
		var f flow.Flood
		logrecord.Read(lr, flow.Floods, &f)
		s.engine.Event(at, &f.Anomaly)
	case app.Sightings.Name:
		var seen app.Sighting
		logrecord.Read(lr, app.Sightings, &seen)
		s.engine.Event(at, &seen.Anomaly)
	case posture.Records.Name:
		var p posture.Record
		logrecord.Read(lr, posture.Records, &p)
		if name, ok := s.resource.Attributes().Get("host.name"); ok { // the device is the observer
			s.engine.Name(p.Device, name.Str())
		}
		s.engine.Event(at, &p.Anomaly)
	}
}

// name tells the engine what a device is called that is what the resource names.
func (s *site) name(resource pcommon.Map, device string) {
	name, ok := resource.Get("host.name")
	if ok && name.Str() != device && logrecord.Device(resource, pcommon.NewMap()) == device {
		s.engine.Name(device, name.Str())
	}
}

var severityNumbers = map[string]plog.SeverityNumber{
	threat.Low: plog.SeverityNumberInfo, threat.Medium: plog.SeverityNumberWarn,
	threat.High: plog.SeverityNumberError, threat.Critical: plog.SeverityNumberFatal,
}

func (c *threatConnector) write(ctx context.Context, s *site, reports []threat.Report) error {
	if len(reports) == 0 {
		return nil
	}
	out, records := s.batch()
	c.put(ctx, records, reports)
	return c.next.ConsumeLogs(ctx, out)
}

// batch is empty but for the resource of the observer.
func (s *site) batch() (plog.Logs, plog.LogRecordSlice) {
	out := plog.NewLogs()
	rl := out.ResourceLogs().AppendEmpty()
	s.resource.CopyTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	return out, sl.LogRecords()
}

func (c *threatConnector) put(ctx context.Context, records plog.LogRecordSlice, reports []threat.Report) {
	for i := range reports {
		r := &reports[i]
		lr := logrecord.Append(records, threat.Reports, r.Time, r)
		lr.SetSeverityNumber(severityNumbers[r.Severity])
		lr.SetSeverityText(r.Severity)
		lr.Body().SetStr(r.Summary)
		if r.Revision == 1 {
			c.telemetry.ThreatIncidents.Add(ctx, 1, metric.WithAttributes(attribute.String("class", r.Class), attribute.String("severity", r.Severity)))
		}
		if c.cfg.FailOn != "" && threat.AtLeast(r.Severity, c.cfg.FailOn) {
			run.SetExitCode(run.ExitFound)
		}
	}
	c.telemetry.ThreatReports.Add(ctx, int64(len(reports)))
}
