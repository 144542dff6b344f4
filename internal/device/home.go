package device

import "net/netip"

// place says where an address belongs.
type place uint8

const (
	nowhere place = iota // a group, unspecified, loopback: nobody's
	inside
	outside
)

const maxLearned = 64 // prefixes, and single hosts, learned from the wire

// Home decides which addresses are of the site. With prefixes given, those and
// link-local ones are; else private and unique local ones, and the /24 or /64 of
// any address that someone claims on the wire, and the one outside address for
// which a MAC speaks that has a router opposite.
type Home struct {
	given   []netip.Prefix
	learned map[netip.Prefix]struct{}
	hosts   int // how many of learned are a single address
}

func newHome(given []netip.Prefix) Home {
	h := Home{learned: map[netip.Prefix]struct{}{}}
	for _, p := range given {
		h.given = append(h.given, p.Masked())
	}
	return h
}

// learnHost notes that an address is on the wire, and nothing of its subnet.
func (h *Home) learnHost(a netip.Addr) {
	if len(h.given) == 0 && h.of(a) == outside && len(h.learned) < maxLearned {
		h.add(netip.PrefixFrom(a, a.BitLen()))
	}
}

func (h *Home) add(p netip.Prefix) {
	h.learned[p] = struct{}{}
	if p.IsSingleIP() {
		h.hosts++
	}
}

// learn notes that an address is on the wire.
func (h *Home) learn(a netip.Addr) {
	if len(h.given) == 0 && h.of(a) == outside && len(h.learned) < maxLearned {
		h.add(subnet(a))
	}
}

func (h *Home) of(a netip.Addr) place {
	if a.Is4() {
		b := a.As4()
		switch {
		case b[0] == 0, b[0] == 127, b[0] >= 224:
			return nowhere // this host, loopback, groups, reserved and broadcast
		case b[0] == 169 && b[1] == 254:
			return inside
		case len(h.given) > 0:
			return h.isGiven(a)
		case b[0] == 10, b[0] == 192 && b[1] == 168, b[0] == 172 && b[1]&0xf0 == 16, b[0] == 100 && b[1]&0xc0 == 64:
			return inside
		}
	} else {
		switch {
		case !a.IsValid(), a.IsUnspecified(), a.IsLoopback(), a.IsMulticast():
			return nowhere
		case a.IsLinkLocalUnicast():
			return inside
		case len(h.given) > 0:
			return h.isGiven(a)
		case a.IsPrivate():
			return inside
		}
	}
	if len(h.learned) > 0 {
		if _, ok := h.learned[subnet(a)]; ok {
			return inside
		}
		if h.hosts > 0 {
			if _, ok := h.learned[netip.PrefixFrom(a.WithZone(""), a.BitLen())]; ok {
				return inside
			}
		}
	}
	return outside
}

func (h *Home) isGiven(a netip.Addr) place {
	for _, p := range h.given {
		if p.Contains(a) {
			return inside
		}
	}
	return outside
}

// subnet guesses the subnet of an address: nobody on the wire says how long a
// prefix is, and /24 and /64 are what nearly everybody uses.
func subnet(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// near reports whether two addresses share a subnet, so that each reaches the
// other without a router.
func near(a, b netip.Addr) bool {
	if a.Is4() != b.Is4() {
		return false
	}
	if a.Is4() {
		x, y := a.As4(), b.As4()
		return x[0] == y[0] && x[1] == y[1] && x[2] == y[2]
	}
	x, y := a.As16(), b.As16()
	return [8]byte(x[:8]) == [8]byte(y[:8])
}
