package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxMarks bounds one message of marks: 8 bytes each, 800 kB of the million that a topic takes by
// default. A call with more has several, one after the other.
const maxMarks = 100_000

// before is the part of a key that stands for what was brought before this process, the others are
// numbers.
const before = "before"

// markSettings keep the topic of marks small, as all of it is read at each start.
func markSettings() map[string]*string {
	set := map[string]*string{}
	for k, v := range map[string]string{
		"cleanup.policy": "compact", "segment.bytes": "1048576", "segment.ms": "600000",
		"min.cleanable.dirty.ratio": "0.1", "max.compaction.lag.ms": "600000", "delete.retention.ms": "60000",
	} {
		set[k] = &v
	}
	return set
}

// transact sends the messages in one transaction, with their marks. After any error the client is
// dropped: a new one with the same id first ends what the old one left open, by which the marks
// that are read then tell for sure what was committed.
func (p *Producer) transact(ctx context.Context, messages []Message) (Result, error) {
	var res Result
	refused := map[int]bool{}
	send, each := produce, false
	for attempt := 0; ; {
		more, repeated, err := p.tryTransact(ctx, messages, refused, send)
		if err == nil && len(more) == 0 {
			res.Repeated = repeated
			return res, nil
		}
		p.drop() // what was refused has spoilt the transaction, too
		if soon(err) && attempt < 60 {
			if err := wait(ctx, backoff(attempt)); err != nil {
				return Result{}, err
			}
			attempt++
			continue
		}
		if err != nil {
			return Result{}, err
		}
		if send = produceEach; !each {
			each = true // by which the next refusals are final
			continue
		}
		for _, r := range more {
			refused[r.Index] = true
		}
		res.Refused = append(res.Refused, more...)
	}
}

// soon tells whether an error goes away by itself: the cluster still ends the transaction of an
// earlier process.
func soon(err error) bool { return errors.Is(err, kerr.ConcurrentTransactions) }

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func (p *Producer) tryTransact(ctx context.Context, messages []Message, skip map[int]bool,
	send func(context.Context, *kgo.Client, []Message) ([]Refusal, error),
) (refused []Refusal, repeated []int, err error) {
	client, err := p.connected(ctx)
	if err != nil {
		return nil, nil, err
	}
	if p.marks == nil {
		if err := p.recover(ctx, client); err != nil {
			return nil, nil, err
		}
	}
	todo, at := messages, []int(nil)
	if len(p.marks)+len(skip) > 0 {
		todo = nil
		for i, m := range messages {
			if p.known(m.Marks) {
				repeated = append(repeated, i)
			} else if !skip[i] {
				todo, at = append(todo, m), append(at, i)
			}
		}
	}
	if len(todo) == 0 {
		return nil, repeated, nil
	}
	if err := client.BeginTransaction(); err != nil {
		return nil, nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	refused, err = send(ctx, client, slices.Concat(todo, p.encodeMarks(messages)))
	if err != nil || len(refused) > 0 {
		for i, r := range refused {
			switch {
			case r.Index >= len(todo):
				return nil, nil, fmt.Errorf("topic %s must take messages of %d bytes: %w", p.cfg.MarkTopic, 8*p.roomForMarks(), r.Err)
			case at != nil:
				refused[i].Index = at[r.Index]
			}
		}
		return refused, nil, err
	}
	if err := commit(ctx, client, p.cfg.MarkTopic); err != nil {
		return nil, nil, err
	}
	p.carry = nil
	return nil, repeated, nil
}

// commit ends the transaction, but does not hang with a broker that does. Topic is for the error's words.
func commit(ctx context.Context, client *kgo.Client, topic string) error {
	done := make(chan error, 1)
	go func() { done <- client.EndTransaction(context.WithoutCancel(ctx), kgo.TryCommit) }()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-done:
		if err != nil {
			return explain(topic, fmt.Errorf("committing the transaction: %w", err))
		}
		return nil
	}
}

// known tells whether an earlier transaction brought all of these.
func (p *Producer) known(marks []uint64) bool {
	for _, m := range marks {
		if _, ok := p.marks[m]; !ok {
			return false
		}
	}
	return len(marks) > 0
}

// roomForMarks is how many marks a message may have.
func (p *Producer) roomForMarks() int {
	const rest = 1024 // its key, and what Kafka adds
	return max(1, min(maxMarks, (int(p.limit(p.cfg.MarkTopic))-rest)/8))
}

