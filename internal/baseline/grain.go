package baseline

import (
	"math"
	"slices"
	"strings"
)

// What is remembered of a device, coarse to fine. Each grain has a prior: days
// of watching that would have brought half a new thing had we seen none yet.
const (
	svcOut  = iota // service used
	netOut         // + /16, IPv6 /32, registered domain, or "local"
	peerOut        // + address or name
	svcIn          // service served
	peerIn         // + caller
	otPair         // at the outstation: master
	otCmd          // + function
	dnsName        // domain asked for
	cadence        // service and rhythm of clockwork contacts
	grains
)

var grainNames = [grains]string{"svc.out", "net.out", "peer.out", "svc.in", "peer.in", "ot.master", "ot.command", "dns.name", "cadence"}
var priorDays = [grains]float64{4, 1, 0.25, 8, 4, 50, 20, 0.25, 1}
var grainCaps = [grains]int{48, 64, 128, 32, 64, 32, 128, 64, 32}

const (
	chanceLearned = 0.02 // chance of something new in the next flow at which learning ends
	chanceAgain   = 0.1  // and at which it begins again
	trustedRate   = 0.1  // new things a day at which a grain is believed
	maxNats       = 5.0
	learnBelow    = 2.9 // a new thing less surprising than this is simply learned,
	learnOTBelow  = 2.5 // an OT command than this
)

// seen is one thing a device did: when first and last by the engine's watch, in
// seconds, and how often.
type seen struct {
	First, Last float64
	N           uint32
	Pending     float64 `json:",omitempty"` // told as unusual since this watch, not learned
	Removed     bool    `json:",omitempty"` // a person said that it is not usual
	Approved    bool    `json:",omitempty"`
}

// usual reports whether the thing counts as learned.
func (s *seen) usual() bool { return s != nil && s.Pending == 0 && !s.Removed }

// grain is a bounded set of things with the evidence of how complete it is.
type grain struct {
	N    uint64           `json:",omitempty"` // look-ups
	Keys map[string]*seen `json:",omitempty"`
}

// rare counts the things that were seen but in one short stretch of the time
// that the device was watched: Good–Turing's singletons, robust against bursts.
func (g *grain) rare(exposure float64) (n float64) {
	for _, s := range g.Keys {
		if s.usual() && !s.Approved && s.Last-s.First < 0.05*exposure {
			n++
		}
	}
	return n
}

// rate is the expected number of new things a day.
func (g *grain) rate(kind int, exposure float64) float64 {
	return (0.5 + g.rare(exposure)) / (priorDays[kind] + exposure/day)
}

// busy reports whether the rate is surely too high to be trusted, after a look at
// as few things as show it: an attack brings many.
func (g *grain) busy(kind int, exposure float64) bool {
	enough, n := trustedRate*(priorDays[kind]+exposure/day)+0.5, 0.0 // one more than needed, for rounding
	for _, s := range g.Keys {
		if s.usual() && !s.Approved && s.Last-s.First < 0.05*exposure {
			if n++; n > enough {
				return true
			}
		}
	}
	return false
}

// surprise is how unusual a thing is that is not in the grain, in nats: 0 while
// the grain is not to be believed yet.
func (g *grain) surprise(kind int, exposure float64, approved bool) float64 {
	if approved {
		return maxNats
	}
	if g.N < 20 || exposure < settle || len(g.Keys) > 16 && g.busy(kind, exposure) {
		return 0
	}
	rate := g.rate(kind, exposure)
	if rate > trustedRate {
		return 0
	}
	nats := math.Max(0, math.Min(maxNats, math.Log(0.5/rate)))
	switch kind { // the priors are strong, so the first minutes of a watch count less
	case otPair:
		nats *= exposure / (exposure + 60)
	case otCmd: // pollers show their few commands thousands of times
		nats = math.Max(nats, math.Min(maxNats, math.Log(float64(g.N)))) * exposure / (exposure + 300)
	}
	return nats
}

// learn notes that a usual thing happened.
func (g *grain) learn(kind int, key string, watch float64) {
	if s := g.Keys[key]; s != nil {
		s.again(watch)
		return
	}
	g.put(kind, key, &seen{First: watch, Last: watch, N: 1})
}

func (s *seen) again(watch float64) {
	s.Last = watch
	s.N++
}

// put adds a thing; a full grain forgets the thing with the shortest history.
func (g *grain) put(kind int, key string, s *seen) {
	if g.Keys == nil {
		g.Keys = map[string]*seen{}
	}
	if len(g.Keys) >= grainCaps[kind] {
		worst := ""
		for k, o := range g.Keys {
			if o.Removed || o.Approved {
				continue
			}
			if w := g.Keys[worst]; w == nil || o.Last-o.First < w.Last-w.First ||
				o.Last-o.First == w.Last-w.First && (o.Last < w.Last || o.Last == w.Last && k < worst) {
				worst = k
			}
		}
		delete(g.Keys, worst)
	}
	g.Keys[key] = s
}

// unlearn makes a thing that was learned a short while ago pending: what it
// belongs to turned out to be unusual.
func (m *model) unlearn(watch float64, kind int, key string) {
	if s := m.Grains[kind].Keys[key]; s.usual() && !s.Approved && watch-s.First < 600 {
		s.Pending = watch
	}
}

// look says how surprising key is, and learns it unless that is a lot. What was
// told is kept as pending: it is told again only while fresh, or once a day; an
// OT command that nobody approved is told every time.
func (g *grain) look(kind int, key string, watch, exposure float64, approved bool) (nats float64) {
	g.N++
	floor := learnBelow
	if kind == otPair || kind == otCmd {
		floor = learnOTBelow
	}
	s := g.Keys[key]
	if s.usual() {
		s.Last = watch
		s.N++
		return 0
	}
	if s == nil {
		if nats = g.surprise(kind, exposure, approved); nats < floor {
			g.put(kind, key, &seen{First: watch, Last: watch, N: 1})
			return nats
		}
		g.put(kind, key, &seen{First: watch, Last: watch, N: 1, Pending: watch})
		return nats
	}
	if s.Removed {
		s.Last = watch
		s.N++
		return maxNats
	}
	fresh := kind == otPair || kind == otCmd || s.fresh(watch)
	s.Last = watch
	s.N++
	if !fresh {
		return 0
	}
	return math.Max(g.surprise(kind, exposure, approved), floor)
}

// fresh reports whether a pending thing is worth another word.
func (s *seen) fresh(watch float64) bool { return watch-s.First < 600 || watch-s.Last > day }

// tell keeps a thing that is unusual for another reason than its novelty as
// pending, and reports whether it is worth a word.
func (g *grain) tell(kind int, key string, watch float64) bool {
	g.N++
	s := g.Keys[key]
	if s == nil {
		g.put(kind, key, &seen{First: watch, Last: watch, N: 1, Pending: watch})
		return true
	}
	fresh := s.Removed || s.fresh(watch)
	s.Last = watch
	s.N++
	return fresh
}

// top lists the most used usual things.
func (g *grain) top(n int) []string {
	keys := make([]string, 0, len(g.Keys))
	for k, s := range g.Keys {
		if s.usual() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		if x, y := g.Keys[a].N, g.Keys[b].N; x != y {
			return int(int64(y) - int64(x))
		}
		return strings.Compare(a, b)
	})
	return keys[:min(n, len(keys))]
}
