package testbed

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var scraper = &http.Client{Timeout: 20 * time.Second}

// Metric is [ReadMetric], and fails the test where that fails.
func Metric(t testing.TB, address, name string, labels ...string) float64 {
	t.Helper()
	sum, err := ReadMetric(address, name, labels...)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// ReadMetric reads the Prometheus page of a process at address (host:port) and sums the values of a
// metric over the series that have all of these labels, as in event="network.flow".
func ReadMetric(address, name string, labels ...string) (sum float64, err error) {
	res, err := scraper.Get("http://" + address + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
lines:
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, name) {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(line, l) {
				continue lines
			}
		}
		f := strings.Fields(line)
		v, _ := strconv.ParseFloat(f[len(f)-1], 64)
		sum += v
	}
	return sum, nil
}
