package flow

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"runtime"

	"github.com/monban/monban/internal/packet"
)

// side is what one end of a flow sent since the last record.
type side struct {
	bytes   uint64
	extra   uint32 // of whole frames, beyond bytes
	packets uint32
	next    uint32 // next expected TCP sequence number, valid iff known
	retrans uint16
	missing uint16 // bytes before next that were not seen
	flags   uint8
	ttlMin  uint8
	ttlMax  uint8
	dscp    uint8
	tcp     tcpState
	seen    bool // has sent anything in the flow's life
	data    bool // has sent payload in the flow's life
	known   bool // next is valid
}

// full is where a record is written before its time, so that no counter of a side
// overflows.
const full = 31 // bits

// entry is one live flow. It holds no pointers, so that the garbage collector
// never walks the slab. It is four cache lines long: every packet needs the first
// two, one with payload the third.
type entry struct {
	key       key
	touched   uint32 // table clock of the last packet, seconds
	last      int64
	src       uint8 // which side is the initiator
	lastData  uint8 // side of the last payload plus one
	sizeCount uint8
	flood     uint8 // number of the flood that it may be a part of, plus one
	closing   bool
	noted     bool
	talks     bool  // both ends have spoken, see [Table.talk]
	opener    uint8 // which side sent the first packet

	side [2]side // 0 is lo, 1 is hi

	start    int64
	since    int64   // first packet since the last record
	message  int64   // start of the initiator's last message
	mean, m2 float32 // Welford's running mean and squares of the message intervals, seconds
	messages uint32
	sizes    [4]int16
	report   uint32 // table clock of the next report
	due      uint32 // wheel slot holds the entry until then
	hash     uint32

	id          uint64
	prev, next  int32     // neighbours in the wheel slot, -1 at the ends
	syn         [2]uint16 // of each side: index of the stack facts in Table.stacks, 0 for none
	part        uint32
	fragments   uint32
	srcMAC      packet.MAC
	dstMAC      packet.MAC
	vlan, inner uint16
	iface       uint16
	tunnel      uint16 // index in Table.tunnels, 0 for none
	icmpType    uint8
	icmpCode    uint8
	guessed     bool
	live        bool
	overlaps    uint16 // fragments with bytes that were seen before, and
	icmpErrors  uint16 // ICMP errors that speak of the flow, since the last record
	errorType   uint8  // of the last of them
	errorCode   uint8
	service     uint8 // index in notebook.services

	_ [7]byte // to four cache lines
}

const (
	chunkBits = 13 // two MiB, a huge page
	chunkSize = 1 << chunkBits
	slots     = 512 // one second each; longer waits go round more than once
)

// Table holds the live flows. It is not safe for concurrent use.
type Table struct {
	cfg  Config
	emit func(*Record)
	seed [3]uint64

	chunks  []*[chunkSize]entry
	free    []int32
	used    int32
	index   []uint64 // hash<<32 | entry+1, open addressing, linear probing
	mask    uint32
	release func() // gives the index's memory back
	wheel   [slots]int32
	clock   uint32 // seconds
	second  int64  // when the clock's second began, Unix nanoseconds, or unknown
	behind  int    // packets in a row far behind the clock
	hand    int32  // eviction's clock hand

	idle, tcpIdle, interval, first uint32

	stacks   []string // interned stack facts
	stackIdx map[string]uint16
	floods   floods
	births   queue // the latest flows
	shown    [maxShown]shown
	notes    notebook
	tunnels  tunnels
	names    []string   // interface names
	frags    *fragments // nil until one comes
	adopted  uint64     // flows of fragments that all went to another
	rec      Record
	sizeBuf  [4]int64
	stats    Stats
	ahead    ahead
}

// OnFlood makes the table roll up floods, and hand what it has of them to emit, which
// must not keep it. Without, every flow becomes a record.
func (t *Table) OnFlood(emit func(*Flood)) {
	t.floods.emit, t.floods.rate = emit, uint32(t.cfg.FloodRate)
	if t.floods.rate > 0 {
		for by := range t.floods.watched {
			t.floods.watched[by] = make([]watch, 1<<watchBits)
		}
	}
}

