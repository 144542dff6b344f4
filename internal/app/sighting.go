package app

import (
	"net/netip"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/packet"
)

// Kinds of sighting.
const (
	ARPClaim   = "arp.claim"   // MAC says that it has Address (ARP sender fields, gratuitous ARP, neighbour advertisement)
	ARPRequest = "arp.request" // MAC asks who has Address
	DHCPAsk    = "dhcp.ask"    // a client asks: Name, Vendor, Params, MAC
	DHCPGrant  = "dhcp.grant"  // a server grants Address to MAC; Addresses are routers, By the server
	MDNSName   = "mdns.name"   // MAC says that Name is Address, or announces the services in Names
	LLMNRName  = "llmnr.name"  // MAC answers that its Name is Address
	NBNSName   = "nbns.name"   // MAC registers the NetBIOS Name for Address
	DNSAnswer  = "dns.answer"  // Name was answered with Addresses to the device MAC at Address, by the frames of By
	Relay      = "relay"       // By sent on a packet that MAC had sent to it, within its subnet
)

// Sighting is what the wire says about who a device is. Equal ones are written
// once in a while, with a count of what was held back.
type Sighting struct {
	Time      int64 // Unix nanoseconds; the log record's timestamp
	Kind      string
	MAC       packet.MAC // the device spoken of
	By        packet.MAC // who said or did it, where that is another
	Source    netip.Addr // IP source of the packet, where it had one
	Address   netip.Addr
	Addresses []string
	Name      string
	Names     []string
	Vendor    string // DHCP vendor class (option 60)
	Params    string // DHCP parameter request list (option 55), decimal, comma separated
	Interface string
	Count     uint32 // equal sightings since the last one written, when more than one
	Device    string // inventory id of MAC
	Anomaly   event.Anomaly
}

// Sightings is the one definition of a sighting event.
var Sightings = event.NewTable("network.sighting", "What the wire says about who a device is.", []event.Field[Sighting]{
	event.Text("sighting.kind", "arp.claim, arp.request, dhcp.ask, dhcp.grant, mdns.name, llmnr.name, nbns.name, dns.answer, relay", func(s *Sighting) *string { return &s.Kind }),
	sightingMAC("sighting.mac", "MAC address of the device spoken of", func(s *Sighting) *packet.MAC { return &s.MAC }),
	sightingMAC("sighting.by_mac", "MAC address of who said or did it, where that is another", func(s *Sighting) *packet.MAC { return &s.By }),
	event.Address("source.address", "IP source of the packet", func(s *Sighting) *netip.Addr { return &s.Source }).ECS("source.ip"),
	event.Address("sighting.address", "Address spoken of", func(s *Sighting) *netip.Addr { return &s.Address }),
	event.Texts("sighting.addresses", "Addresses answered (dns.answer), or routers (dhcp.grant)", func(s *Sighting) *[]string { return &s.Addresses }),
	event.Text("sighting.name", "Host name (DHCP option 12 or 81, mDNS, LLMNR, NetBIOS) or the DNS name asked", func(s *Sighting) *string { return &s.Name }),
	event.Texts("sighting.names", "mDNS service types and instance names", func(s *Sighting) *[]string { return &s.Names }),
	event.Text("sighting.vendor_class", "DHCP vendor class", func(s *Sighting) *string { return &s.Vendor }),
	event.Text("sighting.dhcp_parameters", "DHCP parameter request list", func(s *Sighting) *string { return &s.Params }),
	event.Text("network.interface.name", "Interface that saw it, where the source has several", func(s *Sighting) *string { return &s.Interface }),
	event.Number("sighting.count", "{sighting}", "Equal sightings since the last one written, when more than one", func(s *Sighting) *uint32 { return &s.Count }),
	event.Text("device.id", "Inventory id of the device spoken of", func(s *Sighting) *string { return &s.Device }).ECS("device.id"),
}, event.AnomalyFields(func(s *Sighting) *event.Anomaly { return &s.Anomaly }))

func sightingMAC(key, doc string, at func(*Sighting) *packet.MAC) event.Field[Sighting] {
	return event.Custom(key, "keyword", doc,
		func(s *Sighting) string { return at(s).String() },
		func(s *Sighting, t string) { *at(s) = packet.ParseMAC(t) })
}
