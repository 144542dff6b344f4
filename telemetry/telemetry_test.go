package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/run"
)

// The process ends here, so the test program is also the Collector that it watches.
func TestMain(m *testing.M) {
	if os.Getenv("MONBAN_TEST_COLLECTOR") == "" {
		os.Exit(m.Run())
	}
	set := otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collector"},
		Factories: func() (otelcol.Factories, error) {
			return otelcol.Factories{
				Telemetry: NewFactory(),
				Receivers: map[component.Type]receiver.Factory{actorType: newActor()},
				Exporters: map[component.Type]exporter.Factory{debugexporter.NewFactory().Type(): debugexporter.NewFactory()},
			}, nil
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
			DefaultScheme:     "yaml",
		}},
	}
	if err := otelcol.NewCommand(set).Execute(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// actor is a receiver that does what its settings say: that is all that a component can do to
// the end of a run.
type actor struct {
	cfg    *actorConfig
	log    *zap.Logger
	source *run.Source
}

type actorConfig struct {
	Done    bool   `mapstructure:"done"`     // its source ends at once
	Fatal   string `mapstructure:"fatal"`    // this goes wrong
	Code    int    `mapstructure:"code"`     // asks for this exit code
	Start   string `mapstructure:"start"`    // Start fails so
	Hangup  bool   `mapstructure:"hangup"`   // reloads the first time, and is done the second
	NoFlush string `mapstructure:"no_flush"` // Shutdown fails so
}

var actorType = component.MustNewType("actor")

func newActor() receiver.Factory {
	return receiver.NewFactory(actorType, func() component.Config { return &actorConfig{} },
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, _ consumer.Logs) (receiver.Logs, error) {
			return &actor{cfg: cfg.(*actorConfig), log: set.Logger, source: run.Begin()}, nil
		}, component.StabilityLevelDevelopment))
}

var (
	reloaded bool
	stopped  = make(chan struct{})
	stop     = sync.OnceFunc(func() { close(stopped) })
)

func (a *actor) Start(_ context.Context, host component.Host) error {
	a.log.Warn("a component's line")
	run.SetExitCode(a.cfg.Code)
	switch {
	case a.cfg.Start != "":
		return errors.New(a.cfg.Start)
	case a.cfg.Fatal != "":
		run.Fail(host, errors.New(a.cfg.Fatal))
	case a.cfg.Hangup && !reloaded:
		reloaded = true
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // deadly until the Collector takes it
		go func() {
			for {
				select {
				case <-stopped:
					return
				case <-time.After(100 * time.Millisecond):
					_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
				}
			}
		}()
	case a.cfg.Done || a.cfg.Hangup:
		a.source.Done(host)
	}
	return nil
}

func (a *actor) Shutdown(context.Context) error {
	a.source.Cancel()
	stop()
	os.Stdout.WriteString("flushed\n")
	if a.cfg.NoFlush != "" {
		return errors.New(a.cfg.NoFlush)
	}
	return nil
}

