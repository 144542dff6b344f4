package baseline

import (
	"math"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
)

func TestBand(t *testing.T) {
	var b band
	if nats, _ := b.surprise(1e9, 1e9); nats != 0 {
		t.Errorf("what is not above the floor is worth %g nats", nats)
	}
	for range 1000 {
		b.push(10)
	}
	one, _ := b.surprise(20, 0)
	ten, ratio := b.surprise(200, 0)
	if one <= 0 || math.Abs(ten-one-math.Log(10)) > 1e-9 || ratio != 20 {
		t.Errorf("twice as much is %g nats, twenty times %g at ratio %g", one, ten, ratio)
	}
}

// upload is n bytes to an outside end, in one flow of a few seconds.
func (s *site) upload(to flow.End, n uint64) *flow.Record {
	s.wait(2 * time.Second)
	r := s.talk(sensor, to, 443)
	r.Src.Bytes, r.Src.Packets = n, n/1400+1
	return r
}

func has(all []string, kind string) bool {
	for _, k := range all {
		if k == kind {
			return true
		}
	}
	return false
}

func TestVolume(t *testing.T) {
	for _, c := range []struct {
		name string
		to   flow.End
		n    uint64
		want bool
	}{
		{"20 MB to a new address", outside("203.0.113.80"), 20e6, true},
		{"400 kB to a new address", outside("203.0.113.80"), 400e3, false},
		{"20 MB to a host inside", host(90), 20e6, false},
		{"three times the usual to the usual cloud", cloud, 1500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.work(2 * 24 * time.Hour)
			s.wait(time.Minute)
			if got := s.judge(s.upload(c.to, c.n)); has(got, Volume) != c.want {
				t.Errorf("evidence is %v", got)
			}
		})
	}
	t.Run("20 MB in fifty flows of a minute", func(t *testing.T) {
		s := newSite(t)
		s.work(2 * 24 * time.Hour)
		s.now = s.now/60e9*60e9 + 60e9
		found := false
		for range 25 {
			found = has(s.judge(s.upload(outside("203.0.113.80"), 800e3)), Volume) || found
		}
		if !found {
			t.Error("not found")
		}
	})
	t.Run("a camera that uploads clips", func(t *testing.T) {
		s := newSite(t)
		for range 300 {
			s.wait(20 * time.Minute)
			if got := s.judge(s.upload(cloud, 5e6)); has(got, Volume) {
				t.Fatalf("evidence is %v", got)
			}
		}
	})
	t.Run("a reported minute teaches nothing", func(t *testing.T) {
		s := newSite(t)
		s.work(2 * 24 * time.Hour)
		for day := range 3 {
			s.wait(time.Hour)
			if got := s.judge(s.upload(outside("203.0.113.80"), 20e6)); !has(got, Volume) {
				t.Errorf("upload %d is no longer unusual: %v", day+1, got)
			}
		}
	})
}

func TestBeacon(t *testing.T) {
	other := outside("203.0.113.66")
	contact := func(s *site, to flow.End, gap time.Duration) []string {
		s.wait(gap)
		return s.judge(s.talk(sensor, to, 443))
	}
	// other work meanwhile, at no rhythm
	for _, c := range []struct {
		name string
		gap  func(i int) time.Duration
		want bool
	}{
		{"every minute", func(int) time.Duration { return time.Minute }, true},
		{"with a little jitter", func(i int) time.Duration { return time.Minute + time.Duration(i*7%5-2)*3*time.Second }, true},
		{"at no rhythm", func(i int) time.Duration { return time.Duration(i*i*37%300+5) * time.Second }, false},
		{"all at once, as a page does", func(int) time.Duration { return 200 * time.Millisecond }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.work(10 * 24 * time.Hour)
			found := 0
			for i := range 30 {
				for _, k := range contact(s, other, c.gap(i)) {
					if k == Beacon {
						found++
					}
				}
			}
			if (found > 0) != c.want {
				t.Errorf("found %d times", found)
			}
		})
	}
	t.Run("a known cadence at a new address is a move", func(t *testing.T) {
		s := newSite(t)
		for range 24 * 60 {
			contact(s, cloud, time.Minute)
		}
		for i := range 60 {
			if got := contact(s, other, time.Minute); has(got, Beacon) {
				t.Fatalf("contact %d: %v", i, got)
			}
		}
	})
	t.Run("inside one long flow", func(t *testing.T) {
		s := newSite(t)
		s.work(10 * 24 * time.Hour)
		s.wait(10 * time.Minute)
		r := s.talk(sensor, other, 443)
		r.Messages, r.Interval, r.IntervalCV, r.Part = 20, 30, 0.02, 3
		if got := s.judge(r); !has(got, Beacon) {
			t.Errorf("evidence is %v", got)
		}
	})
	t.Run("to a host inside", func(t *testing.T) {
		s := newSite(t)
		s.work(10 * 24 * time.Hour)
		for range 30 {
			if got := contact(s, host(91), time.Minute); has(got, Beacon) {
				t.Fatal(got)
			}
		}
	})
}

// listen lets others speak for a while and gives what Tick found.
func (s *site) listen(d time.Duration, speak func()) (found []Observation) {
	for end := s.now + int64(d); s.now < end; {
		s.wait(20 * time.Second)
		speak()
		for _, o := range s.Tick(s.now) {
			s.sound(&o.Anomaly)
			found = append(found, o)
		}
	}
	return found
}

func TestSilentDevice(t *testing.T) {
	both := func(s *site) func() {
		return func() {
			s.judge(s.talk(sensor, broker, 1883))
			s.judge(s.command(panel, controller, "1/read_coils"))
		}
	}
	only := func(s *site) func() { return func() { s.judge(s.command(panel, controller, "1/read_coils")) } }
	t.Run("a steady device", func(t *testing.T) {
		s := newSite(t)
		if found := s.listen(3*time.Hour, both(s)); len(found) > 0 {
			t.Fatalf("all speak, and %+v", found)
		}
		found := s.listen(time.Hour, only(s))
		who := map[string]int{}
		for _, o := range found {
			who[o.Device]++
		}
		if len(found) != 2 || who[sensor.Device] != 1 || who[broker.Device] != 1 {
			t.Errorf("sensor and broker are silent, told is %v", who)
		}
		s.listen(time.Minute, both(s))
		if again := s.listen(2*time.Hour, only(s)); len(again) != 2 {
			t.Errorf("after it spoke again it fell silent a second time, told %d times", len(again))
		}
	})
	t.Run("a device that rests now and then", func(t *testing.T) {
		s := newSite(t)
		for range 20 {
			s.listen(10*time.Minute, both(s))
			if found := s.listen(20*time.Minute, only(s)); len(found) > 0 {
				t.Fatalf("told %+v", found)
			}
		}
	})
	t.Run("a device hardly known", func(t *testing.T) {
		s := newSite(t)
		s.listen(5*time.Minute, both(s))
		if found := s.listen(2*time.Hour, only(s)); len(found) > 0 {
			t.Errorf("told %+v", found)
		}
	})
	t.Run("the sensor itself was blind", func(t *testing.T) {
		s := newSite(t)
		s.listen(3*time.Hour, both(s))
		s.wait(2 * time.Hour)
		s.judge(s.talk(sensor, broker, 1883)) // the first word after it
		found := s.Tick(s.now)
		if found = append(found, s.listen(time.Hour, both(s))...); len(found) > 0 {
			t.Errorf("nobody was heard for two hours, and %d devices are said to be silent: %s", len(found), found[0].Anomaly.Reasons[0].Seen)
		}
	})
}
