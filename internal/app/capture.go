package app

import "github.com/monban/monban/internal/event"

// Capture is how the meter itself fares: written at its end, and now and then
// while it is live. Counts are totals since the start, so the last one stands.
type Capture struct {
	Time       int64 // Unix nanoseconds; the log record's timestamp
	Source     string
	First      int64
	Last       int64
	Packets    uint64
	Bytes      uint64
	Flows      uint64
	Records    uint64
	Evicted    uint64
	Refused    uint64   // packets that could not be decoded
	Reasons    []string // why, "truncated=3"
	Dropped    uint64   // packets that the kernel dropped before we saw them
	Freezes    uint64   // times that a ring was full
	Missed     uint64   // packets that interfaces lost before the kernel gave them to us
	Unwanted   uint64   // copies of unknown peers
	Outages    uint64   // times that an interface had no link
	Sightings  uint64
	Suppressed uint64 // sightings held back because they were too many
	Warnings   []string
	Final      bool
}

// Captures is the one definition of a capture event.
var Captures = event.NewTable("network.capture", "How the meter fares: totals since its start.", []event.Field[Capture]{
	event.Text("capture.source", "Files or interfaces", func(c *Capture) *string { return &c.Source }),
	event.Instant("capture.first", "First packet", func(c *Capture) *int64 { return &c.First }),
	event.Instant("capture.last", "Last packet", func(c *Capture) *int64 { return &c.Last }),
	event.Number("capture.packets", "{packet}", "Packets read", func(c *Capture) *uint64 { return &c.Packets }),
	event.Number("capture.bytes", "By", "Their length on the wire", func(c *Capture) *uint64 { return &c.Bytes }),
	event.Number("capture.flows", "{flow}", "Flows begun", func(c *Capture) *uint64 { return &c.Flows }),
	event.Number("capture.records", "{record}", "Flow records written", func(c *Capture) *uint64 { return &c.Records }),
	event.Number("capture.evicted", "{flow}", "Flows ended early because the table was full", func(c *Capture) *uint64 { return &c.Evicted }),
	event.Number("capture.refused", "{packet}", "Packets that could not be decoded", func(c *Capture) *uint64 { return &c.Refused }),
	event.Texts("capture.refused_reasons", "Why, as reason=count", func(c *Capture) *[]string { return &c.Reasons }),
	event.Number("capture.dropped", "{packet}", "Packets that the kernel dropped before they were read", func(c *Capture) *uint64 { return &c.Dropped }),
	event.Number("capture.freezes", "{time}", "Times that the ring of an interface was full", func(c *Capture) *uint64 { return &c.Freezes }),
	event.Number("capture.missed", "{packet}", "Packets that interfaces lost before the kernel had them (rx_dropped, rx_missed_errors)", func(c *Capture) *uint64 { return &c.Missed }),
	event.Number("capture.unwanted", "{packet}", "Copies of unknown peers that were dropped", func(c *Capture) *uint64 { return &c.Unwanted }),
	event.Number("capture.outages", "{time}", "Times that an interface lost its link or was taken away", func(c *Capture) *uint64 { return &c.Outages }),
	event.Number("capture.sightings", "{sighting}", "Sightings written", func(c *Capture) *uint64 { return &c.Sightings }),
	event.Number("capture.suppressed", "{sighting}", "Sightings held back because they were too many", func(c *Capture) *uint64 { return &c.Suppressed }),
	event.Texts("capture.warnings", "What went wrong with the source", func(c *Capture) *[]string { return &c.Warnings }),
	event.Flag("capture.final", "The source has ended", func(c *Capture) *bool { return &c.Final }),
})
