// Package elastic knows how our events lie in Elasticsearch and OpenSearch: in which data stream,
// under which field of the Elastic Common Schema (ECS), with which mapping; which templates and
// lifecycle that takes; and how to talk to the bulk interface of several nodes.
//
// The mapping comes from the tables of events, the same that the encoder follows. [Client] promises
// a verdict for each document of a bulk request, or an error for all of them that says what to do;
// it drops nothing and repeats nothing by itself but at another node. It gives up whatever only
// one of the two servers has: field types, ingest pipelines, runtime fields.
package elastic

//go:generate go run ./generate ../..
