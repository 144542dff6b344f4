package baseline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

func TestLearningEndsByItself(t *testing.T) {
	s := newSite(t)
	s.work(3 * time.Minute)
	if s.status(sensor).Learned {
		t.Error("after three minutes the sensor counts as learned")
	}
	before := s.status(sensor).Chance
	for range 300 {
		s.minute()
		if all := s.Learned(); len(all) > 0 {
			break
		}
	}
	x := s.status(sensor)
	if !x.Learned || x.Chance > chanceLearned || x.Chance >= before {
		t.Errorf("after %v: learned %v, chance of new %g, before %g", time.Duration(s.now-epoch), x.Learned, x.Chance, before)
	}
	if x.Flows == 0 || x.Watched == 0 || x.Peers != 2 || len(x.Services) != 2 || !strings.Contains(x.Usual, "tcp/1883") {
		t.Errorf("its status says little: %+v", x)
	}
	for range 10 {
		s.minute()
		for _, x := range s.Learned() {
			if x.Device == sensor.Device {
				t.Error("the end of learning is told twice")
			}
		}
	}
}

func TestLearningIsNotByTheClock(t *testing.T) {
	s := newSite(t)
	s.judge(s.talk(sensor, broker, 1883))
	for range 60 {
		s.wait(12 * time.Hour)
		s.judge(s.talk(sensor, broker, 1883))
		s.wait(12 * time.Hour)
		s.judge(s.talk(sensor, outside(fmt.Sprintf("203.%d.113.5", s.port%200)), 443)) // ever new
	}
	if x := s.status(sensor); x.Learned {
		t.Errorf("sixty days of ever new peers, and learned: chance %g", x.Chance)
	}
}

func TestLearningBeginsAgain(t *testing.T) {
	s := newSite(t)
	s.work(6 * time.Hour)
	if !s.status(sensor).Learned {
		t.Fatal("the sensor is not learned after six hours")
	}
	for i := range 60 { // new work for the device, before it could have been surprising
		s.wait(5 * time.Second)
		peer := host(byte(100 + i))
		r := s.talk(sensor, peer, 8080)
		s.Flow(r)
	}
	again := false
	for _, x := range s.Learned() {
		again = again || x.Device == sensor.Device && !x.Learned
	}
	if !again {
		t.Errorf("sixty new peers did not open learning again: %+v", s.status(sensor))
	}
}

func TestPauseBetweenRunsIsNotWatched(t *testing.T) {
	s := newSite(t)
	s.work(2 * time.Hour)
	before := s.status(sensor).Watched
	data, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	s.Engine = New(NewDefaultConfig())
	if err := s.Restore(data); err != nil {
		t.Fatal(err)
	}
	s.wait(90 * 24 * time.Hour)
	s.minute()
	if after := s.status(sensor).Watched; after-before > 120 {
		t.Errorf("a stop of ninety days added %g s to the watch", after-before)
	}
}

func TestSilenceOfTheWholeSiteCountsForADayAtMost(t *testing.T) {
	s := newSite(t)
	s.work(time.Hour)
	before := s.status(sensor).Watched
	s.wait(90 * 24 * time.Hour)
	s.minute()
	if after := s.status(sensor).Watched; after-before > maxPause+120 {
		t.Errorf("ninety days without a packet added %g s to the watch", after-before)
	}
}

func TestClockSetBack(t *testing.T) {
	s := newSite(t)
	s.work(2 * time.Hour)
	x := s.status(sensor)
	s.wait(-365 * 24 * time.Hour)
	for range 10 {
		if found := s.minute(); len(found) > 0 {
			t.Errorf("usual work after the clock was set back: %v", found)
		}
	}
	y := s.status(sensor)
	if d := y.Watched - x.Watched; d < 400 || d > 700 {
		t.Errorf("ten minutes after the clock was set back count as %g s", d)
	}
	s.wait(365 * 24 * time.Hour) // and forward again
	if found := s.minute(); len(found) > 0 {
		t.Errorf("usual work after the clock was set right: %v", found)
	}
	if d := s.status(sensor).Watched - x.Watched; d > 2000 {
		t.Errorf("to set the clock right counts as %g s", d)
	}
}

