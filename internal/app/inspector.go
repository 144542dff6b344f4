package app

import (
	"net/netip"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Config bounds what an [Inspector] writes. Zero fields take the value of
// [NewDefaultConfig].
type Config struct {
	Repeat   int64 // ns of packet time between two equal sightings
	Conflict int64 // the same for ARP claims of an address that two MACs claim
	Rate     int   // sightings a second of packet time, in all
	Targets  int   // new targets a minute for which ARP requests of one MAC are written
}

// NewDefaultConfig is five minutes between equal sightings, 10 s during a
// conflict, 1,000 sightings a second, and 64 ARP targets a minute.
func NewDefaultConfig() Config {
	return Config{Repeat: 300e9, Conflict: 10e9, Rate: 1000, Targets: 64}
}

// Stats are totals since the start.
type Stats struct {
	Sightings  uint64 // written
	Repeated   uint64 // equal to one written not long ago, and counted there
	Suppressed uint64 // held back because they were too many
	Malformed  uint64 // payloads on a port we read that are not what the port promises
	Partial    uint64 // OT messages whose rest is in another segment
}

// Inspector reads packets for what they say beyond their headers. It is not safe
// for concurrent use.
type Inspector struct {
	emit   func(*Sighting)
	limits limiter
	claims claims
	relays relays
	words  words
	dns    dnsScratch
	dhcp   dhcpScratch
	orders commands
	modbus modbusPorts
	stats  Stats
	sight  Sighting
}

// NewInspector makes an inspector that hands each sighting to emit, which must
// not keep it: it is reused.
func NewInspector(cfg Config, emit func(*Sighting)) *Inspector {
	d := NewDefaultConfig()
	if cfg.Repeat <= 0 {
		cfg.Repeat = d.Repeat
	}
	if cfg.Conflict <= 0 {
		cfg.Conflict = d.Conflict
	}
	if cfg.Rate <= 0 {
		cfg.Rate = d.Rate
	}
	if cfg.Targets <= 0 {
		cfg.Targets = d.Targets
	}
	i := &Inspector{emit: emit, limits: newLimiter(cfg), relays: newRelays(), words: words{}, orders: commands{}}
	i.claims.init()
	return i
}

// Stats gives the totals so far.
func (i *Inspector) Stats() Stats {
	s := i.stats
	s.Sightings, s.Repeated, s.Suppressed = i.limits.passed, i.limits.repeated, i.limits.suppressed
	return s
}

// Ports that are looked into.
const (
	portDNS       = 53
	portDHCPs     = 67
	portDHCPc     = 68
	portNBNS      = 137
	portModbus    = 502
	portDHCP6c    = 546
	portDHCP6s    = 547
	portMDNS      = 5353
	portLLMNR     = 5355
	portDNP3      = 20000
	minOT         = 8   // bytes of the shortest OT message
	dnp3Start     = 5   // first byte of a DNP3 frame,
	dnp3Start2    = 100 // and the second
	nsPerSecond   = 1e9
	maxListed     = 16 // addresses or names in one sighting
	maxNameLength = 253
)

// Packet reads one decoded packet. slot is what t.Add gave for it; negative when
// it has no flow. iface is its interface's name, where the source has several.
//
// Packets that nobody cares for cost a few nanoseconds and no allocation.
func (i *Inspector) Packet(h *packet.Header, iface string, t *flow.Table, slot int32) {
	switch h.Net {
	case packet.NetIPv4:
		if h.HasMAC && sameSubnet(h) {
			i.relay(h, iface)
		}
	case packet.NetIPv6:
	case packet.NetARP:
		i.arp(h, iface)
		return
	default:
		return
	}
	if h.FragOff != 0 {
		return
	}
	switch h.Proto {
	case packet.ProtoTCP:
		if len(h.Payload) >= minOT {
			i.tcp(h, iface, t, slot)
		}
	case packet.ProtoUDP:
		i.udp(h, iface, t, slot)
	case packet.ProtoICMPv6:
		if h.ICMPType == ndpSolicit || h.ICMPType == ndpAdvertise {
			i.ndp(h, iface)
		}
	}
}

func (i *Inspector) tcp(h *packet.Header, iface string, t *flow.Table, slot int32) {
	p := h.Payload
	switch {
	case h.DstPort == portModbus || h.SrcPort == portModbus:
		i.modbusSegment(h, t, slot, h.DstPort == portModbus && (h.SrcPort != portModbus || slot >= 0 && t.Initiator(slot, h)))
	case p[0] == dnp3Start && p[1] == dnp3Start2 || h.DstPort == portDNP3 || h.SrcPort == portDNP3:
		i.dnp3Segment(h, t, slot)
	case p[2] == 0 && p[3] == 0 && p[4] == 0:
		i.maybeModbus(h, t, slot)
	case h.SrcPort == portDNS || h.DstPort == portDNS:
		if n := int(p[0])<<8 | int(p[1]); n == len(p)-2 {
			i.dnsMessage(h, p[2:], iface, t, slot)
		}
	}
}

func (i *Inspector) udp(h *packet.Header, iface string, t *flow.Table, slot int32) {
	switch min(h.SrcPort, h.DstPort) {
	case portDNS:
		i.dnsMessage(h, h.Payload, iface, t, slot)
		return
	case portDHCPs, portDHCPc:
		i.dhcp4(h, iface)
		return
	case portNBNS:
		i.nbns(h, iface)
		return
	case portDHCP6c, portDHCP6s:
		i.dhcp6(h, iface)
		return
	}
	switch {
	case h.SrcPort == portMDNS:
		i.mdns(h, iface)
	case h.SrcPort == portLLMNR:
		i.llmnr(h, iface)
	case h.SrcPort == portDNP3 || h.DstPort == portDNP3:
		if len(h.Payload) >= minOT {
			i.dnp3Segment(h, t, slot)
		}
	}
}

// begin prepares the sighting that is filled and written next.
func (i *Inspector) begin(h *packet.Header, iface, kind string) *Sighting {
	i.sight = Sighting{Time: h.Time, Kind: kind, Interface: iface}
	if h.IsIP() {
		i.sight.Source = packet.Addr(h.Src)
	}
	return &i.sight
}

// words keeps one copy of each name, so that a name seen again costs nothing.
type words map[string]string

const maxWords = 8192

func (w words) of(b []byte) string {
	if s, ok := w[string(b)]; ok {
		return s
	}
	if len(w) >= maxWords {
		clear(w)
	}
	s := string(b)
	w[s] = s
	return s
}

func addr4(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }

func addr16(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)).Unmap() }
