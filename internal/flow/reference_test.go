package flow

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// ledger is a slow, obvious meter: it remembers every packet of every conversation
// and looks up what each record of the table should say. A record must account for
// the next packets of its conversation, as many as it claims, and for nothing else.
type ledger struct {
	t       *testing.T
	cfg     Config
	packets map[string][]*packet.Header // by conversation, in the order of arrival
	told    map[string]int              // how many of them the records so far account for
	open    map[string]uint64           // flow that the conversation's last record belongs to
	first   map[uint64]int              // index of a flow's first packet
	parts   map[uint64]uint32
	ended   map[uint64]EndReason

	back      bool // the clock is set back now and then
	datagrams map[string]*wholeDatagram
	fragments FragmentStats
	moved     map[string]bool // conversations that fragments were taken from
	errors    map[string]int  // ICMP errors that quote a packet of the conversation
	errorsIn  map[string]int  // and those in its records
}

// wholeDatagram is a datagram with a place for each of its bytes.
type wholeDatagram struct {
	at     uint32
	first  bool
	sp, dp uint16
	seen   map[int]bool
	size   int
	whole  bool
	early  []*packet.Header // fragments that came before the first one
}

func newLedger(t *testing.T, cfg Config) *ledger {
	return &ledger{t: t, cfg: cfg, packets: map[string][]*packet.Header{}, told: map[string]int{}, open: map[string]uint64{},
		first: map[uint64]int{}, parts: map[uint64]uint32{}, ended: map[uint64]EndReason{},
		datagrams: map[string]*wholeDatagram{}, moved: map[string]bool{}, errors: map[string]int{}, errorsIn: map[string]int{}}
}

// conversation names what both directions have in common.
func conversation(h *packet.Header) string {
	if !h.IsIP() {
		a, b := h.SrcMAC.String(), h.DstMAC.String()
		return fmt.Sprint(h.Tunnel.ID, h.Net, min(a, b), max(a, b))
	}
	sp, dp := fmt.Sprint(h.SrcPort), fmt.Sprint(h.DstPort)
	if h.Proto == packet.ProtoICMP || h.Proto == packet.ProtoICMPv6 {
		ty, peer, paired := icmpPair(h.Proto, h.ICMPType, h.ICMPCode)
		if sp, dp = fmt.Sprint(min(ty, peer)), fmt.Sprint(min(ty, peer)); !paired {
			sp, dp = fmt.Sprint(ty), fmt.Sprint("code ", peer)
		}
	}
	a, b := packet.Addr(h.Src).String()+" "+sp, packet.Addr(h.Dst).String()+" "+dp
	return fmt.Sprint(h.Tunnel.ID, h.Net, h.Proto, min(a, b), max(a, b))
}

func (l *ledger) add(h packet.Header) {
	if h.Fragment {
		l.addFragment(&h)
		return
	}
	c := conversation(&h)
	l.packets[c] = append(l.packets[c], &h)
}

// addFragment adds a fragment to the conversation of its datagram, whose ports the first
// one tells. Those before it are in a conversation without ports; they are moved to the
// right one, unless a record has told of them. Window is 1 in a fragment that carries a
// byte again.
func (l *ledger) addFragment(h *packet.Header) {
	name, now := fmt.Sprint(h.Net, h.Src, h.Dst, h.Proto, h.IPID, h.Tunnel.Zone), seconds(h.Time)
	d := l.datagrams[name]
	if d != nil {
		if age := int64(now) - int64(d.at); age > 30 || age < -30 || d.whole && age > 2 {
			l.giveUp(d)
			d = nil
		}
	}
	if d == nil {
		d = &wholeDatagram{seen: map[int]bool{}}
		l.datagrams[name] = d
		l.fragments.Datagrams++
	}
	l.fragments.Packets++
	d.at = max(d.at, now)
	for i := range int(h.FragLen) {
		if d.seen[int(h.FragOff)+i] {
			h.Window = 1
		}
		d.seen[int(h.FragOff)+i] = true
	}
	l.fragments.Overlapping += uint64(h.Window)
	if !h.MoreFrag && d.size == 0 {
		d.size = int(h.FragOff) + int(h.FragLen)
	}
	if !d.whole && d.size > 0 && len(d.seen) == d.size {
		d.whole = true
		l.fragments.Whole++
	}
	if h.FragOff == 0 {
		d.first, d.sp, d.dp = true, h.SrcPort, h.DstPort
	}
	without := conversation(&packet.Header{Net: h.Net, Proto: h.Proto, Src: h.Src, Dst: h.Dst, Tunnel: h.Tunnel})
	h.SrcPort, h.DstPort = d.sp, d.dp
	c := conversation(h)
	l.packets[c] = append(l.packets[c], h)
	if !d.first {
		d.early = append(d.early, h)
		l.fragments.Orphans++
		return
	}
	for _, f := range d.early {
		at := slices.Index(l.packets[without], f)
		if at < l.told[without] {
			continue
		}
		l.fragments.Orphans--
		l.packets[without] = slices.Delete(l.packets[without], at, at+1)
		l.moved[without] = true
		f.SrcPort, f.DstPort = d.sp, d.dp
		l.packets[c] = append(l.packets[c], f)
	}
	d.early = nil
}

