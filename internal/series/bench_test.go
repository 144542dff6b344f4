package series

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{1, 1000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			all := make([]Series, n)
			var c Clock
			r := rand.New(rand.NewPCG(1, 2))
			noise := make([]float64, 1<<16)
			for i := range noise {
				noise[i] = r.NormFloat64()
			}
			k := 0
			step := func(i int64) {
				at := (1767571200 + i*60) * 1e9
				m := 10 * math.Sin(float64(i)/1440*2*math.Pi)
				for j := range all {
					k++
					all[j].Observe(&c, at, m+noise[k&(1<<16-1)])
				}
			}
			for i := range int64(30) {
				step(i)
			}
			at := int64(30)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				step(at)
				at++
			}
			b.ReportMetric(float64(unsafe.Sizeof(all[0])), "B/series")
		})
	}
}
