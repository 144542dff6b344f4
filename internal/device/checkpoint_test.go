package device

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/form"
	"github.com/monban/monban/internal/packet"
)

func checkpoint(t testing.TB, v *Inventory) []byte {
	t.Helper()
	data, err := v.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := v.Checkpoint(); !bytes.Equal(again, data) {
		t.Fatal("the same state gives other bytes")
	}
	return data
}

// handOver makes a new inventory go on, and holds that it is the same to the last field.
func handOver(t testing.TB, v *Inventory, seen map[string]bool) *Inventory {
	t.Helper()
	data := checkpoint(t, v)
	next := NewInventory(v.cfg)
	if err := next.Resume(data); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(checkpoint(t, next), data) {
		t.Fatal("taken over, the state gives other bytes")
	}
	gone := func(d *device) bool { return v.byID[d.id] != d }
	for i, d := range v.waiting {
		if gone(d) {
			v.waiting[i] = &device{}
		}
	}
	for _, d := range v.byID {
		if len(d.held) == 0 {
			d.held = nil
		}
		for _, h := range d.held {
			if h.rival == nil || gone(h.rival) { // without one, since when says nothing
				h.rival, h.rivalSince, h.rivalClaimed = nil, 0, false
			}
			note(seen, *h)
		}
		note(seen, *d)
	}
	note(seen, *v)
	next.stats, next.cfg.Vendor = v.stats, nil // each counts for itself
	v.cfg.Vendor = nil
	v.events, v.fresh = nil, nil
	if len(v.waiting) == 0 {
		v.waiting = nil
	}
	if !reflect.DeepEqual(next, v) {
		for id, d := range v.byID {
			differ(t, next.byID[id], d)
			for i, h := range d.held {
				differ(t, next.byID[id].held[i], h)
			}
		}
		differ(t, next, v)
		t.FailNow()
	}
	next.cfg.Vendor = vendorOf
	return next
}

// differ tells which fields are not the same.
func differ[T any](t testing.TB, got, want *T) {
	t.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range g.NumField() {
		if a, b := fmt.Sprintf("%+v", g.Field(i)), fmt.Sprintf("%+v", w.Field(i)); a != b && g.Field(i).Kind() != reflect.Pointer {
			t.Errorf("%T.%s: got %.300s, want %.300s", got, g.Type().Field(i).Name, a, b)
		}
	}
}

func vendorOf(m packet.MAC) string { return "vendor " + m.String() }

// note collects which fields were ever of use.
func note(seen map[string]bool, x any) {
	v := reflect.ValueOf(x)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			seen[v.Type().Name()+"."+v.Type().Field(i).Name] = true
		}
	}
}

// bustle is a site in which addresses change hands, with too many devices. It calls pause after each event.
func bustle(v func() *Inventory, seed uint64, pause func()) (told []string) {
	r := rand.New(rand.NewPCG(seed, 1))
	m := func() byte { return byte(1 + r.IntN(12)) }
	addr := func() string { return fmt.Sprintf("10.0.%d.%d", r.IntN(2), 1+r.IntN(14)) }
	out := func() string { return fmt.Sprintf("203.0.%d.9", r.IntN(5)) }
	at := 0.0
	for range 1500 {
		at += r.Float64() * float64(r.IntN(20))
		switch r.IntN(500) {
		case 0:
			at += 4000
		case 1:
			at -= 5000
		}
		var e any
		switch r.IntN(16) {
		case 0:
			e = tcp(at, addr(), m(), addr(), m())
		case 1:
			e = tcp(at, addr(), m(), out(), m())
		case 2:
			e = tcp(at, out(), m(), addr(), m())
		case 3:
			e = tcp(at, out(), m(), out(), m())
		case 4:
			e = syn(at, addr(), m(), addr(), m())
		case 5:
			e = syn(at, fmt.Sprintf("10.7.%d.%d", r.IntN(3), r.IntN(250)), 3, addr(), m())
		case 6:
			e = bare(tcp(at, addr(), m(), addr(), m()))
		case 7, 8:
			e = arp(at, m(), addr())
		case 9:
			e = arp(at, m(), fmt.Sprintf("198.51.%d.%d", r.IntN(100), m()))
		case 10:
			s := sighting(at, app.Relay, m(), addr(), "")
			s.By, s.Source = mac(m()), netip.MustParseAddr(addr())
			e = s
		case 11:
			s := sighting(at, app.DHCPAsk, m(), "", fmt.Sprint("host.local.local", r.IntN(3)))
			s.Vendor = fmt.Sprint("class ", r.IntN(2))
			e = s
		case 12:
			s := sighting(at, app.DHCPGrant, m(), addr(), fmt.Sprint("grant", r.IntN(3)))
			s.Addresses = []string{addr()}
			e = s
		case 13:
			s := sighting(at, []string{app.MDNSName, app.LLMNRName, app.NBNSName}[r.IntN(3)], m(), "", fmt.Sprint("name.local.local", r.IntN(3)))
			s.Source = netip.MustParseAddr(addr())
			e = s
		default:
			s := sighting(at, app.DNSAnswer, m(), addr(), fmt.Sprintf("d%d.example.com", r.IntN(9)))
			s.Addresses = []string{out(), addr(), fmt.Sprintf("203.1.%d.%d", r.IntN(200), r.IntN(200))}
			e = s
		}
		var rs []Record
		switch e := e.(type) {
		case *app.Sighting:
			rs = v().Sighting(e)
			told = append(told, e.Device)
		case *flow.Record:
			rs = v().Flow(e)
			told = append(told, fmt.Sprint(e.Src.Device, e.Src.DeviceName, e.Src.Domain, e.Dst.Device, e.Dst.DeviceName, e.Dst.Domain))
		}
		for _, x := range rs {
			told = append(told, fmt.Sprintf("%+v", x))
		}
		pause()
	}
	for _, x := range append(v().Flush(), v().Devices()...) {
		told = append(told, fmt.Sprintf("%+v", x))
	}
	return told
}

