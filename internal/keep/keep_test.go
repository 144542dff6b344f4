package keep

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/run"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a state that tests can look into.
type memory struct {
	text string
	bad  error // what Snapshot gives
}

var errWrong = errors.New("of another version")

func (m *memory) Snapshot() ([]byte, error) { return []byte(m.text), m.bad }

func (m *memory) Restore(b []byte) error {
	if strings.HasPrefix(string(b), "wrong") {
		return errWrong
	}
	m.text = string(b)
	return nil
}

var (
	use   = component.MustNewID("state_storage")
	owner = component.MustNewID("baseline")
)

// host is a Collector with a storage extension, as a real one has it.
type host struct {
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

// start starts a real storage extension.
func start(t *testing.T, f extension.Factory, dir string) host {
	t.Helper()
	cfg := f.CreateDefaultConfig()
	switch c := cfg.(type) {
	case *statestorage.Config:
		c.Directory = dir
	case *filestorage.Config:
		c.Directory = dir
	}
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := ext.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ext.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return host{map[component.ID]component.Component{use: ext}}
}

func open(t *testing.T, h component.Host, every time.Duration, s State) (*Keeper, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	k, err := Open(t.Context(), h, &use, component.KindProcessor, owner, every, s, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	return k, logs
}

func storages() map[string]extension.Factory {
	return map[string]extension.Factory{"state_storage": statestorage.NewFactory(), "file_storage": filestorage.NewFactory()}
}

func TestWhatIsSavedComesBack(t *testing.T) {
	for name, f := range storages() {
		t.Run(name, func(t *testing.T) {
			h := start(t, f, t.TempDir())
			first := &memory{text: "nothing known"}
			k, _ := open(t, h, time.Hour, first)
			if first.text != "nothing known" {
				t.Errorf("an empty storage restored %q", first.text)
			}
			first.text = "what was learned"
			for range 2 { // safe twice
				if err := k.Close(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				first.text = "after the end"
			}
			var second memory
			k, logs := open(t, h, time.Hour, &second)
			if second.text != "what was learned" || logs.Len() > 0 {
				t.Errorf("restored %q, logged %v", second.text, logs.All())
			}
			if err := k.Close(t.Context(), &second); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestOwnersDoNotMeet(t *testing.T) {
	h := start(t, statestorage.NewFactory(), t.TempDir())
	a := &memory{text: "a"}
	k, _ := open(t, h, time.Hour, a)
	if err := k.Close(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		kind component.Kind
		id   component.ID
	}{{component.KindConnector, owner}, {component.KindProcessor, component.MustNewIDWithName("baseline", "two")}} {
		var b memory
		k, err := Open(t.Context(), h, &use, o.kind, o.id, 0, &b, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		if b.text != "" {
			t.Errorf("%s %s got the state of another", o.kind, o.id)
		}
		if err := k.Close(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnusableStateIsSetAside(t *testing.T) {
	for name, f := range storages() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := start(t, f, dir)
			wrong := &memory{text: "wrong from its first byte"}
			k, _ := open(t, h, time.Hour, wrong)
			if err := k.Close(t.Context(), wrong); err != nil {
				t.Fatal(err)
			}

			fresh := &memory{text: "nothing known"}
			k, logs := open(t, h, time.Hour, fresh)
			if fresh.text != "nothing known" {
				t.Errorf("half used: %q", fresh.text)
			}
			if found := logs.FilterLevelExact(zap.WarnLevel).All(); len(found) != 1 || !strings.Contains(found[0].Message, "set aside") ||
				!strings.Contains(found[0].ContextMap()["error"].(string), errWrong.Error()) {
				t.Errorf("logged %v", logs.All())
			}
			if !holds(t, dir, wrong.text) {
				t.Error("what was set aside is gone")
			}
			fresh.text = "learned anew"
			if err := k.Close(t.Context(), fresh); err != nil {
				t.Fatal(err)
			}
			var third memory
			k, logs = open(t, h, time.Hour, &third)
			if third.text != "learned anew" || logs.Len() > 0 {
				t.Errorf("restored %q, logged %v", third.text, logs.All())
			}
			if err := k.Close(t.Context(), &third); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// holds looks for text in all files below a directory.
func holds(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || strings.Contains(string(b), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDamagedFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	h := start(t, statestorage.NewFactory(), dir)
	a := &memory{text: "what was learned in a year"}
	k, _ := open(t, h, time.Hour, a)
	if err := k.Close(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !holds(t, path, a.text) {
			return err
		}
		damaged++
		return os.Truncate(path, 30)
	})
	if err != nil || damaged != 1 {
		t.Fatalf("%d files damaged, %v", damaged, err)
	}
	b := &memory{text: "nothing known"}
	k, _ = open(t, h, time.Hour, b)
	if b.text != "nothing known" {
		t.Errorf("restored %q", b.text)
	}
	if err := k.Close(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestMissingExtension(t *testing.T) {
	other := component.MustNewID("zpages")
	h := host{map[component.ID]component.Component{other: nil}}
	for _, c := range []struct {
		id   component.ID
		says string
	}{
		{use, `there is no extension "state_storage"`}, {other, `"zpages" is not a storage extension`},
	} {
		k, err := Open(t.Context(), h, &c.id, component.KindProcessor, owner, time.Hour, &memory{}, zap.NewNop())
		if err == nil || !strings.Contains(err.Error(), c.says) || k != nil {
			t.Errorf("%s: %v", c.id, err)
		}
	}
}

func TestStorageThatIsNotStarted(t *testing.T) {
	f := statestorage.NewFactory()
	cfg := f.CreateDefaultConfig().(*statestorage.Config)
	cfg.Directory = t.TempDir()
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := host{map[component.ID]component.Component{use: ext}}
	if _, err := Open(t.Context(), h, &use, component.KindProcessor, owner, time.Hour, &memory{}, zap.NewNop()); err == nil {
		t.Error("it opens")
	}
	if err := ext.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWithoutStorageNothingIsKept(t *testing.T) {
	k, err := Open(t.Context(), componenttest.NewNopHost(), nil, component.KindProcessor, owner, time.Hour, &memory{}, zap.NewNop())
	if err != nil || k != nil {
		t.Fatal(k, err)
	}
	k.SaveIfDue(t.Context(), &memory{})
	for _, k := range []*Keeper{nil, {}} {
		if err := k.Close(t.Context(), &memory{}); err != nil {
			t.Error(err)
		}
	}
}

func TestSavesWhenDue(t *testing.T) {
	dir := t.TempDir()
	h := start(t, statestorage.NewFactory(), dir)
	m := &memory{text: "first save"}
	k, _ := open(t, h, time.Minute, m)
	k.SaveIfDue(t.Context(), m)
	if holds(t, dir, m.text) {
		t.Error("saved before it was due")
	}
	k.saved = k.saved.Add(-time.Hour)
	k.SaveIfDue(t.Context(), m)
	if !holds(t, dir, "first save") {
		t.Error("not saved when it was due")
	}
	m.text = "second save"
	k.SaveIfDue(t.Context(), m)
	if holds(t, dir, m.text) {
		t.Error("saved again at once")
	}
	if err := k.Close(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func TestSaveThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	h := start(t, statestorage.NewFactory(), dir)
	m := &memory{text: "kept", bad: errors.New("can't be written as JSON")}
	k, logs := open(t, h, time.Nanosecond, m)
	k.SaveIfDue(t.Context(), m)
	if logs.FilterLevelExact(zap.ErrorLevel).Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
	m.bad = nil
	k.SaveIfDue(t.Context(), m) // the next one works again
	if !holds(t, dir, "kept") {
		t.Error("not saved")
	}
	m.bad = errors.New("can't be written as JSON")
	if err := k.Close(t.Context(), m); err == nil || !strings.Contains(err.Error(), "saving the learned state") {
		t.Errorf("error is %v", err)
	}
	if run.ExitCode() != run.ExitError {
		t.Errorf("exit code is %d", run.ExitCode())
	}
}