// NewTable makes a table that hands every record to emit. The record is reused:
// emit must not keep it.
func NewTable(cfg Config, emit func(*Record)) *Table {
	t := &Table{
		cfg: cfg, emit: emit,
		idle: uint32(cfg.IdleTimeout.Seconds()), tcpIdle: uint32(cfg.TCPIdleTimeout.Seconds()),
		interval: uint32(cfg.ReportInterval.Seconds()), first: uint32(cfg.FirstReport.Seconds()),
		stacks: []string{""}, stackIdx: map[string]uint16{}, notes: newNotebook(),
	}
	var b [24]byte
	t.births, t.second = newQueue(1<<12), unknown
	rand.Read(b[:])
	for i := range t.seed {
		t.seed[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	t.resize(1 << 12)
	for i := range t.wheel {
		t.wheel[i] = -1
	}
	return t
}

// SetInterfaces names the interfaces by the index that [Table.Add] is given.
// With fewer than two no record carries a name.
func (t *Table) SetInterfaces(names []string) { t.names = names }

// Stats gives the totals so far.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Live = int(t.used) - len(t.free)
	s.Tunnels, s.Unnamed = max(len(t.tunnels.list)-1, 0), t.tunnels.unnamed
	s.Flows -= t.adopted
	s.Unnoted, s.Noted = t.notes.left, t.notes.bytes
	return s
}

func (t *Table) at(i int32) *entry { return &t.chunks[i>>chunkBits][i&(chunkSize-1)] }

// Add counts one packet and returns the slot of its flow, valid until the next Add.
func (t *Table) Add(h *packet.Header, iface int) (slot int32) {
	l := t.lookup(h)
	t.advance(h.Time)
	t.stats.Packets++
	if slot = l.slot; slot < 0 || !t.at(slot).key.is(&l.key) {
		slot = t.find(&l.key, l.hash)
	}
	if slot >= 0 {
		e := t.at(slot)
		if h.Proto == packet.ProtoTCP && h.TCPFlags&packet.SYN != 0 && e.reused(h, l.from) {
			t.end(slot, Ended) // the ports are used again
			slot = -1
		}
	}
	if slot < 0 {
		slot = t.insert(&l.key, l.hash, h, l.from, iface)
	}
	t.count(slot, h, l.from)
	if h.Fragment {
		t.counted(slot, h, l)
	}
	if h.Proto == packet.ProtoICMP || h.Proto == packet.ProtoICMPv6 {
		t.icmpError(h)
	}
	runtime.KeepAlive(t) // and with it the entries, which the collector does not know
	return slot
}

// Tick moves the table's clock forward when no packets come. now is Unix nanoseconds.
func (t *Table) Tick(now int64) {
	if s := seconds(now); s > t.clock && t.clock != 0 {
		t.turn(s)
	}
}

// Flush writes a record for every live flow and forgets them all.
func (t *Table) Flush() {
	t.endAll()
	t.forgetFragments()
}

func (t *Table) endAll() {
	for i := range t.used {
		if t.at(i).live {
			t.end(i, Forced)
		}
	}
	for _, r := range t.floods.active {
		if r != nil {
			t.endFlood(r)
		}
	}
}

// Hurry brings the next record of the flow in slot forward to within a second.
func (t *Table) Hurry(slot int32) {
	e := t.at(slot)
	if soon := t.clock + 1; e.report > soon {
		e.report = soon
		t.reschedule(slot, e)
	}
}

// Initiator reports whether h was sent by its flow's initiator.
func (t *Table) Initiator(slot int32, h *packet.Header) bool {
	var k key
	from := t.keyOf(h, &k)
	src := t.at(slot).src
	runtime.KeepAlive(t)
	return from == src
}

// seconds is the table's clock at a time. It ends in the year 2106, short of where
// the longest timeout would overflow it.
func seconds(ns int64) uint32 {
	const end = math.MaxUint32 - 2*86400
	return uint32(min(max(ns, 0)/1e9+1, end))
}

const unknown = math.MinInt64 / 2 // a time that no packet has

// advance moves the clock to a packet's time. A few packets from the past are
// merged tape heads or reordering; many in a row far behind mean that the
// source's clock was set back.
func (t *Table) advance(ns int64) {
	if uint64(ns-t.second) < 1e9 { // as nearly always
		t.behind = 0
		return
	}
	s := seconds(ns)
	switch {
	case s == t.clock:
		t.behind = 0
	case s > t.clock:
		if t.clock == 0 {
			t.clock = s
		}
		t.turn(s)
		t.behind = 0
		if ns >= 0 && seconds(ns+1e9) == s+1 {
			t.second = ns - ns%1e9
		}
	case t.clock-s > 60:
		if t.behind++; t.behind > 100 {
			t.endAll()
			t.stats.Resets++
			t.clock, t.second, t.behind = s, unknown, 0
		}
	}
}

// probe gives the first slot whose hash is the same, or -1.
func (t *Table) probe(hash uint32) int32 {
	for i := hash & t.mask; ; i = (i + 1) & t.mask {
		if v := t.index[i]; v == 0 || uint32(v>>32) == hash {
			return int32(uint32(v)) - 1
		}
	}
}

func (t *Table) find(k *key, hash uint32) int32 {
	for i := hash & t.mask; ; i = (i + 1) & t.mask {
		v := t.index[i]
		if v == 0 {
			return -1
		}
		if uint32(v>>32) == hash {
			if s := int32(uint32(v)) - 1; t.at(s).key.is(k) {
				return s
			}
		}
	}
}

func (t *Table) resize(n uint32) {
	release := t.release
	t.index, t.release = newIndex(t, n)
	t.mask = n - 1
	for i := range t.used {
		if e := t.at(i); e.live {
			t.place(i, e.hash)
		}
	}
	if release != nil {
		release()
	}
}

func (t *Table) place(slot int32, hash uint32) {
	i := hash & t.mask
	for t.index[i] != 0 {
		i = (i + 1) & t.mask
	}
	t.index[i] = uint64(hash)<<32 | uint64(uint32(slot+1))
}

// unplace removes a slot from the index and closes the gap, so that no
// tombstones pile up.
func (t *Table) unplace(slot int32, hash uint32) {
	i := hash & t.mask
	for uint32(t.index[i]) != uint32(slot+1) {
		i = (i + 1) & t.mask
	}
	for j := i; ; {
		t.index[i] = 0
		for {
			if j = (j + 1) & t.mask; t.index[j] == 0 {
				return
			}
			home := uint32(t.index[j]>>32) & t.mask
			if (j-home)&t.mask >= (j-i)&t.mask {
				break
			}
		}
		t.index[i], i = t.index[j], j
	}
}

func (t *Table) insert(k *key, hash uint32, h *packet.Header, from uint8, iface int) int32 {
	live := int(t.used) - len(t.free)
	if live >= t.cfg.MaxFlows {
		t.evict(h.Time)
	} else if uint32(live) >= uint32(len(t.index))/2 {
		t.resize(uint32(len(t.index)) * 2)
	}
	var slot int32
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		slot = t.used
		if t.used++; int(slot)>>chunkBits == len(t.chunks) {
			t.chunks = append(t.chunks, newChunk(t))
		}
	}
	e := t.at(slot)
	*e = entry{
		key: *k, hash: hash, id: k.id(h.Time, t.stats.Flows), start: h.Time, last: h.Time,
		srcMAC: h.SrcMAC, dstMAC: h.DstMAC, vlan: h.VLAN, inner: h.InnerVLAN, iface: uint16(iface),
		icmpType: h.ICMPType, icmpCode: h.ICMPCode, live: true,
	}
	e.opener = from
	e.src, e.guessed = initiator(h, from)
	if e.src != from {
		e.srcMAC, e.dstMAC = e.dstMAC, e.srcMAC
	}
	if h.Tunnel.Depth > 0 {
		e.tunnel = t.tunnels.index(&h.Tunnel, e.src != from)
	}
	e.touched = t.clock
	e.report = t.clock + min(t.first, unansweredQuiet)
	t.place(slot, hash)
	t.births.push(queued{slot, uint32(e.id)})
	t.born(slot, e, h)
	e.due = min(e.report, t.expiry(e))
	t.link(slot, e)
	t.stats.Flows++
	return slot
}

