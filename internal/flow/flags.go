package flow

import "github.com/monban/monban/internal/packet"

// The functions here give to others, who have no packets, how the meter decides.

// StateOfFlags is the state of a TCP connection of which only the or-ed flags of
// both ends are known, in the meter's own letters: the segments that the flags
// tell of are played in their usual order.
func StateOfFlags(initiator, responder uint8) string {
	var o, r side
	play := func(s, other *side, flags, segment uint8) {
		if flags&segment == segment {
			step(s, other, segment, false)
		}
	}
	if responder&(packet.SYN|packet.ACK) == packet.SYN { // both open at once
		play(&o, &r, initiator, packet.SYN)
		play(&r, &o, responder, packet.SYN)
	} else {
		play(&o, &r, initiator, packet.SYN)
		play(&r, &o, responder, packet.SYN|packet.ACK)
	}
	refused := initiator&packet.SYN != 0 && responder&(packet.SYN|packet.RST) == packet.RST
	if !refused {
		play(&o, &r, initiator, packet.ACK)
		play(&r, &o, responder, packet.ACK)
	}
	play(&o, &r, initiator, packet.FIN)
	play(&r, &o, responder, packet.FIN)
	play(&o, &r, initiator, packet.RST)
	play(&r, &o, responder, packet.RST)
	return connState(&o, &r)
}

// ServicePort reports whether a packet from port a to port b looks like an answer.
func ServicePort(a, b uint16) bool { return servicePort(a, b) }

// ICMPPair gives the type that answers ty, or the code when nothing does, and
// whether ty is itself the answer of the two.
func ICMPPair(proto, ty, code uint8) (peer uint8, paired, answer bool) {
	_, peer, paired = icmpPair(proto, ty, code)
	return peer, paired, paired && icmpReply(proto, ty, peer)
}
