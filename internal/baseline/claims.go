package baseline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Who owns which address, by who spoke and claimed: two that do so at the same
// time are a conflict, one that falls silent has passed its address on.
const (
	ownerAlive = 60.0 // seconds after its last word an owner still counts
	maxClaims  = 16384
)

type owner struct {
	mac     packet.MAC
	spoke   float64
	rival   packet.MAC
	rivalAt float64
	claimed bool // the rival said so by ARP, it did not just use the address

	before packet.MAC // who had it before mac
	since  float64    // mac has it since this watch
}

// adoption is for how long, in seconds, one who took over an address that was
// silent is put to the test: the old owner may come back.
const adoption = 3600

// parties tells who took the address from whom, when two use it.
func (o *owner) parties(watch float64) (thief, from packet.MAC) {
	if o.rival == o.before && watch-o.since < adoption {
		return o.mac, o.rival
	}
	return o.rival, o.mac
}

type claims struct{ owners map[netip.Addr]*owner }

func newClaims() claims { return claims{owners: map[netip.Addr]*owner{}} }

func (c *claims) known(a netip.Addr) bool { return c.owners[a] != nil }

// virtualRouter reports whether the MAC is one that routers share on purpose
// (VRRP, CARP, HSRP 1 and 2, GLBP).
func virtualRouter(m packet.MAC) bool {
	switch [3]byte(m[:3]) {
	case [3]byte{0, 0, 0x5e}:
		return m[3] == 0
	case [3]byte{0, 0, 0x0c}:
		return m[3] == 0x07 && m[4] == 0xac || m[3] == 0x9f && m[4]&0xf0 == 0xf0
	}
	return [3]byte(m[:3]) == [3]byte{0, 7, 0xb4}
}

// said notes that mac spoke as, or claimed, address a. It returns the owner and
// the rival when both do so at the same time.
func (c *claims) said(a netip.Addr, mac packet.MAC, watch float64) (o *owner, conflict bool) {
	if !a.IsValid() || a.IsUnspecified() || mac.IsZero() || mac.IsGroup() || virtualRouter(mac) {
		return nil, false
	}
	o = c.owners[a]
	switch {
	case o == nil:
		if len(c.owners) >= maxClaims {
			makeRoom(c.owners, 8, func(a, b entry[netip.Addr, *owner]) int {
				return cmp.Or(cmp.Compare(a.value.spoke, b.value.spoke), a.key.Compare(b.key))
			})
		}
		c.owners[a] = &owner{mac: mac, spoke: watch, since: watch}
		return nil, false
	case o.mac == mac:
		o.spoke = watch
		return o, !o.rival.IsZero() && watch-o.rivalAt <= ownerAlive
	case watch-o.spoke > ownerAlive:
		*o = owner{mac: mac, spoke: watch, since: watch, before: o.mac} // the old owner is gone: adopt
		return o, false
	}
	// The rival's first word alone proves nothing: it may have taken over from
	// an owner that left a moment ago. The owner's next word does.
	again := o.rival == mac && o.spoke > o.rivalAt
	o.claimed = o.claimed && o.rival == mac
	o.rival, o.rivalAt = mac, watch
	return o, again
}

// speak judges the source address of a flow that came straight from a device.
func (c *claims) speak(e *Engine, v *verdict, r *flow.Record) {
	if r.Src.Device == "" || r.Src.MAC.IsZero() || e.routes(r.Src.MAC) {
		return
	}
	if !isMAC(r.Src.Device, r.Src.MAC) && c.owners[r.Src.Addr] == nil {
		return // routed: the MAC is not the speaker's
	}
	c.misdirected(e, v, r)
	if o, conflict := c.said(r.Src.Addr, r.Src.MAC, e.watched); conflict {
		// Two interfaces of one host may share an address; only who claims it by
		// ARP draws traffic to itself.
		sure := 0.4
		if o.claimed {
			sure = 1
		}
		c.conflict(e, v, r.Src.Addr, o, sure)
	}
}

func (c *claims) claim(e *Engine, v *verdict, s *app.Sighting) {
	o, conflict := c.said(s.Address, s.MAC, e.watched)
	if o != nil && o.rival == s.MAC {
		o.claimed = true
	}
	if conflict {
		c.conflict(e, v, s.Address, o, 1)
	}
}

func (e *Engine) routes(mac packet.MAC) bool {
	if mac.IsZero() {
		return false
	}
	text := macText(mac)
	m := e.devices[string(text[:])]
	return m != nil && m.Router
}

// macText is the text of a MAC address, without new memory.
func macText(m packet.MAC) (b [17]byte) {
	const hex = "0123456789abcdef"
	for i, x := range m {
		if i > 0 {
			b[i*3-1] = ':'
		}
		b[i*3], b[i*3+1] = hex[x>>4], hex[x&15]
	}
	return b
}

// isMAC reports whether an id is that of the device with a MAC address.
func isMAC(id string, m packet.MAC) bool {
	if len(id) != 17 {
		return id == "" && m.IsZero()
	}
	text := macText(m)
	return id == string(text[:]) && !m.IsZero()
}

