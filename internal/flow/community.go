package flow

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"

	"github.com/monban/monban/internal/packet"
)

// CommunityID is the Community ID flow hash, version 1 with seed 0, as specified
// at github.com/corelight/community-id-spec. It is "" for what is not IP.
func CommunityID(r *Record) string {
	if !r.IsIP() || !r.Src.Addr.IsValid() || !r.Dst.Addr.IsValid() {
		return ""
	}
	src, dst, sp, dp := r.Src.Addr, r.Dst.Addr, r.Src.Port, r.Dst.Port
	oneWay := false
	if r.Proto == packet.ProtoICMP || r.Proto == packet.ProtoICMPv6 {
		ty, peer, paired := icmpPair(r.Proto, r.ICMPType, r.ICMPCode)
		sp, dp, oneWay = uint16(ty), uint16(peer), !paired
		if r.Guessed { // the first packet was the answer: its type belongs to the responder
			sp, dp = dp, sp
		}
	}
	var in [2 + 16 + 16 + 2 + 2 + 2]byte
	var a, b []byte
	if src.Is4() && dst.Is4() { // one of them alone is an IPv6 address that maps an IPv4 one
		x, y := src.As4(), dst.As4()
		a, b = x[:], y[:]
	} else {
		x, y := src.As16(), dst.As16()
		a, b = x[:], y[:]
	}
	if c := bytes.Compare(a, b); !oneWay && (c > 0 || c == 0 && sp > dp) {
		a, b, sp, dp = b, a, dp, sp
	}
	n := 2
	n += copy(in[n:], a)
	n += copy(in[n:], b)
	in[n] = r.Proto
	n += 2
	switch r.Proto {
	case packet.ProtoICMP, packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMPv6, packet.ProtoSCTP:
		binary.BigEndian.PutUint16(in[n:], sp)
		binary.BigEndian.PutUint16(in[n+2:], dp)
		n += 4
	}
	sum := sha1.Sum(in[:n])
	var out [2 + 28]byte
	copy(out[:], "1:")
	base64.StdEncoding.Encode(out[2:], sum[:])
	return string(out[:])
}
