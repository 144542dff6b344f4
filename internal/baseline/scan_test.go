package baseline

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// fires runs steps until one kind of evidence comes, and gives the number of the
// step, or 0.
func fires(s *site, steps int, gap time.Duration, kind string, step func(i int) *flow.Record) int {
	s.t.Helper()
	for i := range steps {
		s.wait(gap)
		for _, k := range s.judge(step(i)) {
			if k == kind {
				return i + 1
			}
			s.t.Errorf("step %d: %s", i, k)
		}
	}
	return 0
}

func TestScans(t *testing.T) {
	var s *site
	for _, c := range []struct {
		name     string
		kind     string
		from, to int // the step at which it must be found; 0 for never
		gap      time.Duration
		step     func(i int) *flow.Record
	}{
		{"telnet on host after host, silent", HostSweep, 4, 8, 100 * time.Millisecond, func(i int) *flow.Record {
			return s.try(sensor, host(byte(100+i)), 23, "S0")
		}},
		{"telnet on host after host, refused", HostSweep, 4, 8, 100 * time.Millisecond, func(i int) *flow.Record {
			return s.try(sensor, host(byte(100+i)), 23, "REJ")
		}},
		{"telnet on the internet", HostSweep, 4, 8, time.Second, func(i int) *flow.Record {
			return s.try(sensor, outsider(i*7919), 23, "S0")
		}},
		{"slowly, a host a minute", HostSweep, 4, 12, time.Minute, func(i int) *flow.Record {
			return s.try(sensor, host(byte(100+i)), 23, "S0")
		}},
		{"port after port of a host", PortSweep, 4, 8, 50 * time.Millisecond, func(i int) *flow.Record {
			return s.try(sensor, broker, uint16(20+i), "REJ")
		}},
		{"UDP ports of a host", PortSweep, 4, 8, 50 * time.Millisecond, func(i int) *flow.Record {
			return s.datagram(sensor, broker, packet.ProtoUDP, uint16(200+i))
		}},
		{"NULL probes", PortSweep, 4, 8, 50 * time.Millisecond, func(i int) *flow.Record {
			return s.try(sensor, broker, uint16(20+i), "OTH")
		}},
		{"ping sweep", HostSweep, 4, 8, 100 * time.Millisecond, func(i int) *flow.Record {
			return s.datagram(sensor, host(byte(100+i)), packet.ProtoICMP, 0)
		}},
		{"from outside", PortSweep, 4, 8, 100 * time.Millisecond, func(i int) *flow.Record {
			return s.try(outside("203.0.113.7"), broker, uint16(20+i), "REJ")
		}},
		{"a host an hour is too slow to see", HostSweep, 0, 0, time.Hour, func(i int) *flow.Record {
			return s.try(sensor, host(byte(100+i)), 23, "S0")
		}},
		{"one host that is away, again and again", HostSweep, 0, 0, time.Second, func(int) *flow.Record {
			return s.try(sensor, host(99), 8080, "S0")
		}},
		{"a phone with no internet", HostSweep, 0, 0, 2 * time.Second, func(i int) *flow.Record {
			switch {
			case i%7 == 5:
				return s.datagram(sensor, outsider(i), packet.ProtoUDP, 123)
			case i%7 == 6:
				return s.try(sensor, outsider(i%14), 80, "S0")
			case i%7 == 4:
				return s.try(sensor, outsider(i%3), 5228, "S0")
			}
			return s.try(sensor, outsider(i%11), 443, "S0")
		}},
		{"pinging one gateway that does not answer", HostSweep, 0, 0, time.Second, func(int) *flow.Record {
			return s.datagram(sensor, router, packet.ProtoICMP, 0)
		}},
		{"multicast and broadcast", HostSweep, 0, 0, time.Second, func(i int) *flow.Record {
			to := flow.End{Addr: netip.AddrFrom4([4]byte{239, 1, 1, byte(i)}), MAC: packet.MAC{1, 0, 0x5e, 1, 1, byte(i)}}
			return s.datagram(sensor, to, packet.ProtoUDP, 6000)
		}},
		{"names asked of many servers", HostSweep, 0, 0, time.Second, func(i int) *flow.Record {
			return s.datagram(sensor, outsider(i), packet.ProtoUDP, 53)
		}},
		{"others on the internet among themselves", PortSweep, 0, 0, time.Second, func(i int) *flow.Record {
			return s.try(outside("203.0.113.7"), outside("198.51.100.4"), uint16(i+1), "S0")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s = newSite(t)
			s.work(2 * time.Minute)
			steps := 40
			if c.to > 0 {
				steps = c.to
			}
			if got := fires(s, steps, c.gap, c.kind, c.step); got < c.from || got > c.to {
				t.Errorf("%s at step %d, want %d to %d", c.kind, got, c.from, c.to)
			}
		})
	}
}

