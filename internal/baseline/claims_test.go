package baseline

import (
	"testing"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/packet"
)

func TestAddressConflicts(t *testing.T) {
	thief := host(66)
	owner := func(s *site) []string { s.wait(2 * time.Second); return s.claim(controller.MAC, controller.Addr) }
	steal := func(s *site) []string { s.wait(2 * time.Second); return s.claim(thief.MAC, controller.Addr) }
	for _, c := range []struct {
		name string
		run  func(*site) []string
		want bool
	}{
		{"the owner still speaks", func(s *site) []string {
			return append(append(owner(s), steal(s)...), owner(s)...)
		}, true},
		{"both go on", func(s *site) (all []string) {
			for range 10 {
				all = append(append(all, owner(s)...), steal(s)...)
			}
			return all
		}, true},
		{"the owner speaks by a flow", func(s *site) []string {
			all := append(owner(s), steal(s)...)
			s.wait(time.Second)
			return append(all, s.judge(s.talk(controller, broker, 1883))...)
		}, true},
		{"the owner left an hour ago", func(s *site) []string {
			all := owner(s)
			s.wait(time.Hour)
			s.minute()
			return append(append(all, steal(s)...), steal(s)...)
		}, false},
		{"the owner left a moment ago and stays away", func(s *site) (all []string) {
			all = owner(s)
			for range 40 {
				all = append(all, steal(s)...)
			}
			return all
		}, false},
		{"the owner alone, often", func(s *site) (all []string) {
			for range 40 {
				all = append(all, owner(s)...)
			}
			return all
		}, false},
		{"a virtual router changes hands (VRRP)", func(s *site) (all []string) {
			for i := range 10 {
				s.wait(time.Second)
				all = append(all, s.claim(packet.MAC{0, 0, 0x5e, 0, 1, byte(i)}, controller.Addr)...)
				all = append(all, owner(s)...)
			}
			return all
		}, false},
		{"a router answers for others (proxy ARP)", func(s *site) (all []string) {
			s.appear(router)
			s.route(router)
			for range 10 {
				all = append(all, owner(s)...)
				s.wait(time.Second)
				all = append(all, s.claim(router.MAC, controller.Addr)...)
			}
			return all
		}, false},
		{"the gateway's address is taken while it was silent, and it comes back", func(s *site) (all []string) {
			s.appear(router)
			s.route(router)
			s.claim(router.MAC, router.Addr)
			s.work(10 * time.Minute)
			for range 5 {
				s.wait(time.Second)
				all = append(all, s.claim(thief.MAC, router.Addr)...)
				s.wait(time.Second)
				all = append(all, s.claim(router.MAC, router.Addr)...)
			}
			return all
		}, true},
		{"two gateways share an address (HSRP 2)", func(s *site) (all []string) {
			for range 10 {
				s.wait(time.Second)
				all = append(all, s.claim(packet.MAC{0, 0, 0x0c, 0x9f, 0xf0, 1}, controller.Addr)...)
				all = append(all, owner(s)...)
			}
			return all
		}, false},
		{"an address probe before use claims nothing", func(s *site) (all []string) {
			for range 10 {
				all = append(all, owner(s)...)
				all = append(all, s.claim(thief.MAC, packetZero)...)
			}
			return all
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			found := false
			for _, k := range c.run(s) {
				if k != ARPConflict {
					t.Errorf("other evidence: %s", k)
				}
				found = true
			}
			if found != c.want {
				t.Errorf("conflict found: %v, want %v", found, c.want)
			}
		})
	}
}

func TestConflictNamesTheThief(t *testing.T) {
	s := newSite(t)
	thief := host(66)
	s.claim(controller.MAC, controller.Addr)
	s.wait(time.Second)
	s.claim(thief.MAC, controller.Addr)
	s.wait(time.Second)
	g := app.Sighting{Time: s.now, Kind: app.ARPClaim, MAC: controller.MAC, Address: controller.Addr, Device: controller.Device}
	s.Sighting(&g)
	if len(g.Anomaly.Reasons) != 1 || g.Anomaly.Reasons[0].Device != thief.Device || g.Anomaly.Reasons[0].Strength != 1 {
		t.Errorf("%+v", g.Anomaly.Reasons)
	}
}

func TestThiefOfASilentAddressIsNamed(t *testing.T) {
	s := newSite(t)
	thief := host(66)
	s.claim(controller.MAC, controller.Addr)
	s.work(time.Hour)
	s.claim(thief.MAC, controller.Addr) // adopted, as nobody objects
	s.wait(time.Second)
	s.claim(controller.MAC, controller.Addr)
	s.wait(time.Second)
	g := app.Sighting{Time: s.now, Kind: app.ARPClaim, MAC: thief.MAC, Address: controller.Addr, Device: thief.Device}
	s.Sighting(&g)
	if len(g.Anomaly.Reasons) != 1 || g.Anomaly.Reasons[0].Device != thief.Device {
		t.Errorf("%+v", g.Anomaly.Reasons)
	}
}

func TestTwoInterfacesOfOneHostAreNoCertainSpoofing(t *testing.T) {
	s := newSite(t)
	second := controller
	second.MAC = host(41).MAC
	second.Device = host(41).Device
	strongest := 0.0
	for range 20 {
		for _, e := range []struct{ r bool }{{false}, {true}} {
			s.wait(time.Second)
			r := s.talk(controller, broker, 1883)
			if e.r {
				r = s.talk(second, broker, 1883)
			}
			s.Flow(r)
			for _, x := range r.Anomaly.Reasons {
				strongest = max(strongest, x.Strength)
			}
		}
	}
	if strongest >= 0.5 {
		t.Errorf("without a claim by ARP the certainty is %g", strongest)
	}
}

func TestRelay(t *testing.T) {
	relay := func(s *site, by packet.MAC) []string {
		g := app.Sighting{Time: s.now, Kind: app.Relay, MAC: panel.MAC, By: by, Source: panel.Addr, Address: controller.Addr, Device: panel.Device}
		s.Sighting(&g)
		s.sound(&g.Anomaly)
		if len(g.Anomaly.Reasons) > 0 && g.Anomaly.Reasons[0].Device != by.String() {
			t.Errorf("the actor is %s", g.Anomaly.Reasons[0].Device)
		}
		return kinds(g.Anomaly)
	}
	s := newSite(t)
	want(t, relay(s, host(66).MAC), Relayed)
	s.appear(router)
	s.route(router)
	want(t, relay(s, router.MAC))
}

func TestStack(t *testing.T) {
	s := newSite(t)
	for range 20 {
		s.wait(time.Second)
		want(t, s.judge(s.talk(sensor, broker, 1883)))
	}
	for _, c := range []struct {
		name string
		ttl  uint8
		want int
	}{{"its own", 64, 0}, {"another's initial value", 128, 1}, {"a value that crossed a router", 57, 0}} {
		t.Run(c.name, func(t *testing.T) {
			r := s.talk(sensor, broker, 1883)
			r.Src.TTLMin, r.Src.TTLMax = c.ttl, c.ttl
			if got := s.judge(r); len(got) != c.want {
				t.Errorf("evidence is %v", got)
			}
		})
	}
}
