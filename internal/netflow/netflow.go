// Package netflow turns what routers and switches export over UDP (NetFlow v5 and
// v9, IPFIX, sFlow v5) into the flow records of package flow.
//
// It promises that a datagram is told apart by its content; that each record in it
// becomes part of a flow record or is counted with a [Reason]; that every table is
// bounded, whoever sends; and that it neither panics nor loops on what the wire
// says. Counts of sampled flows are multiplied by the interval, which the record
// states; none is ever above 2^53, which no line can send. Two records that tell of the two directions of one conversation become
// one when both come within a time.
//
// It gives up what an exporter does not tell: payload, sizes of single packets,
// retransmissions. It reads no clock and opens no socket: times are given to it.
// The decoders are written here because every record passes them: they allocate
// nothing per record, and are checked against those of another project in tests.
package netflow

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Config bounds a [Collector] and says what is known of the exporters.
type Config struct {
	Exporters         []Known       // the first that contains an exporter's address counts
	RefuseUnknown     bool          // whom Exporters does not name
	MaxExporters      int           // at once
	MaxTemplates      int           // of one exporter
	MaxWaiting        int           // one-way records that wait for the other direction
	PairWait          time.Duration // how long they do; 0 for not at all
	TemplateWait      time.Duration // how long data waits for its template
	AggregateInterval time.Duration // over which sFlow's samples become one record
	MaxClockSkew      time.Duration // an exporter's clock that is farther off is corrected; 0 for never
	CommunityID       bool          // compute the Community ID of each record
}

// Known is what the user says of an exporter.
type Known struct {
	Prefix   netip.Prefix
	Name     string
	Sampling uint32 // overrides what the exporter says; 0 for not
	Refuse   bool
}

// NewDefaultConfig gives bounds that suit some dozens of exporters.
func NewDefaultConfig() Config {
	return Config{
		MaxExporters:      256,
		MaxTemplates:      256,
		MaxWaiting:        65536,
		PairWait:          10 * time.Second,
		TemplateWait:      time.Minute,
		AggregateInterval: time.Minute,
		MaxClockSkew:      time.Hour,
		CommunityID:       true,
	}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	number := func(key string, is, low, high int, words string) {
		if is < low || is > high {
			errs = append(errs, errors.New(key+" must be between "+words))
		}
	}
	number("max_exporters", c.MaxExporters, 1, 65536, "1 and 65536")
	number("max_templates", c.MaxTemplates, 1, 65536, "1 and 65536")
	number("max_waiting", c.MaxWaiting, 16, 1<<24, "16 and 16777216")
	duration := func(key string, is, low, high time.Duration, words string) {
		if is < low || is > high {
			errs = append(errs, errors.New(key+" must be between "+words))
		}
	}
	duration("pair_wait", c.PairWait, 0, 10*time.Minute, "0s and 10m")
	duration("template_wait", c.TemplateWait, 0, 10*time.Minute, "0s and 10m")
	duration("aggregate_interval", c.AggregateInterval, time.Second, time.Hour, "1s and 1h")
	if c.MaxClockSkew != 0 {
		duration("max_clock_skew", c.MaxClockSkew, time.Second, 366*24*time.Hour, "1s and 8784h, or 0 for never")
	}
	return errors.Join(errs...)
}

// Reason says why something that came is in no record.
type Reason uint8

// Reasons. Their String is the label of the counter.
const (
	UnknownProtocol Reason = iota // a datagram that is none of the four
	Malformed                     // a datagram, set or sample whose lengths lie
	UnknownExporter               // a datagram of someone who is refused
	ExporterLimit                 // a datagram of one exporter too many
	Duplicate                     // a datagram that came twice
	NoTemplate                    // a data set whose template never came
	BadTemplate                   // a template that can't be, or is too large
	TemplateLimit                 // a template forgotten because its exporter has too many
	NotAFlow                      // a data record without ends
	Empty                         // a data record that counts nothing
	Implausible                   // a data record or sample that counts more than a line can send
	Undecodable                   // a sampled packet that can't be decoded
	CounterSample                 // sFlow's counters of interfaces, which are passed over
	reasonCount
)

var reasons = [reasonCount]string{
	"unknown_protocol", "malformed", "unknown_exporter", "exporter_limit", "duplicate", "no_template", "bad_template",
	"template_limit", "not_a_flow", "empty", "implausible", "undecodable", "counter_sample",
}

// String is the reason's counter label.
func (r Reason) String() string { return reasons[r] }

// Reasons lists all of them.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// Protocol is one of the four.
type Protocol uint8

// Protocols. The numbers of NetFlow and IPFIX are those in their headers.
const (
	SFlow5 Protocol = 1
	V5     Protocol = 5
	V9     Protocol = 9
	IPFIX  Protocol = 10
)

// Protocols lists all of them.
func Protocols() []Protocol { return []Protocol{V5, V9, IPFIX, SFlow5} }

