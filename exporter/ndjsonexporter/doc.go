//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package ndjsonexporter writes every log record as one flat JSON object a line,
// with the keys of the published field reference.
//
// It promises whole lines, also after a full disk, and that a record is either
// written when its call returns or counted as lost and said to be. It blocks its
// caller while it writes, which is what keeps a file source from losing anything.
// It gives up durability against loss of power (nothing is synced) and the scope
// of a record.
package ndjsonexporter
