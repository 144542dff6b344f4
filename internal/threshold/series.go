package threshold

import "strings"

// series is one entity under one rule. Times are in Unix nanoseconds, except heard. What every
// point needs stands first, in one line of the cache: with 100,000 entities a point waits for
// memory most of its time.
type series struct {
	key           string
	last          int64   // time of the latest point that was judged or could have been
	spacing       int64   // between it and the one before, 0 when there was none
	heard         int64   // the engine's watch when the latest point came
	value         float64 // the latest judged
	before, after uint32  // in its list
	hit, up       uint8   // bits by step: past its bound; raised
	lates         uint8   // points that came too late, one after the other
	flags         uint8
	_             uint32

	more   *more
	raw    float64         // the latest value as it came, of a rule with a rate
	late   int64           // time of the latest point that came too late
	missed int64           // the latest point before the entity went missing
	edge   [maxSteps]int64 // when hit last changed, by step
	since  int64           // when what the alarm is about began
	rose   int64           // when the alarm rose
	peak   float64         // furthest out since
	device string
	_      [24]byte // whole lines
}

const (
	hasRaw    uint8 = 1 << iota
	missing         // silent for longer than the rule allows
	flapping        // comes and goes too often
	alarmed         // it ever rose, for the summary
	disturbed       // a point came that could not be judged, so that nothing lasts over it
	recalled        // its device is that of the run before
)

// more is what only some rules need of an entity.
type more struct {
	window  window
	changes []int64 // the latest changes, oldest first, at most Flapping.Changes
	hist    Distribution

	partnerAt  int64 // the other series of a ratio
	partner    float64
	partnerRaw float64
	partnerHas bool // partnerRaw is valid
	partnerOK  bool // partner is valid
}

// window counts points, and those past the bound, in slots of a whole share of the window.
type window struct {
	first    int64 // time of the first point since the last gap, 0 for none
	slot     int64 // number of the latest slot
	all, hit [slots]uint16
	sumAll   uint32
	sumHit   uint32
}

func (w *window) clear() { *w = window{} }

// add counts a point and gives the share of the last slots that is past the bound; whole is
// false until points have come for as long as the window is.
func (w *window) add(t, per int64, past bool) (share float64, whole bool) {
	slot := floor(t, per)
	switch {
	case w.first == 0:
		w.first, w.slot = t, slot
	case slot-w.slot >= slots || slot < w.slot || w.slot < 0: // negative only in a state that was damaged
		w.all, w.hit, w.sumAll, w.sumHit, w.slot = [slots]uint16{}, [slots]uint16{}, 0, 0, slot
	default:
		for w.slot < slot {
			w.slot++
			i := mod(w.slot)
			w.sumAll -= uint32(w.all[i])
			w.sumHit -= uint32(w.hit[i])
			w.all[i], w.hit[i] = 0, 0
		}
	}
	i := mod(slot)
	if w.all[i] < 1<<16-1 { // a slot of more points than this has seen enough
		w.all[i]++
		w.sumAll++
		if past {
			w.hit[i]++
			w.sumHit++
		}
	}
	return float64(w.sumHit) / float64(w.sumAll), t-w.first >= per*(slots-1)
}

func mod(slot int64) int64 {
	i := slot % slots
	if i < 0 {
		i += slots
	}
	return i
}

// list is a list of series through their before and after, longest silent first.
type list struct{ head, tail uint32 }

const (
	chunkBits = 8
	chunk     = 1 << chunkBits
)

// store holds the series of a rule: in chunks, so that they never move, and in the order in
// which they first came, so that points that come in the same order again find them close together.
type store struct {
	byKey  map[string]uint32
	chunks []*[chunk]series
	free   uint32
	used   uint32 // indices up to this have been given out; 0 is nobody
	n      int
	heard  list // those that speak
	lost   list // those that are missing
	guess  uint32
}

func (s *store) at(i uint32) *series { return &s.chunks[i>>chunkBits][i&(chunk-1)] }

// find gives the series of a key, 0 when there is none. Most points come in the order of last
// time, so that it first looks at the one that followed then: that needs neither hash nor map.
func (s *store) find(key []byte) uint32 {
	if g := s.guess; g != 0 && s.at(g).key == string(key) {
		return g
	}
	return s.byKey[string(key)]
}

// touch makes a series the one heard last.
func (s *store) touch(i uint32, x *series) {
	l := &s.heard
	if s.guess = x.after; s.guess == 0 {
		s.guess = l.head
	}
	if l.tail == i {
		return
	}
	s.unlink(l, x)
	s.push(l, i, x)
}

func (s *store) unlink(l *list, x *series) {
	if x.before != 0 {
		s.at(x.before).after = x.after
	} else {
		l.head = x.after
	}
	if x.after != 0 {
		s.at(x.after).before = x.before
	} else {
		l.tail = x.before
	}
	x.before, x.after = 0, 0
}

func (s *store) push(l *list, i uint32, x *series) {
	x.before, x.after = l.tail, 0
	if l.tail != 0 {
		s.at(l.tail).after = i
	} else {
		l.head = i
	}
	l.tail = i
}

func (s *store) add(key []byte, device string) (uint32, *series) {
	i := s.free
	if i != 0 {
		s.free = s.at(i).after
	} else {
		s.used++
		i = s.used
		for int(i>>chunkBits) >= len(s.chunks) {
			s.chunks = append(s.chunks, new([chunk]series))
		}
	}
	x := s.at(i)
	*x = series{key: string(key), device: strings.Clone(device)}
	s.byKey[x.key] = i
	s.n++
	s.push(&s.heard, i, x)
	s.guess = s.heard.head
	return i, x
}

func (s *store) remove(i uint32) {
	x := s.at(i)
	l := &s.heard
	if x.flags&missing != 0 {
		l = &s.lost
	}
	s.unlink(l, x)
	delete(s.byKey, x.key)
	s.n--
	if s.guess == i {
		s.guess = 0
	}
	*x = series{after: s.free}
	s.free = i
}