func (c *claims) conflict(e *Engine, v *verdict, a netip.Addr, o *owner, sure float64) {
	thief, from := o.parties(e.watched)
	if e.routes(thief) {
		return // routers answer for others
	}
	mine, other := from.String(), thief.String()
	who := other
	if m := e.devices[other]; m != nil && m.Name != "" {
		who = m.Name + " (" + other + ")"
	}
	v.add(event.Reason{Kind: ARPConflict, Device: other, Subject: a.String(), Strength: sure,
		Expected: fmt.Sprintf("%s belongs to %s, which still uses it", a, mine),
		Seen:     fmt.Sprintf("%s claimed %s for itself", who, a)})
}

func (e *Engine) relay(v *verdict, s *app.Sighting) {
	id := s.By.String()
	if e.routes(s.By) || id == "" {
		return
	}
	who := id
	if m := e.devices[id]; m != nil {
		who = m.label()
	}
	v.add(event.Reason{Kind: Relayed, Device: id, Subject: s.Source.String() + " > " + s.Address.String(), Strength: 1,
		Expected: fmt.Sprintf("%s and %s are of one subnet and need nobody between them", s.Source, s.Address),
		Seen:     fmt.Sprintf("%s passed on packets from %s to %s", who, s.Source, s.Address)})
}

// ttls are the initial TTLs that a device showed in one role.
type ttls struct{ n [len(initialTTLs)]uint32 }

var initialTTLs = [...]uint8{32, 64, 128, 255}

func initialTTL(t uint8) int { return slices.Index(initialTTLs[:], t) }

const maxRoles = 32

// stacks compares the initial TTL of TCP packets with the device's own. Only
// exact initial values count: anything else crossed a router. What a scanner
// sends may be forged; what its victims answer is not.
func (e *Engine) stacks(v *verdict, src, dst *model, r *flow.Record, attack bool) {
	if r.Proto != packet.ProtoTCP {
		return
	}
	if !attack && e.stack(v, src, &r.Src, "client") && changes(r) {
		v.reasons[len(v.reasons)-1].Kind = SpoofedCommand
	}
	if !e.stack(v, dst, &r.Dst, e.to.svc) {
		return
	}
	last := &v.reasons[len(v.reasons)-1]
	switch {
	case !r.Guessed && r.State != "S0" && len(r.FirstSizes) > 0:
		last.Kind = StackHandshake
	case len(r.Commands) > 0:
		last.Kind = SpoofedReport
	}
}

// changes reports whether a flow holds a command that changes the process.
func changes(r *flow.Record) bool { return slices.ContainsFunc(r.Commands, app.StateChanging) }

// stack compares one end with what is known, and reports whether they differ.
func (e *Engine) stack(v *verdict, m *model, end *flow.End, role string) bool {
	if m == nil || end.Packets == 0 || m.Router || end.MAC.IsZero() || !isMAC(end.Device, end.MAC) {
		return false
	}
	if m.Stack == nil {
		m.Stack = map[string]*ttls{}
	}
	known := m.Stack[role]
	if known == nil {
		if len(m.Stack) >= maxRoles {
			return false
		}
		known = &ttls{}
		m.Stack[role] = known
	}
	for _, t := range [2]uint8{end.TTLMin, end.TTLMax} {
		i := initialTTL(t)
		if i < 0 {
			continue
		}
		usual, n := known.usual()
		if n < minStack || known.n[i] > 0 {
			known.n[i] = min(known.n[i]+1, 1<<30)
			continue
		}
		v.add(event.Reason{Kind: StackConflict, Device: m.ID, Subject: role, Strength: 1,
			Expected: fmt.Sprintf("packets of %s as %s start with TTL %d", m.label(), role, usual),
			Seen:     fmt.Sprintf("packets in the name of %s with TTL %d", m.label(), t)})
		return true
	}
	return false
}

// minStack is how often a TTL must have been seen; each record counts twice.
const minStack = 4

func (t *ttls) usual() (value uint8, n uint32) {
	for i, c := range t.n {
		if c > n {
			value, n = initialTTLs[i], c
		}
	}
	return value, n
}

// MarshalJSON writes what was seen as a map by TTL.
func (t *ttls) MarshalJSON() ([]byte, error) {
	m := map[uint8]uint32{}
	for i, c := range t.n {
		if c > 0 {
			m[initialTTLs[i]] = c
		}
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads it back.
func (t *ttls) UnmarshalJSON(b []byte) error {
	var m map[uint8]uint32
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	for k, c := range m {
		if i := initialTTL(k); i >= 0 {
			t.n[i] = c
		}
	}
	return nil
}

// misdirected finds packets for a device of the subnet that go to the MAC
// address of another: somebody made the sender believe that it lives there.
func (c *claims) misdirected(e *Engine, v *verdict, r *flow.Record) {
	to := r.Dst.MAC
	if r.Dst.Device == "" || to.IsZero() || to.IsGroup() || virtualRouter(to) || r.Src.Device == "" || r.Src.Packets < 3 {
		return
	}
	o := c.owners[r.Dst.Addr]
	if o == nil || o.mac == to || !isMAC(r.Dst.Device, o.mac) || e.routes(to) || e.routes(o.mac) {
		return
	}
	other := e.devices[to.String()]
	if other == nil {
		return
	}
	v.add(event.Reason{Kind: Misdirected, Device: other.ID, Subject: r.Dst.Addr.String(), Strength: 1,
		Expected: fmt.Sprintf("packets for %s go to %s", peer(&r.Dst), o.mac),
		Seen:     fmt.Sprintf("packets of %s for %s went to %s (%s)", peer(&r.Src), peer(&r.Dst), other.label(), to)})
}