// encodeMarks makes the messages that carry the marks: what this id brings now and, with its first
// transaction, what it had brought before, as a queue may hand that out again much later.
func (p *Producer) encodeMarks(messages []Message) (out []Message) {
	var value []byte
	add := func(name string) {
		out = append(out, Message{Topic: p.cfg.MarkTopic, Key: []byte(p.cfg.TransactionalID + "/" + name), Value: value})
		value = nil
	}
	parts, room := 0, p.roomForMarks()
	for _, m := range messages {
		for _, mark := range m.Marks {
			if value = binary.BigEndian.AppendUint64(value, mark); len(value) >= 8*room {
				add(strconv.Itoa(parts))
				parts++
			}
		}
	}
	if len(value) > 0 || parts == 0 {
		add(strconv.Itoa(parts))
	}
	if len(p.carry) > 0 {
		for _, mark := range p.carry[max(0, len(p.carry)-room):] { // the newest, if not all fit
			value = binary.BigEndian.AppendUint64(value, mark)
		}
		add(before)
	}
	return out
}

// decodeMarks appends the marks of a message.
func decodeMarks(marks []uint64, value []byte) ([]uint64, error) {
	if len(value)%8 != 0 {
		return marks, errors.New("its length is not that of marks")
	}
	for ; len(value) > 0; value = value[8:] {
		marks = append(marks, binary.BigEndian.Uint64(value))
	}
	return marks, nil
}

// recover ends what an earlier process of this id left open, and reads what it brought.
func (p *Producer) recover(ctx context.Context, client *kgo.Client) error {
	if _, _, err := client.ProducerID(ctx); err != nil { // the cluster commits or aborts before it answers
		return explain(p.cfg.MarkTopic, fmt.Errorf("asking for the producer id of %s: %w", p.cfg.TransactionalID, err))
	}
	there, err := listed(ctx, kadm.NewClient(client), p.cfg.MarkTopic)
	if err != nil {
		return err
	}
	marks, err := p.readMarks(ctx, there[p.cfg.MarkTopic].Partitions.Numbers())
	if err != nil {
		return err
	}
	p.carry, p.marks = marks[max(0, len(marks)-maxMarks):], make(map[uint64]struct{}, len(marks))
	for _, m := range p.carry {
		p.marks[m] = struct{}{}
	}
	return nil
}

// readMarks reads the topic of marks to its end.
func (p *Producer) readMarks(ctx context.Context, partitions []int32) (marks []uint64, err error) {
	mine, last := p.cfg.TransactionalID+"/", map[string][]byte{}
	err = readAll(ctx, &p.cfg, p.cfg.MarkTopic, partitions, &p.closing, func(r *kgo.Record) {
		// what follows has no stroke, unless it is of an id that begins with ours and one
		if part, ok := strings.CutPrefix(string(r.Key), mine); ok && !strings.Contains(part, "/") {
			if part == "0" { // a new transaction
				old := last[before]
				clear(last)
				last[before] = old
			}
			last[part] = r.Value
		}
	})
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(last))) { // the oldest first
		if marks, err = decodeMarks(marks, last[key]); err != nil {
			return nil, fmt.Errorf("topic %s, key %s%s: %w", p.cfg.MarkTopic, mine, key, err)
		}
	}
	return marks, nil
}

// standstill is how long a topic may give nothing while it is read to its end. A transaction of somebody else that is open holds
// it up for the time of its timeout.
const standstill = 15 * time.Minute

// readAll gives all committed records of partitions of a topic, up to their ends for readers that see everything:
// what is committed lies before these, perhaps behind an open transaction of somebody else. Closing is waited for by the caller's own
// closing.
func readAll(ctx context.Context, cfg *Config, topic string, partitions []int32, closing *sync.WaitGroup, each func(*kgo.Record)) error {
	opts, err := cfg.options()
	if err != nil {
		return err
	}
	reader, err := kgo.NewClient(append(opts,
		kgo.WithContext(ctx),
		kgo.WithDecompressor(newBounded(nil)),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last record is one
		kgo.FetchMaxWait(time.Second))...)
	if err != nil {
		return err
	}
	defer closing.Go(reader.Close)
	admin := kadm.NewClient(reader)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return explain(topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return explain(topic, err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for _, p := range partitions {
		if start, end := starts[topic][p].Offset, ends[topic][p].Offset; start < end {
			from[p], left[p] = kgo.NewOffset().At(start), end
		}
	}
	reader.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for last := time.Now(); len(left) > 0; {
		poll, cancel := context.WithTimeout(ctx, 10*time.Second)
		fetches := reader.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var final error
		fetches.EachError(func(_ string, _ int32, err error) {
			if !kerr.IsRetriable(err) && !errors.Is(err, context.DeadlineExceeded) {
				final = errors.Join(final, err)
			}
		})
		if final != nil {
			return explain(topic, final)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			last = time.Now()
			if !r.Attrs.IsControl() {
				each(r)
			}
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
		if time.Since(last) > standstill {
			return fmt.Errorf("topic %s could not be read to its end: nothing came for %s", topic, standstill)
		}
	}
	return nil
}