// evict ends the least useful flow of a few: one that never talked before one that did,
// then the longest silent. Where all of those talk it takes the oldest of the latest
// flows that does not: what talks must not go because of what does not.
func (t *Table) evict(now int64) {
	best, bestAge := int32(-1), uint32(0)
	for seen := 0; seen < 8; {
		if t.hand++; t.hand >= t.used {
			t.hand = 0
		}
		e := t.at(t.hand)
		if !e.live {
			continue
		}
		seen++
		age := t.clock - e.touched + 1
		if !e.talks {
			age += 1 << 20
		}
		if age > bestAge {
			best, bestAge = t.hand, age
		}
	}
	for bestAge < 1<<20 {
		c, some := t.births.pop()
		if !some {
			break
		}
		if e := t.at(c.slot); e.live && uint32(e.id) == c.id && !e.talks {
			best, bestAge = c.slot, 1<<20
		}
	}
	t.stats.Evicted++
	e := t.at(best)
	if e.flood == 0 {
		if r := t.crowded(e, now); r != nil {
			r.pending++
			e.flood = r.number + 1
		}
	}
	t.end(best, Evict)
}

// expiry is the clock at which silence ends the flow.
func (t *Table) expiry(e *entry) uint32 {
	switch {
	case e.flood != 0:
		return e.touched + floodQuiet
	case e.closing:
		return e.touched + closedQuiet
	case e.key.proto == packet.ProtoTCP && (e.key.net == packet.NetIPv4 || e.key.net == packet.NetIPv6):
		return e.touched + t.tcpIdle
	}
	return e.touched + t.idle
}

