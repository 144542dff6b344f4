package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// pcapFile writes classic pcap. The zero value is little-endian, in microseconds.
type pcapFile struct {
	big   bool
	magic uint32
	link  uint32
	minor uint16
}

func (p pcapFile) order() interface {
	binary.ByteOrder
	binary.AppendByteOrder
} {
	if p.big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (p pcapFile) header() []byte {
	o := p.order()
	if p.magic == 0 {
		p.magic = pcapMicros
	}
	if p.minor == 0 {
		p.minor = 4
	}
	if p.link == 0 {
		p.link = 1
	}
	b := o.AppendUint32(nil, p.magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, p.minor)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, 65535)
	return o.AppendUint32(b, p.link)
}

func (p pcapFile) packet(sec, frac uint32, data []byte, wire uint32) []byte {
	o := p.order()
	b := o.AppendUint32(nil, sec)
	b = o.AppendUint32(b, frac)
	b = o.AppendUint32(b, uint32(len(data)))
	b = o.AppendUint32(b, wire)
	if p.magic == pcapLonger {
		b = append(b, make([]byte, 8)...)
	}
	return append(b, data...)
}

// ngFile writes pcapng.
type ngFile struct{ big bool }

func (g ngFile) order() interface {
	binary.ByteOrder
	binary.AppendByteOrder
} {
	return pcapFile{big: g.big}.order()
}

func (g ngFile) block(kind uint32, body []byte) []byte {
	o := g.order()
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	b := o.AppendUint32(nil, kind)
	b = o.AppendUint32(b, uint32(len(body)+12))
	b = append(b, body...)
	return o.AppendUint32(b, uint32(len(body)+12))
}

func (g ngFile) section() []byte {
	o := g.order()
	b := o.AppendUint32(nil, sectionMagic)
	b = o.AppendUint16(b, 1)
	b = o.AppendUint16(b, 0)
	return g.block(blockSection, o.AppendUint64(b, math.MaxUint64))
}

