package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// segment is one line of a conversation: who, flags, sequence number, payload.
type segment struct {
	from    byte // 'o' the client, 'r' the server
	flags   string
	seq     uint32
	payload int
	ack     uint32
}

func (s segment) header(at time.Duration) *packet.Header {
	a, b := client, server
	if s.from == 'r' {
		a, b = b, a
	}
	var flags uint8
	for _, f := range s.flags {
		flags |= map[rune]uint8{'S': packet.SYN, 'A': packet.ACK, 'F': packet.FIN, 'R': packet.RST, 'P': packet.PSH}[f]
	}
	h := tcp(at, a, b, flags, s.seq, s.payload)
	h.Ack = s.ack
	return h
}

// What conversations come to, by RFC 9293 and Zeek's conn_state. Each flow is written as
// state, packets each way, retransmissions each way; ~ marks a guessed initiator, < one
// that is the server.
func TestTCP(t *testing.T) {
	const max = 0xffffffff
	open := []segment{{'o', "S", 100, 0, 0}, {'r', "SA", 500, 0, 101}, {'o', "A", 101, 0, 501}}
	with := func(more ...segment) []segment { return append(append([]segment{}, open...), more...) }
	for _, c := range []struct {
		name     string
		segments []segment
		want     string
	}{
		{"attempt", []segment{{'o', "S", 100, 0, 0}}, "S0 1/0 0/0"},
		{"attempt, repeated", []segment{{'o', "S", 100, 0, 0}, {'o', "S", 100, 0, 0}}, "S0 2/0 1/0"},
		{"attempt, again with another number", []segment{{'o', "S", 100, 0, 0}, {'o', "S", 900, 0, 0}}, "S0 2/0 0/0"},
		{"attempt answered by a challenge ACK (RFC 5961)", []segment{{'o', "S", 100, 0, 0}, {'r', "A", 7, 0, 7}}, "S0 1/1 0/0"},
		{"refused", []segment{{'o', "S", 100, 0, 0}, {'r', "RA", 0, 0, 101}}, "REJ 1/1 0/0"},
		{"half open: nobody acknowledges the SYN-ACK", []segment{{'o', "S", 100, 0, 0}, {'r', "SA", 500, 0, 101}}, "S1 1/1 0/0"},
		{"half open, SYN-ACK repeated", []segment{{'o', "S", 100, 0, 0}, {'r', "SA", 500, 0, 101}, {'r', "SA", 500, 0, 101}}, "S1 1/2 0/1"},
		{"half open, then torn by the initiator: a SYN scan", []segment{{'o', "S", 100, 0, 0}, {'r', "SA", 500, 0, 101}, {'o', "R", 101, 0, 0}}, "RSTO 2/1 0/0"},
		{"half open, then given up by the responder", []segment{{'o', "S", 100, 0, 0}, {'r', "SA", 500, 0, 101}, {'r', "R", 501, 0, 0}}, "RSTR 1/2 0/0"},
		{"open", open, "S1 2/1 0/0"},
		{"closed in order", with(segment{'o', "FA", 101, 0, 501}, segment{'r', "FA", 501, 0, 102}, segment{'o', "A", 102, 0, 502}), "SF 4/2 0/0"},
		{"closed by the responder alone", with(segment{'r', "FA", 501, 0, 101}), "S3 2/2 0/0"},
		{"closed by the initiator alone", with(segment{'o', "FA", 101, 0, 501}), "S2 3/1 0/0"},
		{"FIN repeated", with(segment{'o', "FA", 101, 0, 501}, segment{'o', "FA", 101, 0, 501}), "S2 4/1 1/0"},
		{"reset by the responder", with(segment{'o', "PA", 101, 9, 501}, segment{'r', "R", 501, 0, 0}), "RSTR 3/2 0/0"},
		{"FIN, RST, and the other FIN: in order after all", with(segment{'o', "FA", 101, 0, 501}, segment{'o', "R", 102, 0, 0}, segment{'r', "FA", 501, 0, 102}), "SF 4/2 0/0"},
		{"RST after both FINs changes nothing", with(segment{'o', "FA", 101, 0, 501}, segment{'r', "FA", 501, 0, 102}, segment{'r', "R", 502, 0, 0}), "SF 3/3 0/0"},
		{"simultaneous open", []segment{{'o', "S", 100, 0, 0}, {'r', "S", 500, 0, 0}, {'o', "SA", 100, 0, 501}, {'r', "SA", 500, 0, 101}}, "S1 2/2 1/1"},
		{"simultaneous open, and closed", []segment{{'o', "S", 100, 0, 0}, {'r', "S", 500, 0, 0}, {'o', "SA", 100, 0, 501}, {'r', "SA", 500, 0, 101},
			{'r', "FA", 501, 0, 101}, {'o', "FA", 101, 0, 502}}, "SF 3/3 1/1"},
		{"SYN-ACK captured before the SYN", []segment{{'r', "SA", 500, 0, 101}, {'o', "S", 100, 0, 0}, {'o', "A", 101, 0, 501}}, "S1 2/1 0/0"},
		{"ACK captured before the handshake", []segment{{'o', "A", 101, 0, 501}, {'o', "S", 100, 0, 0}, {'r', "SA", 500, 0, 101}}, "S1 2/1 0/0"},
		{"server's ACK captured before the handshake: the SYN says who began", []segment{{'r', "A", 501, 0, 101}, {'o', "S", 100, 0, 0}, {'r', "SA", 500, 0, 101}}, "S1 1/2 0/0"},
		{"SYN missed", []segment{{'r', "SA", 500, 0, 101}, {'o', "A", 101, 0, 501}, {'o', "PA", 101, 5, 501}}, "S1 2/1 0/0"},
		{"begun before we looked", []segment{{'r', "PA", 501, 5, 101}, {'o', "A", 101, 0, 506}}, "~OTH 1/1 0/0"},
		{"begun before we looked, closed", []segment{{'o', "FA", 101, 0, 501}, {'r', "FA", 501, 0, 102}}, "~SF 1/1 0/0"},

		{"retransmission", with(segment{'o', "PA", 101, 10, 501}, segment{'o', "PA", 101, 10, 501}), "S1 4/1 1/0"},
		{"retransmission of a part", with(segment{'o', "PA", 101, 10, 501}, segment{'o', "PA", 105, 4, 501}), "S1 4/1 1/0"},
		{"retransmission with something new", with(segment{'o', "PA", 101, 10, 501}, segment{'o', "PA", 101, 20, 501}), "S1 4/1 0/0"},
		{"out of order", with(segment{'o', "PA", 111, 10, 501}, segment{'o', "PA", 101, 10, 501}, segment{'o', "PA", 121, 10, 501}), "S1 5/1 0/0"},
		{"out of order, and then a retransmission", with(segment{'o', "PA", 111, 10, 501}, segment{'o', "PA", 101, 10, 501}, segment{'o', "PA", 101, 10, 501}), "S1 5/1 1/0"},
		{"lost before us, acknowledged, retransmitted later", with(segment{'o', "PA", 111, 10, 501}, segment{'r', "A", 501, 0, 121}, segment{'o', "PA", 111, 10, 501}), "S1 4/2 1/0"},
		{"keep-alive without and with a byte", with(segment{'o', "PA", 101, 10, 501}, segment{'o', "A", 110, 0, 501}, segment{'r', "A", 501, 0, 111}, segment{'o', "A", 110, 1, 501}, segment{'r', "A", 501, 0, 111}), "S1 5/3 0/0"},
		{"probes of a closed window", with(segment{'o', "PA", 101, 10, 501}, segment{'o', "A", 111, 1, 501}, segment{'o', "A", 111, 1, 501}, segment{'o', "A", 111, 1, 501}, segment{'o', "PA", 111, 100, 501}), "S1 7/1 0/0"},
		{"sequence numbers that wrap around", []segment{{'o', "S", max - 5, 0, 0}, {'r', "SA", max, 0, max - 4}, {'o', "A", max - 4, 0, 0}, {'o', "PA", max - 4, 20, 0},
			{'r', "PA", 0, 7, 15}, {'o', "PA", 15 + 1, 20, 7}, {'o', "PA", max - 4, 20, 0}}, "S1 5/2 1/0"},
		{"data in the SYN (RFC 7413)", []segment{{'o', "S", 100, 10, 0}, {'r', "SA", 500, 0, 111}, {'o', "PA", 111, 10, 501}}, "S1 2/1 0/0"},

		{"ports used again after a close", with(segment{'o', "FA", 101, 0, 501}, segment{'r', "FA", 501, 0, 102}, segment{'o', "S", 9000, 0, 0}), "SF 3/2 0/0, S0 1/0 0/0"},
		{"ports used again after a refusal", []segment{{'o', "S", 100, 0, 0}, {'r', "RA", 0, 0, 101}, {'o', "S", 100, 0, 0}}, "REJ 1/1 0/0, S0 1/0 0/0"},
		{"ports used again, where the responder is not seen", []segment{{'o', "S", 100, 0, 0}, {'o', "PA", 101, 5, 501}, {'o', "FA", 106, 0, 501}, {'o', "S", 9000, 0, 0}}, "SH 3/0 0/0, S0 1/0 0/0"},
		{"ports used again without a close: another number in an open connection", with(segment{'o', "PA", 101, 10, 501}, segment{'o', "S", 90_000, 0, 0}, segment{'r', "SA", 7_000, 0, 90_001}), "S1 3/1 0/0, S1 1/1 0/0"},
		{"the SYN of an open connection once more", with(segment{'o', "PA", 101, 10, 501}, segment{'o', "S", 100, 0, 0}), "S1 4/1 1/0"},
		{"SYN with the other end's port", with(segment{'o', "FA", 101, 0, 501}, segment{'r', "FA", 501, 0, 102}, segment{'r', "S", 9000, 0, 0}), "SF 3/2 0/0, <S0 1/0 0/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, got := collect(NewDefaultConfig())
			for i, s := range c.segments {
				table.Add(s.header(time.Duration(i)*time.Millisecond), 0)
			}
			table.Flush()
			var is []string
			for _, r := range *got {
				text := fmt.Sprintf("%s %d/%d %d/%d", r.State, r.Src.Packets, r.Dst.Packets, r.Src.Retrans, r.Dst.Retrans)
				if r.Src.Port != 50000 {
					text = "<" + text
				}
				if r.Guessed {
					text = "~" + text
				}
				is = append(is, text)
			}
			if got := strings.Join(is, ", "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A storm of connections on the same ports: each is a flow of its own, and no more than
// one is live.
func TestStormOfPortsUsedAgain(t *testing.T) {
	const n = 50_000
	states := map[string]int{}
	table := NewTable(NewDefaultConfig(), func(r *Record) { states[r.State]++ })
	at := time.Duration(0)
	add := func(s segment) {
		at += 10 * time.Microsecond
		table.Add(s.header(at), 0)
	}
	for i := range uint32(n) {
		isn := i * 100_003
		add(segment{'o', "S", isn, 0, 0})
		add(segment{'r', "SA", isn ^ 0x5555, 0, isn + 1})
		add(segment{'o', "A", isn + 1, 0, isn ^ 0x5555 + 1})
		if i%2 == 0 {
			add(segment{'o', "RA", isn + 1, 0, isn ^ 0x5555 + 1})
		}
		if live := table.Stats().Live; live != 1 {
			t.Fatalf("%d live flows", live)
		}
	}
	table.Flush()
	if states["RSTO"] != n/2 || states["S1"] != n/2 {
		t.Errorf("%v", states)
	}
}