// String names the protocol in lower case.
func (p Protocol) String() string {
	switch p {
	case SFlow5:
		return "sflow_v5"
	case V5:
		return "netflow_v5"
	case V9:
		return "netflow_v9"
	case IPFIX:
		return "ipfix"
	}
	return "unknown"
}

// Stats are a collector's totals since its start.
type Stats struct {
	Datagrams [IPFIX + 1]uint64 // understood, by Protocol
	Told      [IPFIX + 1]uint64 // records and samples read from them, by Protocol
	Records   uint64            // flow records written
	Paired    uint64            // of them from two one-way records
	Dropped   [reasonCount]uint64
	Lost      uint64     // by the gaps in sequence numbers: datagrams of v9 and sFlow, records of v5 and IPFIX
	Refused   netip.Addr // the last exporter that was refused
	Corrected uint64     // records whose times were not believed
	Changed   uint64     // templates that came anew with other fields
	Hurried   uint64     // one-way records written early for lack of room
	Exporters int        // now
	Templates int        // now
	Waiting   int        // one-way records and aggregates, now
}

// Source tells of the exporter that a record came from.
type Source struct {
	Addr netip.Addr
	Name string // as configured, "" for none
	ID   uint32 // never used again for another exporter
}

// Collector makes flow records of datagrams. It is not safe for concurrent use.
type Collector struct {
	cfg  Config
	emit func(*Source, *flow.Record)

	exporters map[netip.Addr]*exporter
	refusing  map[netip.Addr]bool // recent answers of permits for the refused
	nextID    uint32
	seed      maphash.Seed

	pairs, samples ring
	long           continuations
	unresolved     waiting

	decoder packet.Decoder
	header  packet.Header
	rec     flow.Record
	now     int64
	stats   Stats
}

// New makes a collector that hands every record to emit. Both are reused: emit
// must not keep them.
func New(cfg Config, emit func(*Source, *flow.Record)) *Collector {
	c := &Collector{cfg: cfg, emit: emit, exporters: map[netip.Addr]*exporter{}, seed: maphash.MakeSeed()}
	c.pairs.init(cfg.MaxWaiting, int64(cfg.PairWait))
	c.samples.init(cfg.MaxWaiting, int64(cfg.AggregateInterval))
	c.long.init(cfg.MaxWaiting)
	return c
}

// Stats gives the totals so far.
func (c *Collector) Stats() Stats {
	s := c.stats
	s.Exporters = len(c.exporters)
	s.Waiting = c.pairs.live() + c.samples.live()
	for _, e := range c.exporters {
		s.Templates += e.templates
	}
	return s
}

// Loss is what one exporter sent and what of it was lost, since it is known.
type Loss struct {
	Source
	Datagrams uint64
	Lost      uint64 // as [Stats.Lost]
}

// Losses lists the exporters that are known now.
func (c *Collector) Losses() []Loss {
	all := make([]Loss, 0, len(c.exporters))
	for _, e := range c.exporters {
		all = append(all, Loss{e.source, e.datagrams, e.lost})
	}
	return all
}

// Add takes one datagram that came from an address at a time (Unix nanoseconds).
func (c *Collector) Add(from netip.Addr, b []byte, now int64) {
	c.now = now
	p := protocolOf(b)
	if p == 0 {
		c.stats.Dropped[UnknownProtocol]++
		return
	}
	e := c.exporter(from.Unmap())
	if e == nil {
		return
	}
	hash := maphash.Bytes(c.seed, b)
	if e.repeats(hash) {
		c.stats.Dropped[Duplicate]++
		return
	}
	c.stats.Datagrams[p]++
	e.datagrams++
	ok := true
	switch p {
	case V5:
		ok = c.v5(e, b)
	case V9:
		ok = c.v9(e, b)
	case IPFIX:
		ok = c.ipfix(e, b)
	case SFlow5:
		ok = c.sflow(e, b)
	}
	if !ok {
		c.stats.Dropped[Malformed]++
	}
}

// Tick writes what has waited long enough. now is Unix nanoseconds.
func (c *Collector) Tick(now int64) {
	c.now = now
	c.expire(&c.pairs, now)
	c.expire(&c.samples, now)
	c.stats.Dropped[NoTemplate] += c.unresolved.expire(now - int64(c.cfg.TemplateWait))
}

// Flush writes all that waits.
func (c *Collector) Flush() {
	c.expire(&c.pairs, maxTime)
	c.expire(&c.samples, maxTime)
	c.stats.Dropped[NoTemplate] += c.unresolved.expire(maxTime)
}

const maxTime = 1<<63 - 1

// protocolOf tells the four apart: sFlow begins with a version of 32 bits, the
// others with one of 16. It gives 0 for anything else.
func protocolOf(b []byte) Protocol {
	if len(b) < 16 {
		return 0
	}
	switch v := binary.BigEndian.Uint16(b); v {
	case 5, 9, 10:
		return Protocol(v)
	case 0:
		if ip := b[7]; binary.BigEndian.Uint16(b[2:]) == 5 && b[4] == 0 && b[5] == 0 && b[6] == 0 && (ip == 1 || ip == 2) {
			return SFlow5
		}
	}
	return 0
}
