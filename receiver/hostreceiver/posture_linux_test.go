package hostreceiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/posture"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// small is a receiver of a root directory that has accounts and groups only.
func small(t *testing.T, next consumer.Logs) (*postureReceiver, string) {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "proc"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "proc/stat"), []byte("cpu 0\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("sudo:x:27:\n"), 0o644))
	cfg, err := config(t, m{"root_path": root, "observer": "box", "posture": m{"device_id": "dev-1",
		"off": []any{"listener", "setuid", "module", "usb_storage", "encryption", "updates", "unit", "file", "login", "ssh_key", "sudoers"}}})
	require.NoError(t, err)
	r, err := newPosture(cfg, receivertest.NewNopSettings(metadata.Type), next)
	require.NoError(t, err)
	return r, root
}

func records(all []plog.Logs) (out []posture.Record) {
	for _, logs := range all {
		for _, rl := range logs.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					r := posture.Record{Time: int64(lr.Timestamp())}
					logrecord.Read(lr, posture.Records, &r)
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// TestPosture waits for an account that is added to be told, which the kernel tells of.
func TestPosture(t *testing.T) {
	sink := new(consumertest.LogsSink)
	r, root := small(t, sink)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return len(records(sink.AllLogs())) == 2 }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\neve:x:0:0::/:/bin/sh\n"), 0o644))
	require.Eventually(t, func() bool { return len(records(sink.AllLogs())) == 3 }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, r.Shutdown(t.Context()), "twice")
	got := records(sink.AllLogs())
	assert.Equal(t, "user present root, group present sudo, user added eve", say(got[0])+", "+say(got[1])+", "+say(got[2]))
	assert.Equal(t, "dev-1", got[2].Anomaly.Reasons[0].Device)
	assert.Equal(t, "host_user", got[2].Anomaly.Reasons[0].Kind)
	name, _ := sink.AllLogs()[0].ResourceLogs().At(0).Resource().Attributes().Get("host.name")
	assert.Equal(t, "box", name.Str())
	last := sink.AllLogs()[len(sink.AllLogs())-1].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, plog.SeverityNumberError, last.SeverityNumber())
	assert.Equal(t, int64(3), r.told.Load())
}

// TestRefused holds that what is refused for a while is told later, and what is refused for
// good is counted.
func TestRefused(t *testing.T) {
	sink := new(consumertest.LogsSink)
	var answer atomic.Pointer[error]
	set := func(err error) { answer.Store(&err) }
	set(errors.New("full"))
	next, err := consumer.NewLogs(func(ctx context.Context, logs plog.Logs) error {
		if err := *answer.Load(); err != nil {
			return err
		}
		return sink.ConsumeLogs(ctx, logs)
	})
	require.NoError(t, err)
	r, _ := small(t, next)
	cfg := r.cfg.Posture.posture()
	r.watcher, err = posture.New(r.host, cfg)
	require.NoError(t, err)
	r.look(time.Now())
	assert.Len(t, r.waiting, 2)
	set(nil)
	r.look(time.Now())
	assert.Empty(t, r.waiting)
	assert.Len(t, records(sink.AllLogs()), 2)
	set(consumererror.NewPermanent(errors.New("never")))
	r.look(time.Now().Add(25 * time.Hour)) // the next list
	assert.Empty(t, r.waiting)
	assert.Equal(t, uint64(2), r.dropped)
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestPostureStartFails(t *testing.T) {
	cfg, err := config(t, m{"root_path": "/nonexistent"})
	require.NoError(t, err)
	r, err := newPosture(cfg, receivertest.NewNopSettings(metadata.Type), consumertest.NewNop())
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), "no root directory")
	require.NoError(t, r.Shutdown(t.Context()))
	r, _ = small(t, consumertest.NewNop())
	id := component.MustNewID("state_storage")
	r.cfg.Posture.Storage = &id
	require.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), "there is no extension")
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestPostureConfig(t *testing.T) {
	_, err := config(t, m{"posture": m{"off": []any{"users"}, "files": []any{"etc/x", "/["}, "auth_logs": []any{"auth.log"}, "list_interval": "1s",
		"setuid_interval": "1s", "login_window": "1ms", "save_interval": "1ms", "login_failures": 0}})
	for _, want := range []string{`there is no kind "users"; there are encryption, file,`, `"etc/x" must be`, `"/[" must be`, `"auth.log" must begin`,
		"list_interval must be at least 1m0s", "setuid_interval must", "login_window must", "save_interval must", "login_failures must"} {
		require.ErrorContains(t, err, want)
	}
}

func say(r posture.Record) string { return string(r.Kind) + " " + r.Change + " " + r.Subject }
