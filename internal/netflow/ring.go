package netflow

import "encoding/binary"

// pairKey is a conversation of one exporter, whichever side speaks.
type pairKey struct {
	key
	exporter uint32
}

// pairKeyOf orders the ends, the smaller first, and says whether they were turned.
func pairKeyOf(o *observation) (k pairKey, turned bool) {
	k = pairKey{o.key, o.exp.source.ID}
	if c := compare(&k.src, &k.dst); c > 0 || c == 0 && k.sport > k.dport {
		k.src, k.dst, k.sport, k.dport = k.dst, k.src, k.dport, k.sport
		return k, true
	}
	return k, false
}

func compare(a, b *[16]byte) int {
	x, y := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])
	if x == y {
		x, y = binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:])
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// ring holds observations that wait, all for the same time, so that the order in
// which they came is that in which they are due. It grows up to its bound.
type ring struct {
	slots []slot
	index map[pairKey]uint64 // position of a live slot
	head  uint64             // position of the oldest
	tail  uint64             // and where the next goes
	bound uint64
	wait  int64
}

type slot struct {
	o      observation
	key    pairKey
	turned bool
	live   bool
}

func (r *ring) init(bound int, wait int64) {
	r.bound, r.wait, r.index = uint64(bound), wait, map[pairKey]uint64{}
}

func (r *ring) live() int { return len(r.index) }

func (r *ring) at(position uint64) *slot { return &r.slots[position%uint64(len(r.slots))] }

// full reports whether the oldest must go before another comes. Slots at the head
// that are no longer live have gone.
func (r *ring) full() bool {
	for r.head < r.tail && !r.at(r.head).live {
		r.head++
	}
	return r.tail-r.head >= r.bound
}

// push adds an observation. There must be room.
func (r *ring) push(o *observation, k pairKey, turned bool) {
	if n := uint64(len(r.slots)); r.tail-r.head >= n {
		bigger := make([]slot, min(max(2*n, 64), r.bound))
		for p := r.head; p < r.tail; p++ {
			bigger[p%uint64(len(bigger))] = r.slots[p%n]
		}
		r.slots = bigger
	}
	*r.at(r.tail) = slot{*o, k, turned, true}
	r.index[k] = r.tail
	r.tail++
}

// drop ends the wait of a slot.
func (r *ring) drop(s *slot) {
	s.live = false
	s.o.exp = nil
	delete(r.index, s.key)
}

// pair writes o together with the one that waits for it, or lets it wait.
func (c *Collector) pair(o *observation) {
	k, turned := pairKeyOf(o)
	r := &c.pairs
	if p, ok := r.index[k]; ok {
		s := r.at(p)
		if s.turned != turned {
			s.o.join(o)
			c.stats.Paired++
			c.write(&s.o)
			r.drop(s)
			return
		}
		c.write(&s.o) // the same direction again: the next part of a long flow
		r.drop(s)
	}
	c.makeRoom(r)
	r.push(o, k, turned)
}

// aggregate adds one sampled packet to those of the same conversation.
func (c *Collector) aggregate(o *observation) {
	k, turned := pairKeyOf(o)
	r := &c.samples
	if p, ok := r.index[k]; ok {
		s := r.at(p)
		side := &s.o.fwd
		if s.turned != turned {
			side = &s.o.rev
		}
		if !side.add(&o.fwd) {
			c.stats.Dropped[Implausible]++
			return
		}
		s.o.sampling = max(s.o.sampling, o.sampling)
		return
	}
	c.makeRoom(r)
	r.push(o, k, turned)
}

func (c *Collector) makeRoom(r *ring) {
	if r.full() {
		s := r.at(r.head)
		c.stats.Hurried++
		c.write(&s.o)
		r.drop(s)
		r.head++
	}
}

// expire writes what came before now by more than the wait.
func (c *Collector) expire(r *ring, now int64) {
	for ; r.head < r.tail; r.head++ {
		s := r.at(r.head)
		if !s.live {
			continue
		}
		if now != maxTime && s.o.arrival > now-r.wait {
			return
		}
		c.write(&s.o)
		r.drop(s)
	}
}

// join takes what the other direction's record tells.
func (o *observation) join(b *observation) {
	o.rev = b.fwd
	o.sampling = max(o.sampling, b.sampling)
	if o.vlan == 0 {
		o.vlan, o.inner = b.vlan, b.inner
	}
	if o.ingress|o.egress == 0 {
		o.ingress, o.egress = b.egress, b.ingress
	}
	if o.has&hasMAC == 0 && b.has&hasMAC != 0 {
		o.srcMAC, o.dstMAC, o.has = b.dstMAC, b.srcMAC, o.has|hasMAC
	}
	if b.has&hasReason != 0 && (o.has&hasReason == 0 || b.reason == reasonActive) {
		o.reason, o.has = b.reason, o.has|hasReason
	}
}

// add counts one packet more. It reports false, and counts nothing, when a sum would
// be beyond maxCount.
func (n *counts) add(p *counts) bool {
	if n.packets == 0 {
		*n = *p
		return true
	}
	if max(n.packets+p.packets, n.bytes+p.bytes, n.frames+p.frames) > maxCount {
		return false
	}
	n.packets += p.packets
	n.bytes += p.bytes
	n.frames += p.frames
	n.end = max(n.end, p.end)
	n.flags |= p.flags
	n.ttlMin, n.ttlMax = min(n.ttlMin, p.ttlMin), max(n.ttlMax, p.ttlMax)
	return true
}
