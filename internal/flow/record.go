package flow

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/packet"
)

// EndReason says why a record was written, in the words of IPFIX flowEndReason (136).
type EndReason string

// End reasons.
const (
	Idle   EndReason = "idle"   // nothing for the idle timeout
	Active EndReason = "active" // the flow goes on; this is a report at the interval
	Ended  EndReason = "end"    // TCP said so
	Forced EndReason = "forced" // the meter was stopped or its source ended
	Evict  EndReason = "lack_of_resources"
)

// End is one side of a flow: what that side sent. Counts are of this record's
// span only; a long flow's records add up.
type End struct {
	Addr    netip.Addr // invalid for flows that are not IP
	Port    uint16     // 0 where the protocol has none
	MAC     packet.MAC
	Packets uint64
	Bytes   uint64 // IP header and payload (IPFIX octetDeltaCount); the link payload when not IP
	Frames  uint64 // whole frames in bytes (IPFIX layer2OctetDeltaCount)
	Flags   uint8  // TCP flags, or-ed
	TTLMin  uint8
	TTLMax  uint8
	DSCP    uint8  // of the first packet
	Retrans uint32 // TCP segments that carried nothing new
	Syn     string // TCP stack facts of the SYN or SYN-ACK: options in order, e.g. "M1460,S,T,N,W7;64240" with the window last

	Device     string // id in the inventory, "" for an end outside
	DeviceName string
	Domain     string // name by which the wire knew an outside address
}

// Record is one bidirectional flow, or a part of a long one. Src is the
// initiator where that is known.
type Record struct {
	ID        uint64 // the same for all records of one flow
	Start     int64  // first packet of the flow, Unix nanoseconds
	Since     int64  // first packet of this record
	End       int64  // last packet of this record; the log record's timestamp
	Src, Dst  End
	Net       uint16 // EtherType
	Proto     uint8  // IP protocol number; valid iff Net is IPv4 or IPv6
	Reason    EndReason
	Part      uint32 // 0 for the first record of a flow, then 1, 2, …
	Guessed   bool   // the initiator is a guess (the flow began before we looked)
	VLAN      uint16
	InnerVLAN uint16
	Tunnel    Tunnel
	Interface string
	State     string // TCP state, in Zeek's conn_state letters (S0, SF, REJ, …)
	ICMPType  uint8
	ICMPCode  uint8
	Fragments uint32 // packets that were IP fragments

	Overlapping uint32 // of those, with bytes that an earlier one had carried; at most 65,535
	ICMPErrors  uint32 // ICMP errors that quote a packet of the flow; at most 65,535
	ErrorType   uint8  // ICMP or ICMPv6 type of the last of them
	ErrorCode   uint8
	Community   string

	FirstSizes []int64 // first payload sizes in bytes, negative from the responder
	Messages   uint32  // bursts of payload from the initiator
	Interval   float64 // mean seconds between them
	IntervalCV float64 // their coefficient of variation: near 0 is clockwork

	Service       string   // application protocol, by port for now
	Questions     []string // DNS names asked
	Commands      []string // OT commands in the order of first sight, "unit/function"
	CommandCounts []int64  // how often each

	// Only in flows that an exporter told of (package netflow).
	Sampling                uint32 // one packet in so many was looked at; 0 and 1 mean each
	Ingress, Egress         uint32 // its interfaces' indices, as the initiator's packets passed
	IngressName, EgressName string

	Anomaly event.Anomaly
}

// IsIP reports whether the flow is IPv4 or IPv6.
func (r *Record) IsIP() bool { return r.Net == packet.NetIPv4 || r.Net == packet.NetIPv6 }

// Transport is the OpenTelemetry network.transport value: tcp, udp, icmp, …, or
// the name of the EtherType for what is not IP.
func (r *Record) Transport() string {
	if !r.IsIP() {
		return netName(r.Net)
	}
	return protoName(r.Proto)
}

var protoNames = map[uint8]string{
	1: "icmp", 2: "igmp", 4: "ipip", 6: "tcp", 17: "udp", 41: "ipv6", 47: "gre", 50: "esp", 51: "ah",
	58: "icmp6", 88: "eigrp", 89: "ospf", 103: "pim", 112: "vrrp", 115: "l2tp", 132: "sctp", 136: "udplite",
}

