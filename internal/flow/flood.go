package flow

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/axiomhq/hyperloglog"

	"github.com/monban/monban/internal/packet"
)

// A flood is more new flows a second to one end, or from one, than [Config].FloodRate
// of which nothing comes: SYNs with forged senders, a scan at full speed; or [spread] times as many
// to the hosts of one network, of which none stands out. A record for
// each would drown whoever reads them, so they are rolled up as they come. While a
// flood goes on a new flow of it is a candidate. One that talks becomes a flow like
// any other; one that does not within floodQuiet seconds, or has to make room for
// younger candidates, is counted in the flood and forgotten. Every packet is counted
// once: in a record, or in a [Flood].

const (
	floodQuiet    = 3       // seconds: of silence that end a candidate; below half the rate, that end a flood
	floodReport   = 10      // seconds between reports of a flood
	oneWay        = 8       // packets that make a flow of one direction more than an attempt
	maxFloods     = 32      // at a time
	spread        = 4       // times the rate of one end: that of a network
	maxCandidates = 1 << 17 // live at a time, 32 MiB
	watchBits     = 12
	maxPrefixes   = 1 << 12 // of IPv6 sources, in a flood
	toldPrefixes  = 16      // in a report
)

// floods is what a [Table] keeps of them.
type floods struct {
	rate    uint32
	emit    func(*Flood)
	watched [anyone][]watch
	active  [maxFloods]*rollup
	open    int // of active

	candidates queue

	evicted uint32 // flows that made room in this second without having talked
	any     uint8  // number plus one of the flood that they are counted in, 0 for none
	count   uint64
	rec     Flood
}

// watch counts the flows to or from an address by how far they came.
type watch struct {
	who    uint64 // digest of address and protocol
	second uint32 // what fresh and talked are of
	fresh  uint32 // new flows
	talked uint32 // of which something came
	before uint32 // talked in the second before
	flood  uint8  // number plus one
}

// roll goes on to a second of the table's clock.
func (w *watch) roll(second uint32) {
	if w.second == second {
		return
	}
	w.before = 0
	if second-w.second == 1 {
		w.before = w.talked
	}
	w.second, w.fresh, w.talked = second, 0, 0
}

// floods reports whether so many flows came to nothing in this second, beyond as many as came to
// something in the one before, which tells of a service that is merely busy.
func (w *watch) floods(rate uint32) bool {
	return w.fresh > w.talked && w.fresh-w.talked > rate+w.before
}

// queue holds flows by age, a bounded number of them.
type queue struct {
	list        []queued // a power of two
	first, held uint32
}

// queued is a flow, if slot still holds id.
type queued struct {
	slot int32
	id   uint32
}

func newQueue(n int) queue { return queue{list: make([]queued, n)} }

func (q *queue) full() bool { return int(q.held) == len(q.list) }

// at gives the i-th oldest. It asks for i below held.
func (q *queue) at(i uint32) queued { return q.list[(q.first+i)&uint32(len(q.list)-1)] }

// push forgets the oldest when the queue is full.
func (q *queue) push(c queued) {
	if q.full() {
		q.first++
		q.held--
	}
	q.list[(q.first+q.held)&uint32(len(q.list)-1)] = c
	q.held++
}

func (q *queue) pop() (c queued, some bool) {
	if q.held == 0 {
		return c, false
	}
	c = q.at(0)
	q.first++
	q.held--
	return c, true
}

// rollup is a flood that goes on.
type rollup struct {
	number  uint8
	by      int // toOne, fromOne, toMany or anyone
	watch   *watch
	rate    uint32 // flows a second that make it, and half of which keep it open
	addr    [16]byte
	net     uint16
	proto   uint8
	vlan    uint16 // of its first flow, where that is in a network apart
	tunnel  uint16 // likewise
	id      uint64
	part    uint32
	start   int64
	since   int64 // first packet since the last report
	last    int64
	told    uint32 // clock of the last report
	fresh   uint32 // flows that joined in this second
	quiet   uint32 // seconds below half the rate
	pending int    // candidates that are live

	total     uint64 // flows since the beginning
	flows     uint64 // since the last report, as all counts down to prefixes
	packets   [2]uint64
	bytes     [2]uint64
	frames    [2]uint64
	prefixes  []uint32          // packets by the first 16 bits of an IPv4 source
	prefixes6 map[uint32]uint64 // and by the first 32 of an IPv6 one
	others    uint64            // packets of what has no place in these

	peers *hyperloglog.Sketch // the many ends, over the flood's whole life: who sends, or to whom one sends
	sent  *hyperloglog.Sketch // to whom, when those are many, too
	ports [1024]uint64        // destination ports seen, a bit each
	port  uint16              // the first of them
	kinds int
}

