package learnedreceiver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/near"
	"github.com/monban/monban/internal/oui"
	"github.com/monban/monban/internal/run"
	"github.com/monban/monban/internal/summary"
)

type learned struct {
	cfg    *Config
	id     component.ID
	logger *zap.Logger
	out    io.Writer
	source *run.Source
}

const (
	stateKey      = "state"     // of the processors
	decisionsKey  = "decisions" // of this receiver
	mostDecisions = 1000
	all           = "all"
)

// Start does everything. Whatever goes wrong stops the start, before anything
// was changed.
func (l *learned) Start(ctx context.Context, host component.Host) error {
	if err := l.work(ctx, host); err != nil {
		return err
	}
	l.source.Done(host)
	return nil
}

func (l *learned) Shutdown(context.Context) error {
	l.source.Cancel()
	return nil
}

func (l *learned) work(ctx context.Context, host component.Host) error {
	ext, ok := host.GetExtensions()[l.cfg.Storage].(storage.Extension)
	if !ok {
		return fmt.Errorf("storage: %q is not a storage extension that is listed under service::extensions", l.cfg.Storage)
	}
	saved, err := ext.GetClient(ctx, component.KindProcessor, l.cfg.Baseline, "")
	if err != nil {
		return err
	}
	engine, err := restore(ctx, saved)
	if err != nil {
		return errors.Join(err, saved.Close(ctx))
	}
	inventory := l.inventory(ctx, ext)
	own, err := ext.GetClient(ctx, component.KindReceiver, component.NewID(l.id.Type()), "")
	if err != nil {
		return errors.Join(err, saved.Close(ctx))
	}
	decisions := l.decisions(ctx, own)
	list, err := l.selected(engine, inventory)
	if err == nil && (l.cfg.Approve != "" || l.cfg.Remove != "") {
		if decisions, err = l.decide(ctx, saved, own, engine, &list[0], decisions); err == nil {
			list, err = l.after(engine, inventory)
		}
	}
	if err = errors.Join(err, saved.Close(ctx), own.Close(ctx)); err != nil {
		return err
	}
	if l.cfg.Device != "" {
		decisions = slices.DeleteFunc(decisions, func(d summary.Decision) bool { return d.Device != list[0].Device.ID })
	}
	_, err = io.WriteString(l.out, summary.LearnedText(cmp.Or(l.cfg.Where, l.cfg.Storage.String()), list, decisions, summary.Terminal(l.out, summary.ColorAuto, 0, time.Now())))
	return err
}

func restore(ctx context.Context, saved storage.Client) (*baseline.Engine, error) {
	data, err := saved.Get(ctx, stateKey)
	if err != nil {
		return nil, fmt.Errorf("reading what was learned: %w", err)
	}
	if len(data) == 0 {
		return nil, errors.New("nothing was learned there: run with state=DIR (or a baseline processor with this storage) first")
	}
	const most = 1_000_000
	engine := baseline.New(baseline.Config{MaxDevices: most})
	return engine, engine.Restore(data)
}

// inventory names the devices. Without it they are known by their ids, which is
// worth a warning only.
func (l *learned) inventory(ctx context.Context, ext storage.Extension) map[string]device.Record {
	named := map[string]device.Record{}
	records, err := readInventory(ctx, ext, l.cfg.Inventory)
	if err != nil {
		l.logger.Warn("The inventory can't be read; devices have no names", zap.Error(err))
	}
	for _, r := range records {
		named[r.ID] = r
	}
	return named
}

func readInventory(ctx context.Context, ext storage.Extension, id component.ID) ([]device.Record, error) {
	client, err := ext.GetClient(ctx, component.KindProcessor, id, "")
	if err != nil {
		return nil, err
	}
	data, err := client.Get(ctx, stateKey)
	if err = errors.Join(err, client.Close(ctx)); err != nil || len(data) == 0 {
		return nil, err
	}
	var head struct{ Site string }
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	const most = 1_000_000
	v := device.NewInventory(device.Config{Site: head.Site, MaxDevices: most, Vendor: oui.Vendor})
	if err := v.Restore(data); err != nil {
		return nil, err
	}
	return v.Devices(), nil
}

