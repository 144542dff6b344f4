package app

import (
	"encoding/binary"
	"net/netip"

	"github.com/monban/monban/internal/packet"
)

// ICMPv6 types of neighbour discovery.
const (
	ndpSolicit   = 135
	ndpAdvertise = 136
)

// claims remembers which MAC claimed an address last, so that a change of hands
// is told at once. A slot is taken over by another address that falls on it.
type claims struct{ last []claim }

type claim struct {
	addr    digest
	mac     packet.MAC
	changed int64 // when it last changed hands, 0 for never
}

const (
	claimEntries = 4096
	conflictLast = 60 * nsPerSecond // a conflict goes on for that long after the last change of hands
)

func (c *claims) init() { c.last = make([]claim, claimEntries) }

// conflict notes a claim and reports whether the address changes hands, now or
// not long ago.
func (c *claims) conflict(addr digest, m packet.MAC, now int64) bool {
	e := &c.last[addr%claimEntries]
	switch {
	case e.addr != addr:
		*e = claim{addr: addr, mac: m}
	case e.mac != m:
		e.mac, e.changed = m, now
	}
	return e.changed != 0 && now-e.changed < conflictLast
}

func (i *Inspector) arp(h *packet.Header, iface string) {
	const request, reply = 1, 2
	p := h.Payload
	if len(p) < 8 || binary.BigEndian.Uint32(p) != 0x00010800 || p[4] != 6 || p[5] != 4 {
		return // not IPv4 over Ethernet
	}
	op := binary.BigEndian.Uint16(p[6:])
	if op != request && op != reply {
		return
	}
	if len(p) < 28 {
		i.stats.Malformed++
		return
	}
	mac, spa, tpa := packet.MAC(p[8:14]), p[14:18], p[24:28]
	if mac.IsZero() || mac.IsGroup() {
		i.stats.Malformed++
		return
	}
	sender, target := binary.BigEndian.Uint32(spa), binary.BigEndian.Uint32(tpa)
	if sender != 0 {
		i.claim(h, iface, mac, addr4(spa), digest(sender))
	}
	if op == request && target != 0 && target != sender {
		i.ask(h, iface, mac, addr4(tpa), digest(target))
		// A probe for one's own address (RFC 5227) looks alike, but has no sender.
	}
}

// ndp reads neighbour solicitations and advertisements, which are IPv6's ARP.
func (i *Inspector) ndp(h *packet.Header, iface string) {
	p := h.Payload
	if len(p) < 16 {
		i.stats.Malformed++
		return
	}
	option := byte(1) // source link-layer address
	if h.ICMPType == ndpAdvertise {
		option = 2 // target link-layer address
	}
	mac := h.SrcMAC
	for o := p[16:]; len(o) >= 8 && o[1] != 0; o = o[int(o[1])*8:] {
		if o[0] == option && o[1] == 1 {
			mac = packet.MAC(o[2:8])
			break
		}
		if int(o[1])*8 >= len(o) {
			break
		}
	}
	if mac.IsZero() || mac.IsGroup() || p[0] == 0xff {
		i.stats.Malformed++
		return
	}
	if h.ICMPType == ndpAdvertise {
		i.claim(h, iface, mac, addr16(p[:16]), digest(6).bytes(p[:16]))
		return
	}
	if h.Src == [16]byte{} {
		return // a host looks whether its own new address is free
	}
	i.claim(h, iface, mac, packet.Addr(h.Src), digest(6).bytes(h.Src[:]))
	i.ask(h, iface, mac, addr16(p[:16]), digest(6).bytes(p[:16]))
}

func (i *Inspector) claim(h *packet.Header, iface string, mac packet.MAC, a netip.Addr, key digest) {
	period := i.limits.cfg.Repeat
	if i.claims.conflict(key, mac, h.Time) {
		period = i.limits.cfg.Conflict
	}
	by := other(h, mac)
	count, ok := i.limits.repeat(digest('c').mac(mac).mac(by).u64(uint64(key)), h.Time, period)
	if !ok {
		return
	}
	s := i.begin(h, iface, ARPClaim)
	s.MAC, s.By, s.Address, s.Count = mac, by, a, count
	i.emit(s)
}

func (i *Inspector) ask(h *packet.Header, iface string, mac packet.MAC, a netip.Addr, key digest) {
	now := h.Time
	count, ok := i.limits.repeat(digest('a').mac(mac).u64(uint64(key)), now, i.limits.cfg.Repeat)
	if !ok {
		return
	}
	if !i.limits.mayAsk(mac, now) {
		i.limits.passed--
		return
	}
	s := i.begin(h, iface, ARPRequest)
	s.MAC, s.By, s.Address, s.Count = mac, other(h, mac), a, count
	i.emit(s)
}

// other is the frame's sender, where that is not who the packet speaks of.
func other(h *packet.Header, mac packet.MAC) packet.MAC {
	if !h.HasMAC || h.SrcMAC == mac {
		return packet.MAC{}
	}
	return h.SrcMAC
}
