package threat

import (
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/posture"
)

// Class is one kind of incident.
type Class struct {
	Name       string
	Title      string
	Doc        string
	Severity   string
	Enterprise []string // ATT&CK Enterprise
	ICS        []string // ATT&CK for ICS
	Action     string   // what to do next
}

// Names of classes that code refers to.
const (
	Unknown      = "unknown"
	NewDevice    = "new_device"
	NewPeer      = "new_peer"
	NewService   = "new_service"
	HostScan     = "host_scan"
	PortScan     = "port_scan"
	Flood        = "flood"
	BruteForce   = "brute_force"
	Exfiltration = "exfiltration"
	Beacon       = "beacon"
	SilentDevice = "silent_device"
	StuckSensor  = "stuck_sensor"
	OddMetric    = "unusual_metric"
	Threshold    = "threshold"
	ARPSpoofing  = "arp_spoofing"
	Masquerade   = "masquerade"
	NewOTMaster  = "new_ot_master"
	NewOTCommand = "new_ot_command"
	OTScan       = "ot_enumeration"
	OTInjection  = "ot_injection"
	OTSpoofing   = "ot_spoofed_report"
	HostAccess   = "host_access"
	HostTampered = "host_tampering"
	Removable    = "removable_media"
)

// Classes lists every class, in the order in which ties are broken.
var Classes = []Class{
	{ARPSpoofing, "ARP spoofing", "A device claims another's address, or passes on what was meant for another", Critical,
		[]string{"T1557.002 ARP Cache Poisoning"}, []string{"T0830 Adversary-in-the-Middle"},
		"Find the switch port of the claiming MAC address and unplug it. If the address was moved on purpose (replaced device, failover), approve it."},
	{Masquerade, "Masquerade", "Packets in a device's name come from another network stack", High,
		[]string{"T1036 Masquerading"}, []string{"T0849 Masquerading"},
		"Check whether the device was replaced or updated; if not, look for a second sender with its address."},
	{OTInjection, "Injected OT command", "A changing command in a master's name comes from another network stack", Critical,
		[]string{"T1565.002 Transmitted Data Manipulation"}, []string{"T0855 Unauthorized Command Message", "T0816 Device Restart/Shutdown"},
		"Look for a second sender with the master's address, and check the state of the controller."},
	{OTSpoofing, "Spoofed OT report", "An answer in an outstation's name comes from another network stack", Critical,
		[]string{"T1565.002 Transmitted Data Manipulation"}, []string{"T0856 Spoof Reporting Message"},
		"Do not trust what the control room shows; read the values at the controller, and look for a second sender with its address."},
	{NewOTCommand, "OT command never seen", "A master sends a command that it never sent to this outstation", High,
		[]string{"T1565.002 Transmitted Data Manipulation"}, []string{"T0855 Unauthorized Command Message", "T0836 Modify Parameter"},
		"Ask who works on the process. If nobody does, compare the set points with the plan and cut the sender off from the controller."},
	{NewOTMaster, "New OT master", "A device commands an outstation that it never commanded", High,
		[]string{"T1021 Remote Services"}, []string{"T0848 Rogue Master"},
		"Ask whether an engineer connected a new station. If not, cut it off from the controller."},
	{OTScan, "OT enumeration", "A device tries unit addresses or functions of an outstation one after the other", High,
		[]string{"T1046 Network Service Discovery"}, []string{"T0888 Remote System Information Discovery"},
		"Find out what runs on the sender; an inventory tool should be approved, anything else removed."},
	{Flood, "Flood", "One service or device gets more than any client needs", High,
		[]string{"T1498 Network Denial of Service"}, []string{"T0814 Denial of Service"},
		"Cut the sender off or limit its rate at the switch, and check that the target still answers."},
	{BruteForce, "Password guessing", "Many short sessions with a login service", High,
		[]string{"T1110 Brute Force"}, []string{"T0859 Valid Accounts"},
		"Look for a successful login from the sender after the attempts, change that password, and block the sender."},
	{HostAccess, "Access to the host", "Who may log in to the host, or act as its administrator, has changed", High,
		[]string{"T1098 Account Manipulation", "T1136.001 Local Account"}, []string{"T0859 Valid Accounts"},
		"Ask who administers the host. If nobody did it, remove the account, the key or the rule, and look for how somebody got in."},
	{HostTampered, "Host tampered with", "What guards the host, or runs on it with more rights than its user has, has changed", High,
		[]string{"T1547.006 Kernel Modules and Extensions", "T1548.001 Setuid and Setgid"}, []string{"T0851 Rootkit"},
		"Compare with what was installed lately. If nothing was, take the host off the network, and set it up anew from a clean image."},
	{Exfiltration, "Upload out of proportion", "A device sends far more to the outside than it ever did", High,
		[]string{"T1041 Exfiltration Over C2 Channel"}, []string{"T0882 Theft of Operational Information"},
		"Find out what was sent and by which program. If it was a backup or an update, approve the destination."},
	{Beacon, "Beacon", "Clockwork contact to a new outside address", High,
		[]string{"T1071 Application Layer Protocol"}, []string{"T0869 Standard Application Layer Protocol"},
		"Look the address up, and find the program that calls it. If it is a new cloud service of the vendor, approve it."},
	{PortScan, "Port scan", "A device tries port after port of a host", Medium,
		[]string{"T1046 Network Service Discovery"}, []string{"T0846 Remote System Discovery"},
		"Find out what runs on the sender; an inventory tool should be approved, anything else removed."},
	{HostScan, "Scan of hosts", "A device looks for hosts, one after the other", Medium,
		[]string{"T1018 Remote System Discovery"}, []string{"T0846 Remote System Discovery"},
		"Find out what runs on the sender; an inventory tool should be approved, anything else removed."},
	{SilentDevice, "Silent device", "A steady device fell silent", Medium,
		[]string{"T1489 Service Stop"}, []string{"T0815 Denial of View"},
		"Check its power, its cable and its switch port."},
	{StuckSensor, "Stuck sensor", "A measured value that changes all the time repeats itself", Medium,
		[]string{"T1565.002 Transmitted Data Manipulation"}, []string{"T0856 Spoof Reporting Message", "T0815 Denial of View"},
		"Compare the value with the process itself. If the sensor is well, look for somebody who replays its values."},
	{OddMetric, "Unusual metric", "A measured value, or how much a device sends, is not what it usually is at this time", Low,
		[]string{"T1496 Resource Hijacking"}, []string{"T0831 Manipulation of Control"},
		"Look at what the device does since then. If it was meant to change, nothing is to be done: after a day the new level is the usual one."},
	{Removable, "Removable medium", "Storage on USB was mounted on the host", Medium,
		[]string{"T1091 Replication Through Removable Media"}, []string{"T0847 Replication Through Removable Media"},
		"Ask whose it is. If nobody knows it, unmount it, keep it, and look at what it brought."},
	{Threshold, "Threshold crossed", "A measured value is past the bound that a person set for it, or is missing", Medium,
		[]string{"T1499 Endpoint Denial of Service"}, []string{"T0814 Denial of Service"},
		"Look at the device: what fills, heats or loads it, or why it no longer reports. If the value is wanted, move the rule's bound."},
	{NewDevice, "New device", "A device appeared after the site had settled", Low,
		[]string{"T1200 Hardware Additions"}, []string{"T0864 Transient Cyber Asset"},
		"If somebody connected it on purpose, approve it. If nobody knows it, find its switch port."},
	{NewService, "New service", "A device uses or serves something it never did", Medium,
		[]string{"T1021 Remote Services"}, []string{"T0886 Remote Services"},
		"Ask whether the device was updated or set up anew. If so, approve the service."},
	{NewPeer, "New peer", "A device talks to someone it never talked to", Low,
		[]string{"T1021 Remote Services"}, []string{"T0886 Remote Services"},
		"Ask whether this contact is wanted. If so, approve it."},
	{Unknown, "Unusual, of no known kind", "Out of the ordinary, and like no attack we know", Low, nil, nil,
		"Read what was expected and what was seen, and approve it if it is wanted."},
}

