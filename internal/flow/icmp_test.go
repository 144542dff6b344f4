package flow

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// An ICMP error is told by the record of the flow it speaks of, and is a packet of its own
// flow as well.
func TestICMPErrorSpeaksOfAFlow(t *testing.T) {
	six := func(h *packet.Header) *packet.Header {
		h.Net = packet.NetIPv6
		h.Src, h.Dst = [16]byte{0: 0xfd, 15: h.Src[15]}, [16]byte{0: 0xfd, 15: h.Dst[15]}
		return h
	}
	echo := func() *packet.Header {
		h := udp(0, client, server)
		h.Proto, h.ICMPType, h.SrcPort, h.DstPort = packet.ProtoICMP, 8, 0, 0
		return h
	}
	tunnel := func() *packet.Header {
		h := udp(0, "192.0.2.1:0", "192.0.2.2:0")
		h.Proto = protoGRE
		return h
	}
	inTunnel := func(h packet.Header, head []byte, proto byte) packet.Header {
		b := make([]byte, 20)
		b[0], b[9] = 0x45, proto
		copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
		h.Payload = append(append(b, head...), h.Payload...)
		return h
	}
	for _, c := range []struct {
		name     string
		flow     *packet.Header
		kind     int
		edit     func(packet.Header) packet.Header
		ty, code uint8
	}{
		{name: "UDP, refused", flow: udp(0, client, server), kind: 1, ty: 3, code: 1},
		{name: "TCP, too many hops", flow: tcp(0, client, server, packet.SYN, 1, 0), kind: 2, ty: 11, code: 2},
		{name: "echo", flow: echo(), kind: 3, ty: 12, code: 3},
		{name: "IPv6, too big", flow: six(udp(0, client, server)), kind: 1, ty: 2, code: 1},
		{name: "IPv6, behind extension headers", flow: six(udp(0, client, server)), kind: 0, ty: 1, edit: func(h packet.Header) packet.Header {
			b := append([]byte{}, h.Payload[:40]...)
			b[6] = 0
			b = append(append(b, 60, 0, 0, 0, 0, 0, 0, 0), packet.ProtoUDP, 0, 0, 0, 0, 0, 0, 0)
			h.Payload = append(b, h.Payload[40:]...)
			return h
		}},
		{name: "a tunnel of which the outer flow is metered", flow: tunnel(), kind: 0, ty: 3, edit: func(h packet.Header) packet.Header {
			h.Payload = append(h.Payload[:20], 0, 0, 8, 0)
			return h
		}},
		{name: "GRE of which the inner flow is metered", flow: udp(0, client, server), kind: 0, ty: 3, edit: func(h packet.Header) packet.Header {
			return inTunnel(h, []byte{0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, protoGRE)
		}},
		{name: "IP in IP of which the inner flow is metered", flow: udp(0, client, server), kind: 0, ty: 3, edit: func(h packet.Header) packet.Header {
			return inTunnel(h, nil, protoIPIP)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, got := collect(NewDefaultConfig())
			table.Add(c.flow, 0)
			h := icmpError(*udp(time.Millisecond, server, client), *c.flow, c.kind)
			if c.edit != nil {
				h = c.edit(h)
			}
			for cut := range h.Payload { // cut short it says nothing, and harms nothing
				short := h
				short.Payload = h.Payload[:cut]
				table.icmpError(&short)
			}
			found := table.stats.ICMPErrors - table.stats.ICMPLost
			table.Add(&h, 0)
			table.Flush()
			if len(*got) != 2 {
				t.Fatalf("%d records: %+v", len(*got), *got)
			}
			r, own := (*got)[0], (*got)[1]
			if r.ICMPErrors != uint32(found)+1 || r.ErrorType != c.ty || r.ErrorCode != c.code || r.Src.Packets != 1 || r.Dst.Packets != 0 {
				t.Errorf("%+v", r)
			}
			if own.ICMPErrors != 0 || own.Src.Packets != 1 || own.ICMPType != c.ty {
				t.Errorf("%+v", own)
			}
		})
	}
	t.Run("of a fragment", func(t *testing.T) {
		table, got := collect(NewDefaultConfig())
		first := *udp(0, client, server)
		first.Fragment, first.MoreFrag, first.FragLen, first.IPID = true, true, 1480, 7
		table.Add(&first, 0)
		h := icmpError(*udp(1, server, client), first, 2)
		binary.BigEndian.PutUint16(h.Payload[4:], 7)
		binary.BigEndian.PutUint16(h.Payload[6:], 1480/8)
		h.Payload = h.Payload[:20]
		table.Add(&h, 0)
		table.Flush()
		if r := (*got)[0]; r.ICMPErrors != 1 || r.Src.Port != 50000 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("after the report", func(t *testing.T) {
		table, got := collect(NewDefaultConfig())
		probe := udp(0, client, server)
		table.Add(probe, 0)
		table.Tick(int64(time.Hour + 5*sec))
		h := icmpError(*udp(5*sec, server, client), *probe, 1)
		table.Add(&h, 0)
		table.Flush()
		if len(*got) != 3 {
			t.Fatalf("%d records", len(*got))
		}
		if r := (*got)[1]; r.ID != (*got)[0].ID || r.Part != 1 || r.ICMPErrors != 1 || r.Src.Packets != 0 || r.Since != probe.Time || r.End != probe.Time {
			t.Errorf("%+v", r)
		}
	})
	t.Run("of no flow", func(t *testing.T) {
		table, _ := collect(NewDefaultConfig())
		h := icmpError(*udp(0, server, client), *udp(0, client, server), 1)
		table.Add(&h, 0)
		if s := table.Stats(); s.ICMPErrors != 1 || s.ICMPLost != 1 || s.Live != 1 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("more than can be counted", func(t *testing.T) {
		table, got := collect(NewDefaultConfig())
		table.Add(udp(0, client, server), 0)
		h := icmpError(*udp(0, server, client), *udp(0, client, server), 1)
		for range 70_000 {
			table.Add(&h, 0)
		}
		table.Flush()
		if r := (*got)[0]; r.ICMPErrors != 65535 {
			t.Errorf("%+v", r)
		}
	})
}

// FuzzQuoted wants what an ICMP error quotes read within its bounds.
func FuzzQuoted(f *testing.F) {
	for kind := range 4 {
		f.Add(icmpError(*udp(0, server, client), *udp(0, client, server), kind).Payload)
	}
	six := make([]byte, 64)
	six[0], six[6], six[40], six[48] = 0x60, 0, 44, 17
	f.Add(six)
	for _, b := range malformedIP() {
		f.Add(b)
	}
	table, _ := collect(NewDefaultConfig())
	f.Fuzz(func(t *testing.T, b []byte) {
		var q packet.Header
		if rest := quoted(b, &q); rest != nil {
			if len(rest) > len(b) || !q.IsIP() {
				t.Fatalf("%d bytes of %d: %+v", len(rest), len(b), q)
			}
			if inner := greIP(rest); len(inner) > len(rest) {
				t.Fatal("more than there was")
			}
		}
		table.stats = Stats{}
		table.Add(&packet.Header{Net: packet.NetIPv4, Proto: packet.ProtoICMP, ICMPType: 3, Payload: b}, 0)
		table.Add(&packet.Header{Net: packet.NetIPv6, Proto: packet.ProtoICMPv6, ICMPType: 1, Payload: b}, 0)
		if s := table.Stats(); s.ICMPErrors != 2 || s.ICMPLost > 2 {
			t.Fatalf("%+v", s)
		}
	})
}
