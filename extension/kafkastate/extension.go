package kafkastate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/monban/monban/extension/kafkastate/internal/metadata"
	"github.com/monban/monban/internal/shard"
)

// Config is what stands under `kafka_state:`.
type Config struct {
	// Topic is where states are kept: compacted, with as many partitions as the topic that is read.
	Topic string `mapstructure:"topic"`

	// Interval is how long what is written waits for its transaction to end, and how much is judged
	// again after a kill.
	Interval time.Duration `mapstructure:"interval"`

	// Unreadable is what to do with a state that can't be read, as it is of another version or damaged: stop, which
	// judges nothing of its partition until it can be read, or forget, which begins to learn anew.
	Unreadable string `mapstructure:"unreadable"`

	// prevent unkeyed literal initialization
	_ struct{}
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	if !topicName.MatchString(c.Topic) {
		errs = append(errs, fmt.Errorf("topic: %q can't be a topic; letters, digits, dot, underscore and hyphen can", c.Topic))
	}
	if c.Interval < 100*time.Millisecond || c.Interval > 2*time.Minute {
		errs = append(errs, fmt.Errorf("interval must be between 100ms and 2m, not %s", c.Interval))
	}
	if c.Unreadable != stop && c.Unreadable != forget {
		errs = append(errs, fmt.Errorf("unreadable must be %s or %s, not %q", stop, forget, c.Unreadable))
	}
	return errors.Join(errs...)
}

// What to do with a state that can't be read.
const (
	stop   = "stop"
	forget = "forget"
)

// NewFactory returns the factory of the extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type,
		func() component.Config {
			return &Config{Topic: "monban.state", Interval: 5 * time.Second, Unreadable: stop}
		},
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return &Extension{cfg: cfg.(*Config), log: set.Logger, holders: map[string]shard.Holder{}}, nil
		}, metadata.ExtensionStability)
}

// Extension knows who learns and who writes. It is a storage only so far that `storage` can name it: those
// that keep a value by itself, like queues, need another.
type Extension struct {
	cfg *Config
	log *zap.Logger

	mu      sync.Mutex
	holders map[string]shard.Holder
	topics  []string
	read    bool // by a receiver
}

var (
	_ shard.Registry    = (*Extension)(nil)
	_ shard.States      = (*Extension)(nil)
	_ storage.Extension = (*Extension)(nil)
)

// Start does nothing.
func (*Extension) Start(context.Context, component.Host) error { return nil }

// Shutdown does nothing.
func (*Extension) Shutdown(context.Context) error { return nil }

// GetClient refuses.
func (*Extension) GetClient(_ context.Context, _ component.Kind, id component.ID, _ string) (storage.Client, error) {
	return nil, fmt.Errorf("kafka_state keeps what is learned of a partition, and nothing else: give %s another storage, as state_storage", id)
}

// Hold implements [shard.Registry].
func (e *Extension) Hold(name string, h shard.Holder) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.holders[name] != nil {
		return fmt.Errorf("storage: %s is in two pipelines, so there are two of it, and their states would overwrite each other: give one an id of its own, as %s/2", name, name)
	}
	e.holders[name] = h
	return nil
}

// Write implements [shard.Registry].
func (e *Extension) Write(topics ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.topics = append(e.topics, topics...)
}

// Attach implements [shard.States].
func (e *Extension) Attach() (shard.Settings, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.read {
		return shard.Settings{}, errors.New("two receivers name the same kafka_state extension as their state; give each its own, with its own topic")
	}
	e.read = true
	return shard.Settings{Topic: e.cfg.Topic, Interval: e.cfg.Interval, Outputs: slices.Clone(e.topics), Forget: e.cfg.Unreadable == forget}, nil
}

// Checkpoint implements [shard.States].
func (e *Extension) Checkpoint(name string) (map[string][]byte, error) {
	all := map[string][]byte{}
	for holder, h := range e.all() {
		state, err := h.Checkpoint(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", holder, err)
		}
		if state != nil {
			all[holder] = state
		}
	}
	return all, nil
}

// Resume implements [shard.States].
func (e *Extension) Resume(name string, states map[string][]byte) (orphans []string, err error) {
	holders := e.all()
	for holder, state := range states {
		h := holders[holder]
		if h == nil {
			orphans = append(orphans, holder)
			continue
		}
		err := h.Resume(name, state)
		if err != nil && e.cfg.Unreadable == forget {
			e.log.Warn("The state of a site can't be read and is forgotten; learning begins anew.", zap.String("component", holder), zap.String("site", name), zap.Error(err))
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w; to begin anew, set unreadable: forget at kafka_state", holder, err)
		}
	}
	slices.Sort(orphans)
	return orphans, nil
}

// Forget implements [shard.States].
func (e *Extension) Forget(name string) {
	for _, h := range e.all() {
		h.Forget(name)
	}
}

func (e *Extension) all() map[string]shard.Holder {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.holders)
}
