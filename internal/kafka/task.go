package kafka

import (
	"cmp"
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

// others is the shard of keys for which there is no room, and of those longer than maxKey.
const (
	others = "*"
	maxKey = 1024
)

// sick is how long a partition may give nothing but faults before it goes back, by which it is looked for anew.
const sick = 10 * time.Second

// errFenced tells that another process has taken the partition.
var errFenced = errors.New("another process writes for this partition")

// task judges one partition while it is ours.
type task struct {
	g  *Group
	at place

	ending context.Context // over when it is to end with a checkpoint
	end    context.CancelFunc
	ctx    context.Context // over when the partition is lost
	cancel context.CancelFunc
	ended  chan struct{}

	// of one session
	client  *kgo.Client
	topic   string          // its id
	next    int64           // first record that was not judged
	covered int64           // first that no checkpoint covers
	begun   bool            // a transaction is
	shards  map[string]bool // whether one changed since the last checkpoint
	full    bool            // a shard was refused, which was said
	keyless bool            // a message without a key came, which was said
	since   time.Time       // when it was taken
	sick    time.Time       // since when there are only faults; zero for well
	orphans []piece         // to be forgotten
	writes  writes
}

// writes are what goes to Kafka in the transaction at hand.
type writes struct {
	mu    sync.Mutex
	fault error // the first
	topic string
}

func (w *writes) done(r *kgo.Record, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		w.fault, w.topic = err, r.Topic
	}
}

func (w *writes) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		return nil
	}
	return fenced(explain(w.topic, w.fault))
}

