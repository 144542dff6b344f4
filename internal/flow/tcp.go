package flow

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/monban/monban/internal/packet"
)

// tcpState is how far one end has come. As in Zeek an end is established once a SYN of
// each was seen, whether or not the last ACK of the handshake was. Partial means data or
// an ACK without a handshake that we saw.
type tcpState uint8

const (
	inactive tcpState = iota
	partial
	synSent
	established
	finSent
	reset
	finReset // reset after a FIN, which is orderly when the other end closes, too
)

// step moves the sender's state s and the other end's o by one segment.
func step(s, o *side, flags uint8, data bool) {
	switch {
	case flags&packet.RST != 0:
		switch {
		case s.tcp != finSent && s.tcp != finReset:
			s.tcp = reset
		case o.tcp != finSent:
			s.tcp = finReset
		}
	case flags&packet.SYN != 0:
		switch {
		case s.tcp != inactive && s.tcp != partial:
		case flags&packet.ACK == 0 && o.tcp <= partial:
			s.tcp = synSent
		default: // an answer; or a SYN of each: simultaneous open, or captured in the wrong order
			s.tcp = established
		}
		if o.tcp == synSent && s.tcp == established {
			o.tcp = established
		}
	case flags&packet.FIN != 0:
		if s.tcp < finSent {
			s.tcp = finSent
		}
		if o.tcp == finReset {
			o.tcp = finSent
		}
	case s.tcp != inactive:
	case o.tcp == established:
		s.tcp = established // its SYN escaped us
	case o.tcp == synSent && !data: // a challenge ACK (RFC 5961) is no answer to a SYN
	default:
		s.tcp = partial
	}
}

// connState sums up both ends in the letters that Zeek's conn.log uses, because
// analysts read them at a glance: o is the initiator, r the responder.
func connState(o, r *side) string {
	oQuiet := o.tcp == inactive || o.tcp == partial
	rQuiet := r.tcp == inactive || r.tcp == partial
	switch {
	case r.tcp >= reset:
		switch {
		case o.tcp == synSent || o.tcp >= reset && !o.data && !r.data:
			return "REJ"
		case oQuiet:
			return "RSTRH"
		}
		return "RSTR"
	case o.tcp >= reset:
		if rQuiet {
			return "RSTOS0"
		}
		return "RSTO"
	case r.tcp == finSent && o.tcp == finSent:
		return "SF"
	case o.tcp == finSent:
		if rQuiet {
			return "SH"
		}
		return "S2"
	case r.tcp == finSent:
		if oQuiet {
			return "SHR"
		}
		return "S3"
	case o.tcp == synSent && r.tcp == inactive:
		return "S0"
	case o.tcp == established && r.tcp == established:
		return "S1"
	}
	return "OTH"
}

// sequence counts the segment as a retransmission when it carried nothing new. One that
// fills a hole did: it was late, or lost before we saw it. Holes are remembered by their
// length alone, up to 64 KiB, until the other end acknowledges what is beyond them. A
// keep-alive, as a probe of a closed window, repeats one byte on purpose.
func sequence(s, o *side, h *packet.Header) {
	if o.missing != 0 && h.TCPFlags&packet.ACK != 0 && h.Ack == o.next {
		o.missing = 0
	}
	n := uint32(h.PayloadLen)
	if h.TCPFlags&(packet.SYN|packet.FIN) != 0 {
		n++
	}
	if n == 0 {
		return
	}
	end := h.Seq + n
	switch {
	case !s.known || h.TCPFlags&packet.SYN != 0 && h.Seq+1 != s.next && s.tcp <= synSent:
		s.next, s.known = end, true
	case int32(end-s.next) > 0:
		if hole := h.Seq - s.next; int32(hole) > 0 {
			s.missing = uint16(min(uint32(s.missing)+hole, math.MaxUint16))
		}
		s.next = end
	case n == 1 && h.Seq == s.next-1 && h.TCPFlags&(packet.SYN|packet.FIN) == 0:
	case n <= uint32(s.missing) && end != s.next:
		s.missing -= uint16(n)
	default:
		s.retrans++
	}
}

// reused reports whether a SYN begins another connection on the ports of e: after a
// close; after the FIN of its sender, where the other direction is not seen; or with
// another initial sequence number than the connection's, as Zeek has it. Only in a
// connection that nobody answered a SYN stays an attempt of the same.
func (e *entry) reused(h *packet.Header, from uint8) bool {
	if h.TCPFlags&(packet.SYN|packet.ACK|packet.RST) != packet.SYN || h.FragOff != 0 {
		return false
	}
	s := &e.side[from]
	switch {
	case e.closing:
		return true
	case !s.known || s.tcp == inactive || s.tcp == synSent:
		return false
	}
	// What was sent since the first SYN is at most the bytes counted.
	repeated := e.part == 0 && s.next-(h.Seq+1) <= uint32(s.bytes)
	return !repeated
}

// begins corrects who began a flow of which we saw some packet before the handshake's,
// as happens when two queues are captured.
func (e *entry) begins(h *packet.Header, from uint8) {
	if !e.guessed || e.part > 0 || e.sizeCount > 0 {
		return
	}
	e.guessed = false
	if h.TCPFlags&packet.ACK != 0 {
		from = 1 - from
	}
	if e.src != from {
		e.src = from
		e.srcMAC, e.dstMAC = e.dstMAC, e.srcMAC
	}
}

