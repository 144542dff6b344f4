package flow

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/monban/monban/internal/packet"
)

// piece is a fragment of client's datagram id to server; what it is of is told by the first.
func piece(at time.Duration, id uint32, from, size int, more bool) *packet.Header {
	h := udp(at, client, server)
	h.Fragment, h.MoreFrag, h.FragOff, h.FragLen, h.IPID, h.NetLen = true, more, uint16(from), uint16(size), id, 20+size
	if from > 0 {
		h.SrcPort, h.DstPort = 0, 0
	}
	return h
}

func TestFragments(t *testing.T) {
	type told struct{ packets, fragments, overlapping uint32 }
	for _, c := range []struct {
		name    string
		packets []*packet.Header
		flow    told // of client and server
		without told // of both, without ports
		stats   FragmentStats
	}{
		{"in order", []*packet.Header{piece(0, 1, 0, 1480, true), piece(0, 1, 1480, 1480, true), piece(0, 1, 2960, 7, false)},
			told{3, 3, 0}, told{}, FragmentStats{Packets: 3, Datagrams: 1, Whole: 1}},
		{"last first, as some systems send them", []*packet.Header{piece(0, 1, 2960, 7, false), piece(1, 1, 1480, 1480, true), piece(2, 1, 0, 1480, true)},
			told{3, 3, 0}, told{}, FragmentStats{Packets: 3, Datagrams: 1, Whole: 1}},
		{"the first after the others were reported", []*packet.Header{piece(0, 1, 1480, 7, false), udp(8*sec, "10.9.9.9:1", "10.9.9.8:1"), piece(8*sec, 1, 0, 1480, true)},
			told{1, 1, 0}, told{1, 1, 0}, FragmentStats{Packets: 2, Datagrams: 1, Whole: 1, Orphans: 1}},
		{"no first", []*packet.Header{piece(0, 1, 1480, 1480, true), piece(0, 1, 2960, 7, false)},
			told{}, told{2, 2, 0}, FragmentStats{Packets: 2, Datagrams: 1, Incomplete: 1, Orphans: 2}},
		{"one missing", []*packet.Header{piece(0, 1, 0, 1480, true), piece(0, 1, 2960, 7, false)},
			told{2, 2, 0}, told{}, FragmentStats{Packets: 2, Datagrams: 1, Incomplete: 1}},
		{"no end", []*packet.Header{piece(0, 1, 0, 1480, true), piece(0, 1, 1480, 1480, true)},
			told{2, 2, 0}, told{}, FragmentStats{Packets: 2, Datagrams: 1, Incomplete: 1}},
		{"again", []*packet.Header{piece(0, 1, 0, 1480, true), piece(0, 1, 0, 1480, true), piece(0, 1, 1480, 7, false), piece(1, 1, 1480, 7, false)},
			told{4, 4, 2}, told{}, FragmentStats{Packets: 4, Datagrams: 1, Whole: 1, Overlapping: 2}},
		{"over each other by eight bytes", []*packet.Header{piece(0, 1, 0, 1480, true), piece(0, 1, 1472, 1480, false)},
			told{2, 2, 1}, told{}, FragmentStats{Packets: 2, Datagrams: 1, Whole: 1, Overlapping: 1}},
		{"teardrop: one inside another, before the first", []*packet.Header{piece(0, 1, 24, 100, false), piece(0, 1, 24, 8, true), piece(1, 1, 0, 36, true)},
			told{3, 3, 2}, told{}, FragmentStats{Packets: 3, Datagrams: 1, Whole: 1, Overlapping: 2}},
		{"the id used again, after the first was whole", []*packet.Header{piece(0, 1, 0, 1480, true), piece(0, 1, 1480, 7, false), piece(4*sec, 1, 1480, 7, false), piece(4*sec, 1, 0, 1480, true)},
			told{4, 4, 0}, told{}, FragmentStats{Packets: 4, Datagrams: 2, Whole: 2}},
		{"half a minute later, of which nobody knows the ports", []*packet.Header{piece(0, 1, 0, 1480, true), piece(31*sec, 1, 1480, 7, false)},
			told{1, 1, 0}, told{1, 1, 0}, FragmentStats{Packets: 2, Datagrams: 2, Incomplete: 2, Orphans: 1}},
		{"ids that differ above 16 bits", []*packet.Header{piece(0, 0x1_0001, 0, 1480, true), piece(0, 0x2_0001, 1480, 7, false)},
			told{1, 1, 0}, told{1, 1, 0}, FragmentStats{Packets: 2, Datagrams: 2, Incomplete: 2, Orphans: 1}},
		{"past the end of any datagram", []*packet.Header{piece(0, 1, 0, 1480, true), piece(0, 1, 65528, 1480, false)},
			told{2, 2, 0}, told{}, FragmentStats{Packets: 2, Datagrams: 1, Incomplete: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var flow, without told
			table := NewTable(NewDefaultConfig(), func(r *Record) {
				to := &flow
				if r.Src.Port == 0 {
					to = &without
				} else if r.Src.Port == 1 {
					return
				}
				to.packets += uint32(r.Src.Packets)
				to.fragments += r.Fragments
				to.overlapping += r.Overlapping
			})
			for _, h := range c.packets {
				table.Add(h, 0)
			}
			table.Flush()
			if flow != c.flow || without != c.without {
				t.Errorf("flow %+v, without ports %+v; want %+v and %+v", flow, without, c.flow, c.without)
			}
			if s := table.Stats().Fragments; s != c.stats {
				t.Errorf("got  %+v\nwant %+v", s, c.stats)
			}
		})
	}
}

// Fragments that never end cost the table's fixed place and nothing more, and those of an
// honest datagram still find each other as long as its set has room.
func TestFragmentFlood(t *testing.T) {
	const n = 200_000
	table, _ := collect(NewDefaultConfig())
	rnd := rand.New(rand.NewPCG(1, 1))
	h := piece(0, 0, 8, 8, true)
	add := func(i int) {
		h.Time, h.IPID, h.FragOff = h.Time+1000, rnd.Uint32(), uint16(8*rnd.IntN(8000))
		h.Src[15] = byte(i)
		h.Dst[14] = byte(i >> 8)
		table.Add(h, 0)
	}
	add(0)
	i := 0
	if allocated := testing.AllocsPerRun(n, func() { i++; add(i % 4096) }); allocated > 0.01 {
		t.Errorf("%v allocations a fragment", allocated)
	}
	table.Flush()
	s := table.Stats().Fragments
	if s.Datagrams != s.Whole+s.Incomplete || s.Packets < n || s.Incomplete < n/2 {
		t.Errorf("%+v", s)
	}
	if size := unsafe.Sizeof(fragments{}); size > 320<<10 {
		t.Errorf("the table of datagrams has %d KiB", size>>10)
	}
}

func TestManyDatagramsAtOnce(t *testing.T) {
	table, got := collect(NewDefaultConfig())
	const n = 150 // more would now and then be too many for one set
	for id := range uint32(n) {
		table.Add(piece(0, id, 0, 1480, true), 0)
	}
	for id := range uint32(n) {
		table.Add(piece(0, id, 1480, 7, false), 0)
	}
	table.Flush()
	if s := table.Stats().Fragments; len(*got) != 1 || s.Whole != n || s.Orphans != 0 {
		t.Errorf("%d records, %+v", len(*got), s)
	}
}
