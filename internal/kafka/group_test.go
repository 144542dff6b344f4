//go:build linux

package kafka

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/monban/monban/testbed/servers"
)

// tally is a worker that learns: for each shard what it saw, in order. It writes each record on, with how many came
// before it.
type tally struct {
	g      *Group
	t      *testing.T
	mu     sync.Mutex
	seen   map[string][]byte // a line a record
	refuse func(shard string, r *kgo.Record) error
	last   Checkpoint
	said   chan string
}

func (w *tally) judge(ctx context.Context, shard string, records []*kgo.Record) error {
	tx, ok := Within(ctx)
	if !ok {
		return errors.New("there is no transaction")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range records {
		if w.refuse != nil {
			if err := w.refuse(shard, r); err != nil {
				return err
			}
		}
		before := bytes.Count(w.seen[shard], []byte("\n"))
		w.seen[shard] = fmt.Appendf(w.seen[shard], "%s\n", r.Value)
		if err := tx.Send(ctx, []Message{{Topic: "judged-" + r.Topic, Key: r.Key, Value: fmt.Appendf(nil, "%s after %d", r.Value, before)}}); err != nil {
			return err
		}
	}
	return nil
}

func (w *tally) states(shard string) (map[string][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[string][]byte{"seen": bytes.Clone(w.seen[shard]), "other": []byte(shard)}, nil
}

func (w *tally) resume(shard string, states map[string][]byte) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen[shard]) > 0 {
		return nil, fmt.Errorf("%s is not forgotten", shard)
	}
	if string(states["other"]) != shard {
		return nil, fmt.Errorf("%s got the state of %s", shard, states["other"])
	}
	w.seen[shard] = states["seen"]
	return nil, nil
}

func (w *tally) forget(shard string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.seen, shard)
}

func (w *tally) done(c Checkpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = c
}

func member(t *testing.T, k *servers.Kafka, topic string, change func(*tally, *GroupConfig)) *tally {
	t.Helper()
	w := &tally{t: t, seen: map[string][]byte{}, said: make(chan string, 1000)}
	cfg := GroupConfig{
		Config: Config{Brokers: k.Addrs, ClientID: "test", Compression: "zstd", MaxMessageBytes: 1000000, Create: true, Partitions: 4, Replicas: -1},
		Group:  "g-" + topic, Topics: []string{topic}, Outputs: []string{"judged-" + topic}, StateTopic: "state-" + topic,
		Interval: 100 * time.Millisecond, SessionTimeout: 6 * time.Second, MaxShards: 3,
	}
	if change != nil {
		change(w, &cfg)
	}
	var err error
	w.g, err = NewGroup(cfg, Work{Judge: w.judge, States: w.states, Resume: w.resume, Forget: w.forget, Done: w.done,
		Trouble: func(_, what string, err error) {
			t.Log(what, err)
			select {
			case w.said <- fmt.Sprint(what, " ", err):
			default:
			}
		}})
	if err == nil {
		err = w.g.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.die() })
	return w
}

// hear waits until something is said.
func (w *tally) hear(want string) {
	w.t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case s := <-w.said:
			if strings.Contains(s, want) {
				return
			}
		case <-late:
			w.t.Fatalf("nobody said %q", want)
		}
	}
}

// die ends a member as a kill does: no checkpoint, no word to the group.
func (w *tally) die() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	w.g.cancel()
	w.g.Close(over)
}

// leave ends a member in order.
func (w *tally) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w.g.Close(ctx)
}

// judged holds that all of the numbers were judged once, and that each knew exactly what came before it.
func judged(t *testing.T, k *servers.Kafka, topic string, want int) {
	t.Helper()
	var records []*kgo.Record
	for begun := time.Now(); len(records) < want && time.Since(begun) < time.Minute; time.Sleep(200 * time.Millisecond) {
		var err error
		if records, err = k.Read(t.Context(), "judged-"+topic); err != nil {
			t.Fatal(err)
		}
	}
	values, after := map[string]int{}, map[string]int{}
	for _, r := range records {
		value, n, _ := strings.Cut(string(r.Value), " after ")
		values[value]++
		if n != fmt.Sprint(after[string(r.Key)]) {
			t.Errorf("key %s: %s came after %s others, want %d", r.Key, value, n, after[string(r.Key)])
			return
		}
		after[string(r.Key)]++
	}
	if len(values) != want {
		t.Errorf("%d were judged, want %d", len(values), want)
	}
	for v, n := range values {
		if n != 1 {
			t.Errorf("%s was judged %d times", v, n)
		}
	}
}

