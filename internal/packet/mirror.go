package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MirrorConfig says which copies of packets to take that others send to this host.
type MirrorConfig struct {
	Listen  []string   // as of [ParseMirror], at least one
	Address netip.Addr // of this host; the zero value for all
	Peers   []Peer     // those with names

	// Unknown takes copies of peers that are not among Peers as well, under their
	// addresses. Otherwise they are dropped and counted.
	Unknown bool
}

// Peer is a sender of copies: a switch, a tap, an access point.
type Peer struct {
	Address netip.Addr
	Name    string // "" for the address
}

// Mirror is one kind of copy on one port.
type Mirror struct {
	Kind string // "vxlan"
	Port uint16 // of UDP, 0 for GRE
	link LinkType
}

// String is the mirror's name in counters.
func (m Mirror) String() string {
	if m.Port == 0 {
		return m.Kind
	}
	return m.Kind + ":" + strconv.Itoa(int(m.Port))
}

// mirrors are the kinds with their usual ports. One socket takes all that is in GRE,
// so both of its names mean the same.
var mirrors = []Mirror{
	{"vxlan", 4789, LinkMirrorVXLAN}, {"geneve", 6081, LinkMirrorGeneve}, {"tzsp", 37008, LinkMirrorTZSP},
	{"gre", 0, LinkMirrorGRE}, {"erspan", 0, LinkMirrorGRE},
}

// MirrorKinds lists the kinds of copies that can be taken.
func MirrorKinds() (kinds []string) {
	for _, m := range mirrors {
		kinds = append(kinds, m.Kind)
	}
	return kinds
}

// ParseMirror reads a kind with or without a port: vxlan, vxlan:8472.
func ParseMirror(text string) (Mirror, error) {
	kind, port, hasPort := strings.Cut(text, ":")
	i := slices.IndexFunc(mirrors, func(m Mirror) bool { return m.Kind == kind })
	if i < 0 {
		return Mirror{}, fmt.Errorf("%q is no kind of mirror; there are %s", kind, strings.Join(MirrorKinds(), ", "))
	}
	m := mirrors[i]
	if !hasPort {
		return m, nil
	}
	if m.Port == 0 {
		return Mirror{}, fmt.Errorf("%s has no ports", kind)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Mirror{}, fmt.Errorf("%q is no port for %s; it is 1 to 65535", port, kind)
	}
	m.Port = uint16(n)
	return m, nil
}

const maxPeers = 256 // beyond it they share one entry

// mirrors reads Listen, of two that need the same socket only the first.
func (c *MirrorConfig) mirrors() (list []Mirror, err error) {
	var errs []error
	for _, text := range c.Listen {
		m, err := ParseMirror(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		same := slices.IndexFunc(list, func(o Mirror) bool { return o.Port == m.Port })
		switch {
		case same < 0:
			list = append(list, m)
		case list[same].link != m.link:
			errs = append(errs, fmt.Errorf("%s and %s can't share port %d", list[same].Kind, m.Kind, m.Port))
		case m.Port != 0 || list[same].Kind == m.Kind:
			errs = append(errs, fmt.Errorf("%s is named twice", m))
		}
	}
	return list, errors.Join(errs...)
}

// Validate says all that is wrong at once.
func (c *MirrorConfig) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Listen) > maxLive {
		wrong("%d mirrors, where at most %d are taken by one source", len(c.Listen), maxLive)
	}
	if len(c.Listen) == 0 {
		wrong("no kind of mirror is named; there are %s", strings.Join(MirrorKinds(), ", "))
	}
	if _, err := c.mirrors(); err != nil {
		errs = append(errs, err)
	}
	if len(c.Peers) > maxPeers {
		wrong("%d peers, where at most %d are told apart", len(c.Peers), maxPeers)
	}
	if !c.Unknown && len(c.Peers) == 0 {
		wrong("unknown peers are dropped, and no peer is known")
	}
	names, addresses := map[string]bool{}, map[netip.Addr]bool{}
	for i, p := range c.Peers {
		if !p.Address.IsValid() {
			wrong("peer %d has no address", i+1)
			continue
		}
		if addresses[p.Address] {
			wrong("peer %s is named twice", p.Address)
		}
		if p.Name != "" && names[p.Name] {
			wrong("two peers are called %s", p.Name)
		}
		names[p.Name], addresses[p.Address] = true, true
	}
	return errors.Join(errs...)
}

// otherPeers is the interface of copies whose sender is one too many.
const otherPeers = "other peers"

// peers tells which interface of the source a sender is. The first is otherPeers, so
// that a source with mirrors has several interfaces always and each is named.
type peers struct {
	base    int // index of otherPeers
	unknown bool
	index   map[[16]byte]int // relative to base; 0 for one that is too many
	list    []Interface
	packets []uint64
	refused uint64 // copies of unknown peers that were dropped
	last    [16]byte
	at      int // of last
}

func newPeers(c *MirrorConfig, base int) *peers {
	p := &peers{base: base, unknown: c.Unknown, index: map[[16]byte]int{}}
	p.add([16]byte{}, otherPeers)
	for _, one := range c.Peers {
		name := one.Name
		if name == "" {
			name = one.Address.String()
		}
		p.add(one.Address.As16(), name)
	}
	return p
}

func (p *peers) add(address [16]byte, name string) int {
	n := len(p.list)
	p.index[address] = n
	p.list = append(p.list, Interface{Name: name})
	p.packets = append(p.packets, 0)
	return n
}

// find gives the interface of a sender, or false for one whose copies are unwanted.
func (p *peers) find(address [16]byte) (int, bool) {
	if address == p.last && p.at > 0 {
		p.packets[p.at]++
		return p.base + p.at, true
	}
	n, known := p.index[address]
	if !known {
		switch {
		case !p.unknown:
			p.refused++
			return 0, false
		case len(p.list) <= maxPeers:
			n = p.add(address, Addr(address).String())
		}
	}
	p.last, p.at = address, n
	p.packets[n]++
	return p.base + n, true
}
