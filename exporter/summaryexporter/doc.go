//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package summaryexporter gathers all events and prints a summary for people when
// the Collector stops; on demand also a line for each report as it happens. What
// it gathers and how it tells it is in internal/summary, whose promises hold here:
// bounded memory, and nothing from the wire that the terminal would obey.
package summaryexporter
