package statestorage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/extension/statestorage/internal/metadata"
	"github.com/monban/monban/extension/statestorage/internal/metadatatest"
)

var baseline = component.MustNewID("baseline")

// start starts an extension on the directory and stops it with the test.
func start(t *testing.T, dir string) (storage.Extension, *componenttest.Telemetry, *observer.ObservedLogs) {
	t.Helper()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	core, logs := observer.New(zap.DebugLevel)
	set := extension.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: tel.NewTelemetrySettings()}
	set.Logger = zap.New(core)
	ext, err := NewFactory().Create(t.Context(), set, &Config{Directory: dir})
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	return ext.(storage.Extension), tel, logs
}

func clientOf(t *testing.T, ext storage.Extension, kind component.Kind, id component.ID, name string) storage.Client {
	t.Helper()
	c, err := ext.GetClient(t.Context(), kind, id, name)
	require.NoError(t, err)
	return c
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		name, yaml, want string
	}{
		{"a directory", "directory: " + t.TempDir(), ""},
		{"a directory still to be made", "directory: " + filepath.Join(t.TempDir(), "new"), ""},
		{"none", "{}", "`directory` must be set"},
		{"a file", "directory: " + file, "is not a directory"},
		{"an option that is not there", "directory: x\nfsync: true", "fsync"},
	} {
		t.Run(c.name, func(t *testing.T) {
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(c.yaml))
			require.NoError(t, err)
			conf, err := retrieved.AsConf()
			require.NoError(t, err)
			cfg := NewFactory().CreateDefaultConfig()
			if err = conf.Unmarshal(cfg); err == nil {
				err = xconfmap.Validate(cfg)
			}
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestLifecycle(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	create := func() extension.Extension {
		ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), &Config{Directory: dir})
		require.NoError(t, err)
		return ext
	}
	idle := create()
	require.NoError(t, idle.Shutdown(t.Context()))
	assert.NoDirExists(t, dir, "nothing may be touched before Start")
	_, err := idle.(storage.Extension).GetClient(t.Context(), component.KindProcessor, baseline, "")
	require.Error(t, err)

	first, second := create(), create()
	require.NoError(t, first.Start(t.Context(), componenttest.NewNopHost()))
	require.ErrorContains(t, second.Start(t.Context(), componenttest.NewNopHost()), "is in use by this process already")
	require.NoError(t, second.Shutdown(t.Context()))
	require.NoError(t, first.Shutdown(t.Context()))
	require.NoError(t, first.Shutdown(t.Context()))
	require.NoError(t, second.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, second.Shutdown(t.Context()))
}

func TestEachClientHasItsOwnValues(t *testing.T) {
	dir := t.TempDir()
	ext, _, _ := start(t, dir)
	owners := []struct {
		kind component.Kind
		id   component.ID
		name string
	}{
		{component.KindProcessor, baseline, ""},
		{component.KindProcessor, baseline, "days"},
		{component.KindProcessor, component.MustNewIDWithName("baseline", "days"), ""},
		{component.KindProcessor, component.MustNewIDWithName("baseline", "days"), "days"},
		{component.KindProcessor, component.MustNewIDWithName("baseline", "/days"), ""},
		{component.KindConnector, baseline, ""},
		{component.KindExporter, component.MustNewIDWithName("baseline", "../../etc"), "../x"},
	}
	for _, o := range owners {
		require.NoError(t, clientOf(t, ext, o.kind, o.id, o.name).Set(t.Context(), "key", []byte(o.kind.String()+o.id.String()+o.name)))
	}
	for _, o := range owners {
		c := clientOf(t, ext, o.kind, o.id, o.name)
		got, err := c.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, o.kind.String()+o.id.String()+o.name, string(got))
		require.NoError(t, c.Close(t.Context()))
	}
	assert.FileExists(t, filepath.Join(dir, "processor_baseline", "key.state"))
	assert.FileExists(t, filepath.Join(dir, "processor_baseline", "+days", "key.state"))
	assert.FileExists(t, filepath.Join(dir, "processor_baseline%2Fdays", "key.state"))
}

