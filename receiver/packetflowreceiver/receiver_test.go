package packetflowreceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/receiver/packetflowreceiver/internal/metadata"
)

// sink is what is behind the receiver.
type sink struct {
	mu        sync.Mutex
	flows     []flow.Record
	sightings []app.Sighting
	captures  []app.Capture
	batches   []int
	resources map[string]bool
	calls     int
	refuse    error         // from the call with this number on
	after     int           //
	hold      chan struct{} // each call waits for it
	came      chan struct{}
}

func newSink() *sink { return &sink{resources: map[string]bool{}, came: make(chan struct{}, 1000)} }

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (s *sink) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	select {
	case s.came <- struct{}{}:
	default:
	}
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.refuse != nil && s.calls > s.after {
		return s.refuse
	}
	s.batches = append(s.batches, logs.LogRecordCount())
	for _, rl := range logs.ResourceLogs().All() {
		s.resources[fmt.Sprint(rl.Resource().Attributes().AsRaw())] = true
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				switch lr.EventName() {
				case flow.Fields.Name:
					var r flow.Record
					logrecord.Read(lr, flow.Fields, &r)
					r.Complete()
					r.End = int64(lr.Timestamp())
					s.flows = append(s.flows, r)
				case app.Sightings.Name:
					var r app.Sighting
					logrecord.Read(lr, app.Sightings, &r)
					s.sightings = append(s.sightings, r)
				case app.Captures.Name:
					var r app.Capture
					logrecord.Read(lr, app.Captures, &r)
					r.Time = int64(lr.Timestamp())
					s.captures = append(s.captures, r)
				}
			}
		}
	}
	return nil
}

// total is how many packets the flows have, and checks that all records agree with
// the last capture event.
func (s *sink) total(t *testing.T) (packets uint64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.flows {
		packets += r.Src.Packets + r.Dst.Packets
	}
	if len(s.captures) == 0 || !s.captures[len(s.captures)-1].Final {
		t.Fatalf("no final capture event: %+v", s.captures)
	}
	c := s.captures[len(s.captures)-1]
	if c.Packets != packets+c.Refused {
		t.Errorf("%d packets read, but %d in flows and %d refused", c.Packets, packets, c.Refused)
	}
	if c.Records != uint64(len(s.flows)) || c.Sightings != uint64(len(s.sightings)) {
		t.Errorf("%d flow records and %d sightings came, the capture event says %d and %d", len(s.flows), len(s.sightings), c.Records, c.Sightings)
	}
	return packets
}

// host takes the event that ends a run.
type host struct{ events chan *componentstatus.Event }

func newHost(t *testing.T) *host {
	run.Starting()
	run.Ready()
	t.Cleanup(run.Stopping)
	return &host{make(chan *componentstatus.Event, 1)}
}

func (*host) GetExtensions() map[component.ID]component.Component { return nil }
func (h *host) Report(e *componentstatus.Event)                   { h.events <- e }

func (h *host) wait(t *testing.T) error {
	t.Helper()
	select {
	case e := <-h.events:
		return e.Err()
	case <-time.After(10 * time.Second):
		t.Fatal("the receiver did not end the run")
	}
	return nil
}

func config(change func(*Config)) *Config {
	c := createDefaultConfig().(*Config)
	c.Observer = "box"
	change(c)
	return c
}

func files(paths ...string) *Config {
	return config(func(c *Config) { c.Files, c.AtEnd = paths, atEndExit })
}

func create(t *testing.T, cfg *Config, next consumer.Logs) *flowReceiver {
	t.Helper()
	return createWith(t, cfg, next, receivertest.NewNopSettings(metadata.Type))
}

func createWith(t *testing.T, cfg *Config, next consumer.Logs, set receiver.Settings) *flowReceiver {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r, err := NewFactory().CreateLogs(t.Context(), set, cfg, next)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Shutdown(context.Background()) })
	return r.(*flowReceiver)
}

