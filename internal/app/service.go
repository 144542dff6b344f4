package app

import (
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

const (
	onTCP = 1 << iota
	onUDP
	onSCTP
	both = onTCP | onUDP
)

type service struct {
	name string
	on   uint8
}

// services names what usually listens on a port. Several names for one port were
// decided for what is met in plants and homes.
var services = map[uint16][]service{
	7: {{"echo", both}}, 9: {{"discard", both}}, 13: {{"daytime", both}}, 17: {{"qotd", both}}, 19: {{"chargen", both}},
	20: {{"ftp-data", onTCP}}, 21: {{"ftp", onTCP}}, 22: {{"ssh", onTCP}}, 23: {{"telnet", onTCP}}, 25: {{"smtp", onTCP}},
	37: {{"time", both}}, 43: {{"whois", onTCP}}, 49: {{"tacacs", both}}, 53: {{"dns", both}},
	67: {{"dhcp", onUDP}}, 68: {{"dhcp", onUDP}}, 69: {{"tftp", onUDP}}, 70: {{"gopher", onTCP}}, 79: {{"finger", onTCP}},
	80: {{"http", onTCP}}, 88: {{"kerberos", both}}, 102: {{"s7comm", onTCP}}, 104: {{"dicom", onTCP}},
	110: {{"pop3", onTCP}}, 111: {{"sunrpc", both}}, 113: {{"ident", onTCP}}, 119: {{"nntp", onTCP}}, 123: {{"ntp", onUDP}},
	135: {{"msrpc", both}}, 137: {{"nbns", both}}, 138: {{"nbdgm", onUDP}}, 139: {{"netbios-ssn", onTCP}}, 143: {{"imap", onTCP}},
	161: {{"snmp", both}}, 162: {{"snmptrap", both}}, 177: {{"xdmcp", onUDP}}, 179: {{"bgp", onTCP}}, 194: {{"irc", onTCP}},
	319: {{"ptp", onUDP}}, 320: {{"ptp", onUDP}}, 389: {{"ldap", both}}, 427: {{"slp", both}}, 443: {{"https", onTCP}, {"quic", onUDP}},
	445: {{"smb", onTCP}}, 464: {{"kpasswd", both}}, 465: {{"smtps", onTCP}}, 500: {{"isakmp", onUDP}}, 502: {{"modbus", both}},
	512: {{"rexec", onTCP}}, 513: {{"rlogin", onTCP}}, 514: {{"rsh", onTCP}, {"syslog", onUDP}}, 515: {{"printer", onTCP}},
	520: {{"rip", onUDP}}, 521: {{"ripng", onUDP}}, 546: {{"dhcpv6", onUDP}}, 547: {{"dhcpv6", onUDP}}, 548: {{"afp", onTCP}},
	554: {{"rtsp", both}}, 587: {{"submission", onTCP}}, 593: {{"msrpc-http", onTCP}}, 623: {{"ipmi", both}}, 631: {{"ipp", both}},
	636: {{"ldaps", onTCP}}, 646: {{"ldp", both}}, 664: {{"asf-rmcp", both}}, 789: {{"redlion-crimson", onTCP}}, 802: {{"modbus-tls", onTCP}},
	853: {{"dns-tls", onTCP}, {"doq", onUDP}}, 873: {{"rsync", onTCP}}, 902: {{"vmware", both}}, 989: {{"ftps-data", onTCP}},
	990: {{"ftps", onTCP}}, 992: {{"telnets", onTCP}}, 993: {{"imaps", onTCP}}, 995: {{"pop3s", onTCP}},
	1080: {{"socks", onTCP}}, 1089: {{"ff-annunciation", both}}, 1090: {{"ff-fms", both}}, 1091: {{"ff-sm", both}},
	1194: {{"openvpn", both}}, 1433: {{"mssql", onTCP}}, 1434: {{"mssql-browser", onUDP}}, 1521: {{"oracle", onTCP}},
	1628: {{"lontalk", both}}, 1701: {{"l2tp", onUDP}}, 1720: {{"h323", onTCP}}, 1723: {{"pptp", onTCP}},
	1812: {{"radius", onUDP}}, 1813: {{"radius-acct", onUDP}}, 1883: {{"mqtt", onTCP}}, 1900: {{"ssdp", onUDP}},
	1911: {{"niagara-fox", onTCP}}, 1935: {{"rtmp", onTCP}}, 1962: {{"pcworx", onTCP}}, 2000: {{"sccp", onTCP}},
	2049: {{"nfs", both}}, 2055: {{"netflow", onUDP}}, 2152: {{"gtpu", onUDP}}, 2221: {{"enip-tls", onTCP}, {"enip-dtls", onUDP}},
	2222: {{"enip-io", onUDP}}, 2323: {{"telnet", onTCP}}, 2375: {{"docker", onTCP}}, 2376: {{"docker-tls", onTCP}},
	2404: {{"iec104", onTCP}}, 2455: {{"codesys", onTCP}}, 2540: {{"lonworks", both}}, 2541: {{"lonworks", both}},
	2905: {{"m3ua", onSCTP}}, 3128: {{"http-proxy", onTCP}}, 3222: {{"glbp", onUDP}}, 3260: {{"iscsi", onTCP}},
	3306: {{"mysql", onTCP}}, 3389: {{"rdp", both}}, 3478: {{"stun", both}}, 3479: {{"stun", both}},
	3671: {{"knxnet", both}}, 3702: {{"ws-discovery", onUDP}}, 3784: {{"bfd", onUDP}}, 3868: {{"diameter", onTCP | onSCTP}},
	4059: {{"dlms", both}}, 4369: {{"epmd", onTCP}}, 4433: {{"https", onTCP}}, 4500: {{"ipsec-nat", onUDP}},
	4712: {{"c37.118", onTCP}}, 4713: {{"c37.118", onUDP}}, 4739: {{"ipfix", both}}, 4786: {{"smart-install", onTCP}},
	4789: {{"vxlan", onUDP}}, 4840: {{"opcua", both}}, 4843: {{"opcua-tls", onTCP}}, 4911: {{"niagara-foxs", onTCP}},
	5000: {{"upnp", onTCP}}, 5004: {{"rtp", onUDP}}, 5005: {{"rtcp", onUDP}}, 5006: {{"melsec", both}}, 5007: {{"melsec", both}},
	5050: {{"multibox", both}}, 5052: {{"ff-lan-redundancy", both}}, 5060: {{"sip", both | onSCTP}}, 5061: {{"sips", onTCP}},
	5094: {{"hart-ip", both}}, 5222: {{"xmpp", onTCP}}, 5223: {{"xmpps", onTCP}}, 5228: {{"google-play", onTCP}},
	5351: {{"nat-pmp", onUDP}}, 5353: {{"mdns", onUDP}}, 5355: {{"llmnr", both}}, 5432: {{"postgresql", onTCP}},
	5450: {{"pi-server", onTCP}}, 5555: {{"adb", onTCP}}, 5601: {{"kibana", onTCP}}, 5671: {{"amqps", onTCP}}, 5672: {{"amqp", onTCP}},
	5683: {{"coap", both}}, 5684: {{"coaps", both}}, 5900: {{"vnc", onTCP}}, 5938: {{"teamviewer", both}}, 5985: {{"winrm", onTCP}},
	5986: {{"winrms", onTCP}}, 6000: {{"x11", onTCP}}, 6343: {{"sflow", onUDP}}, 6379: {{"redis", onTCP}}, 6443: {{"kubernetes", onTCP}},
	6454: {{"artnet", onUDP}}, 6514: {{"syslog-tls", onTCP}}, 6653: {{"openflow", onTCP}}, 6667: {{"irc", onTCP}}, 6668: {{"tuya", both}},
	6669: {{"tuya", onUDP}}, 7400: {{"dds", onUDP}}, 7401: {{"dds", onUDP}}, 7410: {{"dds", onUDP}}, 7411: {{"dds", onUDP}},
	7547: {{"cwmp", onTCP}}, 8000: {{"http", onTCP}}, 8008: {{"http", onTCP}}, 8009: {{"googlecast", onTCP}},
	8080: {{"http", onTCP}}, 8081: {{"http", onTCP}}, 8086: {{"influxdb", onTCP}}, 8088: {{"http", onTCP}}, 8291: {{"winbox", onTCP}},
	8443: {{"https", onTCP}}, 8501: {{"moxa", onTCP}}, 8554: {{"rtsp", both}}, 8728: {{"mikrotik-api", onTCP}}, 8767: {{"teamspeak", onUDP}},
	8883: {{"mqtts", onTCP}}, 8888: {{"http", onTCP}}, 9000: {{"http", onTCP}}, 9042: {{"cassandra", onTCP}},
	9090: {{"prometheus", onTCP}}, 9092: {{"kafka", onTCP}}, 9094: {{"kafka-tls", onTCP}}, 9100: {{"jetdirect", onTCP}},
	9200: {{"elasticsearch", onTCP}}, 9300: {{"elasticsearch", onTCP}}, 9418: {{"git", onTCP}}, 9600: {{"omron-fins", both}},
	9995: {{"netflow", onUDP}}, 9996: {{"netflow", onUDP}}, 9999: {{"tplink-smarthome", both}},
	10001: {{"ubiquiti", onUDP}, {"atg", onTCP}}, 10110: {{"nmea-0183", both}}, 11112: {{"dicom", onTCP}}, 11740: {{"codesys", onTCP}}, 11211: {{"memcached", both}},
	18245: {{"ge-srtp", onTCP}}, 18246: {{"ge-srtp", onTCP}},
	19999: {{"dnp3-tls", both}}, 20000: {{"dnp3", both}}, 20547: {{"proconos", onTCP}},
	27017: {{"mongodb", onTCP}}, 28784: {{"directlogic", onUDP}}, 30718: {{"lantronix", onUDP}},
	34962: {{"profinet-rt", both}}, 34963: {{"profinet-rt-multicast", both}}, 34964: {{"profinet-cm", both}}, 34980: {{"ethercat", onUDP}},
	37215: {{"huawei-hg", onTCP}}, 37777: {{"dahua", both}}, 37810: {{"dahua-discovery", onUDP}}, 38000: {{"ff-hse", both}},
	38001: {{"ff-hse", both}}, 38011: {{"ff-hse", both}}, 38012: {{"ff-hse", both}}, 38014: {{"ff-hse", both}}, 38015: {{"ff-hse", both}},
	41795: {{"crestron", onUDP}}, 44818: {{"enip", both}},
	47808: {{"bacnet", both}}, 47809: {{"bacnet", onUDP}}, 47810: {{"bacnet", onUDP}}, 48898: {{"ads", both}}, 48899: {{"ads-discovery", onUDP}},
	51820: {{"wireguard", onUDP}}, 55000: {{"fl-net", onUDP}},
	55001: {{"fl-net", onUDP}}, 55002: {{"fl-net", onUDP}}, 55003: {{"fl-net", onUDP}},
	56000: {{"lifx", onUDP}}, 56700: {{"lifx", onUDP}}, 62900: {{"toyopuc", both}},
	64738: {{"mumble", both}},
}

// ServiceByPort names what usually listens on a port, in lower-case words as
// IANA and Zeek use them ("https", "modbus", "s7comm"), or "" when nothing
// in particular does. proto is an IP protocol number.
func ServiceByPort(proto uint8, port uint16) string {
	var on uint8
	switch proto {
	case packet.ProtoTCP:
		on = onTCP
	case packet.ProtoUDP:
		on = onUDP
	case packet.ProtoSCTP:
		on = onSCTP
	default:
		return ""
	}
	for _, s := range services[port] {
		if s.on&on != 0 {
			return s.name
		}
	}
	return ""
}

// refused reports whether nothing answered as a service would, so that the port
// says nothing of what was spoken.
func refused(r *flow.Record) bool {
	switch r.State {
	case "S0", "REJ", "RSTOS0", "SH":
		return r.Proto == packet.ProtoTCP && !r.Guessed
	}
	return false
}

// Service names a flow's application protocol: what its payload showed, else what
// usually listens on the responder's port, or on either when the initiator is a
// guess.
func Service(r *flow.Record) string {
	if r.Service != "" || !r.IsIP() || refused(r) {
		return r.Service
	}
	s := ServiceByPort(r.Proto, r.Dst.Port)
	if s == "" && r.Guessed {
		s = ServiceByPort(r.Proto, r.Src.Port)
	}
	return s
}
