//go:build unix

package watch

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/monban/monban/internal/threshold"
)

// processorTime is what this process has used.
func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkMetrics is the whole way of a point: found, keyed, judged. On a machine with other work the
// time of the processor tells more than that on the wall.
func BenchmarkMetrics(b *testing.B) {
	for _, rule := range []string{`{name: r, metric: m, above: 0.8, per: [host.name, cpu, state], for: 1m, max_entities: 100000}`,
		`{name: r, metric: m, above: 0.8, for: 1m, max_entities: 100000}`,
		`{name: r, metric: m, above: 0.8, where: 'attributes["state"] == "user"', per: [host.name, cpu], max_entities: 100000}`} {
		for _, n := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("%s/entities=%d", strings.NewReplacer(" ", "", "/", "").Replace(rule), n), func(b *testing.B) {
				m := start(b, Metrics, threshold.Event, "{rules: ["+rule+"]}")
				md := hosts(n)
				stamp(md, epoch)
				require.NoError(b, m.Metrics(b.Context(), md, nil, nil))
				t, spent := epoch, time.Duration(0)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += n {
					b.StopTimer()
					t += 10e9
					stamp(md, t)
					before := processorTime()
					b.StartTimer()
					if err := m.Metrics(b.Context(), md, nil, nil); err != nil {
						b.Fatal(err)
					}
					spent += processorTime() - before
				}
				b.ReportMetric(float64(spent)/float64((b.N+n-1)/n*n), "cpu-ns/op")
			})
		}
	}
}