func TestTwoClocksDoNotMultiplyTheWatch(t *testing.T) {
	s := newSite(t)
	s.work(time.Hour)
	before := s.watched
	for range 100 { // two probes, one of which is a year behind
		s.wait(time.Second)
		s.judge(s.talk(sensor, broker, 1883))
		r := s.talk(panel, controller, 502)
		r.Start, r.Since, r.End = r.Start-365*24*3600e9, r.Since-365*24*3600e9, r.End-365*24*3600e9
		s.Flow(r)
	}
	if d := s.watched - before; d > 210 {
		t.Errorf("a hundred seconds count as %g", d)
	}
}

func TestLateRecordsDoNotMoveTheClock(t *testing.T) {
	s := newSite(t)
	s.work(time.Hour)
	before := s.watched
	r := s.talk(sensor, broker, 1883)
	r.End -= int64(15 * time.Minute) // as an idle timeout delivers it
	s.judge(r)
	if s.watched != before {
		t.Errorf("a late record moved the watch by %g s", s.watched-before)
	}
}

func TestAttacksTeachNothing(t *testing.T) {
	s := newSite(t)
	s.work(time.Hour)
	items := len(s.Items(sensor.Device))
	for i := range 50 {
		s.wait(100 * time.Millisecond)
		s.judge(s.try(sensor, host(byte(100+i)), 23, "S0"))
	}
	if got := len(s.Items(sensor.Device)); got != items {
		t.Errorf("a scan taught %d things", got-items)
	}
}

func TestNewDevice(t *testing.T) {
	fresh := host(99)
	for _, c := range []struct {
		name string
		live func(*site)
		want []string
	}{
		{"at the very start", func(*site) {}, nil},
		{"while the site still shows itself", func(s *site) { s.work(2 * time.Minute) }, nil},
		{"after the site has settled", func(s *site) { s.work(2 * time.Hour) }, []string{NewDevice}},
		{"where few flows were seen", func(s *site) {
			for range 12 {
				s.wait(5 * time.Minute)
				s.judge(s.talk(sensor, broker, 1883))
			}
		}, nil},
		{"where devices come and go", func(s *site) {
			s.work(time.Hour)
			for i := range 40 {
				s.wait(2 * time.Minute)
				visitor := flowEnd(i)
				s.appear(visitor)
				s.judge(s.talk(visitor, cloud, 443))
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.live(s)
			want(t, s.appear(fresh), c.want...)
			s.wait(time.Second)
			want(t, s.appear(fresh)) // an inventory that says so twice
		})
	}
}

func TestRouterFarAwayIsHardlyNew(t *testing.T) {
	s := newSite(t)
	s.work(2 * time.Hour)
	r := newDevice(s, flowEnd(1))
	r.MAC, r.Evidence = packet.MAC{}, "ICMP time exceeded"
	s.Device(r)
	if len(r.Anomaly.Reasons) != 1 || r.Anomaly.Reasons[0].Strength > 0.5 {
		t.Errorf("a router on somebody's way: %+v", r.Anomaly.Reasons)
	}
}

func TestUnusualHour(t *testing.T) {
	s := newSite(t)
	for range 20 { // office hours, eight to six
		for s.wait(8 * time.Hour); ; {
			for range 6 {
				s.wait(10 * time.Minute)
				s.judge(s.talk(sensor, broker, 1883))
			}
			if (s.now-epoch)/int64(time.Hour)%24 == 18 {
				break
			}
		}
		s.wait(6 * time.Hour)
	}
	s.wait(3*time.Hour + time.Minute)
	want(t, s.judge(s.talk(sensor, broker, 1883)), UnusualHour)
	s.wait(time.Minute)
	want(t, s.judge(s.talk(sensor, broker, 1883))) // once an hour
}
