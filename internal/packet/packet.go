// Package packet turns what a capture file or an interface gives into decoded
// headers. It promises that every frame handed out is either decoded or refused
// with a [Reason], so that whoever counts both loses nothing. It allocates
// nothing per packet in the common case and never panics on what the wire says;
// what it gives up is depth: it opens the tunnels around a packet and stops at its
// transport header and the payload.
package packet

import (
	"net/netip"
	"unsafe"
)

// Frame is one packet as captured. Data is valid until the next call of the
// [Source] that filled it.
type Frame struct {
	Time      int64    // nanoseconds since the Unix epoch
	Data      []byte   // captured bytes, from the link layer header on
	WireLen   int      // length on the wire, ≥ len(Data) for a sane capture, at most 16 MiB
	Interface int      // index into the source's Interfaces()
	Link      LinkType // link layer header type of Data
	Peer      [16]byte // valid iff Link is a LinkMirror…: who sent the copy, IPv4 as ::ffff:a.b.c.d
}

// LinkType is a LINKTYPE_ value as registered at tcpdump.org/linktypes.html.
type LinkType uint32

// Link types that the hand-written decoder knows.
const (
	LinkNull     LinkType = 0
	LinkEthernet LinkType = 1
	LinkPPP      LinkType = 9
	LinkPPPHDLC  LinkType = 50
	LinkRaw      LinkType = 101
	LinkCHDLC    LinkType = 104
	LinkLoop     LinkType = 108
	LinkLinuxSLL LinkType = 113
	LinkIPv4     LinkType = 228
	LinkIPv6     LinkType = 229
	LinkSLL2     LinkType = 276
)

// Link types of our own, beyond the 16 bits of the registry: copies of packets that
// a mirror sent to a socket of this host. Data begins behind the IP header (GRE) or
// the UDP header (the others), and Frame.Peer says who sent it.
const (
	LinkMirrorGRE    LinkType = 1<<16 + 47 // GRE header with ERSPAN, bridged Ethernet or IP
	LinkMirrorVXLAN  LinkType = 1<<16 + 4789
	LinkMirrorGeneve LinkType = 1<<16 + 6081
	LinkMirrorTZSP   LinkType = 1<<16 + 37008
)

// MAC is a 48-bit Ethernet address.
type MAC [6]byte

// IsGroup reports whether the address is multicast or broadcast (I/G bit).
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// IsLocal reports whether the address is locally administered (U/L bit), as
// randomised addresses of phones are.
func (m MAC) IsLocal() bool { return m[0]&2 != 0 }

// IsZero reports whether the address is all zeros, that is, absent.
func (m MAC) IsZero() bool { return m == MAC{} }

const hex = "0123456789abcdef"

// String gives the address as aa:bb:cc:dd:ee:ff, or "" when it is zero.
func (m MAC) String() string {
	if m.IsZero() {
		return ""
	}
	var b [17]byte
	for i, x := range m {
		if i > 0 {
			b[i*3-1] = ':'
		}
		b[i*3], b[i*3+1] = hex[x>>4], hex[x&15]
	}
	return string(b[:])
}

// Header is what one frame says of itself. Which fields are valid follows from
// Net and Proto. Of a packet in a tunnel it describes the innermost one; only Tunnel
// speaks of what is around it.
type Header struct {
	// What most packets have, in two cache lines. Only these are cleared for each packet.

	Time    int64
	WireLen int // of the whole frame; of a mirror's copy that of the frame which was copied

	// Valid iff Net is IPv4 or IPv6, down to FragOff. IPv4 is held as ::ffff:a.b.c.d.
	Src, Dst [16]byte
	NetLen   int // IP header and payload by the header's own length field (IPFIX octet count)

	// Payload is the captured part of the transport payload (for ARP and other
	// non-IP, of the link payload). PayloadLen is its length on the wire by the
	// headers' length fields; padding of short frames is not part of it.
	PayloadLen int
	Payload    []byte

	Seq, Ack         uint32 // valid iff Proto is TCP
	IPID             uint32 // identification: 16 bits of IPv4, 32 of an IPv6 fragment
	SrcPort, DstPort uint16 // valid iff Proto is TCP, UDP, UDP-Lite or SCTP and FragOff is 0
	Net              uint16 // EtherType of what is carried: 0x0800, 0x86dd, 0x0806, …; below 0x600 the DSAP of LLC, or one of our own
	VLAN             uint16 // outer VLAN id, 0 when untagged
	FragOff          uint16 // in bytes; ports are valid only where it is 0
	SrcMAC, DstMAC   MAC
	Proto            uint8 // transport protocol after extension headers
	TTL              uint8 // or hop limit
	DSCP             uint8 // six bits
	TCPFlags         uint8 // valid iff Proto is TCP
	HasMAC           bool  // link layer was Ethernet (or gave at least SrcMAC, as Linux cooked does)
	Fragment         bool  // any fragment of a datagram

	// What few have. Whoever sets any of it says so by untidy.

	MoreFrag  bool   // a fragment that is not the last of its datagram
	FragLen   uint16 // bytes of the datagram that the fragment carries; valid iff Fragment
	InnerVLAN uint16 // second tag of QinQ

	// Valid iff Proto is ICMP or ICMPv6. ICMPRest is bytes 4 to 7 of the header:
	// identifier and sequence number of an echo, MTU, gateway; 0 when cut off.
	ICMPType, ICMPCode uint8
	ICMPRest           uint32

	// Valid iff Proto is TCP and TCPFlags has SYN.
	Window     uint16
	TCPOptions []byte

	Tunnel Tunnel // that the packet came in; zero for most

	tidy bool // all that few have is zero
}

