package app

import (
	"encoding/binary"

	"github.com/monban/monban/internal/packet"
)

// Relays are looked for among the last few thousand packets only: whoever passes
// on a packet does so within milliseconds. 4,096 entries take 128 KiB.
const (
	relayEntries = 4096
	relayWithin  = 2 * nsPerSecond
)

type relays struct{ seen []relayed }

type relayed struct {
	print uint64
	time  int64
	src   packet.MAC
	dst   packet.MAC
}

func newRelays() relays { return relays{make([]relayed, relayEntries)} }

// sameSubnet guesses whether both ends of an IPv4 packet share a link: private
// addresses in one /24.
func sameSubnet(h *packet.Header) bool {
	s, d := binary.BigEndian.Uint32(h.Src[12:]), binary.BigEndian.Uint32(h.Dst[12:])
	return (s^d)>>8 == 0 && (s>>24 == 10 || s>>16 == 192<<8|168 || s>>20 == 172<<4|1)
}

// relay notices a packet that its receiver sent on to where it might have gone
// directly. Hop limit and link addresses may differ; all else must be equal.
func (i *Inspector) relay(h *packet.Header, iface string) {
	if h.DstMAC[0]&1 != 0 || h.SrcMAC == h.DstMAC {
		return
	}
	ends := uint64(binary.LittleEndian.Uint32(h.Src[12:]))<<32 | uint64(binary.LittleEndian.Uint32(h.Dst[12:]))
	content := uint64(h.IPID)<<48 | uint64(uint16(h.NetLen)^h.FragOff)<<32 | uint64(h.Seq^uint32(h.SrcPort)<<16^uint32(h.DstPort))
	print := uint64(digest(ends).u64(content + uint64(h.Proto)))
	e := &i.relays.seen[print%relayEntries]
	if e.print == print && e.dst == h.SrcMAC && e.src != h.SrcMAC && e.src != h.DstMAC &&
		h.Time-e.time <= relayWithin && h.Time >= e.time {
		i.relayedBy(h, e.src, iface)
	}
	e.print, e.time, e.src, e.dst = print, h.Time, h.SrcMAC, h.DstMAC
}

func (i *Inspector) relayedBy(h *packet.Header, sender packet.MAC, iface string) {
	key := digest('r').mac(sender).mac(h.SrcMAC).bytes(h.Src[:]).bytes(h.Dst[:])
	count, ok := i.limits.repeat(key, h.Time, i.limits.cfg.Repeat)
	if !ok {
		return
	}
	s := i.begin(h, iface, Relay)
	s.MAC, s.By, s.Address, s.Count = sender, h.SrcMAC, packet.Addr(h.Dst), count
	i.emit(s)
}
