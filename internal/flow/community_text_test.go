package flow

import (
	"encoding/base64"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/monban/monban/internal/packet"
)

// The text of a Community ID is base 64 as the library reads it, and never twice the same for
// different flows.
func TestCommunityText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	seen := map[string]bool{}
	for range 5000 {
		var a, b [4]byte
		for i := range a {
			a[i], b[i] = byte(rng.Uint32()), byte(rng.Uint32())
		}
		r := &Record{Net: packet.NetIPv4, Proto: packet.ProtoTCP, Src: End{Addr: netip.AddrFrom4(a), Port: uint16(rng.Uint32())}, Dst: End{Addr: netip.AddrFrom4(b), Port: 443}}
		id := CommunityID(r)
		sum, err := base64.StdEncoding.Strict().DecodeString(id[2:])
		if err != nil || len(sum) != 20 || id[:2] != "1:" || base64.StdEncoding.EncodeToString(sum) != id[2:] || seen[id] {
			t.Fatalf("%q: %v", id, err)
		}
		seen[id] = true
	}
}
