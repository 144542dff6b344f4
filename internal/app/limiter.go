package app

import (
	"encoding/binary"
	"math/bits"

	"github.com/monban/monban/internal/packet"
)

// digest is a running 64-bit hash of what makes two sightings equal.
type digest uint64

func (d digest) u64(x uint64) digest {
	hi, lo := bits.Mul64(uint64(d)^0xa0761d6478bd642f, x^0xe7037ed1a0b428db)
	return digest(hi ^ lo)
}

func (d digest) bytes(b []byte) digest {
	n := len(b)
	for ; len(b) >= 8; b = b[8:] {
		d = d.u64(binary.LittleEndian.Uint64(b))
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	return d.u64(tail ^ uint64(n)<<56)
}

func (d digest) mac(m packet.MAC) digest { return d.u64(number(m)) }

func number(m packet.MAC) uint64 {
	return uint64(binary.BigEndian.Uint32(m[:]))<<16 | uint64(binary.BigEndian.Uint16(m[4:]))
}

// Sets of four entries each. 16,384 entries take 384 KiB.
const (
	limiterSets = 4096
	limiterWays = 4
	requesters  = 1024
)

// limiter holds back equal sightings, and any beyond a total rate. It forgets the
// oldest of four when a set is full; a sighting forgotten is merely written
// again.
type limiter struct {
	cfg    Config
	sets   [][limiterWays]limited
	asking []asker
	second int64
	left   int // sightings that may still be written in this second

	passed, repeated, suppressed uint64
}

type limited struct {
	key  digest
	last int64 // when it was written
	held uint32
}

type asker struct {
	mac   packet.MAC
	since int64
	n     int
}

func newLimiter(cfg Config) limiter {
	return limiter{cfg: cfg, sets: make([][limiterWays]limited, limiterSets), asking: make([]asker, requesters), left: cfg.Rate}
}

// repeat says whether a sighting is to be written, and how many like it there
// were since the last one, itself included, where that is more than one.
func (l *limiter) repeat(key digest, now, period int64) (count uint32, ok bool) {
	set := &l.sets[uint64(key)%limiterSets]
	oldest := &set[0]
	for i := range set {
		e := &set[i]
		if e.key == key {
			if since := now - e.last; since < period && since > -period {
				e.held++
				l.repeated++
				return 0, false
			}
			if !l.take(now) {
				return 0, false
			}
			if count = e.held; count > 0 {
				count++
			}
			e.last, e.held = now, 0
			return count, true
		}
		if e.last < oldest.last {
			oldest = e
		}
	}
	if !l.take(now) {
		return 0, false
	}
	*oldest = limited{key: key, last: now}
	return 0, true
}

// take counts a sighting against the total rate.
func (l *limiter) take(now int64) bool {
	if s := now / nsPerSecond; s != l.second {
		l.second, l.left = s, l.cfg.Rate
	}
	if l.left == 0 {
		l.suppressed++
		return false
	}
	l.left--
	l.passed++
	return true
}

// mayAsk says whether one more target that a MAC asks for may be written.
func (l *limiter) mayAsk(m packet.MAC, now int64) bool {
	a := &l.asking[digest(0).mac(m)%requesters]
	if a.mac != m || now-a.since >= 60*nsPerSecond || now < a.since {
		*a = asker{mac: m, since: now}
	}
	if a.n >= l.cfg.Targets {
		l.suppressed++
		return false
	}
	a.n++
	return true
}
