package app

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"unicode/utf8"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// DNS record types that are read.
const (
	typeA     = 1
	typeCNAME = 5
	typePTR   = 12
	typeTXT   = 16
	typeAAAA  = 28
	typeSRV   = 33
)

const (
	dnsHeader  = 12
	maxRecords = 128 // of one message that are looked at
	maxChain   = 8   // CNAMEs that are followed
)

// dnsScratch is reused for each message.
type dnsScratch struct {
	name, owner, target []byte
	addrs               []netip.Addr
	names               []string
}

// appendName appends the name at off of a message to dst in the form a.b.c,
// in lower case where wanted, anything unprintable escaped as \DDD (RFC 4343), and gives the
// offset behind it. It follows compression only backwards, so it ends.
func appendName(dst, msg []byte, off int, lower bool) (name []byte, next int, ok bool) {
	start, next := len(dst), -1
	for limit := off; ; {
		if off >= len(msg) {
			return dst, 0, false
		}
		n := int(msg[off])
		switch {
		case n == 0:
			if next < 0 {
				next = off + 1
			}
			return dst, next, true
		case n >= 0xc0:
			if off+1 >= len(msg) {
				return dst, 0, false
			}
			to := n&0x3f<<8 | int(msg[off+1])
			if next < 0 {
				next = off + 2
			}
			if to >= limit {
				return dst, 0, false
			}
			off, limit = to, to
		case n > 63 || off+1+n > len(msg):
			return dst, 0, false
		default:
			if len(dst)-start+n > 4*maxNameLength {
				return dst, 0, false
			}
			if len(dst) > start {
				dst = append(dst, '.')
			}
			for _, c := range msg[off+1 : off+1+n] {
				switch {
				case lower && c >= 'A' && c <= 'Z':
					dst = append(dst, c+'a'-'A')
				case c == '.' || c == '\\':
					dst = append(dst, '\\', c)
				case c >= ' ' && c != 0x7f:
					dst = append(dst, c)
				default:
					dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
				}
			}
			off += 1 + n
		}
	}
}

// bounded cuts a name to what is worth keeping, and escapes bytes that are not
// UTF-8 text.
func (i *Inspector) bounded(name []byte) string {
	if len(name) > maxNameLength {
		name = name[:maxNameLength]
	}
	if !utf8.Valid(name) {
		i.dhcp.name = appendEscaped(i.dhcp.name[:0], name, false)
		name = i.dhcp.name
	}
	return i.words.of(name)
}

