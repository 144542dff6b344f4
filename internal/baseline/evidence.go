package baseline

// Kinds of evidence. Strength is in nats of surprise for novelty, and a
// certainty from 0 to 1 for rules.
const (
	NewService     = "new_service"      // novelty: a service the device never used
	NewDestination = "new_destination"  // novelty: a known service at a network or domain never seen
	NewPeer        = "new_peer"         // novelty: a known service and network, another address
	NewServed      = "new_service_here" // novelty: the device serves what it never served
	NewClient      = "new_client"       // novelty: a peer never seen uses a known service of the device
	NewName        = "new_dns_name"     // novelty: a domain never asked for
	NewMaster      = "new_ot_master"    // novelty: a master that never spoke to this outstation
	NewCommand     = "new_ot_command"   // novelty: a command this master never sent here
	NewWrite       = "new_ot_write"     // novelty: as before, and the command changes the process
	UnusualHour    = "unusual_hour"     // novelty: active in an hour of the day in which it never was
	Volume         = "volume"           // novelty: far more sent to outside than ever in a minute
	Beacon         = "beacon"           // rule: clockwork contact to a new outside address
	NewDevice      = "new_device"       // rule: first seen after the site had settled
	HostSweep      = "host_sweep"       // rule: one port of many hosts, mostly unanswered
	PortSweep      = "port_sweep"       // rule: many ports of one host, mostly refused
	SynFlood       = "flood"            // rule: connections without payload, or packets, at a rate never seen
	BruteForce     = "brute_force"      // rule: many short sessions with a login service
	ARPConflict    = "arp_conflict"     // rule: an address claimed while its owner still speaks
	Relayed        = "relay"            // rule: a host of the subnet passes on what was meant for another
	StackConflict  = "stack_conflict"   // rule: another initial TTL than this device's
	StackHandshake = "stack_handshake"  // rule: the same, in a connection that it accepted
	SpoofedCommand = "spoofed_command"  // rule: a changing OT command from another stack than the master's
	SpoofedReport  = "spoofed_report"   // rule: an OT answer from another stack than the outstation's
	Misdirected    = "misdirected"      // rule: packets for one device go to another's MAC address
	OTEnumeration  = "ot_enumeration"   // rule: many unit addresses or functions asked that never were
	OTFlood        = "ot_flood"         // rule: OT requests at a rate never seen
	Silent         = "silent_device"    // rule: a steady device fell silent
	Metric         = "unusual_metric"   // rule: a series is not as it usually is
	StuckMetric    = "stuck_metric"     // rule: a series that always changes repeats one value
	Threshold      = "threshold"        // rule: a value past the bound that a person set, or missing
)

// rules are the kinds whose strength is a certainty.
var rules = map[string]bool{
	Beacon: true, NewDevice: true, HostSweep: true, PortSweep: true, SynFlood: true, BruteForce: true, ARPConflict: true,
	Relayed: true, StackConflict: true, StackHandshake: true, SpoofedCommand: true, SpoofedReport: true, Misdirected: true, OTEnumeration: true, OTFlood: true, Silent: true, Metric: true, StuckMetric: true, Threshold: true,
}

// Definition says what a kind of evidence means, for the reference page.
type Definition struct {
	Kind, Doc string
	Rule      bool
}

// Definitions lists every kind of evidence.
func Definitions() []Definition {
	d := []Definition{
		{NewService, "The device uses a service (protocol and port) that it never used", false},
		{NewDestination, "A known service at a network (/16, IPv6 /32) or domain that the device never contacted", false},
		{NewPeer, "A known service in a known network or domain, at another address", false},
		{NewServed, "The device serves something that it never served", false},
		{NewClient, "A peer never seen uses a known service of the device", false},
		{NewName, "A domain that the device never asked for", false},
		{NewMaster, "A master that never spoke to this OT outstation", false},
		{NewCommand, "An OT command that this master never sent to this outstation", false},
		{NewWrite, "The same, and the command changes the process", false},
		{UnusualHour, "Active in an hour of the day in which it never was, after a week", false},
		{Volume, "Far more bytes to outside addresses in a minute than ever before", false},
		{Beacon, "Clockwork contact to a new outside address at a cadence this service never had", true},
		{NewDevice, "First seen after the site had settled", true},
		{HostSweep, "One port, ping or ARP to many hosts, mostly unanswered", true},
		{PortSweep, "Many ports of one host, mostly unanswered or refused", true},
		{SynFlood, "Connections without payload, or packets, to one service at a rate never seen", true},
		{BruteForce, "Many sessions with a login service in a short time", true},
		{ARPConflict, "An address claimed by another MAC while its owner still speaks", true},
		{Relayed, "A host passes on packets between two others of its subnet", true},
		{StackConflict, "Packets with another initial TTL than this device has in this role", true},
		{StackHandshake, "The same, in a connection that the device accepted: somebody else answers in its place", true},
		{SpoofedCommand, "A changing OT command within a connection, with another initial TTL than its master has", true},
		{SpoofedReport, "An OT answer within a connection, with another initial TTL than its outstation has", true},
		{Misdirected, "Packets for a device go to the MAC address of another one of its subnet", true},
		{OTEnumeration, "Many OT unit addresses or functions asked that never were", true},
		{OTFlood, "OT requests at a rate never seen", true},
		{Silent, "A steady device fell silent", true},
		{Metric, "A metric, or the traffic of a device, has a spike, another level, more scatter, no season, or drifts", true},
		{StuckMetric, "A metric that changes all the time repeats one value", true},
		{Threshold, "A metric or attribute past the bound that a person set, or missing for longer than that person allowed", true},
	}
	return d
}
