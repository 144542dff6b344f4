package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// filterHelp is what a filter can be made of.
const filterHelp = `a filter is made of: [src|dst] host ADDRESS, [src|dst] net PREFIX/LENGTH, ` +
	`[tcp|udp|sctp] [src|dst] port N, [tcp|udp|sctp] [src|dst] portrange N-M, ether [src|dst] host MAC, ether proto N, ` +
	`ether broadcast, ether multicast, ip, ip6, arp, tcp, udp, sctp, icmp, icmp6, [ip|ip6] proto N, vlan [ID], less N, greater N, ` +
	`joined by and, or, not and parentheses; for anything else give the output of: tcpdump -ddd EXPRESSION`

const (
	maxFilterText  = 64 << 10
	maxFilterDepth = 64
)

// test is a node of a filter's tree.
type test interface{}

type (
	allOf  struct{ a, b test }
	anyOf  struct{ a, b test }
	noneOf struct{ a test }

	etherTypeIs struct{ value uint16 }
	protoIs     struct {
		net   uint16 // NetIPv4, NetIPv6 or 0 for both
		value uint8
	}
	within struct { // host and net
		prefix netip.Prefix
		side
	}
	portIn struct {
		protos   []uint8
		from, to uint16
		side
	}
	macIs struct {
		mac MAC
		side
	}
	groupMAC struct{ broadcast bool }
	vlanIs   struct{ id int } // -1 for any
	lengthIs struct {
		least bool // otherwise most
		value uint32
	}
)

// side is which end is meant.
type side uint8

const (
	either side = iota
	srcOnly
	dstOnly
)

// qualifiers are what "or 443" goes on with after "tcp port 80".
type qualifiers struct {
	proto string
	side  side
	kind  string // host, net, port, portrange, proto
}

type filterParser struct {
	words []string
	last  qualifiers
	depth int
}

// parseFilter reads an expression. As in pcap-filter, and and or bind alike, from
// left to right.
func parseFilter(text string) (test, error) {
	if len(text) > maxFilterText {
		return nil, fmt.Errorf("a filter of %d bytes; %d are allowed", len(text), maxFilterText)
	}
	for _, mark := range []string{"(", ")", "!", "&&", "||"} {
		text = strings.ReplaceAll(text, mark, " "+mark+" ")
	}
	p := &filterParser{words: strings.Fields(text)}
	t, err := p.expression()
	if err == nil && len(p.words) > 0 {
		err = fmt.Errorf("%q was not expected", p.words[0])
	}
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w; %s", strings.Join(strings.Fields(text), " "), err, filterHelp)
	}
	return t, nil
}

func (p *filterParser) peek() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0]
}

func (p *filterParser) take() string {
	w := p.peek()
	if w != "" {
		p.words = p.words[1:]
	}
	return w
}

// accept takes the next word if it is one of these.
func (p *filterParser) accept(words ...string) bool {
	for _, w := range words {
		if p.peek() == w {
			p.take()
			return true
		}
	}
	return false
}

func (p *filterParser) expression() (test, error) {
	if p.depth++; p.depth > maxFilterDepth {
		return nil, errors.New("too many parentheses or nots within each other")
	}
	defer func() { p.depth-- }()
	t, err := p.term()
	for err == nil {
		var next test
		switch {
		case p.accept("and", "&&"):
			if next, err = p.term(); err == nil {
				t = allOf{t, next}
			}
		case p.accept("or", "||"):
			if next, err = p.term(); err == nil {
				t = anyOf{t, next}
			}
		default:
			return t, nil
		}
	}
	return nil, err
}

func (p *filterParser) term() (test, error) {
	switch {
	case p.accept("not", "!"):
		if p.depth++; p.depth > maxFilterDepth {
			return nil, errors.New("too many parentheses or nots within each other")
		}
		defer func() { p.depth-- }()
		t, err := p.term()
		return noneOf{t}, err
	case p.accept("("):
		t, err := p.expression()
		if err == nil && !p.accept(")") {
			err = errors.New("a parenthesis is not closed")
		}
		return t, err
	}
	return p.primitive()
}

var ipProtos = map[string]uint8{
	"icmp": ProtoICMP, "icmp6": ProtoICMPv6, "tcp": ProtoTCP, "udp": ProtoUDP, "sctp": ProtoSCTP,
	"igmp": 2, "gre": 47, "esp": 50, "ah": 51,
}

var etherTypes = map[string]uint16{"ip": NetIPv4, "ip6": NetIPv6, "arp": NetARP, "rarp": 0x8035}

// values tells the words that follow from those that are values.
var keywords = map[string]bool{
	"and": true, "or": true, "not": true, "&&": true, "||": true, "!": true, "(": true, ")": true,
	"src": true, "dst": true, "host": true, "net": true, "port": true, "portrange": true, "proto": true,
	"ether": true, "ip": true, "ip6": true, "arp": true, "rarp": true, "tcp": true, "udp": true, "sctp": true,
	"icmp": true, "icmp6": true, "igmp": true, "gre": true, "esp": true, "ah": true,
	"vlan": true, "less": true, "greater": true, "broadcast": true, "multicast": true,
}

