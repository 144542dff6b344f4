package hostreceiver

import (
	"bytes"
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
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/extension/statestorage"
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

// stored is a Collector with our storage extension.
type stored map[component.ID]component.Component

func (s stored) GetExtensions() map[component.ID]component.Component { return s }

var storageID = component.MustNewID("state_storage")

func withStorage(t *testing.T) stored {
	t.Helper()
	f := statestorage.NewFactory()
	cfg := f.CreateDefaultConfig().(*statestorage.Config)
	cfg.Directory = t.TempDir()
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	return stored{storageID: ext}
}

// TestRefusedOverRestart holds that a change is told by the next start when what is behind is down until the end,
// or until we are killed.
func TestRefusedOverRestart(t *testing.T) {
	for _, end := range []string{"stopped", "killed"} {
		t.Run(end, func(t *testing.T) {
			h := withStorage(t)
			var down atomic.Bool
			var refused atomic.Int64
			sink := new(consumertest.LogsSink)
			next, err := consumer.NewLogs(func(ctx context.Context, logs plog.Logs) error {
				if down.Load() {
					refused.Add(int64(logs.LogRecordCount()))
					return errors.New("down")
				}
				return sink.ConsumeLogs(ctx, logs)
			})
			require.NoError(t, err)
			r, root := small(t, next)
			core, logs := observer.New(zap.WarnLevel)
			r.log = zap.New(core)
			r.cfg.Posture.Storage = &storageID
			r.cfg.Posture.SaveInterval = time.Nanosecond
			require.NoError(t, r.Start(t.Context(), h))
			require.Eventually(t, func() bool { return len(records(sink.AllLogs())) == 2 }, 20*time.Second, 10*time.Millisecond)
			down.Store(true)
			require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\neve:x:0:0::/:/bin/sh\n"), 0o644))
			require.Eventually(t, func() bool { return refused.Load() > 0 }, 20*time.Second, 10*time.Millisecond)
			client, err := h[storageID].(storage.Extension).GetClient(t.Context(), component.KindReceiver, r.set.ID, "")
			require.NoError(t, err)
			var saved []byte
			require.Eventually(t, func() bool {
				saved, err = client.Get(t.Context(), "state")
				return err == nil && bytes.Contains(saved, []byte(`"Waiting":`))
			}, 20*time.Second, 10*time.Millisecond)
			require.NoError(t, r.Shutdown(t.Context()))
			if end == "killed" { // what was saved meanwhile is all that there is
				require.NoError(t, client.Set(t.Context(), "state", saved))
			} else {
				assert.Len(t, logs.FilterMessageSnippet("are kept, and told at the next start").All(), 1)
			}
			require.NoError(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("sudo:x:27:eve\n"), 0o644))

			again := new(consumertest.LogsSink)
			set := receivertest.NewNopSettings(metadata.Type)
			set.ID = r.set.ID
			r2, err := newPosture(r.cfg, set, again)
			require.NoError(t, err)
			require.NoError(t, r2.Start(t.Context(), h))
			require.Eventually(t, func() bool { return len(records(again.AllLogs())) == 2 }, 20*time.Second, 10*time.Millisecond)
			require.NoError(t, r2.Shutdown(t.Context()))
			got := records(again.AllLogs())
			assert.Equal(t, "user added eve, group changed sudo", say(got[0])+", "+say(got[1]))
			assert.False(t, got[0].While, "it came while we looked")
			assert.True(t, got[1].While, "it came while nobody looked")
			assert.Equal(t, "host_user", got[0].Anomaly.Reasons[0].Kind)

			last := new(consumertest.LogsSink)
			r3, err := newPosture(r.cfg, set, last)
			require.NoError(t, err)
			require.NoError(t, r3.Start(t.Context(), h))
			require.NoError(t, r3.Shutdown(t.Context()))
			assert.Empty(t, records(last.AllLogs()), "told twice")
		})
	}
}

// TestUnmatchedPatterns holds that a pattern which is written wrong is said, once.
func TestUnmatchedPatterns(t *testing.T) {
	r, root := small(t, consumertest.NewNop())
	core, logs := observer.New(zap.WarnLevel)
	r.log = zap.New(core)
	r.cfg.Posture.Off = []posture.Kind{posture.SetUID}
	r.cfg.Posture.Files = []string{"/etc/shadoww", "/etc/passwd"}
	var err error
	r.watcher, err = posture.New(r.host, r.cfg.Posture.posture())
	require.NoError(t, err)
	r.look(time.Now())
	require.NoError(t, os.Remove(filepath.Join(root, "etc/passwd")))
	r.look(time.Now().Add(time.Hour))
	if all := logs.FilterMessageSnippet("match no file").All(); assert.Len(t, all, 1) {
		assert.Equal(t, []any{"/etc/shadoww"}, all[0].ContextMap()["patterns"])
	}
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
