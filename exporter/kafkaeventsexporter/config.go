package kafkaeventsexporter

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/monban/monban/internal/kafka"
	"github.com/monban/monban/internal/reference"
)

// How records become messages.
const (
	encodingJSON = "json"       // one record a message, by the schemas in schema/
	encodingOTLP = "otlp_proto" // the records of one topic and key in a batch, as OTLP protobuf
)

// Config says where events go and how.
type Config struct {
	// Brokers are some of the cluster's, as host:port, several to an item with commas between; the
	// others are learned from them.
	Brokers []string `mapstructure:"brokers"`

	// ClientID names this program to the brokers.
	ClientID string `mapstructure:"client_id"`

	// TLS secures connections; without it they are plain.
	TLS configoptional.Optional[configtls.ClientConfig] `mapstructure:"tls"`

	// SASL says who we are.
	SASL SASLConfig `mapstructure:"sasl"`

	// TopicPrefix comes before the name of each kind: monban. makes monban.flows, monban.reports, …
	TopicPrefix string `mapstructure:"topic_prefix"`

	// Topics names topics of events otherwise: {network.flow: netflow}.
	Topics map[string]string `mapstructure:"topics"`

	// Key lists attributes of the record and its resource: the first that is there is the message's key.
	Key []string `mapstructure:"key"`

	// Encoding is json or otlp_proto.
	Encoding string `mapstructure:"encoding"`

	// TransactionalID makes each batch a transaction and keeps a restart from sending one twice. Each
	// exporter needs its own, the same at each start.
	TransactionalID string `mapstructure:"transactional_id"`

	// CreateTopics makes topics that are missing.
	CreateTopics configoptional.Optional[TopicConfig] `mapstructure:"create_topics"`

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

// SASLConfig is a name and a password.
type SASLConfig struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty for none.
	Mechanism string              `mapstructure:"mechanism"`
	Username  string              `mapstructure:"username"`
	Password  configopaque.String `mapstructure:"password"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// TopicConfig is how topics are made.
type TopicConfig struct {
	// Partitions of each topic.
	Partitions int `mapstructure:"partitions"`

	// ReplicationFactor of each topic, -1 for the cluster's default.
	ReplicationFactor int `mapstructure:"replication_factor"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// topicName is what Kafka allows.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		add("brokers must name at least one broker, as host:9092")
	}
	for _, b := range c.brokers() {
		if b == "" || strings.ContainsAny(b, " \t\"'/") {
			add("brokers: %q is no host:port", b)
		}
	}
	switch c.SASL.Mechanism {
	case "":
		if c.SASL.Username != "" || c.SASL.Password != "" {
			add("sasl::username and sasl::password do nothing without sasl::mechanism")
		}
	case kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512:
		if c.SASL.Username == "" {
			add("sasl::username must be set with sasl::mechanism")
		}
	default:
		add("sasl::mechanism must be %s, %s or %s, not %q", kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512, c.SASL.Mechanism)
	}
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
	if c.CreateTopics.HasValue() {
		if t := c.CreateTopics.Get(); t.Partitions < 1 || t.ReplicationFactor < -1 || t.ReplicationFactor == 0 {
			add("create_topics needs partitions of 1 or more, and a replication_factor of 1 or more, or -1 for the cluster's default")
		}
	}
	if q := c.QueueConfig; q.HasValue() && c.TransactionalID != "" && q.Get().NumConsumers > 1 {
		add("sending_queue::num_consumers must be 1 with transactional_id: one transaction at a time")
	}
	return errors.Join(errs...)
}

// brokers are those of all items.
func (c *Config) brokers() (all []string) {
	for _, item := range c.Brokers {
		for b := range strings.SplitSeq(item, ",") {
			all = append(all, strings.TrimSpace(b))
		}
	}
	return all
}

// topic is where an event goes; file is its name in the plural.
func (c *Config) topic(event, file string) string {
	if t := c.Topics[event]; t != "" {
		return t
	}
	return c.TopicPrefix + file
}
