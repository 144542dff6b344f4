package summary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// title is what a device is called: its name, or the next best.
func (m *machine) title() string {
	switch {
	case m.Name != "":
		return m.Name
	case isAddress(m.ID) || len(m.Addresses) == 0:
		return m.ID
	}
	return m.Addresses[0]
}

// From narrow columns on there is room for the vendor, from roomy on for the MAC.
const (
	narrow = 72
	roomy  = 104
)

// showDevices lists who is there, those with most traffic first.
func (s *Summary) showDevices(p *page) {
	all := make([]*machine, 0, len(s.devices))
	for _, m := range s.devices {
		if m.met {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b *machine) int {
		return cmp.Or(cmp.Compare(b.bytes(), a.bytes()), cmp.Compare(b.flows, a.flows), cmp.Compare(a.ID, b.ID))
	})
	title := "Devices"
	learned, with := s.learned()
	if with > 0 {
		title = fmt.Sprintf("Devices: %d of %d learned", learned, with)
	}
	p.section(title)
	columns := []column{{"name", false, 10}}
	if p.Width >= narrow {
		columns = append(columns, column{"vendor", false, 8})
	}
	columns = append(columns, column{"address", false, 8})
	if p.Width >= roomy {
		columns = append(columns, column{"MAC", false, 0})
	}
	columns = append(columns, column{"learned", false, 0}, column{"flows", true, 0}, column{"bytes", true, 0})
	var rows [][]cell
	var below []string
	for _, m := range all[:min(shownDevices, len(all))] {
		row := []cell{{cmp.Or(m.Name, "-"), s.mark(m)}}
		if p.Width >= narrow {
			row = append(row, cell{m.Vendor, none})
		}
		row = append(row, cell{m.addresses(), none})
		extra := m.usual()
		switch mac := m.MAC.String(); {
		case p.Width >= roomy:
			row = append(row, cell{mac, none})
		case extra != "" && mac != "":
			extra = mac + " · " + extra
		default:
			extra += mac
		}
		rows = append(rows, append(row, m.learning(), cell{count(m.flows), none}, cell{size(m.bytes()), none}))
		below = append(below, extra)
	}
	p.table(columns, rows, below)
	if n := uint64(max(0, len(all)-shownDevices)) + s.more; n > 0 {
		p.text(fmt.Sprintf("and %s more%s", count(n), p.see("devices")), 2, none)
	}
	if absent := len(s.devices) - len(all); absent > 0 {
		p.text(fmt.Sprintf("%s known from before did not show.", plural(uint64(absent), "device")), 2, dim)
	}
	if learned < with {
		p.text("A percentage is the chance that the device's next flow shows something new; when it is low enough, the device is learned.", 2, dim)
	}
}

// mark is how the name of a device stands out: in the colour of its gravest report.
func (s *Summary) mark(m *machine) style {
	st, worst := bold, 0
	for _, r := range s.reports {
		if r.Device == m.ID && severity(r.Severity) > worst {
			worst = severity(r.Severity)
			if st = severityStyle(r.Severity); st == alarm {
				st = red // a block of colour in a table hides the rest
			}
		}
	}
	return st
}

// addresses is the newest address, and how many there are besides.
func (m *machine) addresses() string {
	switch n := len(m.Addresses); {
	case n > 1:
		return fmt.Sprintf("%s +%d", m.Addresses[0], n-1)
	case n == 1:
		return m.Addresses[0]
	case isAddress(m.ID):
		return m.ID
	}
	return ""
}

func (m *machine) learning() cell {
	switch {
	case m.status == nil:
		return cell{"-", dim}
	case m.status.Approved:
		return cell{"approved", green}
	case m.status.Learned:
		return cell{"yes", green}
	}
	return cell{"no, " + percent(m.status.Chance), yellow}
}

// usual is what is normal for a device, in few words.
func (m *machine) usual() string {
	if m.status == nil {
		return ""
	}
	if m.status.Usual != "" {
		return m.status.Usual
	}
	return strings.Join(m.status.Services, ", ")
}

// showNew lists the devices that were not there before this run. When none was,
// all are new and the list of devices says it.
func (s *Summary) showNew(p *page) {
	var added []*machine
	for _, m := range s.devices {
		if m.added {
			added = append(added, m)
		}
	}
	if len(added) == 0 || len(added) == s.met() {
		return
	}
	slices.SortFunc(added, func(a, b *machine) int {
		return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), cmp.Compare(a.ID, b.ID))
	})
	p.section("New devices")
	for _, m := range added[:min(shownNew, len(added))] {
		when := ""
		if m.FirstSeen != 0 {
			when = p.stamp(m.FirstSeen, 0)
		}
		const at = 23
		p.entry(when, s.describe(m.ID, ""), at, none)
		if m.Evidence != "" {
			p.text("first shown by "+m.Evidence, at, dim)
		}
	}
	if n := len(added) - shownNew; n > 0 {
		p.text(fmt.Sprintf("and %d more%s", n, p.see("devices")), 2, none)
	}
}

// showHints gives advice in the words of the command line.
func (s *Summary) showHints(p *page) {
	h := p.Hints
	if h.Word == "" {
		return
	}
	var hints []string
	add := func(format string, args ...any) { hints = append(hints, fmt.Sprintf(format, args...)) }
	learned, with := s.learned()
	switch {
	case h.State != "" && p.Broken: // it may not have been saved
	case h.State != "":
		add("What was learned is kept in %s. `monban --config learned:%s` lists it.", h.State, h.State)
		if len(s.reports) > 0 {
			add("Is something that was reported fine? `monban --config 'learned:%s?device=NAME'` shows what was told, with the key that approve= takes.", h.State)
		}
	case learned < with:
		add("Still learning %d of %s. With state=DIR what was learned is kept, and the next run goes on from it.", with-learned, plural(uint64(with), "device"))
	}
	if s.flows > 0 && s.met() == 0 && h.Home == "" {
		add("None of the addresses looks like one of yours: say which are with home=CIDR.")
	}
	switch h.Out {
	case "":
		add("With out=DIR every event is written there as a line of JSON.")
	case "-":
	default:
		after := ""
		if h.Appended {
			after = ", after those of an earlier run"
		}
		add("Every event is in %s/%s: flows, sightings, devices, reports and more as lines of JSON.", strings.TrimSuffix(h.Out, "/"), after)
	}
	p.section("Next")
	for _, hint := range hints {
		p.text(hint, 2, none)
	}
}