// A partition's records count once, in what is learned and in what is written, though members come, go in order, and
// are killed, at whatever moment.
func TestGroup(t *testing.T) {
	k := broker(t)
	const topic, rounds, each = "group", 8, 250
	p := producer(t, k, topic, "")
	all := 0
	send := func() {
		if _, err := p.Send(t.Context(), numbered(topic, all, all+each-1)); err != nil {
			t.Fatal(err)
		}
		all += each
	}
	send()
	random := rand.New(rand.NewPCG(1, 2))
	members := []*tally{member(t, k, topic, nil)}
	for i := range rounds {
		send()
		time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
		switch {
		case len(members) < 3 && i%2 == 0:
			members = append(members, member(t, k, topic, nil))
		default:
			n := random.IntN(len(members))
			if i%3 == 0 {
				members[n].leave()
			} else {
				members[n].die()
			}
			members[n] = member(t, k, topic, nil)
		}
	}
	send()
	judged(t, k, topic, all)
}

// A fault behind sends a partition back to its last checkpoint: what it had learned and written since counts once all
// the same. Keys for which there is no room share a shard.
func TestGroupGoesBack(t *testing.T) {
	k := broker(t)
	const topic = "back"
	if err := k.CreateTopic(t.Context(), topic, 1); err != nil {
		t.Fatal(err)
	}
	p := producer(t, k, topic, "")
	if _, err := p.Send(t.Context(), numbered(topic, 0, 499)); err != nil {
		t.Fatal(err)
	}
	faults := 0
	shards := map[string]bool{}
	w := member(t, k, topic, func(w *tally, _ *GroupConfig) {
		w.refuse = func(shard string, r *kgo.Record) error {
			shards[shard] = true
			if strings.HasSuffix(string(r.Value), "77") && faults < 3 {
				faults++
				return errors.New("what is behind refuses")
			}
			return nil
		}
	})
	records := map[string]int{}
	once(t, func() map[string]int { records = arrivedOf(t, k, "judged-"+topic); return records }, 500)
	w.leave()
	if faults != 3 {
		t.Errorf("%d faults", faults)
	}
	if len(shards) != 4 || !shards["back/0/"+others] {
		t.Errorf("shards %v, want three and that of the others", shards)
	}
	if w.last.Offset != 500 || w.last.Topic != topic {
		t.Errorf("the last checkpoint is %+v", w.last)
	}
}

// arrivedOf counts what was judged, by value.
func arrivedOf(t *testing.T, k *servers.Kafka, topic string) map[string]int {
	t.Helper()
	records, err := k.Read(t.Context(), topic)
	if err != nil {
		return nil // it is not made yet
	}
	counts := map[string]int{}
	for _, r := range records {
		value, _, _ := strings.Cut(string(r.Value), " ")
		counts[value]++
	}
	return counts
}

