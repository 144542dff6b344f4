package threshold

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/monban/monban/internal/baseline"
)

// version is that of the saved state's form. Any change of form raises it.
const version = 1

const magic = "monban threshold\n"

// ErrVersion is returned by [Engine.Restore] for a state of another version.
var ErrVersion = errors.New("the state of the thresholds is of another version")

var errBroken = errors.New("the state of the thresholds is damaged")

// fingerprint tells whether a rule is still the one whose state was saved. What it does with a
// verdict does not matter.
func (r *rule) fingerprint() uint64 {
	of := r.Rule
	of.Do, of.MaxEntities = nil, 0
	b, _ := json.Marshal(of)
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

// Snapshot gives what is known of all entities. It is binary: 100,000 entities are saved once a
// minute while points wait, and JSON takes ten times as long.
func (e *Engine) Snapshot() ([]byte, error) {
	n := 0
	for _, r := range e.rules {
		n += r.entities.n
	}
	w := writer{b: make([]byte, 0, 64+160*n)}
	w.b = append(w.b, magic...)
	w.uint(version)
	w.int(e.clock.now)
	w.int(e.clock.watch)
	w.uint(uint64(len(e.rules)))
	for _, r := range e.rules {
		w.text(r.Name)
		w.uint(r.fingerprint())
		w.text(r.Subject())
		w.text(r.kind)
		w.flag(r.Does(Event))
		w.uint(uint64(r.entities.n))
		for _, l := range [...]list{r.entities.lost, r.entities.heard} {
			for at := l.head; at != 0; at = r.entities.at(at).after {
				w.series(r.entities.at(at))
			}
		}
	}
	return w.b, nil
}

// Restore puts back what [Engine.Snapshot] gave. On any error the engine is as it was. Alarms of
// rules that are gone, or that are no longer the same, end with a word about that.
func (e *Engine) Restore(data []byte) error {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return errBroken
	}
	rd := reader{b: data[len(magic):]}
	if v := rd.uint(); v != version && !rd.bad {
		return fmt.Errorf("%w: %d, this program writes %d", ErrVersion, v, version)
	}
	c := clock{pause: e.clock.pause, now: rd.int(), watch: rd.int(), woken: true}
	byName := map[string]*rule{}
	for _, r := range e.rules {
		byName[r.Name] = r
	}
	restored := map[*rule]store{}
	var ended []baseline.Observation
	for range rd.count() {
		name, print, subject, kind, tells := rd.text(), rd.uint(), rd.text(), rd.text(), rd.flag()
		r := byName[name]
		cause := ""
		switch {
		case r == nil:
			cause = "the rule is gone"
		case r.fingerprint() != print:
			cause = "the rule has changed"
		}
		s := store{byKey: map[string]uint32{}}
		for range rd.count() {
			p := rd.series()
			if rd.bad {
				return errBroken
			}
			if cause != "" {
				if tells {
					ended = append(ended, p.ended(name, subject, kind, c.now, cause)...)
				}
				continue
			}
			if s.n >= r.MaxEntities || s.byKey[p.key] != 0 {
				continue
			}
			if p.heard > c.watch || p.more != nil && len(p.more.changes) > max(0, r.Flapping.Changes) || int(p.hit|p.up)>>len(r.steps) != 0 ||
				p.flags&flapping != 0 && (r.Flapping.Changes == 0 || p.more == nil) {
				return errBroken
			}
			at, x := s.add([]byte(p.key), p.device)
			p.before, p.after, p.key = x.before, x.after, x.key
			*x = p
			x.flags |= recalled
			if x.flags&missing != 0 {
				s.unlink(&s.heard, x)
				s.push(&s.lost, at, x)
			}
		}
		if cause == "" {
			s.guess = s.heard.head
			restored[r] = s
		}
	}
	if rd.bad || len(rd.b) != 0 {
		return errBroken
	}
	for r, s := range restored {
		r.entities = s
	}
	e.clock = c
	if !e.Quiet && len(e.told)+len(ended) <= maxTold {
		e.told = append(e.told, ended...)
	}
	return nil
}

// ended are the ends of the alarms of an entity whose rule is no longer there.
func (p *series) ended(rule, subject, kind string, t int64, cause string) (all []baseline.Observation) {
	one := func(kind string, start int64) {
		o := baseline.Observation{Time: t, Device: p.device, ID: identity(rule, kind, p.key, start), Phase: baseline.Fall, Kind: kind, Rule: rule,
			Metric: subject, Entity: Names(p.key), Start: start, Cause: cause, Duration: max(0, float64(t-start)/1e9)}
		o.Summary = rule + ": over, " + cause
		all = append(all, o)
	}
	if p.up != 0 || p.flags&flapping != 0 {
		one(kind, p.since)
	}
	if p.flags&missing != 0 {
		one(Missing, p.missed)
	}
	return all
}

type writer struct{ b []byte }

func (w *writer) uint(v uint64)  { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)    { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) real(v float64) { w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v)) }
func (w *writer) text(s string)  { w.uint(uint64(len(s))); w.b = append(w.b, s...) }

