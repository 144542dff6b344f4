//go:build linux

// Command gateways measures how much faster two gateways are than one, and what a gateway costs that is killed in the
// middle. It starts a broker, has boxes at the edge write the demo capture to it, and gives that, under the names of many
// sites, to gateways that have a share of a core each, so that the broker and this program are not what limits
// them on a machine of two cores.
//
//	gateways -monban ./monban
//
// It writes a table, and fails if a flow was judged never, or twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

const (
	edgeTopic  = "load.edge"
	partitions = 6
)

type options struct {
	monban string
	sites  int
	share  float64 // of a core that each gateway gets
	rounds int
}

func main() {
	var o options
	flag.StringVar(&o.monban, "monban", "", "binary to measure")
	flag.IntVar(&o.sites, "sites", 60, "sites, each with the flows of the demo capture")
	flag.Float64Var(&o.share, "share", 0.5, "of a core for each gateway; 0 for all that there is")
	flag.IntVar(&o.rounds, "n", 3, "rounds; the middle one counts")
	flag.Parse()
	if o.monban == "" || o.sites < partitions || o.rounds < 1 {
		fmt.Fprintln(os.Stderr, "gateways: -monban must name a binary, -sites be", partitions, "or more, -n one or more")
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "gateways:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "gateways")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	k, err := servers.NewKafka(ctx, "gateways", filepath.Join(dir, "kafka"), servers.KafkaOptions{})
	if err != nil {
		return err
	}
	defer k.Kill()
	l := &lab{options: o, dir: dir, kafka: k}
	if err := l.record(ctx); err != nil {
		return err
	}
	fmt.Printf("%d sites in %d partitions, %d flows; %d CPUs, each gateway has ", o.sites, partitions, l.flows*o.sites, cpus())
	if o.share > 0 {
		fmt.Printf("%.0f %% of one\n\n", 100*o.share)
	} else {
		fmt.Print("what there is\n\n")
	}
	rows := []struct {
		name  string
		n     int
		kill  bool
		times []*result
	}{{"one", 1, false, nil}, {"two", 2, false, nil}, {"two, one of them killed in the middle", 2, true, nil}}
	for range o.rounds {
		for i := range rows {
			r, err := l.round(ctx, rows[i].n, rows[i].kill)
			if err != nil {
				return fmt.Errorf("%s: %w", rows[i].name, err)
			}
			rows[i].times = append(rows[i].times, r)
		}
	}
	fmt.Println("| gateways | flows/s | × one | CPU µs a flow, gateways | CPU µs a flow, broker | MB a gateway | lost | twice |\n|---|---:|---:|---:|---:|---:|---:|---:|")
	var one float64
	var bad error
	for _, row := range rows {
		slices.SortFunc(row.times, func(a, b *result) int { return int(a.took - b.took) })
		m, total := row.times[len(row.times)/2], float64(l.flows*o.sites)
		rate := total / m.took.Seconds()
		if one == 0 {
			one = rate
		}
		lost, twice := 0, 0
		for _, r := range row.times {
			lost, twice = max(lost, r.lost), max(twice, r.twice)
		}
		fmt.Printf("| %s | %.0f | %.2f | %.1f | %.1f | %d | %d | %d |\n", row.name, rate, rate/one,
			float64(m.cpu.Microseconds())/total, float64(m.broker.Microseconds())/total, m.memory>>20, lost, twice)
		if lost+twice > 0 {
			bad = errors.New("flows were lost, or judged twice")
		}
	}
	return bad
}

// lab is a broker with what boxes at the edge wrote to it.
type lab struct {
	options
	dir   string
	kafka *servers.Kafka
	seen  []*kgo.Record // of one site
	flows int           // among it
	n     int           // rounds so far
}

// record has a box at the edge write the demo capture.
func (l *lab) record(ctx context.Context) error {
	root := testbed.Root()
	cmd := exec.CommandContext(ctx, l.monban, "--config", filepath.Join(root, "configs", "kafka-edge.yaml"), "--config",
		"yaml:{receivers: {packetflow: {interfaces: [], files: ['"+filepath.Join(root, "testbed", "lab", "demo.pcap.gz")+"'], at_end: exit}}, "+
			"exporters: {kafka_events: {topic: "+edgeTopic+", shutdown_grace: 100s, sending_queue: {storage: null, sizer: items, block_on_overflow: true}}}, "+
			"service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}}")
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+strings.Join(l.kafka.Addrs, ","), "MONBAN_STATE="+filepath.Join(l.dir, "edge"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the edge: %w\n%s", err, out)
	}
	all, err := l.kafka.Read(ctx, edgeTopic)
	if err != nil {
		return err
	}
	l.seen = all
	l.flows, err = countFlows(all)
	return err
}

// result is what a round took.
type result struct {
	took        time.Duration // until all was judged and committed
	cpu, broker time.Duration
	memory      int64 // the most that a gateway had, bytes
	lost, twice int
}

// round gives all sites to n gateways.
func (l *lab) round(ctx context.Context, n int, kill bool) (*result, error) {
	l.n++
	name := fmt.Sprintf("load%d", l.n)
	if err := l.kafka.CreateTopic(ctx, name+".edge", partitions); err != nil {
		return nil, err
	}
	var all []*gateway
	defer func() {
		for _, g := range all {
			g.kill()
		}
	}()
	for range n {
		g, err := l.gateway(ctx, name, len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	if err := ready(ctx, all); err != nil {
		return nil, err
	}
	broker := usage(l.kafka.Brokers[0].Pid())
	if err := l.feed(ctx, name+".edge"); err != nil {
		return nil, err
	}
	begun, want := time.Now(), l.flows*l.sites
	out, err := l.reader(name)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	r, seen, total := &result{}, map[string]int{}, 0
	var lastNew time.Time
	for {
		poll, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
		fetches := out.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			total++
			seen[string(rec.Value)]++
			lastNew = time.Now()
		})
		if kill && total >= want/3 {
			kill = false
			all[0].kill()
		}
		if total >= want && r.took == 0 {
			r.took = lastNew.Sub(begun)
			for _, g := range all {
				r.cpu += g.used()
				r.memory = max(r.memory, g.peak())
			}
			r.broker = usage(l.kafka.Brokers[0].Pid()) - broker
		}
		if r.took > 0 && time.Since(lastNew) > 2*time.Second {
			break // nothing comes that should not
		}
		if time.Since(begun) > 10*time.Minute {
			return nil, fmt.Errorf("%d of %d flows were judged within ten minutes", total, want)
		}
	}
	// The same flow makes the same message at each site, and some sites have flows that are alike.
	for _, times := range seen {
		if more := times % l.sites; more <= l.sites/2 {
			r.twice += more
		} else {
			r.lost += l.sites - more
		}
	}
	r.lost += max(0, want-total-r.lost) // messages of which not one came
	return r, nil
}