func (l *ledger) giveUp(d *wholeDatagram) {
	if !d.whole {
		l.fragments.Incomplete++
	}
}

// check compares one record with what the ledger has.
func (l *ledger) check(r *Record) {
	l.t.Helper()
	c := l.conversationOf(r)
	all := l.packets[c]
	from, n := l.told[c], int(r.Src.Packets+r.Dst.Packets)
	if n == 0 && r.ICMPErrors == 0 || from+n > len(all) {
		l.t.Fatalf("%s: a record of %d packets, where %d were added and %d told: %+v", c, n, len(all), from, r)
	}
	l.told[c] += n
	l.errorsIn[c] += int(r.ICMPErrors)
	if l.errorsIn[c] > l.errors[c] {
		l.t.Errorf("%s: %d ICMP errors in records, of %d", c, l.errorsIn[c], l.errors[c])
	}
	if (r.ICMPErrors == 0) != (r.ErrorType == 0) {
		l.t.Errorf("%s: %d errors, the last of type %d", c, r.ICMPErrors, r.ErrorType)
	}
	if _, known := l.first[r.ID]; !known {
		if was, before := l.open[c]; before && l.ended[was] == Active && l.told[c] > from {
			// A report is followed by the flow's end, which is silent when nothing came since.
			l.gapAllowsEnd(c, *all[from-1], *all[from])
		}
		l.first[r.ID], l.open[c] = from, r.ID
	} else if l.open[c] != r.ID {
		l.t.Fatalf("%s: a record of a flow that had ended: %+v", c, r)
	}
	if r.Part != l.parts[r.ID] {
		l.t.Errorf("%s: part %d, want %d", c, r.Part, l.parts[r.ID])
	}
	l.parts[r.ID]++
	if end := l.ended[r.ID]; end != "" && end != Active {
		l.t.Errorf("%s: a record after the end (%s): %+v", c, end, r)
	}
	l.ended[r.ID] = r.Reason

	if n == 0 { // a record of nothing but errors
		if r.End < r.Start || r.Since < r.Start {
			l.t.Errorf("%s: times %d, %d, %d", c, r.Start, r.Since, r.End)
		}
		return
	}
	span := all[from : from+n]
	var src, dst End
	fragments, overlapping := uint32(0), uint32(0)
	for _, h := range span {
		e := &dst
		if l.sent(&r.Src, r, h) {
			e = &src
		}
		e.Packets++
		e.Frames += uint64(h.WireLen)
		if h.IsIP() {
			e.Bytes += uint64(h.NetLen)
		} else {
			e.Bytes += uint64(h.PayloadLen)
		}
		if h.Fragment {
			fragments++
			overlapping += uint32(h.Window)
		}
	}
	type counts struct{ packets, bytes, frames uint64 }
	got := []counts{{r.Src.Packets, r.Src.Bytes, r.Src.Frames}, {r.Dst.Packets, r.Dst.Bytes, r.Dst.Frames}}
	want := []counts{{src.Packets, src.Bytes, src.Frames}, {dst.Packets, dst.Bytes, dst.Frames}}
	if !slices.Equal(got, want) || r.Fragments != fragments || r.Overlapping != overlapping {
		l.t.Errorf("%s: counts %+v and %d fragments (%d again), want %+v and %d (%d)", c, got, r.Fragments, r.Overlapping, want, fragments, overlapping)
	}
	if r.End < r.Start {
		l.t.Errorf("%s: ends %d before it starts", c, r.Start-r.End)
	}
	if l.moved[c] {
		return // and what the packets that left it said stays
	}

	// Of the whole life so far: start, flags, TTLs.
	life := all[l.first[r.ID] : from+n]
	start := int64(math.MaxInt64)
	var flags [2]uint8
	ttl := [2][2]uint8{{255, 0}, {255, 0}}
	for _, h := range life {
		side := 1
		if l.sent(&r.Src, r, h) {
			side = 0
		}
		start = min(start, h.Time)
		if h.Proto == packet.ProtoTCP && h.FragOff == 0 && h.IsIP() {
			flags[side] |= h.TCPFlags
		}
		ttl[side] = [2]uint8{min(ttl[side][0], h.TTL), max(ttl[side][1], h.TTL)}
	}
	if first := life[0]; r.VLAN != first.VLAN || r.InnerVLAN != first.InnerVLAN {
		l.t.Errorf("%s: VLAN %d and %d, want %d and %d", c, r.VLAN, r.InnerVLAN, first.VLAN, first.InnerVLAN)
	}
	if r.Start != start {
		l.t.Errorf("%s: start %d, want %d", c, r.Start, start)
	}
	for side, e := range []End{r.Src, r.Dst} {
		if e.Flags != flags[side] {
			l.t.Errorf("%s: flags %x, want %x", c, e.Flags, flags[side])
		}
		if ttl[side][1] > 0 && (e.TTLMin != ttl[side][0] || e.TTLMax != ttl[side][1]) {
			l.t.Errorf("%s: TTL %d to %d, want %v", c, e.TTLMin, e.TTLMax, ttl[side])
		}
	}
}

