package device

import (
	"net/netip"
	"slices"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

const (
	maxStrangers     = 4096
	strangerFlows    = 3           // flows of an address behind a router that were not answered, before it is a device,
	strangerFor      = 10 * second // spread over so long,
	strangerFlowsNow = 8           // or so many at once,
	maxGuestsAMinute = 32          // unless the router shows more new ones a minute: then they are made up
)

// stranger is an address seen through a router of which we do not know yet
// whether it exists.
type stranger struct {
	first int64
	flows int
}

// end decides who one end of a flow is.
func (v *Inventory) end(r *flow.Record, e, peer *flow.End, initiator bool) *device {
	spoke := e.Packets > 0
	if initiator {
		spoke = spoke || r.Part > 0 || peer.Packets == 0
	}
	if !e.Addr.IsValid() { // not IP: the frame is all there is
		if !spoke {
			return v.byMAC[keyOf(e.MAC)]
		}
		return v.ofMAC(e.MAC, r.End)
	}
	switch v.home.of(e.Addr) {
	case nowhere:
		if initiator && e.Addr.IsUnspecified() { // a host that has no address yet
			return v.ofMAC(e.MAC, r.End)
		}
		return nil
	case outside:
		if spoke {
			v.passesOn(r, e, peer, initiator)
		}
		return nil
	}
	if !spoke {
		return v.listener(e)
	}
	return v.speaker(use{
		addr: e.Addr, mac: e.MAC, first: r.Start, last: r.End,
		near:   peer.Addr.IsValid() && near(e.Addr, peer.Addr),
		proved: proved(r, e, peer, initiator),
		remark: isRemark(r),
	})
}

// proved reports whether a flow shows that an end exists, and is not an address
// that someone else made up: it must have got what was sent to it.
func proved(r *flow.Record, e, peer *flow.End, initiator bool) bool {
	if r.Proto == packet.ProtoTCP {
		return e.Flags&packet.ACK != 0 && e.Flags&packet.RST == 0 && peer.Packets > 0 &&
			(!initiator || peer.Flags&packet.ACK != 0 && peer.Flags&packet.RST == 0)
	}
	if initiator {
		return e.Packets >= 2 && peer.Packets > 0
	}
	return e.Packets > 0
}

// isRemark reports whether a flow is an ICMP error: some router on the way,
// perhaps of a network far away, says something of a packet.
func isRemark(r *flow.Record) bool {
	switch r.Proto {
	case packet.ProtoICMP:
		return r.ICMPType == 3 || r.ICMPType == 4 || r.ICMPType == 5 || r.ICMPType == 11 || r.ICMPType == 12
	case packet.ProtoICMPv6:
		return r.ICMPType < 128
	}
	return false
}

// listener looks up an end that said nothing: it makes no device.
func (v *Inventory) listener(e *flow.End) *device {
	d := v.byMAC[keyOf(e.MAC)]
	if d != nil && d.holds(e.Addr) != nil {
		return d
	}
	if h := v.byAddr[e.Addr]; h != nil {
		return h.dev
	}
	if d != nil && !d.router && len(d.held) == 0 && !e.MAC.IsGroup() {
		return d // all that is known of it is its MAC, and the frame goes there
	}
	return nil
}

// use is an address of the site in use, as seen at some time.
type use struct {
	addr        netip.Addr
	mac         packet.MAC // zero where the frame shows none
	first, last int64
	claimed     bool // someone says so, by ARP, neighbour discovery or DHCP
	near        bool // with a peer of its subnet
	proved      bool // it exists: it holds a conversation
	remark      bool // it only said something of a packet
}

// speaker decides whose an address of the site is that spoke or was claimed.
func (v *Inventory) speaker(u use) *device {
	if u.mac.IsZero() || u.mac.IsGroup() {
		return v.behind(u, v.byAddr[u.addr], nil)
	}
	d := v.byMAC[keyOf(u.mac)]
	if d == nil {
		d = v.arrive(u)
	}
	v.seen(d, u.last)
	pair := d.holds(u.addr)
	if pair != nil {
		pair.claimed, pair.near = pair.claimed || u.claimed, pair.near || u.near
		if pair.current && pair.own() { // as nearly always
			pair.last, pair.rival = max(pair.last, u.last), nil
			return d
		}
	}
	if !u.claimed && !u.near && (pair == nil || !pair.own()) && !d.speaksFor(u.addr, u.proved) {
		if pair != nil {
			v.release(pair)
			d.held = slices.DeleteFunc(d.held, func(h *holding) bool { return h == pair })
			v.changed(d)
		} else if v.unsure(d) >= maxGuests {
			v.setRouter(d)
		}
		return v.behind(u, v.byAddr[u.addr], d)
	}
	if pair != nil {
		pair.last = max(pair.last, u.last)
		v.contest(pair, u)
		return d
	}
	if h := v.byAddr[u.addr]; h != nil && !v.challenge(h, d, u) {
		return h.dev
	}
	v.hold(d, u)
	return d
}

// arrive makes the device of a MAC that was not seen before, or gives the MAC to a
// device that was known by address only: it keeps its id.
func (v *Inventory) arrive(u use) *device {
	h := v.byAddr[u.addr]
	if h == nil || !h.dev.mac.IsZero() || !u.claimed && !u.near {
		return v.add(u.mac.String(), u.mac, u.first)
	}
	d := h.dev
	d.mac, d.vendor = u.mac, v.vendor(u.mac)
	v.byMAC[keyOf(u.mac)] = d
	v.changed(d)
	return d
}

// unsure counts the addresses that a device speaks for without ever having
// claimed them.
func (v *Inventory) unsure(d *device) (n int) {
	for _, h := range d.held {
		if !h.own() {
			n++
		}
	}
	return n
}

// hold binds an address to a device that did not have it before.
func (v *Inventory) hold(d *device, u use) *holding {
	h := &holding{dev: d, addr: u.addr, first: u.first, last: u.last, claimed: u.claimed, near: u.near}
	if len(d.held) >= maxHeld {
		v.drop(d)
	}
	d.held = slices.Insert(d.held, 0, h)
	v.take(h)
	delete(v.strange, u.addr)
	if u.claimed && u.addr.Is4() {
		v.sift(d, u.addr)
	}
	if v.routers[u.addr] {
		v.setRouter(d)
	}
	if name := v.domains.of(u.addr); name != "" {
		v.setName(d, byDNS, name)
	}
	v.changed(d)
	return h
}

// drop makes room for an address: the one longest unused goes, an unclaimed one
// first.
func (v *Inventory) drop(d *device) {
	worst := 0
	for i, h := range d.held {
		w := d.held[worst]
		if h.own() != w.own() {
			if !h.own() {
				worst = i
			}
		} else if h.last < w.last {
			worst = i
		}
	}
	v.release(d.held[worst])
	d.held = slices.Delete(d.held, worst, worst+1)
}

// sift gives up addresses of other subnets that a device spoke for before it
// claimed its first: they are of someone behind it.
func (v *Inventory) sift(d *device, claimed netip.Addr) {
	d.held = slices.DeleteFunc(d.held, func(h *holding) bool {
		if h.own() || !h.addr.Is4() || near(h.addr, claimed) {
			return false
		}
		v.release(h)
		return true
	})
}

// contest is called when a device uses an address that it has or had: does it
// have it now?
func (v *Inventory) contest(pair *holding, u use) {
	h := v.byAddr[u.addr]
	switch {
	case h == pair:
		h.rival = nil
	case h == nil:
		v.take(pair)
		v.changed(pair.dev)
	case pair.first < h.first && (u.claimed || !h.claimed || pair.claimed) || v.challenge(h, pair.dev, u):
		// The one who had it longer is back.
		h.rival = nil
		v.take(pair)
		v.changed(pair.dev)
		v.changed(h.dev)
	}
}

// challenge reports whether a device that uses the address of another gets it.
// The owner keeps it while it speaks: whoever claims an address does not become
// its owner by that.
func (v *Inventory) challenge(h *holding, d *device, u use) bool {
	if u.claimed && !h.own() && (h.dev.router || len(h.dev.held) > 1) {
		return true // it was a guess
	}
	if h.dev.mac.IsZero() && (u.claimed || u.near) {
		return true // it was thought to be behind a router
	}
	if h.rival != d {
		h.rival, h.rivalSince, h.rivalClaimed = d, u.last, false
	}
	h.rivalClaimed = h.rivalClaimed || u.claimed
	if d.relayed != 0 && u.last-d.relayed < relayGrace {
		return false // it speaks for others
	}
	return u.last-max(h.last, h.rivalSince) > ownerGrace && (h.rivalClaimed || !h.claimed)
}

// behind decides who an address is that has no MAC of its own: it is known by
// address once it surely exists. via is the router, if there is a frame.
func (v *Inventory) behind(u use, h *holding, via *device) *device {
	if h != nil {
		if h.dev.mac.IsZero() {
			h.last = max(h.last, u.last)
			v.seen(h.dev, u.last)
		}
		return h.dev
	}
	if u.remark || !u.proved && !v.familiar(u, via) {
		return nil
	}
	id := u.addr.String()
	if v.cfg.Site != "" {
		id += "@" + v.cfg.Site
	}
	d := v.byID[id]
	if d == nil {
		d = v.add(id, packet.MAC{}, u.first)
	}
	v.hold(d, u)
	return v.seen(d, u.last)
}

// familiar reports whether an address that was never answered spoke often enough
// to be someone's.
func (v *Inventory) familiar(u use, via *device) bool {
	s, known := v.strange[u.addr]
	if !known {
		if len(v.strange) >= maxStrangers {
			clear(v.strange)
		}
		s.first = u.first
		if via != nil {
			if u.last-via.guestsSince >= 60*second || u.last < via.guestsSince {
				via.guests, via.guestsSince = 0, u.last
			}
			via.guests++
		}
	}
	s.flows++
	v.strange[u.addr] = s
	if via != nil && via.guests > maxGuestsAMinute {
		return false
	}
	return s.flows >= strangerFlowsNow || s.flows >= strangerFlows && u.last-s.first >= strangerFor
}

const hostFlows = 3 // conversations by which a lone outside address shows that it is on the wire

// passesOn notes that a frame's MAC speaks for an address outside. For more than
// one, to a host of the site, it is a router. A MAC that speaks for a single one,
// opposite one that speaks for many, is a host of the site with a public address.
func (v *Inventory) passesOn(r *flow.Record, e, peer *flow.End, initiator bool) {
	d := v.ofMAC(e.MAC, r.End)
	if d == nil || d.router || !proved(r, e, peer, initiator) {
		return
	}
	if !d.passed.IsValid() {
		d.passed = e.Addr
	} else if d.passed != e.Addr {
		d.many = true
	}
	switch v.home.of(peer.Addr) {
	case inside:
		if d.many {
			v.setRouter(d)
		}
	case outside:
		d.passes++
		if opposite := v.byMAC[keyOf(peer.MAC)]; !d.many && d.passes >= hostFlows && opposite != nil && opposite.many {
			v.home.learnHost(e.Addr)
		}
	}
}