func TestClient(t *testing.T) {
	dir := t.TempDir()
	ext, tel, logs := start(t, dir)
	c := clientOf(t, ext, component.KindProcessor, baseline, "")
	get := storage.GetOperation("a")
	require.NoError(t, c.Batch(t.Context(),
		storage.SetOperation("a", []byte("one")), get,
		storage.SetOperation("b", []byte("two")), storage.DeleteOperation("a"), storage.SetOperation("c", []byte("three"))))
	assert.Equal(t, "one", string(get.Value))
	require.Error(t, c.Batch(t.Context(), &storage.Operation{Type: 9}, storage.DeleteOperation("b")))

	walker := c.(storage.Walker)
	seen := map[string]string{}
	require.NoError(t, walker.Walk(t.Context(), func(key string, value []byte) ([]*storage.Operation, error) {
		seen[key] = string(value)
		return []*storage.Operation{storage.SetOperation(key, append(value, '!'))}, nil
	}))
	assert.Equal(t, map[string]string{"b": "two", "c": "three"}, seen)
	visits := 0
	require.NoError(t, walker.Walk(t.Context(), func(string, []byte) ([]*storage.Operation, error) {
		visits++
		return []*storage.Operation{storage.DeleteOperation("c")}, storage.SkipAll
	}))
	assert.Equal(t, 1, visits)
	broken := errors.New("broken")
	require.ErrorIs(t, walker.Walk(t.Context(), func(string, []byte) ([]*storage.Operation, error) {
		return []*storage.Operation{storage.DeleteOperation("b")}, broken
	}), broken)
	for key, want := range map[string]string{"a": "", "b": "two!", "c": ""} {
		got, err := c.Get(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, want, string(got), key)
	}

	// what can't be used is said, counted, and kept
	file := filepath.Join(dir, "processor_baseline", "b.state")
	require.NoError(t, os.Truncate(file, 5))
	got, err := c.Get(t.Context(), "b")
	require.NoError(t, err)
	assert.Nil(t, got)
	require.NoError(t, c.Set(t.Context(), "b", []byte("again")))
	aside, ok := c.(interface {
		SetAside(ctx context.Context, key, reason string) error
	})
	require.True(t, ok)
	require.NoError(t, aside.SetAside(t.Context(), "b", "it is from tomorrow"))
	require.Equal(t, 2, logs.Len())
	for i, want := range []string{"it ends within its header", "it is from tomorrow"} {
		fields := logs.All()[i].ContextMap()
		assert.Equal(t, "processor baseline", fields["owner"])
		assert.Equal(t, "b", fields["key"])
		assert.Contains(t, fields["reason"], want)
		assert.True(t, strings.HasPrefix(fields["kept"].(string), file+".damaged-"), fields["kept"])
		assert.FileExists(t, fields["kept"].(string))
	}
	require.NoError(t, os.RemoveAll(dir))
	require.Error(t, c.Set(t.Context(), "b", nil))

	metadatatest.AssertEqualStateStorageSetAside(t, tel, []metricdata.DataPoint[int64]{
		{Value: 1, Attributes: attribute.NewSet(attribute.String("reason", "damaged"))},
		{Value: 1, Attributes: attribute.NewSet(attribute.String("reason", "rejected"))},
	}, metricdatatest.IgnoreTimestamp())
	one := func(n int64) []metricdata.DataPoint[int64] { return []metricdata.DataPoint[int64]{{Value: n}} }
	metadatatest.AssertEqualStateStorageWrites(t, tel, one(6), metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualStateStorageWritten(t, tel, one(3+3+5+4+6+5), metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualStateStorageWriteErrors(t, tel, one(1), metricdatatest.IgnoreTimestamp())
}

func TestStateOutlivesTheExtension(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{"", "learned"} {
		ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), &Config{Directory: dir})
		require.NoError(t, err)
		require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
		c := clientOf(t, ext.(storage.Extension), component.KindProcessor, baseline, "")
		got, err := c.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
		require.NoError(t, c.Set(t.Context(), "key", []byte("learned")))
		require.NoError(t, ext.Shutdown(t.Context()))
	}
}
