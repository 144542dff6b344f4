package flow

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// query makes the header of a DNS query of one number to another.
func query(at time.Duration, src, dst uint32, sport uint16) *packet.Header {
	h := &packet.Header{Time: int64(time.Hour + at), WireLen: 300, Net: packet.NetIPv4, NetLen: 286, Proto: packet.ProtoUDP,
		SrcPort: sport, DstPort: 53, TTL: 64, PayloadLen: 258}
	for i := range 4 {
		h.Src[12+i], h.Dst[12+i] = byte(src>>(24-8*i)), byte(dst>>(24-8*i))
	}
	h.Src[10], h.Src[11], h.Dst[10], h.Dst[11] = 0xff, 0xff, 0xff, 0xff
	return h
}

// long makes a name of 244 bytes that is like no other.
func long(i int) string { return fmt.Sprintf("%0244d", i) }

// count makes the account of a notebook anew, from what it holds.
func (b *notebook) count() int {
	sum := 0
	for _, n := range b.of {
		sum += noteBytes + knownBytes(len(n.known)) + sliceBytes(len(n.questions), 16) + sliceBytes(len(n.commands), 16+8)
		for _, q := range n.questions {
			sum += textBytes(q)
		}
		for c := range n.known {
			sum += textBytes(c)
		}
	}
	return sum
}

func TestNotesOfAFlowAreBounded(t *testing.T) {
	table, _ := collect(NewDefaultConfig())
	slot := table.Add(query(0, 1, 2, 3), 0)
	table.Add(query(0, 2, 1, 53), 0)
	e, b := table.at(slot), &table.notes
	for i := range 10_000 {
		table.NoteCommand(slot, fmt.Sprint(i))
		table.NoteQuestion(slot, fmt.Sprint(i))
		if n := b.of[slot]; len(n.commands) > maxCommands || len(n.questions) > maxQuestions || len(n.known) > maxKnown {
			t.Fatalf("%d commands, %d questions, %d known", len(n.commands), len(n.questions), len(n.known))
		}
		if i%50 == 0 {
			b.take(e, slot, &Record{})
		}
		if b.bytes != b.count() {
			t.Fatalf("%d bytes, %d by the account", b.count(), b.bytes)
		}
	}
	if len(b.of[slot].known) != maxKnown {
		t.Errorf("%d known", len(b.of[slot].known))
	}
	for i := range 1000 {
		table.NoteService(slot, fmt.Sprint("service ", i))
	}
	if len(b.services) != 256 || b.services[e.service] != "service 254" {
		t.Errorf("%d services, the flow's is %q", len(b.services), b.services[e.service])
	}
}

