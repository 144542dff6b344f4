package baseline

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// heap is what is in use after a collection.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// checkBounds looks at every list the engine holds.
func checkBounds(t *testing.T, e *Engine) {
	t.Helper()
	max := func(what string, n, limit int) {
		if n > limit {
			t.Errorf("%d %s, at most %d are promised", n, what, limit)
		}
	}
	max("devices", len(e.devices), e.cfg.MaxDevices)
	max("victims", len(e.victims), maxVictims)
	max("outside sources", len(e.foreign), maxForeign)
	tried := 0
	max("address owners", len(e.claims.owners), maxClaims)
	for _, c := range e.foreign {
		tried += len(c.tried)
		max("contacts of an outside source", len(c.tried), maxContacts)
	}
	for _, m := range e.devices {
		tried += len(m.contacts.tried)
		max("contacts", len(m.contacts.tried), maxContacts)
		max("login attempts", len(m.tries), maxTries)
		max("beacons", len(m.beacons), maxBeacons)
		max("ARP targets", len(m.askers), maxContacts)
		max("roles", len(m.Stack), maxRoles)
		max("units", len(m.Units), maxUnits)
		for kind := range m.Grains {
			max(grainNames[kind], len(m.Grains[kind].Keys), grainCaps[kind]+1)
		}
	}
	max("contacts in all", tried, maxAll+2*scanHosts*(maxForeign+e.cfg.MaxDevices))
	if tried != e.contacts {
		t.Errorf("%d contacts are counted, %d are held", e.contacts, tried)
	}
}

// TestMemoryIsBounded feeds records of which every one brings keys that were
// never seen: what a hostile network, or a very large one, would do.
func TestMemoryIsBounded(t *testing.T) {
	const devices = 500
	for _, c := range []struct {
		name string
		n    int
		make func(s *site, rng *rand.Rand, i int) *flow.Record
	}{
		{"keys of few devices", 60_000, func(s *site, rng *rand.Rand, i int) *flow.Record {
			r := s.talk(host(byte(i)), outsider(rng.IntN(1<<29)), uint16(rng.IntN(32768)))
			r.Questions = []string{fmt.Sprintf("n%d.example%d.com", i, rng.IntN(1<<20))}
			if i%2 == 0 {
				r.Dst.Port = 53
			}
			r.Commands, r.CommandCounts = []string{fmt.Sprintf("%d/f%d", rng.IntN(1<<16), rng.IntN(1<<16))}, []int64{1}
			return r
		}},
		{"devices", 60_000, func(s *site, rng *rand.Rand, i int) *flow.Record {
			return s.talk(flowEnd(rng.IntN(1<<24)), flowEnd(rng.IntN(1<<24)), 443)
		}},
		{"scanned places", 300_000, func(s *site, rng *rand.Rand, i int) *flow.Record {
			return s.try(host(byte(i%4)), outsider(rng.IntN(1<<29)), uint16(rng.IntN(65536)), "S0")
		}},
		{"victims, by outside sources", 100_000, func(s *site, rng *rand.Rand, i int) *flow.Record {
			return s.try(outsider(rng.IntN(1<<29)), host(byte(rng.IntN(200))), uint16(rng.IntN(65536)), "S0")
		}},
		{"many places, by few outside sources", 600_000, func(s *site, rng *rand.Rand, i int) *flow.Record {
			return s.try(outsider(rng.IntN(5000)), flowEnd(rng.IntN(1<<24)), uint16(rng.IntN(65536)), "S0")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n := newSite(t), c.n
			if testing.Short() {
				n /= 10
			}
			s.Engine = New(Config{MaxDevices: devices})
			rng := rand.New(rand.NewPCG(1, 2))
			before := heap()
			start := time.Now()
			for i := range n {
				s.now += int64(300 * time.Microsecond)
				s.Flow(c.make(s, rng, i))
				if i%10000 == 0 {
					s.Tick(s.now)
				}
			}
			took := time.Since(start)
			checkBounds(t, s.Engine)
			used := int64(heap()) - int64(before)
			t.Logf("%d records in %v, %d ns each; %d devices, %d MB", n, took.Round(time.Millisecond), took.Nanoseconds()/int64(n), s.Len(), used>>20)
			if used > 128<<20 {
				t.Errorf("%d MB are held", used>>20)
			}
			runtime.KeepAlive(s)
		})
	}
	t.Run("claims, requests and inventory events", func(t *testing.T) {
		s := newSite(t)
		s.Engine = New(Config{MaxDevices: devices})
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 150_000 {
			s.now += int64(time.Millisecond)
			mac := packet.MAC{2, 1, byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(i)}
			addr := netip.AddrFrom4([4]byte{10, byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))})
			g := app.Sighting{Time: s.now, Kind: app.ARPClaim, MAC: mac, Address: addr, Device: mac.String()}
			switch i % 4 {
			case 1:
				g.Kind, g.Device = app.ARPRequest, sensor.Device
			case 2:
				g.Kind, g.By = app.Relay, mac
			case 3:
				s.Device(&device.Record{Time: s.now, ID: mac.String(), Change: device.New, MAC: mac, Addresses: []string{addr.String()}})
				continue
			}
			s.Sighting(&g)
		}
		checkBounds(t, s.Engine)
	})
}

