package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/threshold"
)

type storing map[component.ID]component.Component

func (s storing) GetExtensions() map[component.ID]component.Component { return s }

// TestDryRunSavesNothing: what a dry run saw is not what a real one goes on from, neither an alarm that is up nor its end.
func TestDryRunSavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := statestorage.NewFactory()
	cfg := f.CreateDefaultConfig().(*statestorage.Config)
	cfg.Directory = dir
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, ext.Shutdown(context.Background())) }()
	host := storing{component.MustNewID("state_storage"): ext}
	saved := func() (all []string) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".state" {
				all = append(all, path)
			}
			return err
		}))
		return all
	}
	const rules = `storage: state_storage, rules: [{name: hot, metric: m, per: [host.name], above: 80, missing_for: 3s}]`
	phases := func(m *made) (all []baseline.Phase) {
		for _, o := range m.told() {
			all = append(all, o.Phase)
		}
		return all
	}

	dry := startOn(t, host, Metrics, threshold.Event, "{dry_run: true, "+rules+"}")
	dry.through(t, gauge("m", 0, 93))
	require.NoError(t, dry.Shutdown(t.Context()))
	assert.Empty(t, saved())
	assert.Empty(t, phases(dry))

	first := startOn(t, host, Metrics, threshold.Event, "{"+rules+"}")
	first.through(t, gauge("m", 1, 93))
	require.NoError(t, first.Shutdown(t.Context()))
	assert.Equal(t, []baseline.Phase{baseline.Rise}, phases(first))
	assert.Len(t, saved(), 1)

	// In the middle of the real thing a dry run takes nothing from it, either.
	dry = startOn(t, host, Metrics, threshold.Event, "{dry_run: true, "+rules+"}")
	assert.Zero(t, dry.engine.Entities(0))
	dry.through(t, gauge("m", 2, 10))
	require.NoError(t, dry.Shutdown(t.Context()))

	second := startOn(t, host, Metrics, threshold.Event, "{"+rules+"}")
	second.through(t, gauge("m", 3, 10))
	require.NoError(t, second.Shutdown(t.Context()))
	assert.Equal(t, []baseline.Phase{baseline.Fall}, phases(second))
}

// A dry run has no clock but the data's: who waits for its end sees nobody go missing, and a recording of silence tells as much as silence.
func TestClockOfADryRun(t *testing.T) {
	rules := `rules: [{name: r, metric: m, per: [host.name], above: 1, missing_for: 1m}]`
	missing := func(m *made) (n uint64) {
		m.Report(func(_ string, tally threshold.Tally, _ int) { n = tally.Missing })
		return n
	}
	m := start(t, Metrics, threshold.Event, "{dry_run: true, "+rules+"}")
	for i := range int64(4) {
		m.through(t, gauge("m", 60*i, 0.1)) // just in time
	}
	m.idle(time.Now().Add(30 * time.Minute))
	assert.Zero(t, missing(m), "time goes on by itself")
	m.through(t, gauge("m", 181+60, 0.1))
	assert.Equal(t, uint64(1), missing(m), "a pause between two batches")
	m.through(t, gauge("m", 242, 0.1))
	m.through(t, gauge("m", 3*86400, 0.1))
	assert.Equal(t, uint64(1), missing(m), "a leap of more than an hour is a pause of the recording")

	real := start(t, Metrics, threshold.Event, "{"+rules+"}")
	real.through(t, gauge("m", 0, 0.1))
	real.idle(time.Now().Add(2 * time.Minute))
	assert.Equal(t, uint64(1), missing(real))

	logs := start(t, Logs, threshold.Event, `{dry_run: true, rules: [{name: r, attribute: bytes, above: 100, missing_for: 1m}]}`)
	logs.throughLogs(t, records(0, 1))
	logs.idle(time.Now().Add(30 * time.Minute))
	assert.Zero(t, missing(logs))
	logs.throughLogs(t, records(100, 1))
	assert.Equal(t, uint64(1), missing(logs))
	logs.throughLogs(t, plog.NewLogs())
}
