package netflowreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/monban/monban/internal/netflow"
	"github.com/monban/monban/receiver/netflowreceiver/internal/metadata"
)

// publish lets the metrics see the totals, without their waiting for what is behind.
func (r *netflowReceiver) publish(now time.Time) {
	r.published = now
	t := totals{Stats: r.collector.Stats(), losses: r.collector.Losses(), faults: r.faults}
	for _, l := range r.listeners {
		t.kernel += uint64(l.drops)
	}
	r.complain(&t, now)
	r.totalsMu.Lock()
	defer r.totalsMu.Unlock()
	r.shared = t
}

func (r *netflowReceiver) totals() totals {
	r.totalsMu.Lock()
	defer r.totalsMu.Unlock()
	return r.shared
}

// observe makes the totals visible as metrics.
func (r *netflowReceiver) observe() error {
	tel, err := metadata.NewTelemetryBuilder(r.set.TelemetrySettings)
	if err != nil {
		return err
	}
	r.tel = tel
	id := attribute.String("receiver", r.set.ID.String())
	with := func(more ...attribute.KeyValue) metric.ObserveOption {
		return metric.WithAttributes(append(more, id)...)
	}
	for _, m := range []struct {
		register func(metric.Int64Callback) error
		of       func(*totals) uint64
	}{
		{tel.RegisterNetflowExportersCallback, func(t *totals) uint64 { return uint64(t.Exporters) }},
		{tel.RegisterNetflowFaultsCallback, func(t *totals) uint64 { return t.faults }},
		{tel.RegisterNetflowHurriedCallback, func(t *totals) uint64 { return t.Hurried }},
		{tel.RegisterNetflowKernelDroppedCallback, func(t *totals) uint64 { return t.kernel }},
		{tel.RegisterNetflowPairedCallback, func(t *totals) uint64 { return t.Paired }},
		{tel.RegisterNetflowRecordsCallback, func(t *totals) uint64 { return t.Records }},
		{tel.RegisterNetflowTemplateChangesCallback, func(t *totals) uint64 { return t.Changed }},
		{tel.RegisterNetflowTemplatesCallback, func(t *totals) uint64 { return uint64(t.Templates) }},
		{tel.RegisterNetflowTimesCorrectedCallback, func(t *totals) uint64 { return t.Corrected }},
		{tel.RegisterNetflowWaitingCallback, func(t *totals) uint64 { return uint64(t.Waiting) }},
	} {
		if err := m.register(func(_ context.Context, o metric.Int64Observer) error {
			t := r.totals()
			o.Observe(int64(m.of(&t)), with())
			return nil
		}); err != nil {
			return err
		}
	}
	byProtocol := func(of func(*totals, netflow.Protocol) uint64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			t := r.totals()
			for _, p := range netflow.Protocols() {
				o.Observe(int64(of(&t, p)), with(attribute.String("protocol", p.String())))
			}
			return nil
		}
	}
	if err := tel.RegisterNetflowDatagramsCallback(byProtocol(func(t *totals, p netflow.Protocol) uint64 { return t.Datagrams[p] })); err != nil {
		return err
	}
	if err := tel.RegisterNetflowExportedCallback(byProtocol(func(t *totals, p netflow.Protocol) uint64 { return t.Told[p] })); err != nil {
		return err
	}
	if err := tel.RegisterNetflowDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
		t := r.totals()
		for _, why := range netflow.Reasons() {
			o.Observe(int64(t.Dropped[why]), with(attribute.String("reason", why.String())))
		}
		return nil
	}); err != nil {
		return err
	}
	return tel.RegisterNetflowLostCallback(func(_ context.Context, o metric.Int64Observer) error {
		for _, l := range r.totals().losses {
			o.Observe(int64(l.Lost), with(attribute.String("exporter", l.Addr.String())))
		}
		return nil
	})
}
