// Package elasticsearchexporter sends log records and metrics to Elasticsearch or OpenSearch, into
// data streams by kind of event. See package elastic for how documents lie there.
//
// It promises that a record it took is there at least once when the Collector's queue has it on a
// disk, and exactly once by its id: what was sent twice is there once. A record that a server
// refuses for what it holds goes to the dead letters with the reason. It gives up order between
// records.
package elasticsearchexporter

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
