package statestorage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/extension/statestorage/internal/metadata"
	"github.com/monban/monban/internal/durable"
)

// stateStorage hands out clients between Start, which takes the directory, and Shutdown.
type stateStorage struct {
	cfg    *Config
	logger *zap.Logger
	count  *metadata.TelemetryBuilder

	mu   sync.Mutex
	lock *durable.Lock // nil when not started
	dirs map[string]*durable.Dir
}

var _ storage.Extension = (*stateStorage)(nil)

func newStateStorage(set extension.Settings, cfg *Config) (*stateStorage, error) {
	count, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &stateStorage{cfg: cfg, logger: set.Logger, count: count}, nil
}

// Start takes the directory, and fails when another process has it or it can't be written.
func (s *stateStorage) Start(context.Context, component.Host) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lock, err := durable.Acquire(s.cfg.Directory)
	if err != nil {
		return err
	}
	s.lock, s.dirs = lock, map[string]*durable.Dir{}
	return nil
}

// Shutdown gives the directory back. All that was Set is on the disk already.
func (s *stateStorage) Shutdown(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.lock.Release()
	s.lock, s.dirs = nil, nil
	s.count.Shutdown()
	return err
}

// GetClient returns the values of one component. Clients for the same component and name share
// their values.
func (s *stateStorage) GetClient(_ context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil, errors.New("state_storage has not been started, or is shut down")
	}
	// An escaped name holds neither '/' nor '+', so no two owners share a directory.
	of := durable.EscapeName(strings.ToLower(kind.String()) + "_" + id.String())
	if name != "" {
		of = filepath.Join(of, "+"+durable.EscapeName(name))
	}
	dir := s.dirs[of]
	if dir == nil {
		var err error
		if dir, err = durable.Open(filepath.Join(s.cfg.Directory, of), s.notify(kind, id)); err != nil {
			return nil, err
		}
		s.dirs[of] = dir
	}
	return &client{dir: dir, count: s.count}, nil
}

// notify logs and counts what could not be used.
func (s *stateStorage) notify(kind component.Kind, id component.ID) func(durable.Notice) {
	return func(n durable.Notice) {
		s.count.StateStorageSetAside.Add(context.Background(), 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", n.Reason))))
		kept := n.File
		if kept == "" {
			kept = "nowhere"
		}
		s.logger.Warn("Saved state can't be used and was set aside; its owner starts without it",
			zap.String("owner", strings.ToLower(kind.String())+" "+id.String()),
			zap.String("key", n.Key), zap.String("reason", n.Detail), zap.String("kept", kept))
	}
}

// client is one component's view. It has nothing to close.
type client struct {
	dir   *durable.Dir
	count *metadata.TelemetryBuilder
}

var (
	_ storage.Client = (*client)(nil)
	_ storage.Walker = (*client)(nil)
)

func (c *client) Get(_ context.Context, key string) ([]byte, error) { return c.dir.Get(key) }

func (c *client) Set(ctx context.Context, key string, value []byte) error {
	if err := c.dir.Set(key, value); err != nil {
		c.count.StateStorageWriteErrors.Add(ctx, 1)
		if durable.IsFull(err) {
			err = fmt.Errorf("%w: %w", storage.ErrStorageFull, err)
		}
		return err
	}
	c.count.StateStorageWrites.Add(ctx, 1)
	c.count.StateStorageWritten.Add(ctx, int64(len(value)))
	return nil
}

func (c *client) Delete(_ context.Context, key string) error { return c.dir.Delete(key) }

func (c *client) Batch(ctx context.Context, ops ...*storage.Operation) (err error) {
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value, err = c.Get(ctx, op.Key)
		case storage.Set:
			err = c.Set(ctx, op.Key, op.Value)
		case storage.Delete:
			err = c.Delete(ctx, op.Key)
		default:
			err = fmt.Errorf("no such storage operation: %d", op.Type)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Walk visits every value; the operations that fn returns are applied when all have been seen.
func (c *client) Walk(ctx context.Context, fn storage.WalkFunc) error {
	var ops []*storage.Operation
	err := c.dir.Walk(func(key string, value []byte) error {
		more, err := fn(key, value)
		if err == nil || errors.Is(err, storage.SkipAll) {
			ops = append(ops, more...)
		}
		return err
	})
	if err != nil && !errors.Is(err, storage.SkipAll) {
		return err
	}
	return c.Batch(ctx, ops...)
}

// SetAside is for a component that finds its own value senseless, and is no part of the
// storage interface: ask for it with a type assertion. The value is kept for a person to look
// at, logged with the reason, and gone for Get.
func (c *client) SetAside(_ context.Context, key, reason string) error {
	return c.dir.SetAside(key, reason)
}

func (c *client) Close(context.Context) error { return nil }
