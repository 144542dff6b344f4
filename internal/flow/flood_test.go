package flow

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/monban/monban/internal/packet"
)

// flooded is a table with what it said.
type flooded struct {
	*Table
	records []Record
	said    []Flood
	packets uint64 // given to it
	t       *testing.T
}

func newFlooded(t *testing.T, set func(*Config)) *flooded {
	cfg := NewDefaultConfig()
	if set != nil {
		set(&cfg)
	}
	f := &flooded{t: t}
	f.Table = NewTable(cfg, func(r *Record) { f.records = append(f.records, *r) })
	f.OnFlood(func(r *Flood) { f.said = append(f.said, *r) })
	return f
}

func (f *flooded) add(h *packet.Header) {
	f.packets++
	f.Add(h, 0)
}

// exact fails unless every packet is in a record or in a flood.
func (f *flooded) exact() {
	f.t.Helper()
	var told uint64
	for _, r := range f.records {
		told += r.Src.Packets + r.Dst.Packets
	}
	var rolled uint64
	for _, r := range f.said {
		rolled += r.Packets + r.ReversePackets
		var share uint64
		for _, n := range r.PrefixPackets {
			share += uint64(n)
		}
		if share != r.Packets+r.ReversePackets {
			f.t.Errorf("prefixes add up to %d packets of %d", share, r.Packets+r.ReversePackets)
		}
	}
	if told+rolled != f.packets || rolled != f.Stats().Flooded || f.Stats().Packets != f.packets {
		f.t.Errorf("%d packets in records and %d in floods, %d were added: %+v", told, rolled, f.packets, f.Stats())
	}
}

func (f *flooded) states() (s []FloodState) {
	for _, r := range f.said {
		s = append(s, r.State)
	}
	return s
}

func address(i uint32) string {
	return netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}).String()
}

// Slow connections of real clients go on and begin while forged SYNs come at 50,000 a
// second to the same servers.
func TestFloodLeavesConversationsWhole(t *testing.T) {
	f := newFlooded(t, nil)
	const clients, seconds, perMilli = 100, 12, 50
	rnd := rand.New(rand.NewPCG(1, 2))
	sent := map[string]int{} // packets of each client
	talk := func(at time.Duration, c int, answer bool, flags uint8, seq uint32) {
		a, b := fmt.Sprintf("10.0.1.%d:%d", c, 40000+c), fmt.Sprintf("10.0.0.%d:502", c%4+1)
		sent[a]++
		if answer {
			a, b = b, a
		}
		f.add(tcp(at, a, b, flags, seq, 0))
	}
	for ms := range seconds * 1000 {
		at := time.Duration(ms) * time.Millisecond
		for c := range clients {
			begin := c * 100 // half of them while the flood goes on
			switch {
			case ms == begin:
				talk(at, c, false, packet.SYN, 1)
				talk(at+100, c, true, packet.SYN|packet.ACK, 1)
				talk(at+200, c, false, packet.ACK, 2)
			case ms > begin && (ms-begin)%500 == 0:
				talk(at, c, false, packet.ACK|packet.PSH, 2)
				talk(at+300, c, true, packet.ACK|packet.PSH, 2)
			}
		}
		if ms >= 2000 && ms < 7000 {
			for i := range perMilli {
				f.add(tcp(at+time.Duration(i), fmt.Sprint(address(0xc6120000|rnd.Uint32N(1<<17)), ":", 1024+rnd.IntN(60000)),
					fmt.Sprintf("10.0.0.%d:%d", i%4+1, 1+rnd.IntN(65535)), packet.SYN, rnd.Uint32(), 0))
			}
		}
	}
	f.Flush()
	f.exact()
	got := map[string]int{}
	for _, r := range f.records {
		if r.Src.Addr.Is4() && r.Src.Addr.As4()[0] == 10 {
			got[netip.AddrPortFrom(r.Src.Addr, r.Src.Port).String()] += int(r.Src.Packets + r.Dst.Packets)
			if r.State != "S1" {
				t.Errorf("%v: state %s", r.Src.Addr, r.State)
			}
		}
	}
	for c, n := range sent {
		if got[c] != n {
			t.Errorf("%s: %d packets on record, %d sent", c, got[c], n)
		}
	}
	if n := len(f.records) - len(got)*2; n > 8000 {
		t.Errorf("%d records of %d packets of the flood", n, 5000*perMilli)
	}
	if size := len(f.chunks)*int(unsafe.Sizeof([chunkSize]entry{})) + 8*len(f.index); size > 64<<20 {
		t.Errorf("the table takes %d MB", size>>20)
	}
	begun, ended := map[netip.Addr]int64{}, map[netip.Addr]int64{}
	for _, r := range f.said {
		switch r.State {
		case FloodBegun:
			begun[r.Destination] = r.End
		case FloodEnded:
			ended[r.Destination] = r.End
			const of = 1 << 17 // addresses that are drawn from
			if want := of * (1 - math.Exp(-float64(r.Flows)/of)); math.Abs(float64(r.Sources)-want) > 0.04*want {
				t.Errorf("%d distinct sources, want about %.0f", r.Sources, want)
			}
		}
	}
	start := int64(time.Hour + 2*time.Second)
	if len(begun) != 4 || len(ended) != 4 {
		t.Fatalf("%d floods begun, %d ended, want one for each server: %v", len(begun), len(ended), f.states())
	}
	for a, at := range begun {
		if at-start > int64(time.Second) || at < start {
			t.Errorf("%v: noticed after %v", a, time.Duration(at-start))
		}
		if end := ended[a] - start; end < int64(4900*time.Millisecond) || end > int64(5*time.Second) {
			t.Errorf("%v: ended after %v", a, time.Duration(end))
		}
	}
}

