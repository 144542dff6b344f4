//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package kafkaeventsreceiver hands on what kafka_events exporters wrote to a topic, partition by partition, in
// order, so that gateways of one consumer group share the work and each record counts once.
//
// It promises that what components behind it learn of a partition, what exporters write in its transactions, and the
// offset that both cover are of one moment, whoever is killed when. Package kafka says how. It gives up latency
// for that: readers see what was written when the next checkpoint is.
package kafkaeventsreceiver
