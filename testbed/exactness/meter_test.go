package exactness

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// end is one side of a conversation. Of ICMP the port says what kind of message it
// is, alike on both sides.
type end struct {
	addr netip.Addr
	port uint16
}

func (e end) less(o end) bool {
	if c := e.addr.Compare(o.addr); c != 0 {
		return c < 0
	}
	return e.port < o.port
}

// key names a conversation, whoever began it.
type key struct {
	proto  uint8
	lo, hi end
}

func keyOf(proto uint8, a, b end) (k key, swapped bool) {
	if b.less(a) {
		return key{proto, b, a}, true
	}
	return key{proto, a, b}, false
}

// counts are what one side sent.
type counts struct{ packets, bytes, frames uint64 }

func (c *counts) add(o counts) {
	c.packets, c.bytes, c.frames = c.packets+o.packets, c.bytes+o.bytes, c.frames+o.frames
}

func (k key) String() string {
	return fmt.Sprintf("%d %s:%d %s:%d", k.proto, k.lo.addr, k.lo.port, k.hi.addr, k.hi.port)
}

// talk is all that was metered of one conversation.
type talk struct {
	flows   int
	state   string // TCP state of the first flow, by its last record
	lo, hi  counts
	byHigh  bool // the first flow was begun by hi
	guessed bool

	// What explains differences, by a second look at each packet.
	fragments, badSum, big uint64
	cut                    uint64 // by a snap length
	answered               bool   // the first packet was an answer: SYN-ACK
}

// metered is a capture as we see it.
type metered struct {
	talks            map[key]*talk
	packets, refused uint64 // read, and not decoded
	inFlows          uint64
	opened           uint64 // packets in tunnels
	reasons          map[string]uint64
	damaged          error
}

// meter runs a capture through our packages, as the receiver does. A file that is no
// capture gives nil.
func meter(t *testing.T, path string, icmp func(proto, ty, code uint8) uint16, sctpPorts bool) *metered {
	t.Helper()
	return meterWith(t, packet.Decoder{}, path, icmp, sctpPorts)
}

// meterWith is meter with a decoder that may leave tunnels closed.
func meterWith(t *testing.T, d packet.Decoder, path string, icmp func(proto, ty, code uint8) uint16, sctpPorts bool) *metered {
	t.Helper()
	source, err := packet.OpenFiles(path)
	if err != nil {
		return nil
	}
	defer source.Close()
	m := &metered{talks: map[key]*talk{}, reasons: map[string]uint64{}}
	fold := func(proto uint8, a, b end, ty, code uint8) (key, bool) {
		switch proto {
		case packet.ProtoICMP, packet.ProtoICMPv6:
			a.port = icmp(proto, ty, code)
			b.port = a.port
		case packet.ProtoSCTP:
			if !sctpPorts {
				a.port, b.port = 0, 0
			}
		}
		return keyOf(proto, a, b)
	}
	flows := map[uint64]bool{}
	cfg := flow.NewDefaultConfig()
	cfg.CommunityID = false
	table := flow.NewTable(cfg, func(r *flow.Record) {
		m.inFlows += r.Src.Packets + r.Dst.Packets
		if !r.IsIP() {
			return
		}
		k, swapped := fold(r.Proto, end{r.Src.Addr, r.Src.Port}, end{r.Dst.Addr, r.Dst.Port}, r.ICMPType, r.ICMPCode)
		c := m.talks[k]
		if c == nil {
			c = &talk{byHigh: swapped, guessed: r.Guessed}
			m.talks[k] = c
		}
		if !flows[r.ID] {
			flows[r.ID] = true
			c.flows++
		}
		if c.flows == 1 {
			c.state = r.State
		}
		s := counts{r.Src.Packets, r.Src.Bytes, r.Src.Frames}
		d := counts{r.Dst.Packets, r.Dst.Bytes, r.Dst.Frames}
		if swapped {
			s, d = d, s
		}
		c.lo.add(s)
		c.hi.add(d)
	})
	facts := map[key]*talk{}
	var h packet.Header
	take := func(f *packet.Frame, why packet.Reason) {
		m.packets++
		if why != packet.OK {
			m.refused++
			m.reasons[why.String()]++
			return
		}
		table.Add(&h, f.Interface)
		if !h.IsIP() {
			return
		}
		k, _ := fold(h.Proto, end{packet.Addr(h.Src), h.SrcPort}, end{packet.Addr(h.Dst), h.DstPort}, h.ICMPType, h.ICMPCode)
		c := facts[k]
		if c == nil {
			c = &talk{answered: h.Proto == packet.ProtoTCP && h.TCPFlags&packet.SYN != 0 && h.TCPFlags&packet.ACK != 0}
			facts[k] = c
		}
		if h.NetLen > 1500 {
			c.big++
		}
		if h.Fragment {
			c.fragments++
		}
		if len(f.Data) < f.WireLen {
			c.cut++
		}
		if len(f.Data) >= f.WireLen && badChecksum(f.Data, &h) {
			c.badSum++
		}
	}
	frames := make([]packet.Frame, 256)
	for {
		n, err := source.NextBatch(frames)
		var damage *packet.FileError
		if errors.As(err, &damage) {
			m.damaged = err
			continue
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for i := range frames[:n] {
			f := &frames[i]
			take(f, d.Decode(f, &h))
			for d.More() {
				take(f, d.Next(&h))
			}
		}
	}
	m.opened = d.Stats().Opened
	table.Flush()
	for k, f := range facts {
		if c := m.talks[k]; c != nil {
			c.fragments, c.badSum, c.big, c.cut, c.answered = f.fragments, f.badSum, f.big, f.cut, f.answered
		}
	}
	return m
}

// badChecksum looks whether the IPv4 header or the TCP, UDP or ICMP checksum is wrong.
func badChecksum(frame []byte, h *packet.Header) bool {
	if h.Fragment {
		return false
	}
	at := bytes.LastIndex(frame, addresses(h))
	if at < 0 {
		return false
	}
	var pseudo, head, body []byte
	switch h.Net {
	case packet.NetIPv4:
		if at < 12 {
			return false
		}
		ip := frame[at-12:]
		size := int(ip[0]&15) * 4
		if h.NetLen > len(ip) || size > h.NetLen {
			return false
		}
		head, body = ip[:size], ip[size:h.NetLen]
		pseudo = append(pseudo, ip[12:20]...)
	case packet.NetIPv6:
		if at < 8 {
			return false
		}
		ip := frame[at-8:]
		if h.NetLen > len(ip) || ip[6] != h.Proto {
			return false
		}
		body = ip[40:h.NetLen]
		pseudo = append(pseudo, ip[8:40]...)
	}
	if head != nil && sum(head) != 0xffff {
		return true
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, h.Proto)
	switch h.Proto {
	case packet.ProtoUDP:
		if len(body) < 8 || body[6] == 0 && body[7] == 0 {
			return false
		}
	case packet.ProtoTCP, packet.ProtoICMPv6:
	case packet.ProtoICMP:
		pseudo = nil
	default:
		return false
	}
	return sum(append(pseudo, body...)) != 0xffff
}

func addresses(h *packet.Header) []byte {
	if h.Net == packet.NetIPv4 {
		return append(append([]byte{}, h.Src[12:]...), h.Dst[12:]...)
	}
	return append(append([]byte{}, h.Src[:]...), h.Dst[:]...)
}

// sum is the ones' complement sum of RFC 1071.
func sum(b []byte) uint16 {
	var s uint32
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
