package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A Message is one record of Kafka. Its bytes must not be changed after [Producer.Send], which may
// give up waiting before the client has let go of them.
type Message struct {
	Topic   string
	Key     []byte // nil for any partition
	Value   []byte
	Headers []kgo.RecordHeader
	Marks   []uint64 // of all that it holds, each the same for the same content
}

// Size is how many bytes the message takes at most in a batch of its own, before compression.
func (m *Message) Size() int {
	n := 128 + len(m.Key) + len(m.Value) // the head of a batch and of a record
	for _, h := range m.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// A Refusal is a message that the cluster will never take.
type Refusal struct {
	Index int // in what was sent
	Err   error
}

// Result is what became of messages that were sent without an error.
type Result struct {
	Refused  []Refusal
	Repeated []int // the indexes of those that an earlier transaction had brought already
}

// Producer sends messages. Its methods are safe for concurrent use; with transactions calls wait
// for each other.
type Producer struct {
	cfg     Config
	topics  []string                           // to be made, if so configured
	trouble func(kind, what string, err error) // told of each fault of a connection

	mu      sync.Mutex // transactions: one at a time; else: only while client is made or dropped
	client  *kgo.Client
	cancel  context.CancelFunc // of client
	closing sync.WaitGroup
	limits  sync.Map            // bytes that a topic's batch may have, by topic
	marks   map[uint64]struct{} // what earlier processes of this id brought last; nil until it was read
	carry   []uint64            // likewise, to be written with the first transaction
}

// NewProducer makes a producer, which connects with the first call of Send. Topics are those that
// are made if the configuration says so; trouble is told of faults that Send waits out, each of a kind.
func NewProducer(cfg Config, topics []string, trouble func(kind, what string, err error)) (*Producer, error) {
	if _, err := cfg.options(); err != nil {
		return nil, err
	}
	return &Producer{cfg: cfg, topics: topics, trouble: trouble}, nil
}

// Close lets go of the cluster; the contexts of Send must be over. It waits for connections to
// close, but not for long.
func (p *Producer) Close() {
	p.mu.Lock()
	p.drop()
	p.mu.Unlock()
	closed := make(chan struct{})
	go func() {
		p.closing.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
	}
}

// drop closes the client without waiting for it: its connections may hang.
func (p *Producer) drop() {
	if p.client != nil {
		p.cancel()
		p.closing.Go(p.client.Close)
		p.client, p.marks, p.carry = nil, nil, nil
	}
}

// Send sends all messages. With an error some of them may have arrived, unless there are
// transactions: then none has, or all are known when they are sent again.
func (p *Producer) Send(ctx context.Context, messages []Message) (Result, error) {
	if len(messages) == 0 {
		return Result{}, nil
	}
	if p.cfg.TransactionalID != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.transact(ctx, messages)
	}
	p.mu.Lock()
	client, err := p.connected(ctx)
	p.mu.Unlock()
	if err != nil {
		return Result{}, err
	}
	refused, err := produce(ctx, client, messages)
	if err == nil && len(refused) > 0 {
		again := make([]Message, len(refused))
		for i, r := range refused {
			again[i] = messages[r.Index]
		}
		var still []Refusal
		still, err = produceEach(ctx, client, again)
		for i := range still {
			still[i].Index = refused[still[i].Index].Index
		}
		refused = still
	}
	if err != nil {
		p.mu.Lock()
		if p.client == client {
			p.drop()
		}
		p.mu.Unlock()
	}
	return Result{Refused: refused}, err
}

// Ready connects, if need be, and learns what earlier processes of this transactional id brought.
func (p *Producer) Ready(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	client, err := p.connected(ctx)
	if err == nil && p.cfg.TransactionalID != "" && p.marks == nil {
		err = p.recover(ctx, client)
	}
	if err != nil {
		p.drop()
	}
	return err
}

// Known tells whether what has this mark was brought by an earlier process, as of the last Ready.
func (p *Producer) Known(mark uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.marks[mark]
	return ok
}

// connected gives the client, made anew when there is none.
func (p *Producer) connected(ctx context.Context) (*kgo.Client, error) {
	if p.client != nil {
		return p.client, nil
	}
	opts, err := p.cfg.options()
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		kgo.WithHooks(connections{p.trouble, p.cfg.TLS}),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Kafka's own clients do
		kgo.ProducerBatchCompression(codec(p.cfg.Compression)),
		kgo.ProducerBatchMaxBytesFn(p.limit),
		kgo.ManualFlushing(),
		kgo.MaxBufferedRecords(math.MaxInt32), // the caller's batch is the bound
		kgo.RecordRetries(math.MaxInt64),
		kgo.UnknownTopicRetries(3),
	)
	if p.cfg.TransactionalID != "" {
		opts = append(opts, kgo.TransactionalID(p.cfg.TransactionalID), kgo.TransactionTimeout(time.Minute))
	}
	own, cancel := context.WithCancel(context.Background()) // a hanging broker must not hold up the end
	client, err := kgo.NewClient(append(opts, kgo.WithContext(own))...)
	if err != nil {
		cancel()
		return nil, err
	}
	if p.cfg.Create {
		if err := p.create(ctx, client); err != nil {
			cancel()
			p.closing.Go(client.Close)
			return nil, err
		}
	}
	topics := p.topics
	if p.cfg.TransactionalID != "" {
		topics = append(slices.Clone(topics), p.cfg.MarkTopic)
	}
	learnLimits(ctx, kadm.NewClient(client), &p.limits, p.cfg.MaxMessageBytes, topics...)
	p.client, p.cancel = client, cancel
	return client, nil
}

