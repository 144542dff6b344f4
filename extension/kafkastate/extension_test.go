package kafkastate

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/extension/kafkastate/internal/metadata"
	"github.com/monban/monban/internal/shard"
)

type holder map[string]string

func (h holder) Checkpoint(name string) ([]byte, error) {
	if h[name] == "broken" {
		return nil, errors.New("can't")
	}
	if h[name] == "" {
		return nil, nil
	}
	return []byte(h[name]), nil
}

func (h holder) Resume(name string, b []byte) error {
	if string(b) == "damaged" {
		return errors.New("it is damaged")
	}
	h[name] = string(b)
	return nil
}

func (h holder) Forget(name string) { delete(h, name) }

func made(t *testing.T, change func(*Config)) (*Extension, *observer.ObservedLogs) {
	t.Helper()
	f := NewFactory()
	cfg := f.CreateDefaultConfig().(*Config)
	if change != nil {
		change(cfg)
	}
	core, logs := observer.New(zap.InfoLevel)
	set := extensiontest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	var ext extension.Extension
	ext, err := f.Create(t.Context(), set, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := ext.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return ext.(*Extension), logs
}

func hold(t *testing.T, e *Extension, name string, h shard.Holder) {
	t.Helper()
	if err := e.Hold(name, h); err != nil {
		t.Fatal(err)
	}
}

func TestStates(t *testing.T) {
	e, logs := made(t, nil)
	a, b := holder{"site": "of a"}, holder{}
	hold(t, e, "a", a)
	hold(t, e, "b", b)
	if err := e.Hold("a", b); err == nil || !strings.Contains(err.Error(), "id of its own") {
		t.Errorf("two of one name: %v", err)
	}
	e.Write("x", "y")
	set, err := e.Attach()
	if err != nil || set.Topic != "monban.state" || set.Interval != 5*time.Second || !slices.Equal(set.Outputs, []string{"x", "y"}) {
		t.Error(set, err)
	}
	if _, err := e.Attach(); err == nil || !strings.Contains(err.Error(), "two receivers") {
		t.Errorf("a second reader: %v", err)
	}
	got, err := e.Checkpoint("site")
	if err != nil || !maps.EqualFunc(got, map[string][]byte{"a": []byte("of a")}, slices.Equal) {
		t.Error(got, err)
	}
	orphans, err := e.Resume("other", map[string][]byte{"a": []byte("A"), "b": []byte("B"), "gone": []byte("C")})
	if err != nil || !slices.Equal(orphans, []string{"gone"}) || a["other"] != "A" || b["other"] != "B" {
		t.Error(orphans, err, a, b)
	}
	e.Forget("other")
	if a["other"]+b["other"] != "" {
		t.Error("it is not forgotten")
	}
	a["site"] = "broken"
	if _, err := e.Checkpoint("site"); err == nil || !strings.HasPrefix(err.Error(), "a: ") {
		t.Errorf("a state that can't be had: %v", err)
	}
	if _, err := e.Resume("site", map[string][]byte{"b": []byte("damaged")}); err == nil || !strings.Contains(err.Error(), "unreadable: forget") {
		t.Errorf("a damaged state: %v", err)
	}
	if logs.Len() > 0 {
		t.Error(logs.All())
	}
}

func TestForgetsWhatIsUnreadable(t *testing.T) {
	e, logs := made(t, func(c *Config) { c.Unreadable = forget })
	a, b := holder{}, holder{}
	hold(t, e, "a", a)
	hold(t, e, "b", b)
	if _, err := e.Resume("site", map[string][]byte{"a": []byte("damaged"), "b": []byte("B")}); err != nil || b["site"] != "B" || a["site"] != "" {
		t.Error(err, a, b)
	}
	if logs.FilterMessageSnippet("begins anew").Len() != 1 {
		t.Error("nothing was said")
	}
}

func TestNoPlainStorage(t *testing.T) {
	e, _ := made(t, nil)
	if _, err := e.GetClient(t.Context(), component.KindExporter, component.MustNewID("otlp"), ""); err == nil || !strings.Contains(err.Error(), "state_storage") {
		t.Errorf("a queue has got a storage: %v", err)
	}
	var _ shard.Registry = e
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"topic":                   func(c *Config) { c.Topic = "a b" },
		"between 100ms and 2m":    func(c *Config) { c.Interval = time.Hour },
		"must be stop or forget,": func(c *Config) { c.Unreadable = "ignore" },
	} {
		cfg := NewFactory().CreateDefaultConfig().(*Config)
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
