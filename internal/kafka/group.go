package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// GroupConfig says what a [Group] reads, and where it keeps what was learned of it.
type GroupConfig struct {
	Config                       // Compression, MaxMessageBytes, Create and Replicas are of what is written
	Group          string        // processes of one name share the partitions
	Topics         []string      // to read
	Outputs        []string      // that are written within transactions, to be made if so configured
	StateTopic     string        // compacted; by partition of Topics
	Interval       time.Duration // between two checkpoints of a partition
	SessionTimeout time.Duration // after which the partitions of a silent process go to others
	MaxShards      int           // keys told apart in one partition; what is beyond goes into one shard
	Forget         bool          // begin anew where what is kept is damaged, instead of standing still
}

// transactionTimeout is how long a partition's transaction may last. A checkpoint is due in half of it at the latest.
func (c *GroupConfig) transactionTimeout() time.Duration {
	return min(10*time.Minute, max(2*time.Minute, 4*c.Interval))
}

// Work is what a group does with records. Its functions are called for several partitions at once,
// but for one partition one after the other.
type Work struct {
	// Judge takes records of one shard in order. It must be done with them when it returns; what it writes to
	// Kafka goes through [Within] of its context. After an error the partition goes back to its last checkpoint
	// and all since is judged again.
	Judge func(ctx context.Context, shard string, records []*kgo.Record) error
	// States gives the states of a shard, by holder.
	States func(shard string) (map[string][]byte, error)
	// Resume takes what States gave, perhaps in another process. Orphans are those that nobody holds any more; they are
	// forgotten.
	Resume func(shard string, states map[string][]byte) (orphans []string, err error)
	// Forget drops what is held of a shard.
	Forget func(shard string)
	// Trouble is told of faults that are waited out, and of what can't be mended, each of a kind.
	Trouble func(kind, what string, err error)
	// Fares is told how the group fares, as "", and each partition: what holds it up, nil when nothing does or
	// the partition is no longer ours. It is told often; it may be nil.
	Fares func(what string, err error)
	// Done is told of each checkpoint: what it covers, its size and how long it took.
	Done func(Checkpoint)
}

// Checkpoint is what there is to say of one.
type Checkpoint struct {
	Topic     string
	Partition int32
	Offset    int64 // the first that is not covered
	Shards    int   // that had changed
	Bytes     int   // of their states, as they are kept
	Took      time.Duration
}

// Group judges the records of partitions so that each counts once, in what is learned and in what is written, whoever is killed when.
//
// The members of a consumer group share the partitions. Each partition has a transactional id, whose
// owner alone can write for it. What a partition's records lead to, the states after them and the offset of the next
// record are written in one transaction; who takes a partition over puts an end to the former owner's last one,
// reads the states and goes on at the offset that lies beside them.
type Group struct {
	cfg  GroupConfig
	work Work

	client *kgo.Client
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	poll   sync.WaitGroup

	mu      sync.Mutex
	running map[place]*task
	covered map[place]int64   // to be told to the group, for whoever watches its lag
	ids     map[string]string // of the topics that are read
	closing bool
	limits  sync.Map      // bytes that a topic's batch may have, by topic
	asking  chan struct{} // a lock that can be waited for with a context, of made
	made    bool          // topics are
}

// place is a partition.
type place struct {
	topic     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

// NewGroup makes a group, which begins with [Group.Start].
func NewGroup(cfg GroupConfig, work Work) (*Group, error) {
	if _, err := cfg.options(); err != nil {
		return nil, err
	}
	if work.Fares == nil {
		work.Fares = func(string, error) {}
	}
	g := &Group{cfg: cfg, work: work, running: map[place]*task{}, covered: map[place]int64{}, ids: map[string]string{}, asking: make(chan struct{}, 1)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// Start begins in the background. It does not wait for the cluster, which may come later.
func (g *Group) Start() error {
	opts, err := g.cfg.options()
	if err != nil {
		return err
	}
	g.client, err = kgo.NewClient(append(opts,
		kgo.WithContext(g.ctx),
		kgo.WithHooks(connections{g.work.Trouble, g.cfg.TLS}),
		kgo.ConsumerGroup(g.cfg.Group),
		kgo.ConsumeTopics(g.cfg.Topics...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(g.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, g.cfg.SessionTimeout/3)),
		kgo.RebalanceTimeout(max(time.Minute, g.cfg.SessionTimeout)),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, all map[string][]int32) { g.assigned(all) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, all map[string][]int32) { g.gone(all, true) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, all map[string][]int32) { g.gone(all, false) }),
	)...)
	if err != nil {
		return err
	}
	g.client.PauseFetchTopics(g.cfg.Topics...) // it shares the partitions out; tasks read them
	g.poll.Go(g.watch)
	return nil
}

// Close ends the work with a checkpoint of each partition, and leaves the group. When ctx is over, what was not
// covered is left to whoever goes on.
func (g *Group) Close(ctx context.Context) {
	if g.client == nil {
		return
	}
	g.mu.Lock()
	g.closing = true
	for _, t := range g.running {
		t.end()
	}
	g.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		g.tasks.Wait()
		g.tell()
		_ = g.client.LeaveGroupContext(ctx)
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	g.cancel()
	g.tasks.Wait()
	g.client.Close()
	g.poll.Wait()
}

// Partitions is how many this process has.
func (g *Group) Partitions() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.running)
}

func (g *Group) assigned(all map[string][]int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return
	}
	for topic, partitions := range all {
		for _, p := range partitions {
			t := newTask(g, place{topic, p})
			g.running[t.at] = t
			g.tasks.Go(t.run)
		}
	}
}

