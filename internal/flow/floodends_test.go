package flow

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// Answers that nobody asked for flood who gets them: the ports, or a SYN-ACK, only say who would
// have asked.
func TestFloodOfAnswers(t *testing.T) {
	for name, answer := range map[string]func(h *packet.Header){
		"DNS":     func(h *packet.Header) { h.Proto = packet.ProtoUDP },
		"SYN-ACK": func(h *packet.Header) { h.TCPFlags = packet.SYN | packet.ACK },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlooded(t, nil)
			for i := range uint32(20000) {
				h := tcp(time.Duration(i)*100*time.Microsecond, fmt.Sprint(address(0x0b000000+i), ":53"), fmt.Sprint("10.0.0.7:", 1024+i*7%60000), 0, 1, 400)
				answer(h)
				f.add(h)
			}
			f.Flush()
			f.exact()
			if len(f.said) != 2 || len(f.records) > 1001 {
				t.Fatalf("%d records, floods %+v", len(f.records), f.said)
			}
			if r := f.said[1]; r.Destination.String() != "10.0.0.7" || r.Source.IsValid() || r.ReversePackets != 0 || r.Packets != 19000 ||
				r.Sources < 18000 || r.Sources > 20000 || r.Prefixes[0] != "11.0.0.0/16" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A flood of all hosts of a network leaves none of them with more than the rate.
func TestFloodOfNetwork(t *testing.T) {
	f := newFlooded(t, nil)
	rnd := rand.New(rand.NewPCG(6, 7))
	for i := range 200000 { // 100,000 a second
		at := time.Duration(i) * 10 * time.Microsecond
		h := tcp(at, fmt.Sprint(address(rnd.Uint32()&0x3fffffff|1<<30), ":", 1024+rnd.IntN(60000)), fmt.Sprintf("10.0.0.%d:80", 1+i%120), packet.SYN, 1, 0)
		if i%1000 == 0 { // and one who talks
			a := fmt.Sprintf("10.9.%d.1:2000", i/1000)
			f.add(tcp(at, a, "10.0.0.5:502", packet.ACK, 1, 10))
			f.add(tcp(at+1, "10.0.0.5:502", a, packet.ACK, 1, 10))
		}
		f.add(h)
	}
	f.Flush()
	f.exact()
	if len(f.said) != 2 || len(f.records) > 4300 {
		t.Fatalf("%d records, floods %+v", len(f.records), f.said)
	}
	if r := f.said[1]; r.Network != "10.0.0.0/24" || r.Source.IsValid() || r.Destination.IsValid() || r.Destinations < 114 || r.Destinations > 126 || r.Sources < 150000 || r.Port != 80 || r.Transport() != "tcp" || r.Rate != 4000 {
		t.Errorf("%+v", r)
	}
	talked := 0
	for _, r := range f.records {
		if r.Dst.Packets > 0 {
			talked++
		}
	}
	if talked != 200 {
		t.Errorf("%d of 200 conversations are on record", talked)
	}
}

// Floods of several hosts of a network are told by host.
func TestFloodOfHostsIsNoneOfTheirNetwork(t *testing.T) {
	f := newFlooded(t, nil)
	for i := range 60000 {
		f.add(tcp(time.Duration(i)*20*time.Microsecond, fmt.Sprint(address(0x0b000000+uint32(i)), ":1024"), fmt.Sprintf("10.0.0.%d:80", i%4), packet.SYN, 1, 0))
	}
	f.Flush()
	f.exact()
	for _, r := range f.said {
		if !r.Destination.IsValid() {
			t.Errorf("%+v", r)
		}
	}
	if len(f.said) != 8 {
		t.Errorf("%v", f.states())
	}
}

// Multicast is one-way by nature: many groups of a network are no flood of it.
func TestNoFloodOfGroups(t *testing.T) {
	f := newFlooded(t, nil)
	for i := range 20000 {
		h := tcp(time.Duration(i)*50*time.Microsecond, fmt.Sprintf("10.0.%d.%d:5004", i/250, i%250), fmt.Sprintf("239.1.1.%d:5004", i%250), 0, 1, 400)
		h.Proto, h.DstMAC, h.HasMAC = packet.ProtoUDP, packet.MAC{1, 0, 0x5e, 1, 1, byte(i)}, true
		f.add(h)
	}
	f.Flush()
	f.exact()
	if len(f.said) != 0 {
		t.Errorf("%+v", f.said)
	}
}

// The same address in two networks is two hosts.
func TestFloodsOfZones(t *testing.T) {
	for _, c := range []struct{ perSecond, floods int }{{800, 0}, {3000, 2}} {
		f := newFlooded(t, nil)
		for i := range 2 * c.perSecond {
			for vni := range uint32(2) {
				h := tcp(time.Duration(i)*time.Second/time.Duration(c.perSecond), fmt.Sprint(address(0x0b000000+uint32(i)), ":1024"), server, packet.SYN, 1, 0)
				h.Tunnel = packet.Tunnel{Kind: packet.VXLAN, ID: 7 + vni, Zone: packet.Zone(0, uint32(packet.VXLAN), 7+vni), Depth: 1}
				f.add(h)
			}
		}
		f.Flush()
		f.exact()
		ended := map[uint32]uint64{}
		for _, r := range f.said {
			if r.TunnelType != "vxlan" {
				t.Errorf("%+v", r)
			}
			if r.State == FloodEnded {
				ended[r.TunnelID] = r.Total
			}
		}
		if len(ended) != c.floods || c.floods > 0 && (ended[7] != ended[8] || ended[7] < 4900) {
			t.Errorf("%d a second: %v", c.perSecond, ended)
		}
	}
}

// A flood ends though its host is busy: what talks does not keep it open.
func TestFloodEndsBesideBusyService(t *testing.T) {
	f := newFlooded(t, nil)
	for ms := range 20000 {
		at := time.Duration(ms) * time.Millisecond
		for i := range 3 { // 3,000 a second who are answered
			a := fmt.Sprintf("10.9.%d.%d:%d", ms/250%250, ms%250, 2000+i+ms/50000)
			f.add(tcp(at, a, server, packet.ACK, 1, 10))
			f.add(tcp(at+1, server, a, packet.ACK, 1, 10))
		}
		if ms >= 5000 && ms < 8000 {
			for i := range 20 {
				f.add(tcp(at+2, fmt.Sprint(address(0x0b000000+uint32(ms*20+i)), ":1024"), server, packet.SYN, 1, 0))
			}
		}
	}
	if n := f.floods.open; n != 0 {
		t.Errorf("%d floods are open", n)
	}
	f.Flush()
	f.exact()
	if len(f.said) != 2 {
		t.Errorf("%v", f.states())
	}
}