// What the account says is what the heap has, for notes of any size.
func TestNotesTakeWhatTheAccountSays(t *testing.T) {
	for _, c := range []struct {
		name                       string
		flows, questions, commands int
		long                       bool
	}{
		{"a name each", 50_000, 1, 0, false},
		{"the longest names", 5_000, maxQuestions, 0, true},
		{"a command each", 20_000, 0, 1, false},
		{"commands", 10_000, 0, 10, false},
		{"the most commands", 1_000, 0, maxCommands, false},
		{"all", 1_500, maxQuestions, maxCommands, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(NewDefaultConfig(), func(*Record) {})
			for i := range c.flows {
				table.Add(query(0, uint32(i), 2, 3), 0)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for slot := range int32(c.flows) {
				for i := range max(c.questions, c.commands) {
					name := fmt.Sprintf("name-%d-%d.example", slot, i)
					if c.long {
						name = long(int(slot)*100 + i)
					}
					if i < c.questions {
						table.NoteQuestion(slot, name)
					}
					if i < c.commands {
						table.NoteCommand(slot, strings.Clone(name))
					}
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			heap, account := int(after.HeapAlloc-before.HeapAlloc), table.Stats().Noted
			if account != table.notes.count() || table.Stats().Unnoted != 0 {
				t.Errorf("%d bytes by the account, %d counted, %d not noted", account, table.notes.count(), table.Stats().Unnoted)
			}
			t.Logf("%d bytes of heap, %d by the account", heap, account)
			if heap > account*105/100 || heap < account*80/100 {
				t.Errorf("%d bytes of heap, %d by the account", heap, account)
			}
			runtime.KeepAlive(table)
		})
	}
}

// Whatever flows note, their notes stay within the budget. Ordinary traffic loses none.
func TestNotesBudget(t *testing.T) {
	type step struct {
		flow     int
		name     string
		order    bool
		unbidden bool // nobody answers
	}
	for _, c := range []struct {
		name  string
		rate  int // packets a second
		total int
		step  func(i int) step
		loses bool // more than there is room for
		table func(*Config)
	}{
		{name: "20,000 look-ups a second, each from a port of its own", rate: 20_000, total: 100_000,
			step: func(i int) step { return step{flow: i, name: fmt.Sprintf("host-%d.of.some.example", i)} }},
		{name: "5,000 controllers asked ten things each all the time", rate: 10_000, total: 200_000,
			step: func(i int) step { return step{flow: i % 5_000, name: fmt.Sprint("1/", i/5_000%10), order: true} }},
		{name: "70,000 flows with 16 long names each in a minute", rate: 18_666, total: 1_120_000,
			step: func(i int) step { return step{flow: i % 70_000, name: long(i)} }},
		{name: "the same as fast as can be, flow by flow", rate: 2_000_000, total: 300_000, loses: true,
			step: func(i int) step { return step{flow: i / 16, name: long(i)} }},
		{name: "always new orders, for 5,000 controllers", rate: 200_000, total: 400_000,
			step: func(i int) step { return step{flow: i % 5_000, name: fmt.Sprint(i), order: true} }},
		{name: "look-ups from all addresses that nobody answers", rate: 500_000, total: 300_000, loses: true,
			table: func(c *Config) { c.FloodRate = 1000 },
			step:  func(i int) step { return step{flow: i, name: long(i), unbidden: true} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.total > 200_000 {
				t.Skip("-short")
			}
			cfg := NewDefaultConfig()
			cfg.CommunityID, cfg.FloodRate = false, 0
			if c.table != nil {
				c.table(&cfg)
			}
			told, orders := 0, int64(0)
			table := NewTable(cfg, func(r *Record) {
				told += len(r.Questions)
				for _, n := range r.CommandCounts {
					orders += n
				}
			})
			if cfg.FloodRate > 0 {
				table.OnFlood(func(*Flood) {})
			}
			most := 0
			for i := range c.total {
				s := c.step(i)
				at := time.Duration(i) * time.Second / time.Duration(c.rate)
				src, sport := uint32(10<<24|s.flow>>8), uint16(1024+s.flow&0xff)
				slot := table.Add(query(at, src, 1, sport), 0)
				if s.order {
					table.NoteCommand(slot, s.name)
				} else {
					table.NoteQuestion(slot, s.name)
				}
				if !s.unbidden {
					back := query(at, 1, src, 53)
					back.DstPort = sport
					table.Add(back, 0)
				}
				most = max(most, table.notes.bytes)
				if i%100_000 == 0 && table.notes.bytes != table.notes.count() {
					t.Fatalf("%d bytes, %d by the account", table.notes.count(), table.notes.bytes)
				}
			}
			table.Flush()
			s := table.Stats()
			t.Logf("%.1f MiB at most, %d names and %d commands told, %d not, %d records", float64(most)/(1<<20), told, orders, s.Unnoted, s.Records)
			if most > maxNotes || s.Noted != 0 || len(table.notes.of) != 0 {
				t.Errorf("%d bytes at most, %d at the end of %d flows", most, s.Noted, len(table.notes.of))
			}
			if c.loses != (s.Unnoted != 0) {
				t.Errorf("%d not noted", s.Unnoted)
			}
			if cfg.FloodRate == 0 && told+int(orders)+int(s.Unnoted) != c.total {
				t.Errorf("%d names and %d commands told, %d not noted of %d", told, orders, s.Unnoted, c.total)
			}
		})
	}
}

// While names fill what is theirs, orders to controllers are noted.
func TestNamesDoNotHideCommands(t *testing.T) {
	var got []string
	table := NewTable(NewDefaultConfig(), func(r *Record) { got = append(got, r.Commands...) })
	for i := range maxNotes / 250 {
		table.NoteQuestion(table.Add(query(0, uint32(i/maxQuestions), 1, 1024), 0), long(i))
	}
	if s := table.Stats(); s.Unnoted == 0 || s.Noted > maxNames {
		t.Fatalf("%+v", s)
	}
	slot := table.Add(tcp(0, client, server, packet.ACK, 1, 12), 0)
	table.NoteService(slot, "modbus")
	table.NoteCommand(slot, "1/write_single_coil")
	table.Tick(int64(time.Hour + 2*time.Second))
	if !slices.Equal(got, []string{"1/write_single_coil"}) {
		t.Errorf("commands told: %q", got)
	}
	if table.Stats().Noted > hurried {
		t.Errorf("notes of written records take %d bytes", table.Stats().Noted)
	}
}

// A flow keeps its service for all its records, whatever else is forgotten.
func TestServiceOutlivesNotes(t *testing.T) {
	table, got := collect(NewDefaultConfig())
	for s := range 200 {
		at := time.Duration(s) * time.Second
		slot := table.Add(query(at, 1, 2, 1024), 0)
		if s == 0 {
			table.NoteService(slot, "dns")
			table.NoteQuestion(slot, "one.example")
		}
	}
	table.Flush()
	if len(*got) < 3 {
		t.Fatalf("%d records", len(*got))
	}
	for i, r := range *got {
		if r.Service != "dns" || (len(r.Questions) == 1) != (i == 0) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	next := query(300*time.Second, 3, 4, 1024)
	table.Add(next, 0)
	table.Flush()
	if r := (*got)[len(*got)-1]; r.Service != "" {
		t.Errorf("the next flow in the slot is %q", r.Service)
	}
}

// Whatever is done with a table, the account is what its notes take, and nothing at the end.
func TestNotesAccountIsExact(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		cfg := NewDefaultConfig()
		cfg.MaxFlows, cfg.FloodRate = 16+r.IntN(500), []int{0, 10}[r.IntN(2)]
		table := NewTable(cfg, func(*Record) {})
		table.OnFlood(func(*Flood) {})
		now := time.Duration(0)
		for range 20_000 {
			now += time.Duration(r.IntN(int(50 * time.Millisecond)))
			h := query(now, r.Uint32N(1000), r.Uint32N(3), uint16(r.IntN(2)))
			if r.IntN(3) == 0 {
				h = tcp(now, client, server, uint8(r.Uint32()), r.Uint32(), r.IntN(100))
			}
			slot := table.Add(h, 0)
			switch r.IntN(6) {
			case 0:
				table.NoteQuestion(slot, long(r.IntN(100))[r.IntN(244):])
			case 1:
				table.NoteCommand(slot, fmt.Sprint(r.IntN(400)))
			case 2:
				table.NoteService(slot, fmt.Sprint(r.IntN(4)))
			case 3:
				if r.IntN(1000) == 0 {
					now += time.Duration(r.IntN(int(time.Hour)))
					table.Tick(int64(time.Hour + now))
				}
			case 4:
				if r.IntN(5000) == 0 {
					table.Flush()
				}
			}
			if r.IntN(500) == 0 && table.notes.bytes != table.notes.count() {
				t.Fatalf("seed %d: %d bytes, %d by the account", seed, table.notes.count(), table.notes.bytes)
			}
		}
		table.Flush()
		if s := table.Stats(); s.Noted != 0 || len(table.notes.of) != 0 {
			t.Errorf("seed %d: %d bytes of %d flows are left", seed, s.Noted, len(table.notes.of))
		}
	}
}
