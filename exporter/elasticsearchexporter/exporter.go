package elasticsearchexporter

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/monban/monban/exporter/elasticsearchexporter/internal/metadata"
	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/link"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/seldom"
)

type elasticExporter struct {
	cfg    *Config
	set    component.TelemetrySettings
	logger *zap.Logger
	tb     *metadata.TelemetryBuilder
	mode   elastic.Mode
	client *elastic.Client

	end    context.Context // over when what is on its way at the end is to be given up
	giveUp context.CancelFunc
	heard  hearing // when the server last answered

	arrival logrecord.Arrival // of what comes without a time

	setup    sync.Mutex // held while the server is asked and templates are installed
	ready    bool
	bulkPath string
	told     []string // what was left alone on the server

	mu     sync.Mutex
	free   []*batch
	faults seldom.Faults
	link   link.Link
}

func newExporter(cfg *Config, set exporter.Settings) (*elasticExporter, error) {
	tb, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &elasticExporter{cfg: cfg, set: set.TelemetrySettings, logger: set.Logger, tb: tb, mode: elastic.Mode(cfg.Mapping.Mode)}
	e.end, e.giveUp = context.WithCancel(context.Background())
	return e, nil
}

// start makes the client. It does not wait for the server, which may come later than we.
func (e *elasticExporter) start(ctx context.Context, host component.Host) error {
	h, err := e.cfg.ClientConfig.ToClient(ctx, host.GetExtensions(), e.set)
	if err != nil {
		return err
	}
	h.Transport = listening{h.Transport, &e.heard}
	if e.client, err = elastic.NewClient(h, e.cfg.endpoints(), e.cfg.authorization()); err != nil {
		return err
	}
	if r := e.cfg.RetryConfig; !r.Enabled || r.MaxElapsedTime > 0 {
		e.logger.Warn("Records are given up when the server is away for long: retry_on_failure is off or has a max_elapsed_time")
	}
	e.link.Begin(host)
	return nil
}

func (e *elasticExporter) shutdown(context.Context) error {
	e.giveUp()
	e.tb.Shutdown()
	return nil
}

// shutdownGrace is how long the Collector's end waits for a server that gives no answer at all, where
// nothing is lost by it: what is in a queue on disk stays there.
var shutdownGrace = 10 * time.Second

// drain ends the exporter. It waits as long as the server answers, however slow it is, and gives up what
// is on its way after a silence. What is in memory would be lost by that, so there the silence is as
// long as `timeout`, if that is longer.
func (e *elasticExporter) drain(ctx context.Context, end func(context.Context) error) error {
	e.link.End()
	grace := shutdownGrace
	if q := e.cfg.QueueConfig; !q.HasValue() || q.Get().StorageID == nil {
		grace = max(grace, e.cfg.ClientConfig.Timeout)
	}
	e.heard.now() // the silence begins here at the earliest
	over := make(chan struct{})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer close(over)
	waiting.Go(func() {
		for {
			left := grace - e.heard.silence()
			if left <= 0 {
				e.giveUp()
				return
			}
			select {
			case <-over:
				return
			case <-time.After(left):
			}
		}
	})
	return end(ctx)
}

// hearing is when something was last heard, by a clock that nobody sets.
type hearing struct {
	mu sync.Mutex
	at time.Time
}

func (h *hearing) now() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = time.Now()
}

func (h *hearing) silence() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.at)
}

// listening notes when an answer came.
type listening struct {
	http.RoundTripper
	heard *hearing
}

func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		l.heard.now()
	}
	return res, err
}

// prepare asks the server what it is and sees to its templates, once. Until that has worked
// nothing is sent, as a document without its template would make an index that is in the way.
func (e *elasticExporter) prepare(ctx context.Context) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	if e.ready {
		return nil
	}
	if err := ctx.Err(); err != nil { // others have waited for the server before us
		return err
	}
	server, err := e.client.Identify(ctx)
	if err != nil {
		var answer *elastic.Error
		asked := errors.As(err, &answer) && (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden || answer.Status == http.StatusNotFound)
		if e.cfg.Template != templateOff || !asked {
			return err
		}
		server = elastic.Server{} // without a right to ask, as little as possible is assumed
	}
	switch e.cfg.Template {
	case templateInstall:
		did, err := e.client.Install(ctx, server, e.mode, e.cfg.Retention, e.cfg.Namespace)
		if n := len(did.Changed); n > 0 {
			e.logger.Info("Templates were installed", zap.Stringer("server", server), zap.Int("changed", n), zap.String("first", did.Changed[0]))
		}
		for _, kept := range did.Kept {
			if !slices.Contains(e.told, kept) { // once
				e.told = append(e.told, kept)
				e.logger.Warn(kept)
			}
		}
		if err != nil {
			return err
		}
	case templateRequire:
		if err := e.client.Require(ctx, server, e.mode); err != nil {
			return err
		}
	}
	e.bulkPath, e.ready = elastic.BulkPath(server), true
	return nil
}

