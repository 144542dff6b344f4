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
	Flooded    uint64   // packets rolled up in floods
	Refused    uint64   // packets that could not be decoded
	Reasons    []string // why, "truncated=3"
	Dropped    uint64   // packets that the kernel dropped before we saw them
	Freezes    uint64   // times that a ring was full
	Missed     uint64   // packets that interfaces lost before the kernel gave them to us
	Unwanted   uint64   // copies of unknown peers
	Outages    uint64   // times that an interface had no link
	Fragments  uint64   // packets that were IP fragments
	Orphans    uint64   // of those, counted without ports
	Overlaps   uint64   // of those, with bytes that an earlier one had carried
	Incomplete uint64   // datagrams of which a fragment is missing
	ICMPErrors uint64   // ICMP errors
	ICMPLost   uint64   // of those, of no flow that is in the table
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
	event.Number("capture.flooded", "{packet}", "Packets rolled up in network.flood events", func(c *Capture) *uint64 { return &c.Flooded }),
	event.Number("capture.refused", "{packet}", "Packets that could not be decoded", func(c *Capture) *uint64 { return &c.Refused }),
	event.Texts("capture.refused_reasons", "Why, as reason=count", func(c *Capture) *[]string { return &c.Reasons }),
	event.Number("capture.dropped", "{packet}", "Packets that the kernel dropped before they were read", func(c *Capture) *uint64 { return &c.Dropped }),
	event.Number("capture.freezes", "{time}", "Times that the ring of an interface was full", func(c *Capture) *uint64 { return &c.Freezes }),
	event.Number("capture.missed", "{packet}", "Packets that interfaces lost before the kernel had them (rx_dropped, rx_missed_errors)", func(c *Capture) *uint64 { return &c.Missed }),
	event.Number("capture.unwanted", "{packet}", "Copies of unknown peers that were dropped", func(c *Capture) *uint64 { return &c.Unwanted }),
	event.Number("capture.outages", "{time}", "Times that an interface lost its link or was taken away", func(c *Capture) *uint64 { return &c.Outages }),
	event.Number("capture.fragments", "{packet}", "Packets that were IP fragments", func(c *Capture) *uint64 { return &c.Fragments }),
	event.Number("capture.orphan_fragments", "{packet}", "Fragments counted in flows without ports, as the first one of their datagram was not seen in time", func(c *Capture) *uint64 { return &c.Orphans }),
	event.Number("capture.overlapping_fragments", "{packet}", "Fragments with bytes that an earlier one of the datagram had carried", func(c *Capture) *uint64 { return &c.Overlaps }),
	event.Number("capture.incomplete_datagrams", "{datagram}", "Fragmented datagrams of which not all was seen within half a minute", func(c *Capture) *uint64 { return &c.Incomplete }),
	event.Number("capture.icmp_errors", "{packet}", "ICMP errors: unreachable, too big, time exceeded, parameter problem", func(c *Capture) *uint64 { return &c.ICMPErrors }),
	event.Number("capture.icmp_errors_unmatched", "{packet}", "ICMP errors that quote a packet of no flow in the table", func(c *Capture) *uint64 { return &c.ICMPLost }),
	event.Number("capture.sightings", "{sighting}", "Sightings written", func(c *Capture) *uint64 { return &c.Sightings }),
	event.Number("capture.suppressed", "{sighting}", "Sightings held back because they were too many", func(c *Capture) *uint64 { return &c.Suppressed }),
	event.Texts("capture.warnings", "What went wrong with the source", func(c *Capture) *[]string { return &c.Warnings }),
	event.Flag("capture.final", "The source has ended", func(c *Capture) *bool { return &c.Final }),
})
