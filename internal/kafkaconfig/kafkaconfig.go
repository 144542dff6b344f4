// Package kafkaconfig is how components are told where a Kafka cluster is and how to speak to it: one set of settings for
// whoever reads and whoever writes.
package kafkaconfig

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"

	"github.com/monban/monban/internal/kafka"
)

// Config says where the cluster is.
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

// NewDefaultConfig is for a broker on this machine.
func NewDefaultConfig() Config {
	return Config{Brokers: []string{"127.0.0.1:9092"}, ClientID: "monban", TLS: configoptional.Default(configtls.NewDefaultClientConfig())}
}

// NewDefaultTopics makes no topics unless they are asked for, and then some that can grow with the number of readers.
func NewDefaultTopics() configoptional.Optional[TopicConfig] {
	return configoptional.Default(TopicConfig{Partitions: 12, ReplicationFactor: -1})
}

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
		if c.SASL.Password == "" {
			add("sasl::password must be set with sasl::mechanism; if it comes from the environment, the variable is empty or not there")
		}
	default:
		add("sasl::mechanism must be %s, %s or %s, not %q", kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512, c.SASL.Mechanism)
	}
	return errors.Join(errs...)
}

// Validate is for create_topics.
func (t *TopicConfig) Validate() error {
	if t.Partitions < 1 || t.ReplicationFactor < -1 || t.ReplicationFactor == 0 {
		return errors.New("create_topics needs partitions of 1 or more, and a replication_factor of 1 or more, or -1 for the cluster's default")
	}
	return nil
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

// Client gives what the cluster's clients need.
func (c *Config) Client(ctx context.Context, topics configoptional.Optional[TopicConfig]) (kafka.Config, error) {
	cfg := kafka.Config{
		Brokers: c.brokers(), ClientID: c.ClientID,
		Mechanism: c.SASL.Mechanism, Username: c.SASL.Username, Password: string(c.SASL.Password),
	}
	if c.TLS.HasValue() {
		tls, err := c.TLS.Get().LoadTLSConfig(ctx)
		if err != nil {
			return cfg, err
		}
		cfg.TLS = tls
	}
	if topics.HasValue() {
		t := topics.Get()
		cfg.Create, cfg.Partitions, cfg.Replicas = true, t.Partitions, t.ReplicationFactor
	}
	return cfg, nil
}