func TestHandOverChangesNothing(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(4) {
		cfg := Config{MaxDevices: 9, Vendor: vendorOf}
		a, b := NewInventory(cfg), NewInventory(cfg)
		through := bustle(func() *Inventory { return a }, seed, func() {})
		r, times, waiting := rand.New(rand.NewPCG(seed, 2)), 0, 0
		over := bustle(func() *Inventory { return b }, seed, func() {
			if r.IntN(15) > 0 {
				return
			}
			times++
			if len(b.waiting) > 0 {
				waiting++
			}
			stats := b.stats
			b = handOver(t, b, seen)
			b.stats = stats
		})
		if times < 50 || waiting < 20 || len(through) < 1500 || b.stats.Evicted < 20 {
			t.Errorf("%d hand-overs, of them %d with something to tell; %d told; %+v", times, waiting, len(through), b.stats)
		}
		for i := range through {
			if i >= len(over) || through[i] != over[i] {
				t.Fatalf("%d of %d is other after a hand-over:\n%s\nwant\n%s", i, len(through), over[min(i, len(over)-1)], through[i])
			}
		}
		if !bytes.Equal(checkpoint(t, a), checkpoint(t, b)) {
			t.Error("in the end the state is other")
		}
	}
	for _, x := range []reflect.Type{reflect.TypeFor[device](), reflect.TypeFor[holding](), reflect.TypeFor[Inventory]()} {
		for i := range x.NumField() {
			if name := x.Name() + "." + x.Field(i).Name; !seen[name] && name != "Inventory.cause" {
				t.Errorf("%s was never of use, so it was not tried whether it is handed over", name)
			}
		}
	}
}

// Both generations of names are handed over.
func TestHandOverOfManyNames(t *testing.T) {
	v := NewInventory(Config{})
	for i := range maxDomains + 100 {
		v.domains.put(netip.AddrFrom4([4]byte{8, byte(i >> 16), byte(i >> 8), byte(i)}), fmt.Sprintf("d%d.example.com", i))
	}
	if len(v.domains.old) != maxDomains || len(v.domains.young) != 100 {
		t.Fatalf("%d old names, %d young", len(v.domains.old), len(v.domains.young))
	}
	handOver(t, v, map[string]bool{})
}

