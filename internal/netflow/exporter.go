package netflow

import (
	"net/netip"
	"time"
)

const (
	maxStreams    = 64   // of one exporter
	maxSamplers   = 256  // of one stream
	maxInterfaces = 4096 // of one exporter, with names
	maxName       = 64   // bytes of an interface's name
	recentHashes  = 8    // datagrams of one exporter that a copy is looked for among

	idleExporter = int64(time.Hour) // one that is silent for so long makes room for another
)

// exporter is one address that sends.
type exporter struct {
	source    Source
	sampling  uint32 // as configured, 0 for what it says
	streams   map[streamKey]*stream
	ifNames   map[uint32]string
	templates int
	seen      int64
	datagrams uint64
	lost      uint64
	hashes    [recentHashes]uint64
	hash      uint8
}

// streamKey names one sequence of datagrams of an exporter.
type streamKey struct {
	agent    netip.Addr // of sFlow
	domain   uint32     // observation domain, source id, engine, sub-agent
	protocol Protocol
}

// stream is what is known of one sequence of datagrams.
type stream struct {
	exp       *exporter
	key       streamKey
	templates map[uint16]*template
	samplers  map[uint64]uint32 // sampling interval by sampler
	sampling  uint32            // of all others, 0 when not told
	boot      int64             // when the exporter started, Unix milliseconds; 0 when not known
	uptime    uint32            // of the last datagram
	export    int64             // Unix nanoseconds of the last datagram, by the exporter's clock
	shift     int64             // what is added to its times, because its clock is wrong
	seq       sequence
	number    uint32 // of the last message of IPFIX
	flows     uint32 // and how many flow records it had
	seen      int64
}

// exporter finds or makes the exporter, or counts why not.
func (c *Collector) exporter(addr netip.Addr) *exporter {
	if e := c.exporters[addr]; e != nil {
		e.seen = c.now
		return e
	}
	if c.refusing[addr] {
		c.stats.Refused = addr
		c.stats.Dropped[UnknownExporter]++
		return nil
	}
	known, ok := c.known(addr)
	if !ok {
		if len(c.refusing) < 4096 {
			if c.refusing == nil {
				c.refusing = map[netip.Addr]bool{}
			}
			c.refusing[addr] = true
		}
		c.stats.Refused = addr
		c.stats.Dropped[UnknownExporter]++
		return nil
	}
	if len(c.exporters) >= c.cfg.MaxExporters && !c.forgetIdle() {
		c.stats.Refused = addr
		c.stats.Dropped[ExporterLimit]++
		return nil
	}
	c.nextID++
	e := &exporter{
		source:   Source{Addr: addr, Name: known.Name, ID: c.nextID},
		sampling: known.Sampling, streams: map[streamKey]*stream{}, ifNames: map[uint32]string{}, seen: c.now,
	}
	c.exporters[addr] = e
	return e
}

// known finds what the user says of an address, and whether it may send.
func (c *Collector) known(addr netip.Addr) (Known, bool) {
	for _, k := range c.cfg.Exporters {
		if k.Prefix.Contains(addr) {
			return k, !k.Refuse
		}
	}
	return Known{}, !c.cfg.RefuseUnknown
}

// forgetIdle makes room by forgetting the exporter that is silent for longest, if
// that is long.
func (c *Collector) forgetIdle() bool {
	var oldest *exporter
	for _, e := range c.exporters {
		if oldest == nil || e.seen < oldest.seen {
			oldest = e
		}
	}
	if oldest == nil || c.now-oldest.seen < idleExporter {
		return false
	}
	delete(c.exporters, oldest.source.Addr)
	return true
}

// repeats reports whether the exporter sent a datagram with this hash just now.
func (e *exporter) repeats(hash uint64) bool {
	for _, h := range e.hashes {
		if h == hash {
			return true
		}
	}
	e.hashes[e.hash%recentHashes] = hash
	e.hash++
	return false
}

// stream finds or makes the stream. One too many takes the place of the one that is
// silent for longest.
func (c *Collector) stream(e *exporter, key streamKey) *stream {
	s := e.streams[key]
	if s == nil {
		if len(e.streams) >= maxStreams {
			var oldest *stream
			for _, o := range e.streams {
				if oldest == nil || o.seen < oldest.seen {
					oldest = o
				}
			}
			e.templates -= len(oldest.templates)
			delete(e.streams, oldest.key)
		}
		s = &stream{exp: e, key: key}
		e.streams[key] = s
	}
	s.seen = c.now
	return s
}

