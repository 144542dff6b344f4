package app

import (
	"encoding/binary"
	"net/netip"

	"github.com/monban/monban/internal/packet"
)

// dhcpScratch is reused for each message.
type dhcpScratch struct{ name, params []byte }

var dhcpCookie = [4]byte{99, 130, 83, 99}

// DHCPv4 message types that say something about who is who.
const (
	dhcpDiscover = 1
	dhcpRequest  = 3
	dhcpACK      = 5
	dhcpInform   = 8
)

// options4 are the DHCPv4 options that are read; nil where absent.
type options4 struct {
	kind                                                     byte
	name, fqdn, vendor, params, requested, routers, clientID []byte
}

func parseOptions4(p []byte) (o options4, ok bool) {
	for len(p) > 0 {
		switch p[0] {
		case 0:
			p = p[1:]
			continue
		case 255:
			return o, o.kind != 0
		}
		if len(p) < 2 || len(p) < 2+int(p[1]) {
			return o, false
		}
		v := p[2 : 2+int(p[1])]
		switch p[0] {
		case 3:
			o.routers = v
		case 12:
			o.name = v
		case 50:
			o.requested = v
		case 53:
			if len(v) == 1 {
				o.kind = v[0]
			}
		case 55:
			o.params = v
		case 60:
			o.vendor = v
		case 61:
			o.clientID = v
		case 81:
			if len(v) > 3 {
				if o.fqdn = v[3:]; v[0]&4 != 0 { // as DNS labels
					o.fqdn, _, _ = appendName(nil, v, 3, false)
				}
			}
		}
		p = p[2+int(p[1]):]
	}
	return o, o.kind != 0
}

func (i *Inspector) dhcp4(h *packet.Header, iface string) {
	const ask, answer, fixed = 1, 2, 240
	p := h.Payload
	if len(p) < fixed || [4]byte(p[236:240]) != dhcpCookie || p[1] != 1 || p[2] != 6 {
		i.stats.Malformed++
		return
	}
	o, ok := parseOptions4(p[fixed:])
	if !ok {
		i.stats.Malformed++
		return
	}
	mac := packet.MAC(p[28:34])
	if mac.IsZero() && len(o.clientID) == 7 && o.clientID[0] == 1 {
		mac = packet.MAC(o.clientID[1:])
	}
	if mac.IsZero() || mac.IsGroup() {
		i.stats.Malformed++
		return
	}
	if len(o.name) == 0 {
		o.name = o.fqdn
	}
	by := other(h, mac)
	switch {
	case p[0] == ask && (o.kind == dhcpDiscover || o.kind == dhcpRequest || o.kind == dhcpInform):
		addr := o.requested
		if len(addr) != 4 {
			addr = p[12:16] // ciaddr
		}
		i.asks(h, iface, mac, by, o.name, o.vendor, o.params, addr)
	case p[0] == answer && o.kind == dhcpACK:
		addr := p[16:20] // yiaddr
		if binary.BigEndian.Uint32(addr) == 0 {
			addr = p[12:16]
		}
		if binary.BigEndian.Uint32(addr) == 0 {
			return
		}
		key := digest('g').mac(mac).mac(by).bytes(addr).bytes(o.routers).bytes(h.Src[:])
		count, ok := i.limits.repeat(key, h.Time, i.limits.cfg.Repeat)
		if !ok {
			return
		}
		s := i.begin(h, iface, DHCPGrant)
		s.MAC, s.By, s.Address, s.Name, s.Count = mac, by, addr4(addr), i.text(o.name), count
		for r := o.routers; len(r) >= 4 && len(s.Addresses) < maxListed; r = r[4:] {
			s.Addresses = append(s.Addresses, addr4(r).String())
		}
		i.emit(s)
	}
}

func (i *Inspector) asks(h *packet.Header, iface string, mac, by packet.MAC, name, vendor, params, addr []byte) {
	key := digest('d').mac(mac).mac(by).bytes(name).bytes(vendor).bytes(params).bytes(addr)
	count, ok := i.limits.repeat(key, h.Time, i.limits.cfg.Repeat)
	if !ok {
		return
	}
	s := i.begin(h, iface, DHCPAsk)
	s.MAC, s.By, s.Count = mac, by, count
	s.Name, s.Vendor = i.text(name), i.text(vendor)
	if len(addr) == 4 {
		if s.Address = addr4(addr); s.Address.IsUnspecified() {
			s.Address = netip.Addr{}
		}
	}
	b := i.dhcp.params[:0]
	for n, x := range params {
		if n > 0 {
			b = append(b, ',')
		}
		b = appendUint(b, uint64(x))
	}
	i.dhcp.params = b
	s.Params = i.words.of(b)
	i.emit(s)
}

// text makes a string of what a packet says is one: bounded, and with everything
// that a terminal or a log might mind escaped.
func (i *Inspector) text(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	i.dhcp.name = appendEscaped(i.dhcp.name[:0], b, true)
	return i.words.of(i.dhcp.name)
}

// dhcp6 reads what a client says of itself, and which address a server gives it.
func (i *Inspector) dhcp6(h *packet.Header, iface string) {
	const solicit, request, renew, rebind, reply, inform = 1, 3, 5, 6, 7, 11
	p := h.Payload
	if len(p) < 4 {
		i.stats.Malformed++
		return
	}
	kind := p[0]
	var name, vendor, params, addr []byte
	for o := p[4:]; len(o) >= 4; {
		n := int(binary.BigEndian.Uint16(o[2:]))
		if n > len(o)-4 {
			i.stats.Malformed++
			return
		}
		v := o[4 : 4+n]
		switch binary.BigEndian.Uint16(o) {
		case 3: // IA_NA: id, two times, options
			if n >= 12+4+16 && v[12] == 0 && v[13] == 5 {
				addr = v[16:32]
			}
		case 16: // vendor class: enterprise number, then strings with their length
			if n > 6 {
				vendor = v[6:]
			}
		case 39:
			if n > 1 {
				name, _, _ = appendName(i.dhcp.name[:0], v, 1, false)
			}
		}
		o = o[4+n:]
	}
	switch {
	case h.DstPort == portDHCP6s && (kind == solicit || kind == request || kind == renew || kind == rebind || kind == inform):
		if h.HasMAC && (len(name) > 0 || len(vendor) > 0) {
			i.asks(h, iface, h.SrcMAC, packet.MAC{}, append([]byte(nil), name...), vendor, params, nil)
		}
	case h.SrcPort == portDHCP6s && kind == reply && addr != nil && h.HasMAC && !h.DstMAC.IsGroup():
		count, ok := i.limits.repeat(digest('g').mac(h.DstMAC).mac(h.SrcMAC).bytes(addr), h.Time, i.limits.cfg.Repeat)
		if !ok {
			return
		}
		s := i.begin(h, iface, DHCPGrant)
		s.MAC, s.By, s.Address, s.Count = h.DstMAC, h.SrcMAC, addr16(addr), count
		i.emit(s)
	}
}
