package baseline

import (
	"cmp"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/monban/monban/internal/packet"
)

// Room is made by dropping what would come first if all were sorted.
func TestMakeRoom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	order := func(a, b entry[int, int]) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.key, b.key))
	}
	for range 500 {
		m := map[int]int{}
		values := 1 + rng.IntN(1000) // few of them are many ties
		for k := range rng.IntN(600) {
			m[k] = rng.IntN(values)
		}
		all := []entry[int, int]{}
		for k, v := range m {
			all = append(all, entry[int, int]{k, v})
		}
		slices.SortFunc(all, order)
		oneOf := 1 + rng.IntN(9)
		n := min(max(1, len(all)/oneOf), len(all))
		before := maps.Clone(m)
		dropped := makeRoom(m, oneOf, order)
		slices.SortFunc(dropped, order)
		if !slices.Equal(dropped, all[:n]) || len(m) != len(before)-n {
			t.Fatalf("dropped %v, not %v", dropped, all[:n])
		}
	}
}

func TestTextOfMAC(t *testing.T) {
	for _, m := range []packet.MAC{{}, {2, 0xab, 0, 0xff, 1, 9}} {
		for _, id := range []string{"", m.String(), "02:ab:00:ff:01:09", "02:AB:00:FF:01:09", "10.0.0.1", "00:00:00:00:00:00"} {
			if got, want := isMAC(id, m), id == m.String(); got != want {
				t.Errorf("%q is %v: %v", id, m, got)
			}
		}
	}
}

// The state's form is that of the map that it was.
func TestStackState(t *testing.T) {
	var x ttls
	x.n[initialTTL(64)], x.n[initialTTL(255)] = 3, 1
	b, err := json.Marshal(map[string]*ttls{"client": &x})
	if err != nil || string(b) != `{"client":{"255":1,"64":3}}` {
		t.Errorf("%s, %v", b, err)
	}
	var back map[string]*ttls
	if err := json.Unmarshal(b, &back); err != nil || *back["client"] != x {
		t.Errorf("%v, %v", back, err)
	}
	if v, n := x.usual(); v != 64 || n != 3 {
		t.Errorf("usual is %d, %d times", v, n)
	}
}