// appendEscaped appends text with control characters and what is not UTF-8
// escaped, cut to a name's length.
func appendEscaped(dst, b []byte, backslash bool) []byte {
	for len(b) > 0 && len(dst) < maxNameLength {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1, r < ' ', r >= 0x7f && r < 0xa0:
			for _, c := range b[:n] {
				dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			}
		case backslash && r == '\\':
			dst = append(dst, '\\', '\\')
		default:
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return dst
}

// resource is one record of a message; data lies at off in it.
type resource struct {
	owner     int // offset of its name
	kind, ttl uint32
	off, size int
}

// nextResource reads the record at off.
func nextResource(msg []byte, off int) (r resource, next int, ok bool) {
	r.owner = off
	for { // skip the name
		if off >= len(msg) {
			return r, 0, false
		}
		n := int(msg[off])
		if n >= 0xc0 {
			off += 2
			break
		}
		if off += 1 + n; n == 0 {
			break
		}
		if n > 63 {
			return r, 0, false
		}
	}
	if off+10 > len(msg) {
		return r, 0, false
	}
	r.kind = uint32(binary.BigEndian.Uint16(msg[off:]))
	r.ttl = binary.BigEndian.Uint32(msg[off+4:])
	r.size = int(binary.BigEndian.Uint16(msg[off+8:]))
	r.off = off + 10
	if r.off+r.size > len(msg) {
		return r, 0, false
	}
	return r, r.off + r.size, true
}

func (r resource) addr(msg []byte) (a netip.Addr) {
	switch {
	case r.kind == typeA && r.size == 4:
		return addr4(msg[r.off : r.off+4])
	case r.kind == typeAAAA && r.size == 16:
		return addr16(msg[r.off : r.off+16])
	}
	return a
}

// dnsMessage reads an ordinary DNS message: a question is noted on its flow, an
// answer becomes a sighting of the asked name with the addresses that it leads to.
func (i *Inspector) dnsMessage(h *packet.Header, msg []byte, iface string, t *flow.Table, slot int32) {
	if len(msg) < dnsHeader || msg[4] != 0 || msg[5] != 1 { // exactly one question, as all do
		i.stats.Malformed++
		return
	}
	isAnswer := msg[2]&0x80 != 0
	if msg[2]&0x78 != 0 || isAnswer && msg[3]&15 != 0 { // not a query, or a refusal
		return
	}
	sc := &i.dns
	var ok bool
	off := 0
	if sc.name, off, ok = appendName(sc.name[:0], msg, dnsHeader, true); !ok || off+4 > len(msg) {
		i.stats.Malformed++
		return
	}
	if len(sc.name) == 0 {
		return // the root
	}
	kind := binary.BigEndian.Uint16(msg[off:])
	off += 4
	if !isAnswer {
		if slot >= 0 {
			t.NoteService(slot, "dns")
			t.NoteQuestion(slot, i.bounded(sc.name))
		}
		return
	}
	if kind != typeA && kind != typeAAAA {
		return
	}
	count := int(binary.BigEndian.Uint16(msg[6:]))
	if !i.follow(msg, off, min(count, maxRecords)) {
		i.stats.Malformed++
	}
	if len(sc.addrs) > 0 {
		i.answered(h, iface)
	}
}

// follow collects the addresses that the asked name leads to, through CNAMEs.
func (i *Inspector) follow(msg []byte, first, count int) (whole bool) {
	sc := &i.dns
	sc.addrs = sc.addrs[:0]
	sc.target = append(sc.target[:0], sc.name...)
	whole = true
	for range maxChain {
		moved := false
		off := first
		for range count {
			r, next, ok := nextResource(msg, off)
			if !ok {
				whole = false
				break
			}
			off = next
			if r.kind != typeA && r.kind != typeAAAA && r.kind != typeCNAME {
				continue
			}
			if sc.owner, _, ok = appendName(sc.owner[:0], msg, r.owner, true); !ok || string(sc.owner) != string(sc.target) {
				continue
			}
			if r.kind == typeCNAME {
				if sc.target, _, ok = appendName(sc.target[:0], msg, r.off, true); !ok {
					return false
				}
				moved = true
			} else if a := r.addr(msg); a.IsValid() && len(sc.addrs) < maxListed {
				sc.addrs = append(sc.addrs, a)
			}
		}
		if !moved || len(sc.addrs) > 0 {
			break
		}
	}
	return whole
}

// answered writes dns.answer when any of the addresses is news to this client.
func (i *Inspector) answered(h *packet.Header, iface string) {
	sc := &i.dns
	key := digest('n').mac(h.DstMAC).bytes(h.Dst[:]).bytes(sc.name)
	news, count := false, uint32(0)
	for n, a := range sc.addrs {
		b := a.As16()
		c, ok := i.limits.repeat(key.bytes(b[:]), h.Time, i.limits.cfg.Repeat)
		if ok && news {
			i.limits.passed-- // one sighting for all
		}
		if n == 0 {
			count = c
		}
		news = news || ok
	}
	if !news {
		return
	}
	s := i.begin(h, iface, DNSAnswer)
	s.MAC, s.By, s.Address, s.Name, s.Count = h.DstMAC, h.SrcMAC, packet.Addr(h.Dst), i.bounded(sc.name), count
	if s.MAC.IsGroup() {
		s.MAC = packet.MAC{}
	}
	for _, a := range sc.addrs {
		s.Addresses = append(s.Addresses, a.String())
	}
	i.emit(s)
}

// mdns reads what a host announces of itself (RFC 6762): its name and its
// services. A query's known answers speak of others and are left out.
func (i *Inspector) mdns(h *packet.Header, iface string) {
	msg := h.Payload
	if len(msg) < dnsHeader {
		i.stats.Malformed++
		return
	}
	n := func(at int) int { return int(binary.BigEndian.Uint16(msg[at:])) }
	answers, skip := n(6), 0
	if msg[2]&0x80 == 0 { // a probe announces in its authority section
		skip, answers = answers, 0
	}
	total := min(skip+answers+n(8), maxRecords)
	if msg[2]&0x80 != 0 {
		total = min(total+n(10), maxRecords)
	}
	off := dnsHeader
	for range min(n(4), maxRecords) {
		var ok bool
		if i.dns.owner, off, ok = appendName(i.dns.owner[:0], msg, off, false); !ok || off+4 > len(msg) {
			i.stats.Malformed++
			return
		}
		off += 4
	}
	if total > skip {
		i.announced(h, msg, off, skip, total, iface)
	}
}

func (i *Inspector) announced(h *packet.Header, msg []byte, off, skip, total int, iface string) {
	sc := &i.dns
	sc.names = sc.names[:0]
	source := packet.Addr(h.Src)
	var host, own string
	var addr netip.Addr
	for k := range total {
		r, next, ok := nextResource(msg, off)
		if !ok {
			i.stats.Malformed++
			break
		}
		off = next
		if k < skip || r.ttl == 0 {
			continue
		}
		switch r.kind {
		case typeA, typeAAAA:
			a := r.addr(msg)
			if sc.owner, _, ok = appendName(sc.owner[:0], msg, r.owner, false); !ok || !a.IsValid() {
				continue
			}
			if name := i.bounded(trimLocal(sc.owner)); own == "" || a == source {
				own = name
				if !addr.IsValid() || a == source {
					addr = a
				}
			}
		case typeSRV:
			if r.size > 7 {
				if sc.target, _, ok = appendName(sc.target[:0], msg, r.off+6, false); ok && host == "" {
					host = i.bounded(trimLocal(sc.target))
				}
			}
			i.announcedName(msg, r.owner)
		case typePTR:
			if sc.owner, _, ok = appendName(sc.owner[:0], msg, r.owner, false); ok && !isReverse(sc.owner) {
				i.announcedName(msg, r.off)
			}
		}
	}
	if own == "" {
		own = host
	}
	if own == "" && len(sc.names) == 0 {
		return
	}
	slices.Sort(sc.names)
	i.named(h, iface, MDNSName, own, addr, slices.Compact(sc.names))
}

// announcedName adds the service or instance name at off.
func (i *Inspector) announcedName(msg []byte, off int) {
	sc := &i.dns
	var ok bool
	if sc.owner, _, ok = appendName(sc.owner[:0], msg, off, false); ok && len(sc.names) < maxListed {
		sc.names = append(sc.names, i.bounded(trimLocal(sc.owner)))
	}
}

// named writes that the sender has a name and perhaps an address.
func (i *Inspector) named(h *packet.Header, iface, kind, name string, addr netip.Addr, names []string) {
	b := addr.As16()
	key := digest('m').bytes([]byte(kind)).mac(h.SrcMAC).bytes(h.Src[:]).bytes([]byte(name)).bytes(b[:])
	for _, s := range names {
		key = key.bytes([]byte(s))
	}
	count, ok := i.limits.repeat(key, h.Time, i.limits.cfg.Repeat)
	if !ok {
		return
	}
	s := i.begin(h, iface, kind)
	s.MAC, s.Name, s.Address, s.Count = h.SrcMAC, name, addr, count
	s.Names = append(s.Names, names...)
	i.emit(s)
}

func trimLocal(b []byte) []byte {
	if n := len(b) - len(".local"); n > 0 && string(b[n:]) == ".local" {
		return b[:n]
	}
	return b
}

func isReverse(b []byte) bool {
	n := len(b) - len(".arpa")
	return n > 0 && string(b[n:]) == ".arpa"
}

// llmnr reads a host's answer with its own name (RFC 4795).
func (i *Inspector) llmnr(h *packet.Header, iface string) {
	msg := h.Payload
	if len(msg) < dnsHeader {
		i.stats.Malformed++
		return
	}
	if msg[2]&0xf8 != 0x80 || msg[4] != 0 || msg[5] != 1 || msg[6] == 0 && msg[7] == 0 {
		return
	}
	sc := &i.dns
	_, off, ok := appendName(sc.name[:0], msg, dnsHeader, false)
	if !ok || off+4 > len(msg) {
		i.stats.Malformed++
		return
	}
	r, _, ok := nextResource(msg, off+4)
	if !ok {
		i.stats.Malformed++
		return
	}
	if a := r.addr(msg); a.IsValid() {
		if sc.owner, _, ok = appendName(sc.owner[:0], msg, r.owner, false); ok && len(sc.owner) > 0 && !isReverse(sc.owner) {
			i.named(h, iface, LLMNRName, i.bounded(sc.owner), a, nil)
		}
	}
}

// nbns reads NetBIOS name registrations and refreshes (RFC 1002, 4.2.2): a
// host says its own name.
func (i *Inspector) nbns(h *packet.Header, iface string) {
	const register, refresh, refreshAlt = 5, 8, 9
	msg := h.Payload
	if len(msg) < dnsHeader {
		i.stats.Malformed++
		return
	}
	op := msg[2] >> 3 & 15
	if msg[2]&0x80 != 0 || op != register && op != refresh && op != refreshAlt {
		return
	}
	const encoded = 32 // a NetBIOS name is always so long
	if len(msg) < dnsHeader+1+encoded+1+4+12+6 || msg[dnsHeader] != encoded || msg[dnsHeader+1+encoded] != 0 {
		i.stats.Malformed++
		return
	}
	var name [16]byte
	for k := range name {
		hi, lo := msg[dnsHeader+1+2*k]-'A', msg[dnsHeader+2+2*k]-'A'
		if hi > 15 || lo > 15 {
			i.stats.Malformed++
			return
		}
		name[k] = hi<<4 | lo
	}
	const rdata = dnsHeader + 1 + encoded + 1 + 4 + 12
	const workstation, server = 0x00, 0x20
	if msg[rdata]&0x80 != 0 || name[15] != workstation && name[15] != server {
		return // a group's name
	}
	n := 15
	for n > 0 && (name[n-1] == ' ' || name[n-1] == 0) {
		n--
	}
	if n > 0 && name[0] > ' ' {
		i.named(h, iface, NBNSName, i.text(name[:n]), addr4(msg[rdata+2:rdata+6]), nil)
	}
}