// gapAllowsEnd fails when two packets of one conversation were put into two flows
// although less than the shortest wait that ends one lay between them. The second
// may be late by three seconds, and the table counts whole ones.
func (l *ledger) gapAllowsEnd(c string, a, b packet.Header) {
	wait := l.cfg.IdleTimeout
	if a.Proto == packet.ProtoTCP && a.IsIP() {
		wait = closedQuiet * time.Second // it may have closed
	}
	if b.Proto == packet.ProtoTCP && b.TCPFlags&(packet.SYN|packet.ACK|packet.RST) == packet.SYN {
		wait = 0 // the ports are used again
	}
	if gap := time.Duration(b.Time - a.Time); gap >= 0 && gap < wait-4*time.Second && l.cfg.MaxFlows > 1000 && !l.back {
		l.t.Errorf("%s: split after %v of silence", c, gap)
	}
}

// sent reports whether h came from the end e of r.
func (l *ledger) sent(e *End, r *Record, h *packet.Header) bool {
	if !h.IsIP() {
		return h.SrcMAC == e.MAC
	}
	if h.Proto == packet.ProtoICMP || h.Proto == packet.ProtoICMPv6 {
		if r.Src.Addr == r.Dst.Addr {
			ty, peer, paired := icmpPair(h.Proto, h.ICMPType, h.ICMPCode)
			return (paired && icmpReply(h.Proto, ty, peer)) == (e == &r.Dst)
		}
		return packet.Addr(h.Src) == e.Addr
	}
	return packet.Addr(h.Src) == e.Addr && h.SrcPort == e.Port
}

func (l *ledger) conversationOf(r *Record) string {
	h := packet.Header{Net: r.Net, Proto: r.Proto, SrcMAC: r.Src.MAC, DstMAC: r.Dst.MAC,
		SrcPort: r.Src.Port, DstPort: r.Dst.Port, ICMPType: r.ICMPType, ICMPCode: r.ICMPCode, Tunnel: packet.Tunnel{ID: r.Tunnel.ID}}
	if r.IsIP() {
		h.Src, h.Dst = r.Src.Addr.As16(), r.Dst.Addr.As16()
		if _, _, paired := icmpPair(r.Proto, r.ICMPType, r.ICMPCode); !paired && l.packets[conversation(&h)] == nil {
			h.Src, h.Dst = h.Dst, h.Src // type and code belong to who sent the first packet
		}
	}
	return conversation(&h)
}

func (l *ledger) finish(s Stats) {
	l.t.Helper()
	for c, all := range l.packets {
		if l.told[c] != len(all) {
			l.t.Errorf("%s: %d packets added, %d in records", c, len(all), l.told[c])
		}
	}
	for _, d := range l.datagrams {
		l.giveUp(d)
	}
	if s.Fragments != l.fragments {
		l.t.Errorf("fragments %+v, want %+v", s.Fragments, l.fragments)
	}
	told, made := 0, 0
	for c, n := range l.errors {
		made, told = made+n, told+l.errorsIn[c]
	}
	if s.ICMPErrors != uint64(made) || s.ICMPLost != uint64(made-told) {
		l.t.Errorf("%d ICMP errors, %d of them lost; want %d and %d", s.ICMPErrors, s.ICMPLost, made, made-told)
	}
}

