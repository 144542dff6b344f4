package baseline

import (
	"fmt"
	"math"
	"strings"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
)

// OT masters say the same few things for years, so that a new one is a strong
// sign after minutes. What a master may say is kept at the outstation.
const (
	otUnits     = 5    // unseen unit addresses within otWindow
	otFunctions = 10   // unseen functions in one record
	otWindow    = 10.0 // seconds
	otBurst     = 500
	maxUnits    = 512
)

// commands judges the OT commands of a flow.
func (e *Engine) commands(v *verdict, src, dst *model, r *flow.Record) {
	if len(r.Commands) == 0 || dst == nil {
		return
	}
	master, who := place(&r.Src), peer(&r.Src)
	if src != nil {
		who = src.label()
	}
	proto := r.Service
	if proto == "" {
		proto = service(r)
	}
	x := e.exposure(dst)
	pairs, cmds := &dst.Grains[otPair], &dst.Grains[otCmd]
	total, messages, answers, units, functions, requests := uint64(0), int64(0), int64(0), 0, 0, 0
	var news []event.Reason
	for i, c := range r.Commands {
		unit, function, _ := strings.Cut(c, "/")
		if i < len(r.CommandCounts) {
			messages += r.CommandCounts[i]
		}
		if !app.IsRequest(c) {
			if i < len(r.CommandCounts) {
				answers += r.CommandCounts[i]
			}
			continue
		}
		requests++
		if i < len(r.CommandCounts) {
			total += uint64(r.CommandCounts[i])
		}
		if e.newUnit(dst, master+" "+unit) {
			units++
		}
		key := master + " " + function
		s := cmds.Keys[key]
		nats := cmds.look(otCmd, key, e.watched, x, dst.Approve)
		if s == nil {
			functions++
		}
		if nats <= 0 {
			continue
		}
		kind, does := NewCommand, "sent"
		if app.StateChanging(c) {
			kind, does = NewWrite, "sent the changing command"
		}
		known := e.functionsOf(dst, master)
		expected := fmt.Sprintf("%s only sends %s to %s%s", who, list(known), dst.label(), e.since(dst))
		if len(known) == 0 {
			expected = fmt.Sprintf("%s takes %s commands only from %s%s", dst.label(), proto, list(e.named(pairs.top(4))), e.since(dst))
		}
		news = append(news, event.Reason{Kind: kind, Device: master, Subject: dst.ID + " " + function, Strength: round(nats),
			Expected: expected,
			Seen:     fmt.Sprintf("%s %s %s to %s (unit %s)", who, does, strings.ReplaceAll(function, "_", " "), dst.label(), unit)})
	}
	e.otFlood(v, dst, r, master, who, messages)
	if requests == 0 {
		return
	}
	pairs.N += min(total, 20) // a poller shows many look-ups a record
	cmds.N += min(total, 20)
	if nats := pairs.look(otPair, master, e.watched, x, dst.Approve); nats > 0 {
		v.add(event.Reason{Kind: NewMaster, Device: master, Subject: dst.ID, Strength: round(nats),
			Expected: fmt.Sprintf("%s takes %s commands only from %s%s", dst.label(), proto, list(e.named(pairs.top(4))), e.since(dst)),
			Seen:     fmt.Sprintf("%s sent it %s", who, list(functionNames(r.Commands, 4)))})
	}
	v.reasons = append(v.reasons, news...)
	if e.watched-dst.unitsAt > otWindow {
		dst.units, dst.unitsAt = 0, e.watched
	}
	dst.units += units
	units = dst.units
	// A station that polls many units is no enumeration: it is known, or it is answered.
	unanswered := answers > 0 && answers*2 < int64(total)
	if known := x > settle && pairs.N >= 20; (known || unanswered) && units >= otUnits || known && functions >= otFunctions {
		v.add(event.Reason{Kind: OTEnumeration, Device: master, Subject: dst.ID, Strength: 1,
			Expected: fmt.Sprintf("%s asks %s for what it always asks", who, dst.label()),
			Seen:     fmt.Sprintf("%s tried %s and %s of %s that it never used", who, plural(units, "unit address"), plural(functions, "function"), dst.label())})
	}
}

// otFlood judges the rate of all OT messages of a conversation.
func (e *Engine) otFlood(v *verdict, dst *model, r *flow.Record, master, who string, messages int64) {
	rate := float64(messages) / math.Max(float64(r.End-r.Since)/1e9, 5) * 5
	limit := float64(otBurst)
	if dst.OT.N >= 12 {
		limit = math.Max(50, 4*dst.OT.Max)
	}
	if rate > limit {
		v.add(event.Reason{Kind: OTFlood, Device: master, Subject: dst.ID, Strength: 1,
			Expected: fmt.Sprintf("%s has at most %.0f OT messages in 5 seconds", dst.label(), dst.OT.Max),
			Seen:     fmt.Sprintf("%s and it exchanged %.0f in 5 seconds", who, rate)})
	} else {
		dst.OT.push(rate)
	}
}

func (e *Engine) newUnit(m *model, key string) bool {
	if m.Units[key] {
		return false
	}
	if m.Units == nil {
		m.Units = map[string]bool{}
	}
	if len(m.Units) < maxUnits {
		m.Units[key] = true
	}
	return true
}

// functionsOf lists what a master usually sends.
func (e *Engine) functionsOf(m *model, master string) (names []string) {
	for _, k := range m.Grains[otCmd].top(grainCaps[otCmd]) {
		if f, ok := strings.CutPrefix(k, master+" "); ok && len(names) < 4 {
			names = append(names, strings.ReplaceAll(f, "_", " "))
		}
	}
	return names
}

func functionNames(commands []string, n int) (names []string) {
	have := map[string]bool{}
	for _, c := range commands {
		_, f, _ := strings.Cut(c, "/")
		if f = strings.ReplaceAll(f, "_", " "); !have[f] && len(names) < n {
			have[f] = true
			names = append(names, f)
		}
	}
	return names
}