var protoNumbers = invert(protoNames)

var netNames = map[uint16]string{
	packet.NetIPv4: "ipv4", packet.NetIPv6: "ipv6", packet.NetARP: "arp",
	0x2000: "cdp", 0x2003: "vtp", 0x2004: "dtp", 0x6003: "decnet", 0x8035: "rarp", 0x8037: "ipx_raw", 0x809b: "appletalk", 0x80f3: "aarp",
	0x8100: "vlan", 0x8137: "ipx", 0x8808: "pause", 0x8809: "slow", 0x8819: "cobranet", 0x8847: "mpls", 0x8848: "mpls_multicast",
	0x8863: "pppoe_discovery", 0x8864: "pppoe", 0x887b: "homeplug", 0x888e: "eapol", 0x8892: "profinet", 0x8899: "rrcp", 0x88a4: "ethercat",
	0x88ab: "powerlink", 0x88b8: "goose", 0x88b9: "gse", 0x88ba: "sampled_values", 0x88c7: "wlan_preauth", 0x88cc: "lldp", 0x88cd: "sercos",
	0x88e1: "homeplug_av", 0x88e3: "mrp", 0x88e5: "macsec", 0x88f5: "mvrp", 0x88f6: "mmrp", 0x88f7: "ptp", 0x88fb: "prp", 0x8902: "cfm",
	0x8903: "fabricpath", 0x9000: "loopback", 0x22f0: "avtp", 0x22ea: "msrp", 0x893a: "ieee1905",
	0: "llc", 0x42: "stp", 0xaa: "snap", 0xe0: "ipx_llc", 0xf0: "netbios", 0xfe: "osi",
	0x104: "pagp", 0x10b: "pvst", 0x111: "udld", packet.NetISIS: "isis", packet.NetWLAN: "wlan", packet.NetWPAN: "ieee802154",
}

var netNumbers = invert(netNames)

func invert[K comparable](m map[K]string) map[string]K {
	inv := make(map[string]K, len(m))
	for k, v := range m {
		inv[v] = k
	}
	return inv
}

func protoName(p uint8) string {
	switch p {
	case packet.ProtoTCP:
		return "tcp"
	case packet.ProtoUDP:
		return "udp"
	}
	if s, ok := protoNames[p]; ok {
		return s
	}
	return strconv.Itoa(int(p))
}

func netName(e uint16) string {
	if s, ok := netNames[e]; ok {
		return s
	}
	if e < 0x600 {
		return "llc_" + strconv.FormatUint(uint64(e), 16)
	}
	return "0x" + strconv.FormatUint(uint64(e), 16)
}

func (r *Record) setTransport(s string) {
	switch s {
	case "tcp":
		r.Proto = packet.ProtoTCP
		return
	case "udp":
		r.Proto = packet.ProtoUDP
		return
	}
	if p, ok := protoNumbers[s]; ok {
		r.Proto = p
	} else if e, ok := netNumbers[s]; ok {
		r.Net = e
	} else if sap, ok := strings.CutPrefix(s, "llc_"); ok {
		n, _ := strconv.ParseUint(sap, 16, 16)
		r.Net = uint16(n)
	} else if n, err := strconv.ParseUint(s, 0, 16); err == nil {
		if len(s) > 2 && s[1] == 'x' {
			r.Net = uint16(n)
		} else {
			r.Proto = uint8(n)
		}
	}
}

