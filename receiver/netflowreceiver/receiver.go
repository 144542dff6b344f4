package netflowreceiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/keep"
	"github.com/monban/monban/internal/netflow"
	"github.com/monban/monban/receiver/netflowreceiver/internal/metadata"
)

const (
	tickEvery    = 200 * time.Millisecond // of what waits
	publishEvery = time.Second            // of the totals
	complainEach = time.Minute            // about what exporters send
	refusedEach  = 10 * time.Second       // about what is behind
)

type netflowReceiver struct {
	cfg  *Config
	set  receiver.Settings
	log  *zap.Logger
	next consumer.Logs
	obs  *receiverhelper.ObsReport
	tel  *metadata.TelemetryBuilder

	listeners []*listener
	quit      atomic.Bool
	ctx       context.Context // not Start's: it lasts until the last record is handed on
	cancel    context.CancelFunc
	readers   sync.WaitGroup
	started   bool
	once      sync.Once

	mu         sync.Mutex // of all below: one datagram at a time
	collector  *netflow.Collector
	out        *batch
	keeper     *keep.Keeper
	ticked     time.Time
	published  time.Time
	faults     uint64
	refused    int // records that what is behind refused, not yet complained about
	complained time.Time
	told       complaints

	totalsMu sync.Mutex
	shared   totals
}

// totals are what the metrics show.
type totals struct {
	netflow.Stats
	losses []netflow.Loss
	kernel uint64
	faults uint64
}

func newReceiver(cfg *Config, set receiver.Settings, next consumer.Logs) (*netflowReceiver, error) {
	r := &netflowReceiver{cfg: cfg, set: set, log: set.Logger, next: next}
	var err error
	r.obs, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "udp", ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	observer := cfg.Observer
	if observer == "" {
		if observer, err = os.Hostname(); err != nil {
			observer = "unknown"
		}
	}
	r.out = &batch{observer: observer, version: set.BuildInfo.Version, send: r.send}
	r.collector = netflow.New(cfg.netflow(), func(from *netflow.Source, rec *flow.Record) {
		rec.Service = app.Service(rec)
		r.out.add(from, rec)
	})
	return r, nil
}

// Start takes the kept templates and opens the sockets, so that what is wrong with
// either is said at once.
func (r *netflowReceiver) Start(ctx context.Context, host component.Host) error {
	r.ctx, r.cancel = context.WithCancel(context.Background())
	var err error
	r.keeper, err = keep.Open(ctx, host, r.cfg.Storage, component.KindReceiver, r.set.ID, r.cfg.SaveInterval, templates{r.collector}, r.log)
	if err != nil {
		return err
	}
	for _, e := range r.cfg.Endpoints {
		want := r.cfg.ReadBufferMiB << 20
		l, granted, err := listen(e, want)
		if err != nil {
			return errors.Join(err, r.close())
		}
		r.listeners = append(r.listeners, l)
		if granted < want {
			r.log.Warn("The kernel gives a smaller buffer than read_buffer_mib asks for; datagrams that come in bursts may be lost. Raise net.core.rmem_max.",
				zap.String("endpoint", e), zap.Int("bytes", granted))
		}
		r.log.Info("Listening for NetFlow, IPFIX and sFlow", zap.Stringer("endpoint", l.conn.LocalAddr()))
	}
	if err := r.observe(); err != nil {
		return errors.Join(err, r.close())
	}
	r.started = true
	for _, l := range r.listeners {
		r.readers.Go(func() { r.listen(l) })
	}
	return nil
}

func (r *netflowReceiver) close() (err error) {
	for _, l := range r.listeners {
		err = errors.Join(err, l.conn.Close())
	}
	return err
}

// standstill is how long a shutdown waits for what is behind, such as a full queue before a server that is away.
const standstill = 30 * time.Second

// Shutdown stops listening, writes what waits, and saves the templates.
func (r *netflowReceiver) Shutdown(ctx context.Context) (err error) {
	r.once.Do(func() {
		r.quit.Store(true)
		if !r.started {
			err = r.keeper.Close(ctx, templates{r.collector})
			return
		}
		stop := context.AfterFunc(ctx, r.cancel)
		defer stop()
		defer time.AfterFunc(standstill, r.cancel).Stop()
		closing := r.close()
		r.readers.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.collector.Flush()
		r.out.flush()
		r.publish(time.Now())
		r.cancel()
		r.tel.Shutdown()
		err = errors.Join(closing, r.keeper.Close(ctx, templates{r.collector}))
	})
	return err
}

