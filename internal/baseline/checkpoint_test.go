package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/form"
	"github.com/monban/monban/internal/form/formtest"
	"github.com/monban/monban/internal/packet"
)

// checkpoint gives the state, and holds that the same state gives the same bytes.
func (s *site) checkpoint() []byte {
	s.t.Helper()
	data, err := s.Checkpoint()
	if err != nil {
		s.t.Fatal(err)
	}
	if again, _ := s.Checkpoint(); !bytes.Equal(again, data) {
		s.t.Fatal("the same state gives other bytes")
	}
	return data
}

// handOver lets a new engine go on.
func (s *site) handOver() {
	s.t.Helper()
	data := s.checkpoint()
	s.Engine = New(s.cfg)
	if err := s.Resume(data); err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Equal(s.checkpoint(), data) {
		s.t.Fatal("taken over, the state gives other bytes")
	}
}

// Every field of the state is there after a hand-over, whatever becomes of it.
func TestCheckpointIsWhole(t *testing.T) {
	for seed := range uint64(5) {
		e := New(NewDefaultConfig())
		formtest.Fill(e, seed, "Engine.cfg", "Engine.order", "Engine.phrases", "Engine.to", "Engine.contacts", "Engine.Evicted")
		e.watched = 1000
		devices := map[string]*model{}
		sum := func(c *contacts) {
			c.byPort, c.byHost = map[uint16]int{}, map[netip.Addr]int{}
			for k := range c.tried {
				c.count(k)
			}
			e.contacts += len(c.tried)
		}
		for _, m := range e.devices {
			devices[m.ID] = m
			sum(&m.contacts)
		}
		for _, c := range e.foreign {
			sum(c)
		}
		e.devices = devices
		data, err := e.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		next := New(e.cfg)
		if err := next.Resume(data); err != nil {
			t.Fatal(err)
		}
		e.order = nil
		if !reflect.DeepEqual(next, e) {
			t.Errorf("got %+v\nwant %+v", next, e)
			for id, m := range e.devices {
				t.Errorf("got %+v\nwant %+v", next.devices[id], m)
			}
		}
	}
}

// siege is usual work with all that leaves short-lived evidence in between. It calls pause after each event.
func siege(s *site, seed uint64, pause func()) (told []string) {
	r := rand.New(rand.NewPCG(seed, 2))
	tell := func(v any) {
		told = append(told, fmt.Sprintf("%d %+v", s.now, v))
		pause()
	}
	judge := func(x *flow.Record) {
		s.Flow(x)
		tell(x.Anomaly)
	}
	sight := func(x app.Sighting) {
		x.Time = s.now
		s.Sighting(&x)
		tell(x.Anomaly)
	}
	usual := func() {
		s.wait(time.Duration(r.IntN(20)+10) * time.Second)
		judge(s.talk(sensor, broker, 1883))
		judge(s.command(panel, controller, "1/read_holding_registers", "1/read_coils"))
		judge(s.talk(sensor, cloud, 8883))
		for i := range r.IntN(3) {
			judge(s.talk(host(byte(100+i)), outside(fmt.Sprintf("203.0.113.%d", i)), 443))
		}
		q := s.talk(sensor, broker, 53)
		q.Proto, q.Questions = packet.ProtoUDP, []string{fmt.Sprintf("a.example%d.com", r.IntN(4))}
		judge(q)
	}
	acts := []func(){
		func() { // a scan from inside
			port := uint16(r.IntN(2000) + 1)
			for i := range r.IntN(30) {
				s.wait(50 * time.Millisecond)
				judge(s.try(sensor, host(byte(150+i)), port, "S0"))
			}
		},
		func() { // and from outside
			for i := range r.IntN(30) {
				s.wait(50 * time.Millisecond)
				judge(s.try(outside("192.0.2.7"), broker, uint16(1000+i), "REJ"))
				judge(s.datagram(outside("192.0.2.8"), host(byte(i)), packet.ProtoICMP, 0))
			}
		},
		func() { // many sources at one service
			for i := range 300 + r.IntN(500) {
				s.wait(4 * time.Millisecond)
				judge(s.try(outsider(i*r.IntN(2)), broker, 80, "S0"))
			}
		},
		func() { // an address with two owners
			for range r.IntN(8) {
				s.wait(time.Duration(r.IntN(40)) * time.Second)
				sight(app.Sighting{Kind: app.ARPClaim, MAC: host(byte(20 + 50*r.IntN(2))).MAC, Source: sensor.Addr, Address: sensor.Addr})
				x := s.talk(panel, sensor, 80)
				x.Dst.MAC = host(byte(10 + 10*r.IntN(2))).MAC
				judge(x)
			}
		},
		func() { // an ARP sweep
			for i := range r.IntN(30) {
				s.wait(time.Duration(r.IntN(1500)) * time.Millisecond)
				sight(app.Sighting{Kind: app.ARPRequest, MAC: panel.MAC, Source: panel.Addr, Address: host(byte(180 + i)).Addr, Device: panel.Device})
			}
		},
		func() { // passwords
			for range r.IntN(25) {
				s.wait(time.Duration(r.IntN(10)) * time.Second)
				judge(s.talk(outside("192.0.2.9"), broker, 22))
				judge(s.talk(sensor, panel, 23))
			}
		},
		func() { // clockwork contact, and many short ones at a time
			for range r.IntN(12) {
				s.wait(30 * time.Second)
				judge(s.talk(sensor, outside("192.0.2.20"), 8443))
			}
			for i := range r.IntN(50) {
				judge(s.talk(sensor, outsider(i), 4444))
			}
		},
		func() { // units of a controller
			for i := range r.IntN(12) {
				s.wait(time.Second)
				judge(s.command(panel, controller, fmt.Sprintf("%d/read_coils", r.IntN(200)), fmt.Sprintf("1/function_%d", i)))
			}
		},
		func() {
			for range r.IntN(5) {
				s.wait(10 * time.Second)
				judge(s.upload(outside("192.0.2.30"), 4e6))
			}
		},
		func() { told = append(told, fmt.Sprint(s.appear(host(byte(60+r.IntN(30)))))); pause() },
		func() { s.wait(time.Duration(r.IntN(3*3600)) * time.Second) },
		func() { s.now -= int64(2 * time.Hour); usual() },
		func() { s.wait(3 * time.Hour) },
		func() {
			for _, i := range s.Items(sensor.Device) {
				if r.IntN(20) == 0 {
					_ = s.Approve(sensor.Device, i.Key)
				} else if r.IntN(50) == 0 {
					_ = s.Remove(sensor.Device, i.Key)
				}
			}
		},
		func() { _ = s.Remove(host(101).Device, "all") },
		func() {
			f := flow.Flood{Start: s.now - 1e9, End: s.now, Destination: broker.Addr, Proto: packet.ProtoTCP, Port: 80, Rate: 100, Total: 1000, Sources: 5}
			s.Flood(&f)
			tell(f.Anomaly)
		},
	}
	s.route(router)
	for range 40 {
		for range 10 {
			usual()
		}
		acts[r.IntN(len(acts))]()
		for _, o := range s.Tick(s.now) {
			tell(o)
		}
		tell(s.Learned())
	}
	tell(s.Statuses())
	return told
}

