//go:build linux

package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/monban/monban/testbed/servers"
)

// outage is how long a broker is away.
const outage = 3 * time.Second

// cluster is a broker for all tests of the package.
var cluster struct {
	sync.Once
	*servers.Kafka
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if cluster.Kafka != nil {
		cluster.Kill()
	}
	os.Exit(code)
}

func broker(t *testing.T) *servers.Kafka {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a broker")
	}
	servers.Need(t, servers.Available())
	cluster.Do(func() {
		dir, err := os.MkdirTemp("", "kafka")
		if err != nil {
			cluster.err = err
			return
		}
		cluster.Kafka, cluster.err = servers.NewKafka(context.Background(), "internal-kafka", dir, servers.KafkaOptions{})
	})
	servers.Need(t, cluster.err)
	return cluster.Kafka
}

func producer(t *testing.T, k *servers.Kafka, topic, id string) *Producer {
	t.Helper()
	p, err := NewProducer(Config{
		Brokers: k.Addrs, ClientID: "test", Compression: "zstd", MaxMessageBytes: 1000000,
		TransactionalID: id, MarkTopic: "marks-" + topic, Create: true, Partitions: 3, Replicas: -1,
	}, []string{topic}, func(_, what string, err error) { t.Log(what, err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// numbered makes messages of the numbers from a to b, both included.
func numbered(topic string, a, b int) (all []Message) {
	for i := a; i <= b; i++ {
		all = append(all, Message{Topic: topic, Key: fmt.Appendf(nil, "k%d", i%5), Value: fmt.Append(nil, i), Marks: []uint64{uint64(i)}})
	}
	return all
}

// arrived counts each value of a topic.
func arrived(t *testing.T, k *servers.Kafka, topic string) map[string]int {
	t.Helper()
	records, err := k.Read(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	counts, last := map[string]int{}, map[string]int{}
	for _, r := range records {
		counts[string(r.Value)]++
		var n int
		if _, err := fmt.Sscan(string(r.Value), &n); err == nil {
			if l, ok := last[string(r.Key)]; ok && n < l && counts[string(r.Value)] == 1 {
				t.Errorf("key %s: %d after %d", r.Key, n, l)
			}
			last[string(r.Key)] = n
		}
	}
	return counts
}

// once waits until so many messages are there, and fails unless each is there once. A transaction is
// committed a moment before its messages can be read.
func once(t *testing.T, read func() map[string]int, want int) {
	t.Helper()
	got := read()
	for begun := time.Now(); len(got) != want && time.Since(begun) < 30*time.Second; got = read() {
		time.Sleep(100 * time.Millisecond)
	}
	if len(got) != want {
		t.Errorf("%d messages, want %d", len(got), want)
	}
	for v, n := range got {
		if n != 1 {
			t.Errorf("%s is there %d times", v, n)
		}
	}
}

func TestSend(t *testing.T) {
	k := broker(t)
	for _, id := range []string{"", "tx-send"} {
		topic := "send" + id
		p := producer(t, k, topic, id)
		for i := range 10 {
			res, err := p.Send(t.Context(), numbered(topic, i*100, i*100+99))
			if err != nil || len(res.Refused)+len(res.Repeated) > 0 {
				t.Fatal(res, err)
			}
		}
		once(t, func() map[string]int { return arrived(t, k, topic) }, 1000)
	}
}

// TestSentAgain is a queue that hands out its last batch again after a kill, with others before it.
func TestSentAgain(t *testing.T) {
	k := broker(t)
	const topic = "again"
	neighbour := []Message{{Topic: topic, Value: []byte("x"), Marks: []uint64{900}}}
	if _, err := producer(t, k, topic, "a/b").Send(t.Context(), neighbour); err != nil {
		t.Fatal(err)
	}
	last := 0
	for life := range 4 {
		p := producer(t, k, topic, "a")
		// the first two of each life are known from the lives before
		for from := max(1, last-19); from <= last+10; from += 10 {
			res, err := p.Send(t.Context(), numbered(topic, from, from+9))
			if err != nil {
				t.Fatal(err)
			}
			if known := from <= last; known != (len(res.Repeated) == 10) {
				t.Errorf("life %d: of %d to %d, %d were known", life, from, from+9, len(res.Repeated))
			}
		}
		last += 10
	}
	once(t, func() map[string]int { return arrived(t, k, topic) }, last+1)
}

// TestHalfSent is a process that ended in the middle of a transaction.
func TestHalfSent(t *testing.T) {
	k := broker(t)
	const topic = "half"
	p := producer(t, k, topic, "h")
	if _, err := p.Send(t.Context(), numbered(topic, 1, 10)); err != nil {
		t.Fatal(err)
	}
	client, err := p.connected(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if _, err := produce(t.Context(), client, numbered(topic, 11, 20)); err != nil {
		t.Fatal(err)
	}
	next := producer(t, k, topic, "h")
	if _, err := next.Send(t.Context(), numbered(topic, 11, 20)); err != nil {
		t.Fatal(err)
	}
	once(t, func() map[string]int { return arrived(t, k, topic) }, 20)
	// The first one is out, and says so.
	if err := commit(t.Context(), client, "marks"); err == nil || !strings.Contains(err.Error(), "transactional_id") {
		t.Errorf("a fenced producer committed: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	k := broker(t)
	for _, id := range []string{"", "tx-large"} {
		topic := "large" + id
		if err := k.CreateTopic(t.Context(), topic, 1, "max.message.bytes", "3000"); err != nil {
			t.Fatal(err)
		}
		for _, ask := range []bool{true, false} {
			p := producer(t, k, topic, id)
			if !ask { // as where the topic's limit is not told
				p.topics = nil
			}
			first := 1
			if !ask {
				first = 101
			}
			messages := numbered(topic, first, first+59)
			random := make([]byte, 5000)
			for i := range random {
				random[i] = byte(i * i >> 3 * (i % 251))
			}
			messages[30].Value = random
			res, err := p.Send(t.Context(), messages)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Refused) != 1 || res.Refused[0].Index != 30 || !errors.Is(res.Refused[0].Err, kerr.MessageTooLarge) {
				t.Errorf("id %q, limit known %v: refused %v", id, ask, res.Refused)
			}
		}
		once(t, func() map[string]int { return arrived(t, k, topic) }, 2*59)
	}
}

func TestNoTopic(t *testing.T) {
	k := broker(t)
	p := producer(t, k, "nobody-made-it", "")
	p.cfg.Create = false
	_, err := p.Send(t.Context(), numbered("nobody-made-it", 1, 3))
	if err == nil || !strings.Contains(err.Error(), "create it") {
		t.Fatalf("%v", err)
	}
	p.cfg.Create = true
	if _, err := p.Send(t.Context(), numbered("nobody-made-it", 1, 3)); err != nil {
		t.Fatal(err)
	}
	once(t, func() map[string]int { return arrived(t, k, "nobody-made-it") }, 3)
}

// TestGivesUp ends a call whose broker hangs.
func TestGivesUp(t *testing.T) {
	k := broker(t)
	for _, id := range []string{"", "tx-hang"} {
		topic := "hang" + id
		p := producer(t, k, topic, id)
		if _, err := p.Send(t.Context(), numbered(topic, 1, 10)); err != nil {
			t.Fatal(err)
		}
		if err := k.Brokers[0].Pause(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := p.Send(ctx, numbered(topic, 11, 20))
		cancel()
		if err == nil {
			t.Error("a paused broker took messages")
		}
		if err := k.Brokers[0].Resume(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(t.Context(), numbered(topic, 11, 20)); err != nil {
			t.Fatal(err)
		}
		if id != "" {
			once(t, func() map[string]int { return arrived(t, k, topic) }, 20)
		} else if got := arrived(t, k, topic); len(got) != 20 {
			t.Errorf("%d messages", len(got))
		}
	}
}

// TestBrokerGoesWhileSending has the broker away from before the first message, and from some moment
// of the first connection on; MONBAN_LONG=1 tries more of them.
func TestBrokerGoesWhileSending(t *testing.T) {
	k := broker(t)
	moments := []time.Duration{150 * time.Millisecond, 0, 20 * time.Millisecond, 600 * time.Millisecond}
	if os.Getenv("MONBAN_LONG") != "1" {
		moments = moments[:1]
	}
	for i, after := range moments {
		for _, id := range []string{"", fmt.Sprintf("tx-goes-%d", i)} {
			topic := fmt.Sprintf("goes%d%s", i, id)
			p := producer(t, k, topic, id)
			sent := make(chan int)
			go func() {
				n := 0
				for begun := time.Now(); time.Since(begun) < after+time.Second; {
					for { // as the queue does
						_, err := p.Send(t.Context(), numbered(topic, n*10+1, n*10+10))
						if err == nil {
							break
						}
						if t.Context().Err() != nil {
							return
						}
						t.Log(err)
						time.Sleep(500 * time.Millisecond)
					}
					n++
				}
				sent <- 10 * n
			}()
			time.Sleep(after)
			if err := k.Brokers[0].Kill(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(outage)
			if err := k.Brokers[0].Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			select {
			case n := <-sent:
				once(t, func() map[string]int { return arrived(t, k, topic) }, n)
			case <-time.After(time.Minute):
				buf := make([]byte, 1<<20)
				t.Fatalf("killed after %v, id %q: nothing was sent\n%s", after, id, buf[:runtime.Stack(buf, true)])
			}
		}
	}
}
