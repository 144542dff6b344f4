package netflow

// op is what is done with a field of a data record.
type op uint8

const (
	skip op = iota
	octets
	packets
	layer2Octets
	octetsTotal // taken where there is no delta
	packetsTotal
	postOctets // taken where there is nothing else: exporters that count at the way out
	postPackets
	protocol
	tos
	dscp
	tcpFlags
	srcPort
	dstPort
	srcV4
	dstV4
	srcV6
	dstV6
	srcMAC
	dstMAC
	ingress
	egress
	firstUptime
	lastUptime
	startSeconds
	endSeconds
	startMillis
	endMillis
	startNTP
	endNTP
	startBefore // microseconds before the export time
	endBefore
	durationMillis
	durationMicros
	eventMillis
	systemInit
	icmpTypeCode
	icmpType
	icmpCode
	ttlMin
	ttlMax
	ttl
	vlan
	innerVLAN
	etherType
	endReason
	direction
	samplingInterval
	samplerID
	samplingPackets
	samplingSpace
	samplingSize
	samplingPopulation
	samplingProbability
	interfaceName
	scopeInterface
	reverse op = 0x80 // of the other direction (RFC 5103)
)

// Element is an information element that is understood, by its number in the IANA
// registry. NetFlow v9 uses the same numbers.
type Element struct {
	ID   uint16
	Name string
	op   op
}

// Elements are all that are understood, in the order of their numbers. Those that
// counts, flags, TTL and times of a direction are made of are also understood with
// the enterprise number 29305, as the reverse direction's.
var Elements = []Element{
	{1, "octetDeltaCount", octets},
	{2, "packetDeltaCount", packets},
	{4, "protocolIdentifier", protocol},
	{5, "ipClassOfService", tos},
	{6, "tcpControlBits", tcpFlags},
	{7, "sourceTransportPort", srcPort},
	{8, "sourceIPv4Address", srcV4},
	{10, "ingressInterface", ingress},
	{11, "destinationTransportPort", dstPort},
	{12, "destinationIPv4Address", dstV4},
	{14, "egressInterface", egress},
	{21, "flowEndSysUpTime", lastUptime},
	{22, "flowStartSysUpTime", firstUptime},
	{23, "postOctetDeltaCount", postOctets},
	{24, "postPacketDeltaCount", postPackets},
	{27, "sourceIPv6Address", srcV6},
	{28, "destinationIPv6Address", dstV6},
	{32, "icmpTypeCodeIPv4", icmpTypeCode},
	{34, "samplingInterval", samplingInterval},
	{48, "samplerId", samplerID},
	{50, "samplerRandomInterval", samplingInterval},
	{52, "minimumTTL", ttlMin},
	{53, "maximumTTL", ttlMax},
	{56, "sourceMacAddress", srcMAC},
	{57, "postDestinationMacAddress", dstMAC},
	{58, "vlanId", vlan},
	{80, "destinationMacAddress", dstMAC},
	{82, "interfaceName", interfaceName},
	{83, "interfaceDescription", interfaceName},
	{85, "octetTotalCount", octetsTotal},
	{86, "packetTotalCount", packetsTotal},
	{136, "flowEndReason", endReason},
	{139, "icmpTypeCodeIPv6", icmpTypeCode},
	{150, "flowStartSeconds", startSeconds},
	{151, "flowEndSeconds", endSeconds},
	{152, "flowStartMilliseconds", startMillis},
	{153, "flowEndMilliseconds", endMillis},
	{154, "flowStartMicroseconds", startNTP},
	{155, "flowEndMicroseconds", endNTP},
	{156, "flowStartNanoseconds", startNTP},
	{157, "flowEndNanoseconds", endNTP},
	{158, "flowStartDeltaMicroseconds", startBefore},
	{159, "flowEndDeltaMicroseconds", endBefore},
	{160, "systemInitTimeMilliseconds", systemInit},
	{161, "flowDurationMilliseconds", durationMillis},
	{162, "flowDurationMicroseconds", durationMicros},
	{176, "icmpTypeIPv4", icmpType},
	{177, "icmpCodeIPv4", icmpCode},
	{178, "icmpTypeIPv6", icmpType},
	{179, "icmpCodeIPv6", icmpCode},
	{180, "udpSourcePort", srcPort},
	{181, "udpDestinationPort", dstPort},
	{182, "tcpSourcePort", srcPort},
	{183, "tcpDestinationPort", dstPort},
	{192, "ipTTL", ttl},
	{195, "ipDiffServCodePoint", dscp},
	{231, "initiatorOctets", octets},
	{232, "responderOctets", octets | reverse},
	{239, "biflowDirection", direction},
	{243, "dot1qVlanId", vlan},
	{245, "dot1qCustomerVlanId", innerVLAN},
	{256, "ethernetType", etherType},
	{298, "initiatorPackets", packets},
	{299, "responderPackets", packets | reverse},
	{302, "selectorId", samplerID},
	{305, "samplingPacketInterval", samplingPackets},
	{306, "samplingPacketSpace", samplingSpace},
	{309, "samplingSize", samplingSize},
	{310, "samplingPopulation", samplingPopulation},
	{311, "samplingProbability", samplingProbability},
	{323, "observationTimeMilliseconds", eventMillis},
	{352, "layer2OctetDeltaCount", layer2Octets},
}

const (
	lastElement       = 352
	reverseEnterprise = 29305
	v9ScopeInterface  = 2
)

var ops = func() (table [lastElement + 1]op) {
	for _, e := range Elements {
		table[e.ID] = e.op
	}
	return table
}()

// opOf tells what to do with an element.
func opOf(enterprise uint32, id uint16) op {
	if id > lastElement {
		return skip
	}
	o := ops[id]
	switch enterprise {
	case 0:
		return o
	case reverseEnterprise:
		switch o {
		case octets, packets, layer2Octets, octetsTotal, packetsTotal, tos, dscp, tcpFlags, ttlMin, ttlMax, ttl,
			startSeconds, endSeconds, startMillis, endMillis, startNTP, endNTP:
			return o | reverse
		}
	}
	return skip
}
