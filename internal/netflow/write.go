package netflow

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Values of flowEndReason.
const (
	reasonIdle = iota + 1
	reasonActive
	reasonEnd
	reasonForced
	reasonLack
)

// longFlow is the length from which on a record whose exporter gives no reason is
// taken for a part: active timeouts are longer, idle timeouts shorter.
const longFlow = int64(25 * time.Second)

// write makes the flow record of an observation and hands it on.
func (c *Collector) write(o *observation) {
	swap, guessed := initiator(o)
	reason := o.endReason()
	k, turned := pairKeyOf(o)
	part, known := c.long.get(&k)
	known = known && part.goesOn(o)
	if known { // whoever began the flow is known from its first part
		swap, guessed = part.turned != turned, part.guessed
	}
	src, dst := &o.fwd, &o.rev
	if swap {
		src, dst = dst, src
	}
	r := &c.rec
	*r = flow.Record{
		Start: o.first0(), End: max(o.fwd.end, o.rev.end), Net: o.key.net, Proto: o.key.proto, Reason: reason, Guessed: guessed,
		VLAN: o.vlan, InnerVLAN: o.inner, Ingress: o.ingress, Egress: o.egress,
	}
	r.Since = r.Start
	fill(&r.Src, src, o.srcMAC)
	fill(&r.Dst, dst, o.dstMAC)
	if r.IsIP() {
		r.Src.Addr, r.Dst.Addr = packet.Addr(o.key.src), packet.Addr(o.key.dst)
		r.Src.Port, r.Dst.Port = o.key.sport, o.key.dport
	}
	if swap {
		r.Src.Addr, r.Dst.Addr = r.Dst.Addr, r.Src.Addr
		r.Src.Port, r.Dst.Port = r.Dst.Port, r.Src.Port
		r.Src.MAC, r.Dst.MAC = r.Dst.MAC, r.Src.MAC
		r.Ingress, r.Egress = r.Egress, r.Ingress
	}
	if o.sampling > 1 {
		r.Sampling = o.sampling
	}
	if len(o.exp.ifNames) > 0 {
		r.IngressName, r.EgressName = o.exp.ifNames[r.Ingress], o.exp.ifNames[r.Egress]
	}
	if known {
		part.part++
		r.Part, r.Start = part.part, part.start
		r.Src.Flags |= part.flags[0]
		r.Dst.Flags |= part.flags[1]
	} else {
		part = continuation{start: r.Start, turned: turned != swap, guessed: guessed}
	}
	if reason == flow.Active || o.has&isSampled != 0 {
		part.end, part.flags = r.End, [2]uint8{r.Src.Flags, r.Dst.Flags}
		c.long.put(&k, part)
	} else if known {
		c.long.forget(&k)
	}
	if r.Part > 0 || reason == flow.Active {
		r.ID = k.id(part.start)
	}
	if r.IsIP() {
		switch r.Proto {
		case packet.ProtoTCP:
			r.State = state(o, r)
		case packet.ProtoICMP, packet.ProtoICMPv6:
			r.Src.Port, r.Dst.Port = 0, 0
			r.ICMPType, r.ICMPCode = o.icmpType, o.icmpCode
			if peer, paired, _ := flow.ICMPPair(r.Proto, o.icmpType, o.icmpCode); swap && paired && o.both() {
				r.ICMPType, r.Guessed = peer, false
			}
		}
		if c.cfg.CommunityID {
			r.Community = flow.CommunityID(r)
		}
	}
	c.stats.Records++
	c.emit(&o.exp.source, r)
}

func fill(e *flow.End, n *counts, mac packet.MAC) {
	e.Packets, e.Bytes, e.Frames = n.packets, n.bytes, n.frames
	e.Flags, e.TTLMin, e.TTLMax, e.DSCP, e.MAC = n.flags, n.ttlMin, n.ttlMax, n.dscp, mac
	if e.Frames == 0 { // as flow.Record.Complete does
		const ethernetHeader = 14
		e.Frames = e.Bytes + ethernetHeader*e.Packets
	}
}

// both reports whether both ends sent.
func (o *observation) both() bool {
	return o.rev.packets|o.rev.bytes != 0 && o.fwd.packets|o.fwd.bytes != 0
}

// first0 is when the first packet of either direction was seen.
func (o *observation) first0() int64 {
	if o.rev.start != 0 && (o.rev.start < o.fwd.start || o.fwd.packets|o.fwd.bytes == 0) {
		return o.rev.start
	}
	return o.fwd.start
}

