package hostreceiver

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper"
	"go.opentelemetry.io/collector/scraper/scrapererror"
	"go.opentelemetry.io/collector/scraper/scraperhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/host"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// metricsReceiver reads figures at each interval.
type metricsReceiver struct {
	receiver.Metrics
	cfg  *Config
	log  *zap.Logger
	host *host.Host
	tel  *metadata.TelemetryBuilder
	once sync.Once
}

// source is what all scrapers share.
type source struct {
	host     *host.Host
	cfg      *Config
	set      receiver.Settings
	log      *zap.Logger
	boot     time.Time
	resource pcommon.Resource
	contrib  bool
	faults   map[string]*host.Faults // by scraper
}

// reading is one scraper: read records figures in mb, and tells how many metrics it could
// not read when there is an error.
type reading struct {
	*source
	mb     *metadata.MetricsBuilder
	faults *host.Faults
	read   func(ctx context.Context, now pcommon.Timestamp) partial
	tidy   func(pmetric.Metrics) // nil for most
}

// partial collects what went wrong while the rest was read.
type partial struct {
	errs []error
	lost int
}

func (p *partial) add(err error, metrics int) {
	if err != nil {
		p.errs = append(p.errs, err)
		p.lost += metrics
	}
}

// must is the partial of a scraper that has only one thing to read.
func must(err error, metrics int) (p partial) {
	p.add(err, metrics)
	return p
}

func (r *reading) scrape(ctx context.Context) (pmetric.Metrics, error) {
	p := r.read(ctx, pcommon.NewTimestampFromTime(time.Now()))
	md := r.mb.Emit(metadata.WithResource(r.copyResource()))
	if r.tidy != nil {
		r.tidy(md)
	}
	if r.contrib {
		toContrib(md)
	}
	if len(p.errs) > 0 {
		return md, scrapererror.NewPartialScrapeError(errors.Join(p.errs...), p.lost)
	}
	return md, nil
}

func (s *source) copyResource() pcommon.Resource {
	res := pcommon.NewResource()
	s.resource.CopyTo(res)
	return res
}

// configured is a scraper that the configuration may name.
type configured interface {
	make(s *source) *reading // nil when it is off
}

type optional[T any] struct {
	name    string
	cfg     *configoptional.Optional[T]
	metrics func(*T) metadata.MetricsBuilderConfig
	build   func(*reading, *T) func(context.Context, pcommon.Timestamp) partial
}

func (o optional[T]) make(s *source) *reading {
	if !o.cfg.HasValue() {
		return nil
	}
	cfg := o.cfg.Get()
	r := &reading{source: s, faults: s.faults[o.name]}
	if r.faults == nil {
		r.faults = &host.Faults{}
		s.faults[o.name] = r.faults
	}
	set := scraper.Settings{ID: component.NewID(component.MustNewType(o.name)), TelemetrySettings: s.set.TelemetrySettings, BuildInfo: s.set.BuildInfo}
	r.mb = metadata.NewMetricsBuilder(o.metrics(cfg), receiver.Settings{ID: s.set.ID, TelemetrySettings: set.TelemetrySettings, BuildInfo: set.BuildInfo},
		metadata.WithStartTime(pcommon.NewTimestampFromTime(s.boot)))
	r.read = o.build(r, cfg)
	return r
}

func (s *source) builder(metrics metadata.MetricsConfig) metadata.MetricsBuilderConfig {
	return metadata.MetricsBuilderConfig{Metrics: metrics, ResourceAttributes: s.cfg.ResourceAttributes}
}

// all lists the scrapers, by name.
func (s *source) all() []namedScraper {
	c := &s.cfg.Scrapers
	plain := func(name string, cfg *configoptional.Optional[ScraperConfig], build func(*reading, *ScraperConfig) func(context.Context, pcommon.Timestamp) partial) namedScraper {
		return namedScraper{name, optional[ScraperConfig]{name, cfg, func(c *ScraperConfig) metadata.MetricsBuilderConfig { return s.builder(c.Metrics) }, build}}
	}
	return []namedScraper{
		plain("cpu", &c.CPU, buildCPU),
		{"load", optional[LoadConfig]{"load", &c.Load, func(c *LoadConfig) metadata.MetricsBuilderConfig { return s.builder(c.Metrics) }, buildLoad}},
		plain("memory", &c.Memory, buildMemory),
		plain("paging", &c.Paging, buildPaging),
		{"disk", optional[DiskConfig]{"disk", &c.Disk, func(c *DiskConfig) metadata.MetricsBuilderConfig { return s.builder(c.Metrics) }, buildDisk}},
		{"filesystem", optional[FilesystemConfig]{"filesystem", &c.Filesystem, func(c *FilesystemConfig) metadata.MetricsBuilderConfig { return s.builder(c.Metrics) }, buildFilesystem}},
		{"network", optional[NetworkConfig]{"network", &c.Network, func(c *NetworkConfig) metadata.MetricsBuilderConfig { return s.builder(c.Metrics) }, buildNetwork}},
		plain("processes", &c.Processes, buildProcesses),
		{"process", optional[ProcessConfig]{"process", &c.Process, s.processBuilder, buildProcess}},
		plain("system", &c.System, buildSystem),
		plain("sensors", &c.Sensors, buildSensors),
	}
}