func TestHandOverChangesNothing(t *testing.T) {
	for seed := range uint64(6) {
		a, b := newSite(t), newSite(t)
		through := siege(a, seed, func() {})
		r, times := rand.New(rand.NewPCG(seed, 3)), 0
		over := siege(b, seed, func() {
			if r.IntN(20) == 0 {
				b.handOver()
				times++
			}
		})
		if times < 20 || len(over) != len(through) {
			t.Fatalf("%d hand-overs; %d events, want %d", times, len(over), len(through))
		}
		found := 0
		for i := range through {
			if through[i] != over[i] {
				t.Fatalf("event %d of %d is other after a hand-over:\n%s\nwant\n%s", i, len(through), over[i], through[i])
			}
			if len(through[i]) > 80 {
				found++
			}
		}
		if found < 20 {
			t.Errorf("the siege has little to tell: %d of %d", found, len(through))
		}
		if !bytes.Equal(a.checkpoint(), b.checkpoint()) {
			t.Error("in the end the state is other")
		}
	}
}

// What makes room for others depends on the state alone, ties too: all this happens at one moment.
func TestHandOverOfFullEngine(t *testing.T) {
	fill := func(pause func(s *site)) []byte {
		s := newSite(t)
		s.Engine = New(Config{MaxDevices: 64})
		s.work(10 * time.Minute)
		for i := range 18000 {
			s.claim(flowEnd(i).MAC, flowEnd(i).Addr)
			if i < 6000 {
				s.Flow(s.try(outsider(i), broker, uint16(i), "S0"))
				s.Flow(s.talk(flowEnd(i%90), outsider(i%40), 443))
			}
			if i%1999 == 0 {
				pause(s)
			}
		}
		if o, v, f := len(s.claims.owners), len(s.victims), len(s.foreign); o > maxClaims || v > maxVictims || f > maxForeign || s.Len() > 64 || o < maxClaims*3/4 || v < maxVictims/2 || f < maxForeign/2 {
			t.Errorf("%d owners, %d victims, %d outside, %d devices: too many, or never full", o, v, f, s.Len())
		}
		return s.checkpoint()
	}
	if !bytes.Equal(fill(func(*site) {}), fill((*site).handOver)) {
		t.Error("in the end the state is other")
	}
}

// What is not saved because it follows from the record alone, must.
func TestPhrasesArePure(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	e := New(NewDefaultConfig())
	data := make([]byte, 120)
	for range 20000 {
		for i := range data {
			data[i] = byte(r.IntN(6)) // few values, so that many are alike but for one field
		}
		x := (&source{data}).record()
		x.Net = []uint16{packet.NetIPv4, packet.NetIPv6}[r.IntN(2)]
		x.Src.Port, x.Dst.Port = []uint16{0, 80, 40000}[r.IntN(3)], []uint16{0, 80, 502, 40000, 40001}[r.IntN(5)]
		for _, end := range []*flow.End{&x.Src, &x.Dst} {
			got, want := e.phrase(x, end), New(e.cfg).phrase(x, end)
			if *got != *want {
				t.Fatalf("%+v, made anew %+v", got, want)
			}
		}
	}
	if len(e.phrases) < 50 || len(e.phrases) > 15000 {
		t.Errorf("%d phrases of 40000 show little", len(e.phrases))
	}
}

