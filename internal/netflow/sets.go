package netflow

import "encoding/binary"

const (
	v9Header    = 20
	ipfixHeader = 16
	setHeader   = 4
	firstDataID = 256
)

// v9 reads a datagram of NetFlow v9.
func (c *Collector) v9(e *exporter, b []byte) bool {
	if len(b) < v9Header {
		return false
	}
	be := binary.BigEndian
	uptime, secs := be.Uint32(b[4:]), int64(be.Uint32(b[8:]))
	s := c.stream(e, streamKey{protocol: V9, domain: be.Uint32(b[16:])})
	c.clock(s, secs*1e9)
	c.uptimeClock(s, secs*1000, uptime, 1000)
	c.count(s, be.Uint32(b[12:]), 1)
	ok := true
	for b = b[v9Header:]; len(b) >= setHeader; {
		id, n := be.Uint16(b), int(be.Uint16(b[2:]))
		if n < setHeader || n > len(b) {
			return false
		}
		body := b[setHeader:n]
		switch {
		case id == 0:
			ok = c.templateSet(s, body, false) && ok
		case id == 1:
			ok = c.templateSet(s, body, true) && ok
		case id >= firstDataID:
			_, _, whole := c.dataSet(s, id, body)
			ok = whole && ok
		}
		b = b[n:]
	}
	return ok && len(b) == 0 || ok && zeros(b)
}

// ipfix reads one message of IPFIX. A datagram holds exactly one.
func (c *Collector) ipfix(e *exporter, b []byte) bool {
	be := binary.BigEndian
	length := int(be.Uint16(b[2:]))
	if length < ipfixHeader || length > len(b) {
		return false
	}
	s := c.stream(e, streamKey{protocol: IPFIX, domain: be.Uint32(b[12:])})
	c.clock(s, int64(be.Uint32(b[4:]))*1e9)
	number, told, all, ok := be.Uint32(b[8:]), c.stats.Told[IPFIX], true, true
	records := uint32(0)
	for b = b[ipfixHeader:length]; len(b) >= setHeader; {
		id, n := be.Uint16(b), int(be.Uint16(b[2:]))
		if n < setHeader || n > len(b) {
			all, ok = false, false
			break
		}
		body := b[setHeader:n]
		switch {
		case id == 2:
			ok = c.templateSet(s, body, false) && ok
		case id == 3:
			ok = c.templateSet(s, body, true) && ok
		case id >= firstDataID:
			n, counted, whole := c.dataSet(s, id, body)
			records += n
			all = all && counted
			ok = whole && ok
		}
		b = b[n:]
	}
	c.countRecords(s, number, records, uint32(c.stats.Told[IPFIX]-told))
	s.seq.known = s.seq.known && all // the number after records that can't be counted is not known
	return ok
}

// countRecords takes the sequence number of an IPFIX message: of the data records
// before it. Some exporters count those of the message itself already, and some
// leave out those of options, so that a step of either is no loss.
func (c *Collector) countRecords(s *stream, number, records, flows uint32) {
	step := number - s.number
	if s.number != 0 && (step == records || step == flows || step == s.flows) {
		s.seq.next = number
	}
	s.number, s.flows = number, flows
	c.count(s, number, records)
}

// dataSet reads the records of a set: how many there were, whether that is known,
// and whether all could be read.
func (c *Collector) dataSet(s *stream, id uint16, b []byte) (records uint32, counted, ok bool) {
	t := s.templates[id]
	if t == nil {
		c.stats.Dropped[NoTemplate] += c.unresolved.add(s, id, b, c.now)
		return 0, false, true
	}
	t.used = c.now
	for len(b) >= t.least {
		if t.options {
			var x option
			n := t.readOption(b, &x)
			if n < 0 {
				return records, true, false
			}
			s.option(&x)
			b = b[n:]
		} else {
			o := observation{biflow: t.biflow}
			n := t.read(b, &o)
			if n < 0 {
				return records, true, false
			}
			c.told(s, &o)
			b = b[n:]
		}
		records++
	}
	return records, true, true // what is left is padding
}

// late reads the sets that waited for a template which has now come.
func (c *Collector) late(s *stream, id uint16) {
	if c.unresolved.empty() {
		return
	}
	export, shift, boot := s.export, s.shift, s.boot
	for _, w := range c.unresolved.take(s, id) {
		s.export, s.shift, s.boot = w.export, w.shift, w.boot
		if _, _, ok := c.dataSet(s, id, w.data); !ok {
			c.stats.Dropped[Malformed]++
		}
	}
	s.export, s.shift, s.boot = export, shift, boot
}

func zeros(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// waiting holds data sets whose template has not come yet, oldest first.
type waiting struct {
	sets  []waitingSet
	bytes int
}

type waitingSet struct {
	s                   *stream
	data                []byte
	arrived             int64
	export, shift, boot int64
	id                  uint16
}

const (
	maxWaitingSets  = 1024
	maxWaitingBytes = 4 << 20
)

func (w *waiting) empty() bool { return len(w.sets) == 0 }

// add keeps a copy of a set. It returns how many were given up for it.
func (w *waiting) add(s *stream, id uint16, b []byte, now int64) (dropped uint64) {
	for len(w.sets) > 0 && (len(w.sets) >= maxWaitingSets || w.bytes+len(b) > maxWaitingBytes) {
		w.drop(1)
		dropped++
	}
	w.sets = append(w.sets, waitingSet{s: s, id: id, data: append([]byte(nil), b...), arrived: now, export: s.export, shift: s.shift, boot: s.boot})
	w.bytes += len(b)
	return dropped
}

// take removes and returns the sets that wait for a template.
func (w *waiting) take(s *stream, id uint16) (sets []waitingSet) {
	kept := w.sets[:0]
	for _, x := range w.sets {
		if x.s == s && x.id == id {
			sets = append(sets, x)
			w.bytes -= len(x.data)
		} else {
			kept = append(kept, x)
		}
	}
	clear(w.sets[len(kept):])
	w.sets = kept
	return sets
}

// expire drops the sets that came before a time, and returns how many.
func (w *waiting) expire(before int64) (dropped uint64) {
	n := 0
	for n < len(w.sets) && w.sets[n].arrived <= before {
		n++
	}
	if n > 0 {
		w.drop(n)
	}
	return uint64(n)
}

func (w *waiting) drop(n int) {
	for _, x := range w.sets[:n] {
		w.bytes -= len(x.data)
	}
	rest := copy(w.sets, w.sets[n:])
	clear(w.sets[rest:])
	w.sets = w.sets[:rest]
}