// gone ends the tasks of partitions that go to others: in order, with a checkpoint, or at once.
func (g *Group) gone(all map[string][]int32, orderly bool) {
	var ending []*task
	g.mu.Lock()
	for topic, partitions := range all {
		for _, p := range partitions {
			at := place{topic, p}
			if t := g.running[at]; t != nil {
				ending = append(ending, t)
				delete(g.running, at)
			}
			delete(g.covered, at)
		}
	}
	g.mu.Unlock()
	for _, t := range ending {
		if orderly {
			t.end()
		} else {
			t.cancel()
		}
	}
	late := time.After(patience)
	for _, t := range ending {
		select {
		case <-t.ended:
		case <-late:
			t.cancel() // the group would put us out
			<-t.ended
			late = time.After(0)
		}
	}
}

// patience is how long a partition that is asked for may take over its last checkpoint.
const patience = 30 * time.Second

// watch tells of faults of the group, and the group of what is covered, and looks whether topics are still the same.
func (g *Group) watch() {
	for g.ctx.Err() == nil {
		fault := g.look()
		ctx, cancel := context.WithTimeout(g.ctx, 5*time.Second)
		fetches := g.client.PollFetches(ctx)
		cancel()
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(topic string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				err = explain(cmp.Or(topic, g.cfg.Topics[0]), err)
				g.work.Trouble("group", "the consumer group "+g.cfg.Group, err)
				fault = fmt.Errorf("the consumer group %s: %w", g.cfg.Group, err)
			}
		})
		g.work.Fares("", fault)
		g.tell()
	}
}

// look asks whether the topics that are read are still those that were there: the client goes on with one that was
// deleted, and with another of its name.
func (g *Group) look() error {
	ctx, cancel := context.WithTimeout(g.ctx, 5*time.Second)
	defer cancel()
	there, err := kadm.NewClient(g.client).ListTopics(ctx, g.cfg.Topics...)
	if err != nil { // for the log others tell of that
		return fmt.Errorf("asking the cluster for topics: %w", explain(g.cfg.Topics[0], err))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range there {
		gone := errors.Is(t.Err, kerr.UnknownTopicOrPartition)
		if was := g.ids[t.Topic]; was == "" || t.Err != nil && !gone || !gone && t.ID.String() == was {
			continue
		}
		delete(g.ids, t.Topic) // sessions that know the old one end
	}
	return nil
}

// tell commits what is covered, for those who watch the lag of the group. Nobody goes on from there.
func (g *Group) tell() {
	g.mu.Lock()
	news := map[string]map[int32]kgo.EpochOffset{}
	for at, offset := range g.covered {
		if news[at.topic] == nil {
			news[at.topic] = map[int32]kgo.EpochOffset{}
		}
		news[at.topic][at.partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	clear(g.covered)
	g.mu.Unlock()
	if len(news) > 0 {
		ctx, cancel := context.WithTimeout(g.ctx, 5*time.Second)
		g.client.CommitOffsetsSync(ctx, news, nil)
		cancel()
	}
}

// topics makes what is missing, if so configured, looks whether all is as it must be, and asks how large messages may be.
func (g *Group) topics(ctx context.Context) error {
	select {
	case g.asking <- struct{}{}:
		defer func() { <-g.asking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	admin, state := kadm.NewClient(g.client), g.cfg.StateTopic
	outputs := slices.Compact(slices.Sorted(slices.Values(g.cfg.Outputs)))
	if g.cfg.Create && !(g.made && g.known()) {
		if err := createTopics(ctx, admin, g.cfg.Partitions, g.cfg.Replicas, nil, slices.Concat(g.cfg.Topics, outputs)...); err != nil {
			return err
		}
	}
	there, err := listed(ctx, admin, g.cfg.Topics...)
	if err != nil {
		return err
	}
	width, ids := 0, map[string]string{}
	for _, t := range there {
		width, ids[t.Topic] = max(width, len(t.Partitions)), t.ID.String()
	}
	if g.cfg.Create && !g.made {
		if err := createTopics(ctx, admin, width, g.cfg.Replicas, stateSettings(), state); err != nil {
			return err
		}
	}
	if there, err = listed(ctx, admin, state); err != nil {
		return err
	}
	if n := len(there[state].Partitions); n < width {
		return fmt.Errorf("topic %s has %d partitions, and must have as many as what is read, %d: an administrator must add some", state, n, width)
	}
	if policies, err := admin.DescribeTopicConfigs(ctx, state); err == nil { // else it may not be asked for
		for _, c := range policies[0].Configs {
			if c.Key == "cleanup.policy" && c.MaybeValue() != "compact" {
				return fmt.Errorf("topic %s must have cleanup.policy=compact, not %s, or what was learned is deleted", state, c.MaybeValue())
			}
		}
	}
	learnLimits(ctx, admin, &g.limits, g.cfg.MaxMessageBytes, append(outputs, state)...)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ids, g.made = ids, true
	return nil
}

// listed tells of topics, all of which must be there.
func listed(ctx context.Context, admin *kadm.Client, topics ...string) (kadm.TopicDetails, error) {
	there, err := admin.ListTopics(ctx, topics...)
	if err != nil {
		return nil, explain(topics[0], err)
	}
	for _, t := range there {
		if t.Err != nil {
			return nil, explain(t.Topic, t.Err)
		}
	}
	return there, nil
}

// known tells whether all topics that are read are those that were there before.
func (g *Group) known() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.ids) == len(g.cfg.Topics)
}

// id is that of a topic that is read.
func (g *Group) id(topic string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ids[topic]
}

// limit is how many bytes a message of a topic may have.
func (g *Group) limit(topic string) int32 {
	if n, ok := g.limits.Load(topic); ok {
		return n.(int32)
	}
	return int32(g.cfg.MaxMessageBytes)
}