// initiator says whether the destination began the flow, and whether that is a
// guess. It follows the meter, which sees the first packet; here its sender is the
// end whose record begins earlier, and of a tie the end that does not answer.
func initiator(o *observation) (swap, guessed bool) {
	k := &o.key
	if o.directed { // the exporter saw the first packet; without that word not all put its sender first
		return o.swapped, false
	}
	if k.net != packet.NetIPv4 && k.net != packet.NetIPv6 {
		return false, false
	}
	answers := flow.ServicePort(k.sport, k.dport) && !oneWay(k)
	tie, later := false, false // than the other direction
	if o.both() {
		tie, later = o.fwd.start == o.rev.start, o.fwd.start > o.rev.start
	}
	switch k.proto {
	case packet.ProtoTCP:
		const handshake = packet.SYN | packet.ACK
		switch {
		case o.fwd.flags&handshake == packet.SYN:
			return false, false
		case o.rev.flags&handshake == packet.SYN:
			return true, false
		case (o.fwd.flags|o.rev.flags)&packet.SYN == 0, !o.both():
			return answers || later && !flow.ServicePort(k.dport, k.sport), true
		case tie:
			return answers, !answers && !flow.ServicePort(k.dport, k.sport)
		}
		return later, false
	case packet.ProtoUDP, packet.ProtoUDPLite, packet.ProtoSCTP:
		switch {
		case tie || !o.both():
			return answers, answers && !o.both()
		case later: // the other end's packet was the first
			return !flow.ServicePort(k.dport, k.sport), flow.ServicePort(k.dport, k.sport)
		}
		return answers, answers
	case packet.ProtoICMP, packet.ProtoICMPv6:
		_, _, answer := flow.ICMPPair(k.proto, o.icmpType, o.icmpCode)
		return answer, answer
	}
	return later, false
}

// endReason is the exporter's word, or what follows from flags and length.
func (o *observation) endReason() flow.EndReason {
	if o.has&hasReason != 0 {
		switch o.reason {
		case reasonIdle:
			return flow.Idle
		case reasonActive:
			return flow.Active
		case reasonEnd:
			return flow.Ended
		case reasonForced:
			return flow.Forced
		case reasonLack:
			return flow.Evict
		}
	}
	if o.key.proto == packet.ProtoTCP {
		if (o.fwd.flags|o.rev.flags)&packet.RST != 0 || o.fwd.flags&o.rev.flags&packet.FIN != 0 {
			return flow.Ended
		}
	}
	if max(o.fwd.end, o.rev.end)-o.first0() >= longFlow {
		return flow.Active
	}
	return flow.Idle
}

// state is the TCP state that the flags tell. Those of a sampled flow are not all
// there, and an exporter that tells one direction keeps the answers to itself.
func state(o *observation, r *flow.Record) string {
	switch {
	case o.sampling > 1, r.Src.Flags|r.Dst.Flags == 0:
		return ""
	case r.Dst.Packets == 0 && r.Src.Flags&packet.ACK != 0, r.Src.Packets == 0:
		return "OTH"
	}
	return flow.StateOfFlags(r.Src.Flags, r.Dst.Flags)
}

// id names a flow that is told in several records.
func (k *pairKey) id(start int64) uint64 {
	h := fnv.New64a()
	var b [64]byte
	copy(b[:], k.src[:])
	copy(b[16:], k.dst[:])
	binary.BigEndian.PutUint16(b[32:], k.sport)
	binary.BigEndian.PutUint16(b[34:], k.dport)
	binary.BigEndian.PutUint16(b[36:], k.net)
	b[38] = k.proto
	binary.BigEndian.PutUint32(b[40:], k.exporter)
	binary.BigEndian.PutUint64(b[44:], uint64(start))
	h.Write(b[:52])
	return h.Sum64() | 1
}

// continuation is what is remembered of a flow that goes on after a record.
type continuation struct {
	start, end int64
	part       uint32
	flags      [2]uint8 // of initiator and responder
	turned     bool     // the initiator is the greater end
	guessed    bool
}

// goesOn reports whether o is the next part: not when it comes long after, or
// begins with a handshake.
func (n *continuation) goesOn(o *observation) bool {
	const quiet, tcpQuiet = 60e9, 300e9 // the meter's own timeouts
	begun := o.first0()
	if begun < n.start { // an older part that came late, of which nothing can be said
		return false
	}
	gap := begun - n.end
	if o.key.proto == packet.ProtoTCP {
		return gap < tcpQuiet && (o.fwd.flags|o.rev.flags)&packet.SYN == 0
	}
	return gap < quiet
}

// continuations remembers the flows that go on. It has two generations: when the
// young one is full it becomes the old one, and what of that was not asked for in
// the meantime is forgotten.
type continuations struct {
	young, old map[pairKey]continuation
	bound      int
}

func (c *continuations) init(bound int) {
	c.bound, c.young = max(bound/2, 1), map[pairKey]continuation{}
}

func (c *continuations) get(k *pairKey) (continuation, bool) {
	if len(c.young)+len(c.old) == 0 {
		return continuation{}, false
	}
	n, ok := c.young[*k]
	if !ok {
		n, ok = c.old[*k]
	}
	return n, ok
}

func (c *continuations) put(k *pairKey, n continuation) {
	if len(c.young) >= c.bound {
		c.old, c.young = c.young, map[pairKey]continuation{}
	}
	delete(c.old, *k)
	c.young[*k] = n
}

func (c *continuations) forget(k *pairKey) {
	delete(c.young, *k)
	delete(c.old, *k)
}
