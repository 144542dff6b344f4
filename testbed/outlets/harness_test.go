//go:build linux

package outlets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// long tells whether the long form was asked for.
func long() bool { return os.Getenv("MONBAN_LONG") == "1" }

// kills is how often a process is killed at random; MONBAN_KILLS says another number.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("MONBAN_KILLS")); err == nil {
		return n
	}
	return pick(3, 25)
}

// pick gives the one or the other.
func pick[T any](short, long_ T) T {
	if long() {
		return long_
	}
	return short
}

// monban is the real binary with a configuration, which can be killed and started again.
type monban struct {
	t        *testing.T
	configs  []string
	env      []string
	dir      string
	endpoint string // of its OTLP receiver, http
	metrics  string // of its Prometheus page
	ready    func(*monban) bool
	cmd      *exec.Cmd
	ended    chan struct{}
}

// start starts the binary with the configurations, of which ${env:OTLP} and ${env:METRICS} are
// where it must listen, and waits until it takes records.
func start(t *testing.T, env []string, configs ...string) *monban {
	t.Helper()
	return startUntil(t, func(m *monban) bool { _, err := m.post(plog.NewLogs()); return err == nil }, env, configs...)
}

// startUntil waits for something else.
func startUntil(t *testing.T, ready func(*monban) bool, env []string, configs ...string) *monban {
	t.Helper()
	m := &monban{t: t, configs: configs, dir: t.TempDir(), ready: ready}
	var ports [2]int
	for i := range ports {
		var err error
		if ports[i], err = servers.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	m.endpoint, m.metrics = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	m.env = append(append(os.Environ(), "OTLP="+m.endpoint, fmt.Sprintf("METRICS_PORT=%d", ports[1]),
		"MONBAN_STATE="+filepath.Join(m.dir, "state")), env...)
	m.launch()
	t.Cleanup(func() {
		if t.Failed() { // let it say where it stands
			_ = m.cmd.Process.Signal(syscall.SIGQUIT)
			<-m.ended
			b, _ := os.ReadFile(m.log())
			t.Logf("the end of its log:\n%s", b[max(0, len(b)-60000):])
		}
		m.kill()
	})
	return m
}

func (m *monban) log() string { return filepath.Join(m.dir, "log") }

// launch starts the binary again.
func (m *monban) launch() {
	m.t.Helper()
	log, err := os.OpenFile(m.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	var args []string
	for _, c := range m.configs {
		args = append(args, "--config", c)
	}
	m.cmd = exec.Command(testbed.Binary(m.t), args...)
	m.cmd.Env, m.cmd.Stdout, m.cmd.Stderr = m.env, log, log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.ended = make(chan struct{})
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(m.cmd, m.ended)
	deadline := time.Now().Add(time.Minute)
	for {
		if m.ready(m) {
			return
		}
		select {
		case <-m.ended:
			b, _ := os.ReadFile(m.log())
			m.t.Fatalf("monban ended at its start\n%s", b)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			m.t.Fatal("monban does not take records")
		}
	}
}

// kill ends the process at once.
func (m *monban) kill() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}

// stop asks it to end, and tells how long that took.
func (m *monban) stop() time.Duration {
	m.t.Helper()
	begun := time.Now()
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.ended:
	case <-time.After(time.Minute):
		m.t.Error("monban did not end within a minute")
		m.kill()
	}
	return time.Since(begun)
}

var sender = &http.Client{Timeout: 20 * time.Second}

// post sends records, and tells whether they were accepted: refused is a clear no, an error leaves
// it open.
func (m *monban) post(ld plog.Logs) (accepted bool, err error) {
	b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		return false, err
	}
	res, err := sender.Post("http://"+m.endpoint+"/v1/logs", "application/x-protobuf", bytes.NewReader(b))
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return false, err
	}
	if res.StatusCode != http.StatusOK {
		return false, nil
	}
	answer := plogotlp.NewExportResponse()
	if err := answer.UnmarshalProto(body); err != nil || answer.PartialSuccess().RejectedLogRecords() > 0 {
		return false, errors.Join(err, errors.New("a part was rejected"))
	}
	return true, nil
}

// metric is [testbed.Metric] of this process.
func (m *monban) metric(name string, labels ...string) float64 {
	m.t.Helper()
	return testbed.Metric(m.t, m.metrics, name, labels...)
}

