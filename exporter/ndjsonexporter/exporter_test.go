package ndjsonexporter

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/exporter/ndjsonexporter/internal/metadata"
	"github.com/monban/monban/internal/flatjson/flatjsontest"
)

func start(t *testing.T, cfg *Config) (exporter.Logs, *componenttest.Telemetry) {
	t.Helper()
	if cfg.OnError == "" {
		cfg.OnError = onErrorDrop
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	tel := componenttest.NewTelemetry()
	set := exportertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	e, err := NewFactory().CreateLogs(context.Background(), set, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e, tel
}

// logs makes one record for each event name, numbered from first.
func logs(first int, events ...string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "edge")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i, e := range events {
		lr := records.AppendEmpty()
		lr.SetEventName(e)
		lr.SetTimestamp(1)
		lr.Attributes().PutInt("n", int64(first+i))
	}
	return ld
}

func numbers(t *testing.T, b []byte) (n []int) {
	t.Helper()
	for line := range bytes.Lines(b) {
		var r struct{ N int }
		if err := json.Unmarshal(line, &r); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("line %q: %v", line, err)
		}
		n = append(n, r.N)
	}
	return n
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ls(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "out")
	e, tel := start(t, &Config{Directory: dir})
	if got, want := ls(t, dir), []string{"devices.ndjson", "flows.ndjson", "reports.ndjson", "sightings.ndjson"}; !slices.Equal(got, want) {
		t.Errorf("at the start there is %v, want %v", got, want)
	}
	events := []string{"network.flow", "network.sighting", "device.inventory", "device.baseline", "device.observation", "threat.report", "network.capture", "someone.else", "network.flow", ""}
	if err := e.ConsumeLogs(context.Background(), logs(0, events...)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]int{"flows": {0, 8}, "sightings": {1}, "devices": {2}, "baselines": {3}, "observations": {4}, "reports": {5}, "capture": {6}, "other": {7, 9}} {
		if got := numbers(t, read(t, filepath.Join(dir, file+".ndjson"))); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
	if n := len(counted(t, tel)); n != 8 {
		t.Errorf("%d series, want one for each file", n)
	}
}

func TestOneFileAndEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ndjson")
	e, tel := start(t, &Config{Path: path, Events: []string{"threat.report", "other"}})
	if err := e.ConsumeLogs(context.Background(), logs(0, "network.flow", "threat.report", "someone.else")); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, read(t, path)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("%v", got)
	}
	if got, want := counted(t, tel), map[string]int64{"x.ndjson written": 2}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestAppendsAndMends(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"whole":     {"{\"n\":7}\n", "{\"n\":7}\n"},
		"half line": {"{\"n\":7}\n{\"n\":", "{\"n\":7}\n"},
		"only half": {"{\"n\":", ""},
		"not ours":  {"hello", "hello\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.ndjson")
			if err := os.WriteFile(path, []byte(c.before), 0o644); err != nil {
				t.Fatal(err)
			}
			e, _ := start(t, &Config{Path: path})
			if err := e.ConsumeLogs(context.Background(), logs(1, "x")); err != nil {
				t.Fatal(err)
			}
			if got := string(read(t, path)); !strings.HasPrefix(got, c.after+"{") {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, &Config{Directory: dir})
	e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(metadata.Type), &Config{Directory: dir, OnError: onErrorDrop})
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(context.Background(), componenttest.NewNopHost())
	if err == nil || !strings.Contains(err.Error(), "devices.ndjson: another process is writing to it") {
		t.Errorf("%v", err)
	}
}

func TestUnwritableDirectoryFailsTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e, _ := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(metadata.Type), &Config{Directory: filepath.Join(file, "out"), OnError: onErrorStop})
	if err := e.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("%v", err)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	e, _ := start(t, &Config{Directory: dir, Events: []string{"network.flow"}, Rotation: RotationConfig{MaxSizeMiB: 1, MaxFiles: 2, Compress: true}})
	const batch, batches = 1000, 90 // about 5 MiB
	for i := range batches {
		if err := e.ConsumeLogs(context.Background(), logs(i*batch, slices.Repeat([]string{"network.flow"}, batch)...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	names := ls(t, dir)
	if len(names) != 3 || !strings.HasSuffix(names[0], "Z.ndjson.gz") || names[2] != "flows.ndjson" {
		t.Fatalf("%v", names)
	}
	var all []int
	for _, name := range names {
		b := read(t, filepath.Join(dir, name))
		if len(b) > 1<<20 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
		if strings.HasSuffix(name, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, numbers(t, b)...)
	}
	for i, n := range all {
		if n != all[0]+i {
			t.Fatalf("a gap after %d", all[0]+i)
		}
	}
	if all[len(all)-1] != batch*batches-1 {
		t.Errorf("the last is %d", all[len(all)-1])
	}
}

// A full disk is a real one: a small tmpfs where that is allowed, else /dev/full.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if runtime.GOOS != "linux" || exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "none", dir).Run() != nil {
		t.Skip("can't mount a small file system here")
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", dir).Run(); err != nil {
			t.Error(err)
		}
	})
	e, tel := start(t, &Config{Directory: dir})
	many := slices.Repeat([]string{"network.flow"}, 2000)
	err := e.ConsumeLogs(context.Background(), logs(0, many...))
	if err == nil || !strings.Contains(err.Error(), "flows.ndjson: no space left on device; ") || !strings.HasSuffix(err.Error(), " records lost") {
		t.Fatalf("%v", err)
	}
	written := numbers(t, read(t, filepath.Join(dir, "flows.ndjson"))) // whole lines only
	if len(written) == 0 || len(written) >= 2000 {
		t.Errorf("%d records were written", len(written))
	}
	n := int64(len(written))
	if got, want := counted(t, tel), map[string]int64{"flows.ndjson written": n, "flows.ndjson lost": 2000 - n}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}

	// Space again: it goes on by itself.
	if err := os.Truncate(filepath.Join(dir, "flows.ndjson"), 0); err != nil {
		t.Fatal(err)
	}
	if err := e.ConsumeLogs(context.Background(), logs(5000, "network.flow")); err != nil {
		t.Error(err)
	}
}

func TestStopOnError(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	e, _ := start(t, &Config{Path: "/dev/full", OnError: onErrorStop})
	for range 2 {
		err := e.ConsumeLogs(context.Background(), logs(0, "a", "b"))
		if err == nil || err.Error() != "Permanent error: writing /dev/full: no space left on device; 2 records lost" {
			t.Errorf("%v", err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"neither", Config{OnError: "drop"}, []string{"one of directory and path must be set"}},
		{"all at once", Config{Directory: "a", Path: "-", OnError: "x", Events: []string{"flow"}, Rotation: RotationConfig{MaxFiles: -1}},
			[]string{"directory and path", `on_error must be stop or drop, not "x"`, `there is no "flow", only other, network.flow`, "without rotation::max_size_mib", "max_files can't be negative"}},
		{"negative size", Config{Path: "x", OnError: "stop", Rotation: RotationConfig{MaxSizeMiB: -1}}, []string{"max_size_mib can't be negative"}},
		{"stdout", Config{Path: "-", OnError: "stop", Rotation: RotationConfig{MaxSizeMiB: 1}}, []string{"rotation can't be used"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.cfg.Validate()
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			var joined interface{ Unwrap() []error }
			if !errors.As(err, &joined) || len(joined.Unwrap()) != len(c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestBrokenPipe runs itself as a process whose standard output nobody reads.
func TestBrokenPipe(t *testing.T) {
	if os.Getenv("NDJSON_BROKEN_PIPE") != "" {
		e, _ := start(t, &Config{Path: "-"})
		for i := range 100 {
			if err := e.ConsumeLogs(context.Background(), logs(i, "x")); err != nil {
				fmt.Fprintln(os.Stderr, "error:", err)
			}
		}
		fmt.Fprintln(os.Stderr, "alive")
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var stderr bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenPipe$")
	cmd.Env = append(os.Environ(), "NDJSON_BROKEN_PIPE=1")
	cmd.Stdout, cmd.Stderr = w, &stderr
	_ = cmd.Run() // the test binary itself can't print its result
	w.Close()
	if got := stderr.String(); !strings.Contains(got, "alive") || strings.Contains(got, "error:") {
		t.Errorf("%q", got)
	}
}

func BenchmarkConsume(b *testing.B) {
	e, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(metadata.Type), &Config{Path: os.DevNull, OnError: onErrorDrop})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range 1000 {
		flatjsontest.Usual(records.AppendEmpty())
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.ConsumeLogs(context.Background(), ld); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

// A record without a time has the one at which it came, not 1970.
func TestWithoutTime(t *testing.T) {
	dir := t.TempDir()
	e, _ := start(t, &Config{Directory: dir})
	begun := time.Now()
	ld := logs(1, "network.flow")
	lr := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	lr.SetTimestamp(0)
	ld.MarkReadOnly() // others have it too
	if err := e.ConsumeLogs(t.Context(), ld); err != nil {
		t.Fatal(err)
	}
	var line struct{ Timestamp time.Time }
	if err := json.Unmarshal(read(t, filepath.Join(dir, "flows.ndjson")), &line); err != nil || line.Timestamp.Before(begun) || line.Timestamp.After(time.Now()) {
		t.Errorf("%v %v", line.Timestamp, err)
	}
}