func TestAnswersSpeakAgainstAScan(t *testing.T) {
	s := newSite(t)
	for i := range 120 { // a monitor of many hosts, of which every fifth is away
		s.wait(time.Second)
		r := s.talk(sensor, flowEnd(i), 9100)
		if i%5 == 0 {
			r = s.try(sensor, flowEnd(i), 9100, "S0")
		}
		want(t, s.judge(r))
	}
}

func TestOldAcquaintancesThatAreAwayAreNoScan(t *testing.T) {
	s := newSite(t)
	for range 30 {
		for i := range 12 {
			s.wait(5 * time.Second)
			s.judge(s.talk(panel, host(byte(100+i)), 102))
		}
	}
	for i := range 12 { // the switch to them fails
		s.wait(time.Second)
		want(t, s.judge(s.try(panel, host(byte(100+i)), 102, "S0")))
	}
}

func TestARPSweep(t *testing.T) {
	ask := func(s *site, who flow.End, addr netip.Addr) []string {
		g := app.Sighting{Time: s.now, Kind: app.ARPRequest, MAC: who.MAC, Source: who.Addr, Address: addr, Device: who.Device}
		s.Sighting(&g)
		s.sound(&g.Anomaly)
		return kinds(g.Anomaly)
	}
	for _, c := range []struct {
		name string
		who  flow.End
		gap  time.Duration
		want bool
	}{
		{"fast", sensor, 50 * time.Millisecond, true},
		{"slow", sensor, 2 * time.Second, false},
		{"a router that looks for its hosts", router, 50 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.work(2 * time.Minute)
			s.appear(router)
			s.route(router)
			found := false
			for i := range 60 {
				s.wait(c.gap)
				found = len(ask(s, c.who, netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)}))) > 0 || found
			}
			if found != c.want {
				t.Errorf("found %v", found)
			}
		})
	}
	t.Run("hosts that exist", func(t *testing.T) {
		s := newSite(t)
		s.work(2 * time.Minute)
		for i := range 60 {
			h := host(byte(100 + i))
			s.claim(h.MAC, h.Addr)
		}
		for i := range 60 {
			s.wait(50 * time.Millisecond)
			want(t, ask(s, sensor, host(byte(100+i)).Addr))
		}
	})
}

func TestBruteForce(t *testing.T) {
	session := func(s *site, port uint16) *flow.Record {
		r := s.talk(sensor, broker, port)
		r.FirstSizes = []int64{21, -21, 700, -1000}
		return r
	}
	for _, c := range []struct {
		name string
		port uint16
		gap  time.Duration
		want bool
	}{
		{"ssh, twice a second", 22, 500 * time.Millisecond, true},
		{"telnet", 23, 2 * time.Second, true},
		{"a script every two minutes", 22, 2 * time.Minute, false},
		{"a web page has no login here", 8080, 500 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			got := fires(s, 60, c.gap, BruteForce, func(int) *flow.Record { return session(s, c.port) })
			if (got > 0) != c.want || got > 20 {
				t.Errorf("found at session %d", got)
			}
		})
	}
	t.Run("from the internet", func(t *testing.T) {
		s := newSite(t)
		got := fires(s, 60, time.Second, BruteForce, func(int) *flow.Record {
			r := s.talk(outside("203.0.113.7"), broker, 23)
			r.FirstSizes = []int64{21, -21, 700, -1000}
			return r
		})
		if got == 0 || got > 20 {
			t.Errorf("found at session %d", got)
		}
	})
	t.Run("a script known for weeks", func(t *testing.T) {
		s := newSite(t)
		for range 14 {
			s.wait(24 * time.Hour)
			s.judge(session(s, 22))
		}
		if got := fires(s, 30, time.Second, BruteForce, func(int) *flow.Record { return session(s, 22) }); got > 0 {
			t.Errorf("thirty sessions of it are found at %d", got)
		}
		if got := fires(s, 60, time.Second, BruteForce, func(int) *flow.Record { return session(s, 22) }); got == 0 {
			t.Error("ninety are not")
		}
	})
}

func TestSweepSaysWhat(t *testing.T) {
	s := newSite(t)
	s.work(2 * time.Minute)
	for i := range 8 {
		r := s.try(sensor, host(byte(100+i)), 23, "S0")
		s.Flow(r)
		for _, x := range r.Anomaly.Reasons {
			if x.Device != sensor.Device || x.Subject != "tcp/23" || x.Strength != 1 {
				t.Errorf("%+v", x)
			}
			if want := fmt.Sprintf("on %d hosts", i+1); !contains(x.Seen, want) {
				t.Errorf("%q does not say %q", x.Seen, want)
			}
		}
	}
}