// unprepare has templates looked at again before the next request.
func (e *elasticExporter) unprepare() {
	e.setup.Lock()
	e.ready = false
	e.setup.Unlock()
}

// batch is what one call encodes and sends. It is kept for later calls, as plans are costly.
type batch struct {
	enc     *encoder
	body    []byte
	ends    []int    // of each document in body
	streams []string // of each document
	ids     []string // likewise
	results []elastic.Result
	first   int          // number of the first document in body, within the call
	later   map[int]bool // documents of the call that are to be sent again
	err     error        // the last that went wrong
	stopped bool         // no answer: what is not sent yet need not try
	counts  [5]int64     // by outcome
	letters letters
	scratch []byte
}

func (e *elasticExporter) take() *batch {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.free); n > 0 {
		b := e.free[n-1]
		e.free = e.free[:n-1]
		return b
	}
	return &batch{enc: newEncoder(e.mode, e.cfg.Namespace)}
}

// give keeps a batch for later, unless it has grown out of the ordinary.
func (e *elasticExporter) give(b *batch) {
	b.enc.setScope(emptyMap, emptyScope) // hold nothing of the call's data
	e.mu.Lock()
	defer e.mu.Unlock()
	if cap(b.body) <= 4*e.cfg.Bulk.MaxBytes && len(e.free) < 16 {
		e.free = append(e.free, b)
	}
}

// At the Collector's end nothing is tried again: what is in a queue in memory gets one call each. So
// without a storage a call tries some times by itself, or an answer that came late at the end of a
// capture file would cost records.
var pauses = []time.Duration{time.Second, 2 * time.Second}

// patient calls push until it works or the pauses are used up. push gives back what is still to be sent.
func patient[T any](ctx context.Context, e *elasticExporter, data T, push func(context.Context, T) error, rest func(error) (T, bool), wrap func(error, T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.end, cancel)()
	tries := pauses
	if q := e.cfg.QueueConfig; q.HasValue() && q.Get().StorageID != nil {
		tries = nil
	}
	err := push(ctx, data)
	for i := 0; err != nil && i < len(tries); i++ {
		if left, ok := rest(err); ok {
			data = left
		}
		select {
		case <-ctx.Done():
			return wrap(err, data)
		case <-time.After(tries[i]):
		}
		err = push(ctx, data)
	}
	if err == nil {
		return nil
	}
	if left, ok := rest(err); ok {
		data = left
	}
	return wrap(err, data)
}

// logs is [elasticExporter.pushLogs] with patience.
func (e *elasticExporter) logs(ctx context.Context, ld plog.Logs) error {
	return patient(ctx, e, ld, e.pushLogs, func(err error) (plog.Logs, bool) {
		var part consumererror.Logs
		ok := errors.As(err, &part)
		return part.Data(), ok
	}, func(err error, left plog.Logs) error { return consumererror.NewLogs(err, left) })
}

// metrics is likewise for data points.
func (e *elasticExporter) metrics(ctx context.Context, md pmetric.Metrics) error {
	return patient(ctx, e, md, e.pushMetrics, func(err error) (pmetric.Metrics, bool) {
		var part consumererror.Metrics
		ok := errors.As(err, &part)
		return part.Data(), ok
	}, func(err error, left pmetric.Metrics) error { return consumererror.NewMetrics(err, left) })
}