func newTask(g *Group, at place) *task {
	t := &task{g: g, at: at, ended: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(g.ctx)
	t.ending, t.end = context.WithCancel(context.Background())
	return t
}

// run works until the partition goes to another process. What goes wrong ends a session; the next goes on from the
// last checkpoint.
func (t *task) run() {
	defer close(t.ended)
	defer t.g.work.Fares(t.at.String(), nil)
	defer t.end()
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
			t.g.work.Fares(t.at.String(), fmt.Errorf("partition %s goes back to its last checkpoint: %w", t.at, err))
			t.g.work.Trouble("back "+t.at.String(), fmt.Sprintf("partition %s goes back to its last checkpoint", t.at), err)
		}
		select {
		case <-t.ending.Done():
			return
		case <-t.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// session owns the partition from its last checkpoint on.
func (t *task) session() (err error) {
	t.shards, t.begun, t.full, t.keyless, t.sick, t.orphans = map[string]bool{}, false, false, false, time.Time{}, nil
	t.writes = writes{}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	if err := t.take(ctx); err != nil {
		if t.ending.Err() != nil {
			return nil // there is nothing to save yet
		}
		return err
	}
	defer func() {
		cancel() // a broker that hangs must not hold up the end
		t.client.Close()
	}()
	t.since = time.Now()
	due := t.since.Add(t.g.cfg.Interval)
	for {
		ending := t.ending.Err() != nil
		if ending || !time.Now().Before(due) {
			began := time.Now()
			if err := t.checkpoint(ctx); err != nil {
				return err
			}
			due = time.Now().Add(min(max(t.g.cfg.Interval, 10*time.Since(began)), t.g.cfg.transactionTimeout()/2))
		}
		if ending {
			return nil
		}
		if t.g.id(t.at.topic) != t.topic {
			return fmt.Errorf("topic %s was deleted, or made anew", t.at.topic)
		}
		if err := t.some(ctx, due); err != nil {
			return err
		}
	}
}

// take makes the partition ours: its client, its states, its position. It ends early when the partition goes away meanwhile.
func (t *task) take(ctx context.Context) error {
	opening, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(t.ending, cancel)()
	var closing sync.WaitGroup
	defer func() {
		cancel() // a broker that hangs must not hold up the end
		closing.Wait()
	}()
	if err := t.g.topics(opening); err != nil {
		return err
	}
	t.topic = t.g.id(t.at.topic)
	if err := t.open(ctx); err != nil {
		return err
	}
	// From here on nobody else writes for the partition: a former owner's last transaction has ended.
	_, _, err := t.client.ProducerID(opening)
	if err != nil {
		err = fenced(explain(t.at.topic, err))
	} else {
		err = t.resume(opening, &closing)
	}
	if err != nil {
		t.client.Close()
	}
	return err
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
		kgo.TransactionalID(cfg.Group+"/"+t.at.String()),
		kgo.TransactionTimeout(cfg.transactionTimeout()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil), cfg.StateTopic}),
		kgo.ProducerBatchCompression(codec(cfg.Compression)),
		kgo.ProducerBatchMaxBytesFn(t.g.limit),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.MaxBufferedBytes(max(4<<20, 2*cfg.MaxMessageBytes)),
		kgo.RecordRetries(100), // of faults that go away; then the partition goes back
		kgo.UnknownTopicRetries(3),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(256<<10), // compressed, and there are two of them
		kgo.FetchMaxPartitionBytes(256<<10),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // what is not there is said
		kgo.KeepRetryableFetchErrors(),
		kgo.WithDecompressor(newBounded(t.g.work.Trouble)),
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

// owner is whose states ours are.
func (t *task) owner() owner { return owner{t.g.cfg.Group, t.at} }

// resume reads the last checkpoint, gives the states back and begins to read where it ends.
func (t *task) resume(ctx context.Context, closing *sync.WaitGroup) error {
	topic, last := t.g.cfg.StateTopic, newGathered(t.owner())
	if err := readAll(ctx, &t.g.cfg.Config, topic, []int32{t.at.partition}, closing, last.add); err != nil {
		return err
	}
	all, damaged := last.states()
	at, err := last.at()
	if damaged = errors.Join(damaged, err); damaged != nil {
		damaged = fmt.Errorf("topic %s, partition %d: what is kept of %s is damaged: %w", topic, t.at.partition, t.at, damaged)
		if !t.g.cfg.Forget {
			return fmt.Errorf("%w; to begin anew with what can't be read, set unreadable: forget at kafka_state", damaged)
		}
		t.g.work.Trouble("damaged "+t.at.String(), "learning begins anew with what can't be read", damaged)
	}
	for shard, s := range all {
		t.shards[shard] = false
		orphans, err := t.g.work.Resume(t.name(shard), s)
		if err != nil {
			return fmt.Errorf("the state for %.100q in %s: %w", shard, t.at, err)
		}
		for _, holder := range orphans {
			t.g.work.Trouble("orphan "+holder, fmt.Sprintf("partition %s: %s has a state for %.100q, but is not configured here; it is forgotten", t.at, holder, shard), nil)
			t.orphans = append(t.orphans, piece{holder, 0, shard}) // without its first piece it is none
		}
	}
	if err := t.inReach(ctx, at); err != nil {
		return err
	}
	t.covered = t.next
	t.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.at.topic: {t.at.partition: kgo.NewOffset().At(t.next)}})
	return nil
}

// inReach goes on at the position, or says why it can't.
func (t *task) inReach(ctx context.Context, at position) error {
	admin := kadm.NewClient(t.client)
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
	switch t.next = at.Offset; {
	case at.Topic != "" && at.Topic != t.topic:
		t.g.work.Trouble("anew "+t.at.String(), fmt.Sprintf("topic %s was made anew since partition %d was judged to offset %d; it is read from its start", t.at.topic, t.at.partition, t.next), nil)
		t.next = start
	case t.next < start:
		if t.next > 0 {
			t.g.work.Trouble("deleted "+t.at.String(), fmt.Sprintf("partition %s: offsets %d to %d were deleted before they were judged; let the topic keep more (retention.ms, retention.bytes)", t.at, t.next, start-1), nil)
		}
		t.next = start
	case t.next > end:
		t.g.work.Trouble("lost "+t.at.String(), fmt.Sprintf("partition %s ends at offset %d, but was judged to %d: the cluster has lost records since; it is read from there on", t.at, end, t.next), nil)
		t.next = end
	}
	return nil
}