// untidy tells that some of what few have is not zero.
func (h *Header) untidy() { h.tidy = false }

// reset makes h zero but for its time and length.
func (h *Header) reset(time int64, wire int) {
	if !h.tidy {
		*h = Header{tidy: true}
	}
	*(*[before]byte)(unsafe.Pointer(h)) = [before]byte{} // a few wide stores; there are no pointers in it
	*(*[behind]byte)(unsafe.Pointer(&h.Seq)) = [behind]byte{}
	h.Payload = nil
	h.Time, h.WireLen = time, wire
}

// What most packets have, before and behind their payload.
const (
	before = unsafe.Offsetof(Header{}.Payload)
	behind = unsafe.Offsetof(Header{}.MoreFrag) - unsafe.Offsetof(Header{}.Seq)
)

// EtherTypes that code refers to by name. Those below 0x600 are no EtherTypes: up to
// 0xff they are a DSAP of LLC, 0x1xx a protocol of Cisco's in SNAP, and 0x5xx our own.
const (
	NetIPv4 = 0x0800
	NetARP  = 0x0806
	NetIPv6 = 0x86dd

	NetISIS = 0x583 // IS-IS, by OSI's network layer identifier in LLC
	NetWLAN = 0x501 // 802.11 data that can't be read: encrypted, or not the first part of its frame
	NetWPAN = 0x504 // IEEE 802.15.4: ZigBee, Thread, 6LoWPAN, …
)

// IP protocol numbers that code refers to by name.
const (
	ProtoICMP    = 1
	ProtoTCP     = 6
	ProtoUDP     = 17
	ProtoICMPv6  = 58
	ProtoSCTP    = 132
	ProtoUDPLite = 136
)

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// IsIP reports whether the frame carries IPv4 or IPv6.
func (h *Header) IsIP() bool { return h.Net == NetIPv4 || h.Net == NetIPv6 }

// Addr turns a 16-byte address as held in [Header] into a netip.Addr, IPv4 unmapped.
func Addr(a [16]byte) netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Reason says why a frame could not be decoded. The zero value means it was.
type Reason uint8

// Reasons. Their String is the label of the counter.
const (
	OK            Reason = iota
	Truncated            // the captured bytes end inside a header
	UnknownLink          // a link type nobody here reads
	BadIPv4              // version, header length or total length lie
	BadIPv6              // version, length or extension header chain lie
	BadTransport         // TCP, UDP or SCTP header length lies
	TooManyLayers        // more tags or extension headers than any honest frame has
	NoNetwork            // a known link's own talk that carries no network packet: 802.11 management, PPP control
	NotIPLink            // a known link type that is no network's link: USB, Bluetooth, CAN, …
	reasonCount
)

var reasons = [reasonCount]string{"ok", "truncated", "unknown_link", "bad_ipv4", "bad_ipv6", "bad_transport", "too_many_layers", "no_network", "not_ip_link"}

// String is the reason's counter label.
func (r Reason) String() string { return reasons[r] }

// Reasons lists every reason for which a frame is refused.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount-1)
	for r := OK + 1; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}

// ParseMAC reads aa:bb:cc:dd:ee:ff; anything else gives the zero address.
func ParseMAC(s string) (m MAC) {
	if len(s) != 17 {
		return MAC{}
	}
	for i := range m {
		hi, lo := nibble(s[i*3]), nibble(s[i*3+1])
		if hi > 15 || lo > 15 || i < 5 && s[i*3+2] != ':' {
			return MAC{}
		}
		m[i] = hi<<4 | lo
	}
	return m
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
