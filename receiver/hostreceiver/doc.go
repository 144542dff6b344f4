//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package hostreceiver turns what package host reads of the computer it runs on into
// metrics, by the names of OpenTelemetry's semantic conventions, and what changes of it that
// matters for security into events.
//
// It promises the settings and scrapers of the host metrics receiver that collectors have,
// so that its configurations run here; a reading at each interval, less what could not be
// read, which is counted; and that a restart tells again only what has changed meanwhile.
// It gives up other systems than Linux for processes and security.
package hostreceiver