func (p *filterParser) primitive() (test, error) {
	word := p.peek()
	switch {
	case word == "":
		return nil, errors.New("it ends where a test should be")
	case !keywords[word]:
		if p.last.kind == "" {
			return nil, fmt.Errorf("%q was not expected", word)
		}
		return p.value(p.last)
	case p.accept("vlan"):
		return p.vlan()
	case p.accept("less"):
		n, err := p.number(1 << 20)
		return lengthIs{false, uint32(n)}, err
	case p.accept("greater"):
		n, err := p.number(1 << 20)
		return lengthIs{true, uint32(n)}, err
	case p.accept("broadcast"):
		return groupMAC{true}, nil
	case p.accept("multicast"):
		return groupMAC{false}, nil
	}
	var q qualifiers
	switch word {
	case "ether", "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "gre", "esp", "ah":
		q.proto = p.take()
	}
	if p.accept("src") {
		q.side = srcOnly
	} else if p.accept("dst") {
		q.side = dstOnly
	}
	switch next := p.peek(); next {
	case "host", "net", "port", "portrange", "proto":
		q.kind = p.take()
		return p.value(q)
	case "broadcast", "multicast":
		if q.proto == "ether" && q.side == either {
			p.take()
			return groupMAC{next == "broadcast"}, nil
		}
	}
	if q.side != either { // as in "src 10.0.0.1"
		q.kind = "host"
		return p.value(q)
	}
	if t, ok := etherTypes[q.proto]; ok {
		return etherTypeIs{t}, nil
	}
	if v, ok := ipProtos[q.proto]; ok {
		return protoTest(q.proto, v), nil
	}
	return nil, fmt.Errorf("%q says nothing by itself", word)
}

func protoTest(name string, value uint8) test {
	switch name {
	case "icmp", "igmp":
		return protoIs{NetIPv4, value}
	case "icmp6":
		return protoIs{NetIPv6, value}
	}
	return protoIs{0, value}
}

func (p *filterParser) vlan() (test, error) {
	if w := p.peek(); w == "" || keywords[w] {
		return vlanIs{-1}, nil
	}
	id, err := p.number(4095)
	return vlanIs{int(id)}, err
}

func (p *filterParser) number(most uint64) (uint64, error) {
	word := p.take()
	n, err := strconv.ParseUint(word, 0, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("a number up to %d should be where %q is", most, word)
	}
	return n, nil
}

// value reads what the qualifiers ask for.
func (p *filterParser) value(q qualifiers) (test, error) {
	p.last = q
	word := p.take()
	if word == "" || keywords[word] && q.kind != "proto" {
		return nil, fmt.Errorf("a value is missing after %q", q.kind)
	}
	misplaced := fmt.Errorf("%s %s do not go together", q.proto, q.kind)
	switch q.kind {
	case "host", "net":
		if q.proto == "ether" && q.kind == "host" {
			mac, err := net.ParseMAC(word)
			if err != nil || len(mac) != len(MAC{}) {
				return nil, fmt.Errorf("%q is no MAC address", word)
			}
			return macIs{MAC(mac), q.side}, nil
		}
		prefix, err := parsePrefix(word, q.kind == "net")
		if err != nil {
			return nil, err
		}
		t := within{prefix, q.side}
		if q.proto == "" {
			return t, nil
		}
		etherType, ok := etherTypes[q.proto]
		if !ok || prefix.Addr().Is6() != (etherType == NetIPv6) {
			return nil, misplaced
		}
		return allOf{etherTypeIs{etherType}, t}, nil
	case "port", "portrange":
		return p.ports(q, word, misplaced)
	case "proto":
		return protocol(q, word, misplaced)
	}
	return nil, misplaced
}

func (p *filterParser) ports(q qualifiers, word string, misplaced error) (test, error) {
	t := portIn{side: q.side}
	switch q.proto {
	case "":
		t.protos = []uint8{ProtoTCP, ProtoUDP, ProtoSCTP}
	case "tcp", "udp", "sctp":
		t.protos = []uint8{ipProtos[q.proto]}
	default:
		return nil, misplaced
	}
	from, to, ranged := strings.Cut(word, "-")
	if !ranged {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if errA != nil || errB != nil || ranged != (q.kind == "portrange") || a > b {
		return nil, fmt.Errorf("%q is no %s (names of services are not known here)", word, q.kind)
	}
	t.from, t.to = uint16(a), uint16(b)
	return t, nil
}

func protocol(q qualifiers, word string, misplaced error) (test, error) {
	word = strings.TrimPrefix(word, `\`) // as tcpdump wants names escaped
	n, err := strconv.ParseUint(word, 0, 16)
	named := err != nil
	switch q.proto {
	case "ether":
		if named {
			t, ok := etherTypes[word]
			if !ok {
				return nil, fmt.Errorf("%q is no EtherType", word)
			}
			n = uint64(t)
		}
		if n < minEtherType {
			return nil, fmt.Errorf("%q is no EtherType (they begin at 0x600)", word)
		}
		return etherTypeIs{uint16(n)}, nil
	case "", "ip", "ip6":
		if named {
			v, ok := ipProtos[word]
			if !ok {
				return nil, fmt.Errorf("%q is no IP protocol known here; give its number", word)
			}
			n = uint64(v)
		}
		if n > 255 {
			return nil, fmt.Errorf("%q is no IP protocol", word)
		}
		return protoIs{etherTypes[q.proto], uint8(n)}, nil
	}
	return nil, misplaced
}

func parsePrefix(word string, isNet bool) (netip.Prefix, error) {
	if isNet {
		prefix, err := netip.ParsePrefix(word)
		if err != nil || prefix.Masked() != prefix || prefix.Addr().Is4In6() {
			return prefix, fmt.Errorf("%q is no network, as 192.168.1.0/24 or 2001:db8::/32", word)
		}
		return prefix, nil
	}
	addr, err := netip.ParseAddr(word)
	if err != nil || addr.Zone() != "" || addr.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no address (names are not resolved here)", word)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}
