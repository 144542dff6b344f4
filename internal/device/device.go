// Package device decides who is who: which device of the site each end of a flow
// is. It promises that a device keeps its id for as long as it is remembered,
// whatever comes first, a flow or an announcement; that an address that never
// spoke is no device; and bounded memory: beyond the maximum the device longest
// unseen is forgotten. It runs on the time of the data alone.
//
// It gives up what one sensor can't know: the length of a subnet's prefix (/24 and
// /64 are assumed where it matters), and hosts behind a router that never show a
// MAC address, which are told apart by address only.
package device

import (
	"net/netip"
	"slices"

	"github.com/monban/monban/internal/packet"
)

const (
	second = int64(1e9)

	maxHeld     = 16 // addresses remembered of a device
	maxShown    = 8  // and told in a record
	maxGuests   = 3  // addresses that a MAC may speak for unclaimed, before it is a router
	ownerGrace  = 60 * second
	settle      = 2 * second  // changes that come together are told together
	updateEvery = 60 * second // and no more often than that
)

// Where a name comes from, in the order of belief.
const (
	byDHCP = iota
	byMDNS
	byLLMNR
	byNBNS
	byDNS
	origins
)

var originNames = [origins]string{"dhcp", "mdns", "llmnr", "nbns", "dns"}

// device is one entry of the inventory.
type device struct {
	id       string
	mac      packet.MAC // zero for one behind a router
	vendor   string
	class    string
	names    [origins]string
	evidence string
	router   bool
	passed   netip.Addr // first outside address it spoke for or took frames to
	held     []*holding // newest first
	first    int64
	last     int64

	guests      int   // addresses seen through it in the minute since, that are not confirmed
	guestsSince int64 //
	updated     int64 // time of the last record written
	due         int64 // time of the next one, 0 when nothing changed

	prev, next *device // by last seen, newest first
}

// holding is an address that a device has or had.
type holding struct {
	dev     *device
	addr    netip.Addr
	first   int64
	last    int64
	claimed bool // by ARP, neighbour discovery or a DHCP grant
	near    bool // spoke directly with a neighbour of its subnet

	rival        *device // who else uses the address
	rivalSince   int64
	rivalClaimed bool
}

// own reports whether the address is surely the device's and not passed on by it.
func (h *holding) own() bool { return h.claimed || h.near || h.addr.IsLinkLocalUnicast() }

func (d *device) holds(a netip.Addr) *holding {
	for _, h := range d.held {
		if h.addr == a {
			return h
		}
	}
	return nil
}

// speaksFor decides whether an address that the device's MAC uses is its own, and
// not that of someone behind it.
func (d *device) speaksFor(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() {
		return true
	}
	if d.router {
		return false
	}
	unsure, claims := 0, false
	for _, h := range d.held {
		if h.addr.Is4() != a.Is4() || h.addr.IsLinkLocalUnicast() {
			continue
		}
		if !h.own() {
			unsure++
		} else if near(h.addr, a) {
			return true
		} else {
			claims = true
		}
	}
	return !claims && unsure < maxGuests
}

// name is the best name, "" when none is known.
func (d *device) name() string {
	for _, n := range d.names {
		if n != "" {
			return n
		}
	}
	return ""
}

// record tells the device as it stands. current says which holdings are.
func (d *device) record(change string, time int64, current func(*holding) bool) Record {
	r := Record{
		Time: time, ID: d.id, Change: change, MAC: d.mac, Vendor: d.vendor, Name: d.name(), Class: d.class,
		Router: d.router, Evidence: d.evidence, FirstSeen: d.first, LastSeen: d.last,
	}
	held := slices.Clone(d.held)
	slices.SortStableFunc(held, func(a, b *holding) int {
		switch {
		case a.last > b.last:
			return -1
		case a.last < b.last:
			return 1
		}
		return a.addr.Compare(b.addr)
	})
	for _, h := range held {
		if current(h) && len(r.Addresses) < maxShown {
			r.Addresses = append(r.Addresses, h.addr.String())
		}
	}
	for i, n := range d.names {
		if n != "" {
			r.Names = append(r.Names, originNames[i]+":"+n)
		}
	}
	return r
}
