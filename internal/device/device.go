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
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	"github.com/monban/monban/internal/packet"
)

const (
	second = int64(1e9)

	maxHeld     = 16 // addresses remembered of a device
	maxShown    = 8  // and told in a record
	maxGuests   = 3  // addresses that a MAC may speak for unclaimed, before it is a router
	ownerGrace  = 60 * second
	relayGrace  = 600 * second // who passes on the packets of others gets no address of theirs for so long
	settle      = 2 * second   // changes that come together are told together
	updateEvery = 60 * second  // and no more often than that
)

// Where a name comes from, in the order of belief.
const (
	byServer = iota // the DHCP server's: someone wrote it down there
	byDHCP
	byMDNS
	byLLMNR
	byNBNS
	byDNS
	origins
)

var originNames = [origins]string{"dhcp-server", "dhcp", "mdns", "llmnr", "nbns", "dns"}

// macKey is a MAC as a number, which a map finds in half the time.
type macKey uint64

func keyOf(m packet.MAC) macKey {
	return macKey(m[0])<<40 | macKey(m[1])<<32 | macKey(m[2])<<24 | macKey(m[3])<<16 | macKey(m[4])<<8 | macKey(m[5])
}

// device is one entry of the inventory.
type device struct {
	id       string
	mac      packet.MAC // zero for one behind a router
	vendor   string
	class    string
	names    [origins]string
	evidence string
	router   bool
	passed   netip.Addr // first outside address it spoke for
	passes   int        // conversations of that one
	many     bool       // it spoke for others too
	held     []*holding // newest first
	first    int64
	last     int64

	relayed     int64  // when it last passed on a packet within its subnet
	guests      int    // addresses seen through it in the minute since, that are not confirmed
	guestsSince int64  //
	told        uint64 // digest of the last record written
	updated     int64  // its time, when it was an update
	due         int64  // time of the next one, 0 when nothing changed

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
	current bool // it has it now

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
// not that of someone behind it. proved says that it holds conversations: a host
// that uses an address of another network, left from before, gets no answers.
func (d *device) speaksFor(a netip.Addr, proved bool) bool {
	if a.IsLinkLocalUnicast() {
		return true
	}
	if d.router {
		return false
	}
	unsure, elsewhere := 0, false
	for _, h := range d.held {
		switch {
		case h.addr.Is4() != a.Is4() || h.addr.IsLinkLocalUnicast():
		case !h.own():
			if h.addr != a {
				unsure++
			}
		case near(h.addr, a):
			return true
		default:
			elsewhere = true
		}
	}
	return unsure < maxGuests && !(elsewhere && proved)
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

// digest is a number that changes with what a record tells, but not with the order
// of its addresses: that tells who spoke last, which is no news.
func (r *Record) digest() uint64 {
	h := fnv.New64a()
	add := func(list ...string) {
		for _, s := range list {
			h.Write([]byte(s))
			h.Write([]byte{0})
		}
	}
	add(r.Vendor, r.Name, r.Class, r.MAC.String(), strconv.FormatBool(r.Router))
	add(r.Names...)
	add(slices.Sorted(slices.Values(r.Addresses))...)
	return h.Sum64()
}

// plainness orders addresses by how well a person knows a device by them.
func plainness(a netip.Addr) int {
	switch {
	case a.Is4() && !a.IsLinkLocalUnicast():
		return 0
	case !a.IsLinkLocalUnicast():
		return 1
	}
	return 2
}

// record tells the device as it stands.
func (d *device) record(change string, time int64) Record {
	r := Record{
		Time: time, ID: d.id, Change: change, MAC: d.mac, Vendor: d.vendor, Name: d.name(), Class: d.class,
		Router: d.router, Evidence: d.evidence, FirstSeen: d.first, LastSeen: d.last,
	}
	held := slices.Clone(d.held)
	slices.SortStableFunc(held, func(a, b *holding) int {
		switch x, y := plainness(a.addr), plainness(b.addr); {
		case x != y:
			return x - y
		case a.last > b.last:
			return -1
		case a.last < b.last:
			return 1
		}
		return a.addr.Compare(b.addr)
	})
	for _, h := range held {
		if h.current && len(r.Addresses) < maxShown {
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
