package learnedreceiver

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/monban/monban/extension/statestorage"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/receiver/learnedreceiver/internal/metadata"
)

type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// open starts the real storage over dir.
func open(t *testing.T, dir string) (host, extension.Extension) {
	t.Helper()
	f := statestorage.NewFactory()
	cfg := f.CreateDefaultConfig().(*statestorage.Config)
	cfg.Directory = dir
	ext, err := f.Create(context.Background(), extensiontest.NewNopSettings(f.Type()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := ext.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ext.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return host{component.NewID(f.Type()): ext}, ext
}

// teach saves what two devices did.
func teach(t *testing.T, ext extension.Extension) {
	t.Helper()
	e := baseline.New(baseline.NewDefaultConfig())
	at := int64(1_770_000_000e9)
	for i := range 400 {
		at += 3e9
		r := flow.Record{
			Start: at - 1e9, End: at, Net: packet.NetIPv4, Proto: packet.ProtoTCP, State: "SF", Reason: flow.Ended, Service: "modbus",
			Src: flow.End{Addr: netip.MustParseAddr("10.0.0.1"), Port: uint16(40000 + i), Packets: 5, Bytes: 400, Device: "02:00:00:00:00:01", DeviceName: "hmi"},
			Dst: flow.End{Addr: netip.MustParseAddr("10.0.0.2"), Port: 502, Packets: 5, Bytes: 600, Device: "02:00:00:00:00:02", DeviceName: "plc"},
		}
		if i == 7 {
			r.Dst.Port, r.Service = 80, "http"
		}
		e.Flow(&r)
	}
	data, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ext.(storage.Extension).GetClient(context.Background(), component.KindProcessor, component.MustNewID("baseline"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set(context.Background(), stateKey, data); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, h host, change func(*Config)) (string, error) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Storage, cfg.Where = component.MustNewID("state_storage"), "kept"
	change(cfg)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r, err := NewFactory().CreateLogs(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r.(*learned).out = &out
	err = r.Start(context.Background(), h)
	if err := r.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	return out.String(), err
}

func TestListApproveRemove(t *testing.T) {
	t.Setenv("COLUMNS", "120")
	h, ext := open(t, t.TempDir())
	teach(t, ext)
	for i, step := range []struct {
		change func(*Config)
		want   []string
		not    []string
	}{
		{func(*Config) {}, []string{"2 devices", "02:00:00:00:00:01", "tcp/502", "learned:kept?device=NAME"}, []string{"Decisions", "svc.out"}},
		{func(c *Config) { c.Device = "02:00:00:00:00:01" }, []string{"svc.out tcp/502", "svc.out tcp/80", "uses the service"}, []string{"approved", "removed"}},
		{func(c *Config) {
			c.Device, c.Remove, c.Author, c.Reason = "02:00:00:00:00:01", "svc.out tcp/80", "anna", "a mistake"
		}, []string{"removed: it is told when it happens again", "remove 02:00:00:00:00:01: svc.out tcp/80, by anna: a mistake"}, nil},
		{func(c *Config) { c.Device, c.Approve = "02:00:00:00:00:01", "all" }, []string{"approved", "approve 02:00:00:00:00:01: all", "by anna", "removed: it is told when it happens again"}, nil},
		{func(c *Config) { c.Device = "02:00:00:00:00:02" }, []string{"svc.in tcp/502"}, []string{"Decisions"}},
		{func(c *Config) { c.Device, c.Remove = "02:00:00:00:00:01", "all" }, []string{"1 device", "02:00:00:00:00:02", "remove 02:00:00:00:00:01: all"}, nil},
	} {
		got, err := ask(t, h, step.change)
		if err != nil {
			t.Fatal(i, err)
		}
		for _, want := range step.want {
			if !strings.Contains(got, want) {
				t.Errorf("step %d: no %q in\n%s", i, want, got)
			}
		}
		for _, not := range step.not {
			if strings.Contains(got, not) {
				t.Errorf("step %d: %q in\n%s", i, not, got)
			}
		}
	}
}

func TestWrongWordsChangeNothing(t *testing.T) {
	dir := t.TempDir()
	h, ext := open(t, dir)
	teach(t, ext)
	before := files(t, dir)
	for want, change := range map[string]func(*Config){
		`nothing was learned of a device "02:00:00:00:00:03"; did you mean 02:00:00:00:00:0`: func(c *Config) { c.Device = "02:00:00:00:00:03" },
		`approve=svc.out tcp/503: "svc.out tcp/503" of device 02:00:00:00:00:01: nothing of that name was learned; did you mean svc.out tcp/502?`: func(c *Config) {
			c.Device, c.Approve = "02:00:00:00:00:01", "svc.out tcp/503"
		},
		`"nowhere" is not a storage extension`: func(c *Config) { c.Storage = component.MustNewID("nowhere") },
		"nothing was learned there":            func(c *Config) { c.Baseline = component.MustNewID("other") },
	} {
		_, err := ask(t, h, change)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if after := files(t, dir); after != before {
		t.Errorf("was\n%s is\n%s", before, after)
	}
}

// files is what is below dir, with sizes; empty directories don't count.
func files(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	if err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDamagedDecisionsAreNoObstacle(t *testing.T) {
	h, ext := open(t, t.TempDir())
	teach(t, ext)
	for owner, key := range map[component.ID]string{component.MustNewID("learned"): decisionsKey} {
		c, err := ext.(storage.Extension).GetClient(context.Background(), component.KindReceiver, owner, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Set(context.Background(), key, []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ask(t, h, func(*Config) {}); err != nil || !strings.Contains(got, "2 devices") {
		t.Errorf("%v %s", err, got)
	}
}

func TestValidate(t *testing.T) {
	err := (&Config{Approve: "a", Remove: "b"}).Validate()
	for _, want := range []string{"storage must be set", "can't be set together", "device must be set"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := (&Config{Storage: component.MustNewID("x"), Author: "a"}).Validate(); err == nil {
		t.Error("an author of nothing")
	}
}
