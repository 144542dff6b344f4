package flow

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/monban/monban/internal/packet"
)

// Datagrams that are being put together. A first fragment leaves its ports here for the
// others. Those that come before it are counted in a flow without ports, and moved from
// there when it comes, unless a record has told of them by then.
const (
	datagramSets = 256 // of datagramWays each, 256 KiB in all, made with the first fragment
	datagramWays = 8
	datagramWait = 30 // seconds without a fragment, as Linux waits (ipfrag_time)
	datagramEnds = 2  // seconds after which the id of one that is whole is another's
	datagramGaps = 4  // separate ranges that are remembered of one
)

// datagram is what is known of one.
type datagram struct {
	src, dst [16]byte
	id, zone uint32
	net      uint16
	sp, dp   uint16 // valid iff first
	proto    uint8
	used     bool
	first    bool // the first fragment was seen
	whole    bool // all of it was seen
	ranges   uint8
	at       uint32                  // time of the last fragment, seconds
	size     uint16                  // in units of 8 bytes, valid iff the last fragment was seen: not 0
	have     [datagramGaps][2]uint16 // ranges seen, from and to, in units of 8 bytes

	early orphans
}

// orphans are fragments in the flow of slot that wait for their first one.
type orphans struct {
	flow           uint64 // its id
	slot           int32
	part           uint32 // of that flow: what an earlier record told stays there
	packets        uint32
	overlaps       uint16
	from           uint8 // side of that flow
	ttlMin, ttlMax uint8
	bytes, frames  int64
	earliest       int64
}

// fragments is a set-associative table of datagrams. Its place is bounded whatever
// comes: the oldest of a set gives way.
type fragments struct {
	sets [datagramSets][datagramWays]datagram
	hand uint8 // set that is looked through next for what has ended
}

// FragmentStats count IP fragments since the table's start.
type FragmentStats struct {
	Packets     uint64 // fragments
	Datagrams   uint64 // that they belong to
	Whole       uint64 // of which all was seen
	Incomplete  uint64 // given up: half a minute without a fragment, no room, or the end
	Orphans     uint64 // fragments counted without ports, as their first one was not seen in time
	Overlapping uint64 // fragments with bytes that an earlier one had carried
}

// is reports whether the datagram is that of h.
func (d *datagram) is(h *packet.Header) bool {
	return d.used && d.id == h.IPID && d.zone == h.Tunnel.Zone && d.proto == h.Proto && d.net == h.Net && d.src == h.Src && d.dst == h.Dst
}

func (d *datagram) age(now uint32) int64 { return int64(now) - int64(d.at) }

// over reports whether a fragment at a time can't belong to the datagram any more.
func (d *datagram) over(now uint32) bool {
	age := d.age(now)
	return age > datagramWait || age < -datagramWait || d.whole && age > datagramEnds
}

func (t *Table) datagrams(h *packet.Header) *[datagramWays]datagram {
	x := mum(binary.LittleEndian.Uint64(h.Src[8:])^t.seed[0], binary.LittleEndian.Uint64(h.Dst[8:])^t.seed[1])
	x = mum(x^uint64(h.IPID)<<8^uint64(h.Proto), t.seed[2])
	return &t.frags.sets[mum(x, 0x9e3779b97f4a7c15)%datagramSets] // once more, as ids follow each other
}

// datagram finds the one of h, or gives nil.
func (t *Table) datagram(h *packet.Header) *datagram {
	if t.frags == nil {
		return nil
	}
	now, set := seconds(h.Time), t.datagrams(h)
	for i := range set {
		if d := &set[i]; d.is(h) && !d.over(now) {
			return d
		}
	}
	return nil
}

// fragmentPorts gives the ports of a later fragment, zeros while they are not known.
func (t *Table) fragmentPorts(h *packet.Header) (sp, dp uint16) {
	if d := t.datagram(h); d != nil && d.first {
		return d.sp, d.dp
	}
	return 0, 0
}

// fragment notes a fragment whose key was found. It says whether it carries bytes that
// were seen before, and whether it came before its first one.
func (t *Table) fragment(h *packet.Header, k *key, from uint8) (overlaps, orphan bool) {
	s := &t.stats.Fragments
	s.Packets++
	d := t.datagram(h)
	if d == nil {
		d = t.newDatagram(h)
	}
	d.at = max(d.at, seconds(h.Time))
	if h.FragOff == 0 {
		d.first, d.sp, d.dp = true, k.loPort, k.hiPort
		if from == 1 {
			d.sp, d.dp = d.dp, d.sp
		}
	}
	if overlaps = d.add(h); overlaps {
		s.Overlapping++
	}
	if !d.whole && d.size != 0 && d.ranges == 1 && d.have[0] == [2]uint16{0, d.size} {
		d.whole = true
		s.Whole++
	}
	return overlaps, !d.first
}