// How the flows of a flood belong together.
const (
	toOne   = iota // one receiver
	fromOne        // one sender
	toMany         // receivers of one network
	anyone         // no name: they have to make room, too many a second
)

// watchFor finds the watch of an address. The slot of another address is taken over,
// unless a flood goes on there.
func (t *Table) watchFor(by int, addr *[16]byte, k *key) *watch {
	who := mum(binary.LittleEndian.Uint64(addr[:8])^t.seed[0], binary.LittleEndian.Uint64(addr[8:])^t.seed[1]^uint64(k.zone)<<24^uint64(k.net)<<8^uint64(k.proto))
	w := &t.floods.watched[by][who>>(64-watchBits)]
	if w.who != who {
		if w.flood != 0 {
			return nil
		}
		*w = watch{who: who, second: t.clock}
	}
	w.roll(t.clock)
	return w
}

func (k *key) end(i uint8) *[16]byte {
	if i == 0 {
		return &k.lo
	}
	return &k.hi
}

// born looks whether a new flow is one of a flood. In a flood who sends first is who floods,
// whichever end is taken for the initiator: an answer that nobody asked for is an attempt as well.
func (t *Table) born(slot int32, e *entry, h *packet.Header) {
	f := &t.floods
	if f.rate == 0 {
		return
	}
	for by := range anyone {
		rate := f.rate
		if by == toMany {
			if rate *= spread; !h.IsIP() || h.DstMAC.IsGroup() {
				return
			}
		}
		addr := e.flooded(by)
		w := t.watchFor(by, &addr, &e.key)
		if w == nil {
			continue
		}
		w.fresh++
		if w.flood == 0 && w.floods(rate) {
			t.beginFlood(by, w, &addr, e, h.Time, rate)
		}
		if w.flood != 0 {
			t.nurse(slot, e, w.flood)
			return
		}
	}
}

// flooded is the address by which a flood with this flow in it would be told from others.
func (e *entry) flooded(by int) (addr [16]byte) {
	if by == fromOne {
		return *e.key.end(e.opener)
	}
	addr = *e.key.end(1 - e.opener)
	if by == toMany {
		switch e.key.net {
		case packet.NetIPv4:
			addr[15] = 0
		case packet.NetIPv6:
			clear(addr[8:])
		}
	}
	return addr
}

// beginFlood opens a flood. It goes on while half of rate join it.
func (t *Table) beginFlood(by int, w *watch, addr *[16]byte, e *entry, now int64, rate uint32) {
	f := &t.floods
	at := slices.Index(f.active[:], nil)
	if at < 0 {
		return // its flows stay what they are
	}
	f.count++
	r := &rollup{number: uint8(at), by: by, watch: w, rate: rate, told: t.clock, start: now, since: now, last: now, peers: hyperloglog.NewNoSparse()}
	if addr != nil {
		r.addr, r.net, r.proto = *addr, e.key.net, e.key.proto
		w.flood = uint8(at) + 1
		if e.key.zone != 0 {
			r.vlan, r.tunnel = e.vlan, e.tunnel
		}
	}
	if by == toMany || by == anyone {
		r.sent = hyperloglog.NewNoSparse()
	}
	r.id = e.key.id(now, f.count<<32)
	f.active[at] = r
	f.open++
	t.tellFlood(r, FloodBegun)
}

// nurse makes a new flow a candidate.
func (t *Table) nurse(slot int32, e *entry, flood uint8) {
	f := &t.floods
	if f.candidates.list == nil {
		f.candidates = newQueue(max(1, min(maxCandidates, 1<<(bits.Len(uint(t.cfg.MaxFlows/4))-1))))
	}
	if f.candidates.full() {
		old, _ := f.candidates.pop()
		if o := t.at(old.slot); o.live && uint32(o.id) == old.id && o.flood != 0 {
			t.end(old.slot, Evict)
		}
	}
	f.candidates.push(queued{slot, uint32(e.id)})
	r := f.active[flood-1]
	r.fresh++
	r.pending++
	e.flood = flood
}

