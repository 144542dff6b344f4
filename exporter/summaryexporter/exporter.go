package summaryexporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/internal/summary"
	"github.com/monban/monban/internal/threat"
)

type summaryExporter struct {
	cfg    *Config
	out    io.Writer
	logger *zap.Logger
	now    func() time.Time

	mu      sync.Mutex // two pipelines share the exporter
	summary *summary.Summary
	printed bool
	hello   *time.Timer
}

func newExporter(cfg *Config, out io.Writer) *summaryExporter {
	e := &summaryExporter{cfg: cfg, out: out, logger: zap.NewNop(), now: time.Now}
	e.summary = summary.New(e.now().UnixNano())
	return e
}

func (e *summaryExporter) start(context.Context, component.Host) error {
	e.summary = summary.New(e.now().UnixNano())
	if e.cfg.Follow && e.cfg.Hints.Word == "live" {
		e.hello = time.AfterFunc(settle, func() {
			_ = e.print("Listening. Reports appear here as they happen; Ctrl-C ends it with a summary.\n")
		})
	}
	return nil
}

// settle is how long the others are given to fail at their start.
const settle = time.Second

func (e *summaryExporter) options() summary.Options {
	o := summary.Terminal(e.out, e.cfg.Color, e.cfg.Width, e.now())
	o.Hints = e.cfg.Hints
	o.Broken = run.ExitCode() == run.ExitError
	return o
}

func (e *summaryExporter) consume(_ context.Context, ld plog.Logs) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var told []error
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				told = append(told, e.record(lr))
			}
		}
	}
	return errors.Join(told...)
}

func (e *summaryExporter) record(lr plog.LogRecord) error {
	switch lr.EventName() {
	case flow.Fields.Name:
		f := readFlow(lr)
		e.summary.Flow(&f)
	case app.Sightings.Name:
		e.summary.Sighting()
	case device.Records.Name:
		e.summary.Device(read(lr, device.Records))
	case baseline.Statuses.Name:
		e.summary.Status(read(lr, baseline.Statuses))
	case baseline.Observations.Name:
		e.summary.Observation(read(lr, baseline.Observations))
	case threat.Reports.Name:
		r := read(lr, threat.Reports)
		if e.summary.Report(r) && e.cfg.Follow {
			return e.print(e.summary.Line(r, e.options()))
		}
	case app.Captures.Name:
		e.summary.Capture(read(lr, app.Captures))
	}
	return nil
}

func read[R any](lr plog.LogRecord, t *event.Table[R]) *R {
	r := new(R)
	logrecord.Read(lr, t, r)
	return r
}

// readFlow takes only what a summary needs: flows are most of what comes.
func readFlow(lr plog.LogRecord) (f summary.Flow) {
	f.End = int64(lr.Timestamp())
	var transport string
	var port int64
	for k, v := range lr.Attributes().All() {
		switch k {
		case "source.address":
			f.Src.Address = text(v)
		case "source.device.id":
			f.Src.Device = text(v)
		case "source.device.name":
			f.Src.Name = text(v)
		case "source.domain":
			f.Src.Domain = text(v)
		case "destination.address":
			f.Dst.Address = text(v)
		case "destination.device.id":
			f.Dst.Device = text(v)
		case "destination.device.name":
			f.Dst.Name = text(v)
		case "destination.domain":
			f.Dst.Domain = text(v)
		case "destination.port":
			port = number(v)
		case "network.transport":
			transport = text(v)
		case "network.protocol.name":
			f.Service = text(v)
		case "flow.io.bytes":
			f.SrcBytes = uint64(number(v))
		case "flow.io.packets":
			f.SrcPackets = uint64(number(v))
		case "flow.reverse.io.bytes":
			f.DstBytes = uint64(number(v))
		case "flow.reverse.io.packets":
			f.DstPackets = uint64(number(v))
		case "flow.start":
			f.Start = number(v)
		case "flow.part":
			f.Continued = number(v) != 0
		case "anomaly.score":
			f.Anomalous = true
		}
	}
	if f.Service == "" {
		f.Service = transport
		if port != 0 {
			f.Service = fmt.Sprintf("%s/%d", transport, port)
		}
	}
	return f
}

// text gives a string of bounded length: it may become a key that is kept.
func text(v pcommon.Value) string {
	if v.Type() != pcommon.ValueTypeStr {
		return ""
	}
	const most = 256
	s := v.Str()
	return s[:min(len(s), most)]
}

func number(v pcommon.Value) int64 {
	if v.Type() != pcommon.ValueTypeInt {
		return 0
	}
	return max(0, v.Int())
}

// shutdown prints the summary, once, unless nothing ever came: then another
// component could not start, and has said why.
func (e *summaryExporter) shutdown(context.Context) error {
	if e.hello != nil {
		e.hello.Stop()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.printed || e.summary.Empty() {
		return nil
	}
	e.printed = true
	if err := e.print(e.summary.Text(e.options())); err != nil {
		run.SetExitCode(run.ExitError) // or fail_on's code would hide it
		e.logger.Error("The summary could not be printed.", zap.Error(err))
		return fmt.Errorf("printing the summary: %w", err)
	}
	return nil
}

// print writes at once. A reader who has seen enough (`monban … | head`) is no
// error, and must not end the process before everything is saved.
func (e *summaryExporter) print(s string) error {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	defer signal.Stop(ignored)
	if _, err := io.WriteString(e.out, s); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return nil
}
