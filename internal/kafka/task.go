package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// together is how many records are judged in one call.
const together = 64

// others is the shard of keys for which there is no room.
const others = "*"

// errFenced tells that another process has taken the partition.
var errFenced = errors.New("another process writes for this partition")

// task judges one partition while it is ours.
type task struct {
	g  *Group
	at place

	ending chan struct{} // with a checkpoint
	once   sync.Once
	ctx    context.Context // over when the partition is lost
	cancel context.CancelFunc
	ended  chan struct{}

	// of one session
	client  *kgo.Client
	next    int64           // first record that was not judged
	covered int64           // first that no checkpoint covers
	begun   bool            // a transaction is
	shards  map[string]bool // whether one changed since the last checkpoint
	full    bool            // a shard was refused, which was said
	orphans []piece         // to be forgotten
	writes  writes
}

// writes are what goes to Kafka in the transaction at hand.
type writes struct {
	mu    sync.Mutex
	fault error // the first
}

func (w *writes) done(r *kgo.Record, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		w.fault = explain(r.Topic, err)
	}
}

func (w *writes) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}

func newTask(g *Group, at place) *task {
	t := &task{g: g, at: at, ending: make(chan struct{}), ended: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(g.ctx)
	return t
}

func (t *task) end() { t.once.Do(func() { close(t.ending) }) }

// run works until the partition goes to another process. What goes wrong ends a session; the next goes on from the
// last checkpoint.
func (t *task) run() {
	defer close(t.ended)
	defer t.cancel()
	for attempt := 0; ; attempt++ {
		began := time.Now()
		err := t.session()
		for shard := range t.shards {
			t.g.work.Forget(t.name(shard))
		}
		t.shards = nil
		if err == nil || t.ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			attempt = 0
		}
		pause := backoff(attempt + 3)
		if errors.Is(err, errFenced) {
			pause = t.g.cfg.SessionTimeout // by then the group has told us, or it was we who were silent for too long
		} else if soon(err) {
			pause = backoff(0)
		}
		if !soon(err) {
			t.g.work.Trouble("back "+t.at.String(), fmt.Sprintf("partition %s goes back to its last checkpoint", t.at), err)
		}
		select {
		case <-t.ending:
			return
		case <-t.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// session owns the partition from its last checkpoint on.
func (t *task) session() (err error) {
	t.shards, t.begun, t.full = map[string]bool{}, false, false
	t.writes.fault, t.orphans = nil, nil
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	var closing sync.WaitGroup
	defer closing.Wait()
	if err := t.g.topics(ctx); err != nil {
		return err
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	defer func() {
		cancel() // a broker that hangs must not hold up the end
		t.client.Close()
	}()
	// From here on nobody else writes for the partition: a former owner's last transaction has ended.
	if _, _, err := t.client.ProducerID(ctx); err != nil {
		return t.explain(err)
	}
	if err := t.resume(ctx, &closing); err != nil {
		return err
	}
	due := time.Now().Add(t.g.cfg.Interval)
	for {
		ending := false
		select {
		case <-t.ending:
			ending = true
		default:
		}
		if ending || !time.Now().Before(due) {
			began := time.Now()
			if err := t.checkpoint(ctx); err != nil {
				return err
			}
			due = time.Now().Add(max(t.g.cfg.Interval, 10*time.Since(began)))
		}
		if ending {
			return nil
		}
		if err := t.some(ctx, due); err != nil {
			return err
		}
	}
}

// open makes the client that reads the partition and writes for it.
func (t *task) open(ctx context.Context) error {
	opts, err := t.g.cfg.options()
	if err != nil {
		return err
	}
	cfg := &t.g.cfg
	t.client, err = kgo.NewClient(append(opts,
		kgo.WithContext(ctx),
		kgo.WithHooks(connections{t.g.work.Trouble, cfg.TLS}),
		kgo.TransactionalID(fmt.Sprintf("%s-%s-%d", cfg.Group, t.at.topic, t.at.partition)),
		kgo.TransactionTimeout(min(10*time.Minute, max(time.Minute, 4*cfg.Interval))),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil), cfg.StateTopic}),
		kgo.ProducerBatchCompression(codec(cfg.Compression)),
		kgo.ProducerBatchMaxBytesFn(t.g.limit),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.MaxBufferedBytes(4<<20),
		kgo.RecordRetries(100), // of faults that go away; then the partition goes back
		kgo.UnknownTopicRetries(3),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(256<<10), // compressed, and there are two of them
		kgo.FetchMaxPartitionBytes(256<<10),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)...)
	return err
}

// partitioner puts states where they belong, and all else by its key.
type partitioner struct {
	kgo.Partitioner
	states string
}

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.states {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return p.Partitioner.ForTopic(topic)
}

// home is the partition of the topic of states in which ours are.
func (t *task) home() int32 { return t.at.partition % int32(max(1, t.g.stateWidth())) }

// resume reads the last checkpoint, gives the states back and begins to read where it ends.
func (t *task) resume(ctx context.Context, closing *sync.WaitGroup) error {
	states, home := t.g.cfg.StateTopic, t.home()
	admin := kadm.NewClient(t.client)
	ends, err := admin.ListEndOffsets(ctx, states)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return explain(states, err)
	}
	last := newGathered(t.at)
	err = readAll(ctx, &t.g.cfg.Config, states, map[int32]int64{home: ends[states][home].Offset}, closing, last.add)
	if err != nil {
		return err
	}
	all, err := last.states()
	if err == nil {
		t.next, err = last.offset()
	}
	if err != nil {
		return fmt.Errorf("topic %s, partition %d: what is kept of %s can't be used: %w; to begin anew, delete its records there", states, home, t.at, err)
	}
	for shard, s := range all {
		t.shards[shard] = false
		orphans, err := t.g.work.Resume(t.name(shard), s)
		if err != nil {
			return fmt.Errorf("the state for %.100q in %s: %w", shard, t.at, err)
		}
		for _, holder := range orphans {
			t.g.work.Trouble("orphan "+holder, fmt.Sprintf("partition %s: %s has a state for %.100q, but is not configured here; it is forgotten", t.at, holder, shard), nil)
			t.orphans = append(t.orphans, piece{holder, 0, shard})
		}
	}
	if err := t.inReach(ctx, admin); err != nil {
		return err
	}
	t.covered = t.next
	t.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.at.topic: {t.at.partition: kgo.NewOffset().At(t.next)}})
	return nil
}