// name tells shards of several partitions apart.
func (t *task) name(shard string) string { return t.at.String() + "/" + shard }

// some judges records until it is time for something else.
func (t *task) some(ctx context.Context, due time.Time) error {
	poll, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	defer context.AfterFunc(t.ending, cancel)()
	fetches := t.client.PollRecords(poll, together)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var final, passing error
	fetches.EachError(func(topic string, _ int32, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case kerr.IsRetriable(err):
			passing = explain(topic, err)
		default:
			final = errors.Join(final, explain(topic, err))
		}
	})
	switch {
	case final != nil:
		return final
	case passing == nil:
		t.sick = time.Time{}
	case t.sick.IsZero():
		t.sick = time.Now()
	case time.Since(t.sick) > sick:
		return passing
	}
	records := fetches.Records()
	if len(records) == 0 && passing == nil && !t.begun && time.Since(t.since) > sick {
		t.g.work.Fares(t.at.String(), nil) // all was judged: what sent it back would have come again by now
	}
	if len(records) > 0 && !t.begun {
		if err := t.client.BeginTransaction(); err != nil {
			return fenced(explain(t.at.topic, err))
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
			return cmp.Or(t.writes.failed(), err)
		}
		t.next = records[n-1].Offset + 1
		records = records[n:]
	}
	return t.writes.failed()
}

// shard is that of a key.
func (t *task) shard(key string) string {
	if key == "" && !t.keyless {
		t.keyless = true
		t.g.work.Trouble("key "+t.at.topic, fmt.Sprintf("messages in %s have no key: they are spread over partitions, and those of each are judged together, as one site; set the key of who writes them", t.at.topic), nil)
	}
	if _, ok := t.shards[key]; ok || len(t.shards) < t.g.cfg.MaxShards && len(key) <= maxKey {
		return key
	}
	if !t.full {
		t.full = true
		t.g.work.Trouble("sites "+t.at.String(), fmt.Sprintf("partition %s has more than %d keys, or one of more than %d bytes: those beyond are judged together, as one site; are the edges' keys what they should be?", t.at, t.g.cfg.MaxShards, maxKey), nil)
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
	states := t.g.cfg.StateTopic
	write := func(r *kgo.Record) {
		r.Partition = t.at.partition
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
			pieces, err := splitState(states, t.owner(), holder, shard, state, int(t.g.limit(states)))
			if err != nil {
				return err
			}
			for _, r := range pieces {
				write(r)
			}
		}
	}
	for _, p := range t.orphans {
		write(&kgo.Record{Topic: states, Key: p.key(t.owner())})
	}
	at, err := json.Marshal(position{positionVersion, t.next, t.topic})
	if err != nil {
		return err
	}
	write(&kgo.Record{Topic: states, Key: t.owner().key(), Value: at})
	if err := t.client.Flush(ctx); err != nil {
		return err
	}
	if err := t.writes.failed(); err != nil {
		return err
	}
	if err := commit(ctx, t.client, states); err != nil {
		return fenced(err)
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
	t.g.work.Fares(t.at.String(), nil)
	done.Took = time.Since(began)
	t.g.work.Done(done)
	return nil
}

// fenced tells when an error means that another process has taken the partition.
func fenced(err error) error {
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		return fmt.Errorf("%w, or this one was silent for too long: %w", errFenced, err)
	}
	return err
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
	records := make([]kgo.Record, len(messages))
	for i := range messages {
		m := &messages[i]
		records[i] = kgo.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: m.Headers}
		tx.t.client.Produce(ctx, &records[i], tx.t.writes.done)
	}
	return tx.t.writes.failed()
}
