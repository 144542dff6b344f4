package packetflowreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/progress"
	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/receiver/packetflowreceiver/internal/metadata"
)

const (
	framesAtOnce   = 256
	batchesWaiting = 2                // between the meter and what is behind
	captureEvery   = time.Minute      // how often a live source says how it fares
	statsEvery     = time.Second      // how often the kernel is asked for its counters
	complainEach   = 10 * time.Second // about what is behind a live source
	patience       = time.Second      // a read may take this long to notice a shutdown
)

// standstill is how long a shutdown waits without a batch being taken, before it gives up the rest. Tests change it.
var standstill = 30 * time.Second

type flowReceiver struct {
	cfg    *Config
	set    receiver.Settings
	log    *zap.Logger
	next   consumer.Logs
	obs    *receiverhelper.ObsReport
	tel    *metadata.TelemetryBuilder
	live   bool
	ends   *run.Source // nil when the end of the files is not the end of the run
	host   component.Host
	out    *batch
	meter  *meter
	source packet.Source

	quit   atomic.Bool
	cancel context.CancelFunc // of what is being handed on
	ctx    context.Context    // not Start's: it lasts until the last record is handed on
	done   chan struct{}      // closed by run; nil when not started
	once   sync.Once

	batches  chan plog.Logs // to the goroutine that hands on
	refusing atomic.Bool    // failed is set
	handed   atomic.Uint64  // batches that were taken or refused

	failed     error // of what is behind; a file source stops at the first
	outages    outages
	refused    int // records that what is behind refused, not yet complained about
	complained time.Time
}

func newReceiver(cfg *Config, set receiver.Settings, next consumer.Logs) (*flowReceiver, error) {
	r := &flowReceiver{cfg: cfg, set: set, log: set.Logger, next: next, live: cfg.live()}
	transport := "file"
	if r.live {
		transport = "packet"
	}
	var err error
	r.obs, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: transport, ReceiverCreateSettings: set,
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
	r.out = &batch{observer: observer, version: set.BuildInfo.Version, send: r.send, live: r.live}
	r.meter = newMeter(cfg, r.out)
	return r, nil
}

// Start opens the source, so that what is wrong with it is said at once, and reads
// it from then on.
func (r *flowReceiver) Start(_ context.Context, host component.Host) error {
	var err error
	if r.ends != nil && run.Again() {
		return errors.New("the configuration was loaded anew (SIGHUP), but a capture is read only once: what had been read until then is written; start it again for the whole")
	}
	if r.live {
		r.source, err = r.listen()
	} else {
		r.source, err = packet.OpenFiles(r.cfg.Files...)
	}
	if err != nil {
		return err
	}
	if err := r.observe(); err != nil {
		return errors.Join(err, r.source.Close())
	}
	r.host = host
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.done = make(chan struct{})
	r.batches = make(chan plog.Logs, batchesWaiting)
	go r.run()
	return nil
}

// Shutdown stops reading, writes the flows that are still live, and waits for that
// as long as ctx allows.
func (r *flowReceiver) Shutdown(ctx context.Context) error {
	r.ends.Cancel()
	if r.done == nil {
		return nil
	}
	var err error
	r.once.Do(func() {
		r.quit.Store(true)
		unblock := time.AfterFunc(patience, func() { r.source.Close() })
		defer unblock.Stop()
		// What is behind may wait for ever, in a full queue before a server that is away.
		stuck := time.NewTicker(standstill)
		defer stuck.Stop()
		for handed, waiting := r.handed.Load(), true; waiting; {
			select {
			case <-r.done:
				err, waiting = r.failed, false
			case <-ctx.Done():
				r.cancel()
				err, waiting = fmt.Errorf("flows that were still live are lost: %w", ctx.Err()), false
			case <-stuck.C:
				now := r.handed.Load()
				if now == handed {
					r.log.Warn("Nothing of what is still to be written was taken for long; it is given up", zap.Duration("waited", standstill))
					r.cancel()
				}
				handed = now
			}
		}
		r.tel.Shutdown()
	})
	return err
}

