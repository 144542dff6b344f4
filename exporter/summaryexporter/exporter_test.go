package summaryexporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func pdataTime(ns int64) pcommon.Timestamp { return pcommon.Timestamp(ns) }

func TestNothingCameNothingPrinted(t *testing.T) {
	var out bytes.Buffer
	e := newExporter(createDefaultConfig().(*Config), &out)
	if err := e.start(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if err := e.shutdown(context.Background()); err != nil || out.Len() > 0 {
		t.Errorf("%v, %q", err, out.String())
	}
}

// TestBounded sends more of everything than is kept.
func TestBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	var out bytes.Buffer
	cfg := createDefaultConfig().(*Config)
	cfg.Width = 100
	e := newExporter(cfg, &out)
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	const n = 20000
	long := strings.Repeat("x", 10000)
	for i := range n {
		lr := records.AppendEmpty()
		lr.SetEventName("network.flow")
		lr.Attributes().PutStr("source.address", "10.0.0.1")
		lr.Attributes().PutStr("source.device.id", fmt.Sprintf("d%d", i))
		lr.Attributes().PutStr("destination.address", fmt.Sprint(i))
		lr.Attributes().PutStr("destination.domain", long)
		lr.Attributes().PutStr("network.protocol.name", fmt.Sprintf("%d%s", i, long))
		lr.Attributes().PutInt("flow.io.bytes", int64(i))
		lr.Attributes().PutInt("flow.io.packets", 1)
		lr = records.AppendEmpty()
		lr.SetEventName("device.inventory")
		lr.Attributes().PutStr("device.id", fmt.Sprintf("d%d", i))
		lr.Attributes().PutStr("device.change", "new")
		lr = records.AppendEmpty()
		lr.SetEventName("threat.report")
		lr.Attributes().PutStr("report.id", fmt.Sprint(i))
		lr.Attributes().PutStr("report.severity", []string{"low", "high"}[i/(n-10)])
		lr = records.AppendEmpty()
		lr.SetEventName("network.capture")
		lr.Attributes().PutStr("capture.source", fmt.Sprint(i))
	}
	if err := e.consume(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	if err := e.shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{"20,000 flows between 20,000 devices", "20,000 reports: 10 high, 990 low", "and 19,970 more", "the ranking is close"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if lines := strings.Count(got, "\n"); lines > 400 {
		t.Errorf("%d lines", lines)
	}
}

func TestValidate(t *testing.T) {
	err := (&Config{Output: "x", Color: "y", Width: 7}).Validate()
	for _, want := range []string{`output must be stdout or stderr, not "x"`, `color must be auto, always or never, not "y"`, "width must be 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestListeningIsSaidOnlyWhenItIsTrue: a component that starts later may fail.
func TestListeningIsSaidOnlyWhenItIsTrue(t *testing.T) {
	// The runtime's own signal goroutine must not begin inside a bubble.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	signal.Stop(c)
	for _, running := range []time.Duration{0, settle} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			cfg := createDefaultConfig().(*Config)
			cfg.Follow, cfg.Hints.Word = true, "live"
			e := newExporter(cfg, &out)
			if err := e.start(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(running)
			synctest.Wait()
			if err := e.shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			if said := out.Len() > 0; said != (running > 0) {
				t.Errorf("after %v: %q", running, out.String())
			}
		})
	}
}

// TestBrokenPipe runs itself as a process whose standard output nobody reads.
func TestBrokenPipe(t *testing.T) {
	if os.Getenv("SUMMARY_BROKEN_PIPE") != "" {
		e := newExporter(createDefaultConfig().(*Config), os.Stdout)
		err := errors.Join(e.print("x"), e.print("y"))
		fmt.Fprintln(os.Stderr, "alive", err)
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var stderr bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenPipe$")
	cmd.Env = append(os.Environ(), "SUMMARY_BROKEN_PIPE=1")
	cmd.Stdout, cmd.Stderr = w, &stderr
	_ = cmd.Run()
	w.Close()
	if got := stderr.String(); !strings.Contains(got, "alive <nil>") {
		t.Errorf("%q", got)
	}
}

func BenchmarkFlow(b *testing.B) {
	e := newExporter(createDefaultConfig().(*Config), &bytes.Buffer{})
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range 1000 {
		lr := records.AppendEmpty()
		lr.SetEventName("network.flow")
		a := lr.Attributes()
		a.PutStr("source.address", "192.168.178.120")
		a.PutStr("destination.address", fmt.Sprintf("192.168.178.%d", i%50))
		a.PutStr("source.device.id", "00:11:22:33:44:55")
		a.PutStr("destination.device.id", fmt.Sprintf("00:11:22:33:44:%02x", i%50))
		a.PutStr("network.transport", "tcp")
		a.PutStr("network.protocol.name", "modbus")
		for _, k := range []string{"source.port", "destination.port", "flow.io.packets", "flow.io.bytes", "flow.reverse.io.packets",
			"flow.reverse.io.bytes", "flow.tcp_flags", "flow.reverse.tcp_flags", "flow.ttl.min", "flow.reverse.ttl.min"} {
			a.PutInt(k, 49152)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.consume(context.Background(), ld); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}