func (t *Table) link(slot int32, e *entry) {
	head := &t.wheel[e.due%slots]
	e.prev, e.next = -1, *head
	if *head >= 0 {
		t.at(*head).prev = slot
	}
	*head = slot
}

func (t *Table) unlink(e *entry) {
	if e.prev >= 0 {
		t.at(e.prev).next = e.next
	} else {
		t.wheel[e.due%slots] = e.next
	}
	if e.next >= 0 {
		t.at(e.next).prev = e.prev
	}
}

// reschedule moves an entry to where it is due now.
func (t *Table) reschedule(slot int32, e *entry) {
	due := max(min(e.report, t.expiry(e)), t.clock+1)
	if due == e.due {
		return
	}
	t.unlink(e)
	e.due = due
	t.link(slot, e)
}

// turn moves the wheel to now: what is due is reported, ended, or put where it
// is due in truth, since packets do not move entries.
func (t *Table) turn(now uint32) {
	from := t.clock + 1
	if now-t.clock > slots {
		from = now - slots + 1
	}
	passed := now - t.clock
	t.clock, t.second = now, unknown
	t.watchFloods(passed)
	for s := from; s <= now && s >= from; s++ {
		for i := t.wheel[s%slots]; i >= 0; {
			e := t.at(i)
			next := e.next
			if e.due <= now {
				t.due(i, e)
			}
			i = next
		}
	}
	t.endFloods()
}

func (t *Table) due(slot int32, e *entry) {
	if t.expiry(e) <= t.clock {
		reason := Idle
		if e.closing {
			reason = Ended
		}
		t.end(slot, reason)
		return
	}
	if e.flood != 0 {
		if r := t.floods.active[e.flood-1]; r.quiet >= floodQuiet { // it is over, and this goes on
			r.pending--
			e.flood = 0
		}
	}
	if e.report <= t.clock && e.flood != 0 {
		e.report = t.clock + floodQuiet // not before it is known what it is
	} else if e.report <= t.clock {
		// A flow that was answered waits for its ordinary first report, unless
		// someone noted something that is worth telling now.
		answered := e.side[0].seen && e.side[1].seen
		if wait := seconds(e.start) + t.first; e.part == 0 && answered && !e.noted && t.clock < wait {
			e.report = min(wait, t.clock+t.first)
		} else {
			t.write(e, slot, Active)
			e.report = t.clock + t.interval
		}
	}
	t.reschedule(slot, e)
}

// end writes the last record of a flow and frees its slot.
func (t *Table) end(slot int32, reason EndReason) {
	e := t.at(slot)
	if e.flood != 0 {
		r := t.floods.active[e.flood-1]
		t.fold(e, r)
		r.pending--
	} else {
		t.write(e, slot, reason)
	}
	t.unlink(e)
	t.unplace(slot, e.hash)
	t.notes.drop(e, slot)
	e.live, e.key.dead = false, 1
	t.free = append(t.free, slot)
}
