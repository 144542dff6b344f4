package flow

import "github.com/monban/monban/internal/packet"

// Ahead is how many packets [Table.Expect] looks at.
const Ahead = 16

// lookup is what finds a packet's flow.
type lookup struct {
	header *packet.Header
	key    key
	hash   uint32
	slot   int32 // where the flow seemed to be when the packet was announced, or -1
	from   uint8

	overlaps, orphan bool // of a fragment
}

// ahead holds the lookups of packets that were announced.
type ahead struct {
	list    [Ahead]lookup
	n, next int
	one     lookup // of a packet that was not
	sink    uint64 // keeps the loads of Expect
}

// Expect announces up to [Ahead] packets that will be added next, one by one in this
// order and unchanged. With many flows a packet's flow is in no cache, and waiting
// for memory is most of what metering costs; here the processor is asked for all of
// them at once: first for their places in the index, then for the flows.
func (t *Table) Expect(hs []packet.Header) {
	a := &t.ahead
	a.n, a.next = 0, 0
	const cached = 1 << 10 // flows of 256 bytes that fit well into a second-level cache
	if int(t.used)-len(t.free) < cached {
		return
	}
	a.n = min(len(hs), Ahead)
	for i := range hs[:a.n] {
		t.identify(&a.list[i], &hs[i])
	}
	list := a.list[:a.n]
	var sum uint64
	for i := range list {
		sum += t.index[list[i].hash&t.mask]
	}
	for i := range list {
		l := &list[i]
		if l.slot = t.probe(l.hash); l.slot >= 0 {
			e := t.at(l.slot)
			sum += uint64(e.last) + uint64(e.side[0].packets) // a word of each line
			if !t.cfg.CountsOnly {
				sum += uint64(e.start)
			}
		}
	}
	a.sink = sum + t.expectRoom(a.n)
}

// expectRoom does the same for the candidates that go when a flood brings n new ones.
func (t *Table) expectRoom(n int) (sum uint64) {
	q := &t.floods.candidates
	if t.floods.open == 0 || !q.full() {
		return 0
	}
	n = min(n, len(q.list))
	for i := range uint32(n) {
		e := t.at(q.at(i).slot)
		sum += uint64(e.last) + e.side[0].bytes + uint64(e.hash) + e.id
	}
	for i := range uint32(n) {
		sum += t.index[t.at(q.at(i).slot).hash&t.mask]
	}
	return sum
}

func (t *Table) identify(l *lookup, h *packet.Header) {
	l.header, l.key, l.slot = h, key{}, -1
	l.from = t.keyOf(h, &l.key)
	l.hash = uint32(l.key.hash(&t.seed))
	if h.Fragment {
		l.overlaps, l.orphan = t.fragment(h, &l.key, l.from)
	}
}

// lookup gives what was found out about h when it was announced, or finds it out.
func (t *Table) lookup(h *packet.Header) *lookup {
	a := &t.ahead
	if a.next < a.n && a.list[a.next].header == h {
		a.next++
		return &a.list[a.next-1]
	}
	t.identify(&a.one, h)
	return &a.one
}
