package summary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
)

// Learned is what is known of one device, as far as it was saved.
type Learned struct {
	Device device.Record
	Status baseline.Status
	Items  []baseline.Item // only where one device is looked at
}

// Decision is what a person decided about learned behaviour.
type Decision struct {
	Time   int64  `json:"time"` // Unix nanoseconds
	Device string `json:"device"`
	What   string `json:"what"` // approve or remove
	Key    string `json:"key"`
	Author string `json:"author,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// LearnedText lists what was learned: what is normal for every device, or all
// that was learned of one.
func LearnedText(where string, all []Learned, decisions []Decision, o Options) string {
	p := &page{Options: o}
	p.Width = max(p.Width, 40)
	title := p.fit(p.clean(strings.Repeat(p.rule(), 2)+" monban: what was learned, "+where+" "), p.Width)
	p.line(p.paint(title+strings.Repeat(p.rule(), p.Width-cells(title)), bold))
	if len(all) == 1 && all[0].Items != nil {
		p.one(&all[0])
	} else {
		p.every(where, all)
	}
	p.decisions(decisions)
	return p.b.String()
}

func (p *page) every(where string, all []Learned) {
	if len(all) == 0 {
		p.text("Nothing was learned yet.", 0, none)
		return
	}
	learned := 0
	for _, l := range all {
		if l.Status.Learned {
			learned++
		}
	}
	p.text(fmt.Sprintf("%s, %d of them learned.", plural(uint64(len(all)), "device"), learned), 0, none)
	for i := range all {
		p.line()
		p.device(&all[i])
	}
	p.line()
	p.text("One device with all that was learned of it: monban --config 'learned:"+where+"?device=NAME'", 0, dim)
}

// device is a device with what is normal for it.
func (p *page) device(l *Learned) {
	m := machine{Record: l.Device, status: &l.Status}
	state := m.learning()
	switch {
	case l.Status.Approved:
	case l.Status.Learned:
		state.text = "learned"
	default:
		state.text = "still learning, " + percent(l.Status.Chance) + " chance that the next flow shows something new"
	}
	p.line(p.paint(p.fit(p.clean(m.title()), p.Width), bold))
	var who []string
	for _, s := range []string{l.Device.Vendor, strings.Join(l.Device.Addresses, ", "), l.Device.ID} {
		if s != "" && s != m.title() {
			who = append(who, s)
		}
	}
	p.text(strings.Join(who, " · "), 2, dim)
	p.text(cmp.Or(l.Status.Usual, "nothing yet"), 2, none)
	p.text(fmt.Sprintf("%s: %s in %s, %s", state.text, plural(l.Status.Flows, "flow"),
		span(seconds(l.Status.Watched)), plural(uint64(l.Status.Peers), "peer")), 2, state.st)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// kinds puts the first word of a key into words.
var kinds = map[string]string{
	"svc.out":    "uses the service",
	"net.out":    "uses the service in the network",
	"peer.out":   "uses the service of the peer",
	"svc.in":     "serves",
	"peer.in":    "serves the peer",
	"ot.master":  "is commanded by",
	"ot.command": "takes the command",
	"dns.name":   "asks for names in",
	"cadence":    "sends at a steady pace",
}

// one lists all that was learned of a device, with the keys that approve and
// remove take; they are never cut short.
func (p *page) one(l *Learned) {
	p.device(l)
	columns := []column{{"key", false, 0}, {"which is", false, 8}, {"times", true, 0}, {"first", true, 0}, {"last", true, 0}}
	var rows [][]cell
	var below []string
	kind := ""
	flush := func() {
		if len(rows) > 0 {
			p.line()
			p.line(p.paint(cmp.Or(kinds[kind], kind), bold))
			p.table(columns, rows, below)
		}
		rows, below = nil, nil
	}
	for _, it := range l.Items {
		k, _, _ := strings.Cut(it.Key, " ")
		if k != kind {
			flush()
			kind = k
		}
		named := differing(it.Key, it.What)
		state, st := "", none
		switch {
		case it.Removed:
			state, st = "removed: it is told when it happens again", yellow
		case it.Pending:
			state, st = "told as unusual, not learned", yellow
		case it.Approved:
			state, st = "approved", green
		}
		rows = append(rows, []cell{{it.Key, st}, {named, none}, {count(uint64(it.N)), none},
			{span(seconds(it.First)), none}, {span(seconds(it.Last)), none}})
		below = append(below, state)
	}
	flush()
	p.line()
	p.text("first and last: how long the device had been watched then.", 0, dim)
}

// differing gives the words of named that are not the same in key.
func differing(key, named string) string {
	k, n := strings.Fields(key), strings.Fields(named)
	if len(k) != len(n) {
		return named
	}
	var words []string
	for i := range n {
		if n[i] != k[i] {
			words = append(words, n[i])
		}
	}
	return strings.Join(words, " ")
}

// decisions lists what people decided, the latest first.
func (p *page) decisions(all []Decision) {
	if len(all) == 0 {
		return
	}
	p.section("Decisions")
	const shown = 10
	for i, d := range slices.Backward(all) {
		if len(all)-i > shown {
			p.text(fmt.Sprintf("and %d before", i+1), 2, dim)
			break
		}
		text := fmt.Sprintf("%s %s: %s", d.What, d.Device, d.Key)
		if d.Author != "" {
			text += ", by " + d.Author
		}
		if d.Reason != "" {
			text += ": " + d.Reason
		}
		p.entry(p.stamp(d.Time, 0), text, 23, none)
	}
}
