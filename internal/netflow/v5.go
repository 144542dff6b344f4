package netflow

import (
	"encoding/binary"

	"github.com/monban/monban/internal/packet"
)

const (
	v5Header = 24
	v5Record = 48
)

// v5 reads a datagram of NetFlow v5.
func (c *Collector) v5(e *exporter, b []byte) bool {
	if len(b) < v5Header {
		return false
	}
	be := binary.BigEndian
	count := int(be.Uint16(b[2:]))
	uptime, secs, nanos := be.Uint32(b[4:]), int64(be.Uint32(b[8:])), int64(be.Uint32(b[12:]))
	s := c.stream(e, streamKey{protocol: V5, domain: uint32(be.Uint16(b[20:]))})
	c.clock(s, secs*1e9+nanos)
	c.uptimeClock(s, secs*1000+nanos/1e6, uptime, 1)
	c.count(s, be.Uint32(b[16:]), uint32(count))
	s.sampling = uint32(be.Uint16(b[22:]) & 0x3fff) // the two bits above are the mode, which many leave 0
	whole := count <= (len(b)-v5Header)/v5Record
	for b = b[v5Header:]; count > 0 && len(b) >= v5Record; count, b = count-1, b[v5Record:] {
		r := b[:v5Record]
		var o observation
		o.key.src, o.key.dst = v4(r[0:]), v4(r[4:])
		o.key.net, o.key.proto = packet.NetIPv4, r[38]
		o.ingress, o.egress = uint32(be.Uint16(r[12:])), uint32(be.Uint16(r[14:]))
		o.fwd.packets, o.fwd.bytes = uint64(be.Uint32(r[16:])), uint64(be.Uint32(r[20:]))
		o.first, o.last, o.has = be.Uint32(r[24:]), be.Uint32(r[28:]), hasFirst|hasLast|hasSrc4|hasDst4
		o.key.sport, o.key.dport = be.Uint16(r[32:]), be.Uint16(r[34:])
		o.fwd.flags, o.fwd.dscp = r[37], r[39]>>2
		c.told(s, &o)
	}
	return whole
}

// v4 reads an IPv4 address as it is held in keys, ::ffff:a.b.c.d.
func v4(b []byte) (a [16]byte) {
	a[10], a[11] = 0xff, 0xff
	copy(a[12:], b[:4])
	return a
}