func (w *writer) flag(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *writer) reals(v []float64) {
	w.uint(uint64(len(v)))
	for _, x := range v {
		w.real(x)
	}
}

func (w *writer) uints(v []uint64) {
	w.uint(uint64(len(v)))
	for _, x := range v {
		w.uint(x)
	}
}

func (w *writer) series(p *series) {
	w.text(p.key)
	w.text(p.device)
	// Times lie close to the latest, so that what they are apart takes a few bytes.
	w.int(p.last)
	w.int(p.spacing)
	w.int(p.late)
	w.int(p.heard)
	w.int(p.missed)
	w.real(p.raw)
	for _, t := range p.edge {
		w.int(t)
	}
	w.int(p.since)
	w.int(p.rose)
	w.real(p.value)
	w.real(p.peak)
	w.b = append(w.b, p.hit, p.up, p.lates, p.flags&^recalled)
	w.flag(p.more != nil)
	if m := p.more; m != nil {
		w.int(m.window.first)
		w.int(m.window.slot)
		w.flag(m.window.first != 0)
		if m.window.first != 0 {
			for i := range m.window.all {
				w.uint(uint64(m.window.all[i]))
				w.uint(uint64(m.window.hit[i]))
			}
		}
		w.uint(uint64(len(m.changes)))
		for _, t := range m.changes {
			w.int(t)
		}
		w.int(m.partnerAt)
		w.real(m.partner)
		w.real(m.partnerRaw)
		w.flag(m.partnerHas)
		w.flag(m.partnerOK)
		h := &m.hist
		w.flag(p.flags&hasRaw != 0)
		if p.flags&hasRaw != 0 {
			w.uint(h.Count)
			w.real(h.Sum)
			w.flag(h.HasSum)
			w.reals(h.Bounds)
			w.uints(h.Counts)
			w.flag(h.Exponential)
			w.int(int64(h.Scale))
			w.uint(h.Zero)
			w.int(int64(h.Positive.Offset))
			w.uints(h.Positive.Counts)
			w.int(int64(h.Negative.Offset))
			w.uints(h.Negative.Counts)
		}
	}
}

// reader reads what a writer wrote. After anything that makes no sense it is bad, and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	return v * uint64(r.skip(n))
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	return v * int64(r.skip(n))
}

// skip passes over n bytes and gives 1, or 0 when there are no such.
func (r *reader) skip(n int) int {
	if n <= 0 || n > len(r.b) || r.bad {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return 1
}

// count is the length of a list, which can't have more members than there are bytes.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) real() float64 {
	if len(r.b) < 8 {
		r.skip(8)
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.skip(8)
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.skip(1)
		return 0
	}
	v := r.b[0]
	r.skip(1)
	return v
}

func (r *reader) flag() bool { return r.byte() == 1 }

func (r *reader) text() string {
	n := r.count()
	if n == 0 {
		return ""
	}
	s := string(r.b[:n])
	r.skip(n)
	return s
}

func (r *reader) reals() (v []float64) {
	for range r.count() {
		v = append(v, r.real())
	}
	return v
}

func (r *reader) uints() (v []uint64) {
	for range r.count() {
		v = append(v, r.uint())
	}
	return v
}

func (r *reader) series() (p series) {
	p.key, p.device = r.text(), r.text()
	p.last, p.spacing, p.late, p.heard, p.missed = r.int(), r.int(), r.int(), r.int(), r.int()
	p.raw = r.real()
	for i := range p.edge {
		p.edge[i] = r.int()
	}
	p.since, p.rose = r.int(), r.int()
	p.value, p.peak = r.real(), r.real()
	p.hit, p.up, p.lates, p.flags = r.byte(), r.byte(), r.byte(), r.byte()
	if !r.flag() {
		return p
	}
	m := new(more)
	p.more = m
	m.window.first, m.window.slot = r.int(), r.int()
	if r.flag() {
		for i := range m.window.all {
			m.window.all[i], m.window.hit[i] = uint16(r.uint()), uint16(r.uint())
			m.window.hit[i] = min(m.window.hit[i], m.window.all[i])
			m.window.sumAll += uint32(m.window.all[i])
			m.window.sumHit += uint32(m.window.hit[i])
		}
	}
	for range r.count() {
		m.changes = append(m.changes, r.int())
	}
	m.partnerAt, m.partner, m.partnerRaw, m.partnerHas, m.partnerOK = r.int(), r.real(), r.real(), r.flag(), r.flag()
	if r.flag() {
		h := &m.hist
		h.Count, h.Sum, h.HasSum, h.Bounds, h.Counts = r.uint(), r.real(), r.flag(), r.reals(), r.uints()
		h.Exponential, h.Scale, h.Zero = r.flag(), int32(r.int()), r.uint()
		h.Positive.Offset, h.Positive.Counts = int32(r.int()), r.uints()
		h.Negative.Offset, h.Negative.Counts = int32(r.int()), r.uints()
		if h.buckets() > maxBuckets {
			r.bad = true
		}
	}
	return p
}
