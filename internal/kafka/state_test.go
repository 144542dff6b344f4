package kafka

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

var here = owner{"gateways", place{"monban.edge", 3}}

func split(t testing.TB, holder, shard string, state []byte, most int) []*kgo.Record {
	t.Helper()
	all, err := splitState("monban.state", here, holder, shard, state, most)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A state comes back whole, also in place of a larger one, and nothing of other partitions with it.
func TestStateThereAndBack(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	noise := make([]byte, 50_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	g := newGathered(here)
	add := func(all ...*kgo.Record) {
		t.Helper()
		for _, r := range all {
			if len(r.Key)+len(r.Value) > 8192 {
				t.Errorf("a piece has %d bytes", len(r.Value))
			}
			g.add(r)
		}
	}
	large := split(t, "baseline", "a site\x00with a zero", noise, 8192)
	if len(large) < 5 {
		t.Fatalf("%d pieces of 50,000 bytes that can't be compressed", len(large))
	}
	add(large...)
	add(split(t, "baseline", "a site\x00with a zero", []byte("small"), 8192)...)
	add(split(t, "threat", "a site\x00with a zero", noise[:20_000], 8192)...)
	add(split(t, "threat", "empty", nil, 8192)...)
	add(split(t, "gone", "empty", noise, 8192)...)
	add(&kgo.Record{Key: piece{"gone", 0, "empty"}.key(here)})
	add(&kgo.Record{Key: here.key(), Value: []byte(`{"version":1,"offset":42}`)})
	there := owner{"gateways", place{"monban.edge", 33}}
	other, _ := splitState("monban.state", there, "baseline", "x", noise, 8192)
	add(other[0], &kgo.Record{Key: there.key(), Value: []byte("damaged")}, &kgo.Record{Key: []byte("somebody's"), Value: []byte("x")}, &kgo.Record{})
	all, err := g.states()
	if err != nil {
		t.Fatal(err)
	}
	at, err := g.at()
	if err != nil || at.Offset != 42 || len(all) != 2 || len(all["empty"]) != 1 ||
		string(all["a site\x00with a zero"]["baseline"]) != "small" || !bytes.Equal(all["a site\x00with a zero"]["threat"], noise[:20_000]) {
		t.Errorf("%+v, %v, states %.300v", at, err, all)
	}
}

func TestStateRefused(t *testing.T) {
	for want, records := range map[string][]*kgo.Record{
		"can't be read":     {{Key: here.key(), Value: []byte("{")}},
		"of version 7":      {{Key: here.key(), Value: []byte(`{"version":7}`)}},
		"position is -1":    {{Key: here.key(), Value: []byte(`{"version":1,"offset":-1}`)}},
		"lacks piece 1 of":  {{Key: piece{"b", 0, "s"}.key(here), Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: headerPieces, Value: []byte("2")}}}},
		"magic number":      {{Key: piece{"b", 0, "s"}.key(here), Value: []byte("no zstd at all"), Headers: []kgo.RecordHeader{{Key: headerPieces, Value: []byte("1")}}}},
		"number of pieces":  {{Key: piece{"b", 0, "s"}.key(here), Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: headerPieces, Value: []byte("many")}}}},
		"number of pieces ": {{Key: piece{"b", 0, "s"}.key(here), Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: headerPieces, Value: []byte("-4")}}}},
	} {
		g := newGathered(here)
		for _, r := range records {
			g.add(r)
		}
		_, err := g.states()
		if err == nil {
			_, err = g.at()
		}
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := splitState("s", here, "h", strings.Repeat("k", 4000), []byte("x"), 4096); err == nil || !strings.Contains(err.Error(), "leaves no room") {
		t.Errorf("a key that leaves no room: %v", err)
	}
}

// FuzzState takes any records for what is kept.
func FuzzState(f *testing.F) {
	for _, r := range split(f, "baseline", "site", []byte("what was learned"), 8192) {
		f.Add(r.Key, r.Value, "1")
	}
	f.Add(here.key(), []byte(`{"version":1,"offset":42}`), "")
	f.Add(piece{"b", 0, "s"}.key(here), []byte{0x28, 0xb5, 0x2f, 0xfd}, "1000000000")
	f.Fuzz(func(_ *testing.T, key, value []byte, pieces string) {
		g := newGathered(here)
		g.add(&kgo.Record{Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: headerPieces, Value: []byte(pieces)}}})
		_, _ = g.states()
		_, _ = g.at()
	})
}