// Fields is the one definition of a flow event. Left out are zeros and what
// follows from the rest: the end of a flow is the log record's timestamp, the
// network type follows from the addresses, an initiator is known unless said to
// be guessed, a largest TTL is the smallest unless given.
var Fields = event.NewTable("network.flow", "A bidirectional conversation between two ends, or the part of a long one since its last record.", []event.Field[Record]{
	event.Address("source.address", "Address of the initiator", func(r *Record) *netip.Addr { return &r.Src.Addr }).IPFIX("sourceIPv4Address, sourceIPv6Address").ECS("source.ip"),
	event.Number("source.port", "", "Port of the initiator", func(r *Record) *uint16 { return &r.Src.Port }).IPFIX("sourceTransportPort").ECS("source.port"),
	event.Address("destination.address", "Address of the responder", func(r *Record) *netip.Addr { return &r.Dst.Addr }).IPFIX("destinationIPv4Address, destinationIPv6Address").ECS("destination.ip"),
	event.Number("destination.port", "", "Port of the responder", func(r *Record) *uint16 { return &r.Dst.Port }).IPFIX("destinationTransportPort").ECS("destination.port"),
	event.Word("network.transport", "keyword", "Transport protocol (tcp, udp, icmp, …), or the link payload's name when not IP (arp, lldp, goose, …)",
		(*Record).Transport, (*Record).setTransport).IPFIX("protocolIdentifier, ethernetType").ECS("network.transport"),
	event.Text("network.protocol.name", "Application protocol, by the service port", func(r *Record) *string { return &r.Service }).IPFIX("applicationName").ECS("network.protocol"),
	event.Number("flow.io.packets", "{packet}", "Packets from the initiator", func(r *Record) *uint64 { return &r.Src.Packets }).IPFIX("packetDeltaCount").ECS("source.packets"),
	event.Number("flow.io.bytes", "By", "Bytes from the initiator, IP header and payload", func(r *Record) *uint64 { return &r.Src.Bytes }).IPFIX("octetDeltaCount").ECS("source.bytes"),
	event.Number("flow.reverse.io.packets", "{packet}", "Packets from the responder", func(r *Record) *uint64 { return &r.Dst.Packets }).IPFIX("reversePacketDeltaCount").ECS("destination.packets"),
	event.Number("flow.reverse.io.bytes", "By", "Bytes from the responder, IP header and payload", func(r *Record) *uint64 { return &r.Dst.Bytes }).IPFIX("reverseOctetDeltaCount").ECS("destination.bytes"),
	event.Instant("flow.start", "First packet of the flow", func(r *Record) *int64 { return &r.Start }).IPFIX("flowStartNanoseconds").ECS("event.start"),
	event.Text("network.community_id", "Community ID version 1, seed 0", func(r *Record) *string { return &r.Community }).ECS("network.community_id"),
	mac("flow.src_mac", "MAC address that the initiator's first packet came from, when not source.device.id", func(r *Record) *End { return &r.Src }).IPFIX("sourceMacAddress").ECS("source.mac"),
	mac("flow.dst_mac", "MAC address that the initiator's first packet went to, when not destination.device.id", func(r *Record) *End { return &r.Dst }).IPFIX("destinationMacAddress").ECS("destination.mac"),
	event.Text("source.device.id", "Inventory id of the initiator", func(r *Record) *string { return &r.Src.Device }),
	event.Text("source.device.name", "Its name", func(r *Record) *string { return &r.Src.DeviceName }),
	event.Text("destination.device.id", "Inventory id of the responder", func(r *Record) *string { return &r.Dst.Device }),
	event.Text("destination.device.name", "Its name", func(r *Record) *string { return &r.Dst.DeviceName }),
	event.Text("source.domain", "Name under which the wire knew the initiator's address", func(r *Record) *string { return &r.Src.Domain }).ECS("source.domain"),
	event.Text("destination.domain", "Name under which the wire knew the responder's address", func(r *Record) *string { return &r.Dst.Domain }).ECS("destination.domain"),
	event.Text("flow.tcp.state", "TCP state in Zeek's conn_state letters", func(r *Record) *string { return &r.State }),
	flags("flow.tcp_flags", "TCP flags of the initiator, or-ed, when not the usual 27 (FIN SYN PSH ACK) of state SF", func(r *Record) *End { return &r.Src }).IPFIX("tcpControlBits"),
	flags("flow.reverse.tcp_flags", "TCP flags of the responder, or-ed, when not the usual 27 of state SF", func(r *Record) *End { return &r.Dst }).IPFIX("reverseTcpControlBits"),
	event.Number("flow.ttl.min", "", "Smallest TTL or hop limit from the initiator", func(r *Record) *uint8 { return &r.Src.TTLMin }).IPFIX("minimumTTL"),
	ttlMax("flow.ttl.max", "Largest TTL from the initiator, when not the smallest", func(r *Record) *End { return &r.Src }).IPFIX("maximumTTL"),
	event.Number("flow.reverse.ttl.min", "", "Smallest TTL or hop limit from the responder", func(r *Record) *uint8 { return &r.Dst.TTLMin }).IPFIX("reverseMinimumTTL"),
	ttlMax("flow.reverse.ttl.max", "Largest TTL from the responder, when not the smallest", func(r *Record) *End { return &r.Dst }).IPFIX("reverseMaximumTTL"),
	event.Text("flow.end_reason", "Why the record was written: idle, active, forced, lack_of_resources; absent when TCP ended the flow", func(r *Record) *EndReason { return &r.Reason }).
		Unless(func(r *Record) bool { return r.Reason == Ended }).IPFIX("flowEndReason"),
	event.Formatted("flow.id", "keyword", "Id that all records of one flow share, 16 hexadecimal digits; absent from a flow that is told in one record",
		func(r *Record, b []byte) []byte { return appendID(b, r.ID) }, func(r *Record, s string) { r.ID = parseID(s) }).
		Unless(func(r *Record) bool { return r.Part == 0 && r.Reason != Active }).IPFIX("flowId"),
	event.Number("flow.part", "", "Number of the record within its flow, from 0", func(r *Record) *uint32 { return &r.Part }),
	event.Instant("flow.part_start", "First packet of the record, when not of the flow", func(r *Record) *int64 { return &r.Since }).
		Unless(func(r *Record) bool { return r.Part == 0 }),
	event.Flag("flow.initiator_guessed", "The flow began before we looked, its initiator is a guess", func(r *Record) *bool { return &r.Guessed }),
	layer2("flow.io.layer2_bytes", "Bytes of whole frames from the initiator, when not 14 a packet more than flow.io.bytes", func(r *Record) *End { return &r.Src }).IPFIX("layer2OctetDeltaCount"),
	layer2("flow.reverse.io.layer2_bytes", "Bytes of whole frames from the responder, when not 14 a packet more than flow.reverse.io.bytes", func(r *Record) *End { return &r.Dst }).IPFIX("reverseLayer2OctetDeltaCount"),
	event.Number("flow.vlan_id", "", "VLAN id, the outer one of QinQ", func(r *Record) *uint16 { return &r.VLAN }).IPFIX("vlanId, dot1qVlanId").ECS("network.vlan.id", "keyword"),
	event.Number("flow.inner_vlan_id", "", "Inner VLAN id of QinQ", func(r *Record) *uint16 { return &r.InnerVLAN }).IPFIX("dot1qCustomerVlanId").ECS("network.inner.vlan.id", "keyword"),
	event.Text("flow.tunnel.type", "What the flow's packets came in, when in a tunnel or as copies of a mirror: gre, gretap, erspan2, vxlan, geneve, tzsp, ipip, …; of several within each other the innermost", func(r *Record) *string { return &r.Tunnel.Type }),
	event.Number("flow.tunnel.id", "", "Its id: VNI, GRE key, session, TEID", func(r *Record) *uint32 { return &r.Tunnel.ID }),
	event.Address("flow.tunnel.peer", "Who sent the initiator's packets in it, or the copies: source address of the outermost packet", func(r *Record) *netip.Addr { return &r.Tunnel.Peer }),
	event.Address("flow.tunnel.destination", "Where they were sent", func(r *Record) *netip.Addr { return &r.Tunnel.Destination }),
	event.Number("flow.tunnel.vlan_id", "", "VLAN id of the outermost frame, where the flow's own frames were in the tunnel", func(r *Record) *uint16 { return &r.Tunnel.VLAN }),
	event.Number("flow.tunnel.depth", "", "Tunnels within each other, when more than one", func(r *Record) *uint8 { return &r.Tunnel.Depth }).
		Unless(func(r *Record) bool { return r.Tunnel.Depth <= 1 }),
	event.Text("network.interface.name", "Interface that saw the first packet, where the source has several", func(r *Record) *string { return &r.Interface }).IPFIX("interfaceName"),
	event.Number("flow.icmp.type", "", "ICMP or ICMPv6 type of the first packet", func(r *Record) *uint8 { return &r.ICMPType }).IPFIX("icmpTypeIPv4, icmpTypeIPv6"),
	event.Number("flow.icmp.code", "", "ICMP or ICMPv6 code of the first packet", func(r *Record) *uint8 { return &r.ICMPCode }).IPFIX("icmpCodeIPv4, icmpCodeIPv6"),
	event.Number("flow.dscp", "", "DSCP of the initiator's first packet", func(r *Record) *uint8 { return &r.Src.DSCP }).IPFIX("ipDiffServCodePoint"),
	event.Number("flow.reverse.dscp", "", "DSCP of the responder's first packet", func(r *Record) *uint8 { return &r.Dst.DSCP }).IPFIX("reverseIpDiffServCodePoint"),
	event.Number("flow.tcp.retransmissions", "{packet}", "Segments of the initiator that carried nothing new", func(r *Record) *uint32 { return &r.Src.Retrans }),
	event.Number("flow.reverse.tcp.retransmissions", "{packet}", "Segments of the responder that carried nothing new", func(r *Record) *uint32 { return &r.Dst.Retrans }),
	event.Text("flow.tcp.syn", "Initiator's TCP stack: SYN options in order and window; absent where its address showed the same within five minutes", func(r *Record) *string { return &r.Src.Syn }),
	event.Text("flow.reverse.tcp.syn", "Responder's TCP stack: SYN-ACK options in order and window; absent likewise", func(r *Record) *string { return &r.Dst.Syn }),
	event.Number("flow.fragments", "{packet}", "Packets that were IP fragments", func(r *Record) *uint32 { return &r.Fragments }),
	event.Number("flow.overlapping_fragments", "{packet}", "Fragments with bytes that an earlier one of the datagram had carried", func(r *Record) *uint32 { return &r.Overlapping }),
	event.Number("flow.icmp_errors", "{packet}", "ICMP errors (unreachable, too big, time exceeded, parameter problem) that quote a packet of the flow; they are counted in flows of their own. A record of errors alone has no packets", func(r *Record) *uint32 { return &r.ICMPErrors }),
	event.Number("flow.icmp_error.type", "", "ICMP or ICMPv6 type of the last of them", func(r *Record) *uint8 { return &r.ErrorType }),
	event.Number("flow.icmp_error.code", "", "Its code", func(r *Record) *uint8 { return &r.ErrorCode }),
	event.Numbers("flow.payload_sizes", "By", "First payload sizes, negative from the responder", func(r *Record) *[]int64 { return &r.FirstSizes }),
	event.Number("flow.messages", "{message}", "Bursts of payload from the initiator, in flows of at least three", func(r *Record) *uint32 { return &r.Messages }),
	event.Real("flow.message.interval", "s", "Mean time between them", func(r *Record) *float64 { return &r.Interval }),
	event.Real("flow.message.interval_cv", "1", "Coefficient of variation of that time", func(r *Record) *float64 { return &r.IntervalCV }),
	event.Texts("dns.question.names", "DNS names asked for", func(r *Record) *[]string { return &r.Questions }).ECS("dns.question.name"),
	event.Texts("ot.commands", "OT commands as unit/function, in the order of first sight", func(r *Record) *[]string { return &r.Commands }),
	event.Numbers("ot.command_counts", "{message}", "How often each of ot.commands was seen", func(r *Record) *[]int64 { return &r.CommandCounts }),
	event.Number("flow.sampling_interval", "", "The exporter looked at one packet in so many; the counts are multiplied by it already", func(r *Record) *uint32 { return &r.Sampling }).IPFIX("samplingInterval"),
	ifIndex("observer.ingress.interface.id", "Index (ifIndex) of the exporter's interface that the initiator's packets came in by", func(r *Record) *uint32 { return &r.Ingress }).IPFIX("ingressInterface").ECS("observer.ingress.interface.id"),
	event.Text("observer.ingress.interface.name", "Its name, where the exporter tells", func(r *Record) *string { return &r.IngressName }).IPFIX("interfaceName").ECS("observer.ingress.interface.name"),
	ifIndex("observer.egress.interface.id", "Index (ifIndex) of the interface that they left by", func(r *Record) *uint32 { return &r.Egress }).IPFIX("egressInterface").ECS("observer.egress.interface.id"),
	event.Text("observer.egress.interface.name", "Its name, where the exporter tells", func(r *Record) *string { return &r.EgressName }).IPFIX("interfaceName").ECS("observer.egress.interface.name"),
}, event.AnomalyFields(func(r *Record) *event.Anomaly { return &r.Anomaly }))