// feed is a sender of records with numbers, which remembers what became of each.
type feed struct {
	m        *monban
	kinds    []string // of events, in turn
	pad      int      // bytes more in each record
	size     int      // records of a batch
	mu       sync.Mutex
	next     int
	accepted map[string]string // event by id
	refused  map[string]int    // by event
	open     map[string]bool   // perhaps accepted
}

func newFeed(m *monban, kinds ...string) *feed {
	if len(kinds) == 0 {
		kinds = []string{"network.flow", "network.flow", "network.flow", "network.sighting", "device.observation", "threat.report"}
	}
	return &feed{m: m, kinds: kinds, size: 20, accepted: map[string]string{}, refused: map[string]int{}, open: map[string]bool{}}
}

// once sends a batch.
func (f *feed) once() {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("observer.name", "gate")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	f.mu.Lock()
	first := f.next
	f.next += f.size
	f.mu.Unlock()
	ids := map[string]string{}
	for i := first; i < first+f.size; i++ {
		lr := records.AppendEmpty()
		event := f.kinds[i%len(f.kinds)]
		id := fmt.Sprintf("%s-%d", f.m.endpoint, i)
		ids[id] = event
		lr.SetEventName(event)
		lr.SetTimestamp(1_764_000_000_000_000_000)
		lr.Attributes().PutStr("test.id", id)
		device := fmt.Sprintf("02:00:00:00:00:%02x", i%7)
		if event == "network.flow" {
			lr.Attributes().PutStr("source.device.id", device)
			lr.Attributes().PutStr("source.address", "192.0.2.7")
			lr.Attributes().PutInt("flow.io.bytes", int64(i))
		} else {
			lr.Attributes().PutStr("device.id", device)
		}
		if f.pad > 0 {
			lr.Attributes().PutStr("test.pad", strings.Repeat("x", f.pad))
		}
	}
	ok, err := f.m.post(ld)
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, event := range ids {
		switch {
		case err != nil:
			f.open[id] = true
		case ok:
			f.accepted[id] = event
		default:
			f.refused[event]++
		}
	}
}

// during feeds until what is done.
func (f *feed) during(what func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				f.once()
			}
		}
	}()
	what()
	close(stop)
	<-done
}

// outcome is what arrived of what was accepted.
type outcome struct {
	accepted, lost, doubles, disorder int
}

func (o outcome) String() string {
	return fmt.Sprintf("%d accepted, %d lost, %d there twice, %d out of order", o.accepted, o.lost, o.doubles, o.disorder)
}

var idInJSON = regexp.MustCompile(`"test\.id":"([^"]*)"`)

// ids are those of the records in a message.
func ids(value []byte) (all []string) {
	if json.Valid(value) {
		for _, m := range idInJSON.FindAllSubmatch(value, -1) {
			all = append(all, string(m[1]))
		}
		return all
	}
	ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(value)
	if err != nil {
		return nil
	}
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				v, _ := lr.Attributes().Get("test.id")
				all = append(all, v.AsString())
			}
		}
	}
	return all
}

// compare reads the topics until all that the feeds know to be accepted is there, for a while at
// most, and counts.
func compare(t *testing.T, k *servers.Kafka, patience time.Duration, topics []string, feeds ...*feed) (o outcome) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 8*time.Second) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		records, err := k.Read(ctx, topics...)
		cancel()
		if err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
		seen := map[string]int{}
		last := map[string]int{}
		o = outcome{}
		for _, r := range records {
			for _, id := range ids(r.Value) {
				seen[id]++
				at := strings.LastIndexByte(id, '-')
				n, _ := strconv.Atoi(id[at+1:])
				key := r.Topic + string(r.Key) + id[:at]
				if l, ok := last[key]; ok && n < l && seen[id] == 1 && len(r.Key) > 0 {
					o.disorder++
				}
				last[key] = n
			}
		}
		for _, f := range feeds {
			f.mu.Lock()
			o.accepted += len(f.accepted)
			for id := range f.accepted {
				if seen[id] == 0 {
					o.lost++
				}
			}
			f.mu.Unlock()
		}
		for _, n := range seen {
			o.doubles += max(0, n-1)
		}
		if o.lost == 0 || time.Now().After(deadline) {
			return o
		}
		time.Sleep(pause) // reading all again costs the broker something, too
	}
}
