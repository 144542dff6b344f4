package kafkaeventsexporter

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/monban/monban/internal/kafka"
	"github.com/monban/monban/internal/kafkaconfig"
	"github.com/monban/monban/internal/reference"
	"github.com/monban/monban/internal/unitless"
)

// How records become messages.
const (
	encodingJSON = "json"       // one record a message, by the schemas in schema/
	encodingOTLP = "otlp_proto" // the records of one topic and key in a batch, as OTLP protobuf
)

// Config says where events go and how.
type Config struct {
	kafkaconfig.Config `mapstructure:",squash"`

	// TopicPrefix comes before the name of each kind: monban. makes monban.flows, monban.reports, …
	TopicPrefix string `mapstructure:"topic_prefix"`

	// Topic is one topic for all events, which keeps their order, in place of one for each kind.
	Topic string `mapstructure:"topic"`

	// Topics names topics of events otherwise: {network.flow: netflow}.
	Topics map[string]string `mapstructure:"topics"`

	// Key lists attributes of the record and its resource: the first that is there is the message's key.
	Key []string `mapstructure:"key"`

	// Encoding is json or otlp_proto.
	Encoding string `mapstructure:"encoding"`

	// TransactionalID makes each batch a transaction and keeps a restart from sending one twice. Each
	// exporter needs its own, the same at each start.
	TransactionalID string `mapstructure:"transactional_id"`

	// Transaction names the kafka_state extension in whose transactions records are written: those in which
	// the partitions that they came from are judged. The receiver of these has the connection, so nothing else of the cluster is
	// asked for here, and there is no queue.
	Transaction *component.ID `mapstructure:"transaction"`

	// CreateTopics makes topics that are missing.
	CreateTopics configoptional.Optional[kafkaconfig.TopicConfig] `mapstructure:"create_topics"`

	// Compression is zstd, lz4, snappy, gzip or none.
	Compression string `mapstructure:"compression"`

	// MaxMessageBytes is how large a batch may be before it is compressed. What a topic says is
	// heeded besides, where it may be asked.
	MaxMessageBytes int `mapstructure:"max_message_bytes"`

	// ShutdownGrace is how long the end of the Collector waits for what is on its way.
	ShutdownGrace time.Duration `mapstructure:"shutdown_grace"`

	QueueConfig configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	RetryConfig configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// topicName is what Kafka allows.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	errs := []error{unitless.Check(c)}
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	known := []string{reference.Other}
	for _, e := range reference.Events() {
		known = append(known, e.Name)
	}
	for name, topic := range c.Topics {
		if !slices.Contains(known, name) {
			add("topics: there is no event %q, only %s", name, strings.Join(known, ", "))
		}
		if !topicName.MatchString(topic) {
			add("topics::%s: %q can't be a topic; letters, digits, dot, underscore and hyphen can", name, topic)
		}
	}
	if !topicName.MatchString(c.TopicPrefix + "x") {
		add("topic_prefix: %q can't begin a topic; letters, digits, dot, underscore and hyphen can", c.TopicPrefix)
	}
	if c.Encoding != encodingJSON && c.Encoding != encodingOTLP {
		add("encoding must be %s or %s, not %q", encodingJSON, encodingOTLP, c.Encoding)
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
	if c.Topic != "" && !topicName.MatchString(c.Topic) {
		add("topic: %q can't be a topic; letters, digits, dot, underscore and hyphen can", c.Topic)
	}
	if c.Topic != "" && len(c.Topics) > 0 {
		add("topic takes all events, so topics must be empty")
	}
	if c.Transaction != nil && c.TransactionalID != "" {
		add("transactional_id must be empty with transaction: the receiver of the records has one for each partition")
	}
	if c.Transaction != nil && c.CreateTopics.HasValue() {
		add("create_topics must not be set with transaction: the receiver of the records makes topics, if it is told to")
	}
	if q := c.QueueConfig; q.HasValue() && c.TransactionalID != "" && q.Get().NumConsumers > 1 {
		add("sending_queue::num_consumers must be 1 with transactional_id: one transaction at a time")
	}
	return errors.Join(errs...)
}

// topic is where an event goes; file is its name in the plural.
func (c *Config) topic(event, file string) string {
	if t := cmp.Or(c.Topic, c.Topics[event]); t != "" {
		return t
	}
	return c.TopicPrefix + file
}