type namedScraper struct {
	name    string
	scraper configured
}

func newSource(cfg *Config, set receiver.Settings) *source {
	s := &source{host: host.New(cfg.RootPath), cfg: cfg, set: set, log: set.Logger, contrib: cfg.Naming == namingContrib, faults: map[string]*host.Faults{}}
	if boot, _, err := s.host.Boot(); err == nil {
		s.boot = boot
	} else {
		s.boot = time.Now()
	}
	s.resource = resource(identity(s.host, cfg), cfg)
	return s
}

func newMetrics(cfg *Config, set receiver.Settings, next consumer.Metrics) (receiver.Metrics, error) {
	s := newSource(cfg, set)
	var options []scraperhelper.ControllerOption
	for _, n := range s.all() {
		r := n.scraper.make(s)
		if r == nil {
			continue
		}
		sc, err := scraper.NewMetrics(r.scrape)
		if err != nil {
			return nil, err
		}
		options = append(options, scraperhelper.AddMetricsScraper(component.MustNewType(n.name), sc))
	}
	if len(options) == 0 {
		return nil, errors.New("scrapers names none, so that there is no metric; add some, such as cpu, memory, filesystem and network")
	}
	controller, err := scraperhelper.NewMetricsController(&cfg.Controller, set, next, options...)
	if err != nil {
		return nil, err
	}
	cfg.made.metrics = true
	m := &metricsReceiver{Metrics: controller, cfg: cfg, log: set.Logger, host: s.host}
	if m.tel, err = metadata.NewTelemetryBuilder(set.TelemetrySettings); err != nil {
		return nil, err
	}
	return m, m.tel.RegisterHostUnreadableCallback(func(_ context.Context, o metric.Int64Observer) error {
		observeFaults(o, set.ID, s.faults)
		return nil
	})
}

func observeFaults(o metric.Int64Observer, id component.ID, all map[string]*host.Faults) {
	for name, f := range all {
		for reason, text := range host.FaultNames {
			o.Observe(int64(f.Count(host.Fault(reason))), metric.WithAttributes(attribute.String("receiver", id.String()),
				attribute.String("scraper", name), attribute.String("reason", text)))
		}
	}
}

// identity is which host it is, by the names that the configuration gives, and which device: one
// for all that is told of it.
func identity(h *host.Host, cfg *Config) host.Identity {
	id := h.Identity(context.Background())
	id.Name = cmp.Or(cfg.Observer, id.Name)
	id.Device = cmp.Or(cfg.Posture.DeviceID, id.Device, id.Name)
	return id
}

// resource says which host it is, so that the device which it is can be tied to it.
func resource(id host.Identity, cfg *Config) pcommon.Resource {
	rb := metadata.NewResourceBuilder(cfg.ResourceAttributes)
	for _, a := range []struct {
		set   func(string)
		value string
	}{
		{rb.SetDeviceID, id.Device},
		{rb.SetHostName, id.Name},
		{rb.SetHostID, id.ID},
		{rb.SetHostArch, id.Arch},
		{rb.SetOsType, id.OSType},
		{rb.SetOsName, id.OSName},
		{rb.SetOsVersion, id.OSVersion},
		{rb.SetOsDescription, id.Description},
	} {
		if a.value != "" {
			a.set(a.value)
		}
	}
	if len(id.IPs) > 0 {
		rb.SetHostIP(list(id.IPs))
	}
	if len(id.MACs) > 0 {
		rb.SetHostMac(list(id.MACs))
	}
	return rb.Emit()
}

func list(values []string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// Start fails where there is no host to read, and begins to read.
func (m *metricsReceiver) Start(ctx context.Context, h component.Host) error {
	if err := m.host.Check(); err != nil {
		return err
	}
	if unread := m.cfg.unread; len(unread) > 0 {
		m.log.Warn("Settings of the host metrics receiver of other collectors do nothing here; they may be taken out.", zap.Strings("settings", unread))
	}
	if m.cfg.given.logs && !m.cfg.made.logs { // all receivers are made before one is started
		m.log.Warn("posture is set, but no pipeline of logs has this receiver, so that nothing is told of it; list the receiver in one, or take posture out.")
	}
	return m.Metrics.Start(ctx, h)
}

// Shutdown ends the reading. It may come twice, and without Start.
func (m *metricsReceiver) Shutdown(ctx context.Context) (err error) {
	m.once.Do(func() {
		err = m.Metrics.Shutdown(ctx)
		m.tel.Shutdown()
	})
	return err
}