// A server that answers forged SYNs, or refuses them, has its answers in the flood.
func TestFloodWithAnswers(t *testing.T) {
	for _, flags := range []uint8{packet.SYN | packet.ACK, packet.RST | packet.ACK} {
		f := newFlooded(t, nil)
		for i := range 20000 {
			at, a := time.Duration(i)*100*time.Microsecond, fmt.Sprint(address(0x0b000000+uint32(i)), ":1024")
			f.add(tcp(at, a, server, packet.SYN, 1, 0))
			f.add(tcp(at+50, server, a, flags, 1, 0))
		}
		f.Flush()
		f.exact()
		if len(f.records) > 1100 || len(f.said) != 2 || f.said[1].Packets != f.said[1].ReversePackets || f.said[1].Port != 80 || f.said[1].Ports != 1 {
			t.Errorf("%d records, floods %+v", len(f.records), f.said)
		}
	}
}

// Whoever knocks at many doors floods as well.
func TestFloodByOneSource(t *testing.T) {
	f := newFlooded(t, nil)
	for i := range 30000 {
		f.add(tcp(time.Duration(i)*50*time.Microsecond, client, fmt.Sprint(address(0x0a010000+uint32(i)), ":23"), packet.SYN, 1, 0))
	}
	f.Tick(int64(2 * time.Hour))
	f.exact()
	if s := f.states(); len(s) != 2 || f.said[0].Source.String() != "10.0.0.9" || f.said[1].Destinations < 27000 || f.said[1].Destinations > 31000 ||
		f.said[1].Flows != 29000 || f.said[1].PrefixCount != 1 || f.said[1].Prefixes[0] != "10.0.0.0/16" {
		t.Errorf("%+v", f.said)
	}
	if f.Stats().Live != 0 {
		t.Errorf("%+v", f.Stats())
	}
}

