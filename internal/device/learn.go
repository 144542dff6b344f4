package device

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// learn takes in a sighting and returns the device that it speaks of.
func (v *Inventory) learn(s *app.Sighting) *device {
	switch s.Kind {
	case app.ARPClaim:
		if !s.By.IsZero() { // said by another: it speaks for itself only
			v.ofMAC(s.By, s.Time)
			return v.byMAC[keyOf(s.MAC)]
		}
		return v.claim(s.MAC, s.Address, s.Time)
	case app.ARPRequest:
		if !s.By.IsZero() {
			v.ofMAC(s.By, s.Time)
			return v.byMAC[keyOf(s.MAC)]
		}
		return v.ofMAC(s.MAC, s.Time)
	case app.DHCPAsk:
		return v.asks(s)
	case app.DHCPGrant:
		return v.granted(s)
	case app.MDNSName:
		return v.announced(s, byMDNS)
	case app.LLMNRName:
		return v.announced(s, byLLMNR)
	case app.NBNSName:
		return v.announced(s, byNBNS)
	case app.DNSAnswer:
		return v.answered(s)
	case app.Relay:
		if by := v.ofMAC(s.By, s.Time); by != nil {
			by.relayed = s.Time
		}
		return v.speaks(s.MAC, s.Source, s.Time)
	}
	return v.byMAC[keyOf(s.MAC)]
}

// claim is someone's word that it has an address.
func (v *Inventory) claim(m packet.MAC, a netip.Addr, time int64) *device {
	v.home.learn(a)
	if v.home.of(a) == inside {
		v.speaker(use{addr: a, mac: m, first: time, last: time, claimed: true})
	}
	return v.ofMAC(m, time)
}

// speaks is an IP packet of a device on the wire.
func (v *Inventory) speaks(m packet.MAC, a netip.Addr, time int64) *device {
	if v.home.of(a) == inside {
		if d := v.speaker(use{addr: a, mac: m, first: time, last: time}); d == nil || d.mac != m {
			return d
		}
	}
	return v.ofMAC(m, time)
}

func (v *Inventory) asks(s *app.Sighting) *device {
	d := v.byMAC[keyOf(s.MAC)]
	if s.By.IsZero() {
		d = v.ofMAC(s.MAC, s.Time)
	} else { // a relay agent asks for someone beyond it
		v.speaks(s.By, s.Source, s.Time)
	}
	if d != nil {
		v.setName(d, byDHCP, s.Name)
		if s.Vendor != "" && d.class != s.Vendor {
			d.class = s.Vendor
			v.changed(d)
		}
	}
	return d
}

func (v *Inventory) granted(s *app.Sighting) *device {
	if !s.By.IsZero() {
		v.speaks(s.By, s.Source, s.Time)
	}
	for _, text := range s.Addresses {
		if a, err := netip.ParseAddr(text); err == nil {
			v.routerAt(a)
		}
	}
	d := v.byMAC[keyOf(s.MAC)] // asked before, or has not spoken yet
	if d == nil {
		return nil
	}
	v.home.learn(s.Address)
	if v.home.of(s.Address) == inside {
		v.speaker(use{addr: s.Address, mac: s.MAC, first: s.Time, last: s.Time, claimed: true})
	}
	v.setName(d, byServer, s.Name)
	return d
}

const maxRouters = 64

// routerAt notes an address that DHCP names as a router.
func (v *Inventory) routerAt(a netip.Addr) {
	if len(v.routers) < maxRouters {
		v.routers[a] = true
	}
	if h := v.byAddr[a]; h != nil {
		h.near = true // surely its own, and not of someone behind it
		v.setRouter(h.dev)
	}
}

func (v *Inventory) announced(s *app.Sighting, origin int) *device {
	d := v.speaks(s.MAC, s.Source, s.Time)
	if d != nil && (!s.Address.IsValid() || s.Address == s.Source || d.holds(s.Address) != nil) {
		v.setName(d, origin, s.Name)
	}
	return d
}

