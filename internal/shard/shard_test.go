package shard

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
)

// word is an engine that knows a word.
type word struct{ text string }

func (w *word) Checkpoint() ([]byte, error) { return []byte(w.text), nil }

func (w *word) Resume(b []byte) error {
	if string(b) == "bad" {
		return errors.New("a bad word")
	}
	w.text = string(b)
	return nil
}

type registry map[string]Holder

func (r registry) Hold(name string, h Holder) error { r[name] = h; return nil }
func (registry) Write(...string)                    {}

func words() *Engines[*word] { return New(func() *word { return &word{"new"} }, nil) }

func TestOneWithoutShards(t *testing.T) {
	e := words()
	got, err := e.Of(t.Context())
	if err != nil || got != e.One() {
		t.Error(got, err)
	}
	if _, err := e.Of(In(t.Context(), "a")); !errors.Is(err, ErrStorage) {
		t.Errorf("records of a shard were taken: %v", err)
	}
	n := 0
	e.Each(func(*word) { n++ })
	if n != 1 {
		t.Errorf("%d engines", n)
	}
}

func TestShards(t *testing.T) {
	var retired []string
	e, r := New(func() *word { return &word{"new"} }, func(w *word) { retired = append(retired, w.text) }), registry{}
	if err := e.Join(r, component.KindProcessor, component.MustNewIDWithName("baseline", "x")); err != nil {
		t.Fatal(err)
	}
	h := r["Processor/baseline/x"]
	if h == nil {
		t.Fatal("nobody holds: ", r)
	}
	if _, err := e.Of(t.Context()); !errors.Is(err, ErrNoShard) || !strings.Contains(err.Error(), "batch") {
		t.Errorf("records of no shard were taken: %v", err)
	}
	if b, err := h.Checkpoint("a"); b != nil || err != nil {
		t.Errorf("an engine that is not has a state: %q, %v", b, err)
	}
	of := func(name string) *word {
		w, err := e.Of(context.WithValue(In(t.Context(), name), word{}, 1))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	of("a").text = "of a"
	if of("b").text != "new" || of("a").text != "of a" {
		t.Error("shards share an engine")
	}
	b, err := h.Checkpoint("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Resume("c", b); err != nil || of("c").text != "of a" {
		t.Error(of("c"), err)
	}
	if err := h.Resume("a", []byte("bad")); err == nil || of("a").text != "of a" {
		t.Error("a bad state was used, or the good one lost", err)
	}
	h.Forget("a")
	h.Forget("a")
	n := 0
	e.Each(func(*word) { n++ })
	if n != 2 || of("a").text != "new" {
		t.Errorf("%d engines, want those of b and c", n)
	}
	if len(retired) != 1 || retired[0] != "of a" {
		t.Errorf("retired %q", retired)
	}
	e.Each(func(*word) { h.Forget("b") }) // it must not be locked
}

func TestAlone(t *testing.T) {
	if err := Alone(t.Context()); err != nil {
		t.Error(err)
	}
	if err := Alone(In(t.Context(), "a")); !errors.Is(err, ErrAlone) {
		t.Errorf("records of a shard were taken: %v", err)
	}
}