// What is kept and can't be used stops the partition, and says how to go on; what was deleted before it was judged
// is said, and passed over.
func TestGroupAtBadState(t *testing.T) {
	k := broker(t)
	const topic = "badstate"
	for name, settings := range map[string][]string{topic: nil, "state-" + topic: {"cleanup.policy", "compact"}} {
		if err := k.CreateTopic(t.Context(), name, 1, settings...); err != nil {
			t.Fatal(err)
		}
	}
	p := producer(t, k, topic, "")
	if _, err := p.Send(t.Context(), numbered(topic, 0, 9)); err != nil {
		t.Fatal(err)
	}
	cl, err := k.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	put := func(key, value string) {
		t.Helper()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "state-" + topic, Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	put("g-"+topic+"\x00"+topic+"/0", "damaged")
	w := member(t, k, topic, nil)
	w.hear("is damaged")
	put("g-"+topic+"\x00"+topic+"/0", `{"version":1,"offset":4}`)
	once(t, func() map[string]int { return arrivedOf(t, k, "judged-"+topic) }, 6) // 4 to 9
	w.leave()
	put("g-"+topic+"\x00"+topic+"/0", `{"version":1,"offset":99}`)
	w = member(t, k, topic, nil)
	w.hear("has lost records")
	w.leave()
	put("g-"+topic+"\x00"+topic+"/0", "damaged")
	w = member(t, k, topic, func(_ *tally, c *GroupConfig) { c.Forget = true })
	w.hear("begins anew")
	once(t, func() map[string]int { return twice(arrivedOf(t, k, "judged-"+topic)) }, 6) // from the start, so again
	w.leave()
}

// twice keeps what is there two times, as one.
func twice(counts map[string]int) map[string]int {
	maps.DeleteFunc(counts, func(_ string, n int) bool { return n != 2 })
	for v := range counts {
		counts[v] = 1
	}
	return counts
}

// Groups whose states lie in one topic have nothing to do with each other.
func TestTwoGroups(t *testing.T) {
	k := broker(t)
	const topic = "twogroups"
	p := producer(t, k, topic, "")
	if _, err := p.Send(t.Context(), numbered(topic, 0, 99)); err != nil {
		t.Fatal(err)
	}
	w := member(t, k, topic, nil)
	once(t, func() map[string]int { return arrivedOf(t, k, "judged-"+topic) }, 100)
	w.leave()
	w = member(t, k, topic, func(_ *tally, c *GroupConfig) { c.Group = "another" })
	once(t, func() map[string]int { return twice(arrivedOf(t, k, "judged-"+topic)) }, 100)
	w.leave()
}

// What was deleted before it was judged, and a topic that is another one by now, is said and passed over, at once
// where a member runs. Keys and messages may be large.
func TestTopicChanges(t *testing.T) {
	k := broker(t)
	const topic = "changes"
	if err := k.CreateTopic(t.Context(), topic, 1); err != nil {
		t.Fatal(err)
	}
	cl, err := k.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	put := func(key, value string) error {
		return cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).FirstErr()
	}
	fill := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := put("k", fmt.Sprint("n", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(0, 50)
	one := func(_ *tally, c *GroupConfig) { c.Partitions = 1 }
	w := member(t, k, topic, one)
	once(t, func() map[string]int { return arrivedOf(t, k, "judged-"+topic) }, 50)
	w.leave()
	fill(50, 60)
	_, err = admin.DeleteRecords(t.Context(), kadm.Offsets{topic: {0: {Topic: topic, At: 55}}})
	if err != nil {
		t.Fatal(err)
	}
	w = member(t, k, topic, one)
	w.hear("offsets 50 to 54 were deleted")
	once(t, func() map[string]int { return arrivedOf(t, k, "judged-"+topic) }, 55)
	if err := put(strings.Repeat("k", 200_000), "n60"); err != nil {
		t.Fatal(err)
	}
	w.hear("more than 1024 bytes")
	once(t, func() map[string]int { return arrivedOf(t, k, "judged-"+topic) }, 56)
	if _, err := admin.DeleteTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	w.hear("was made anew")  // by the member itself, which is told to make topics
	fresh, err := k.Client() // the other one knows the topic that is gone
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if err := fresh.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("n61")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	once(t, func() map[string]int { return arrivedOf(t, k, "judged-"+topic) }, 57)
	w.leave()
}

// A broker that hangs holds up neither the end nor who asks for figures.
func TestGroupEndsBesideHangingBroker(t *testing.T) {
	k := broker(t)
	const topic = "hangs"
	p := producer(t, k, topic, "")
	if _, err := p.Send(t.Context(), numbered(topic, 0, 99)); err != nil {
		t.Fatal(err)
	}
	w := member(t, k, topic, func(w *tally, _ *GroupConfig) {
		w.refuse = func(string, *kgo.Record) error { return errors.New("what is behind refuses") }
	})
	w.hear("what is behind refuses")
	if err := k.Brokers[0].Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Brokers[0].Resume() }()
	time.Sleep(3 * time.Second)
	done := make(chan struct{})
	go func() {
		w.g.Partitions()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.g.Close(ctx)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("the group does not end")
	}
}

// A batch can't become larger than its bound when it is decompressed.
func TestDecompressIsBounded(t *testing.T) {
	zeros := make([]byte, maxBatch+1)
	zip, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var gz, l4 bytes.Buffer
	g, l := gzip.NewWriter(&gz), lz4.NewWriter(&l4)
	for _, w := range []io.WriteCloser{g, l} {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	said := 0
	b := newBounded(func(string, string, error) { said++ })
	for codec, bomb := range map[kgo.CompressionCodecType][]byte{kgo.CodecZstd: zip.EncodeAll(zeros, nil), kgo.CodecGzip: gz.Bytes(), kgo.CodecLz4: l4.Bytes()} {
		if out, err := b.Decompress(bomb, codec); err == nil {
			t.Errorf("codec %d: %d bytes became %d", codec, len(bomb), len(out))
		}
	}
	if out, err := b.Decompress(zip.EncodeAll(zeros[:1000], nil), kgo.CodecZstd); err != nil || len(out) != 1000 || said != 3 {
		t.Errorf("%d bytes, %v, said %d times", len(out), err, said)
	}
}
