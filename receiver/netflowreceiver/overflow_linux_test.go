package netflowreceiver

import (
	"encoding/binary"
	"testing"
	"time"
)

// TestKernelDrops holds the receiver up until the socket's buffer is full: what the
// kernel drops is counted, and the sequence numbers tell of the same records.
func TestKernelDrops(t *testing.T) {
	cfg := config()
	cfg.ReadBufferMiB = 1
	s := &sink{}
	r := start(t, cfg, s, nil)
	c := dial(t, r.address(0))
	d := v5Datagram(uint32(time.Now().Unix()), 24)
	const datagrams = 4000
	r.mu.Lock()
	for i := range uint32(datagrams) {
		binary.BigEndian.PutUint32(d[16:], i*24)
		if _, err := c.Write(d); err != nil {
			t.Error(err)
			break
		}
	}
	r.mu.Unlock()
	for begun := time.Now(); len(s.taken()) == 0 && time.Since(begun) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(time.Second)               // for the rest to be read
	for i := range uint32(2 * lateMost) { // with which the kernel tells what it dropped before
		binary.BigEndian.PutUint32(d[16:], (datagrams+i)*24)
		if _, err := c.Write(d); err != nil {
			t.Fatal(err)
		}
	}
	r.settle(t)
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	totals := r.totals()
	read := totals.Datagrams[5]
	if totals.kernel == 0 || read+totals.kernel != datagrams+2*lateMost || totals.Lost != 24*totals.kernel {
		t.Errorf("%d datagrams read, %d dropped by the kernel, %d records lost by sequence; sent %d", read, totals.kernel, totals.Lost, datagrams+2*lateMost)
	}
}

const lateMost = 20 // more than a datagram may be late
