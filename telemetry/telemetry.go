// Package telemetry ends a run of the Collector the way a command line tool ends.
//
// It is the Collector's own telemetry (otelconftelemetry) with three things added, for the
// builder's `telemetry:` entry:
//
//   - The end of a capture file is no error: the log line that the Collector writes for
//     run.ErrDone is left out. Any other fatal error is logged in plain words and makes the
//     process exit with 1; without this package it would exit with 0.
//   - When everything else has been flushed and shut down, the process exits with
//     run.ExitCode() if that is not 0. A reload (SIGHUP) shuts everything down as well, but is
//     not the end.
//   - The garbage collector's target and the memory limit are set when the environment sets
//     neither (see tune).
//
// It gives up one thing: what a component returns from Shutdown is printed by the Collector
// after telemetry has been shut down, so it is not seen when the exit code is 1 or 3.
package telemetry

import (
	"context"
	"errors"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/monban/monban/internal/run"
)

// The lines of the Collector's log that mark the stages of its life. Its public interface tells
// them nowhere else; TestCollector fails when one of them changes.
const (
	lineReady  = "Everything is ready. Begin running and processing data."
	lineFatal  = "Asynchronous error received, terminating process"
	lineWatch  = "Config watch failed"
	lineReload = "Config updated, restart service"
	lineStop   = "Starting shutdown..."
)

var tuned sync.Once

// NewFactory is what the builder calls. The configuration is that of otelconftelemetry, key for
// key.
func NewFactory() telemetry.Factory {
	base := otelconftelemetry.NewFactory()
	return telemetry.NewFactory(
		base.CreateDefaultConfig,
		telemetry.WithCreateResource(base.CreateResource),
		telemetry.WithCreateMeterProvider(base.CreateMeterProvider),
		telemetry.WithCreateTracerProvider(base.CreateTracerProvider),
		telemetry.WithCreateLogger(func(ctx context.Context, set telemetry.LoggerSettings, cfg component.Config) (*zap.Logger, component.ShutdownFunc, error) {
			logger, stop, err := base.CreateLogger(ctx, set, cfg)
			if err != nil {
				return nil, nil, err
			}
			run.Starting()
			l := &life{}
			logger = logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
				return &core{Core: c, life: l}
			}))
			tuned.Do(func() { tune(logger) })
			return logger, l.shutdown(logger, stop), nil
		}),
	)
}

// life is what the log lines have told of one Collector service. The Collector writes them from
// the goroutine that later shuts the logger down, so nothing here needs a lock.
type life struct {
	ready  bool // all components have started
	reload bool // another service will follow this one
}

// shutdown stops the logger and then ends the process, if there is a reason to. A service that
// never became ready is left to main, which prints why and exits with 1.
func (l *life) shutdown(logger *zap.Logger, stop component.ShutdownFunc) component.ShutdownFunc {
	return func(ctx context.Context) error {
		for _, err := range run.Late() {
			logger.Error("Failed while stopping", zap.Error(err))
		}
		err := stop.Shutdown(ctx)
		if code := run.ExitCode(); code != 0 && l.ready && !l.reload {
			os.Exit(code)
		}
		return err
	}
}

// core listens to the service's own logger. Components log through a child of it (With), which
// is the plain core again: watching costs them nothing.
type core struct {
	zapcore.Core
	life *life
}

func (c *core) With(fields []zapcore.Field) zapcore.Core { return c.Core.With(fields) }

// Enabled keeps the lines above coming whatever level the user has set; Check then asks the
// plain core about all the others.
func (c *core) Enabled(level zapcore.Level) bool {
	return level >= zapcore.InfoLevel || c.Core.Enabled(level)
}

func (c *core) Check(entry zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	switch entry.Message {
	case lineFatal, lineWatch:
		return ce.AddCore(entry, c) // the fields decide, and Write has them
	case lineReady:
		c.life.ready = true
		run.Ready()
	case lineReload:
		c.life.reload = true
		run.Reloading()
	case lineStop:
		run.Stopping()
	}
	return c.Core.Check(entry, ce)
}

// Write sees only the two lines that end a run.
func (c *core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && errors.Is(err, run.ErrDone) {
			return nil
		}
	}
	run.SetExitCode(run.ExitError)
	if entry.Message == lineFatal {
		entry.Message = "Stopping after a fatal error"
	}
	if ce := c.Core.Check(entry, nil); ce != nil {
		ce.Write(fields...)
	}
	return nil
}
