package netflow

import (
	"bytes"
	"encoding/binary"
)

const (
	maxFields    = 1024
	variable     = 0xffff
	enterpriseID = 0x8000
)

// template says how the data records of a set are laid out.
type template struct {
	raw     []byte // as it came, from the field count on
	fields  []field
	least   int // bytes of the smallest record, never 0
	options bool
	biflow  bool // has fields of the reverse direction
	used    int64
}

// field is one field, or several neighbours that are all passed over.
type field struct {
	length uint16 // variable for one that tells its own
	op     op
}

// templateSet reads the templates of a set.
func (c *Collector) templateSet(s *stream, b []byte, options bool) bool {
	for len(b) >= setHeader {
		id := binary.BigEndian.Uint16(b)
		if id < firstDataID {
			if zeros(b) {
				return true // padding
			}
			return c.withdrawal(s, id, b)
		}
		n, t := parseTemplate(s.key.protocol, b[2:], options)
		if n < 0 {
			c.stats.Dropped[BadTemplate]++
			return true // where the next one begins is not known
		}
		b = b[2+n:]
		switch {
		case t == nil: // no fields
			c.remove(s, id)
		case t.least == 0 || len(t.fields) > maxFields:
			c.stats.Dropped[BadTemplate]++
			c.remove(s, id) // data that comes is not of the former one either
		default:
			c.learn(s, id, t)
		}
	}
	return zeros(b)
}

// withdrawal handles the withdrawal of all templates of a kind (RFC 7011, 8.1).
func (c *Collector) withdrawal(s *stream, id uint16, b []byte) bool {
	if s.key.protocol != IPFIX || id != 2 && id != 3 || binary.BigEndian.Uint16(b[2:]) != 0 {
		c.stats.Dropped[BadTemplate]++
		return true
	}
	for tid, t := range s.templates {
		if t.options == (id == 3) {
			c.remove(s, tid)
		}
	}
	return true
}

// parseTemplate reads one template after its id: how many bytes it took, -1 when
// they are too few, and the template, nil when it has no fields.
func parseTemplate(p Protocol, b []byte, options bool) (int, *template) {
	be := binary.BigEndian
	var count, scopes, pos int
	switch {
	case !options:
		count, pos = int(be.Uint16(b)), 2
	case p == V9:
		if len(b) < 4 {
			return -1, nil
		}
		s, o := int(be.Uint16(b)), int(be.Uint16(b[2:]))
		if s%4 != 0 || o%4 != 0 {
			return -1, nil
		}
		count, scopes, pos = (s+o)/4, s/4, 4
	default:
		if count = int(be.Uint16(b)); count == 0 {
			return 2, nil // a withdrawal has no scope count
		}
		if len(b) < 4 {
			return -1, nil
		}
		if scopes, pos = int(be.Uint16(b[2:])), 4; scopes > count {
			return -1, nil
		}
	}
	if count == 0 {
		return pos, nil
	}
	if count*4 > len(b)-pos {
		return -1, nil
	}
	t := &template{options: options, fields: make([]field, 0, min(count, maxFields))}
	for i := range count {
		if len(b)-pos < 4 {
			return -1, nil
		}
		id, length := be.Uint16(b[pos:]), be.Uint16(b[pos+2:])
		pos += 4
		enterprise := uint32(0)
		if p == IPFIX && id&enterpriseID != 0 {
			if len(b)-pos < 4 {
				return -1, nil
			}
			id &^= enterpriseID
			enterprise = be.Uint32(b[pos:])
			pos += 4
		}
		o := opOf(enterprise, id)
		if p == V9 && i < scopes { // v9's scopes have numbers of their own
			if o = skip; id == v9ScopeInterface {
				o = scopeInterface
			}
		}
		if length == variable && p != IPFIX {
			return -1, nil
		}
		t.add(field{length, o})
	}
	t.raw = bytes.Clone(b[:pos])
	return pos, t
}

// add appends a field, or makes it part of the one before when both are passed over.
func (t *template) add(f field) {
	t.biflow = t.biflow || f.op&reverse != 0
	if f.length == variable {
		t.least++
	} else {
		t.least += int(f.length)
	}
	if n := len(t.fields); n > 0 && f.op == skip && f.length != variable {
		if last := &t.fields[n-1]; last.op == skip && last.length != variable && int(last.length)+int(f.length) < variable {
			last.length += f.length
			return
		}
	}
	t.fields = append(t.fields, f)
}

// learn takes a template, and reads the data that waited for it.
func (c *Collector) learn(s *stream, id uint16, t *template) {
	t.used = c.now
	old := s.templates[id]
	if old != nil && old.options == t.options && bytes.Equal(old.raw, t.raw) {
		old.used = c.now
		return
	}
	if old != nil {
		c.stats.Changed++
	} else {
		if s.exp.templates >= c.cfg.MaxTemplates {
			c.stats.Dropped[TemplateLimit]++
			s.exp.forgetTemplate()
		}
		s.exp.templates++
	}
	if s.templates == nil {
		s.templates = map[uint16]*template{}
	}
	s.templates[id] = t
	c.late(s, id)
}

func (c *Collector) remove(s *stream, id uint16) {
	if s.templates[id] != nil {
		delete(s.templates, id)
		s.exp.templates--
	}
}

// forgetTemplate drops the template that was not used for longest.
func (e *exporter) forgetTemplate() {
	var of *stream
	var oldest uint16
	for _, s := range e.streams {
		for id, t := range s.templates {
			if of == nil || t.used < of.templates[oldest].used {
				of, oldest = s, id
			}
		}
	}
	if of != nil {
		delete(of.templates, oldest)
		e.templates--
	}
}

// next cuts a field's value off b. With ok false b is too short.
func (f field) next(b []byte) (v, rest []byte, ok bool) {
	n := int(f.length)
	if f.length == variable {
		if len(b) < 1 {
			return nil, nil, false
		}
		n, b = int(b[0]), b[1:]
		if n == 255 {
			if len(b) < 2 {
				return nil, nil, false
			}
			n, b = int(binary.BigEndian.Uint16(b)), b[2:]
		}
	}
	if len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// number reads an integer of any length up to eight bytes, as reduced-size encoding
// (RFC 7011, 6.2) allows.
func number(v []byte) uint64 {
	switch len(v) {
	case 4:
		return uint64(binary.BigEndian.Uint32(v))
	case 2:
		return uint64(binary.BigEndian.Uint16(v))
	case 1:
		return uint64(v[0])
	case 8:
		return binary.BigEndian.Uint64(v)
	}
	n := uint64(0)
	for _, x := range v[:min(len(v), 8)] {
		n = n<<8 | uint64(x)
	}
	return n
}