// Complete fills in what [Fields] leaves out because it follows from the rest.
// Call it once after reading a record back.
func (r *Record) Complete() {
	if r.Net == 0 && r.Src.Addr.IsValid() {
		if r.Net = packet.NetIPv6; r.Src.Addr.Is4() {
			r.Net = packet.NetIPv4
		}
	}
	if r.Since == 0 {
		r.Since = r.Start
	}
	if r.Reason == "" {
		r.Reason = Ended
	}
	if r.Tunnel.Type != "" && r.Tunnel.Depth == 0 {
		r.Tunnel.Depth = 1
	}
	for _, e := range [...]*End{&r.Src, &r.Dst} {
		if e.MAC.IsZero() {
			e.MAC = packet.ParseMAC(e.Device)
		}
		if e.Flags == 0 && r.State == usualState {
			e.Flags = usualFlags
		}
		if e.TTLMax == 0 {
			e.TTLMax = e.TTLMin
		}
		if e.Frames == 0 {
			e.Frames = e.Bytes + ethernetHeader*e.Packets
		}
	}
}

const ethernetHeader = 14

// parseID reads what [ID] wrote; anything else gives 0.
func parseID(s string) uint64 {
	id, _ := strconv.ParseUint(s, 16, 64)
	return id
}

// ID is the text form of [Record.ID].
func ID(id uint64) string { return string(appendID(nil, id)) }

