package baseline

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// infrastructure are the ports of the protocols by which hosts find each other.
// Everyone uses them with everyone, so they say nothing about a device's work.
var infrastructure = portSet(53, 67, 68, 123, 137, 138, 546, 547, 1900, 3702, 5353, 5355)

// portSet is a table of ports, for those that are asked for several times a flow.
func portSet(ports ...uint16) *[1 << 16]bool {
	var t [1 << 16]bool
	for _, p := range ports {
		t[p] = true
	}
	return &t
}

// service is the key of what a flow is for: protocol and responder's port.
// Ports that systems hand out at random count as one.
func service(r *flow.Record) string {
	if highPort(r) {
		return r.Transport() + "/high"
	}
	if r.Dst.Port == 0 {
		return r.Transport()
	}
	return r.Transport() + "/" + strconv.Itoa(int(r.Dst.Port))
}

// highPort reports whether the responder's port is one of those handed out at random.
func highPort(r *flow.Record) bool {
	return r.Dst.Port >= 32768 && (r.Src.Port >= 1024 || r.Src.Port == 0)
}

// handshake reports whether the two ends really talked.
func handshake(r *flow.Record) bool {
	switch {
	case r.Proto == packet.ProtoTCP:
		switch r.State {
		case "S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR":
			return false
		}
		return r.Dst.Packets > 0 || r.Part > 0 || r.State == "OTH" && r.Guessed
	case r.Proto == packet.ProtoICMP || r.Proto == packet.ProtoICMPv6:
		return false
	}
	return true // one-way streams and traps are work, too
}

// group reports whether a flow goes to many. A directed broadcast shows only by
// its MAC address; TCP never does that, but careless scanners do.
func group(r *flow.Record) bool {
	return r.Dst.Addr.IsMulticast() || r.Dst.Addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		r.Dst.MAC.IsGroup() && r.Proto != packet.ProtoTCP
}

// orient turns a flow round whose initiator is a guess when what is known of
// its ends says that the other one serves.
func (e *Engine) orient(r *flow.Record) {
	if !r.Guessed || r.Proto != packet.ProtoTCP && r.Proto != packet.ProtoUDP {
		return
	}
	serves := func(end *flow.End) bool {
		if m := e.devices[end.Device]; m != nil && end.Device != "" {
			return m.Grains[svcIn].Keys[r.Transport()+"/"+strconv.Itoa(int(end.Port))].usual()
		}
		return false
	}
	uses := func(by, end *flow.End) bool {
		if m := e.devices[by.Device]; m != nil && by.Device != "" {
			return m.Grains[svcOut].Keys[r.Transport()+"/"+strconv.Itoa(int(end.Port))].usual()
		}
		return false
	}
	if serves(&r.Dst) || uses(&r.Src, &r.Dst) {
		return
	}
	if serves(&r.Src) || uses(&r.Dst, &r.Src) {
		r.Src, r.Dst = r.Dst, r.Src
		for i := range r.FirstSizes {
			r.FirstSizes[i] = -r.FirstSizes[i]
		}
	}
}

// network is the coarse place of an end: local, its domain, or its /16 (/32).
func network(end *flow.End) string {
	switch {
	case end.Device != "" || end.Addr.IsPrivate() || end.Addr.IsLinkLocalUnicast():
		return "local"
	case end.Domain != "":
		return domain(end.Domain)
	case end.Addr.Is4():
		p, _ := end.Addr.Prefix(16)
		return p.String()
	}
	p, _ := end.Addr.Prefix(32)
	return p.String()
}

// domain is the part of a name that someone registered.
func domain(name string) string {
	name = strings.TrimSuffix(name, ".")
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}

// place is the fine one: the device, the full name, or the address.
func place(end *flow.End) string {
	switch {
	case end.Device != "":
		return end.Device
	case end.Domain != "":
		return end.Domain
	}
	return end.Addr.String()
}

func (e *Engine) novelty(v *verdict, src, dst *model, r *flow.Record) {
	if src != nil && r.Dst.Port == 53 {
		e.names(v, src, r)
	}
	if group(r) || infrastructure[r.Dst.Port] || infrastructure[r.Src.Port] && r.Guessed || !handshake(r) {
		return
	}
	svc := e.to.svc
	if src != nil {
		src.Flows++
		e.outward(v, src, r, svc)
		e.hours(v, src, r)
	}
	if dst != nil {
		dst.Flows++
		e.inward(v, dst, r, svc, src != nil && len(v.reasons) > 0)
	}
}

