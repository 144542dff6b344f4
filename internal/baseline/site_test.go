package baseline

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// site is a small plant whose time the test drives: a sensor that reports to a
// broker and a cloud, and an operator panel that polls a controller.
type site struct {
	*Engine
	t    testing.TB
	now  int64  // Unix nanoseconds
	port uint16 // of the next client
}

// epoch is midnight, so that hours of the day are easy to tell.
var epoch = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano()

func newSite(t testing.TB) *site {
	return &site{Engine: New(NewDefaultConfig()), t: t, now: epoch, port: 40000}
}

func (s *site) wait(d time.Duration) { s.now += int64(d) }

// host is an end inside: a MAC address and an address made of its number.
func host(n byte) flow.End {
	mac := packet.MAC{2, 0, 0, 0, 0, n}
	return flow.End{Addr: netip.AddrFrom4([4]byte{10, 0, 0, n}), MAC: mac, Device: mac.String(), TTLMin: 64, TTLMax: 64}
}

// outside is an end on the internet, reached through the router.
func outside(addr string) flow.End {
	return flow.End{Addr: netip.MustParseAddr(addr), MAC: packet.MAC{2, 0, 0, 0, 0, 1}, TTLMin: 51, TTLMax: 51}
}

func (s *site) record(src, dst flow.End, proto uint8, port uint16) *flow.Record {
	s.port++
	if s.port < 40000 {
		s.port = 40000
	}
	src.Port, dst.Port = s.port, port
	if proto == packet.ProtoICMP {
		src.Port, dst.Port = 0, 0
	}
	return &flow.Record{Start: s.now, Since: s.now, End: s.now, Net: packet.NetIPv4, Proto: proto, Src: src, Dst: dst}
}

// talk is a session with payload both ways that lasted a second.
func (s *site) talk(src, dst flow.End, port uint16) *flow.Record {
	r := s.record(src, dst, packet.ProtoTCP, port)
	r.Start, r.Since, r.State, r.Reason, r.FirstSizes = s.now-1e9, s.now-1e9, "SF", flow.Ended, []int64{120, -300}
	r.Src.Packets, r.Src.Bytes, r.Dst.Packets, r.Dst.Bytes = 6, 500, 5, 700
	return r
}

// try is a SYN that got no answer, or a reset.
func (s *site) try(src, dst flow.End, port uint16, state string) *flow.Record {
	r := s.record(src, dst, packet.ProtoTCP, port)
	r.State, r.Reason = state, flow.Idle
	r.Src.Packets, r.Src.Bytes = 1, 44
	if state == "REJ" {
		r.Dst.Packets, r.Dst.Bytes = 1, 40
	}
	return r
}

// datagram is a UDP or ICMP packet that nobody answered.
func (s *site) datagram(src, dst flow.End, proto uint8, port uint16) *flow.Record {
	r := s.record(src, dst, proto, port)
	r.Src.Packets, r.Src.Bytes = 1, 64
	if proto == packet.ProtoICMP {
		r.ICMPType = 8
	}
	return r
}

// command is a session in which a master sends OT commands.
func (s *site) command(master, outstation flow.End, commands ...string) *flow.Record {
	r := s.talk(master, outstation, 502)
	r.Service, r.Commands = "modbus", commands
	for range commands {
		r.CommandCounts = append(r.CommandCounts, 3)
	}
	return r
}

// judge hands a flow to the engine and returns the kinds of evidence.
func (s *site) judge(r *flow.Record) []string {
	s.t.Helper()
	s.Flow(r)
	s.sound(&r.Anomaly)
	return kinds(r.Anomaly)
}

// sound checks what must hold of every verdict.
func (s *site) sound(a *event.Anomaly) {
	s.t.Helper()
	if (a.Score > 0) != (len(a.Reasons) > 0) || a.Score < 0 || a.Score > 1 {
		s.t.Errorf("score %g with %d reasons", a.Score, len(a.Reasons))
	}
	for _, r := range a.Reasons {
		if r.Kind == "" || r.Device == "" || r.Subject == "" || r.Strength <= 0 || r.Expected == "" || r.Seen == "" {
			s.t.Errorf("a reason lacks something: %+v", r)
		}
		if rules[r.Kind] && r.Strength > 1 {
			s.t.Errorf("%s is a rule, its certainty is %g", r.Kind, r.Strength)
		}
	}
}

func kinds(a event.Anomaly) (all []string) {
	for _, r := range a.Reasons {
		all = append(all, r.Kind)
	}
	return all
}

// claim is an ARP reply or announcement of an address by a MAC address.
func (s *site) claim(mac packet.MAC, addr netip.Addr) []string {
	s.t.Helper()
	g := app.Sighting{Time: s.now, Kind: app.ARPClaim, MAC: mac, Source: addr, Address: addr, Device: mac.String()}
	s.Sighting(&g)
	s.sound(&g.Anomaly)
	return kinds(g.Anomaly)
}

// appear is the inventory's event for a new device.
func (s *site) appear(e flow.End) []string {
	s.t.Helper()
	r := device.Record{Time: s.now, ID: e.Device, Change: device.New, MAC: e.MAC, Addresses: []string{e.Addr.String()}, Evidence: "ARP"}
	s.Device(&r)
	s.sound(&r.Anomaly)
	return kinds(r.Anomaly)
}

// route marks a host as the site's router.
func (s *site) route(e flow.End) {
	s.Device(&device.Record{Time: s.now, ID: e.Device, Change: device.Updated, MAC: e.MAC, Router: true})
}

// The plant's own.
var (
	router     = host(1)
	broker     = host(10)
	sensor     = host(20)
	panel      = host(30)
	controller = host(40)
	cloud      = outside("198.51.100.10")
)

// minute is one minute of the plant's usual work.
func (s *site) minute() (found []string) {
	s.wait(20 * time.Second)
	found = append(found, s.judge(s.talk(sensor, broker, 1883))...)
	s.wait(20 * time.Second)
	found = append(found, s.judge(s.command(panel, controller, "1/read_holding_registers", "1/read_coils"))...)
	s.wait(20 * time.Second)
	found = append(found, s.judge(s.talk(sensor, cloud, 8883))...)
	return found
}

// work lets the plant do its usual work: every minute for an hour, then every
// ten minutes so that days pass cheaply.
func (s *site) work(d time.Duration) {
	s.t.Helper()
	s.route(router)
	for end := s.now + int64(d); s.now < end; {
		if found := s.minute(); len(found) > 0 {
			s.t.Fatalf("usual work after %v: %v", time.Duration(s.now-epoch), found)
		}
		if s.now-epoch > int64(time.Hour) {
			s.wait(9 * time.Minute)
		}
	}
}

// want compares the kinds of evidence with what is expected, in any order.
func want(t testing.TB, got []string, expected ...string) {
	t.Helper()
	got = slices.Clone(got)
	slices.Sort(got)
	slices.Sort(expected)
	if !slices.Equal(slices.Compact(got), expected) {
		t.Errorf("evidence is [%s], want [%s]", strings.Join(got, " "), strings.Join(expected, " "))
	}
}

func (s *site) status(e flow.End) Status {
	s.t.Helper()
	for _, x := range s.Statuses() {
		if x.Device == e.Device {
			return x
		}
	}
	s.t.Fatalf("no status of %s", e.Device)
	return Status{}
}