// collector runs this program as a Collector with one receiver for each of the settings, which
// are YAML, and returns what it wrote.
func collector(t *testing.T, level string, settings ...string) (stdout, stderr string, code int) {
	t.Helper()
	var receivers, ids []string
	for i, s := range settings {
		id := fmt.Sprintf("actor/%d", i)
		ids = append(ids, id)
		receivers = append(receivers, id+": {"+s+"}")
	}
	yaml := fmt.Sprintf(`
receivers: {%s}
exporters: {debug: {}}
service:
  telemetry: {metrics: {level: none}, logs: {level: %s, disable_stacktrace: true}}
  pipelines: {logs: {receivers: [%s], exporters: [debug]}}
`, strings.Join(receivers, ", "), level, strings.Join(ids, ", "))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "--config", "yaml:"+yaml)
	cmd.Env = append(os.Environ(), "MONBAN_TEST_COLLECTOR=1")
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	if runErr := cmd.Run(); runErr != nil && cmd.ProcessState == nil {
		t.Fatal(runErr)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// TestCollector also holds the Collector to the log lines that this package listens to.
func TestCollector(t *testing.T) {
	for _, c := range []struct {
		name, level   string
		receivers     []string // the settings of each
		code, flushed int
		in, out       []string // what standard error contains, and what not
	}{
		{
			name: "the end of the source is no error", level: "info",
			receivers: []string{"done: true"},
			code:      0, flushed: 1, in: []string{"a component's line", `"otelcol.component.id": "actor/0"`, "Starting shutdown..."}, out: []string{"error", "is over"},
		}, {
			name: "quietly so", level: "error",
			receivers: []string{"done: true"},
			code:      0, flushed: 1, out: []string{"error", "shutdown", "ready", "line"},
		}, {
			name: "something was found", level: "error",
			receivers: []string{"done: true, code: 3"},
			code:      3, flushed: 1, out: []string{"error"},
		}, {
			name: "a fatal error", level: "warn",
			receivers: []string{"fatal: 'no carrier'"},
			code:      1, flushed: 1, in: []string{"Stopping after a fatal error", "no carrier"},
		}, {
			name: "a fatal error outranks a find", level: "dpanic",
			receivers: []string{"fatal: 'no carrier', code: 3"},
			code:      1, flushed: 1, out: []string{"no carrier"},
		}, {
			name: "two sources", level: "warn",
			receivers: []string{"done: true", "done: true"},
			code:      0, flushed: 2, out: []string{"error"},
		}, {
			name: "a reload is not the end", level: "error",
			receivers: []string{"hangup: true, code: 3"},
			code:      3, flushed: 2, out: []string{"error"},
		}, {
			name: "a start that fails is said by main", level: "error",
			receivers: []string{"start: 'no such interface', code: 3"},
			code:      1, flushed: 1, in: []string{"no such interface"},
		}, {
			name: "a flush that fails", level: "error",
			receivers: []string{"done: true, no_flush: 'disk full'"},
			code:      1, flushed: 1, in: []string{"disk full"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := collector(t, c.level, c.receivers...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if n := strings.Count(stdout, "flushed"); n != c.flushed {
				t.Errorf("%d components flushed, want %d", n, c.flushed)
			}
			for _, s := range c.in {
				if !strings.Contains(stderr, s) {
					t.Errorf("standard error lacks %q", s)
				}
			}
			for _, s := range c.out {
				if strings.Contains(stderr, s) {
					t.Errorf("standard error has %q", s)
				}
			}
			if t.Failed() {
				t.Log(stderr)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing to read", nil, 0},
		{"the machine's", map[string]string{"/proc/meminfo": "MemTotal:        1024000 kB\nMemFree: 5 kB\n"}, 1000 * mib},
		{"no limit on the group", map[string]string{
			"/proc/meminfo": "MemTotal: 1024000 kB\n", "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/memory.max": "max\n",
		}, 1000 * mib},
		{"a limit above the group", map[string]string{
			"/proc/meminfo": "MemTotal: 1024000 kB\n", "/proc/self/cgroup": "0::/a/b\n",
			"/sys/fs/cgroup/a/memory.max": strconv.Itoa(256*mib) + "\n", "/sys/fs/cgroup/a/b/memory.max": "max\n",
		}, 256 * mib},
		{"a container sees its group as the root", map[string]string{
			"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": strconv.Itoa(512*mib) + "\n",
		}, 512 * mib},
		{"version 1", map[string]string{
			"/proc/meminfo": "MemTotal: 1024000 kB\n", "/proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/y\n",
			"/sys/fs/cgroup/memory/docker/y/memory.limit_in_bytes": strconv.Itoa(128*mib) + "\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes":          "9223372036854771712\n",
		}, 128 * mib},
		{"nonsense", map[string]string{"/proc/meminfo": "MemTotal: x kB\n", "/proc/self/cgroup": "0\n\n::\n"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := memory(func(name string) ([]byte, error) {
				if s, ok := c.files[name]; ok {
					return []byte(s), nil
				}
				return nil, os.ErrNotExist
			})
			if got != c.want {
				t.Errorf("memory() = %d MiB, want %d MiB", got/mib, c.want/mib)
			}
		})
	}
	for total, want := range map[int64]int64{0: 0, 1 * mib: 0, 128 * mib: 64 * mib, 1 << 30: 512 * mib, 1 << 40: 8 << 30} {
		if got := memoryLimit(total); got != want {
			t.Errorf("memoryLimit(%d) = %d, want %d", total, got, want)
		}
	}
}
