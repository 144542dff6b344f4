// Package shardtest holds what a component promises that has an engine for each shard.
package shardtest

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/shard"
)

// ID is that of the storage that components are to name.
var ID = component.MustNewID("shards")

// host is a process with a registry of one holder.
type host struct {
	component.StartFunc
	component.ShutdownFunc
	held map[string]shard.Holder
}

func (h *host) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{ID: h}
}

func (h *host) Hold(name string, holder shard.Holder) error { h.held[name] = holder; return nil }
func (*host) Write(...string)                               {}

func (h *host) holder(t *testing.T) shard.Holder {
	t.Helper()
	if len(h.held) != 1 {
		t.Fatalf("%d holders, want one", len(h.held))
	}
	for _, holder := range h.held {
		return holder
	}
	return nil
}

// HandOver feeds batches to a component, whose storage must be [ID], and between any two of them moves its shard to one in another
// process. What comes out must be what comes of one that is left alone. Start makes a component and starts it.
func HandOver(t *testing.T, start func(t *testing.T, h component.Host, next consumer.Logs) consumer.Logs, batches func() []plog.Logs) {
	t.Helper()
	ctx := shard.In(t.Context(), "topic/0/hall")
	type process struct {
		*host
		consumer.Logs
		sink *consumertest.LogsSink
	}
	begin := func() process {
		p := process{host: &host{held: map[string]shard.Holder{}}, sink: new(consumertest.LogsSink)}
		p.Logs = start(t, p.host, p.sink)
		return p
	}
	feed := func(p process, some []plog.Logs) {
		t.Helper()
		for _, ld := range some {
			if err := p.ConsumeLogs(ctx, ld); err != nil {
				t.Fatal(err)
			}
		}
	}
	alone := begin()
	feed(alone, batches())
	want, all := lines(t, alone.sink), len(batches())
	if len(want) == 0 {
		t.Fatal("nothing comes out, so nothing is shown")
	}
	other := begin() // its shard has the same name, and nothing to do with it
	if err := other.ConsumeLogs(shard.In(context.Background(), "topic/1/hall"), batches()[0]); err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < all; cut++ {
		a, b := begin(), begin()
		feed(a, batches()[:cut])
		state, err := a.holder(t).Checkpoint("topic/0/hall")
		if err != nil || len(state) == 0 {
			t.Fatalf("a state of %d bytes, %v", len(state), err)
		}
		a.holder(t).Forget("topic/0/hall")
		for _, damaged := range [][]byte{nil, state[:len(state)/2], append(state[:len(state):len(state)], 1)} {
			if b.holder(t).Resume("topic/0/hall", damaged) == nil {
				t.Fatalf("a state of %d bytes was taken for one of %d", len(damaged), len(state))
			}
		}
		if err := b.holder(t).Resume("topic/0/hall", state); err != nil {
			t.Fatal(err)
		}
		feed(b, batches()[cut:])
		got := append(lines(t, a.sink), lines(t, b.sink)...)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("moved after %d of %d batches, %d records came out, want %d, and the same", cut, all, len(got), len(want))
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("record %d is\n%s\nwant\n%s", i, got[i], want[i])
				}
			}
		}
	}
}

// lines are all that came out, a resource each.
func lines(t *testing.T, sink *consumertest.LogsSink) (all []string) {
	t.Helper()
	for _, ld := range sink.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			one := plog.NewLogs()
			rl.CopyTo(one.ResourceLogs().AppendEmpty())
			b, err := (&plog.JSONMarshaler{}).MarshalLogs(one)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(b))
		}
	}
	return all
}
