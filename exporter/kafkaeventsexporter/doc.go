//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package kafkaeventsexporter writes every log record to the Kafka topic of its event, keyed by the
// device that it is about.
//
// It promises, with a queue on disk, that what was accepted is on Kafka once: whatever happens to
// brokers, network and this process, as long as the disk lives; with transactional_id also not
// twice. Records of one device stay in order. What the cluster never takes and what a full queue
// gives up is counted by kind and said. It blocks its caller only if the queue is told to. It gives
// up metrics and traces, the scope of a record in JSON, and more than one request at a time.
package kafkaeventsexporter