// outward looks at what a device uses. Only the coarsest thing that is new
// speaks: a new service at a new address is one surprise, not three.
func (e *Engine) outward(v *verdict, m *model, r *flow.Record, svc string) {
	x := e.exposure(m)
	keys := [3]string{svc, e.to.svcNet, e.to.svcPlace}
	var nats [3]float64
	renamed := m.unnamed(e.to) != nil
	for i, kind := range [3]int{svcOut, netOut, peerOut} {
		g := &m.Grains[kind]
		if renamed {
			g.N++
			g.learn(kind, keys[i], e.watched)
			continue
		}
		if r.Guessed && !g.Keys[keys[i]].usual() && g.surprise(kind, x, m.Approve) > 0 {
			continue // who began is a guess: nothing to say and nothing to learn
		}
		nats[i] = g.look(kind, keys[i], e.watched, x, m.Approve)
	}
	if nats == [3]float64{} {
		return
	}
	seen := fmt.Sprintf("%s used %s at %s", m.label(), svcLabel(r, svc), peer(&r.Dst))
	switch {
	case nats[0] > 0:
		v.add(event.Reason{Kind: NewService, Device: m.ID, Subject: keys[0], Strength: round(nats[0]), Seen: seen,
			Expected: m.label() + " uses only " + list(m.Grains[svcOut].top(4)) + e.since(m)})
	case nats[1] > 0:
		v.add(event.Reason{Kind: NewDestination, Device: m.ID, Subject: keys[1], Strength: round(nats[1]), Seen: seen,
			Expected: fmt.Sprintf("%s uses %s only in %s%s", m.label(), svc, list(m.with(netOut, svc, 4)), e.since(m))})
	case nats[2] > 0:
		v.add(event.Reason{Kind: NewPeer, Device: m.ID, Subject: keys[2], Strength: round(nats[2]), Seen: seen,
			Expected: fmt.Sprintf("%s uses %s only at %s%s", m.label(), svc, list(e.named(m.with(peerOut, svc, 4))), e.since(m))})
	}
}

// unnamed finds what was learned of an outside end before its name was known.
func (m *model) unnamed(to *phrase) *seen {
	if to.svcAddr != "" {
		if s := m.Grains[peerOut].Keys[to.svcAddr]; s.usual() {
			return s
		}
	}
	return nil
}

// inward looks at what a device serves, and to whom. When the caller's side has
// spoken of the same flow already, only a new service is worth a second word.
func (e *Engine) inward(v *verdict, m *model, r *flow.Record, svc string, spoken bool) {
	x, from := e.exposure(m), e.phrase(r, &r.Src)
	served, caller := svc, from.svcPlace
	if r.Src.Device == "" {
		caller = from.svcNet
	}
	if strings.HasSuffix(svc, "/high") || r.Guessed && !m.Grains[svcIn].Keys[served].usual() {
		return
	}
	a := m.Grains[svcIn].look(svcIn, served, e.watched, x, m.Approve)
	b := m.Grains[peerIn].look(peerIn, caller, e.watched, x, m.Approve)
	if a <= 0 && (b <= 0 || spoken) {
		return
	}
	seen := fmt.Sprintf("%s used %s of %s", peer(&r.Src), svcLabel(r, svc), m.label())
	switch {
	case a > 0:
		v.add(event.Reason{Kind: NewServed, Device: m.ID, Subject: served, Strength: round(a), Seen: seen,
			Expected: m.label() + " serves only " + list(m.Grains[svcIn].top(4)) + e.since(m)})
	case b > 0 && !spoken:
		v.add(event.Reason{Kind: NewClient, Device: m.ID, Subject: caller, Strength: round(b), Seen: seen,
			Expected: fmt.Sprintf("only %s use %s of %s%s", list(e.named(m.with(peerIn, svc, 4))), svc, m.label(), e.since(m))})
	}
}

func (e *Engine) names(v *verdict, m *model, r *flow.Record) {
	m.Flows++
	for _, q := range r.Questions {
		d := domain(q)
		if !strings.Contains(d, ".") || strings.HasSuffix(d, ".local") || strings.HasSuffix(d, ".arpa") {
			continue
		}
		if n := m.Grains[dnsName].look(dnsName, d, e.watched, e.exposure(m), m.Approve); n > 0 {
			v.add(event.Reason{Kind: NewName, Device: m.ID, Subject: d, Strength: round(n), Seen: m.label() + " asked for " + q,
				Expected: m.label() + " asks only for names in " + list(m.Grains[dnsName].top(4)) + e.since(m)})
		}
	}
}

// with lists the usual things of a grain that belong to a service, without its name.
func (m *model) with(kind int, svc string, n int) (out []string) {
	for _, k := range m.Grains[kind].top(grainCaps[kind]) {
		if rest, ok := strings.CutPrefix(k, svc+" "); ok && len(out) < n {
			out = append(out, rest)
		}
	}
	return out
}

// named turns device ids into names.
func (e *Engine) named(ids []string) []string {
	for i, id := range ids {
		if m := e.devices[id]; m != nil {
			ids[i] = m.label()
		}
	}
	return ids
}

// since says what an expectation rests on.
func (e *Engine) since(m *model) string {
	if m.Approve {
		return ", as approved"
	}
	return fmt.Sprintf(", over %s and %s", duration(e.exposure(m)), plural(int(m.Flows), "flow"))
}

func svcLabel(r *flow.Record, svc string) string {
	if r.Service != "" && !strings.HasSuffix(svc, "/high") {
		return r.Service + " (" + svc + ")"
	}
	return svc
}