// talk notes when a flow becomes more than an attempt: when both ends have spoken, of a
// TCP connection beyond the handshake, or when one keeps on without an answer.
func (t *Table) talk(e *entry, h *packet.Header, from uint8) {
	s := &e.side[from]
	switch {
	case !e.side[1-from].seen:
		if s.packets < oneWay || h.Proto == packet.ProtoTCP && h.TCPFlags&packet.SYN != 0 {
			return
		}
	case h.Proto == packet.ProtoTCP && h.IsIP() && h.TCPFlags&(packet.SYN|packet.RST) != 0:
		return
	}
	e.talks = true
	if t.floods.rate == 0 {
		return
	}
	for by := range anyone {
		addr := e.flooded(by)
		if w := t.watchFor(by, &addr, &e.key); w != nil {
			w.talked++
		}
	}
	if e.flood != 0 {
		r := t.floods.active[e.flood-1]
		r.pending--
		r.fresh -= min(r.fresh, 1)
		e.flood = 0
	}
}

// fold counts a flow of which nothing came in a flood.
func (t *Table) fold(e *entry, r *rollup) {
	src, dst := &e.side[e.opener], &e.side[1-e.opener]
	n := uint64(src.packets) + uint64(dst.packets)
	if n == 0 {
		return
	}
	r.flows++
	r.total++
	for i, s := range [2]*side{src, dst} {
		r.packets[i] += uint64(s.packets)
		r.bytes[i] += s.bytes
		r.frames[i] += s.bytes + uint64(s.extra)
	}
	r.since = min(r.since, e.since)
	r.last = max(r.last, e.last)
	t.stats.Flooded += n

	source := e.key.end(e.opener)
	if r.by == fromOne {
		r.peers.InsertHash(t.digest(e.key.end(1 - e.opener)))
	} else {
		r.peers.InsertHash(t.digest(source))
	}
	if r.sent != nil {
		r.sent.InsertHash(t.digest(e.key.end(1 - e.opener)))
	}
	port := e.key.hiPort
	if e.opener == 1 {
		port = e.key.loPort
	}
	if bit := uint64(1) << (port & 63); r.ports[port>>6]&bit == 0 {
		if r.kinds == 0 {
			r.port = port
		}
		r.ports[port>>6] |= bit
		r.kinds++
	}
	switch {
	case e.key.net == packet.NetIPv4:
		if r.prefixes == nil {
			r.prefixes = make([]uint32, 1<<16)
		}
		r.prefixes[binary.BigEndian.Uint16(source[12:])] += uint32(n)
	case e.key.net == packet.NetIPv6:
		p := binary.BigEndian.Uint32(source[:])
		if _, known := r.prefixes6[p]; !known && len(r.prefixes6) >= maxPrefixes {
			r.others += n
			break
		}
		if r.prefixes6 == nil {
			r.prefixes6 = map[uint32]uint64{}
		}
		r.prefixes6[p] += n
	default:
		r.others += n
	}
}

// digest is of an address, to count distinct ones by.
func (t *Table) digest(addr *[16]byte) uint64 {
	who := mum(binary.LittleEndian.Uint64(addr[:8])^t.seed[0], binary.LittleEndian.Uint64(addr[8:])^t.seed[2])
	return mum(who^t.seed[1], 0x9e3779b97f4a7c15) // one multiplication mixes IPv4 addresses too little to estimate by
}

// crowded decides what becomes of a flow that has to make room without having talked:
// where that happens all the time it is a flood without a name.
func (t *Table) crowded(e *entry, now int64) *rollup {
	f := &t.floods
	if f.rate == 0 || e.talks {
		return nil
	}
	if f.evicted++; f.any == 0 {
		if f.evicted <= f.rate {
			return nil
		}
		before := f.open
		t.beginFlood(anyone, nil, nil, e, now, f.rate)
		if f.open == before {
			return nil
		}
		f.any = uint8(slices.IndexFunc(f.active[:], func(r *rollup) bool { return r != nil && r.by == anyone })) + 1
	}
	r := f.active[f.any-1]
	r.fresh++
	return r
}

// watchFloods looks, once a second of the table's clock, how each flood goes on.
func (t *Table) watchFloods(passed uint32) {
	f := &t.floods
	f.evicted = 0
	if f.open == 0 {
		return
	}
	for _, r := range f.active {
		if r == nil {
			continue
		}
		if r.fresh > r.rate/2 {
			r.quiet = passed - 1
		} else {
			r.quiet += passed
		}
		r.fresh = 0
		if r.quiet >= floodQuiet { // what comes now is no part of it
			t.detach(r)
		}
	}
}

