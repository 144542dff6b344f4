package baseline

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"strconv"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Sequential test over first contacts, after Jung, Paxson, Berger and
// Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing"
// (IEEE S&P 2004), with a half-life and a demand on shape: without it, a phone
// with no internet looks like a scan.
const (
	contactWeight = 1.3862943611198906 // ln 4
	scanThreshold = 5.545177444479562  // ln 256
	scanHalfLife  = 600.0              // seconds
	scanHosts     = 5
	scanPorts     = 5
	maxContacts   = 2048    // of one source
	maxAll        = 1 << 19 // of all sources, about 60 MB
	arpTargets    = 16      // never-answered addresses asked for within arpWindow
	arpWindow     = 10.0
	maxForeign    = 4096
)

// contact is a place that was tried.
type contact struct {
	addr netip.Addr
	port uint16
	icmp bool
}

// contacts are a source's failed first contacts of late.
type contacts struct {
	score  float64
	at     float64 // watch of the last change
	tried  map[contact]struct{}
	byPort map[uint16]int     // hosts tried on a port, pings under 0
	byHost map[netip.Addr]int // ports tried on a host
}

// clear forgets what was tried. All is the number of contacts that all sources hold.
func (c *contacts) clear(all *int) {
	*all -= len(c.tried)
	*c = contacts{at: c.at}
}

func (c *contacts) decay(watch float64, all *int) {
	if d := watch - c.at; d > 2*scanHalfLife {
		c.clear(all)
	} else if d > 0 {
		c.score *= math.Exp2(-d / scanHalfLife)
	}
	c.at = watch
}

func (c *contacts) fail(k contact, all *int) {
	if _, twice := c.tried[k]; twice || len(c.tried) >= maxContacts || *all >= maxAll && len(c.tried) >= 2*scanHosts {
		return
	}
	*all++
	if c.tried == nil {
		c.tried, c.byPort, c.byHost = map[contact]struct{}{}, map[uint16]int{}, map[netip.Addr]int{}
	}
	c.tried[k] = struct{}{}
	c.count(k)
	c.score = math.Min(c.score+contactWeight, 4*scanThreshold)
}

func (c *contacts) count(k contact) {
	c.byPort[k.port]++
	if !k.icmp {
		c.byHost[k.addr]++
	}
}

// failed reports whether nobody answered as a service would.
func failed(r *flow.Record) bool {
	switch r.Proto {
	case packet.ProtoTCP:
		switch r.State {
		case "S0", "REJ", "RSTOS0", "SH":
			return !r.Guessed
		case "OTH", "RSTRH": // FIN, NULL, Xmas and ACK probes
			return r.Src.Packets+r.Dst.Packets <= 3 && len(r.FirstSizes) == 0
		case "S1": // a SYN-ACK that nobody acknowledged
			return !r.Guessed && r.Src.Packets == 1 && len(r.FirstSizes) == 0
		}
		return false
	case packet.ProtoUDP:
		return r.Dst.Packets == 0 && r.Src.Packets <= 3
	case packet.ProtoICMP:
		return r.ICMPType == 8 && r.Dst.Packets == 0 && r.Src.Packets <= 3
	}
	return false
}

func (e *Engine) scans(v *verdict, src *model, r *flow.Record) {
	if r.Part > 0 || group(r) || infrastructure[r.Dst.Port] || !r.Src.Addr.IsValid() {
		return
	}
	bad := failed(r)
	c, id, name := e.contactsOf(src, r, bad)
	if c == nil {
		return
	}
	if src != nil && src.Grains[peerOut].Keys[e.to.svcPlace].usual() {
		return // an old acquaintance that is away
	}
	c.decay(e.watched, &e.contacts)
	k := contact{r.Dst.Addr, r.Dst.Port, r.Proto == packet.ProtoICMP}
	if bad {
		c.fail(k, &e.contacts)
	} else if _, tried := c.tried[k]; !tried && handshake(r) && len(r.FirstSizes) > 0 {
		c.score = math.Max(0, c.score-contactWeight)
	}
	if !bad || c.score < scanThreshold {
		return
	}
	hosts := c.byPort[r.Dst.Port]
	weighed := hosts
	if r.Dst.Port == 80 || r.Dst.Port == 443 {
		weighed /= 3
	}
	ports := c.byHost[r.Dst.Addr]
	switch {
	case ports >= scanPorts && ports >= weighed:
		v.add(event.Reason{Kind: PortSweep, Device: id, Subject: r.Dst.Addr.String(), Strength: 1,
			Expected: expectPeers(src, name),
			Seen:     fmt.Sprintf("%s tried %d ports of %s, none of which answered as a service", name, ports, peer(&r.Dst))})
	case weighed >= scanHosts:
		what := "ping"
		if !k.icmp {
			what = r.Transport() + "/" + strconv.Itoa(int(r.Dst.Port))
		}
		v.add(event.Reason{Kind: HostSweep, Device: id, Subject: what, Strength: 1,
			Expected: expectPeers(src, name),
			Seen:     fmt.Sprintf("%s tried %s on %d hosts, none of which answered as a service", name, what, hosts)})
	}
}

