package link

import (
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Kept is the logger of an exporter whose queue is on disk. Its queue says at the Collector's end that it drops what was on its
// way, with the stack, though what the end interrupted stays on disk and is sent after the next start. Here it
// says that. What is dropped for another reason is said as it was.
func Kept(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return kept{c} }))
}

type kept struct{ zapcore.Core }

func (k kept) With(fields []zapcore.Field) zapcore.Core { return kept{k.Core.With(fields)} }

// Check leaves it to Write, which has the fields, what comes of an entry that may be meant.
func (k kept) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !strings.HasPrefix(e.Message, "Exporting failed. Dropping data.") {
		return k.Core.Check(e, ce)
	}
	return ce.AddCore(e, k)
}

func (k kept) Write(e zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range fields {
		err, ok := f.Interface.(error)
		if f.Type != zapcore.ErrorType || !ok || !strings.HasPrefix(err.Error(), "interrupted due to shutdown: ") {
			continue
		}
		e.Level, e.Stack = zapcore.InfoLevel, ""
		e.Message = "What was on its way stays in the queue on disk, and is sent after the next start"
		for i, f := range fields {
			if f.Key == "dropped_items" {
				fields[i].Key = "items"
			}
		}
		break
	}
	if ce := k.Core.Check(e, nil); ce != nil {
		ce.Stack = e.Stack
		ce.Write(fields...)
	}
	return nil
}
