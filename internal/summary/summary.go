// Package summary gathers what events say and tells it to a person at a terminal:
// what is out of the ordinary first, then who is there, what is usual for them,
// and what was not seen.
//
// It promises bounded memory however long it listens and however hostile the
// traffic, and that nothing from the wire reaches the terminal as a command. It
// gives up exactness in the rankings once a site has more conversations or
// services than it keeps; the totals stay exact.
package summary

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/oui"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/threat"
)

// Bounds of what is kept. A summary at all of them holds about 20 MB.
const (
	maxDevices  = 4096
	maxReports  = 1000
	maxTalks    = 4096
	maxServices = 1024
	maxSources  = 64
	maxWarnings = 16
)

// Summary is what was gathered. Use [New]. It is not safe for concurrent use.
type Summary struct {
	begun int64 // wall clock, Unix nanoseconds

	flows        uint64 // begun, by their first records
	unusual      uint64 // records with a score
	first, last  int64  // of all flows
	packets      uint64 // in flows
	bytes        uint64
	events       uint64
	observations uint64

	devices      map[string]*machine
	more         uint64 // devices that found no room
	services     ranking[string]
	talks        ranking[talk]
	reports      map[string]*threat.Report
	moreReports  uint64
	captures     map[string]*app.Capture
	captureOrder []string
}

// machine is a device with what it did.
type machine struct {
	device.Record
	met      bool // it showed in this run; the status of others is from before
	added    bool // the inventory called it new in this run
	status   *baseline.Status
	flows    uint64
	sent     uint64 // bytes
	received uint64
}

func (m *machine) bytes() uint64 { return m.sent + m.received }

// talk is who spoke with whom over what.
type talk struct{ from, to, service string }

// New makes an empty summary of a run that begins now (Unix nanoseconds).
func New(now int64) *Summary {
	return &Summary{
		begun:    now,
		devices:  map[string]*machine{},
		services: newRanking[string](maxServices),
		talks:    newRanking[talk](maxTalks),
		reports:  map[string]*threat.Report{},
		captures: map[string]*app.Capture{},
	}
}

// Empty reports whether there is nothing to tell: no event came.
func (s *Summary) Empty() bool { return s.events == 0 }

// Side is one end of a flow.
type Side struct{ Address, Device, Name, Domain string }

// who is how the end is called in rankings: a service in the cloud by its name, as
// its addresses change.
func (e *Side) who() string {
	return cmp.Or(e.Device, e.Domain, e.Address, "-")
}

// Flow is what a summary needs of a flow record.
type Flow struct {
	Src, Dst             Side
	Service              string
	SrcBytes, DstBytes   uint64
	SrcPackets           uint64
	DstPackets           uint64
	Start, End           int64 // Unix nanoseconds
	Continued, Anomalous bool
}

// Flow takes a flow record.
func (s *Summary) Flow(f *Flow) {
	s.events++
	var begun uint64
	if !f.Continued {
		begun = 1
		s.flows++
	}
	if f.Anomalous {
		s.unusual++
	}
	if f.Start != 0 && (s.first == 0 || f.Start < s.first) {
		s.first = f.Start
	}
	s.last = max(s.last, f.End)
	bytes := f.SrcBytes + f.DstBytes
	s.bytes += bytes
	s.packets += f.SrcPackets + f.DstPackets
	if m := s.machine(f.Src.Device); m != nil {
		m.meet(&f.Src)
		m.flows += begun
		m.sent += f.SrcBytes
		m.received += f.DstBytes
	}
	if m := s.machine(f.Dst.Device); m != nil && f.Dst.Device != f.Src.Device {
		m.meet(&f.Dst)
		m.flows += begun
		m.sent += f.DstBytes
		m.received += f.SrcBytes
	}
	s.services.add(f.Service, begun, bytes)
	s.talks.add(talk{f.Src.who(), f.Dst.who(), f.Service}, begun, bytes)
}

// meet takes from a flow what the inventory did not say in this run: of a device
// that was known before it tells changes only.
func (m *machine) meet(e *Side) {
	m.met = true
	if m.Name == "" {
		m.Name = e.Name
	}
	switch {
	case e.Address == "":
	case len(m.Addresses) == 0,
		m.Addresses[0] != e.Address && passing(m.Addresses[0]) && !passing(e.Address):
		m.Addresses = []string{e.Address}
	}
}