func TestResumeOfBadStateChangesNothing(t *testing.T) {
	donor := newSite(t)
	siege(donor, 1, func() {})
	good := donor.checkpoint()
	w := form.Writer(0)
	w.Head("baseline", formVersion+1, nil)
	spoilt := func(spoil func(e *Engine)) []byte {
		e := New(NewDefaultConfig())
		if err := e.Resume(good); err != nil {
			t.Fatal(err)
		}
		spoil(e)
		data, _ := e.Checkpoint()
		return data
	}
	snapshot, _ := donor.Snapshot()
	for _, c := range []struct {
		name string
		data []byte
		is   error
	}{
		{"nothing", nil, form.ErrDamaged},
		{"a snapshot", snapshot, form.ErrDamaged},
		{"a byte too short", good[:len(good)-1], form.ErrDamaged},
		{"a byte too long", append(bytes.Clone(good), 0), form.ErrDamaged},
		{"another version", w.Bytes(), ErrVersion},
		{"a device without id", spoilt(func(e *Engine) { e.devices[sensor.Device].ID = "" }), form.ErrDamaged},
		{"a device from the future", spoilt(func(e *Engine) { e.devices[sensor.Device].Since = 1e18 }), form.ErrDamaged},
		{"twice the same device", spoilt(func(e *Engine) { e.devices[sensor.Device].ID = panel.Device }), form.ErrDamaged},
		{"a flood before 1970", spoilt(func(e *Engine) { e.victims[target{}] = &victim{second: -3} }), form.ErrDamaged},
		{"more devices than allowed", good, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.Engine = New(Config{MaxDevices: 100})
			if c.is == nil {
				s.Engine = New(Config{MaxDevices: 3})
			}
			s.judge(s.talk(sensor, broker, 1883))
			before := s.checkpoint()
			if err := s.Resume(c.data); err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error is %v, want %v", err, c.is)
			}
			if !bytes.Equal(s.checkpoint(), before) {
				t.Error("the engine has changed")
			}
		})
	}
}

// FuzzResume holds that no bytes whatever make the engine panic, at once or when it works with them.
func FuzzResume(f *testing.F) {
	s := newSite(f)
	f.Add(s.checkpoint())
	s.work(3 * time.Minute)
	for i := range 12 {
		s.judge(s.try(sensor, host(byte(100+i)), 23, "S0"))
		s.claim(host(byte(20+50*(i%2))).MAC, sensor.Addr)
	}
	f.Add(s.checkpoint())
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSite(t)
		if s.Resume(data) != nil {
			if s.Len() != 0 {
				t.Error("half of a bad state was taken")
			}
			return
		}
		s.handOver()
		for range 3 {
			s.wait(20 * time.Second)
			s.Flow(s.talk(sensor, broker, 1883))
			s.Flow(s.talk(sensor, cloud, 22))
			s.Flow(s.command(panel, controller, "1/write_single_coil"))
			s.Flow(s.upload(cloud, 5e6))
			s.Flow(s.try(sensor, broker, 23, "S0"))
			s.Flow(s.try(outside("192.0.2.7"), broker, 23, "S0"))
			s.Sighting(&app.Sighting{Time: s.now, Kind: app.ARPClaim, MAC: panel.MAC, Address: sensor.Addr})
			s.Sighting(&app.Sighting{Time: s.now, Kind: app.ARPRequest, Device: panel.Device, MAC: panel.MAC, Address: host(200).Addr})
		}
		s.Tick(s.now)
		s.Learned()
		s.Statuses()
		s.Items(sensor.Device)
	})
}

// taught has devices with forty peers each.
func taught(b *testing.B, devices int) *site {
	s := newSite(b)
	for i := range devices {
		for j := range 40 {
			s.now += int64(10 * time.Millisecond)
			s.Flow(s.talk(flowEnd(i), outsider(j), 443))
		}
	}
	return s
}

// BenchmarkCheckpoint is what a gateway does every few seconds for each site with traffic.
func BenchmarkCheckpoint(b *testing.B) {
	for _, devices := range []int{100, 1000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			s := taught(b, devices)
			size := 0
			b.ReportAllocs()
			for b.Loop() {
				data, err := s.Checkpoint()
				if err != nil {
					b.Fatal(err)
				}
				size = len(data)
			}
			b.ReportMetric(float64(size)/float64(devices), "B/device")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*devices), "ns/device")
		})
	}
}

func BenchmarkResume(b *testing.B) {
	for _, devices := range []int{100, 1000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			data := taught(b, devices).checkpoint()
			e := New(NewDefaultConfig())
			b.ReportAllocs()
			for b.Loop() {
				if err := e.Resume(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*devices), "ns/device")
		})
	}
}
