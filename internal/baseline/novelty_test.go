package baseline

import (
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

func TestNoveltySpeaksAtTheCoarsestLevelOnly(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*site) *flow.Record
		want []string
	}{
		{"what it always does", func(s *site) *flow.Record { return s.talk(sensor, cloud, 8883) }, nil},
		{"a new service at a new address", func(s *site) *flow.Record { return s.talk(sensor, outside("203.0.113.5"), 6667) }, []string{NewService}},
		{"a new service at the old address", func(s *site) *flow.Record { return s.talk(sensor, cloud, 6667) }, []string{NewService}},
		{"the old service in a new network", func(s *site) *flow.Record { return s.talk(sensor, outside("203.0.113.5"), 8883) }, []string{NewDestination}},
		{"the old service at another address of the network", func(s *site) *flow.Record { return s.talk(sensor, outside("198.51.200.7"), 8883) }, []string{NewPeer}},
		{"another inside uses the broker as it ever served", func(s *site) *flow.Record {
			return s.talk(outside("203.0.113.9"), broker, 1883)
		}, []string{NewClient}},
		{"the broker serves what it never did", func(s *site) *flow.Record {
			return s.talk(outside("203.0.113.9"), broker, 4444)
		}, []string{NewServed}},
		{"a name of a new domain", func(s *site) *flow.Record {
			r := s.datagram(sensor, router, packet.ProtoUDP, 53)
			r.Dst.Packets, r.Questions = 1, []string{"c2.bad.example.net"}
			return r
		}, []string{NewName}},
		{"another name of a known domain", func(s *site) *flow.Record {
			r := s.datagram(sensor, router, packet.ProtoUDP, 53)
			r.Dst.Packets, r.Questions = 1, []string{"eu.cloud.example.com"}
			return r
		}, nil},
		{"a local name", func(s *site) *flow.Record {
			r := s.datagram(sensor, router, packet.ProtoUDP, 53)
			r.Dst.Packets, r.Questions = 1, []string{"printer.local", "nas", "9.0.0.10.in-addr.arpa"}
			return r
		}, nil},
		{"nobody answered", func(s *site) *flow.Record { return s.try(sensor, outside("203.0.113.5"), 6667, "S0") }, nil},
		{"time from another server", func(s *site) *flow.Record {
			return s.datagram(sensor, outside("203.0.113.5"), packet.ProtoUDP, 123)
		}, nil},
		{"a ping", func(s *site) *flow.Record { return s.datagram(sensor, outside("203.0.113.5"), packet.ProtoICMP, 0) }, nil},
		{"who began is a guess", func(s *site) *flow.Record {
			r := s.talk(sensor, outside("203.0.113.5"), 6667)
			r.Guessed, r.State = true, "OTH"
			return r
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			for s.now < epoch+int64(120*24*time.Hour) {
				s.wait(8 * time.Hour)
				s.judge(s.talk(sensor, broker, 1883))
				s.judge(s.talk(sensor, cloud, 8883))
				r := s.datagram(sensor, router, packet.ProtoUDP, 53)
				r.Dst.Packets, r.Questions = 1, []string{"mqtt.cloud.example.com"}
				s.judge(r)
			}
			s.wait(8 * time.Hour)
			want(t, s.judge(c.make(s)), c.want...)
		})
	}
}

func TestNoveltyIsQuietAtFirst(t *testing.T) {
	s := newSite(t)
	for i := range 60 {
		s.wait(time.Second)
		want(t, s.judge(s.talk(sensor, outsider(i), uint16(8000+i))))
	}
}

func TestNoveltyGrowsWithTheWatch(t *testing.T) {
	strength := func(days int) float64 {
		s := newSite(t)
		for range days * 4 {
			s.wait(6 * time.Hour)
			s.judge(s.talk(sensor, cloud, 8883))
		}
		r := s.talk(sensor, outside("203.0.113.5"), 6667)
		s.Flow(r)
		if len(r.Anomaly.Reasons) == 0 {
			return 0
		}
		return r.Anomaly.Reasons[0].Strength
	}
	week, quarter, year := strength(7), strength(90), strength(365)
	if !(week < quarter && quarter < year && year <= maxNats) {
		t.Errorf("a new service is worth %g nats after a week, %g after a quarter, %g after a year", week, quarter, year)
	}
}

func TestApprovedDeviceTellsAllThatIsNew(t *testing.T) {
	s := newSite(t)
	s.work(10 * time.Minute)
	if err := s.Approve(sensor.Device, "all"); err != nil {
		t.Fatal(err)
	}
	if x := s.status(sensor); !x.Learned || !x.Approved {
		t.Errorf("approved, its status is %+v", x)
	}
	s.wait(time.Minute)
	want(t, s.judge(s.talk(sensor, outside("203.0.113.5"), 6667)), NewService)
	s.work(10 * time.Minute) // fails where usual work is told
}

func TestNameOfAKnownAddressIsNotNew(t *testing.T) {
	named := cloud
	named.Domain = "mqtt.vendor.example.com"
	s := newSite(t)
	for range 400 {
		s.wait(6 * time.Hour)
		s.judge(s.talk(sensor, cloud, 8883))
	}
	for range 30 {
		s.wait(time.Minute)
		want(t, s.judge(s.talk(sensor, named, 8883)))
	}
	s.wait(time.Minute)
	moved := outside("203.0.113.5") // the name is known now, whatever its address
	moved.Domain = named.Domain
	want(t, s.judge(s.talk(sensor, moved, 8883)))
}

func TestGuessedFlowsAreTurnedRound(t *testing.T) {
	s := newSite(t)
	s.work(time.Hour)
	r := s.talk(broker, sensor, 51000) // a session that began before we looked
	r.Src.Port, r.Guessed, r.State = 1883, true, "OTH"
	want(t, s.judge(r))
	if r.Src.Device != sensor.Device || r.Dst.Port != 1883 || r.FirstSizes[0] > 0 {
		t.Errorf("%s:%d to %s:%d, sizes %v", r.Src.Device, r.Src.Port, r.Dst.Device, r.Dst.Port, r.FirstSizes)
	}
}

func TestPlaceAndNetwork(t *testing.T) {
	named := outside("203.0.113.5")
	named.Domain = "api.eu.vendor.co.uk."
	v6 := outside("2001:db8:1:2::3")
	for _, c := range []struct {
		end            flow.End
		place, network string
	}{
		{sensor, sensor.Device, "local"},
		{outside("192.168.7.7"), "192.168.7.7", "local"},
		{cloud, "198.51.100.10", "198.51.0.0/16"},
		{v6, "2001:db8:1:2::3", "2001:db8::/32"},
		{named, "api.eu.vendor.co.uk.", "vendor.co.uk"},
	} {
		if p, n := place(&c.end), network(&c.end); p != c.place || n != c.network {
			t.Errorf("%s: place %q network %q, want %q %q", c.end.Addr, p, n, c.place, c.network)
		}
	}
}
