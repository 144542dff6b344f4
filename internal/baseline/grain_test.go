package baseline

import (
	"fmt"
	"math"
	"testing"
)

func TestGrainRateFallsWithWatchAndRisesWithRareThings(t *testing.T) {
	for kind := range grains {
		t.Run(grainNames[kind], func(t *testing.T) {
			var g grain
			if got, want := g.rate(kind, 0), 0.5/priorDays[kind]; math.Abs(got-want) > 1e-12 {
				t.Errorf("knowing nothing, rate is %g a day, want the prior's %g", got, want)
			}
			if day0, day9 := g.rate(kind, day), g.rate(kind, 9*day); day9 >= day0 {
				t.Errorf("nothing new for nine days does not lower the rate: %g, %g", day0, day9)
			}
			before := g.rate(kind, 9*day)
			g.learn(kind, "once", 8*day)
			if after := g.rate(kind, 9*day); after <= before {
				t.Errorf("a thing seen once does not raise the rate: %g, %g", before, after)
			}
		})
	}
}

func TestRareIsFreeOfScale(t *testing.T) {
	for _, exposure := range []float64{285, day, 7 * day} {
		var g grain
		g.learn(svcOut, "always", 0)
		g.learn(svcOut, "always", exposure)
		g.learn(svcOut, "burst", 0.5*exposure)
		g.learn(svcOut, "burst", 0.52*exposure) // many times in a short stretch is still once
		g.put(svcOut, "told", &seen{First: exposure, Last: exposure, N: 1, Pending: exposure})
		g.put(svcOut, "removed", &seen{First: exposure, Last: exposure, N: 1, Removed: true})
		g.put(svcOut, "approved", &seen{First: exposure, Last: exposure, N: 1, Approved: true})
		if got := g.rare(exposure); got != 1 {
			t.Errorf("watched for %g s, %g things are rare, want 1", exposure, got)
		}
	}
}

func TestSurpriseNeedsTrust(t *testing.T) {
	usual := func(n uint64) *grain {
		g := &grain{N: n}
		g.learn(svcOut, "a", 0)
		g.learn(svcOut, "a", 30*day)
		return g
	}
	for _, c := range []struct {
		name     string
		g        *grain
		exposure float64
		approved bool
		speaks   bool
	}{
		{"long watched", usual(100), 30 * day, false, true},
		{"hardly looked up", usual(19), 30 * day, false, false},
		{"not watched for two minutes", usual(100), settle - 1, false, false},
		{"too short for the prior", usual(100), day / 2, false, false},
		{"approved at once", usual(1), 1, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			nats := c.g.surprise(svcOut, c.exposure, c.approved)
			if (nats > 0) != c.speaks || nats > maxNats {
				t.Errorf("surprise is %g nats", nats)
			}
		})
	}
}

// mature is a grain that believes itself complete.
func mature(kind int) (g *grain, exposure float64) {
	g, exposure = &grain{N: 1000}, 60*day
	g.learn(kind, "old", 0)
	g.learn(kind, "old", exposure)
	return g, exposure
}

func TestWhatWasToldIsNotLearned(t *testing.T) {
	g, x := mature(svcOut)
	if nats := g.look(svcOut, "new", x, x, false); nats < learnBelow {
		t.Fatalf("a new thing after sixty days is worth %g nats", nats)
	}
	if g.Keys["new"].usual() {
		t.Error("it was told, and learned all the same")
	}
	for _, c := range []struct {
		after  float64
		speaks bool
		why    string
	}{
		{300, true, "fresh, it speaks again"},
		{900, false, "told for ten minutes, it holds its tongue"},
		{3600, false, "an hour later, too"},
		{3600 + 2*day, true, "after a day of rest it is told again"},
	} {
		if got := g.look(svcOut, "new", x+c.after, x+c.after, false) > 0; got != c.speaks {
			t.Errorf("%s: spoke %v", c.why, got)
		}
	}
}

func TestOTCommandsAreToldEveryTime(t *testing.T) {
	for _, kind := range []int{otPair, otCmd} {
		g, x := mature(kind)
		for i := range 20 {
			if g.look(kind, "new", x+float64(i)*3600, x+float64(i)*3600, false) <= 0 {
				t.Fatalf("%s: time %d was not told", grainNames[kind], i)
			}
		}
	}
}

func TestLittleSurpriseIsLearned(t *testing.T) {
	var g grain
	for i := range 30 {
		g.look(svcOut, "old", float64(i)*3600, float64(i)*3600, false)
	}
	g.look(svcOut, "second", day, day, false)
	if !g.Keys["second"].usual() {
		t.Error("a second service on the second day stays pending")
	}
}

func TestRemovedAndApprovedThings(t *testing.T) {
	g, x := mature(svcOut)
	g.Keys["old"].Removed = true
	for range 3 {
		if nats := g.look(svcOut, "old", x, x, false); nats != maxNats {
			t.Errorf("a removed thing speaks with %g nats, want %g", nats, maxNats)
		}
	}
	if len(g.top(9)) != 0 {
		t.Error("a removed thing is listed as usual")
	}
	g.Keys["old"].Removed, g.Keys["old"].Approved = false, true
	if nats := g.look(svcOut, "old", x, x, false); nats != 0 {
		t.Errorf("an approved thing speaks with %g nats", nats)
	}
}

func TestFullGrainForgetsShortestHistory(t *testing.T) {
	for kind := range grains {
		t.Run(grainNames[kind], func(t *testing.T) {
			var g grain
			g.learn(kind, "veteran", 0)
			g.learn(kind, "veteran", 1000)
			g.put(kind, "approved", &seen{First: 5, Last: 5, N: 1, Approved: true})
			g.put(kind, "removed", &seen{First: 5, Last: 5, N: 1, Removed: true})
			for i := range 10 * grainCaps[kind] {
				g.learn(kind, fmt.Sprint("passing ", i), 1000+float64(i))
			}
			if len(g.Keys) > grainCaps[kind]+1 {
				t.Errorf("%d things, the cap is %d", len(g.Keys), grainCaps[kind])
			}
			for _, k := range []string{"veteran", "approved", "removed", fmt.Sprint("passing ", 10*grainCaps[kind]-1)} {
				if g.Keys[k] == nil {
					t.Errorf("%q was forgotten", k)
				}
			}
		})
	}
}

func TestTopIsByUseAndStable(t *testing.T) {
	var g grain
	for i, k := range []string{"c", "b", "a"} {
		for range i + 1 {
			g.learn(svcOut, k, 0)
		}
	}
	g.learn(svcOut, "d", 0) // as often as c
	if got := fmt.Sprint(g.top(9), g.top(2)); got != "[a b c d] [a b]" {
		t.Error(got)
	}
}
