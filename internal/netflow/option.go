package netflow

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"
)

// option is a data record of an options template: what an exporter says of itself.
type option struct {
	sampler         uint64
	hasSampler      bool
	interval        uint32
	size, space, of uint32
	iface           uint32
	name            []byte
	init            int64
}

// readOption fills x from the record at b and returns its length, -1 when b is too short.
func (t *template) readOption(b []byte, x *option) int {
	whole := len(b)
	for _, f := range t.fields {
		v, rest, ok := f.next(b)
		if !ok {
			return -1
		}
		b = rest
		switch f.op {
		case samplerID:
			x.sampler, x.hasSampler = number(v), true
		case samplingInterval:
			x.interval = uint32(number(v))
		case samplingPackets, samplingSize:
			x.size = uint32(number(v))
		case samplingSpace:
			x.space = uint32(number(v))
		case samplingPopulation:
			x.of = uint32(number(v))
		case samplingProbability:
			x.interval = probability(v)
		case ingress, scopeInterface:
			x.iface = uint32(number(v))
		case interfaceName:
			if len(x.name) == 0 { // the name before the description
				x.name = v
			}
		case systemInit:
			x.init = millis(number(v)) / 1e6
		}
	}
	return whole - len(b)
}

// option takes what an exporter says of itself.
func (s *stream) option(x *option) {
	if n := selection(x.interval, x.size, x.space, x.of); n > 0 {
		if x.hasSampler {
			s.sampler(x.sampler, n)
		} else {
			s.sampling = n
		}
	}
	if x.init != 0 && s.key.protocol == IPFIX {
		s.boot = x.init
	}
	if name := text(x.name); x.iface != 0 && name != "" {
		names := s.exp.ifNames
		if old, known := names[x.iface]; (known || len(names) < maxInterfaces) && old != name {
			names[x.iface] = name
		}
	}
}

// text reads a string that may be padded with zeros.
func text(v []byte) string {
	if len(v) == 0 {
		return ""
	}
	s, _, _ := strings.Cut(string(v[:min(len(v), maxName)]), "\x00")
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "")
	}
	return strings.TrimSpace(s) // last, so that a restart, which reads the name again, finds nothing to cut
}

// probability is the interval of a sampling probability, 0 when it is none.
func probability(v []byte) uint32 {
	var p float64
	switch len(v) {
	case 8:
		p = math.Float64frombits(binary.BigEndian.Uint64(v))
	case 4:
		p = float64(math.Float32frombits(binary.BigEndian.Uint32(v)))
	}
	if !(p > 0 && p <= 1) {
		return 0
	}
	return uint32(min(math.Round(1/p), math.MaxUint32))
}