// learnLimits asks how large a batch each topic takes. Where that is not told, or changes later, a
// batch that is too large is sent again message by message.
func learnLimits(ctx context.Context, admin *kadm.Client, limits *sync.Map, most int, topics ...string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return
	}
	for _, t := range all {
		for _, c := range t.Configs {
			if n, err := strconv.Atoi(c.MaybeValue()); c.Key == "max.message.bytes" && err == nil {
				limits.Store(t.Name, int32(max(512, min(n, most))))
			}
		}
	}
}

// Limit is how many bytes a message of a topic may have, as far as is known after [Producer.Ready].
func (p *Producer) Limit(topic string) int { return int(p.limit(topic)) }

func (p *Producer) limit(topic string) int32 {
	if n, ok := p.limits.Load(topic); ok {
		return n.(int32)
	}
	return int32(p.cfg.MaxMessageBytes)
}

// create makes the topics that are missing.
func (p *Producer) create(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	if err := createTopics(ctx, admin, p.cfg.Partitions, p.cfg.Replicas, nil, p.topics...); err != nil || p.cfg.TransactionalID == "" {
		return err
	}
	return createTopics(ctx, admin, 1, p.cfg.Replicas, markSettings(), p.cfg.MarkTopic)
}

// createTopics makes those of the topics that are missing.
func createTopics(ctx context.Context, admin *kadm.Client, partitions, replicas int, settings map[string]*string, topics ...string) error {
	made, err := admin.CreateTopics(ctx, int32(partitions), int16(replicas), settings, topics...)
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	for _, t := range made {
		if t.Err != nil && !errors.Is(t.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", t.Topic, t.Err)
		}
	}
	// A broker may not know yet of a topic that was made a moment ago, by us or somebody else.
	for attempt := 0; attempt < 50; attempt++ {
		there, err := admin.ListEndOffsets(ctx, slices.Sorted(maps.Keys(made))...)
		if err == nil && there.Error() == nil {
			break
		}
		if err := wait(ctx, backoff(0)); err != nil {
			return err
		}
	}
	return nil
}

// produce sends the messages and waits for all of them, or until ctx is over.
func produce(ctx context.Context, client *kgo.Client, messages []Message) (refused []Refusal, err error) {
	if len(messages) == 0 {
		return nil, nil
	}
	// Everything that callbacks touch is of this call alone, as they may come after it has returned.
	outcomes := make([]error, len(messages))
	records := make([]kgo.Record, len(messages))
	done := make(chan struct{})
	var left atomic.Int64
	left.Store(int64(len(messages)))
	for i := range messages {
		m := &messages[i]
		records[i] = kgo.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: m.Headers}
		client.Produce(ctx, &records[i], func(_ *kgo.Record, err error) {
			outcomes[i] = err
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	}
	go func() { _ = client.Flush(ctx) }() // these are all that there is: send them in batches as large as can be
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-done:
	}
	for i, o := range outcomes {
		switch {
		case o == nil:
		case hopeless(o):
			refused = append(refused, Refusal{i, o})
		case err == nil:
			err = explain(messages[i].Topic, o)
		}
	}
	return refused, err
}

// produceEach sends one message after the other. The cluster refuses a whole batch for being too
// large, or for one bad record in it: only what it refuses alone is at fault itself.
func produceEach(ctx context.Context, client *kgo.Client, messages []Message) (refused []Refusal, err error) {
	for i := range messages {
		r, err := produce(ctx, client, messages[i:i+1])
		if err != nil {
			return nil, err
		}
		if len(r) > 0 {
			refused = append(refused, Refusal{i, r[0].Err})
		}
	}
	return refused, nil
}

// hopeless tells whether the cluster refuses the message itself, now and later.
func hopeless(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord)
}

// explain makes an error that says what to do.
func explain(topic string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		hint = "the topic does not exist; create it, or set create_topics"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		hint = "the cluster refuses the name or the password"
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed),
		errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		hint = "the user may not do that there; an administrator must allow Write (to read: Read) and Describe on the topic, and Write and Describe on the transactional id"
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		hint = "the user may not join the group; an administrator must allow Read and Describe on it"
	case errors.Is(err, kerr.InvalidRecord):
		hint = "it takes no such record; a compacted topic takes none without a key"
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		hint = "it takes no message as large; raise its max.message.bytes, or lower max_message_bytes here"
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch):
		hint = "another process uses this transactional_id, or this one was silent for more than a minute"
	case errors.Is(err, kerr.NotEnoughReplicas), errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		hint = "too few of the topic's replicas are in sync"
	}
	if hint != "" {
		return fmt.Errorf("topic %s: %s: %w", topic, hint, err)
	}
	return fmt.Errorf("topic %s: %w", topic, err)
}

// connections tells of brokers that can't be reached.
type connections struct {
	trouble func(kind, what string, err error)
	tls     *tls.Config
}

func (c connections) OnBrokerConnect(b kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil || c.trouble == nil || errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, context.Canceled) {
		return
	}
	kind, what := "connection", fmt.Sprintf("no connection to %s:%d", b.Host, b.Port)
	if whose := blame(err, c.tls, time.Now()); whose != "" {
		kind, what = whose, what+": "+whose
	}
	c.trouble(kind, what, err)
}