func TestResumeOfBadStateChangesNothing(t *testing.T) {
	donor := NewInventory(Config{Site: "north"})
	play(donor, arp(0, 1, "10.0.0.1"), arp(1, 2, "10.0.0.1"), arp(2, 2, "10.0.0.2"), sighting(3, app.DHCPAsk, 1, "", "plc"))
	good := checkpoint(t, donor)
	spoilt := func(spoil func(s *snapshot)) []byte {
		var s snapshot
		s.walk(form.Reader(good))
		spoil(&s)
		w := form.Writer(0)
		s.walk(w)
		return w.Bytes()
	}
	w := form.Writer(0)
	w.Head("inventory", formVersion+1, nil)
	snapshotted, _ := donor.Snapshot()
	for name, c := range map[string]struct {
		data  []byte
		other bool
	}{
		"nothing": {nil, false}, "a snapshot": {snapshotted, false}, "cut": {good[:len(good)-1], false}, "longer": {append(bytes.Clone(good), 0), false},
		"another version":      {w.Bytes(), true},
		"another site":         {spoilt(func(s *snapshot) { s.Site = "south" }), true},
		"a device without id":  {spoilt(func(s *snapshot) { s.Devices[0].ID = "" }), false},
		"twice the same":       {spoilt(func(s *snapshot) { s.Devices[0].ID = s.Devices[1].ID }), false},
		"no MAC":               {spoilt(func(s *snapshot) { s.Devices[0].MAC = "zz" }), false},
		"an unfit name":        {spoilt(func(s *snapshot) { s.Devices[0].Names = map[string]string{"dhcp": "a\x1b[0m"} }), false},
		"a name too long":      {spoilt(func(s *snapshot) { s.Devices[0].Names = map[string]string{"dhcp": strings.Repeat("a", 65)} }), false},
		"one waits who is not": {spoilt(func(s *snapshot) { s.live.waiting = []int{9} }), false},
		"a rival who is not":   {spoilt(func(s *snapshot) { s.Devices[1].Held[0].live.rival = 9 }), false},
		"an address of two": {spoilt(func(s *snapshot) {
			s.Devices[0].Held = append(s.Devices[0].Held, s.Devices[1].Held...)
			s.Devices[0].Held[0].Current = true
		}), false},
		"more wait than may":      {spoilt(func(s *snapshot) { s.live.waiting = make([]int, 50) }), false},
		"more devices than fit":   {spoilt(func(s *snapshot) { s.Devices = append(s.Devices, make([]deviceState, 9)...) }), false},
		"a prefix that is none":   {spoilt(func(s *snapshot) { s.Learned = []netip.Prefix{{}} }), false},
		"more addresses than fit": {spoilt(func(s *snapshot) { s.Devices[0].Held = make([]holdingState, maxHeld+1) }), false},
	} {
		v := NewInventory(Config{Site: "north", MaxDevices: 10})
		play(v, arp(0, 7, "10.0.0.7"))
		before := checkpoint(t, v)
		var other *StateError
		if err := v.Resume(c.data); err == nil || errors.As(err, &other) != c.other {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(checkpoint(t, v), before) {
			t.Errorf("%s: half used", name)
		}
	}
}

func FuzzResume(f *testing.F) {
	v := NewInventory(Config{MaxDevices: 3})
	f.Add(checkpoint(f, v))
	play(v, arp(0, 1, "10.0.0.1"), arp(0, 254, "10.0.0.254"), tcp(1, "10.1.0.1", 254, "10.0.0.1", 1), arp(2, 2, "10.0.0.1"), syn(3, "10.9.0.1", 254, "10.0.0.1", 1))
	f.Add(checkpoint(f, v))
	f.Fuzz(func(t *testing.T, b []byte) {
		v := NewInventory(Config{MaxDevices: 3})
		if v.Resume(b) == nil {
			check(t, v)
			if err := NewInventory(Config{MaxDevices: 3}).Resume(checkpoint(t, v)); err != nil {
				t.Fatal(err)
			}
		}
		play(v, arp(0, 1, "10.0.0.1"), tcp(1, "10.0.0.1", 1, "10.0.0.2", 2), syn(5, "10.9.0.1", 2, "10.0.0.1", 1), arp(90, 2, "10.0.0.1"))
		v.Flush()
		check(t, v)
	})
}

// BenchmarkCheckpoint hands over a thousand devices with three addresses each.
func BenchmarkCheckpoint(b *testing.B) {
	v := NewInventory(Config{})
	for i := range 1000 {
		m := packet.MAC{0, 1, 2, 3, byte(i >> 8), byte(i)}
		for j := range 3 {
			v.Sighting(&app.Sighting{Time: start, Kind: app.ARPClaim, MAC: m, Address: netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)})})
		}
		v.Sighting(&app.Sighting{Time: start, Kind: app.DHCPAsk, MAC: m, Name: fmt.Sprint("device-", i)})
	}
	data := checkpoint(b, v)
	b.Run("checkpoint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Checkpoint(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data))/1000, "B/device")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/device")
	})
	b.Run("resume", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := v.Resume(data); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/device")
	})
}
