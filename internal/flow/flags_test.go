package flow

import (
	"testing"

	"github.com/monban/monban/internal/packet"
)

func TestStateOfFlags(t *testing.T) {
	const f, s, r, p, a = packet.FIN, packet.SYN, packet.RST, packet.PSH, packet.ACK
	for _, c := range []struct {
		o, r uint8
		want string
	}{
		{s, 0, "S0"},
		{s, r | a, "REJ"},
		{s | a | p | f, s | a | p | f, "SF"},
		{s | a | p, s | a | p, "S1"},
		{s | a | p | f, s | a | p, "S2"},
		{s | a | p, s | a | p | f, "S3"},
		{s | a | p | r, s | a | p, "RSTO"},
		{s | a | p, s | a | p | r, "RSTR"},
		{s | r, 0, "RSTOS0"},
		{s | f, 0, "SH"},
		{a | p, a | p, "OTH"},
		{0, 0, "OTH"},
	} {
		if got := StateOfFlags(c.o, c.r); got != c.want {
			t.Errorf("initiator %06b, responder %06b: %s, want %s", c.o, c.r, got, c.want)
		}
	}
}
