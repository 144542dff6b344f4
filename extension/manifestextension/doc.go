//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package manifestextension tells what the running Collector is made of and how it fares: as JSON at a local
// address, and to the manifest receiver, which makes records of it.
//
// It promises what internal/manifest does: no secrets, a bounded size, events by their published schemas. It
// gives up history: it knows what is, not what was. An answer never waits for a pipeline.
package manifestextension
