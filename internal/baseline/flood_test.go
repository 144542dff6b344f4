package baseline

import (
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

// burst sends n empty connections spread over a second, and returns the reasons
// of kind flood.
func burst(s *site, n int, from func(i int) flow.End, port uint16) (found []event.Reason) {
	for i := range n {
		s.now += int64(time.Second) / int64(n)
		r := s.try(from(i), broker, port, "S0")
		r.Dst.Packets, r.Dst.Bytes = 1, 44 // SYN-ACK, so that it counts as a device that answers
		s.Flow(r)
		for _, x := range r.Anomaly.Reasons {
			if x.Kind == SynFlood {
				found = append(found, x)
			}
		}
	}
	return found
}

func always(e flow.End) func(int) flow.End { return func(int) flow.End { return e } }

func TestFloodOfEmptyConnections(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  func(int) flow.End
		rates []int // connections in each second
		actor string
	}{
		{"at once", always(sensor), []int{2000}, sensor.Device},
		{"steady", always(sensor), []int{400, 400, 400, 400, 400}, sensor.Device},
		{"a ramp that doubles", always(sensor), []int{10, 10, 20, 20, 40, 40, 80, 80, 160, 160, 320, 320, 640, 640, 1280, 1280, 2560}, sensor.Device},
		{"a slow ramp", always(sensor), ramp(40, 10, 1200), sensor.Device},
		{"from outside", always(outside("203.0.113.9")), []int{2000}, "203.0.113.9"},
		{"forged sources: the target is named", outsider, []int{2000}, broker.Device},
		{"little", always(sensor), []int{20, 20, 20, 20, 20, 20, 20, 20, 20, 20}, ""},
		{"a busy hour of short checks", always(sensor), ramp(90, 0, 90), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.work(3 * time.Minute)
			var found []event.Reason
			for _, n := range c.rates {
				found = append(found, burst(s, n, c.from, 1883)...)
			}
			switch {
			case c.actor == "" && len(found) > 0:
				t.Errorf("%d times: %s", len(found), found[0].Seen)
			case c.actor != "" && len(found) == 0:
				t.Error("not found")
			case c.actor != "" && found[len(found)-1].Device != c.actor:
				t.Errorf("the actor is %s, want %s", found[len(found)-1].Device, c.actor)
			}
		})
	}
}

// ramp counts up from a to b by step, or for a minute where step is 0.
func ramp(a, step, b int) (rates []int) {
	if step == 0 {
		for range 60 {
			rates = append(rates, a)
		}
		return rates
	}
	for n := a; n <= b; n += step {
		rates = append(rates, n)
	}
	return rates
}

func TestUsualRateOfEmptyConnectionsIsLearned(t *testing.T) {
	s := newSite(t)
	for range 60 { // a health check that opens and closes, 80 a second
		if found := burst(s, 80, always(sensor), 1883); len(found) > 0 {
			t.Fatalf("the health check is a flood: %s", found[0].Seen)
		}
	}
	for range 4 {
		if found := burst(s, 200, always(sensor), 1883); len(found) > 0 {
			t.Errorf("two and a half times as many is a flood: %s", found[0].Seen)
		}
	}
	found := 0
	for range 5 {
		found += len(burst(s, 2000, always(sensor), 1883))
	}
	if found == 0 {
		t.Error("twenty times as many is none")
	}
}

func TestFloodOfPackets(t *testing.T) {
	stream := func(s *site, rate, back uint64) *flow.Record {
		s.wait(10 * time.Second)
		r := s.datagram(sensor, broker, packet.ProtoUDP, 5004)
		r.Start, r.Since = s.now-10e9, s.now-10e9
		r.Src.Packets, r.Src.Bytes, r.Dst.Packets, r.Dst.Bytes = rate*10, rate*10*200, back*10, back*10*60
		return r
	}
	for _, c := range []struct {
		name        string
		usual, rate uint64
		back        uint64
		want        bool
	}{
		{"a camera's stream as ever", 900, 1100, 0, false},
		{"a camera's stream, three times as dense", 900, 2700, 0, false},
		{"a hundred times the usual", 250, 25000, 0, true},
		{"a download is acknowledged", 250, 25000, 12000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			for range 40 {
				want(t, s.judge(stream(s, c.usual, 0)))
			}
			got := s.judge(stream(s, c.rate, c.back))
			if (len(got) > 0 && got[0] == SynFlood) != c.want {
				t.Errorf("evidence is %v", got)
			}
		})
	}
	t.Run("a device whose rate nobody knows", func(t *testing.T) {
		s := newSite(t)
		want(t, s.judge(stream(s, 5000, 0)))
		want(t, s.judge(stream(s, 50000, 0)), SynFlood)
	})
}