// read runs a receiver over files to its end and gives what came.
func read(t *testing.T, cfg *Config) *sink {
	t.Helper()
	s, h := newSink(), newHost(t)
	r := create(t, cfg, s)
	if err := r.Start(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if err := h.wait(t); !errors.Is(err, run.ErrDone) {
		t.Fatalf("ended with %v", err)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFile(t *testing.T) {
	s := read(t, files("testdata/short.pcap"))
	if got := s.total(t); got != uint64(len(plant())-plantRefused) {
		t.Errorf("%d packets in flows", got)
	}
	c := s.captures[0]
	want := app.Capture{
		Time: epoch.Add(20 * time.Second).UnixNano(), Source: "testdata/short.pcap",
		First: epoch.UnixNano(), Last: epoch.Add(20 * time.Second).UnixNano(),
		Packets: 12, Bytes: c.Bytes, Flows: 3, Records: 4, Refused: 1, Reasons: []string{"truncated=1"},
		Sightings: c.Sightings, Final: true,
	}
	if fmt.Sprint(c) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if len(s.resources) != 1 || !s.resources["map[host.name:box]"] {
		t.Errorf("resources: %v", s.resources)
	}
	modbus := s.flows[slices.IndexFunc(s.flows, func(r flow.Record) bool { return r.Dst.Port == 502 })]
	if modbus.State != "SF" || modbus.Service != "modbus" || !slices.Equal(modbus.Commands, []string{"1/read_holding_registers"}) ||
		modbus.Src.Packets != 5 || modbus.Dst.Packets != 3 || modbus.Src.MAC.String() != "02:00:00:00:00:09" {
		t.Errorf("modbus flow: %+v", modbus)
	}
	if len(s.sightings) == 0 || s.sightings[0].Kind != app.ARPClaim || s.sightings[0].Address.String() != "10.0.0.1" {
		t.Errorf("sightings: %+v", s.sightings)
	}
}

func TestMeterOnly(t *testing.T) {
	cfg := files(file(t, "plant.pcap", pcap(plant())))
	whole := read(t, cfg)
	cfg.Inspect = false
	s := read(t, cfg)
	if whole.total(t) != s.total(t) {
		t.Errorf("%d packets, but %d without reading them", whole.total(t), s.total(t))
	}
	if len(whole.sightings) == 0 || len(s.sightings) != 0 {
		t.Errorf("%d sightings, %d without reading packets", len(whole.sightings), len(s.sightings))
	}
	said := func(s *sink) (orders, sizes int) {
		for _, r := range s.flows {
			orders, sizes = orders+len(r.Commands), sizes+len(r.FirstSizes)
		}
		return orders, sizes
	}
	if orders, sizes := said(whole); orders == 0 || sizes == 0 {
		t.Errorf("%d orders, %d sizes", orders, sizes)
	}
	if orders, sizes := said(s); orders != 0 || sizes != 0 {
		t.Errorf("%d orders, %d sizes without reading packets", orders, sizes)
	}
}

func TestManyRecords(t *testing.T) {
	var all []frame
	for i := range 3 * batchSize {
		all = append(all, frame{time.Duration(i) * time.Millisecond, udp(fmt.Sprintf("10.0.0.9:%d", 10000+i), "10.0.0.77:9999", "x")})
	}
	s := read(t, files(file(t, "many.pcap", pcap(all))))
	if got := s.total(t); got != uint64(len(all)) {
		t.Errorf("%d packets in flows, want %d", got, len(all))
	}
	for i, n := range s.batches {
		if n > batchSize || n < batchSize && i < len(s.batches)-1 {
			t.Errorf("batch sizes %v", s.batches)
		}
	}
}

func TestSeveralFilesInTimeOrder(t *testing.T) {
	dir := t.TempDir()
	p := plant()
	for name, part := range map[string][]frame{"a.pcap": p[6:], "b.pcap": p[:6]} {
		if err := os.WriteFile(filepath.Join(dir, name), pcap(part), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := read(t, files(filepath.Join(dir, "*.pcap")))
	if s.total(t); s.captures[0].Flows != 3 {
		t.Errorf("the parts were not put together: %+v", s.captures[0])
	}
}

func TestWrongFiles(t *testing.T) {
	whole := pcap(plant())
	for _, c := range []struct {
		name  string
		path  string
		start string // what Start says
		end   string // what ends the run, "" for its end
		warn  string // what the capture event warns of
	}{
		{name: "missing", path: "testdata/none.pcap", start: "none.pcap"},
		{name: "a pattern that matches nothing", path: "testdata/*.none", start: "*.none"},
		{name: "empty", path: file(t, "empty.pcap", nil), start: "empty"},
		{name: "wrong", path: "config.go", start: "config.go"},
		{name: "a directory", path: "testdata", start: "testdata"},
		{name: "no packets", path: file(t, "header.pcap", whole[:24])},
		{name: "truncated", path: file(t, "cut.pcap", whole[:len(whole)-3]), warn: "cut off within a packet"},
		{name: "truncated in the first packet", path: file(t, "cut1.pcap", whole[:50]), end: "cut off within a packet"},
		{name: "garbage after the first packet", path: file(t, "garbage.pcap", append(slices.Clone(whole[:24+16+42]), slices.Repeat([]byte{0xff}, 400)...)), warn: "garbage.pcap"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, h := newSink(), newHost(t)
			r := create(t, files(c.path), s)
			err := r.Start(t.Context(), h)
			if c.start != "" {
				if err == nil || !strings.Contains(err.Error(), c.start) {
					t.Fatalf("Start gave %v, want %q", err, c.start)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			err = h.wait(t)
			if c.end == "" && !errors.Is(err, run.ErrDone) || c.end != "" && !strings.Contains(err.Error(), c.end) {
				t.Errorf("ended with %v, want %q", err, c.end)
			}
			s.total(t)
			if got := strings.Join(s.captures[0].Warnings, "; "); !strings.Contains(got, c.warn) || c.warn == "" && c.end == "" && got != "" {
				t.Errorf("warned %q, want %q", got, c.warn)
			}
		})
	}
}

func TestFileShrinksWhileRead(t *testing.T) {
	all := slices.Repeat(plant()[1:10], 20_000)
	path := file(t, "shrinks.pcap", pcap(all))
	s, h := newSink(), newHost(t)
	s.hold = make(chan struct{})
	cfg := files(path)
	cfg.MaxFlows = 16
	r := create(t, cfg, s)
	if err := r.Start(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100_000); err != nil {
		t.Fatal(err)
	}
	close(s.hold)
	if err := h.wait(t); !errors.Is(err, run.ErrDone) {
		t.Fatalf("ended with %v", err)
	}
	s.total(t)
}

// The end of a file is the end of the run only when asked for.
func TestStay(t *testing.T) {
	s, h := newSink(), newHost(t)
	cfg := files("testdata/short.pcap")
	cfg.AtEnd = atEndStay
	r := create(t, cfg, s)
	if err := r.Start(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	<-r.done
	s.total(t)
	select {
	case e := <-h.events:
		t.Errorf("ended the run: %v", e.Err())
	default:
	}
}

func TestTwoReceiversEndTogether(t *testing.T) {
	h := newHost(t)
	one, two := newSink(), newSink()
	two.hold = make(chan struct{})
	a, b := create(t, files("testdata/short.pcap"), one), create(t, files("testdata/short.pcap"), two)
	for _, r := range []*flowReceiver{a, b} {
		if err := r.Start(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	<-a.done
	select {
	case <-h.events:
		t.Fatal("the first ended the run")
	default:
	}
	close(two.hold)
	if err := h.wait(t); !errors.Is(err, run.ErrDone) {
		t.Errorf("ended with %v", err)
	}
	if one.total(t) != two.total(t) {
		t.Error("they saw different things")
	}
}

// Components behind the receiver count what they get, so nothing is sent twice.
func TestRefusedRecordsStopAFile(t *testing.T) {
	var all []frame
	for i := range 5 * batchSize {
		all = append(all, frame{time.Duration(i) * time.Second, udp(fmt.Sprintf("10.0.0.9:%d", 10000+i), "10.0.0.77:9999", "x")})
	}
	s, h := newSink(), newHost(t)
	s.refuse, s.after = errors.New("disk full"), 1
	r := create(t, files(file(t, "many.pcap", pcap(all))), s)
	if err := r.Start(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if err := h.wait(t); !errors.Is(err, s.refuse) || !strings.Contains(err.Error(), "many.pcap") {
		t.Errorf("ended with %v", err)
	}
	<-r.done
	if s.calls != 2 {
		t.Errorf("%d batches were sent, want 2", s.calls)
	}
	if run.ExitCode() != run.ExitError {
		t.Error("exit code", run.ExitCode())
	}
}

func TestShutdown(t *testing.T) {
	var all []frame
	for i := range 20 * batchSize {
		all = append(all, frame{time.Duration(i) * time.Second, udp(fmt.Sprintf("10.0.0.9:%d", 10000+i), "10.0.0.77:9999", "x")})
	}
	path := file(t, "many.pcap", pcap(all))

	t.Run("without start, twice", func(t *testing.T) {
		r := create(t, files(path), newSink())
		for range 2 {
			if err := r.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("what is behind takes nothing", func(t *testing.T) {
		defer func(was time.Duration) { standstill = was }(standstill)
		standstill = 50 * time.Millisecond
		s := newSink()
		s.hold = make(chan struct{}) // for ever, as a full queue before a server that is away
		r := create(t, files(path), s)
		if err := r.Start(t.Context(), newHost(t)); err != nil {
			t.Fatal(err)
		}
		<-s.came
		if err := r.Shutdown(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Run("in the middle", func(t *testing.T) {
		s, h := newSink(), newHost(t)
		s.hold = make(chan struct{})
		r := create(t, files(path), s)
		if err := r.Start(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		<-s.came
		go func() {
			for !r.quit.Load() {
				time.Sleep(time.Millisecond)
			}
			close(s.hold)
		}()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		s.total(t)
		if got := s.captures[0]; got.Packets >= uint64(len(all)) || !strings.Contains(fmt.Sprint(got.Warnings), "stopped before the end") {
			t.Errorf("capture event %+v", got)
		}
	})
	t.Run("what is behind hangs", func(t *testing.T) {
		s, h := newSink(), newHost(t)
		s.hold = make(chan struct{})
		r := create(t, files(path), s)
		if err := r.Start(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		<-s.came
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("gave %v", err)
		}
		<-r.done
	})
	t.Run("while waiting for standard input", func(t *testing.T) {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		defer out.Close()
		stdin := os.Stdin
		os.Stdin = in
		defer func() { os.Stdin = stdin }()
		s, h := newSink(), newHost(t)
		r := create(t, files("-"), s)
		if err := r.Start(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(pcap(plant()[:3])); err != nil {
			t.Fatal(err)
		}
		for r.meter.totals().packets < 3 {
			time.Sleep(time.Millisecond)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := s.total(t); got != 3 {
			t.Errorf("%d packets", got)
		}
	})
}
