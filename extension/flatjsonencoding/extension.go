package flatjsonencoding

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/extension/flatjsonencoding/internal/metadata"
	"github.com/monban/monban/internal/flatjson"
)

// Config has nothing to set.
type Config struct {
	// prevent unkeyed literal initialization
	_ struct{}
}

// NewFactory makes the factory of the extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type,
		func() component.Config { return &Config{} },
		func(context.Context, extension.Settings, component.Config) (extension.Extension, error) {
			return &flatJSON{decoder: flatjson.NewDecoder()}, nil
		},
		metadata.ExtensionStability)
}

type flatJSON struct {
	component.StartFunc
	component.ShutdownFunc
	decoder  *flatjson.Decoder
	encoders sync.Pool
}

var (
	_ plog.Marshaler   = (*flatJSON)(nil)
	_ plog.Unmarshaler = (*flatJSON)(nil)
)

// MarshalLogs makes a line of each record.
func (f *flatJSON) MarshalLogs(ld plog.Logs) (b []byte, err error) {
	e, ok := f.encoders.Get().(*flatjson.Encoder)
	if !ok {
		e = flatjson.NewEncoder()
	}
	for _, rl := range ld.ResourceLogs().All() {
		e.SetResource(rl.Resource().Attributes())
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				b = e.AppendRecord(b, lr)
			}
		}
	}
	e.SetResource(pcommon.NewMap()) // hold nothing of ld
	f.encoders.Put(e)
	return b, nil
}

// UnmarshalLogs makes a record of each line.
func (f *flatJSON) UnmarshalLogs(b []byte) (plog.Logs, error) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	if err := f.decoder.Decode(b, records); err != nil {
		return plog.Logs{}, err
	}
	return ld, nil
}
