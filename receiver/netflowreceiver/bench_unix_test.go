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

// v5Datagram has both directions of n/2 flows.
func v5Datagram(secs uint32, n uint16) []byte {
	be := binary.BigEndian
	d := be.AppendUint16(be.AppendUint16(nil, 5), n)
	for _, v := range []uint32{100_000, secs, 0, 0, 0} {
		d = be.AppendUint32(d, v)
	}
	for i := range n {
		a, b, sp, dp := []byte{10, 0, 0, 5}, []byte{10, 0, 0, 1}, 40000+i/2, uint16(443)
		if i%2 == 1 {
			a, b, sp, dp = b, a, dp, sp
		}
		d = append(append(append(d, a...), b...), 0, 0, 0, 0, 0, 1, 0, 2)
		for _, v := range []uint32{10, 1000, 90_000, 95_000} {
			d = be.AppendUint32(d, v)
		}
		d = append(be.AppendUint16(be.AppendUint16(d, sp), dp), 0, 0x1b, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return d
}