// uptimeClock learns from a header when the exporter started. The header's time has
// a resolution of unit milliseconds, so that the start is known to be within that;
// it is moved no more than needed, or else flows would jitter against each other.
func (c *Collector) uptimeClock(s *stream, unixMillis int64, uptime uint32, unit int64) {
	low := unixMillis - int64(uptime)
	const restart, wrap = 60_000, 1 << 32
	later := low - s.boot
	if wrapped := later > wrap-restart && later < wrap+restart; s.boot != 0 && later > restart && uptime < s.uptime && !wrapped {
		s.forget() // RFC 3954, 9: a restart makes the templates void
	}
	s.boot = min(max(s.boot, low), low+unit-1)
	s.uptime = uptime
}

// forget drops what an exporter told before it was restarted.
func (s *stream) forget() {
	s.exp.templates -= len(s.templates)
	s.templates, s.samplers, s.sampling = nil, nil, 0
}

// clock compares the exporter's clock with ours.
func (c *Collector) clock(s *stream, unixNanos int64) {
	s.export, s.shift = unixNanos, 0
	if off := c.now - unixNanos; c.cfg.MaxClockSkew > 0 && (off > int64(c.cfg.MaxClockSkew) || -off > int64(c.cfg.MaxClockSkew)) {
		s.shift = off
	}
}

// sampler notes the interval of a sampler.
func (s *stream) sampler(id uint64, interval uint32) {
	if s.samplers == nil {
		s.samplers = map[uint64]uint32{}
	}
	if _, known := s.samplers[id]; known || len(s.samplers) < maxSamplers {
		s.samplers[id] = interval
	}
}

// count takes the sequence number of a datagram and how far it counts on.
func (c *Collector) count(s *stream, number, by uint32) {
	if n := s.seq.seen(number, by); n > 0 {
		s.exp.lost += n
		c.stats.Lost += n
	}
}

// sequence finds what was lost by the numbers that a stream counts up. Numbers that
// come late fill their gap again, so a gap counts as lost only when it is old.
type sequence struct {
	next  uint32
	known bool
	gaps  [4]gap
}

type gap struct {
	from uint32
	n    uint32 // 0 for none
	age  uint8  // datagrams since
}

const (
	lateMost = 16      // datagrams that one may be late
	jumpMost = 1 << 20 // a jump that is greater is a restart, not a loss
)

// seen takes the number of a datagram and how far it counts on, and returns what is
// now known to be lost.
func (q *sequence) seen(number, count uint32) (lost uint64) {
	for i := range q.gaps {
		if g := &q.gaps[i]; g.n > 0 {
			if g.age++; g.age > lateMost {
				lost += uint64(g.n)
				g.n = 0
			}
		}
	}
	ahead := int32(number - q.next)
	switch {
	case !q.known || ahead > jumpMost:
		q.next, q.known = number+count, true
	case ahead > 0:
		lost += q.open(gap{from: q.next, n: uint32(ahead)})
		q.next = number + count
	case ahead == 0:
		q.next = number + count
	case !q.fill(number, count):
		q.next = number + count // counted from the start again
	}
	return lost
}

// open notes a gap, in the place of the oldest one if need be, which is then lost.
func (q *sequence) open(g gap) (lost uint64) {
	oldest := 0
	for i := range q.gaps {
		if q.gaps[i].n == 0 {
			q.gaps[i] = g
			return 0
		}
		if q.gaps[i].age > q.gaps[oldest].age {
			oldest = i
		}
	}
	lost = uint64(q.gaps[oldest].n)
	q.gaps[oldest] = g
	return lost
}

// fill takes a late number out of its gap, and reports whether there was one.
func (q *sequence) fill(number, count uint32) bool {
	for i := range q.gaps {
		g := &q.gaps[i]
		off := number - g.from
		if g.n == 0 || off >= g.n {
			continue
		}
		after := g.n - min(g.n, off+count)
		end := g.from + g.n
		g.n = off
		if after > 0 {
			q.open(gap{from: end - after, n: after, age: g.age})
		}
		return true
	}
	return false
}
