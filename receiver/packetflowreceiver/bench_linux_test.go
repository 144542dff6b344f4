package packetflowreceiver

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/packet"
)

// BenchmarkMeter is the way of a packet from its frame on: decoded, metered, looked
// into, and once in a while written as a record that nobody takes.
func BenchmarkMeter(b *testing.B) {
	for _, flows := range []int{5_000, 1_000_000} {
		b.Run(fmt.Sprint(flows, " flows"), func(b *testing.B) {
			m := newMeter(config(func(c *Config) { c.Files = []string{"-"}; c.MaxFlows = 1 << 21 }), &batch{send: func(plog.Logs) {}})
			data := tcp(client, server, ack, 1, "0123456789")
			frames := make([]packet.Frame, framesAtOnce)
			for i := range frames {
				frames[i] = packet.Frame{Data: append([]byte{}, data...), WireLen: len(data), Link: packet.LinkEthernet}
			}
			n := uint64(0)
			in, p := reader{known: 1}, new(parcel)
			next := func() {
				for i := range frames {
					f := uint32(n*0x9e3779b1>>7) % uint32(flows)
					frames[i].Data[27], frames[i].Data[28], frames[i].Data[29] = byte(f>>16), byte(f>>8), byte(f)
					frames[i].Time = epoch.UnixNano() + int64(n)*100
					n++
				}
				in.decode(p, frames)
				m.add(p)
			}
			for m.table.Stats().Live < flows*9/10 {
				next()
			}
			b.ReportAllocs()
			n0, used := n, cpu(b)
			for b.Loop() {
				next()
			}
			b.ReportMetric(float64((cpu(b)-used).Nanoseconds())/float64(n-n0), "cpu-ns/packet")
		})
	}
}

// cpu is the time that this process used so far. On a machine that does other things
// too it says more than the clock.
func cpu(b testing.TB) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRecord is the way of a flow's record into a batch.
func BenchmarkRecord(b *testing.B) {
	records := 0
	m := newMeter(config(func(c *Config) { c.Files = []string{"-"} }), &batch{send: func(l plog.Logs) { records += l.LogRecordCount() }})
	data := udp("10.0.0.9:40000", "10.0.0.1:53", "question")
	answer := udp("10.0.0.1:53", "10.0.0.9:40000", "answer!!")
	frames := make([]packet.Frame, 512)
	for i := range frames {
		d := data
		if i%2 == 1 {
			d = answer
		}
		frames[i] = packet.Frame{Data: append([]byte{}, d...), WireLen: len(d), Link: packet.LinkEthernet}
		if i%2 == 0 {
			frames[i].Data[34], frames[i].Data[35] = byte(i>>8), byte(i)
		} else {
			frames[i].Data[36], frames[i].Data[37] = byte(i>>8), byte(i-1)
		}
	}
	b.ReportAllocs()
	in, p := reader{known: 1}, new(parcel)
	now, used := epoch, cpu(b)
	for b.Loop() {
		for i := range frames {
			frames[i].Time = now.UnixNano()
		}
		for half := range slices.Chunk(frames, framesAtOnce) {
			in.decode(p, half)
			m.add(p)
		}
		now = now.Add(2 * time.Minute)
		m.table.Tick(now.UnixNano())
	}
	b.ReportMetric(float64((cpu(b)-used).Nanoseconds())/float64(records), "cpu-ns/record")
}

// BenchmarkCapture meters the capture that MONBAN_CAPTURE names, once an iteration,
// into records that nobody takes.
func BenchmarkCapture(b *testing.B) {
	path := os.Getenv("MONBAN_CAPTURE")
	if path == "" {
		b.Skip("MONBAN_CAPTURE names no capture")
	}
	packets, used, p := uint64(0), cpu(b), new(parcel)
	b.ReportAllocs()
	for b.Loop() {
		source, err := packet.OpenFiles(path)
		if err != nil {
			b.Fatal(err)
		}
		m := newMeter(config(func(c *Config) {
			c.Files = []string{path}
			c.MaxFlows = 1 << 21
			c.Inspect = os.Getenv("INSPECT") != "false"
		}), &batch{send: func(plog.Logs) {}})
		in := reader{source: source}
		for in.read(p); p.err == nil; in.read(p) {
			m.add(p)
			packets += p.packets
		}
		m.table.Flush()
		source.Close()
	}
	b.ReportMetric(float64((cpu(b)-used).Nanoseconds())/float64(packets), "cpu-ns/packet")
}
