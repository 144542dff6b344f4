package kafkaeventsreceiver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/monban/monban/internal/kafka"
	"github.com/monban/monban/internal/kafkaconfig"
	"github.com/monban/monban/internal/unitless"
)

// Encodings of messages whose header content-type says nothing.
const (
	encodingJSON = "json"
	encodingOTLP = "otlp_proto"
)

// Config says what to read, and with whom.
type Config struct {
	kafkaconfig.Config `mapstructure:",squash"`

	// Topics to read.
	Topics []string `mapstructure:"topics"`

	// GroupID is that of the consumer group, whose members share the partitions. With topic and partition it makes
	// the transactional ids.
	GroupID string `mapstructure:"group_id"`

	// State names the kafka_state extension.
	State *component.ID `mapstructure:"state"`

	// Encoding is json or otlp_proto, of messages whose header content-type does not tell.
	Encoding string `mapstructure:"encoding"`

	// SessionTimeout is how long a member may be silent before its partitions go to others.
	SessionTimeout time.Duration `mapstructure:"session_timeout"`

	// MaxSites is how many keys are told apart in one partition, and have an engine each.
	MaxSites int `mapstructure:"max_sites"`

	// CreateTopics makes topics that are missing: those to read, those that are written in transactions, and that of
	// states.
	CreateTopics configoptional.Optional[kafkaconfig.TopicConfig] `mapstructure:"create_topics"`

	// Compression of what is written: zstd, lz4, snappy, gzip or none.
	Compression string `mapstructure:"compression"`

	// MaxMessageBytes is how large a batch that is written may be before it is compressed.
	MaxMessageBytes int `mapstructure:"max_message_bytes"`

	// ShutdownGrace is how long the end of the Collector waits for the last checkpoint.
	ShutdownGrace time.Duration `mapstructure:"shutdown_grace"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	return &Config{
		Config: kafkaconfig.NewDefaultConfig(), Encoding: encodingOTLP,
		GroupID: "monban", SessionTimeout: 15 * time.Second, MaxSites: 1000,
		CreateTopics: kafkaconfig.NewDefaultTopics(), Compression: "zstd", MaxMessageBytes: 1000000, ShutdownGrace: 20 * time.Second,
	}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	errs := []error{unitless.Check(c)}
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Topics) == 0 || slices.Contains(c.Topics, "") {
		add("topics must name at least one topic, as monban.edge")
	}
	if c.GroupID == "" {
		add("group_id must be set: the name under which processes share the work")
	}
	if c.State == nil {
		add("state must name a kafka_state extension, where the position is kept, and what is learned")
	}
	if c.Encoding != encodingJSON && c.Encoding != encodingOTLP {
		add("encoding must be %s or %s, not %q", encodingJSON, encodingOTLP, c.Encoding)
	}
	if c.SessionTimeout < time.Second || c.SessionTimeout > 10*time.Minute {
		add("session_timeout must be between 1s and 10m, not %s; brokers allow 6s to 30m unless they are told otherwise", c.SessionTimeout)
	}
	if c.MaxSites < 1 {
		add("max_sites must be 1 or more")
	}
	if !slices.Contains(kafka.Compressions, c.Compression) {
		add("compression must be one of %s, not %q", strings.Join(kafka.Compressions, ", "), c.Compression)
	}
	if c.MaxMessageBytes < 16384 || c.MaxMessageBytes > 1<<30 {
		add("max_message_bytes must be between 16384 and 1073741824, not %d", c.MaxMessageBytes)
	}
	if c.ShutdownGrace < 0 {
		add("shutdown_grace can't be negative")
	}
	return errors.Join(errs...)
}