// initiator guesses which side began the flow that h is the first packet of,
// and says whether it is a guess. from is the side that sent h.
func initiator(h *packet.Header, from uint8) (side uint8, guessed bool) {
	if !h.IsIP() {
		return from, false
	}
	switch h.Proto {
	case packet.ProtoTCP:
		switch h.TCPFlags & (packet.SYN | packet.ACK) {
		case packet.SYN:
			return from, false
		case packet.SYN | packet.ACK:
			return 1 - from, false
		}
		if servicePort(h.SrcPort, h.DstPort) {
			return 1 - from, true
		}
		return from, true
	case packet.ProtoUDP, packet.ProtoSCTP:
		if servicePort(h.SrcPort, h.DstPort) && !h.DstMAC.IsGroup() && h.Src[0] != 0xff {
			return 1 - from, true
		}
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if isAnswer(h) {
			return 1 - from, true
		}
	}
	return from, false
}

// isAnswer reports whether h answers an ICMP request.
func isAnswer(h *packet.Header) bool {
	if h.Proto != packet.ProtoICMP && h.Proto != packet.ProtoICMPv6 || h.FragOff != 0 {
		return false
	}
	ty, peer, paired := icmpPair(h.Proto, h.ICMPType, h.ICMPCode)
	return paired && icmpReply(h.Proto, ty, peer)
}

// servicePort reports whether a packet from port a to port b looks like an answer.
func servicePort(a, b uint16) bool {
	const system = 1024 // RFC 6335
	const dhcpServer, dhcpClient = 67, 68
	return a != 0 && (a < system && b >= system || !ephemeral(a) && ephemeral(b)) || a == dhcpServer && b == dhcpClient
}

// ephemeral reports whether common stacks give the port to clients, and no OT protocol is
// served on it.
func ephemeral(p uint16) bool {
	switch p {
	case 34962, 34963, 34964, 34980, 44818, 47808: // PROFINET, EtherCAT, EtherNet/IP, BACnet
		return false
	}
	return p >= 32768
}

// icmpPair gives the type that answers ty, or the code when nothing does.
func icmpPair(proto, ty, code uint8) (self, peer uint8, paired bool) {
	if proto == packet.ProtoICMP {
		switch ty {
		case 0, 8:
			return ty, 8 - ty, true
		case 13, 14, 15, 16, 17, 18: // timestamp, information, address mask
			return ty, (ty - 13) ^ 1 + 13, true
		case 9, 10: // router
			return ty, 19 - ty, true
		}
		return ty, code, false
	}
	switch ty {
	case 128, 129, 130, 131, 144, 145: // echo, listener, home agent
		return ty, ty ^ 1, true
	case 133, 134, 135, 136: // router, neighbour
		return ty, (ty - 133) ^ 1 + 133, true
	case 139, 140: // node information
		return ty, (ty - 139) ^ 1 + 139, true
	}
	return ty, code, false
}

func icmpReply(proto, ty, peer uint8) bool {
	if proto == packet.ProtoICMP && (ty == 0 || ty == 8) {
		return ty == 0
	}
	if proto == packet.ProtoICMP && ty < 13 {
		return ty == 9
	}
	return ty > peer
}

// shown is a stack that an address showed in a role, and when a record said so.
type shown struct {
	addr      [16]byte
	at        uint32
	syn       uint16
	initiator bool
}

const (
	maxShown   = 1 << 12
	shownAgain = 300 // seconds
)

// stackNews reports whether the stack of side i of a flow is worth telling: not
// when its address showed the same one a short while ago.
func (t *Table) stackNews(e *entry, i uint8) bool {
	now := shown{e.key.lo, t.clock, e.syn[i], i == e.src}
	if i == 1 {
		now.addr = e.key.hi
	}
	last := &t.shown[(e.hashOf(i)^uint32(i^e.src))%maxShown]
	if last.addr == now.addr && last.syn == now.syn && last.initiator == now.initiator && t.clock-last.at < shownAgain {
		return false
	}
	*last = now
	return true
}

// hashOf mixes the address of one side.
func (e *entry) hashOf(i uint8) uint32 {
	a := &e.key.lo
	if i == 1 {
		a = &e.key.hi
	}
	h := mum(binary.LittleEndian.Uint64(a[:8])^0xa0761d6478bd642f, binary.LittleEndian.Uint64(a[8:])^0xe7037ed1a0b428db)
	return uint32(h ^ h>>32)
}

// stackFacts interns what a SYN or SYN-ACK shows of its sender's TCP stack: the
// options in order, their values where they are the stack's own choice, and the
// window. At most maxStacks distinct ones are kept.
func (t *Table) stackFacts(h *packet.Header) uint16 {
	var buf [96]byte
	b := buf[:0]
	for o := h.TCPOptions; len(o) > 0 && len(b) < 72; {
		if len(b) > 0 {
			b = append(b, ',')
		}
		kind := o[0]
		if kind == 0 {
			b = append(b, 'E')
			break
		}
		if kind == 1 {
			b, o = append(b, 'N'), o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			b = append(b, '!') // a length that lies
			break
		}
		v := o[2:o[1]]
		switch {
		case kind == 2 && len(v) == 2:
			b = strconv.AppendUint(append(b, 'M'), uint64(binary.BigEndian.Uint16(v)), 10)
		case kind == 3 && len(v) == 1:
			b = strconv.AppendUint(append(b, 'W'), uint64(v[0]), 10)
		case kind == 4:
			b = append(b, 'S')
		case kind == 8:
			b = append(b, 'T')
		default:
			b = strconv.AppendUint(append(b, 'O'), uint64(kind), 10)
		}
		o = o[o[1]:]
	}
	b = strconv.AppendUint(append(b, ';'), uint64(h.Window), 10)
	if i, ok := t.stackIdx[string(b)]; ok {
		return i
	}
	const maxStacks = 4096
	if len(t.stacks) >= maxStacks {
		return 0
	}
	i := uint16(len(t.stacks))
	t.stacks = append(t.stacks, string(b))
	t.stackIdx[t.stacks[i]] = i
	return i
}
