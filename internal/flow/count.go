package flow

import (
	"math"

	"github.com/monban/monban/internal/packet"
)

// count adds one packet to its flow.
func (t *Table) count(slot int32, h *packet.Header, from uint8) {
	e := t.at(slot)
	s := &e.side[from]
	e.touched = t.clock
	if h.Time > e.last {
		e.last = h.Time
	} else if h.Time < e.last {
		const reordered = 60e9 // older than this is a clock set back, not a packet late
		if h.Time < max(e.last, math.MinInt64+reordered)-reordered {
			e.last = h.Time
		}
		e.start = min(e.start, h.Time)
	}
	// Before this packet is counted: what is noted of it belongs to the part that begins.
	if (s.extra|s.packets)>>full != 0 || s.retrans == math.MaxUint16 {
		t.write(e, slot, Active)
	}
	if e.side[0].packets|e.side[1].packets == 0 {
		e.since = h.Time
	}
	s.packets++
	if !s.seen {
		s.seen, s.ttlMin, s.ttlMax, s.dscp = true, h.TTL, h.TTL, h.DSCP
	} else if h.TTL < s.ttlMin {
		s.ttlMin = h.TTL
	} else if h.TTL > s.ttlMax {
		s.ttlMax = h.TTL
	}
	n := h.NetLen
	if !h.IsIP() {
		n = h.PayloadLen
	}
	s.bytes += uint64(max(n, 0))
	s.extra += uint32(max(h.WireLen-max(n, 0), 0))
	if h.Fragment {
		e.fragments++
	}
	if h.Proto == packet.ProtoTCP && h.FragOff == 0 && h.IsIP() {
		s.flags |= h.TCPFlags
		o := &e.side[1-from]
		step(s, o, h.TCPFlags, h.PayloadLen > 0)
		sequence(s, o, h)
		if h.TCPFlags&packet.SYN != 0 {
			e.begins(h, from)
			if e.syn[from] == 0 && e.flood == 0 && !t.cfg.CountsOnly {
				e.syn[from] = t.stackFacts(h)
			}
		}
		if closed := s.tcp >= reset || s.tcp == finSent && o.tcp >= finSent; closed && !e.closing {
			e.closing = true
			t.reschedule(slot, e)
		}
	}
	if !e.talks {
		t.talk(e, h, from)
	}
	if h.PayloadLen > 0 && h.IsIP() {
		s.data = true
		if !t.cfg.CountsOnly {
			e.payload(h, from)
		}
	}
}

// payload notes first sizes and the rhythm of the initiator's messages: a
// message begins with payload after the other end spoke, or after 50 ms.
func (e *entry) payload(h *packet.Header, from uint8) {
	const pause = 50e6
	if int(e.sizeCount) < len(e.sizes) {
		n := int16(min(h.PayloadLen, math.MaxInt16))
		if from != e.src {
			n = -n
		}
		e.sizes[e.sizeCount] = n
		e.sizeCount++
	}
	if from == e.src && (e.lastData != from+1 || h.Time-e.message > pause) {
		if e.messages > 0 {
			gap := float32(h.Time-e.message) / 1e9
			d := gap - e.mean
			e.mean += d / float32(e.messages)
			e.m2 += d * (gap - e.mean)
		}
		e.messages++
		e.message = h.Time
	}
	e.lastData = from + 1
}

// write emits what the flow did since its last record, unless that is nothing.
func (t *Table) write(e *entry, slot int32, reason EndReason) {
	silent := e.side[0].packets == 0 && e.side[1].packets == 0
	if silent {
		if e.icmpErrors == 0 {
			return
		}
		e.since = e.last // nothing but errors came
	}
	r := &t.rec
	*r = Record{
		ID: e.id, Start: e.start, End: e.last, Net: e.key.net, Proto: e.key.proto, Reason: reason, Part: e.part, Since: e.since,
		Guessed: e.guessed, VLAN: e.vlan, InnerVLAN: e.inner, Fragments: e.fragments,
		Overlapping: uint32(e.overlaps), ICMPErrors: uint32(e.icmpErrors), ErrorType: e.errorType, ErrorCode: e.errorCode,
	}
	if e.tunnel != 0 {
		r.Tunnel = t.tunnels.list[e.tunnel]
	}
	src, dst := &e.side[e.src], &e.side[1-e.src]
	t.fillEnd(&r.Src, e, e.src)
	t.fillEnd(&r.Dst, e, 1-e.src)
	r.Src.MAC, r.Dst.MAC = e.srcMAC, e.dstMAC
	if len(t.names) > 1 && int(e.iface) < len(t.names) {
		r.Interface = t.names[e.iface]
	}
	if r.IsIP() {
		switch e.key.proto {
		case packet.ProtoTCP:
			r.State = connState(src, dst)
		case packet.ProtoICMP, packet.ProtoICMPv6:
			r.ICMPType, r.ICMPCode = e.icmpType, e.icmpCode
		}
		if t.cfg.CommunityID {
			r.Community = CommunityID(r)
		}
	}
	if e.part == 0 && e.sizeCount > 0 {
		r.FirstSizes = t.sizeBuf[:e.sizeCount]
		for i := range r.FirstSizes {
			r.FirstSizes[i] = int64(e.sizes[i])
		}
	}
	if e.messages >= 3 {
		r.Messages, r.Interval = e.messages, float64(e.mean)
		if e.mean > 0 {
			r.IntervalCV = math.Sqrt(float64(e.m2)/float64(e.messages-1)) / float64(e.mean)
		}
	}
	t.notes.take(e, slot, r)
	e.part++
	e.fragments, e.overlaps, e.icmpErrors, e.errorType, e.errorCode = 0, 0, 0, 0, 0
	for i := range e.side {
		s := &e.side[i]
		s.bytes, s.extra, s.packets, s.retrans = 0, 0, 0, 0
	}
	t.stats.Records++
	t.emit(r)
}

func (t *Table) fillEnd(end *End, e *entry, i uint8) {
	s := &e.side[i]
	end.Packets, end.Bytes, end.Frames = uint64(s.packets), s.bytes, s.bytes+uint64(s.extra)
	end.Flags, end.TTLMin, end.TTLMax, end.DSCP, end.Retrans = s.flags, s.ttlMin, s.ttlMax, s.dscp, uint32(s.retrans)
	if e.part == 0 && e.syn[i] != 0 && t.stackNews(e, i) {
		end.Syn = t.stacks[e.syn[i]]
	}
	if e.key.net != packet.NetIPv4 && e.key.net != packet.NetIPv6 {
		return
	}
	end.Addr = packet.Addr(e.key.lo)
	end.Port = e.key.loPort
	if i == 1 {
		end.Addr, end.Port = packet.Addr(e.key.hi), e.key.hiPort
	}
	if e.key.proto == packet.ProtoICMP || e.key.proto == packet.ProtoICMPv6 {
		end.Port = 0
	}
}
