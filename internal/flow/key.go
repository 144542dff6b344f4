package flow

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/monban/monban/internal/packet"
)

// key identifies a flow whichever side speaks: lo is the smaller end. zone tells
// networks apart that use the same addresses, see docs/adr/0007-zones.md. It has no
// gaps, so that two are compared word by word, without a call.
type key struct {
	lo, hi         [16]byte
	loPort, hiPort uint16
	net            uint16
	proto          uint8
	dead           uint8 // of an entry that is free, so that no packet finds it there
	zone           uint32
}

// keyOf fills k and returns which side of it the packet's sender is.
func (t *Table) keyOf(h *packet.Header, k *key) (from uint8) {
	k.net, k.proto, k.zone = h.Net, h.Proto, h.Tunnel.Zone
	if t.cfg.SeparateVLANs && h.VLAN != 0 {
		k.zone = vlanZone(h)
	}
	if !h.IsIP() {
		k.proto = 0
		copy(k.lo[:], h.SrcMAC[:])
		copy(k.hi[:], h.DstMAC[:])
		if less(&k.lo, &k.hi) {
			return 0
		}
		k.lo, k.hi = k.hi, k.lo
		return 1
	}
	sp, dp := h.SrcPort, h.DstPort
	switch {
	case h.FragOff != 0:
		sp, dp = t.fragmentPorts(h)
	case h.Proto == packet.ProtoICMP || h.Proto == packet.ProtoICMPv6:
		ty, peer, paired := icmpPair(h.Proto, h.ICMPType, h.ICMPCode)
		if sp, dp = uint16(ty), uint16(peer); paired {
			sp = uint16(min(ty, peer))
			dp = sp
		} else {
			dp |= 0x100 // a code, not a type
		}
	}
	if h.Src == h.Dst { // a host that talks to itself
		k.lo, k.hi = h.Src, h.Dst
		k.loPort, k.hiPort = min(sp, dp), max(sp, dp)
		if sp > dp || sp == dp && isAnswer(h) {
			return 1
		}
		return 0
	}
	if less(&h.Src, &h.Dst) {
		k.lo, k.hi, k.loPort, k.hiPort = h.Src, h.Dst, sp, dp
		return 0
	}
	k.lo, k.hi, k.loPort, k.hiPort = h.Dst, h.Src, dp, sp
	return 1
}

func less(a, b *[16]byte) bool {
	x, y := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])
	if x != y {
		return x < y
	}
	return binary.BigEndian.Uint64(a[8:]) < binary.BigEndian.Uint64(b[8:])
}

// hash mixes the key by 64-bit multiply and fold, as wyhash does. The table's seed
// is secret, or else who sends packets could choose keys that all collide.
func (k *key) hash(seed *[3]uint64) uint64 {
	a, b, c := seed[0], seed[1], seed[2]
	x := mum(binary.LittleEndian.Uint64(k.lo[:8])^a, binary.LittleEndian.Uint64(k.lo[8:])^b)
	y := mum(binary.LittleEndian.Uint64(k.hi[:8])^b, binary.LittleEndian.Uint64(k.hi[8:])^c)
	z := uint64(k.loPort) | uint64(k.hiPort)<<16 | uint64(k.net)<<32 | uint64(k.proto)<<48
	return mum(x^y^a^uint64(k.zone), z^c)
}

// id names a flow: by its key, its first packet's time, and its number, as two
// flows of one key may begin in the same instant. The same packets give the same
// id in every run.
func (k *key) id(start int64, number uint64) uint64 {
	h := k.hash(&[3]uint64{0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3})
	return mum(h^number, uint64(start)^0x8ebc6af09c88c6e3) | 1
}

// is reports whether two keys are equal.
func (k *key) is(o *key) bool {
	a, b := (*[5]uint64)(unsafe.Pointer(k)), (*[5]uint64)(unsafe.Pointer(o))
	return (a[0]^b[0])|(a[1]^b[1])|(a[2]^b[2])|(a[3]^b[3])|(a[4]^b[4])|uint64(k.zone^o.zone) == 0
}

func mum(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}