// traffic draws packets of a small network whose hosts talk with each other on a
// few ports, so that conversations meet again.
type traffic struct {
	*rand.Rand
	clock time.Duration
	back  bool             // the clock is set back now and then
	last  [8]packet.Header // some that ICMP errors quote
	about *packet.Header   // that the last ICMP error quoted
}

func (g *traffic) next() packet.Header {
	switch g.IntN(1000) {
	case 0:
		g.clock += time.Duration(g.IntN(400)) * time.Second
	case 1:
		g.clock += time.Duration(g.IntN(20)) * time.Second
	case 2:
		if g.back && g.IntN(10) == 0 {
			g.clock -= time.Duration(g.IntN(5000)) * time.Second // set back, before 1970 too
		}
	default:
		g.clock += time.Duration(g.IntN(20)) * time.Millisecond
	}
	h := packet.Header{Time: int64(time.Hour + g.clock), TTL: uint8(60 + g.IntN(5)), WireLen: 60 + g.IntN(1400)}
	if g.IntN(50) == 0 { // late by a little
		h.Time -= int64(g.IntN(3000)) * 1e6
	}
	h.SrcMAC, h.DstMAC = packet.MAC{2, 5: byte(g.IntN(4))}, packet.MAC{2, 5: byte(4 + g.IntN(4))}
	if g.IntN(2) == 0 {
		h.SrcMAC, h.DstMAC = h.DstMAC, h.SrcMAC
	}
	if g.IntN(4) == 0 {
		h.VLAN, h.InnerVLAN = uint16(g.IntN(3)), uint16(g.IntN(2))
	}
	h.PayloadLen = g.IntN(h.WireLen - 50)
	if g.IntN(4) == 0 { // of one of two networks that use the same addresses
		id := 1 + g.Uint32N(2)
		h.Tunnel = packet.Tunnel{Kind: packet.VXLAN, ID: id, Zone: packet.Zone(0, uint32(packet.VXLAN), id), Depth: 1}
	}
	if g.IntN(20) == 0 {
		h.Net = []uint16{packet.NetARP, 0x88cc, 0x26, 0x88b8}[g.IntN(4)]
		return h
	}
	h.Net, h.NetLen = packet.NetIPv4, h.WireLen-14
	a, b := byte(1+g.IntN(6)), byte(1+g.IntN(6))
	h.Src = [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: a}
	h.Dst = [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: b}
	if g.IntN(8) == 0 {
		h.Net = packet.NetIPv6
		h.Src, h.Dst = [16]byte{0: 0xfd, 15: a}, [16]byte{0: 0xfd, 15: b}
	}
	g.about = nil
	switch g.IntN(6) {
	case 0:
		if about := g.last[g.IntN(len(g.last))]; about.IsIP() && g.IntN(4) == 0 {
			g.about = &about
			return icmpError(h, about, g.IntN(4))
		}
		h.Proto = packet.ProtoICMP
		if h.Net == packet.NetIPv6 {
			h.Proto = packet.ProtoICMPv6
		}
		h.ICMPType, h.ICMPCode = []uint8{0, 8, 5, 13, 128, 129, 135, 136}[g.IntN(8)], uint8(g.IntN(2))
		return h
	case 1:
		h.Proto = 89
		return h
	case 2:
		h.Proto = packet.ProtoUDP
	default:
		h.Proto = packet.ProtoTCP
		h.TCPFlags = []uint8{packet.SYN, packet.SYN | packet.ACK, packet.ACK, packet.ACK, packet.ACK | packet.PSH,
			packet.ACK | packet.FIN, packet.RST, packet.RST | packet.ACK}[g.IntN(8)]
		h.Seq = uint32(g.IntN(5000))
	}
	h.SrcPort, h.DstPort = uint16(1000*(1+g.IntN(3))), uint16(80+g.IntN(2))
	if g.IntN(2) == 0 {
		h.SrcPort, h.DstPort = h.DstPort, h.SrcPort
	}
	if h.Proto != packet.ProtoTCP && g.IntN(5) == 0 && !g.back {
		// Of a few datagrams, so that fragments meet: in any order, again, and over each other.
		// When one is given up depends on its place when the clock is set back.
		h.Fragment, h.IPID = true, uint32(g.IntN(3))*0x1_0001
		shape := [...]struct {
			from, size uint16
			more       bool
		}{{0, 1480, true}, {0, 1480, true}, {0, 1400, true}, {1480, 1480, true}, {2960, 80, false}, {2960, 88, false}, {1400, 160, true}}[g.IntN(7)]
		h.FragOff, h.FragLen, h.MoreFrag = shape.from, shape.size, shape.more
		if h.FragOff != 0 {
			h.SrcPort, h.DstPort = 0, 0 // the table must find them itself
		}
		return h
	}
	g.last[g.IntN(len(g.last))] = h
	return h
}