func appendID(b []byte, id uint64) []byte {
	if id == 0 {
		return b
	}
	for i := 60; i >= 0; i -= 4 {
		b = append(b, hex[id>>i&15])
	}
	return b
}

const hex = "0123456789abcdef"

func appendMAC(b []byte, m packet.MAC) []byte {
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[x>>4], hex[x&15])
	}
	return b
}

func mac(key, doc string, at func(*Record) *End) event.Field[Record] {
	return event.Formatted(key, "keyword", doc,
		func(r *Record, b []byte) []byte {
			e := at(r)
			if e.MAC.IsZero() {
				return b
			}
			n := len(b)
			if b = appendMAC(b, e.MAC); string(b[n:]) == e.Device {
				b = b[:n]
			}
			return b
		},
		func(r *Record, s string) { at(r).MAC = packet.ParseMAC(s) })
}

// A connection that began, carried data and ended in order has these.
const (
	usualState = "SF"
	usualFlags = packet.FIN | packet.SYN | packet.PSH | packet.ACK
)

func flags(key, doc string, at func(*Record) *End) event.Field[Record] {
	f := event.Number(key, "", doc, func(r *Record) *uint8 { return &at(r).Flags })
	return f.Unless(func(r *Record) bool { return r.State == usualState && at(r).Flags == usualFlags })
}

func ttlMax(key, doc string, at func(*Record) *End) event.Field[Record] {
	f := event.Number(key, "", doc, func(r *Record) *uint8 { return &at(r).TTLMax })
	return f.Unless(func(r *Record) bool { return at(r).TTLMax == at(r).TTLMin })
}

func layer2(key, doc string, at func(*Record) *End) event.Field[Record] {
	f := event.Number(key, "By", doc, func(r *Record) *uint64 { return &at(r).Frames })
	return f.Unless(func(r *Record) bool { return at(r).Frames == at(r).Bytes+ethernetHeader*at(r).Packets })
}

// ifIndex is a number that is a name: nobody adds it up.
func ifIndex(key, doc string, at func(*Record) *uint32) event.Field[Record] {
	f := event.Number(key, "", doc, at)
	f.Elastic = "keyword"
	return f
}