func (g ngFile) option(code uint16, value []byte) []byte {
	o := g.order()
	b := o.AppendUint16(nil, code)
	b = o.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (g ngFile) iface(link uint16, snap uint32, options ...[]byte) []byte {
	o := g.order()
	b := o.AppendUint16(nil, link)
	b = o.AppendUint16(b, 0)
	b = o.AppendUint32(b, snap)
	return g.block(blockInterface, append(b, cat(options...)...))
}

func (g ngFile) packet(iface uint32, ts uint64, data []byte, wire uint32, options ...[]byte) []byte {
	o := g.order()
	b := o.AppendUint32(nil, iface)
	b = o.AppendUint32(b, uint32(ts>>32))
	b = o.AppendUint32(b, uint32(ts))
	b = o.AppendUint32(b, uint32(len(data)))
	b = o.AppendUint32(b, wire)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return g.block(blockPacket, append(b, cat(options...)...))
}

func (g ngFile) simple(data []byte, wire uint32) []byte {
	return g.block(blockSimple, append(g.order().AppendUint32(nil, wire), data...))
}

func (g ngFile) old(iface uint16, ts uint64, data []byte, wire uint32) []byte {
	o := g.order()
	b := o.AppendUint16(nil, iface)
	b = o.AppendUint16(b, 3) // drops
	b = o.AppendUint32(b, uint32(ts>>32))
	b = o.AppendUint32(b, uint32(ts))
	b = o.AppendUint32(b, uint32(len(data)))
	b = o.AppendUint32(b, wire)
	return g.block(blockPacketOld, append(b, data...))
}

// sample has four packets.
func (g ngFile) sample() []byte {
	return cat(g.section(), g.iface(1, 0), g.packet(0, 1e6, []byte("p"), 60), g.packet(0, 2e6, []byte("q"), 60), g.simple([]byte("r"), 1), g.old(0, 4e6, []byte("s"), 60))
}

// shot is a frame without its memory.
type shot struct {
	time  int64
	data  string
	wire  int
	iface int
	link  LinkType
}

func shots(t testing.TB, s Source) (all []shot, damage error) {
	t.Helper()
	frames := make([]Frame, 3)
	for {
		n, err := s.NextBatch(frames)
		for _, f := range frames[:n] {
			all = append(all, shot{f.Time, string(f.Data), f.WireLen, f.Interface, f.Link})
		}
		var bad *FileError
		switch {
		case err == io.EOF:
			return all, damage
		case errors.As(err, &bad):
			damage = err
		case err != nil:
			t.Fatal(err)
		}
	}
}

func TestPcap(t *testing.T) {
	for _, big := range []bool{false, true} {
		for _, c := range []struct {
			name string
			file pcapFile
			frac int64
		}{
			{"microseconds", pcapFile{}, 1000},
			{"nanoseconds", pcapFile{magic: pcapNanos}, 1},
			{"longer records", pcapFile{magic: pcapLonger}, 1000},
			{"with the length of a check sequence", pcapFile{link: 0x24000001}, 1000},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.file.big = big
				b := cat(c.file.header(), c.file.packet(7, 9, []byte("one"), 60), c.file.packet(math.MaxUint32, 5, nil, 70), c.file.packet(8, 0, []byte("lies"), math.MaxUint32))
				got, damage := shots(t, open(t, put(t, "x", b)))
				want := []shot{{7e9 + 9*c.frac, "one", 60, 0, 1}, {math.MaxUint32*1e9 + 5*c.frac, "", 70, 0, 1}, {8e9, "lies", 4, 0, 1}}
				if !slices.Equal(got, want) || damage != nil {
					t.Errorf("got %v, %v, want %v", got, damage, want)
				}
			})
		}
	}
	// Before version 2.3 the two lengths were the other way round.
	b := cat(pcapFile{minor: 2}.header(), pcapFile{}.packet(1, 0, []byte("four"), 60))
	binary.LittleEndian.PutUint32(b[32:], 60)
	binary.LittleEndian.PutUint32(b[36:], 4)
	if got, _ := shots(t, open(t, put(t, "x", b))); len(got) != 1 || got[0] != (shot{1e9, "four", 60, 0, 1}) {
		t.Errorf("old version: %v", got)
	}
}

func TestPcapng(t *testing.T) {
	for _, big := range []bool{false, true} {
		g := ngFile{big}
		o := g.order()
		offset := o.AppendUint64(nil, 1000)
		b := cat(
			g.section(),
			g.iface(1, 0, g.option(2, []byte("eth0"))),
			g.iface(101, 3, g.option(2, []byte("tun0")), g.option(9, []byte{9})),
			g.iface(1, 0, g.option(9, []byte{0x80 | 10}), g.option(14, offset), g.option(0, nil), []byte{1, 2, 3, 4}),
			g.packet(0, 1_500_000, []byte("micro"), 60, g.option(2, o.AppendUint32(nil, 1))),
			g.block(0xbad, zero(1<<20)), // of no interest, and longer than the window
			g.packet(1, 1_500_000_001, []byte("nano"), 61),
			g.packet(2, 1536, []byte("binary"), 62),
			g.simple([]byte("plain"), 5),
			g.old(0, 1_600_000, []byte("old"), 63),
			g.block(blockStats, cat(o.AppendUint32(nil, 1), zero(8), g.option(5, o.AppendUint64(nil, 11)), g.option(7, o.AppendUint64(nil, 4)))),
			ngFile{!big}.section(),
			ngFile{!big}.iface(1, 2, ngFile{!big}.option(2, []byte("eth0"))),
			ngFile{!big}.simple([]byte("cu"), 9),
			ngFile{!big}.iface(228, 0),
			ngFile{!big}.packet(1, math.MaxUint64, []byte("far"), 64),
		)
		s := open(t, put(t, "x", b))
		got, damage := shots(t, s)
		want := []shot{
			{1_500_000_000, "micro", 60, 0, 1},
			{1_500_000_001, "nano", 61, 1, 101},
			{1001_500_000_000, "binary", 62, 2, 1},
			{1001_500_000_000, "plain", 5, 0, 1},
			{1_600_000_000, "old", 63, 0, 1},
			{1_600_000_000, "cu", 9, 3, 1},
			{9223372035_551615000, "far", 64, 4, 228},
		}
		if damage != nil || len(got) != len(want) {
			t.Fatalf("got %v, %v", got, damage)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("packet %d: got %v, want %v", i, got[i], want[i])
			}
		}
		ifaces := s.Interfaces()
		if len(ifaces) != 5 || ifaces[0].Name != "eth0" || ifaces[1].SnapLen != 3 || ifaces[2].Name != "x#2" || ifaces[3].Link != 1 || ifaces[4].Name != "x#1" {
			t.Errorf("interfaces %v", ifaces)
		}
		if st := s.Stats(); st.Interfaces[1].Drops != 15 || st.Drops() != 15 {
			t.Errorf("stats %+v", st)
		}
	}
}