// selected is the list to show: all devices, or the one that is asked for with
// all that was learned of it.
func (l *learned) selected(engine *baseline.Engine, inventory map[string]device.Record) ([]summary.Learned, error) {
	var list []summary.Learned
	for _, st := range engine.Statuses() {
		r, known := inventory[st.Device]
		if !known {
			r = device.Record{ID: st.Device}
		}
		list = append(list, summary.Learned{Device: r, Status: st})
	}
	slices.SortStableFunc(list, func(a, b summary.Learned) int {
		return strings.Compare(a.Device.Name+"\xff"+a.Device.ID, b.Device.Name+"\xff"+b.Device.ID)
	})
	if l.cfg.Device == "" {
		return list, nil
	}
	var found []summary.Learned
	var names []string
	for _, d := range list {
		mine := append([]string{d.Device.ID, d.Device.Name}, d.Device.Addresses...)
		names = append(names, mine...)
		if slices.ContainsFunc(mine, func(s string) bool { return strings.EqualFold(s, l.cfg.Device) }) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("nothing was learned of a device %q%s", l.cfg.Device, near.DidYouMean(l.cfg.Device, slices.DeleteFunc(names, func(s string) bool { return s == "" })))
	case 1:
		found[0].Items = append([]baseline.Item{}, engine.Items(found[0].Device.ID)...)
		return found, nil
	}
	var ids []string
	for _, d := range found {
		ids = append(ids, d.Device.ID)
	}
	return nil, fmt.Errorf("%q is the name of several devices: give the id of one of %s", l.cfg.Device, strings.Join(ids, ", "))
}

// after is the list to show when a decision was taken. A device that was made to
// forget everything is in no list, so all others are shown.
func (l *learned) after(engine *baseline.Engine, inventory map[string]device.Record) ([]summary.Learned, error) {
	if l.cfg.Remove == all {
		l.cfg.Device = ""
	}
	return l.selected(engine, inventory)
}

// decide changes the state, saves it, and keeps the decision.
func (l *learned) decide(ctx context.Context, saved, own storage.Client, engine *baseline.Engine, d *summary.Learned, decisions []summary.Decision) ([]summary.Decision, error) {
	what, key, do := "approve", l.cfg.Approve, engine.Approve
	if l.cfg.Remove != "" {
		what, key, do = "remove", l.cfg.Remove, engine.Remove
	}
	if err := do(d.Device.ID, key); err != nil {
		var keys []string
		for _, it := range d.Items {
			keys = append(keys, it.Key)
		}
		return nil, fmt.Errorf("%s=%s: %w%s", what, key, err, near.DidYouMean(key, append(keys, all)))
	}
	data, err := engine.Snapshot()
	if err != nil {
		return nil, err
	}
	decisions = append(decisions, summary.Decision{
		Time: time.Now().UnixNano(), Device: d.Device.ID, What: what, Key: key, Author: l.cfg.Author, Reason: l.cfg.Reason,
	})
	decisions = decisions[max(0, len(decisions)-mostDecisions):]
	book, err := json.Marshal(decisions)
	if err != nil {
		return nil, err
	}
	if err := saved.Set(ctx, stateKey, data); err != nil {
		return nil, fmt.Errorf("saving the decision: %w", err)
	}
	if err := own.Set(ctx, decisionsKey, book); err != nil {
		return nil, fmt.Errorf("the decision is made, but who made it could not be kept: %w", err)
	}
	return decisions, nil
}

// decisions reads those made before. A list that can't be read must not keep
// anyone from looking at the rest.
func (l *learned) decisions(ctx context.Context, own storage.Client) (decisions []summary.Decision) {
	data, err := own.Get(ctx, decisionsKey)
	if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &decisions)
	}
	if err != nil {
		l.logger.Warn("Earlier decisions can't be read", zap.Error(err))
	}
	return decisions
}
