//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package kafkastate lets what components have learned of a Kafka partition move with it. As a storage it is
// named by those who learn, as `transaction` by those who write, and as `state` by the kafka_events receiver, which does the
// work: package kafka says how.
package kafkastate
