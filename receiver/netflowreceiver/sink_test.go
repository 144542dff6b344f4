package netflowreceiver

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/receiver/netflowreceiver/internal/metadata"
)

// sink keeps the records that it gets.
type sink struct {
	mu        sync.Mutex
	records   []flow.Record
	resources []map[string]any // of the records
}

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		resource := rl.Resource().Attributes().AsRaw()
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				r := flow.Record{End: int64(lr.Timestamp())}
				logrecord.Read(lr, flow.Fields, &r)
				r.Complete()
				s.records = append(s.records, r)
				s.resources = append(s.resources, resource)
			}
		}
	}
	return nil
}

func (s *sink) taken() []flow.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]flow.Record(nil), s.records...)
}

// config is the default one, on a free port of loopback.
func config() *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints = []string{"127.0.0.1:0"}
	cfg.Observer = "test"
	cfg.MaxClockSkew = 0 // captures are old
	return cfg
}

func start(t testing.TB, cfg *Config, s consumer.Logs, host component.Host) *netflowReceiver {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if host == nil {
		host = componenttest.NewNopHost()
	}
	r, err := newReceiver(cfg, receivertest.NewNopSettings(metadata.Type), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	return r
}

func (r *netflowReceiver) address(i int) string { return r.listeners[i].conn.LocalAddr().String() }

// settle waits until no more datagrams come.
func (r *netflowReceiver) settle(t testing.TB) {
	t.Helper()
	last, quiet := uint64(0), 0
	for range 600 {
		time.Sleep(50 * time.Millisecond)
		r.mu.Lock()
		s := r.collector.Stats()
		r.mu.Unlock()
		n := uint64(0)
		for _, x := range s.Datagrams {
			n += x
		}
		for _, x := range s.Dropped {
			n += x
		}
		if n != last {
			last, quiet = n, 0
		} else if quiet++; quiet > 5 && n > 0 {
			return
		}
	}
	t.Fatal("no datagram came")
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
