package flow

import (
	"net/netip"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/packet"
)

// FloodState says where in its life a flood is.
type FloodState string

// Flood states.
const (
	FloodBegun  FloodState = "begun"
	FloodGoesOn FloodState = "active"
	FloodEnded  FloodState = "ended"
)

// Flood is what a flood brought since its last record. Counts of all its records add up.
type Flood struct {
	ID             uint64
	State          FloodState
	Start          int64      // when it was noticed, Unix nanoseconds
	Since          int64      // first packet counted here
	End            int64      // last packet counted here; the log record's timestamp
	Source         netip.Addr // of who attacks many; invalid when many attack
	Destination    netip.Addr // of whom many attack
	SourceMAC      packet.MAC // likewise, where it is not IP
	DestinationMAC packet.MAC
	Network        string // of whom many attack when those are many: a prefix
	Port           uint16 // at the destination, when it is only one
	VLAN           uint16 // where addresses are told apart by it
	TunnelType     string // likewise
	TunnelID       uint32
	Net            uint16
	Proto          uint8
	Part           uint32

	Flows                                       uint64
	Total                                       uint64 // flows since the flood began
	Packets, Bytes, Frames                      uint64 // from who floods
	ReversePackets, ReverseBytes, ReverseFrames uint64 // from who is flooded
	Sources, Destinations                       uint64 // distinct ones over the whole flood, estimated within 2 %
	Ports                                       int    // distinct destination ports over the whole flood
	PrefixCount                                 int
	Prefixes                                    []string
	PrefixPackets                               []int64
	Rate                                        uint32 // new flows a second beyond which it is a flood

	Anomaly event.Anomaly
}

// Transport is as of [Record].Transport.
func (f *Flood) Transport() string {
	if f.Net == 0 && f.Proto == 0 {
		return ""
	}
	r := Record{Net: f.Net, Proto: f.Proto}
	return r.Transport()
}

func (f *Flood) setTransport(s string) {
	var r Record
	r.setTransport(s)
	f.Net, f.Proto = r.Net, r.Proto
}

// Complete fills in what [Floods] leaves out. Call it once after reading one back.
func (f *Flood) Complete() {
	network, _ := netip.ParsePrefix(f.Network)
	for _, a := range [...]netip.Addr{f.Source, f.Destination, network.Addr()} {
		if f.Net == 0 && a.IsValid() {
			if f.Net = packet.NetIPv6; a.Is4() {
				f.Net = packet.NetIPv4
			}
		}
	}
}