// listen reads one socket until the shutdown.
func (r *netflowReceiver) listen(l *listener) {
	for !r.quit.Load() {
		n, err := l.read(time.Now().Add(tickEvery))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if r.quit.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			r.log.Error("Reading datagrams went wrong; it is tried again.", zap.Stringer("endpoint", l.conn.LocalAddr()), zap.Error(err))
			time.Sleep(time.Second)
			continue
		}
		r.take(l, n)
	}
}

// take hands datagrams to the collector, and does what is due.
func (r *netflowReceiver) take(l *listener, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for i := range n {
		from, data := l.datagram(i)
		r.add(from, data, now.UnixNano())
	}
	if now.Sub(r.ticked) >= tickEvery {
		r.ticked = now
		r.collector.Tick(now.UnixNano())
	}
	if r.out.stale(now) {
		r.out.flush()
	}
	if now.Sub(r.published) >= publishEvery {
		r.publish(now)
	}
	r.keeper.SaveIfDue(r.ctx, templates{r.collector})
}

// add keeps a fault of ours, should there be one, from ending the process: a sensor
// that anyone can end with one datagram is none.
func (r *netflowReceiver) add(from netip.Addr, data []byte, now int64) {
	defer func() {
		if fault := recover(); fault != nil {
			r.faults++
			r.log.Error("A datagram could not be handled, which is a fault of this program; please report it.",
				zap.Stringer("from", from), zap.Binary("datagram", data), zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
		}
	}()
	r.collector.Add(from, data, now)
}

// send hands a batch on, once, and complains now and then when it is refused.
func (r *netflowReceiver) send(logs plog.Logs) {
	n := logs.LogRecordCount()
	ctx := r.obs.StartLogsOp(r.ctx)
	err := r.next.ConsumeLogs(ctx, logs)
	r.obs.EndLogsOp(ctx, "", n, err)
	if err == nil {
		return
	}
	r.refused += n
	if now := time.Now(); now.Sub(r.complained) >= refusedEach {
		r.log.Error("Records were refused and are lost", zap.Int("records", r.refused), zap.Error(err))
		r.complained, r.refused = now, 0
	}
}

// templates are what is kept.
type templates struct{ *netflow.Collector }

func (t templates) Restore(b []byte) error { return t.Collector.Restore(b, time.Now().UnixNano()) }

// complaints remembers what was complained about.
type complaints struct {
	at      time.Time
	dropped [16]uint64
	lost    uint64
	kernel  uint64
}

// complain says what exporters sent that is in no record, a line a minute at most.
func (r *netflowReceiver) complain(t *totals, now time.Time) {
	if now.Sub(r.told.at) < complainEach {
		return
	}
	var fields []zap.Field
	add := func(name string, n, before uint64) {
		if n > before {
			fields = append(fields, zap.Uint64(name, n-before))
		}
	}
	for _, why := range netflow.Reasons() {
		switch why {
		case netflow.CounterSample, netflow.Empty, netflow.NotAFlow, netflow.Duplicate: // no fault
		default:
			add(why.String(), t.Dropped[why], r.told.dropped[why])
		}
	}
	refused := t.Dropped[netflow.UnknownExporter]+t.Dropped[netflow.ExporterLimit] > r.told.dropped[netflow.UnknownExporter]+r.told.dropped[netflow.ExporterLimit]
	if refused {
		fields = append(fields, zap.Stringer("last_refused", t.Refused))
	}
	add("lost_by_sequence", t.Lost, r.told.lost)
	add("dropped_by_kernel", t.kernel, r.told.kernel)
	if len(fields) == 0 {
		return
	}
	r.log.Warn("Not all that exporters send is in the records", append(fields, zap.String("see", fmt.Sprintf("metrics otelcol_netflow_*, receiver %s", r.set.ID)))...)
	r.told.at, r.told.lost, r.told.kernel = now, t.Lost, t.kernel
	copy(r.told.dropped[:], t.Dropped[:])
}
