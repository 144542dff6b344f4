// Package keep saves what a component learned through a storage extension, and
// gives it back at the next start. It promises that a state which can't be used
// is set aside, said in the log, and never half used; it gives up freshness: what
// came after the last save is gone after a crash.
package keep

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/run"
)

// State is what a component has to keep.
type State interface {
	Snapshot() ([]byte, error)
	Restore([]byte) error
}

// Keeper saves one State. The zero Keeper, and a nil one, keep nothing.
type Keeper struct {
	client storage.Client
	log    *zap.Logger
	every  time.Duration
	saved  time.Time
}

const key = "state"

// Open finds the storage extension and restores the state from it. With a nil
// storage it keeps nothing.
func Open(ctx context.Context, host component.Host, use *component.ID, kind component.Kind, id component.ID, every time.Duration, s State, log *zap.Logger) (*Keeper, error) {
	if use == nil {
		return nil, nil
	}
	ext, ok := host.GetExtensions()[*use]
	if !ok {
		return nil, fmt.Errorf("storage: there is no extension %q; define it under extensions and list it under service.extensions", use)
	}
	st, ok := ext.(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("storage: extension %q is not a storage extension", use)
	}
	client, err := st.GetClient(ctx, kind, id, "")
	if err != nil {
		return nil, fmt.Errorf("storage: opening %q: %w", use, err)
	}
	k := &Keeper{client: client, log: log, every: every, saved: time.Now()}
	data, err := client.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("storage: reading the learned state: %w", err)
	}
	if len(data) == 0 {
		return k, nil
	}
	if err := s.Restore(data); err != nil {
		log.Warn("The learned state can't be used and is set aside; learning begins anew.", zap.Error(err))
		if err := k.setAside(ctx, data, err.Error()); err != nil {
			return nil, fmt.Errorf("storage: setting the unusable state aside: %w", err)
		}
	}
	return k, nil
}

// SaveIfDue saves when the last save is longer ago than the interval.
func (k *Keeper) SaveIfDue(ctx context.Context, s State) {
	if k == nil || k.every <= 0 || time.Since(k.saved) < k.every {
		return
	}
	if err := k.save(ctx, s); err != nil {
		k.log.Error("The learned state could not be saved; it is tried again.", zap.Error(err))
	}
}

// setAside keeps an unusable value for a person to look at: in the storage's own
// way where it has one, as our state storage does, else under another key.
func (k *Keeper) setAside(ctx context.Context, data []byte, reason string) error {
	if own, ok := k.client.(interface {
		SetAside(ctx context.Context, key, reason string) error
	}); ok {
		return own.SetAside(ctx, key, reason)
	}
	if err := k.client.Set(ctx, key+".rejected", data); err != nil {
		return err
	}
	return k.client.Delete(ctx, key)
}

func (k *Keeper) save(ctx context.Context, s State) error {
	k.saved = time.Now()
	data, err := s.Snapshot()
	if err != nil {
		return err
	}
	return k.client.Set(ctx, key, data)
}

// Close saves for the last time. It is safe to call twice.
func (k *Keeper) Close(ctx context.Context, s State) error {
	if k == nil || k.client == nil {
		return nil
	}
	err := k.save(ctx, s)
	if cerr := k.client.Close(ctx); err == nil {
		err = cerr
	}
	k.client = nil
	if err != nil {
		// Not left to the caller: an exit code of its own (fail_on) would hide the error it returns.
		k.log.Error("The learned state could not be saved; the next start goes on from the save before.", zap.Error(err))
		run.SetExitCode(run.ExitError)
		return fmt.Errorf("saving the learned state: %w", err)
	}
	return nil
}
