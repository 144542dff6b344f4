package device

import (
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/packet"
)

// Changes that a [Record] can report.
const (
	New     = "new"     // first seen
	Updated = "updated" // an address, a name or a vendor became known or changed
)

// Record is one device of the inventory as it stands, written when it is new and
// when what is known of it changes.
type Record struct {
	Time      int64  // Unix nanoseconds; the log record's timestamp
	ID        string // MAC address where there is one, else address (and site, when one is set, as address@site)
	Change    string // New or Updated
	MAC       packet.MAC
	Addresses []string // those in use, IPv4 first and link-local last, then newest first, at most 8
	Vendor    string   // by OUI; "randomised address" for locally administered ones
	Name      string   // best name: DHCP host name, mDNS, DNS, else ""
	Names     []string // every name with its origin, "dhcp:plc-1"
	Class     string   // DHCP vendor class
	Router    bool     // passes on traffic of addresses outside
	Evidence  string   // the packet that showed it first, in words: "DHCP request for 192.168.1.20 as plc-1"
	FirstSeen int64
	LastSeen  int64
	Anomaly   event.Anomaly
}

// Records is the one definition of a device event.
var Records = event.NewTable("device.inventory", "A device of the site, when first seen and when what is known of it changes.", []event.Field[Record]{
	event.Text("device.id", "Inventory id: MAC address where there is one, else address", func(r *Record) *string { return &r.ID }).ECS("device.id"),
	event.Text("device.change", "new or updated", func(r *Record) *string { return &r.Change }),
	event.Text("device.name", "Best name", func(r *Record) *string { return &r.Name }).ECS("host.name"),
	event.Text("device.manufacturer", "Vendor by the OUI registry", func(r *Record) *string { return &r.Vendor }).ECS("device.manufacturer"),
	event.Custom("device.mac", "keyword", "MAC address", func(r *Record) string { return r.MAC.String() },
		func(r *Record, s string) { r.MAC = packet.ParseMAC(s) }).ECS("host.mac"),
	event.Texts("device.addresses", "IP addresses in use, IPv4 first and link-local last, then newest first", func(r *Record) *[]string { return &r.Addresses }).ECS("host.ip", "ip"),
	event.Texts("device.names", "Every name with its origin", func(r *Record) *[]string { return &r.Names }),
	event.Text("device.vendor_class", "DHCP vendor class", func(r *Record) *string { return &r.Class }),
	event.Flag("device.router", "Passes on traffic of addresses outside", func(r *Record) *bool { return &r.Router }),
	event.Text("device.evidence", "What showed it first", func(r *Record) *string { return &r.Evidence }),
	event.Instant("device.first_seen", "First packet", func(r *Record) *int64 { return &r.FirstSeen }),
	event.Instant("device.last_seen", "Last packet", func(r *Record) *int64 { return &r.LastSeen }),
}, event.AnomalyFields(func(r *Record) *event.Anomaly { return &r.Anomaly }))