// pushLogs sends records and returns when the server has them; what it does not have is in the
// error that comes back, and nothing else is.
func (e *elasticExporter) pushLogs(ctx context.Context, ld plog.Logs) error {
	if err := e.prepare(ctx); err != nil {
		return e.trouble(err)
	}
	b := e.take()
	defer e.give(b)
	b.begin()
	n := 0
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			b.enc.setScope(rl.Resource().Attributes(), sl.Scope())
			for _, lr := range sl.LogRecords().All() {
				b.body = b.enc.appendRecord(b.body, lr)
				n++
				e.added(ctx, b, n)
			}
		}
	}
	e.send(ctx, b, n)
	if len(b.later) == 0 {
		return e.well(ctx, b)
	}
	err := e.failed(ctx, b)
	if len(b.later) == n {
		return err
	}
	rest := plog.NewLogs()
	ld.CopyTo(rest)
	i := -1
	rest.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool {
			sl.LogRecords().RemoveIf(func(plog.LogRecord) bool { i++; return !b.later[i] })
			return sl.LogRecords().Len() == 0
		})
		return rl.ScopeLogs().Len() == 0
	})
	return consumererror.NewLogs(err, rest)
}

// pushMetrics is pushLogs for data points.
func (e *elasticExporter) pushMetrics(ctx context.Context, md pmetric.Metrics) error {
	if err := e.prepare(ctx); err != nil {
		return e.trouble(err)
	}
	b := e.take()
	defer e.give(b)
	b.begin()
	n := 0
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			b.enc.setScope(rm.Resource().Attributes(), sm.Scope())
			for _, m := range sm.Metrics().All() {
				points(m, b.scratch, func(p point, kind string, members []byte) {
					b.scratch = members
					b.body = b.enc.appendPoint(b.body, m, p, kind, members)
					n++
					e.added(ctx, b, n)
				})
			}
		}
	}
	e.send(ctx, b, n)
	if len(b.later) == 0 {
		return e.well(ctx, b)
	}
	err := e.failed(ctx, b)
	if len(b.later) == n {
		return err
	}
	rest := pmetric.NewMetrics()
	md.CopyTo(rest)
	keep(rest, b.later)
	return consumererror.NewMetrics(err, rest)
}

// keep leaves in md only the data points of these numbers, in the order of points.
func keep(md pmetric.Metrics, later map[int]bool) {
	i := -1
	gone := func() bool { i++; return !later[i] }
	md.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
		rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool {
			sm.Metrics().RemoveIf(func(m pmetric.Metric) bool {
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					m.Gauge().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return gone() })
					return m.Gauge().DataPoints().Len() == 0
				case pmetric.MetricTypeSum:
					m.Sum().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return gone() })
					return m.Sum().DataPoints().Len() == 0
				case pmetric.MetricTypeHistogram:
					m.Histogram().DataPoints().RemoveIf(func(pmetric.HistogramDataPoint) bool { return gone() })
					return m.Histogram().DataPoints().Len() == 0
				case pmetric.MetricTypeExponentialHistogram:
					m.ExponentialHistogram().DataPoints().RemoveIf(func(pmetric.ExponentialHistogramDataPoint) bool { return gone() })
					return m.ExponentialHistogram().DataPoints().Len() == 0
				case pmetric.MetricTypeSummary:
					m.Summary().DataPoints().RemoveIf(func(pmetric.SummaryDataPoint) bool { return gone() })
					return m.Summary().DataPoints().Len() == 0
				}
				return true
			})
			return sm.Metrics().Len() == 0
		})
		return rm.ScopeMetrics().Len() == 0
	})
}

// outage is the kind of fault that holds up everything.
const outage = "outage"

// trouble logs what is wrong, once a minute, makes it the exporter's health, and gives it back with the time to wait.
func (e *elasticExporter) trouble(err error) error {
	e.link.Down("", err)
	if e.faults.Due(outage) {
		e.logger.Warn("Nothing can be sent for the time being; it is kept and tried again", zap.Error(err))
	}
	var answer *elastic.Error
	if errors.As(err, &answer) && answer.RetryAfter > 0 {
		return exporterhelper.NewThrottleRetry(err, answer.RetryAfter)
	}
	return err
}

// well counts what was sent and tells when a fault is over.
func (e *elasticExporter) well(ctx context.Context, b *batch) error {
	e.count(ctx, b)
	e.link.Up("")
	if e.faults.Over(outage) {
		e.logger.Warn("Sending works again")
	}
	return nil
}

// failed counts what was sent and what was not.
func (e *elasticExporter) failed(ctx context.Context, b *batch) error {
	e.count(ctx, b)
	if missing(b.err) {
		e.unprepare()
	}
	return e.trouble(b.err)
}

var (
	emptyMap   = plog.NewLogRecord().Attributes()
	emptyScope = plog.NewScopeLogs().Scope()
)
