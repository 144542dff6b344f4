package netflow

import (
	"encoding/binary"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// key is the ends of a conversation, as the sender has them.
type key struct {
	src, dst     [16]byte
	sport, dport uint16
	net          uint16
	proto        uint8
}

// counts are what one end sent.
type counts struct {
	packets, bytes, frames uint64
	start, end             int64 // Unix nanoseconds; 0 for not told
	flags                  uint8
	ttlMin, ttlMax         uint8
	dscp                   uint8
}

const (
	hasFirst = 1 << iota
	hasLast
	hasICMP
	hasPacketDelta
	hasOctetDelta
	hasMAC
	hasReason
	hasSrc4
	hasDst4
	hasSrc6
	hasDst6
	isSampled // made of samples, so that silence means little
)

// observation is what an exporter tells in one record: one direction, or both.
type observation struct {
	exp      *exporter
	key      key
	fwd, rev counts
	has      uint16
	biflow   bool // the exporter would tell of the other direction here
	directed bool // and says who the initiator is:
	swapped  bool // the destination
	reason   uint8

	icmpType, icmpCode uint8
	srcMAC, dstMAC     packet.MAC
	vlan, inner        uint16
	ingress, egress    uint32
	sampling           uint32
	first, last        uint32 // uptime in milliseconds, valid iff hasFirst, hasLast
	duration           int64  // nanoseconds, 0 for not told
	init               int64  // when the exporter started, Unix milliseconds; 0 for not told
	sampler            uint64
	space, size, of    uint32
	before             [2]uint32 // microseconds before the export: first, last
	arrival            int64
}

// read fills o from the record at b and returns its length, -1 when b is too short.
func (t *template) read(b []byte, o *observation) int {
	whole := len(b)
	for i := range t.fields {
		f := t.fields[i]
		var v []byte
		if f.length != variable && len(b) >= int(f.length) {
			v, b = b[:f.length], b[f.length:]
		} else {
			var ok bool
			if v, b, ok = f.next(b); !ok {
				return -1
			}
		}
		if f.op != skip {
			o.field(f.op, v)
		}
	}
	return whole - len(b)
}

// field takes the value of one field.
func (o *observation) field(what op, v []byte) {
	side := &o.fwd
	if what&reverse != 0 {
		side = &o.rev
	}
	switch what &^ reverse {
	case octets:
		side.bytes = number(v)
		o.has |= hasOctetDelta
	case packets:
		side.packets = number(v)
		o.has |= hasPacketDelta
	case octetsTotal, postOctets:
		if o.has&hasOctetDelta == 0 {
			side.bytes = number(v)
		}
	case packetsTotal, postPackets:
		if o.has&hasPacketDelta == 0 {
			side.packets = number(v)
		}
	case layer2Octets:
		side.frames = number(v)
	case protocol:
		o.key.proto = uint8(number(v))
	case tos:
		side.dscp = uint8(number(v)) >> 2
	case dscp:
		side.dscp = uint8(number(v)) & 0x3f
	case tcpFlags:
		side.flags = uint8(number(v)) // of two bytes the lower
	case srcPort:
		o.key.sport = uint16(number(v))
	case dstPort:
		o.key.dport = uint16(number(v))
	case srcV4, dstV4, srcV6, dstV6:
		o.address(what, v)
	case srcMAC:
		o.has |= hasMAC
		copy(o.srcMAC[:], v)
	case dstMAC:
		o.has |= hasMAC
		copy(o.dstMAC[:], v)
	case ingress:
		o.ingress = uint32(number(v))
	case egress:
		o.egress = uint32(number(v))
	case firstUptime:
		o.first = uint32(number(v))
		o.has |= hasFirst
	case lastUptime:
		o.last = uint32(number(v))
		o.has |= hasLast
	case startSeconds:
		side.start = int64(uint32(number(v))) * 1e9
	case endSeconds:
		side.end = int64(uint32(number(v))) * 1e9
	case startMillis:
		side.start = millis(number(v))
	case endMillis:
		side.end = millis(number(v))
	case eventMillis:
		if t := millis(number(v)); side.end == 0 {
			side.end = t
		}
	case startNTP:
		side.start = ntp(number(v))
	case endNTP:
		side.end = ntp(number(v))
	case startBefore:
		o.before[0] = uint32(number(v))
	case endBefore:
		o.before[1] = uint32(number(v))
	case durationMillis:
		o.duration = int64(uint32(number(v))) * 1e6
	case durationMicros:
		o.duration = int64(uint32(number(v))) * 1e3
	case systemInit:
		o.init = millis(number(v)) / 1e6
	case icmpTypeCode:
		n := number(v)
		o.icmpType, o.icmpCode = uint8(n>>8), uint8(n)
		o.has |= hasICMP
	case icmpType:
		o.icmpType = uint8(number(v))
		o.has |= hasICMP
	case icmpCode:
		o.icmpCode = uint8(number(v))
		o.has |= hasICMP
	case ttlMin:
		side.ttlMin = uint8(number(v))
	case ttlMax:
		side.ttlMax = uint8(number(v))
	case ttl:
		side.ttlMin = uint8(number(v))
		side.ttlMax = side.ttlMin
	case vlan:
		o.vlan = uint16(number(v)) & 0xfff
	case innerVLAN:
		o.inner = uint16(number(v)) & 0xfff
	case etherType:
		o.key.net = uint16(number(v))
	case endReason:
		o.reason = uint8(number(v))
		o.has |= hasReason
	case direction:
		const byInitiator, reverseInitiator = 1, 2
		n := number(v)
		o.directed, o.swapped = n == byInitiator || n == reverseInitiator, n == reverseInitiator
	case samplingInterval:
		o.sampling = uint32(number(v))
	case samplerID:
		o.sampler = number(v)
	case samplingPackets, samplingSize:
		o.size = uint32(number(v))
	case samplingSpace:
		o.space = uint32(number(v))
	case samplingPopulation:
		o.of = uint32(number(v))
	case samplingProbability:
		o.sampling = probability(v)
	}
}

func (o *observation) address(what op, v []byte) {
	at, four, six := &o.key.src, uint16(hasSrc4), uint16(hasSrc6)
	if what == dstV4 || what == dstV6 {
		at, four, six = &o.key.dst, hasDst4, hasDst6
	}
	switch {
	case (what == srcV4 || what == dstV4) && len(v) == 4:
		o.has |= four
		if o.key.net == packet.NetIPv6 && *at != [16]byte{} {
			return // a template with both has the other one empty
		}
		*at = v4(v)
		if number(v) != 0 || o.key.net == 0 {
			o.key.net = packet.NetIPv4
		}
	case (what == srcV6 || what == dstV6) && len(v) == 16:
		o.has |= six
		if binary.BigEndian.Uint64(v)|binary.BigEndian.Uint64(v[8:]) == 0 && o.key.net == packet.NetIPv4 {
			return
		}
		copy(at[:], v)
		o.key.net = packet.NetIPv6
	}
}

// maxCount is the most packets or bytes that one end is believed to have sent by one
// record: what a full line of 100 Gbit/s carries in a week, the longest that exporters
// hold a record back, and as much as every reader of JSON holds exactly. More is a
// counter that went backwards or an invention, and would drown all that was learned of
// the device; a record without its counts would be a lie as well.
const maxCount = 1 << 53

// told takes a record that was read: it gives it times, multiplies what was
// sampled, and hands it on.
func (c *Collector) told(s *stream, o *observation) {
	c.stats.Told[s.key.protocol]++
	if !o.hasEnds() {
		c.stats.Dropped[NotAFlow]++
		return
	}
	if o.fwd.packets|o.fwd.bytes|o.fwd.frames|o.rev.packets|o.rev.bytes|o.rev.frames == 0 {
		c.stats.Dropped[Empty]++
		return
	}
	o.sampling = s.interval(o)
	if !o.fwd.scale(o.sampling) || !o.rev.scale(o.sampling) {
		c.stats.Dropped[Implausible]++
		return
	}
	o.exp = s.exp
	o.arrival = c.now
	c.times(s, o)
	o.normalise()
	if o.biflow || c.cfg.PairWait == 0 || oneWay(&o.key) {
		c.write(o)
		return
	}
	c.pair(o)
}

// hasEnds reports whether both ends were told, in the same kind of address.
func (o *observation) hasEnds() bool {
	const both4, both6 = hasSrc4 | hasDst4, hasSrc6 | hasDst6
	switch o.key.net {
	case packet.NetIPv4:
		return o.has&both4 == both4
	case packet.NetIPv6:
		return o.has&both6 == both6
	}
	return o.has&hasMAC != 0 && (!o.srcMAC.IsZero() || !o.dstMAC.IsZero())
}

// interval is how many packets the record's exporter saw for each that it counted.
func (s *stream) interval(o *observation) uint32 {
	switch n := selection(o.sampling, o.size, o.space, o.of); {
	case s.exp.sampling > 0:
		return s.exp.sampling
	case n > 0:
		return n
	}
	if n := s.samplers[o.sampler]; n > 0 && o.sampler != 0 {
		return n
	}
	return max(s.sampling, 1)
}

// selection computes the interval of the ways in which samplers are described: by
// itself, as so many packets and a space, as so many out of a population.
func selection(interval, size, space, population uint32) uint32 {
	switch {
	case interval > 0:
		return interval
	case size > 0 && population > 0:
		return max(population/size, 1)
	case size > 0 && space > 0:
		return uint32(min((uint64(size)+uint64(space))/uint64(size), 1<<32-1))
	case size > 0:
		return 1
	}
	return 0
}

// scale multiplies the counts by what each stands for. It reports false, and leaves
// them as they are, when one would be beyond maxCount.
func (n *counts) scale(by uint32) bool {
	most, k := max(n.packets, n.bytes, n.frames), uint64(by)
	if k <= 1 {
		return most <= maxCount
	}
	if most > maxCount/k {
		return false
	}
	n.packets *= k
	n.bytes *= k
	n.frames *= k
	return true
}

// times makes Unix nanoseconds of all the ways in which exporters tell the time.
func (c *Collector) times(s *stream, o *observation) {
	boot := s.boot
	if o.init != 0 {
		boot = o.init
	}
	switch {
	case o.has&(hasFirst|hasLast) != 0 && boot != 0:
		// The uptime wraps around after 49 days: what matters is how long ago it was.
		now, uptime := boot+int64(s.uptime), s.uptime
		if s.key.protocol == IPFIX || o.init != 0 { // no uptime in the header to compare with
			now = s.export / 1e6
			uptime = uint32(now - boot)
		}
		ago := func(at uint32) int64 { return (now + int64(int32(at-uptime))) * 1e6 }
		if o.has&hasFirst != 0 {
			o.fwd.start = ago(o.first)
		}
		if o.has&hasLast != 0 {
			o.fwd.end = ago(o.last)
		}
	case o.has&(hasFirst|hasLast) == hasFirst|hasLast:
		o.fwd.end = s.export
		o.fwd.start = s.export - int64(o.last-o.first)*1e6
	case o.before != [2]uint32{}:
		o.fwd.start, o.fwd.end = s.export-int64(o.before[0])*1e3, s.export-int64(o.before[1])*1e3
	}
	switch n := &o.fwd; {
	case n.start == 0 && n.end == 0:
		n.start, n.end = s.export-o.duration, s.export
	case n.start == 0:
		n.start = n.end - o.duration
	case n.end == 0:
		n.end = n.start + o.duration
	}
	const past, future = 366 * 86400e9, 86400e9
	if n := &o.fwd; n.start > n.end || n.start < s.export-past || n.end > s.export+future {
		n.start, n.end = s.export, s.export
		c.stats.Corrected++
	} else if s.shift != 0 {
		c.stats.Corrected++
	}
	o.fwd.start += s.shift
	o.fwd.end += s.shift
	if r := &o.rev; r.start != 0 || r.end != 0 {
		if r.start == 0 || r.start > r.end || r.start+s.shift < o.fwd.start-past || r.end+s.shift > o.fwd.end+future {
			r.start, r.end = o.fwd.start, o.fwd.end
		} else {
			r.start += s.shift
			r.end += s.shift
		}
	} else if r.packets|r.bytes != 0 {
		r.start, r.end = o.fwd.start, o.fwd.end
	}
}

// normalise fills what a key needs: ICMP has its type where others have ports, and
// what is not IP has MAC addresses.
func (o *observation) normalise() {
	k := &o.key
	if k.net != packet.NetIPv4 && k.net != packet.NetIPv6 {
		k.src, k.dst, k.sport, k.dport, k.proto = [16]byte{}, [16]byte{}, 0, 0, 0
		copy(k.src[:], o.srcMAC[:])
		copy(k.dst[:], o.dstMAC[:])
		return
	}
	if o.fwd.ttlMax == 0 {
		o.fwd.ttlMax = o.fwd.ttlMin
	}
	if o.rev.ttlMax == 0 {
		o.rev.ttlMax = o.rev.ttlMin
	}
	switch k.proto {
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if o.has&hasICMP == 0 { // as NetFlow v5 has it
			o.icmpType, o.icmpCode = uint8(k.dport>>8), uint8(k.dport)
		}
		if peer, paired, _ := flow.ICMPPair(k.proto, o.icmpType, o.icmpCode); paired {
			k.sport = uint16(min(o.icmpType, peer))
			k.dport = k.sport
		} else {
			k.sport, k.dport = uint16(o.icmpType), 0x100|uint16(o.icmpCode)
		}
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP, packet.ProtoUDPLite:
	default:
		k.sport, k.dport = 0, 0
	}
}

// oneWay reports whether nobody answers there: multicast and broadcast.
func oneWay(k *key) bool {
	switch k.net {
	case packet.NetIPv4:
		return k.dst[12]&0xf0 == 0xe0 || k.dst == v4([]byte{255, 255, 255, 255})
	case packet.NetIPv6:
		return k.dst[0] == 0xff
	}
	return k.dst[0]&1 != 0
}

func millis(n uint64) int64 {
	const most = 1 << 43 // the year 2248
	return int64(min(n, most)) * 1e6
}

// ntp reads seconds since 1900 and a fraction; from 2036 on they begin anew.
func ntp(n uint64) int64 {
	const epoch = 2208988800
	secs := int64(n >> 32)
	if secs < 1<<31 {
		secs += 1 << 32
	}
	return (secs-epoch)*1e9 + int64((n&0xffffffff)*1e9>>32)
}
