package netflow

import (
	"encoding/binary"
	"net/netip"

	"github.com/monban/monban/internal/packet"
)

// Formats of sFlow version 5, all of enterprise 0.
const (
	flowSample         = 1
	counterSample      = 2
	flowSampleExpanded = 3
	countersExpanded   = 4

	rawHeader   = 1
	sampledIPv4 = 3
	sampledIPv6 = 4
)

// header_protocol of a raw header, and the link type that it is.
var sflowLinks = map[uint32]packet.LinkType{
	1: packet.LinkEthernet, 7: packet.LinkPPP, 11: packet.LinkIPv4, 12: packet.LinkIPv6,
}

// words reads big endian 32-bit integers, all that XDR is made of here.
type words struct {
	b  []byte
	ok bool
}

func (w *words) next() uint32 {
	if len(w.b) < 4 {
		w.ok = false
		return 0
	}
	n := binary.BigEndian.Uint32(w.b)
	w.b = w.b[4:]
	return n
}

// bytes cuts off n bytes and the padding to four.
func (w *words) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(w.b)) {
		w.ok = false
		return nil
	}
	v := w.b[:n]
	w.b = w.b[min(int(n+3)&^3, len(w.b)):]
	return v
}

// sflow reads a datagram of sFlow version 5.
func (c *Collector) sflow(e *exporter, b []byte) bool {
	w := words{b[4:], true}
	size := uint32(4)
	if w.next() == 2 {
		size = 16
	}
	agent, _ := netip.AddrFromSlice(w.bytes(size))
	sub, number := w.next(), w.next()
	w.next() // uptime
	samples := w.next()
	if !w.ok {
		return false
	}
	s := c.stream(e, streamKey{protocol: SFlow5, domain: sub, agent: agent})
	c.count(s, number, 1)
	for ; samples > 0; samples-- {
		format := w.next()
		body := w.bytes(w.next())
		if !w.ok {
			return false
		}
		ok := true
		switch format {
		case flowSample, flowSampleExpanded:
			ok = c.sample(s, body, format == flowSampleExpanded)
		case counterSample, countersExpanded:
			c.stats.Dropped[CounterSample]++
		default:
			c.stats.Dropped[NotAFlow]++
		}
		if !ok {
			c.stats.Dropped[Malformed]++
		}
	}
	return true
}

// sample reads one sampled packet.
func (c *Collector) sample(s *stream, b []byte, expanded bool) bool {
	w := words{b, true}
	w.next() // sequence number
	w.next() // source
	if expanded {
		w.next()
	}
	o := observation{exp: s.exp, arrival: c.now, has: isSampled, sampling: w.next()}
	w.next() // pool
	w.next() // drops
	o.ingress, o.egress = w.iface(expanded), w.iface(expanded)
	records := w.next()
	if !w.ok {
		return false
	}
	c.stats.Told[SFlow5]++
	if s.exp.sampling > 0 {
		o.sampling = s.exp.sampling
	}
	o.sampling = max(o.sampling, 1)
	read := false
	for ; records > 0; records-- {
		format := w.next()
		body := w.bytes(w.next())
		if !w.ok {
			return false
		}
		if read { // the same packet once more, in other words
			continue
		}
		switch format {
		case rawHeader:
			read = c.rawHeader(&o, body)
		case sampledIPv4:
			read = o.sampledIP(body, 4)
		case sampledIPv6:
			read = o.sampledIP(body, 16)
		}
	}
	if !read {
		c.stats.Dropped[Undecodable]++
		return true
	}
	o.fwd.packets, o.fwd.start, o.fwd.end = 1, c.now, c.now
	if !o.fwd.scale(o.sampling) {
		c.stats.Dropped[Implausible]++
		return true
	}
	o.normalise()
	c.aggregate(&o)
	return true
}

// iface reads an interface: 0 unless it is one by its index.
func (w *words) iface(expanded bool) uint32 {
	const internal = 0x3fffffff
	format := uint32(0)
	if expanded {
		format = w.next()
	}
	n := w.next()
	if !expanded {
		format, n = n>>30, n&internal
	}
	if format != 0 || n == internal {
		return 0
	}
	return n
}

// rawHeader decodes the first bytes of a packet.
func (c *Collector) rawHeader(o *observation, b []byte) bool {
	w := words{b, true}
	protocol, length, stripped := w.next(), w.next(), w.next()
	head := w.bytes(w.next())
	link, known := sflowLinks[protocol]
	if !w.ok || !known || length > 1<<20 {
		return false
	}
	h := &c.header
	f := packet.Frame{Time: c.now, Data: head, WireLen: max(int(length)-int(min(stripped, length)), len(head)), Link: link}
	if c.decoder.Decode(&f, h) != packet.OK {
		return false
	}
	o.key = key{src: h.Src, dst: h.Dst, net: h.Net, proto: h.Proto}
	o.fwd.frames = uint64(h.WireLen)
	o.vlan, o.inner = h.VLAN, h.InnerVLAN
	if h.HasMAC {
		o.srcMAC, o.dstMAC, o.has = h.SrcMAC, h.DstMAC, o.has|hasMAC
	}
	if !h.IsIP() {
		o.fwd.bytes = uint64(max(h.PayloadLen, 0))
		return o.has&hasMAC != 0
	}
	o.fwd.bytes = uint64(max(h.NetLen, 0))
	o.fwd.ttlMin, o.fwd.ttlMax, o.fwd.dscp = h.TTL, h.TTL, h.DSCP
	if h.FragOff == 0 {
		o.key.sport, o.key.dport = h.SrcPort, h.DstPort
	}
	switch h.Proto {
	case packet.ProtoTCP:
		o.fwd.flags = h.TCPFlags
	case packet.ProtoICMP, packet.ProtoICMPv6:
		o.icmpType, o.icmpCode, o.has = h.ICMPType, h.ICMPCode, o.has|hasICMP
	}
	return true
}

// sampledIP reads a packet that the agent has decoded itself.
func (o *observation) sampledIP(b []byte, size uint32) bool {
	w := words{b, true}
	length, proto := w.next(), w.next()
	src, dst := w.bytes(size), w.bytes(size)
	sport, dport, flags, class := w.next(), w.next(), w.next(), w.next()
	if !w.ok || length > 1<<20 {
		return false
	}
	o.key = key{net: packet.NetIPv6, proto: uint8(proto), sport: uint16(sport), dport: uint16(dport)}
	if size == 4 {
		o.key.net, o.key.src, o.key.dst = packet.NetIPv4, v4(src), v4(dst)
	} else {
		copy(o.key.src[:], src)
		copy(o.key.dst[:], dst)
	}
	o.fwd.bytes, o.fwd.flags, o.fwd.dscp = uint64(length), uint8(flags), uint8(class)>>2
	return true
}
