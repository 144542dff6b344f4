package baseline

import (
	"fmt"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
)

// BenchmarkFlow judges usual flows of a learned site.
func BenchmarkFlow(b *testing.B) {
	for _, devices := range []int{10, 1000} {
		b.Run(fmt.Sprintf("usual/devices=%d", devices), func(b *testing.B) {
			s := newSite(b)
			var records []*flow.Record
			for i := range devices {
				records = append(records, s.talk(flowEnd(i), broker, 1883), s.talk(flowEnd(i), cloud, 8883))
			}
			run := func() {
				for _, r := range records {
					s.now += int64(10 * time.Millisecond)
					r.Start, r.End = s.now, s.now
					s.Flow(r)
				}
			}
			for range 20 {
				run()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += len(records) {
				run()
			}
		})
	}
	b.Run("ot", func(b *testing.B) {
		s := newSite(b)
		r := s.command(panel, controller, "1/read_holding_registers", "1/read_coils", "2/read_coils")
		b.ReportAllocs()
		for b.Loop() {
			s.now += int64(time.Second)
			r.Start, r.End = s.now, s.now
			s.Flow(r)
		}
	})
	b.Run("scan", func(b *testing.B) {
		s := newSite(b)
		r := s.try(sensor, broker, 23, "S0")
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			i++
			s.now += int64(time.Millisecond)
			r.Dst, r.Start, r.End = outsider(i), s.now, s.now
			r.Dst.Port, r.Anomaly.Reasons = 23, nil
			s.Flow(r)
		}
	})
}

// BenchmarkLearned re-estimates the learning of a thousand devices, as every ten seconds.
func BenchmarkLearned(b *testing.B) {
	s := taught(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		s.Learned()
	}
}

func BenchmarkSnapshot(b *testing.B) {
	s := taught(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		data, err := s.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
	}
}
