package flow

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A table's memory is not the collector's, and goes back all the same.
func TestMemoryGoesBack(t *testing.T) {
	resident := func() int {
		b, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Skip(err)
		}
		n, _ := strconv.Atoi(strings.Fields(string(b))[1])
		return n * os.Getpagesize()
	}
	runtime.GC()
	before := resident()
	fill := func() {
		cfg := NewDefaultConfig()
		cfg.MaxFlows = 1 << 18
		table := NewTable(cfg, func(*Record) {})
		h := tcp(0, client, server, 0, 1, 0)
		for i := range cfg.MaxFlows {
			h.Src[13], h.Src[14], h.Src[15] = byte(i>>16), byte(i>>8), byte(i)
			table.Add(h, 0)
		}
		if grew := resident() - before; grew < cfg.MaxFlows*128 {
			t.Errorf("%d flows in %d bytes?", cfg.MaxFlows, grew)
		}
	}
	for range 4 {
		fill()
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		runtime.GC()
		if grew := resident() - before; grew < 100<<20 {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d MiB are still held", grew>>20)
		}
	}
}
