package packetflowreceiver

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/receiver/packetflowreceiver/internal/metadata"
)

// observe makes the totals visible as metrics.
func (r *flowReceiver) observe() error {
	tel, err := metadata.NewTelemetryBuilder(r.set.TelemetrySettings)
	if err != nil {
		return err
	}
	r.tel = tel
	id := attribute.String("receiver", r.set.ID.String())
	mine := metric.WithAttributeSet(attribute.NewSet(id))
	for _, m := range []struct {
		register func(metric.Int64Callback) error
		of       func(*totals) uint64
	}{
		{tel.RegisterPacketflowBytesCallback, func(t *totals) uint64 { return t.bytes }},
		{tel.RegisterPacketflowEvictedCallback, func(t *totals) uint64 { return t.flow.Evicted }},
		{tel.RegisterPacketflowFlowsCallback, func(t *totals) uint64 { return t.flow.Flows }},
		{tel.RegisterPacketflowLiveFlowsCallback, func(t *totals) uint64 { return uint64(t.flow.Live) }},
		{tel.RegisterPacketflowPacketsCallback, func(t *totals) uint64 { return t.packets }},
		{tel.RegisterPacketflowRecordsCallback, func(t *totals) uint64 { return t.flow.Records }},
		{tel.RegisterPacketflowSightingsCallback, func(t *totals) uint64 { return t.app.Sightings }},
		{tel.RegisterPacketflowSuppressedCallback, func(t *totals) uint64 { return t.app.Suppressed }},
		{tel.RegisterPacketflowTunnelsOpenedCallback, func(t *totals) uint64 { return t.tunnels.Opened }},
		{tel.RegisterPacketflowTunnelsClosedCallback, func(t *totals) uint64 { return t.tunnels.Closed }},
		{tel.RegisterPacketflowTunnelsUnnamedCallback, func(t *totals) uint64 { return t.flow.Unnamed }},
	} {
		if err := m.register(func(_ context.Context, o metric.Int64Observer) error {
			t := r.meter.totals()
			o.Observe(int64(m.of(&t)), mine)
			return nil
		}); err != nil {
			return err
		}
	}
	if err := tel.RegisterPacketflowRefusedCallback(func(_ context.Context, o metric.Int64Observer) error {
		t := r.meter.totals()
		for _, why := range packet.Reasons() {
			o.Observe(int64(t.refused[why]), metric.WithAttributes(id, attribute.String("reason", why.String())))
		}
		return nil
	}); err != nil {
		return err
	}
	return tel.RegisterPacketflowDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
		for _, i := range r.meter.totals().interfaces {
			o.Observe(int64(i.Drops), metric.WithAttributes(id, attribute.String("interface", i.Name)))
		}
		return nil
	})
}