// The same interface declared again in a later section is still the same.
func TestPcapngSectionsOfOneInterface(t *testing.T) {
	g := ngFile{}
	one := cat(g.section(), g.iface(1, 0, g.option(2, []byte("eth0"))), g.packet(0, 1, []byte("x"), 1))
	s := open(t, put(t, "x", bytes.Repeat(one, 1000)))
	if got, damage := shots(t, s); len(got) != 1000 || damage != nil || len(s.Interfaces()) != 1 {
		t.Errorf("%d packets of %d interfaces, %v", len(got), len(s.Interfaces()), damage)
	}
}

func TestPcapngThatLies(t *testing.T) {
	g := ngFile{}
	start := cat(g.section(), g.iface(1, 0), g.packet(0, 1, []byte("x"), 1))
	size := func(b []byte, v uint32) []byte {
		b = bytes.Clone(b)
		binary.LittleEndian.PutUint32(b[4:], v)
		return b
	}
	packet := g.packet(0, 2, []byte("yy"), 2)
	for _, c := range []struct {
		name string
		then []byte
		says string
	}{
		{"shorter than a block can be", size(packet, 8), "a block whose length says 8"},
		{"not of whole words", size(packet, 37), "a block whose length says 37"},
		{"larger than a packet can be", size(packet, 1<<30), "a block of type 6 whose length says 1073741824"},
		{"front and end differ", size(cat(packet, packet), 36+4), "a block of type 6 whose length is 40 at its front and"},
		{"front and end of an unknown one differ", cat(g.block(77, zero(8))[:16], zero(4)), "a block whose length is 20 at its front and 0 at its end"},
		{"more captured than there is room", g.block(blockPacket, cat(zero(12), []byte{200, 0, 0, 0, 200, 0, 0, 0}, zero(8))), "a packet of 200 bytes in a block that has room for 8"},
		{"interface that is not declared", g.packet(5, 2, []byte("yy"), 2), "interface 5, where only 1"},
		{"packet block without a packet", g.block(blockPacket, zero(8)), "too short for its content"},
		{"interface block without a body", g.block(blockInterface, zero(4)), "too short for its content"},
		{"clock of no sense", g.iface(1, 0, g.option(9, []byte{99})), "impossible resolution (0x63)"},
		{"byte order of no sense", g.block(blockSection, zero(16)), "neither one nor the other"},
		{"version of no sense", patch(g.section(), 12, 9), "pcapng version 9.0"},
		{"too many interfaces", bytes.Repeat(g.iface(1, 0), maxInterfaces), "more than 16384 interfaces"},
		{"cut in a block", packet[:20], "cut off within a packet"},
		{"cut in an unknown block", g.block(77, zero(80))[:40], "cut off within a packet"},
		{"cut at the end of an unknown block", g.block(77, zero(80))[:88], "cut off within a packet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, damage := shots(t, open(t, put(t, "x", cat(start, c.then))))
			if len(got) != 1 || damage == nil || !strings.Contains(damage.Error(), c.says) || !strings.Contains(damage.Error(), "after 1 packets") {
				t.Errorf("%d packets, %v, want %q in it", len(got), damage, c.says)
			}
		})
	}
	t.Run("packet before the section", func(t *testing.T) {
		// Only the first block decides what is pcapng, so a reader meets this only by chance.
		r := &pcapngReader{window: newWindow(bytes.NewReader(packet), 512)}
		if _, err := r.next(make([]Frame, 1)); err == nil || !strings.Contains(err.Error(), "before the first section") {
			t.Error(err)
		}
	})
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		resolution byte
		offset     int64
		ts         uint64
		want       int64
	}{
		{6, 0, 1_000_001, 1_000_001_000},
		{0, 0, 5, 5e9},
		{9, 0, math.MaxInt64 - 1e9, math.MaxInt64 - 1e9},
		{12, 0, 1_500_000_000_999, 1_500_000_000},
		{19, 0, 15_000_000_000_000_000_000, 1_500_000_000},
		{0x80, 0, 5, 5e9},
		{0x80 | 1, 0, 3, 1_500_000_000},
		{0x80 | 32, 0, 3 << 31, 1_500_000_000},
		{0x80 | 63, 0, 3 << 62, 1_500_000_000},
		{6, -2, 1_000_000, -1_000_000_000},
		{0, 0, math.MaxUint64, (math.MaxInt64/1_000_000_000 - 1) * 1_000_000_000},
	} {
		unit, err := resolution(c.resolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := (ngClock{unit, c.offset}).nanos(c.ts); got != c.want {
			t.Errorf("%d at %#x and %d s: %d, want %d", c.ts, c.resolution, c.offset, got, c.want)
		}
	}
}