var classIndex = func() map[string]int {
	m := map[string]int{}
	for i, c := range Classes {
		m[c.Name] = i
	}
	return m
}()

// ClassOf gives the class of this name; an unknown name gives [Unknown].
func ClassOf(name string) *Class {
	if i, ok := classIndex[name]; ok {
		return &Classes[i]
	}
	return &Classes[classIndex[Unknown]]
}

// weight is what one unit of evidence adds to a class's score, in nats.
type weight struct {
	class string
	nats  float64
}

// bias is what every class starts with: no single weak sign makes a report.
const bias = -3.0

// weights is evidence × class, the strongest class first. Kinds whose strength
// is a certainty carry the nats themselves; novelty carries its own in strength.
var weights = map[string][]weight{
	baseline.HostSweep:      {{HostScan, 6}},
	baseline.PortSweep:      {{PortScan, 6.5}, {HostScan, -3}},
	baseline.SynFlood:       {{Flood, 7}},
	baseline.BruteForce:     {{BruteForce, 6}},
	baseline.ARPConflict:    {{ARPSpoofing, 6}, {Masquerade, 2}, {OTSpoofing, -4}, {OTInjection, -4}, {NewOTMaster, -4}},
	baseline.Relayed:        {{ARPSpoofing, 6}, {OTSpoofing, -4}, {OTInjection, -4}, {NewOTMaster, -4}},
	baseline.StackConflict:  {{Masquerade, 4}, {ARPSpoofing, 0.5}},
	baseline.StackHandshake: {{Masquerade, 7}, {NewOTMaster, -5}, {NewOTCommand, -5}, {OTSpoofing, -3}},
	baseline.SpoofedCommand: {{OTInjection, 7}, {NewOTMaster, -5}, {NewOTCommand, -5}},
	baseline.SpoofedReport:  {{OTSpoofing, 7}, {NewOTMaster, -5}, {NewOTCommand, -5}},
	baseline.Misdirected:    {{ARPSpoofing, 6}, {OTSpoofing, -4}, {OTInjection, -4}, {NewOTMaster, -4}},
	baseline.OTEnumeration:  {{OTScan, 8}},
	baseline.OTFlood:        {{Flood, 9}},
	baseline.NewMaster:      {{NewOTMaster, 1.7}, {NewOTCommand, -1}, {Unknown, 0.5}},
	baseline.NewWrite:       {{NewOTCommand, 1.25}, {NewOTMaster, 0.3}, {Unknown, 0.3}},
	baseline.NewCommand:     {{NewOTCommand, 1.1}, {NewOTMaster, 0.3}, {Unknown, 0.5}},
	baseline.Volume:         {{Exfiltration, 1}, {Unknown, 0.3}},
	baseline.Beacon:         {{Beacon, 6}},
	baseline.Silent:         {{SilentDevice, 6}},
	baseline.StuckMetric:    {{StuckSensor, 6}},
	baseline.Metric:         {{OddMetric, 6}},
	baseline.Threshold:      {{Threshold, 9}},
	baseline.NewDevice:      {{NewDevice, 5}},
	baseline.NewService:     {{NewService, 1}, {Beacon, 0.3}, {Exfiltration, 0.2}, {Unknown, 0.5}},
	baseline.NewServed:      {{NewService, 1}, {Unknown, 0.5}},
	baseline.NewDestination: {{NewPeer, 0.9}, {Beacon, 0.3}, {Exfiltration, 0.2}, {Unknown, 0.4}},
	baseline.NewPeer:        {{NewPeer, 0.8}, {Unknown, 0.3}},
	baseline.NewClient:      {{NewPeer, 0.8}, {Unknown, 0.4}},
	baseline.NewName:        {{Beacon, 0.2}, {Unknown, 0.2}},
	baseline.UnusualHour:    {{Unknown, 0.5}},

	posture.EvidenceOf(posture.User):       {{HostAccess, 6}},
	posture.EvidenceOf(posture.Group):      {{HostAccess, 5}},
	posture.EvidenceOf(posture.Sudoers):    {{HostAccess, 6}},
	posture.EvidenceOf(posture.SSHKey):     {{HostAccess, 6}},
	posture.EvidenceOf(posture.SetUID):     {{HostTampered, 6}},
	posture.EvidenceOf(posture.Module):     {{HostTampered, 4}},
	posture.EvidenceOf(posture.Unit):       {{HostTampered, 5}},
	posture.EvidenceOf(posture.File):       {{HostTampered, 5}},
	posture.EvidenceOf(posture.Firewall):   {{HostTampered, 5}},
	posture.EvidenceOf(posture.USBStorage): {{Removable, 6}},
	posture.EvidenceOf(posture.Listener):   {{NewService, 5}, {Unknown, 0.5}},
	posture.EvidenceOf(posture.Login):      {{BruteForce, 6}},
}

// families are the classes that one incident may waver between. Evidence of
// another family opens an incident of its own.
var families = map[string]string{
	HostScan: "scan", PortScan: "scan", OTScan: control, NewOTMaster: control, NewOTCommand: control, OTInjection: control, OTSpoofing: control,
	ARPSpoofing: control, Masquerade: control, Flood: "flood", BruteForce: "login",
	Exfiltration: "upload", Beacon: "beacon", SilentDevice: "silence", StuckSensor: "metric", OddMetric: "metric", Threshold: "metric", NewDevice: "presence",
	HostAccess: "host", HostTampered: "host", Removable: "media",
	NewService: novel, NewPeer: novel, Unknown: novel,
}

// familyOf is the family of the class that a kind of evidence speaks for most. A
// strange TTL alone is not decisive: tools that scan and flood have stacks of
// their own.
func familyOf(kind string) string {
	if kind == baseline.StackConflict {
		return novel
	}
	return families[weights[kind][0].class]
}

// novel is the family of classes that are not decisive: their evidence joins
// whatever incident its device has, and gives way to one that knows better.
const novel = "novelty"

// control is the family of who is who and who commands what.
const control = "control"