// A service that is merely busy is no flood: its flows talk.
func TestBusyIsNoFlood(t *testing.T) {
	f := newFlooded(t, nil)
	for i := range 50000 { // 5,000 a second, answered after 20 ms
		at := time.Duration(i) * 200 * time.Microsecond
		h := tcp(at, fmt.Sprint(address(0x0a010000+uint32(i)%5000), ":", 1024+i/5000), "10.0.0.1:53", 0, 0, 30)
		h.Proto = packet.ProtoUDP
		f.add(h)
		if i >= 100 {
			h = tcp(at, "10.0.0.1:53", fmt.Sprint(address(0x0a010000+uint32(i-100)%5000), ":", 1024+(i-100)/5000), 0, 0, 60)
			h.Proto = packet.ProtoUDP
			f.add(h)
		}
	}
	f.Flush()
	f.exact()
	if len(f.said) != 0 || len(f.records) != 50000 {
		t.Errorf("%d floods, %d records", len(f.said), len(f.records))
	}
}

// When sender and receiver differ in every packet, what talks keeps its place in a full
// table, and what has to go is counted.
func TestFloodWithoutAName(t *testing.T) {
	f := newFlooded(t, func(c *Config) { c.MaxFlows = 4096 })
	talkers := func(at time.Duration) {
		for c := range 1000 {
			a := fmt.Sprintf("10.1.%d.%d:4000", c/250, c%250)
			f.add(tcp(at, a, server, packet.ACK, 1, 10))
			f.add(tcp(at+1, server, a, packet.ACK, 1, 10))
		}
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for s := range 10 {
		at := time.Duration(s) * time.Second
		talkers(at)
		for i := range 20000 {
			f.add(tcp(at+time.Duration(i)*40*time.Microsecond, fmt.Sprint(address(rnd.Uint32()|1<<30), ":1024"), fmt.Sprint(address(rnd.Uint32()|1<<30), ":80"), packet.SYN, 1, 0))
		}
	}
	f.Flush()
	f.exact()
	whole := 0
	for _, r := range f.records {
		if r.Src.Packets+r.Dst.Packets > 2 || r.Reason != Evict {
			whole++
		}
		if r.Dst.Packets > 0 && r.Reason == Evict {
			t.Fatalf("a flow that talks made room: %+v", r)
		}
	}
	if f.Stats().Live > 4096 || len(f.records) > 20000 || len(f.said) < 2 || f.said[0].Source.IsValid() || f.said[0].Destination.IsValid() {
		t.Errorf("%d records, %d floods, %+v", len(f.records), len(f.said), f.Stats())
	}
}

// Floods come and go by chance: whatever happens every packet is told once, and the
// table and its candidates stay within their bounds.
func TestFloodsAreExact(t *testing.T) {
	for seed := range uint64(30) {
		f := newFlooded(t, func(c *Config) { c.MaxFlows = 2048; c.FloodRate = 50 })
		rnd := rand.New(rand.NewPCG(seed, 5))
		at := time.Duration(0)
		for range 60 {
			kind, n := rnd.IntN(6), rnd.IntN(600)
			step := time.Duration(rnd.IntN(20)) * time.Millisecond
			for i := range n {
				at += step
				v := rnd.Uint32N(4)
				many := fmt.Sprint(address(0x0b000000+rnd.Uint32N(1<<20)), ":", rnd.IntN(1<<16))
				one := fmt.Sprintf("10.0.0.%d:80", v)
				flags := uint8(packet.SYN)
				switch kind {
				case 0:
					many, one = one, many
				case 1:
					many = fmt.Sprint("10.9.0.1:", i%40)
					flags = []uint8{packet.SYN, packet.ACK, packet.RST, packet.FIN | packet.ACK}[rnd.IntN(4)]
				case 2:
					one = fmt.Sprint(address(rnd.Uint32()), ":9")
				}
				h := tcp(at, many, one, flags, rnd.Uint32(), rnd.IntN(3))
				if kind == 3 {
					h.Proto = packet.ProtoUDP
				}
				f.add(h)
				if rnd.IntN(4) == 0 {
					f.add(tcp(at, one, many, packet.SYN|packet.ACK, 1, 0))
				}
			}
			if rnd.IntN(5) == 0 {
				at += time.Duration(rnd.IntN(400)) * time.Second
			}
		}
		f.Flush()
		f.exact()
		if s := f.Stats(); s.Live != 0 || len(f.chunks) > 1 {
			t.Errorf("seed %d: %+v", seed, s)
		}
		open := map[uint64]bool{}
		for _, r := range f.said {
			switch r.State {
			case FloodBegun:
				open[r.ID] = true
			case FloodGoesOn:
				if !open[r.ID] {
					t.Errorf("seed %d: flood %x goes on without having begun", seed, r.ID)
				}
			case FloodEnded:
				if !open[r.ID] {
					t.Errorf("seed %d: flood %x ended without having begun", seed, r.ID)
				}
				delete(open, r.ID)
			}
		}
		if len(open) > 0 {
			t.Errorf("seed %d: %d floods never ended", seed, len(open))
		}
		for _, r := range f.floods.active {
			if r != nil {
				t.Errorf("seed %d: a rollup is left", seed)
			}
		}
	}
}

// Attempts that are repeated without end neither keep floods open, so that no place is left
// for others, nor end the next flood of the same address.
func TestFloodsEndBesideRepeatedAttempts(t *testing.T) {
	f := newFlooded(t, nil)
	n := uint32(0)
	syn := func(at time.Duration, to string) {
		n++
		f.add(tcp(at, fmt.Sprint(address(0x0b000000+n), ":", 1024+n%60000), to, packet.SYN, n, 0))
	}
	for s := range 120 {
		base := time.Duration(s) * time.Second
		if s < maxFloods { // a short flood to each of as many addresses as there are places
			for i := range 1500 {
				syn(base+time.Duration(1+i)*100*time.Microsecond, fmt.Sprintf("10.0.1.%d:80", s))
			}
		}
		if s >= 80 && s < 110 {
			rate := 3000
			if s >= 83 && s < 88 {
				rate = 400 // a lull
			}
			for i := range rate {
				syn(base+time.Duration(1+i)*100*time.Microsecond, "10.0.1.3:80")
			}
		}
		for k := range min(s+1, maxFloods) {
			f.add(tcp(base+600*time.Millisecond, fmt.Sprintf("12.0.0.%d:5555", k), fmt.Sprintf("10.0.1.%d:80", k), packet.SYN, 77, 0))
		}
		if s == 79 && f.floods.open != 0 {
			t.Errorf("%d floods still open", f.floods.open)
		}
	}
	f.Flush()
	f.exact()
	again := 0
	for _, r := range f.said {
		if r.Destination.String() == "10.0.1.3" && r.State == FloodBegun {
			again++
		}
	}
	if again > 3 {
		t.Errorf("a flood with a lull began %d times", again-1)
	}
	if len(f.records) > 40000 {
		t.Errorf("%d records", len(f.records))
	}
}

func BenchmarkFlood(b *testing.B) {
	cfg := NewDefaultConfig()
	t := NewTable(cfg, func(*Record) {})
	t.OnFlood(func(*Flood) {})
	var hs [Ahead]packet.Header
	one := tcp(0, client, server, packet.SYN, 1, 0)
	b.ReportAllocs()
	n := uint32(0)
	for b.Loop() {
		for i := range hs {
			hs[i] = *one
			n++
			x := n * 2654435761
			hs[i].Src[12], hs[i].Src[13], hs[i].Src[14], hs[i].Src[15] = byte(x>>24), byte(x>>16), byte(x>>8), byte(x)
			hs[i].Time += int64(n) * 672
		}
		t.Expect(hs[:])
		for i := range hs {
			t.Add(&hs[i], 0)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
}

// Fragments that wait for their first one are moved with what was counted of them, even
// where a counter was about to overflow and a record came before its time.
func TestOrphansOfAFullCounter(t *testing.T) {
	f := newFlooded(t, nil)
	for i := range 140 {
		h := piece(time.Duration(i), 1, 1480+8*i, 8, true)
		h.WireLen = 16 << 20
		f.add(h)
	}
	f.add(piece(200, 1, 0, 1480, true))
	f.Flush()
	f.exact()
}