// Floods is the one definition of a flood event.
var Floods = event.NewTable("network.flood", "Many new flows of which nothing came, rolled up since the flood's last record. No network.flow record tells of their packets.", []event.Field[Flood]{
	event.Custom("flood.id", "keyword", "Id that all records of one flood share, 16 hexadecimal digits",
		func(f *Flood) string { return ID(f.ID) }, func(f *Flood, s string) { f.ID = parseID(s) }),
	event.Text("flood.state", "begun, active, or ended", func(f *Flood) *FloodState { return &f.State }),
	event.Address("source.address", "Who sends, where it is one that floods many", func(f *Flood) *netip.Addr { return &f.Source }).ECS("source.ip"),
	event.Address("destination.address", "Who is flooded; absent with source.address when it is neither one sender nor one receiver", func(f *Flood) *netip.Addr { return &f.Destination }).ECS("destination.ip"),
	event.Text("flood.destination.prefix", "Whose hosts are flooded (/24 of IPv4, /64 of IPv6), when none of them stands out", func(f *Flood) *string { return &f.Network }),
	event.Custom("flow.src_mac", "keyword", "Who sends, where the flood is not IP", func(f *Flood) string { return f.SourceMAC.String() }, func(f *Flood, s string) { f.SourceMAC = packet.ParseMAC(s) }).ECS("source.mac"),
	event.Custom("flow.dst_mac", "keyword", "Who is flooded, where it is not IP", func(f *Flood) string { return f.DestinationMAC.String() }, func(f *Flood, s string) { f.DestinationMAC = packet.ParseMAC(s) }).ECS("destination.mac"),
	event.Number("destination.port", "", "Destination port, when it is only one", func(f *Flood) *uint16 { return &f.Port }).ECS("destination.port"),
	event.Number("flow.vlan_id", "", "VLAN id, where addresses of different VLANs are told apart", func(f *Flood) *uint16 { return &f.VLAN }).ECS("network.vlan.id", "keyword"),
	event.Text("flow.tunnel.type", "What its packets came in, when in a tunnel that tells addresses apart", func(f *Flood) *string { return &f.TunnelType }),
	event.Number("flow.tunnel.id", "", "Its id: VNI, GRE key, session, TEID", func(f *Flood) *uint32 { return &f.TunnelID }),
	event.Custom("network.transport", "keyword", "Transport protocol, or the link payload's name when not IP", (*Flood).Transport, (*Flood).setTransport).ECS("network.transport"),
	event.Number("flood.rate", "{flow}/s", "New flows a second of which nothing comes, beyond which it is a flood", func(f *Flood) *uint32 { return &f.Rate }),
	event.Number("flood.flows", "{flow}", "Flows rolled up", func(f *Flood) *uint64 { return &f.Flows }),
	event.Number("flood.total_flows", "{flow}", "Flows rolled up since the flood began", func(f *Flood) *uint64 { return &f.Total }),
	event.Number("flow.io.packets", "{packet}", "Their packets from who floods", func(f *Flood) *uint64 { return &f.Packets }).ECS("source.packets"),
	event.Number("flow.io.bytes", "By", "Their bytes from who floods, IP header and payload", func(f *Flood) *uint64 { return &f.Bytes }).ECS("source.bytes"),
	event.Number("flow.io.layer2_bytes", "By", "The same, whole frames", func(f *Flood) *uint64 { return &f.Frames }),
	event.Number("flow.reverse.io.packets", "{packet}", "Their packets from who is flooded", func(f *Flood) *uint64 { return &f.ReversePackets }).ECS("destination.packets"),
	event.Number("flow.reverse.io.bytes", "By", "Their bytes from who is flooded", func(f *Flood) *uint64 { return &f.ReverseBytes }).ECS("destination.bytes"),
	event.Number("flow.reverse.io.layer2_bytes", "By", "The same, whole frames", func(f *Flood) *uint64 { return &f.ReverseFrames }),
	event.Instant("flood.start", "When the flood was noticed", func(f *Flood) *int64 { return &f.Start }).ECS("event.start"),
	event.Instant("flow.part_start", "First packet counted in this record", func(f *Flood) *int64 { return &f.Since }),
	event.Number("flow.part", "", "Number of the record within its flood, from 0", func(f *Flood) *uint32 { return &f.Part }),
	event.Number("flood.source.count", "{address}", "Distinct senders over the whole flood, estimated", func(f *Flood) *uint64 { return &f.Sources }),
	event.Number("flood.destination.count", "{address}", "Distinct receivers over the whole flood, estimated", func(f *Flood) *uint64 { return &f.Destinations }),
	event.Number("flood.port.count", "{port}", "Distinct destination ports over the whole flood", func(f *Flood) *int { return &f.Ports }),
	event.Number("flood.source.prefix.count", "{prefix}", "Prefixes (/16 of IPv4, /32 of IPv6) that the packets of this record came from", func(f *Flood) *int { return &f.PrefixCount }),
	event.Texts("flood.source.prefixes", "The sixteen of them with most packets", func(f *Flood) *[]string { return &f.Prefixes }),
	event.Numbers("flood.source.prefix.packets", "{packet}", "Packets of each of flood.source.prefixes, and last, where there are more, of all others", func(f *Flood) *[]int64 { return &f.PrefixPackets }),
}, event.AnomalyFields(func(f *Flood) *event.Anomaly { return &f.Anomaly }))