// passing reports whether an address says little about a device: one that every
// device has, or has before it gets its own.
func passing(address string) bool {
	a, err := netip.ParseAddr(address)
	return err != nil || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// machine finds a device or makes room for it; nil when there is none.
func (s *Summary) machine(id string) *machine {
	if id == "" {
		return nil
	}
	m := s.devices[id]
	if m == nil && len(s.devices) < maxDevices {
		m = &machine{Record: device.Record{ID: short(id), MAC: packet.ParseMAC(id)}}
		m.Vendor = oui.Vendor(m.MAC)
		s.devices[id] = m
	}
	return m
}

// met counts the devices that showed in this run, as far as there was room for them.
func (s *Summary) met() (n int) {
	for _, m := range s.devices {
		if m.met {
			n++
		}
	}
	return n
}

// Device takes an event of the inventory.
func (s *Summary) Device(r *device.Record) {
	s.events++
	m := s.machine(r.ID)
	if m == nil {
		if r.Change == device.New {
			s.more++
		}
		return
	}
	clip(&r.ID, &r.Name, &r.Vendor, &r.Class, &r.Evidence)
	r.Addresses, r.Names = clips(r.Addresses, 8), nil
	m.met, m.added = true, m.added || r.Change == device.New
	evidence := m.Evidence
	m.Record = *r
	if r.Evidence == "" {
		m.Evidence = evidence
	}
}

// Status takes how far the learning of a device has come.
func (s *Summary) Status(r *baseline.Status) {
	s.events++
	if m := s.machine(r.Device); m != nil {
		clip(&r.Device, &r.Usual)
		r.Services = clips(r.Services, 8)
		m.status = r
	}
}

// Observation takes something unusual that no flow shows.
func (s *Summary) Observation(*baseline.Observation) {
	s.events++
	s.observations++
}

// Sighting takes a sighting; they only count as something that happened.
func (s *Summary) Sighting() { s.events++ }

// Report takes a revision of a report and tells whether it is the first of its
// id or graver than the one before, so that it deserves to be told at once.
func (s *Summary) Report(r *threat.Report) (tell bool) {
	s.events++
	clip(&r.ID, &r.Status, &r.Class, &r.Title, &r.Severity, &r.Device, &r.DeviceName, &r.Summary, &r.Expected, &r.Seen, &r.Runner, &r.Action)
	r.Victims, r.Evidence = clips(r.Victims, 16), clips(r.Evidence, 16)
	r.Enterprise, r.ICS, r.Community = clips(r.Enterprise, 8), clips(r.ICS, 8), nil
	old := s.reports[r.ID]
	switch {
	case old != nil && old.Revision > r.Revision:
		return false // late
	case old != nil:
		s.reports[r.ID] = r
		return severity(r.Severity) > severity(old.Severity) || r.Class != old.Class
	case len(s.reports) < maxReports:
		s.reports[r.ID] = r
		return true
	}
	s.moreReports++
	var least *threat.Report
	for _, x := range s.reports {
		if least == nil || severity(x.Severity) < severity(least.Severity) {
			least = x
		}
	}
	if severity(least.Severity) < severity(r.Severity) {
		delete(s.reports, least.ID)
		s.reports[r.ID] = r
	}
	return true
}

// Capture takes how a meter fares; its last word stands.
func (s *Summary) Capture(c *app.Capture) {
	s.events++
	clip(&c.Source)
	if s.captures[c.Source] == nil {
		if len(s.captures) >= maxSources {
			return
		}
		s.captureOrder = append(s.captureOrder, c.Source)
	}
	c.Reasons, c.Warnings = clips(c.Reasons, 32), clips(c.Warnings, maxWarnings+1)
	s.captures[c.Source] = c
}

var severities = []string{"", threat.Low, threat.Medium, threat.High, threat.Critical}

// severity is the rank of a severity, 0 for a word that is none.
func severity(s string) int {
	for i, name := range severities {
		if name == s {
			return i
		}
	}
	return 0
}

// Strings that are kept are bounded: events may come from other programs.
const (
	mostKey  = 256
	mostText = 1024
)

func short(s string) string { return cut(s, mostKey) }

func cut(s string, most int) string {
	if len(s) > most {
		return strings.Clone(s[:most])
	}
	return s
}

func clip(texts ...*string) {
	for _, s := range texts {
		*s = cut(*s, mostText)
	}
}

func clips(list []string, most int) []string {
	list = list[:min(len(list), most)]
	for i := range list {
		clip(&list[i])
	}
	return list
}