// contactsOf finds the contacts of a device, or of an outside address, of which
// a bounded number is watched.
func (e *Engine) contactsOf(src *model, r *flow.Record, bad bool) (c *contacts, id, name string) {
	if src != nil {
		return &src.contacts, src.ID, src.label()
	}
	if r.Dst.Device == "" && !r.Dst.Addr.IsPrivate() {
		return nil, "", "" // outside to outside
	}
	c = e.foreign[r.Src.Addr]
	if c == nil {
		if !bad {
			return nil, "", ""
		}
		if len(e.foreign) >= maxForeign {
			for _, d := range makeRoom(e.foreign, 8, func(a, b entry[netip.Addr, *contacts]) int {
				return cmp.Or(cmp.Compare(a.value.at, b.value.at), a.key.Compare(b.key))
			}) {
				d.value.clear(&e.contacts)
			}
		}
		c = &contacts{at: e.watched}
		e.foreign[r.Src.Addr] = c
	}
	return c, r.Src.Addr.String(), peer(&r.Src)
}

func expectPeers(m *model, name string) string {
	if m == nil {
		return name + " is an outside address that nobody here called"
	}
	if peers := len(m.Grains[peerOut].Keys); peers > 0 {
		return fmt.Sprintf("%s usually contacts %s on %s", m.label(), plural(peers, "peer"), list(m.Grains[svcOut].top(3)))
	}
	return m.label() + " has not contacted anyone so far"
}

// sweepARP finds hosts that ask for many addresses which nobody has.
func (e *Engine) sweepARP(v *verdict, s *app.Sighting) {
	m := e.devices[s.Device]
	if s.Device == "" || m == nil || m.Router || e.claims.known(s.Address) {
		return
	}
	if m.askers == nil {
		m.askers = map[string]float64{}
	}
	for a, at := range m.askers {
		if e.watched-at > arpWindow {
			delete(m.askers, a)
		}
	}
	if len(m.askers) < maxContacts {
		m.askers[s.Address.String()] = e.watched
	}
	if n := len(m.askers); n >= arpTargets {
		v.add(event.Reason{Kind: HostSweep, Device: m.ID, Subject: "arp", Strength: 1,
			Expected: expectPeers(m, m.label()),
			Seen:     fmt.Sprintf("%s asked by ARP for %d addresses that nobody has, within %.0f seconds", m.label(), n, arpWindow)})
	}
}

// loginServices are those on which guessing a password pays.
var loginServices = map[uint16]string{
	21: "ftp", 22: "ssh", 23: "telnet", 110: "pop3", 143: "imap", 445: "smb", 1433: "mssql", 2323: "telnet", 3306: "mysql",
	3389: "rdp", 5432: "postgresql", 5900: "vnc", 5985: "winrm", 8291: "winbox",
}

// leak is a bucket that a session fills and a minute empties by one.
type leak struct{ level, at float64 }

const maxTries = 64

// bruteForce counts sessions with a login service, at the device that opens them,
// or at the one that gets them from outside.
func (e *Engine) bruteForce(v *verdict, src, dst *model, r *flow.Record) {
	login, ok := loginServices[r.Dst.Port]
	if !ok || r.Proto != packet.ProtoTCP || r.Part > 0 || r.Guessed || len(r.FirstSizes) < 2 || r.Dst.Packets == 0 {
		return
	}
	at, key, id, who := src, place(&r.Dst)+" "+login, "", ""
	switch {
	case src != nil:
		id, who = src.ID, src.label()
	case dst != nil:
		at, key, id, who = dst, r.Src.Addr.String()+" "+login, r.Src.Addr.String(), peer(&r.Src)
	default:
		return
	}
	if at.tries == nil {
		at.tries = map[string]*leak{}
	}
	b := at.tries[key]
	if b == nil {
		if len(at.tries) >= maxTries {
			clear(at.tries)
		}
		b = &leak{at: e.watched}
		at.tries[key] = b
	}
	b.level = math.Max(0, b.level-(e.watched-b.at)/60) + 1
	b.at = e.watched
	limit := 10.0
	if src != nil {
		if s := src.Grains[peerOut].Keys[e.to.svcPlace]; s.usual() && s.Last-s.First > day {
			limit = 40
		}
	}
	if b.level > limit {
		v.add(event.Reason{Kind: BruteForce, Device: id, Subject: key, Strength: 1,
			Expected: "a person or program logs in once and stays",
			Seen:     fmt.Sprintf("%s opened %.0f short sessions with %s of %s in quick succession", who, b.level, login, peer(&r.Dst))})
	}
}