// inReach says what was deleted before it was judged, and goes on behind it.
func (t *task) inReach(ctx context.Context, admin *kadm.Client) error {
	starts, err := admin.ListStartOffsets(ctx, t.at.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return explain(t.at.topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, t.at.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return explain(t.at.topic, err)
	}
	start, end := starts[t.at.topic][t.at.partition].Offset, ends[t.at.topic][t.at.partition].Offset
	switch {
	case t.next < start && t.next > 0:
		t.g.work.Trouble("deleted "+t.at.String(), fmt.Sprintf("partition %s: offsets %d to %d were deleted before they were judged; let the topic keep more (retention.ms, retention.bytes)", t.at, t.next, start-1), nil)
		t.next = start
	case t.next < start:
		t.next = start
	case t.next > end:
		t.g.work.Trouble("anew "+t.at.String(), fmt.Sprintf("partition %s ends at offset %d, but was judged to %d: the topic was made anew; it is read from its start", t.at, end, t.next), nil)
		t.next = start
	}
	return nil
}

// name tells shards of several partitions apart.
func (t *task) name(shard string) string { return t.at.String() + "/" + shard }

// some judges records until it is time for something else.
func (t *task) some(ctx context.Context, due time.Time) error {
	poll, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	go func() {
		select {
		case <-t.ending:
			cancel()
		case <-poll.Done():
		}
	}()
	fetches := t.client.PollRecords(poll, together)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var final error
	fetches.EachError(func(topic string, _ int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) && !kerr.IsRetriable(err) {
			final = errors.Join(final, explain(topic, err))
		}
	})
	if final != nil {
		return final
	}
	records := fetches.Records()
	if len(records) > 0 && !t.begun {
		if err := t.client.BeginTransaction(); err != nil {
			return t.explain(err)
		}
		t.begun = true
	}
	for len(records) > 0 {
		n := 1
		for n < len(records) && string(records[n].Key) == string(records[0].Key) {
			n++
		}
		shard := t.shard(string(records[0].Key))
		t.shards[shard] = true
		if err := t.g.work.Judge(within(ctx, t), t.name(shard), records[:n]); err != nil {
			return err
		}
		t.next = records[n-1].Offset + 1
		records = records[n:]
	}
	return t.explain(t.writes.failed())
}

