//go:build unix

package netflowreceiver

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/monban/monban/receiver/netflowreceiver/internal/metadata"
)

// BenchmarkReceiver is the way from a datagram of NetFlow v5 to batches of log records.
func BenchmarkReceiver(b *testing.B) {
	r, err := newReceiver(config(), receivertest.NewNopSettings(metadata.Type), consumertest.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	r.ctx = b.Context()
	d := v5Datagram(uint32(time.Now().Unix()), 24)
	from := netip.MustParseAddr("192.0.2.1")
	now := time.Now().UnixNano()
	b.ReportAllocs()
	begun := processorTime(b)
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint32(d[16:], uint32(i*24))
		r.add(from, d, now)
	}
	b.ReportMetric(float64(processorTime(b)-begun)/float64(b.N*24), "cpu-ns/record")
}

func processorTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