// endFloods reports those that came to their end, once the clock's second is worked off.
func (t *Table) endFloods() {
	if t.floods.open == 0 {
		return
	}
	for _, r := range t.floods.active {
		switch {
		case r == nil:
		case r.quiet >= floodQuiet && r.pending == 0:
			t.endFlood(r)
		case t.clock-r.told >= floodReport:
			t.tellFlood(r, FloodGoesOn)
		}
	}
}

func (t *Table) endFlood(r *rollup) {
	t.detach(r)
	t.tellFlood(r, FloodEnded)
	t.floods.active[r.number] = nil
	t.floods.open--
}

// tellFlood reports what a flood brought since its last report.
func (t *Table) tellFlood(r *rollup, state FloodState) {
	f := &t.floods.rec
	*f = Flood{
		ID: r.id, State: state, Start: r.start, Since: r.since, End: r.last, Net: r.net, Proto: r.proto, Part: r.part,
		Flows: r.flows, Total: r.total, Packets: r.packets[0], Bytes: r.bytes[0], Frames: r.frames[0],
		ReversePackets: r.packets[1], ReverseBytes: r.bytes[1], ReverseFrames: r.frames[1],
		Ports: r.kinds, Rate: r.rate,
	}
	if r.kinds == 1 {
		f.Port = r.port
	}
	many := r.peers.Estimate()
	switch ip := r.net == packet.NetIPv4 || r.net == packet.NetIPv6; {
	case r.by == fromOne:
		f.Destinations = many
		if f.SourceMAC = packet.MAC(r.addr[:6]); ip {
			f.Source, f.SourceMAC = packet.Addr(r.addr), packet.MAC{}
		}
	case r.by == toOne:
		f.Sources = many
		if f.DestinationMAC = packet.MAC(r.addr[:6]); ip {
			f.Destination, f.DestinationMAC = packet.Addr(r.addr), packet.MAC{}
		}
	default:
		f.Sources, f.Destinations = many, r.sent.Estimate()
		if r.by == toMany {
			bits := 24
			if r.net == packet.NetIPv6 {
				bits = 64
			}
			f.Network = netip.PrefixFrom(packet.Addr(r.addr), bits).String()
		}
	}
	if r.vlan != 0 && t.cfg.SeparateVLANs {
		f.VLAN = r.vlan
	}
	if r.tunnel != 0 {
		f.TunnelType, f.TunnelID = t.tunnels.list[r.tunnel].Type, t.tunnels.list[r.tunnel].ID
	}
	r.tellPrefixes(f)
	r.part++
	r.told = t.clock
	r.since = r.last
	r.flows, r.packets, r.bytes, r.frames = 0, [2]uint64{}, [2]uint64{}, [2]uint64{}
	if t.floods.emit != nil {
		t.floods.emit(f)
	}
}

// tellPrefixes lists where most packets came from, and forgets it. Packets of all
// others are the last number, which has no prefix.
func (r *rollup) tellPrefixes(f *Flood) {
	type share struct {
		prefix netip.Prefix
		n      uint64
	}
	var all []share
	for i, n := range r.prefixes {
		if n > 0 {
			all = append(all, share{netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 8), byte(i)}), 16), uint64(n)})
			r.prefixes[i] = 0
		}
	}
	for p, n := range r.prefixes6 {
		var a [16]byte
		binary.BigEndian.PutUint32(a[:], p)
		all = append(all, share{netip.PrefixFrom(netip.AddrFrom16(a), 32), n})
	}
	clear(r.prefixes6)
	rest := r.others
	r.others = 0
	f.PrefixCount = len(all)
	slices.SortFunc(all, func(a, b share) int {
		if a.n != b.n {
			return int(min(max(int64(b.n)-int64(a.n), -1), 1))
		}
		return a.prefix.Addr().Compare(b.prefix.Addr())
	})
	for i, s := range all {
		if i < toldPrefixes {
			f.Prefixes = append(f.Prefixes, s.prefix.String())
			f.PrefixPackets = append(f.PrefixPackets, int64(s.n))
		} else {
			rest += s.n
		}
	}
	if rest > 0 {
		f.PrefixPackets = append(f.PrefixPackets, int64(rest))
	}
}

// detach lets no more flows join r.
func (t *Table) detach(r *rollup) {
	if w := r.watch; w == nil && t.floods.any == r.number+1 {
		t.floods.any = 0
	} else if w != nil && w.flood == r.number+1 { // and not that of a flood which began since
		w.flood = 0
	}
}