// shard is that of a key.
func (t *task) shard(key string) string {
	if _, ok := t.shards[key]; ok || len(t.shards) < t.g.cfg.MaxShards {
		return key
	}
	if !t.full {
		t.full = true
		t.g.work.Trouble("sites "+t.at.String(), fmt.Sprintf("partition %s has more than %d keys: those beyond are judged together, as one site; are the edges' keys what they should be?", t.at, t.g.cfg.MaxShards), nil)
	}
	return others
}

// checkpoint writes the states of what changed and the position, and ends the transaction.
func (t *task) checkpoint(ctx context.Context) error {
	if t.next == t.covered {
		return nil
	}
	began := time.Now()
	done := Checkpoint{Topic: t.at.topic, Partition: t.at.partition, Offset: t.next}
	states, home := t.g.cfg.StateTopic, t.home()
	write := func(r *kgo.Record) {
		r.Partition = home
		done.Bytes += len(r.Value)
		t.client.Produce(ctx, r, t.writes.done)
	}
	for shard, changed := range t.shards {
		if !changed {
			continue
		}
		done.Shards++
		all, err := t.g.work.States(t.name(shard))
		if err != nil {
			return fmt.Errorf("the state for %.100q in %s: %w", shard, t.at, err)
		}
		for holder, state := range all {
			pieces, err := splitState(states, t.at, holder, shard, state, int(t.g.limit(states)))
			if err != nil {
				return err
			}
			for _, r := range pieces {
				write(r)
			}
		}
	}
	for _, p := range t.orphans {
		write(&kgo.Record{Topic: states, Key: p.key(t.at)})
	}
	at, err := json.Marshal(position{positionVersion, t.next})
	if err != nil {
		return err
	}
	write(&kgo.Record{Topic: states, Key: []byte(t.at.String()), Value: at})
	if err := t.client.Flush(ctx); err != nil {
		return err
	}
	if err := t.writes.failed(); err != nil {
		return t.explain(err)
	}
	if err := commit(ctx, t.client, states); err != nil {
		return t.explain(err)
	}
	t.begun, t.covered, t.orphans = false, t.next, nil
	for shard := range t.shards {
		t.shards[shard] = false
	}
	t.g.mu.Lock()
	if t.g.running[t.at] == t {
		t.g.covered[t.at] = t.next
	}
	t.g.mu.Unlock()
	done.Took = time.Since(began)
	t.g.work.Done(done)
	return nil
}

// explain tells what is wrong with the partition.
func (t *task) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch):
		return fmt.Errorf("%w, or this one was silent for too long: %w", errFenced, err)
	}
	return explain(t.at.topic, err)
}

// Tx is the transaction in which records of a partition are judged.
type Tx struct{ t *task }

type txKey struct{}

func within(ctx context.Context, t *task) context.Context {
	return context.WithValue(ctx, txKey{}, Tx{t})
}

// Within gives the transaction of a context.
func Within(ctx context.Context) (Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(Tx)
	return tx, ok
}

// Limit is how many bytes a message of a topic may have.
func (tx Tx) Limit(topic string) int { return int(tx.t.g.limit(topic)) }

// Send writes messages, which others see when the next checkpoint is written. It waits while much is on its way. A fault
// ends the transaction: the partition goes back to its last checkpoint.
func (tx Tx) Send(ctx context.Context, messages []Message) error {
	for i := range messages {
		m := &messages[i]
		tx.t.client.Produce(ctx, &kgo.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: m.Headers}, tx.t.writes.done)
	}
	return tx.t.writes.failed()
}