// answered learns the names of addresses, and returns who asked.
func (v *Inventory) answered(s *app.Sighting) *device {
	for _, text := range s.Addresses {
		a, err := netip.ParseAddr(text)
		if err != nil || v.home.of(a) == nowhere {
			continue
		}
		v.domains.put(a, cleanName(s.Name))
		if h := v.byAddr[a]; h != nil && v.home.of(a) == inside {
			v.setName(h.dev, byDNS, s.Name)
		}
	}
	if h := v.byAddr[s.Address]; h != nil {
		return h.dev
	}
	if d := v.byMAC[keyOf(s.MAC)]; d != nil && !d.router {
		return d
	}
	return nil
}

const maxName = 64

// cleanName makes what a packet called a name fit to show.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, bareName(s))
	if len(s) > maxName {
		s = bareName(strings.ToValidUTF8(s[:maxName], ""))
	}
	return s
}

// bareName is a name without the domain of the link, however often that was added.
func bareName(s string) string {
	for {
		bare := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(s), "."), ".local")
		if bare == s {
			return s
		}
		s = bare
	}
}

// domains remembers the names of addresses in two generations: when the young
// one is full it becomes the old one, and what is not asked for is forgotten.
type domains struct{ young, old map[netip.Addr]string }

const maxDomains = 16_384 // of a generation

func (d *domains) put(a netip.Addr, name string) {
	if name == "" {
		return
	}
	if d.young == nil || len(d.young) >= maxDomains {
		d.young, d.old = map[netip.Addr]string{}, d.young
	}
	d.young[a] = name
}

func (d *domains) of(a netip.Addr) string {
	if name, ok := d.young[a]; ok {
		return name
	}
	name, ok := d.old[a]
	if ok {
		d.put(a, name)
	}
	return name
}

// cause is what is being taken in, for the words that say how a device came to be
// known.
type cause struct {
	flow     *flow.Record
	sighting *app.Sighting
}

func (c cause) words() string {
	switch {
	case c.sighting != nil:
		return sightingWords(c.sighting)
	case c.flow != nil:
		return flowWords(c.flow)
	}
	return ""
}

func sightingWords(s *app.Sighting) string {
	as := func(text string) string {
		if name := cleanName(s.Name); name != "" {
			return text + " as " + name
		}
		return text
	}
	switch s.Kind {
	case app.ARPClaim:
		if s.Address.Is6() {
			return fmt.Sprintf("neighbour discovery: %s is at %s", s.Address, s.MAC)
		}
		return fmt.Sprintf("ARP: %s is at %s", s.Address, s.MAC)
	case app.ARPRequest:
		return fmt.Sprintf("ARP request for %s", s.Address)
	case app.DHCPAsk:
		if s.Address.IsValid() {
			return as("DHCP request for " + s.Address.String())
		}
		return as("DHCP request")
	case app.DHCPGrant:
		return fmt.Sprintf("DHCP grant of %s to %s", s.Address, s.MAC)
	case app.MDNSName:
		return as("mDNS announcement")
	case app.LLMNRName:
		return as("LLMNR answer")
	case app.NBNSName:
		return as("NetBIOS registration")
	case app.Relay:
		return fmt.Sprintf("packet from %s to %s, passed on by %s", s.Source, s.Address, s.By)
	}
	return s.Kind
}

func flowWords(r *flow.Record) string {
	transport := strings.ToUpper(r.Transport())
	if !r.Src.Addr.IsValid() {
		return fmt.Sprintf("%s frame from %s", transport, r.Src.MAC)
	}
	to := r.Dst.Addr.String()
	if r.Dst.Port != 0 {
		to = netip.AddrPortFrom(r.Dst.Addr, r.Dst.Port).String()
	}
	if s := app.Service(r); s != "" {
		to += " (" + s + ")"
	}
	return fmt.Sprintf("%s from %s to %s", transport, r.Src.Addr, to)
}