// icmpError makes h an ICMP error that quotes a packet.
func icmpError(h, about packet.Header, kind int) packet.Header {
	h.Net, h.Src, h.Dst, h.Tunnel = about.Net, about.Dst, about.Src, about.Tunnel
	b := make([]byte, 28, 48)
	if h.Net == packet.NetIPv4 {
		h.Proto, h.ICMPType, h.ICMPCode = packet.ProtoICMP, []uint8{3, 3, 11, 12}[kind], uint8(kind)
		b[0], b[9] = 0x45, about.Proto
		copy(b[12:], about.Src[12:])
		copy(b[16:], about.Dst[12:])
		b = b[:20]
	} else {
		h.Proto, h.ICMPType, h.ICMPCode = packet.ProtoICMPv6, uint8(1+kind), uint8(kind)
		b = b[:40]
		b[0], b[6] = 0x60, about.Proto
		copy(b[8:], about.Src[:])
		copy(b[24:], about.Dst[:])
	}
	switch about.Proto {
	case packet.ProtoICMP, packet.ProtoICMPv6:
		b = append(b, about.ICMPType, about.ICMPCode, 0, 0)
	default:
		b = binary.BigEndian.AppendUint16(b, about.SrcPort)
		b = binary.BigEndian.AppendUint16(b, about.DstPort)
	}
	h.Payload = append(b, 0, 0, 0, 0)
	return h
}

func TestAgainstLedger(t *testing.T) {
	for _, c := range []struct {
		name  string
		flows int
		first time.Duration
	}{{"room for all", 1 << 12, 2 * time.Second}, {"hardly any room", 16, 2 * time.Second}, {"late reports", 1 << 12, time.Hour}} {
		seeds := uint64(20)
		if testing.Short() {
			seeds = 4
		}
		for seed := range seeds {
			t.Run(fmt.Sprint(c.name, " ", seed), func(t *testing.T) {
				cfg := Config{MaxFlows: c.flows, IdleTimeout: 20 * time.Second, TCPIdleTimeout: 700 * time.Second,
					ReportInterval: 7 * time.Second, FirstReport: c.first, CommunityID: true}
				if err := cfg.Validate(); err != nil {
					t.Fatal(err)
				}
				l := newLedger(t, cfg)
				table := NewTable(cfg, l.check)
				g := &traffic{Rand: rand.New(rand.NewPCG(seed, 1)), back: seed%2 == 1}
				l.back = g.back
				var added, lost uint64
				for range 20_000 {
					h := g.next()
					about := g.about
					if h.Proto != packet.ProtoICMP && h.Proto != packet.ProtoICMPv6 || h.Payload == nil {
						about = nil
					}
					if about != nil {
						l.errors[conversation(about)]++
					}
					// The table may hand out records before it counts h, never after.
					seen := h
					table.Add(&seen, 0)
					added++
					if now := table.Stats().ICMPLost; now != lost {
						lost = now
						if c := conversation(about); l.told[c] < len(l.packets[c]) {
							t.Errorf("%s: it is live, and an ICMP error did not find it", c)
						}
					}
					l.add(h)
					if t.Failed() {
						return
					}
				}
				table.Flush()
				l.finish(table.Stats())
				s := table.Stats()
				if s.Packets != added || s.Live != 0 || s.Flows != uint64(len(l.first)) {
					t.Errorf("totals %+v after %d packets in %d flows", s, added, len(l.first))
				}
				if (s.Evicted > 0) != (c.flows == 16) {
					t.Errorf("%d evicted", s.Evicted)
				}
			})
		}
	}
}