// run meters what is read until the end. What is behind works in a goroutine of its
// own, so that two cores are used, and each does its part in order.
func (r *flowReceiver) run() {
	defer close(r.done)
	defer r.cancel()
	var bar *progress.Bar
	if r.cfg.Progress == progressAuto {
		bar = progress.Start(os.Stderr, r.sample)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for logs := range r.batches {
			r.handOn(logs)
		}
	}()
	err := r.read()
	r.meter.publish(r.source.Stats().Interfaces)
	r.source.Close()
	r.source.Close() // none of its frames is in use now
	r.log.Debug("source ended", zap.Error(err), zap.Uint64("packets", r.meter.totals().packets))
	if !r.refusing.Load() {
		r.meter.table.Flush()
		r.meter.publish(nil)
		r.meter.capture(r.clock(), true)
		r.out.flush()
	}
	close(r.batches)
	<-sent
	bar.Stop()
	switch {
	case r.quit.Load(): // Shutdown returns what went wrong
	case r.failed != nil:
		run.Fail(r.host, fmt.Errorf("%s: reading %s stopped, because its records were refused: %w", r.set.ID, r.cfg.source(), r.failed))
	case err != nil:
		run.Fail(r.host, fmt.Errorf("%s: %w", r.set.ID, err))
	default:
		r.ends.Done(r.host)
	}
}

// read meters everything up to the end of the source, which gives nil, or until a
// shutdown or an error.
func (r *flowReceiver) read() error {
	in, p := reader{source: r.source}, new(parcel)
	in.decoder.KeepTunnels = !r.cfg.Tunnels
	asked, told := time.Now(), time.Now()
	var wrong error // with the last damaged file
	for !r.quit.Load() || len(in.left) > 0 {
		in.read(p)
		err := p.err
		var damage *packet.FileError
		switch {
		case err == nil:
		case errors.As(err, &damage): // before io.EOF, which it may wrap
			wrong = err
			r.log.Warn("A capture file is damaged; what was read before the damage is metered", zap.Error(err))
			r.meter.warn(err.Error())
			continue
		case errors.Is(err, io.EOF):
			if wrong != nil && r.meter.now.packets == 0 {
				return wrong // nothing could be read at all
			}
			return nil
		case r.quit.Load():
			r.stopped()
			return nil
		default:
			r.meter.warn(err.Error())
			return err
		}
		r.meter.add(p)
		n := p.packets
		if r.live {
			now := time.Now()
			if n == 0 {
				r.meter.table.Tick(now.UnixNano())
			}
			if now.Sub(asked) >= statsEvery {
				asked = now
				all := r.source.Stats().Interfaces
				r.meter.publish(all)
				r.outages.tell(r.log, all)
			}
			if now.Sub(told) >= captureEvery {
				told = now
				r.meter.capture(now, false)
			}
			if r.out.stale(now) {
				r.out.flush()
			}
		} else if r.refusing.Load() {
			return nil
		}
		r.meter.publish(nil)
	}
	r.stopped()
	return nil
}

// stopped notes that files were not read to their end.
func (r *flowReceiver) stopped() {
	if !r.live {
		r.meter.warn("stopped before the end of the capture")
	}
}

// clock is the time now for a live source.
func (r *flowReceiver) clock() time.Time {
	if r.live {
		return time.Now()
	}
	return time.Time{}
}

// send gives a batch to the goroutine that hands it on.
func (r *flowReceiver) send(logs plog.Logs) { r.batches <- logs }

// handOn hands a batch on, once. A file source stops at the first refusal, a live one
// goes on and complains now and then.
func (r *flowReceiver) handOn(logs plog.Logs) {
	if r.failed != nil {
		return
	}
	n := logs.LogRecordCount()
	ctx := r.obs.StartLogsOp(r.ctx)
	err := r.next.ConsumeLogs(ctx, logs)
	r.handed.Add(1)
	r.obs.EndLogsOp(ctx, "", n, err)
	if err == nil {
		return
	}
	if !r.live {
		r.failed = err
		r.refusing.Store(true)
		r.source.Close() // reading may wait for a pipe
		return
	}
	r.refused += n
	if now := time.Now(); now.Sub(r.complained) >= complainEach {
		r.log.Error("Records were refused and are lost", zap.Int("records", r.refused), zap.Error(err))
		r.complained, r.refused = now, 0
	}
}

func (r *flowReceiver) sample() progress.Sample {
	done, total := r.source.Progress()
	t := r.meter.totals()
	return progress.Sample{Done: done, Total: total, Packets: t.packets, Bytes: t.bytes}
}
