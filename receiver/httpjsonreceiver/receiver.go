package httpjsonreceiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/jsonmap"
	"github.com/monban/monban/receiver/httpjsonreceiver/internal/metadata"
)

const scopeName = "github.com/monban/monban/receiver/httpjsonreceiver"

// complainEach is how often the log says that a target which is down is still down.
const complainEach = 10 * time.Minute

type poller struct {
	cfg         *Config
	set         receiver.Settings
	tel         *metadata.TelemetryBuilder
	obs         *receiverhelper.ObsReport
	nextLogs    consumer.Logs    // nil when in no pipeline of logs
	nextMetrics consumer.Metrics // likewise
	forget      func()

	starting sync.Once
	stopping sync.Once
	startErr error
	host     component.Host
	observer string
	cancel   context.CancelFunc
	running  sync.WaitGroup
	slots    chan struct{}

	mu   sync.Mutex
	down map[string]reason // targets that did not answer the last time
}

// target is one device as its own goroutine has it.
type target struct {
	TargetConfig
	client  *http.Client
	address *url.URL
	numbers []jsonmap.Number
	records []jsonmap.Records
	said    time.Time
}

func newPoller(cfg *Config, set receiver.Settings) (*poller, error) {
	tel, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "http", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	return &poller{cfg: cfg, set: set, tel: tel, obs: obs, slots: make(chan struct{}, cfg.MaxConcurrent), down: map[string]reason{}}, nil
}

// Start begins to poll. A pipeline of logs and one of metrics both start the same poller.
func (p *poller) Start(ctx context.Context, host component.Host) error {
	p.starting.Do(func() { p.startErr = p.start(ctx, host) })
	return p.startErr
}

func (p *poller) start(ctx context.Context, host component.Host) error {
	p.host = host
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	p.observer = cmp.Or(p.cfg.Observer, name)
	if len(p.cfg.Logs) > 0 && p.nextLogs == nil {
		p.set.Logger.Warn("There are rules for logs, but the receiver is in no pipeline of logs")
	}
	if len(p.cfg.Metrics) > 0 && p.nextMetrics == nil {
		p.set.Logger.Warn("There are rules for metrics, but the receiver is in no pipeline of metrics")
	}
	var targets []*target
	for i := range p.cfg.Targets {
		t := &target{TargetConfig: p.cfg.Targets[i]}
		if err := p.prepare(ctx, host, t); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
		targets = append(targets, t)
	}
	polling, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, t := range targets {
		p.running.Go(func() { p.run(polling, t) })
	}
	return nil
}

func (p *poller) prepare(ctx context.Context, host component.Host, t *target) (err error) {
	if t.address, err = url.Parse(t.Endpoint); err != nil {
		return err
	}
	if t.client, err = t.ToClient(ctx, host.GetExtensions(), p.set.TelemetrySettings); err != nil {
		return err
	}
	t.client.CheckRedirect = p.redirect
	if p.nextMetrics != nil {
		for _, m := range p.cfg.Metrics {
			n, err := m.rule(p.cfg.MaxItems)
			if err != nil {
				return err
			}
			t.numbers = append(t.numbers, n)
		}
	}
	if p.nextLogs != nil {
		for _, l := range p.cfg.Logs {
			r, err := l.rule(p.cfg.MaxItems)
			if err != nil {
				return err
			}
			t.records = append(t.records, r)
		}
	}
	return nil
}

// Shutdown ends polls that are under way, and waits for what is being handed on.
func (p *poller) Shutdown(context.Context) error {
	p.stopping.Do(func() {
		if p.cancel != nil {
			p.cancel()
		}
		p.running.Wait()
		p.tel.Shutdown()
		if p.forget != nil {
			p.forget()
		}
	})
	return nil
}

// run polls one target, the first time at any moment of an interval.
func (p *poller) run(ctx context.Context, t *target) {
	defer t.client.CloseIdleConnections()
	wait := time.Duration(rand.Float64() * float64(p.cfg.Interval))
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		begun := time.Now()
		select {
		case <-ctx.Done():
			return
		case p.slots <- struct{}{}:
		}
		p.poll(ctx, t)
		<-p.slots
		jitter := (rand.Float64()*2 - 1) * p.cfg.Jitter * float64(p.cfg.Interval)
		wait = max(0, p.cfg.Interval+time.Duration(jitter)-time.Since(begun))
	}
}

// poll asks a target once.
func (p *poller) poll(ctx context.Context, t *target) {
	doc, err := p.ask(ctx, t)
	if ctx.Err() != nil {
		return // the end cut it off, which is no fault of the target
	}
	if err == nil {
		err = p.hand(ctx, t, doc)
	}
	of := metric.WithAttributeSet(attribute.NewSet(p.id(), attribute.String("target", t.Name)))
	var f *failure
	switch {
	case err == nil:
		p.tel.HTTPJSONPolls.Add(ctx, 1, of)
		p.tel.HTTPJSONUp.Record(ctx, 1, of)
	case errors.As(err, &f):
		p.tel.HTTPJSONFailures.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(p.id(), attribute.String("target", t.Name), attribute.String("reason", string(f.reason)))))
		up := int64(0)
		if f.reason == refused {
			up = 1
		}
		p.tel.HTTPJSONUp.Record(ctx, up, of)
	}
	p.tell(t, f)
}

func (p *poller) id() attribute.KeyValue { return attribute.String("receiver", p.set.ID.String()) }

// tell says in the log and as health when a target goes down or comes back.
func (p *poller) tell(t *target, f *failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, wasDown := p.down[t.Name]
	if f == nil {
		if !wasDown {
			return
		}
		delete(p.down, t.Name)
		p.set.Logger.Info("A target answers again", zap.String("target", t.Name))
	} else {
		if was == f.reason && time.Since(t.said) < complainEach {
			return
		}
		t.said = time.Now()
		p.down[t.Name] = f.reason
		p.set.Logger.Warn("A poll came to nothing", zap.String("target", t.Name), zap.String("reason", string(f.reason)), zap.Error(f.err))
		if was == f.reason {
			return
		}
	}
	if len(p.down) == 0 {
		componentstatus.ReportStatus(p.host, componentstatus.NewEvent(componentstatus.StatusOK))
		return
	}
	const most = 10
	var list []string
	for name, why := range p.down {
		list = append(list, name+" ("+string(why)+")")
	}
	slices.Sort(list)
	more := ""
	if len(list) > most {
		more, list = fmt.Sprintf(" and %d more", len(list)-most), list[:most]
	}
	componentstatus.ReportStatus(p.host, componentstatus.NewRecoverableErrorEvent(fmt.Errorf("polls come to nothing: %s%s", strings.Join(list, ", "), more)))
}
