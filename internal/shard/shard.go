// Package shard lets one component hold an engine for each shard of the data, whose states move
// between processes. A shard is what one engine sees in order and no other sees: with
// Kafka, the records of one key in one partition.
//
// A receiver that reads shards marks the context of what it hands on with [In]. The chain behind it
// is synchronous, so when the call returns, every component has done its part, and a [Registry], which is a storage
// extension, can ask all of them for a state of the same moment. Components that are not told of shards
// have one engine, as ever.
package shard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
)

type key struct{}

// In gives a context in which records are of this shard. Name must not be "".
func In(ctx context.Context, name string) context.Context { return context.WithValue(ctx, key{}, name) }

// Of is the shard of a context, "" for none.
func Of(ctx context.Context) string {
	name, _ := ctx.Value(key{}).(string)
	return name
}

// Engine is what a component holds for each shard.
type Engine interface {
	// Checkpoint gives all of the engine's state.
	Checkpoint() ([]byte, error)
	// Resume puts it back into a new engine, which goes on as if nothing had been. After an error the engine is dropped.
	Resume(state []byte) error
}

// Holder is a component that holds engines.
type Holder interface {
	// Checkpoint gives the state of the shard's engine, nil if there is none.
	Checkpoint(shard string) ([]byte, error)
	// Resume makes the shard's engine of a state.
	Resume(shard string, state []byte) error
	// Forget drops the shard's engine, if there is one.
	Forget(shard string)
}

// Registry is an extension that knows the holders of shards.
type Registry interface {
	// Hold adds a holder under a name that is the same in every process, and of one holder.
	Hold(name string, h Holder) error
	// Write notes topics that are written while a shard's records are worked on.
	Write(topics ...string)
}

// Find gives the registry that a component's storage is; nil if the component keeps nothing, or in a
// storage that is not about shards.
func Find(host component.Host, storage *component.ID) Registry {
	if storage == nil {
		return nil
	}
	r, _ := host.GetExtensions()[*storage].(Registry)
	return r
}

// Engines are a component's engines. Make one with [New].
type Engines[E Engine] struct {
	one     E
	make    func() E
	retire  func(E)
	mu      sync.RWMutex
	sharded bool
	all     map[string]E
}

// New makes engines, of which there is one until [Engines.Join] is called. Retire is told of each that is dropped, for
// what is to be counted beyond it; it may be nil.
func New[E Engine](make func() E, retire func(E)) *Engines[E] {
	if retire == nil {
		retire = func(E) {}
	}
	return &Engines[E]{make: make, retire: retire, one: make(), all: map[string]E{}}
}

// Join has an engine for each shard from now on. The name is that of the component, of which there must be one
// instance.
func (e *Engines[E]) Join(r Registry, kind component.Kind, id component.ID) error {
	e.mu.Lock()
	e.sharded = true
	e.mu.Unlock()
	return r.Hold(fmt.Sprintf("%s/%s", kind, id), e)
}

// One is the engine of a component that is not about shards.
func (e *Engines[E]) One() E { return e.one }

var (
	// ErrNoShard is returned for records that no shard is told of.
	ErrNoShard = errors.New("records came without their partition, so what is learned of them can't move with it: between the kafka_events receiver and this component there must be " +
		"nothing that lets records wait (batch, groupbytrace, a queue), and no other receiver may feed it; else use another storage")
	// ErrStorage is returned for records of a shard where states are kept otherwise.
	ErrStorage = errors.New("records came from partitions whose state moves with them, so `storage` must be the extension that the kafka_events receiver names as its `state`")
	// ErrAlone is returned for records of a shard by components that have no engine for each.
	ErrAlone = errors.New("records came from partitions whose state moves with them, but this component has one state for all, which stays: " +
		"have it in the pipeline of the edge, before Kafka, or read what gateways write with another receiver (kafka) in a process of its own")
)

// Alone is for components whose state does not move: it refuses the records of a shard.
func Alone(ctx context.Context) error {
	if Of(ctx) != "" {
		return ErrAlone
	}
	return nil
}

// Of gives the engine for the records of a context.
func (e *Engines[E]) Of(ctx context.Context) (E, error) {
	name := Of(ctx)
	e.mu.RLock()
	sharded, engine, ok := e.sharded, e.one, true
	if sharded {
		engine, ok = e.all[name]
	}
	e.mu.RUnlock()
	switch {
	case !sharded && name == "":
		return engine, nil
	case !sharded:
		return engine, ErrStorage
	case ok:
		return engine, nil
	case name == "":
		return engine, ErrNoShard
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if engine, ok = e.all[name]; !ok {
		engine = e.make()
		e.all[name] = engine
	}
	return engine, nil
}

// Each calls do with each engine there is.
func (e *Engines[E]) Each(do func(E)) {
	e.mu.RLock()
	all := []E{e.one}
	if e.sharded {
		all = slices.Collect(maps.Values(e.all))
	}
	e.mu.RUnlock() // one engine that is busy must not hold up the others
	for _, engine := range all {
		do(engine)
	}
}

// Checkpoint implements [Holder].
func (e *Engines[E]) Checkpoint(name string) ([]byte, error) {
	e.mu.RLock()
	engine, ok := e.all[name]
	e.mu.RUnlock()
	if !ok {
		return nil, nil
	}
	return engine.Checkpoint()
}

// Resume implements [Holder].
func (e *Engines[E]) Resume(name string, state []byte) error {
	engine := e.make()
	if err := engine.Resume(state); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all[name] = engine
	return nil
}

// Forget implements [Holder].
func (e *Engines[E]) Forget(name string) {
	e.mu.Lock()
	engine, ok := e.all[name]
	delete(e.all, name)
	e.mu.Unlock()
	if ok {
		e.retire(engine)
	}
}

// Settings are what the reader of shards has to know.
type Settings struct {
	Topic    string        // where states are kept
	Interval time.Duration // between two checkpoints
	Outputs  []string      // topics that are written meanwhile
	Forget   bool          // begin anew where what is kept is damaged
}

// States are those of all holders, as the reader of shards sees them.
type States interface {
	// Attach makes the caller the reader, of whom there is one. All holders and writers must be known.
	Attach() (Settings, error)
	// Checkpoint gives the states of a shard, by holder.
	Checkpoint(shard string) (map[string][]byte, error)
	// Resume gives them back. Orphans are those whose component is no more.
	Resume(shard string, states map[string][]byte) (orphans []string, err error)
	// Forget drops all engines of a shard.
	Forget(shard string)
}