// readAll is what a fuzzer checks of any bytes: it ends, without a panic, and what
// it gives lies within bounds.
func readAll(t *testing.T, b []byte) {
	c := capture{src: bytes.NewReader(b), size: 512, path: "x",
		add:  func(Interface) (int, error) { return 0, nil },
		lost: func(int, uint64) {}}
	r, _, err := c.open()
	if err != nil {
		return
	}
	var d Decoder
	var h Header
	frames := make([]Frame, 7)
	read := 0
	for calls := 0; ; calls++ {
		n, err := r.next(frames)
		if (n > 0) == (err != nil) {
			t.Fatalf("%d packets and %v", n, err)
		}
		for i := range frames[:n] {
			f := &frames[i]
			read += len(f.Data)
			if why := d.Decode(f, &h); why == OK && len(h.Payload) > h.PayloadLen {
				t.Fatalf("more payload than there is: %+v", h)
			}
		}
		if err != nil {
			break
		}
		if calls > len(b) {
			t.Fatal("it does not end")
		}
	}
	if read > len(b) && !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		t.Fatalf("%d bytes of packets in %d", read, len(b))
	}
}

func FuzzPcap(f *testing.F) {
	for _, p := range []pcapFile{{}, {big: true}, {magic: pcapNanos}, {magic: pcapLonger, big: true}, {minor: 2}, {link: 127}} {
		f.Add(cat(p.header(), p.packet(1, 2, []byte("0123456789abcdef"), 60), p.packet(3, 4, nil, 0)))
	}
	f.Add(zipped(named('a', 1, 2)))
	malformed(func(_ string, content []byte) { f.Add(content) })
	f.Fuzz(readAll)
}

func FuzzPcapng(f *testing.F) {
	for _, g := range []ngFile{{}, {big: true}} {
		f.Add(g.sample())
		f.Add(cat(g.section(), g.iface(1, 5, g.option(2, []byte("eth0")), g.option(9, []byte{0x8a}), g.option(14, zero(8))),
			g.block(99, zero(700)), g.packet(0, 7, []byte("x"), 1), g.block(blockStats, cat(zero(12), g.option(5, zero(8))))))
	}
	malformed(func(_ string, content []byte) { f.Add(content) })
	f.Fuzz(readAll)
}