func TestDeviceSilentLongestIsForgotten(t *testing.T) {
	s := newSite(t)
	s.Engine = New(Config{MaxDevices: 100})
	for i := range 100 {
		s.wait(time.Second)
		s.judge(s.talk(flowEnd(i), cloud, 443))
	}
	s.wait(time.Second)
	s.judge(s.talk(flowEnd(0), cloud, 443)) // the oldest speaks again
	s.judge(s.talk(flowEnd(1000), cloud, 443))
	if s.Len() > 100 || s.Evicted == 0 {
		t.Errorf("%d devices, %d evicted", s.Len(), s.Evicted)
	}
	for _, c := range []struct {
		n    int
		want bool
	}{{0, true}, {1, false}, {99, true}, {1000, true}} {
		if got := s.devices[flowEnd(c.n).Device] != nil; got != c.want {
			t.Errorf("device %d is known: %v, want %v", c.n, got, c.want)
		}
	}
}

// TestLearnedDevicesOutliveAFlood holds that forged addresses, as a tool that
// floods switches sends them, don't push out what took weeks to learn.
func TestLearnedDevicesOutliveAFlood(t *testing.T) {
	s := newSite(t)
	s.Engine = New(Config{MaxDevices: 100})
	s.work(6 * time.Hour)
	s.Learned()
	for i := range 5000 {
		s.now += int64(time.Millisecond)
		s.Flow(s.try(flowEnd(i), flowEnd(i+1), 80, "S0"))
	}
	for _, e := range []flow.End{sensor, broker, panel, controller} {
		if len(s.Items(e.Device)) == 0 {
			t.Errorf("%s was forgotten", e.Device)
		}
	}
}

// TestSameTrafficSameVerdicts holds that no map's order shows, even when room
// must be made all the time.
func TestSameTrafficSameVerdicts(t *testing.T) {
	run := func() (told string) {
		s := newSite(t)
		s.Engine = New(Config{MaxDevices: 50})
		rng := rand.New(rand.NewPCG(7, 7))
		for range 20000 {
			s.now += int64(rng.IntN(1e9))
			r := s.talk(flowEnd(rng.IntN(80)), flowEnd(rng.IntN(80)), uint16(rng.IntN(30)))
			if rng.IntN(3) == 0 {
				r = s.try(flowEnd(rng.IntN(8)), outsider(rng.IntN(300)), uint16(rng.IntN(30)), "S0")
			}
			s.Flow(r)
			for _, x := range r.Anomaly.Reasons {
				told += fmt.Sprintln(r.End, x)
			}
		}
		return told
	}
	if a, b := run(), run(); a != b {
		t.Error("two runs over the same traffic differ")
	} else if a == "" {
		t.Error("nothing was told")
	}
}
