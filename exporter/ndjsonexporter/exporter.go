package ndjsonexporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/exporter/ndjsonexporter/internal/metadata"
	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/reference"
	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/internal/seldom"
)

// always are the files that are there from the start, so that someone who looks
// for reports finds an empty file and not none.
var always = []string{"flows", "sightings", "devices", "reports"}

type ndjsonExporter struct {
	cfg    *Config
	logger *zap.Logger
	tb     *metadata.TelemetryBuilder
	host   component.Host

	arrival logrecord.Arrival // of records without a time

	mu      sync.Mutex // two pipelines share the exporter
	enc     *flatjson.Encoder
	outputs []*output
	byEvent map[string]*output // nil for an event that is not wanted
	other   *output            // likewise
	quiet   func()             // undoes what start did to signals
	gone    bool               // the reader of standard output went away
	failure error              // what stopped the exporter, when on_error is stop
	lost    map[*output]int64  // records, since the exporter started
	faults  seldom.Faults      // by the output's path
}

func newExporter(cfg *Config, set component.TelemetrySettings) (*ndjsonExporter, error) {
	tb, err := metadata.NewTelemetryBuilder(set)
	if err != nil {
		return nil, err
	}
	e := &ndjsonExporter{cfg: cfg, logger: set.Logger, tb: tb, enc: flatjson.NewEncoder(),
		byEvent: map[string]*output{}, lost: map[*output]int64{}}
	files := map[string]*output{}
	to := func(event, file string) *output {
		if len(cfg.Events) > 0 && !slices.Contains(cfg.Events, event) {
			return nil
		}
		path := cfg.Path
		if path == "" {
			path = filepath.Join(cfg.Directory, file+".ndjson")
		}
		if files[path] == nil {
			files[path] = &output{path: path, rotation: cfg.Rotation}
		}
		return files[path]
	}
	for _, event := range reference.Events() {
		e.byEvent[event.Name] = to(event.Name, event.File)
	}
	e.other = to(reference.Other, reference.Other)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		e.outputs = append(e.outputs, files[path])
	}
	return e, nil
}

func (e *ndjsonExporter) start(_ context.Context, host component.Host) error {
	e.host = host
	if e.cfg.Path == stdout {
		e.quiet = surviveBrokenPipe()
	}
	if e.cfg.Directory != "" {
		if err := os.MkdirAll(e.cfg.Directory, 0o755); err != nil {
			return fmt.Errorf("making directory: %w", err)
		}
	}
	for _, o := range e.outputs {
		stem := o.name()[:len(o.name())-len(filepath.Ext(o.path))]
		if e.cfg.Directory == "" || slices.Contains(always, stem) {
			if err := o.open(); err != nil {
				return errors.Join(o.wrap(err), e.close())
			}
		}
	}
	return nil
}

// consume writes every record of ld, with a time for each, and returns when the files have it.
func (e *ndjsonExporter) consume(ctx context.Context, ld plog.Logs) error {
	ld = e.arrival.Observe(ld, false)
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, rl := range ld.ResourceLogs().All() {
		e.enc.SetResource(rl.Resource().Attributes())
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				o, ours := e.byEvent[lr.EventName()]
				if !ours {
					o = e.other
				}
				if o == nil {
					continue
				}
				o.buf = e.enc.AppendRecord(o.buf, lr)
				o.pending++
				if len(o.buf) >= flushAt {
					errs = append(errs, e.flush(ctx, o))
				}
			}
		}
	}
	e.enc.SetResource(pcommon.NewMap()) // hold nothing of ld
	for _, o := range e.outputs {
		errs = append(errs, e.flush(ctx, o))
	}
	if err := errors.Join(errs...); err != nil {
		return consumererror.NewPermanent(err)
	}
	return nil
}

// flush writes the buffer of o, counts what became of its records and says once
// what went wrong.
func (e *ndjsonExporter) flush(ctx context.Context, o *output) error {
	if o.pending == 0 {
		return nil
	}
	if e.gone {
		e.count(ctx, o, "unread", o.pending)
		o.buf, o.pending = o.buf[:0], 0
		return nil
	}
	if e.failure != nil {
		e.lose(ctx, o, o.pending)
		o.buf, o.pending = o.buf[:0], 0
		return e.failure
	}
	written, lost, err := o.flush()
	e.count(ctx, o, "written", written)
	if tidyErr := o.old.failed(); tidyErr != nil {
		e.logger.Warn("Old files could not be packed or removed", zap.Error(tidyErr))
	}
	switch {
	case err == nil:
		e.recovered(o)
		return nil
	case o.path == stdout && errors.Is(err, syscall.EPIPE):
		// `monban … | head` has seen enough.
		e.gone = true
		e.count(ctx, o, "unread", lost)
		run.Stop(e.host)
		return nil
	}
	e.lose(ctx, o, lost)
	err = fmt.Errorf("%w; %s lost", err, records(e.lost[o]))
	switch {
	case e.cfg.OnError == onErrorStop:
		e.failure = err
		run.Fail(e.host, err)
	case e.faults.Due(o.path):
		e.logger.Error("Records are being lost", zap.Error(err))
	}
	return err
}

func (e *ndjsonExporter) lose(ctx context.Context, o *output, n int64) {
	e.lost[o] += n
	e.count(ctx, o, "lost", n)
}

func (e *ndjsonExporter) recovered(o *output) {
	if e.faults.Over(o.path) {
		e.logger.Warn("Writing works again", zap.String("file", o.path), zap.Int64("lost", e.lost[o]))
	}
}

func (e *ndjsonExporter) count(ctx context.Context, o *output, outcome string, n int64) {
	if n > 0 {
		e.tb.NdjsonRecords.Add(ctx, n, metric.WithAttributeSet(attribute.NewSet(
			attribute.String("file", o.name()), attribute.String("outcome", outcome))))
	}
}

// shutdown closes the files and says how many records were lost in all.
func (e *ndjsonExporter) shutdown(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.close()
	for _, o := range e.outputs {
		if n := e.lost[o]; n > 0 {
			delete(e.lost, o)
			e.logger.Error("Not everything was written: "+records(n)+" lost", zap.String("file", o.path))
		}
	}
	if err != nil {
		e.logger.Error("A file could not be closed", zap.Error(err))
		run.SetExitCode(run.ExitError)
	}
	e.tb.Shutdown()
	return err
}

func (e *ndjsonExporter) close() error {
	var errs []error
	for _, o := range e.outputs {
		errs = append(errs, o.close())
		if err := o.old.failed(); err != nil {
			e.logger.Warn("Old files could not be packed or removed", zap.Error(err))
		}
	}
	if e.quiet != nil {
		e.quiet()
		e.quiet = nil
	}
	return errors.Join(errs...)
}

// records is a count in words, with separated thousands.
func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + " records"
}
