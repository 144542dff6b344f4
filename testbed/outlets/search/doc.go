// Package search holds that no record which the elasticsearch exporter has accepted is lost or
// doubled, whatever happens to Elasticsearch, OpenSearch, the way there, or our own process. What
// was accepted is compared with what arrived, record by record.
package search
