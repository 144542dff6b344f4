package kafka

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Mechanisms of SASL.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Compressions that a producer can use, the first by default.
var Compressions = []string{"zstd", "lz4", "snappy", "gzip", "none"}

// Config says where the cluster is and how to speak to it.
type Config struct {
	Brokers  []string
	ClientID string
	TLS      *tls.Config // nil for none

	Mechanism          string // of SASL, "" for none
	Username, Password string

	Compression     string
	MaxMessageBytes int    // of a batch before compression; a larger message is refused
	TransactionalID string // "" for no transactions
	MarkTopic       string // where transactions leave their marks

	Create     bool // topics that are missing
	Partitions int  // of those
	Replicas   int  // of those; -1 for as many as the cluster's default says
}

// options are what every client of the cluster needs.
func (c *Config) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.DisableClientMetrics(), // some brokers say that they take them, and do not
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(backoff),
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	var m sasl.Mechanism
	switch c.Mechanism {
	case "":
		return opts, nil
	case Plain:
		m = plain.Auth{User: c.Username, Pass: c.Password}.AsMechanism()
	case ScramSHA256:
		m = scram.Auth{User: c.Username, Pass: c.Password}.AsSha256Mechanism()
	case ScramSHA512:
		m = scram.Auth{User: c.Username, Pass: c.Password}.AsSha512Mechanism()
	default:
		return nil, fmt.Errorf("there is no SASL mechanism %q here", c.Mechanism)
	}
	return append(opts, kgo.SASL(m)), nil
}

// backoff is how long to wait before the nth attempt.
func backoff(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 6), 5*time.Second)
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "lz4":
		return kgo.Lz4Compression()
	case "snappy":
		return kgo.SnappyCompression()
	case "gzip":
		return kgo.GzipCompression()
	case "none":
		return kgo.NoCompression()
	}
	return kgo.ZstdCompression()
}
