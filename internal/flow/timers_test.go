package flow

import (
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/monban/monban/internal/packet"
)

const sec = time.Second

func udp(at time.Duration, a, b string) *packet.Header {
	h := tcp(at, a, b, 0, 0, 8)
	h.Proto = packet.ProtoUDP
	return h
}

// When a record comes, counted from the first packet, and what it says.
func TestTimers(t *testing.T) {
	type told struct {
		at      time.Duration
		reason  EndReason
		part    uint32
		packets uint64
	}
	back := func(at time.Duration) *packet.Header { return udp(at, server, client) }
	there := func(at time.Duration) *packet.Header { return udp(at, client, server) }
	every := func(step, end time.Duration) (hs []*packet.Header) {
		for at := time.Duration(0); at <= end; at += step {
			hs = append(hs, there(at), back(at))
		}
		return hs
	}
	tcpFlow := func(flags ...uint8) (hs []*packet.Header) {
		for i, f := range flags {
			a, b := client, server
			if f == packet.SYN|packet.ACK || f&packet.RST != 0 || i == 5 {
				a, b = b, a
			}
			hs = append(hs, tcp(time.Duration(i)*sec/10, a, b, f, 1, 0))
		}
		return hs
	}
	for _, c := range []struct {
		name    string
		packets []*packet.Header
		want    []told
	}{
		{"one datagram: soon, and its end says nothing more", every(sec, 0)[:1], []told{{3 * sec, Active, 0, 1}}},
		{"an answered one: at its idle timeout", every(sec, 0), []told{{10 * sec, Active, 0, 2}}},
		{"a long one: first report, then at the interval", every(sec, 150*sec),
			[]told{{10 * sec, Active, 0, 20}, {70 * sec, Active, 1, 120}, {130 * sec, Active, 2, 120}, {190 * sec, Active, 3, 42}}},
		{"silence and on", append(every(sec, 0), there(100*sec), back(100*sec)),
			[]told{{10 * sec, Active, 0, 2}, {110 * sec, Active, 0, 2}}},
		{"closed", tcpFlow(packet.SYN, packet.SYN|packet.ACK, packet.ACK, packet.ACK, packet.FIN|packet.ACK, packet.FIN|packet.ACK),
			[]told{{5*sec + sec/2, Ended, 0, 6}}},
		{"reset", tcpFlow(packet.SYN, packet.RST|packet.ACK), []told{{5 * sec, Ended, 0, 2}}},
		{"half open", tcpFlow(packet.SYN, packet.SYN|packet.ACK, packet.ACK), []told{{10 * sec, Active, 0, 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []told
			var now time.Duration
			table := NewTable(NewDefaultConfig(), func(r *Record) {
				got = append(got, told{now, r.Reason, r.Part, r.Src.Packets + r.Dst.Packets})
			})
			hs := c.packets
			for ; now < 10*time.Minute; now += sec / 2 {
				for len(hs) > 0 && hs[0].Time <= int64(time.Hour+now) {
					table.Add(hs[0], 0)
					hs = hs[1:]
				}
				table.Tick(int64(time.Hour + now))
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			for i, g := range got {
				late := g.at - c.want[i].at // the table counts whole seconds
				if g.at = c.want[i].at; g != c.want[i] || late < -sec || late > sec {
					t.Errorf("record %d: %+v late by %v, want %+v", i, g, late, c.want[i])
				}
			}
			if s := table.Stats(); s.Live != 0 {
				t.Errorf("%d live after 10 minutes", s.Live)
			}
		})
	}
}

func TestLongWaitsGoRoundTheWheel(t *testing.T) {
	cfg := NewDefaultConfig()
	cfg.IdleTimeout, cfg.ReportInterval, cfg.FirstReport = 3*time.Hour, 24*time.Hour, 24*time.Hour
	table, got := collect(cfg)
	table.Add(udp(0, client, server), 0)
	table.Add(udp(0, server, client), 0)
	for at := sec; at < 3*time.Hour-sec; at += sec {
		table.Tick(int64(time.Hour + at))
	}
	if table.Stats().Live != 1 || len(*got) != 0 {
		t.Fatal("ended early")
	}
	table.Tick(int64(4*time.Hour + 2*sec))
	if table.Stats().Live != 0 || len(*got) != 1 || (*got)[0].Reason != Idle {
		t.Fatalf("%+v", *got)
	}
}

func TestClockJumps(t *testing.T) {
	day := 24 * time.Hour
	t.Run("forward", func(t *testing.T) {
		table, got := collect(NewDefaultConfig())
		table.Add(udp(0, client, server), 0)
		table.Add(udp(30*day, client, server), 0)
		if len(*got) != 1 || table.Stats().Live != 1 || table.Stats().Resets != 0 {
			t.Errorf("%+v, %+v", *got, table.Stats())
		}
	})
	t.Run("one stray packet from the past", func(t *testing.T) {
		table, got := collect(NewDefaultConfig())
		table.Add(udp(30*day, client, server), 0)
		table.Add(udp(0, "10.0.0.7:7", server), 0)
		table.Add(udp(30*day+sec, client, server), 0)
		if len(*got) != 0 || table.Stats().Live != 2 || table.Stats().Resets != 0 {
			t.Errorf("%+v, %+v", *got, table.Stats())
		}
	})
	t.Run("set back", func(t *testing.T) {
		table, got := collect(NewDefaultConfig())
		table.Add(udp(30*day, client, server), 0)
		for i := range 1000 {
			table.Add(udp(time.Duration(i)*sec/10, client, server), 0)
		}
		table.Flush()
		packets := uint64(0)
		for _, r := range *got {
			packets += r.Src.Packets
			if r.End < r.Start {
				t.Errorf("ends before it starts: %+v", r)
			}
		}
		if s := table.Stats(); s.Resets != 1 || packets != 1001 {
			t.Errorf("%d packets told, %+v", packets, s)
		}
	})
	t.Run("one stray packet from the future", func(t *testing.T) {
		table, got := collect(NewDefaultConfig())
		for i := range 1000 {
			at := time.Duration(i) * sec / 10
			if i == 500 {
				at = 50 * 365 * day
			}
			table.Add(udp(at, client, server), 0)
		}
		table.Flush()
		if s := table.Stats(); s.Resets != 1 || s.Flows > 4 || len(*got) > 6 {
			t.Errorf("%d records, %+v", len(*got), s)
		}
	})
}

func TestPortsUsedAgain(t *testing.T) {
	table, got := collect(NewDefaultConfig())
	for i := range 3 {
		at := time.Duration(i) * 10 * time.Millisecond
		table.Add(tcp(at, client, server, packet.SYN, 1, 0), 0)
		table.Add(tcp(at, server, client, packet.RST|packet.ACK, 1, 0), 0)
	}
	table.Flush()
	if len(*got) != 3 {
		t.Fatalf("%d records, want 3", len(*got))
	}
	ids := map[uint64]bool{}
	for _, r := range *got {
		ids[r.ID] = true
		if r.State != "REJ" || r.Src.Packets != 1 || r.Dst.Packets != 1 {
			t.Errorf("%+v", r)
		}
	}
	if len(ids) != 3 {
		t.Error("an id came twice")
	}
}

func TestNotesAndHurry(t *testing.T) {
	table, got := collect(NewDefaultConfig())
	now := time.Duration(0)
	read := func(command string) {
		slot := table.Add(tcp(now, client, server, packet.ACK, 1, 12), 0)
		table.Add(tcp(now, server, client, packet.ACK, 1, 11), 0)
		table.NoteService(slot, "modbus")
		table.NoteCommand(slot, command)
	}
	for range 200 {
		now += sec / 10
		read("1/3")
	}
	if len(*got) != 1 || (*got)[0].End > int64(time.Hour+2*sec) || (*got)[0].Part != 0 {
		t.Fatalf("a new command is told within a second, the rest at the interval: %+v", *got)
	}
	before := now
	read("1/6")
	for range 15 {
		now += sec / 10
		read("1/3")
	}
	last := (*got)[len(*got)-1]
	if len(*got) != 2 || time.Duration(last.End)-time.Hour > before+2*sec || !slices.Contains(last.Commands, "1/6") || last.Service != "modbus" {
		t.Fatalf("%+v", *got)
	}
	table.Flush()
	counts := map[string]int64{}
	for _, r := range *got {
		for i, c := range r.Commands {
			counts[c] += r.CommandCounts[i]
		}
	}
	if counts["1/3"] != 215 || counts["1/6"] != 1 {
		t.Errorf("counts %v", counts)
	}
	if len(table.notes.of) != 0 || table.Stats().Noted != 0 {
		t.Error("notes are left behind")
	}
}

func TestEntryIsFourCacheLines(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n != 256 {
		t.Errorf("%d bytes", n)
	}
}

// An attacker who fills the table must not push out conversations that were answered.
func TestEvictionSparesTheAnswered(t *testing.T) {
	cfg := NewDefaultConfig()
	cfg.MaxFlows = 1000
	cfg.CommunityID = false
	evicted := 0
	table := NewTable(cfg, func(r *Record) {
		if r.Reason == Evict && r.Dst.Packets > 0 {
			evicted++
		}
	})
	for i := range 200_000 {
		at := time.Duration(i) * 10 * time.Microsecond
		if i%10 == 0 {
			good := fmt.Sprintf("10.0.0.9:%d", 40000+i/10%200)
			table.Add(udp(at, good, server), 0)
			table.Add(udp(at, server, good), 0)
		}
		h := tcp(at, client, server, packet.SYN, 1, 0)
		h.Src[13], h.Src[14], h.Src[15] = byte(i>>16), byte(i>>8), byte(i)
		table.Add(h, 0)
	}
	if evicted > 0 {
		t.Errorf("%d answered flows were evicted", evicted)
	}
}
