package baseline

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// A flood is a rate of empty connections, or of packets, that no client needs.
const (
	floodWindow  = 5   // seconds
	floodStarts  = 500 // empty connections in a window, or four times what was usual
	floodRate    = 1000.0
	floodUnknown = 20000.0 // packets a second, for a device whose rate is not known yet
	maxVictims   = 4096
)

// target is one service of one address.
type target struct {
	addr  netip.Addr
	port  uint16
	proto uint8
}

func (t target) compare(o target) int {
	if c := t.addr.Compare(o.addr); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(t.port, o.port), cmp.Compare(t.proto, o.proto))
}

// victim counts the empty connections that one service gets.
type victim struct {
	counts [floodWindow]int
	second int64
	most   int   // in a past window that was no flood
	window int64 // number of the present window
	peak   int   // in it
	before int   // in the window before it
	actor  string
	votes  int // Boyer–Moore majority vote for the actor
	total  int
	last   float64
}

func (x *victim) add(second int64, actor string) int {
	if d := second - x.second; d >= floodWindow || d <= -floodWindow {
		x.counts = [floodWindow]int{}
		x.second = second
	} else {
		for ; x.second < second; x.second++ {
			x.counts[(x.second+1)%floodWindow] = 0
		}
	}
	x.counts[second%floodWindow]++
	switch {
	case x.votes == 0:
		x.actor, x.votes = actor, 1
	case x.actor == actor:
		x.votes++
	default:
		x.votes--
	}
	x.total++
	n := 0
	for _, c := range x.counts {
		n += c
	}
	if w := second / floodWindow; w != x.window {
		// A window teaches when the next was no flood either: floods begin small.
		if max(x.peak, x.before) <= floodStarts {
			x.most = max(x.most, x.before)
		}
		x.window, x.before, x.peak = w, x.peak, 0
	}
	x.peak = max(x.peak, n)
	return n
}

func (e *Engine) floods(v *verdict, src *model, r *flow.Record) {
	if group(r) {
		return
	}
	e.emptyConnections(v, src, r)
	if src == nil {
		return
	}
	span := float64(r.End-r.Start) / 1e9
	if r.Part > 0 {
		span = min(span, 60)
	}
	if r.Src.Packets < 2000 || span < 0.5 {
		return
	}
	rate := float64(r.Src.Packets) / span
	limit := floodUnknown
	if src.Rate.N >= 20 {
		limit = max(floodRate, 10*src.Rate.Max)
	}
	oneSided := r.Dst.Packets*10 < r.Src.Packets || r.Proto == packet.ProtoICMP
	if rate > limit && oneSided {
		v.add(event.Reason{Kind: SynFlood, Device: src.ID, Subject: place(&r.Dst) + " " + service(r), Strength: 1,
			Expected: fmt.Sprintf("%s sends at most %.0f packets a second", src.label(), src.Rate.Max),
			Seen:     fmt.Sprintf("%s sent %.0f packets a second to %s of %s", src.label(), rate, service(r), peer(&r.Dst))})
		return
	}
	src.Rate.push(rate)
}

func (e *Engine) emptyConnections(v *verdict, src *model, r *flow.Record) {
	if r.Part > 0 || r.Guessed || len(r.FirstSizes) > 0 && r.Proto == packet.ProtoTCP ||
		r.Proto == packet.ProtoUDP && (r.Dst.Packets > 0 || r.Src.Packets > 3) ||
		r.Proto != packet.ProtoTCP && r.Proto != packet.ProtoUDP || infrastructure[r.Dst.Port] {
		return
	}
	key := target{r.Dst.Addr, r.Dst.Port, r.Proto}
	x := e.victims[key]
	if x == nil {
		if len(e.victims) >= maxVictims {
			makeRoom(e.victims, 2, func(a, b entry[target, *victim]) int {
				if c := cmp.Compare(a.value.last, b.value.last); c != 0 {
					return c
				}
				return cmp.Or(cmp.Compare(a.value.total, b.value.total), a.key.compare(b.key))
			})
		}
		x = &victim{second: r.Start / 1e9}
		e.victims[key] = x
	}
	x.last = e.watched
	actor := e.phrase(r, &r.Src).place
	n := x.add(r.Start/1e9, actor)
	limit := max(floodStarts, 4*x.most)
	if n <= limit {
		return
	}
	id, who := actor, peer(&r.Src)
	if x.votes < n/2 { // nobody has the majority: many sources, or forged ones
		if id, who = r.Dst.Device, "many addresses"; id == "" {
			id = r.Dst.Addr.String()
		}
	} else if src != nil {
		who = src.label()
	}
	v.add(event.Reason{Kind: SynFlood, Device: id, Subject: r.Dst.Addr.String() + " " + r.Transport() + "/" + strconv.Itoa(int(r.Dst.Port)), Strength: 1,
		Expected: fmt.Sprintf("%s of %s gets %s without payload in %d seconds", service(r), peer(&r.Dst), atMost(x.most, "connection"), floodWindow),
		Seen:     fmt.Sprintf("%s opened %d connections without payload to %s of %s within %d seconds", who, n, service(r), peer(&r.Dst), floodWindow)})
}

// forgetIdle drops what only attacks fill, so that it never grows for long.
func (e *Engine) forgetIdle() {
	for k, x := range e.victims {
		if e.watched-x.last > 600 && x.total < floodStarts {
			delete(e.victims, k)
		}
	}
	for a, c := range e.foreign {
		if e.watched-c.at > 2*scanHalfLife {
			c.clear(&e.contacts)
			delete(e.foreign, a)
		}
	}
	for _, m := range e.devices {
		if e.watched-m.contacts.at > 2*scanHalfLife {
			m.contacts.clear(&e.contacts)
		}
	}
}
