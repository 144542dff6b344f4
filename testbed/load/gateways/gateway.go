//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

func cpus() int { return runtime.NumCPU() }

func countFlows(messages []*kgo.Record) (n int, err error) {
	for _, m := range messages {
		ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(m.Value)
		if err != nil {
			return 0, err
		}
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if lr.EventName() == "network.flow" {
						n++
					}
				}
			}
		}
	}
	return n, nil
}

// gateway is one that runs.
type gateway struct {
	cmd     *exec.Cmd
	metrics string
	cgroup  string
	dead    bool
	last    time.Duration
}

// gateway starts one, of the group of this round.
func (l *lab) gateway(ctx context.Context, name string, i int) (*gateway, error) {
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	g := &gateway{metrics: fmt.Sprintf("127.0.0.1:%d", port)}
	override := fmt.Sprintf(`yaml:{extensions: {kafka_state: {topic: %[1]s.state, interval: 1s}},
receivers: {kafka_events: {topics: [%[1]s.edge], group_id: %[1]s, session_timeout: 6s}},
exporters: {kafka_events: {topic_prefix: %[1]s.}},
service: {telemetry: {logs: {level: warn}, metrics: {level: normal, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %[2]d}}}}]}}}}`, name, port)
	log, err := os.Create(filepath.Join(l.dir, fmt.Sprintf("%s-%d.log", name, i)))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	g.cmd = exec.CommandContext(ctx, l.monban, "--config", filepath.Join(testbed.Root(), "configs", "kafka-gateway.yaml"), "--config", override)
	g.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "KAFKA_BROKERS="+strings.Join(l.kafka.Addrs, ","))
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	return g, g.limit(l.share)
}

// limit gives the process a share of a core.
func (g *gateway) limit(share float64) error {
	if share <= 0 {
		return nil
	}
	pid, quota := strconv.Itoa(g.cmd.Process.Pid), strconv.Itoa(int(share*20000))
	for _, v := range []struct {
		root  string
		files map[string]string
	}{
		{"/sys/fs/cgroup/cpu", map[string]string{"cpu.cfs_period_us": "20000", "cpu.cfs_quota_us": quota}},
		{"/sys/fs/cgroup", map[string]string{"cpu.max": quota + " 20000"}},
	} {
		dir := filepath.Join(v.root, "monban-gateways-"+pid)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		g.cgroup = dir
		var err error
		for name, value := range v.files {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644))
		}
		if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(pid), 0o644)); err == nil {
			return nil
		}
		_ = os.Remove(dir)
	}
	return errors.New("no control group can be made for a share of a core (root is needed); -share 0 does without")
}

func (g *gateway) kill() {
	if g.dead {
		return
	}
	g.last, g.dead = usage(g.cmd.Process.Pid), true
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	if g.cgroup != "" {
		_ = os.Remove(g.cgroup)
	}
}

// used is the CPU time of the process, start-up and joining the group included.
func (g *gateway) used() time.Duration {
	if g.dead {
		return g.last
	}
	return usage(g.cmd.Process.Pid)
}

// peak is the most memory that the process has had, in bytes.
func (g *gateway) peak() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(f[0], 10, 64)
	return n << 10
}

// usage is the CPU time of a process.
func usage(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// ready waits until the gateways have shared the partitions.
func ready(ctx context.Context, all []*gateway) error {
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; {
		shared := true
		for _, g := range all {
			n, _ := testbed.ReadMetric(g.metrics, "otelcol_kafka_events_partitions")
			shared = shared && int(n) == partitions/len(all)
		}
		if shared {
			time.Sleep(2 * time.Second) // until all have read their states
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the gateways did not share the partitions within two minutes")
}

// feed writes what the edge saw once for each site, as many sites to each partition.
func (l *lab) feed(ctx context.Context, topic string) error {
	cl, err := l.kafka.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.MaxBufferedRecords(1<<20))
	if err != nil {
		return err
	}
	defer cl.Close()
	var failed error
	for _, m := range l.seen {
		for site := range l.sites {
			cl.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(site % partitions), Key: fmt.Appendf(nil, "site-%d", site), Value: m.Value, Headers: m.Headers},
				func(_ *kgo.Record, err error) {
					if err != nil {
						failed = err
					}
				})
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	return failed
}

// reader reads the flows that were judged and committed.
func (l *lab) reader(name string) (*kgo.Client, error) {
	return l.kafka.Client(kgo.ConsumeTopics(name+".flows"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}