// add notes which bytes the fragment carries. Of more than a few ranges apart it forgets
// the smallest, so that an overlap may be missed, never made up.
func (d *datagram) add(h *packet.Header) (overlaps bool) {
	from := h.FragOff / 8
	to := from + max(1, uint16((uint32(h.FragLen)+7)/8))
	if !h.MoreFrag && d.size == 0 {
		d.size = to
	}
	ranges := append(make([][2]uint16, 0, datagramGaps+1), d.have[:d.ranges]...)
	for i := 0; i < len(ranges); {
		r := ranges[i]
		if from > r[1] || to < r[0] {
			i++
			continue
		}
		overlaps = overlaps || from < r[1] && to > r[0]
		from, to = min(from, r[0]), max(to, r[1])
		ranges = slices.Delete(ranges, i, i+1)
	}
	ranges = append(ranges, [2]uint16{from, to})
	if len(ranges) > datagramGaps {
		least := 0
		for i, r := range ranges {
			if r[1]-r[0] < ranges[least][1]-ranges[least][0] {
				least = i
			}
		}
		ranges = slices.Delete(ranges, least, least+1)
	}
	d.ranges = uint8(copy(d.have[:], ranges))
	return overlaps
}

// newDatagram makes room for the datagram of h: in place of an earlier one of the same id,
// of one that has ended, else of the one whose last fragment is farthest in time.
func (t *Table) newDatagram(h *packet.Header) *datagram {
	if t.frags == nil {
		t.frags = new(fragments)
	}
	now := seconds(h.Time)
	t.sweep(&t.frags.sets[t.frags.hand], now)
	t.frags.hand++
	set := t.datagrams(h)
	t.sweep(set, now)
	oldest, age := &set[0], int64(-1)
	for i := range set {
		d := &set[i]
		if d.is(h) { // it is over, and its id used again
			oldest = d
			break
		}
		if !d.used {
			oldest, age = d, math.MaxInt64
		} else if a := d.age(now); max(a, -a) > age {
			oldest, age = d, max(a, -a)
		}
	}
	t.giveUp(oldest)
	t.stats.Fragments.Datagrams++
	*oldest = datagram{src: h.Src, dst: h.Dst, id: h.IPID, zone: h.Tunnel.Zone, net: h.Net, proto: h.Proto, used: true, at: now}
	return oldest
}

// sweep gives up what is over even for a fragment that is late.
func (t *Table) sweep(set *[datagramWays]datagram, now uint32) {
	for i := range set {
		if d := &set[i]; d.used && d.age(now) > 2*datagramWait {
			t.giveUp(d)
		}
	}
}

func (t *Table) giveUp(d *datagram) {
	if d.used && !d.whole {
		t.stats.Fragments.Incomplete++
	}
	d.used = false
}

// forgetFragments gives up all datagrams.
func (t *Table) forgetFragments() {
	if t.frags == nil {
		return
	}
	for s := range t.frags.sets {
		for i := range t.frags.sets[s] {
			t.giveUp(&t.frags.sets[s][i])
		}
	}
}

// counted follows a fragment into the flow that it was counted in: one without ports is
// remembered, and after a first one those that came before it are moved to its flow.
func (t *Table) counted(slot int32, h *packet.Header, l *lookup) {
	e := t.at(slot)
	if l.overlaps && e.overlaps < ^uint16(0) {
		e.overlaps++
	}
	d := t.datagram(h)
	if l.orphan {
		t.stats.Fragments.Orphans++
		if d == nil {
			return
		}
		o := &d.early
		if o.packets == 0 || o.flow != e.id || o.part != e.part {
			*o = orphans{flow: e.id, slot: slot, part: e.part, from: l.from, ttlMin: h.TTL, ttlMax: h.TTL, earliest: h.Time}
		}
		o.packets++
		o.bytes += int64(max(h.NetLen, 0))
		o.frames += int64(h.WireLen)
		o.earliest, o.ttlMin, o.ttlMax = min(o.earliest, h.Time), min(o.ttlMin, h.TTL), max(o.ttlMax, h.TTL)
		if l.overlaps {
			o.overlaps++
		}
		return
	}
	if d != nil && h.FragOff == 0 && d.early.packets > 0 {
		t.adopt(slot, l.from, d.early)
		d.early = orphans{}
	}
}

// adopt moves orphans from the flow without ports to that of their first fragment, which
// is in slot and was sent by side from.
func (t *Table) adopt(slot int32, from uint8, o orphans) {
	was := t.at(o.slot)
	if !was.live || was.id != o.flow || was.part != o.part {
		return // told, or ended
	}
	t.stats.Fragments.Orphans -= uint64(o.packets)
	if o.slot == slot {
		return // a protocol that has no ports
	}
	e := t.at(slot)
	a, b := &was.side[o.from], &e.side[from]
	a.packets, b.packets = a.packets-o.packets, b.packets+o.packets
	a.bytes, b.bytes = a.bytes-uint64(o.bytes), b.bytes+uint64(o.bytes)
	a.extra, b.extra = a.extra-uint32(o.frames-o.bytes), b.extra+uint32(o.frames-o.bytes)
	was.fragments, e.fragments = was.fragments-o.packets, e.fragments+o.packets
	moved := min(o.overlaps, was.overlaps)
	was.overlaps, e.overlaps = was.overlaps-moved, e.overlaps+min(moved, ^uint16(0)-e.overlaps)
	e.start, e.since = min(e.start, o.earliest), min(e.since, o.earliest)
	b.ttlMin, b.ttlMax = min(b.ttlMin, o.ttlMin), max(b.ttlMax, o.ttlMax)
	if was.part == 0 && was.icmpErrors == 0 && was.side[0].packets == 0 && was.side[1].packets == 0 {
		t.adopted++ // a flow that never was
		t.end(o.slot, Forced)
	}
}
