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
		{tel.RegisterPacketflowFloodedCallback, func(t *totals) uint64 { return t.flow.Flooded }},
		{tel.RegisterPacketflowFlowsCallback, func(t *totals) uint64 { return t.flow.Flows }},
		{tel.RegisterPacketflowLiveFlowsCallback, func(t *totals) uint64 { return uint64(t.flow.Live) }},
		{tel.RegisterPacketflowPacketsCallback, func(t *totals) uint64 { return t.packets }},
		{tel.RegisterPacketflowRecordsCallback, func(t *totals) uint64 { return t.flow.Records }},
		{tel.RegisterPacketflowSightingsCallback, func(t *totals) uint64 { return t.app.Sightings }},
		{tel.RegisterPacketflowSuppressedCallback, func(t *totals) uint64 { return t.app.Suppressed }},
		{tel.RegisterPacketflowTunnelsOpenedCallback, func(t *totals) uint64 { return t.tunnels.Opened }},
		{tel.RegisterPacketflowTunnelsClosedCallback, func(t *totals) uint64 { return t.tunnels.Closed }},
		{tel.RegisterPacketflowTunnelsUnnamedCallback, func(t *totals) uint64 { return t.flow.Unnamed }},
		{tel.RegisterPacketflowUnnotedCallback, func(t *totals) uint64 { return t.flow.Unnoted }},
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
	for _, m := range []struct {
		register func(metric.Int64Callback) error
		of       func(*packet.InterfaceStats) uint64
	}{
		{tel.RegisterPacketflowDroppedCallback, func(i *packet.InterfaceStats) uint64 { return i.Drops }},
		{tel.RegisterPacketflowFreezesCallback, func(i *packet.InterfaceStats) uint64 { return i.Freezes }},
		{tel.RegisterPacketflowInterfacePacketsCallback, func(i *packet.InterfaceStats) uint64 { return i.Packets }},
		{tel.RegisterPacketflowMissedCallback, func(i *packet.InterfaceStats) uint64 { return i.Missed }},
		{tel.RegisterPacketflowOutagesCallback, func(i *packet.InterfaceStats) uint64 { return i.Outages }},
		{tel.RegisterPacketflowUnwantedCallback, func(i *packet.InterfaceStats) uint64 { return i.Unwanted }},
	} {
		if err := m.register(func(_ context.Context, o metric.Int64Observer) error {
			all := r.meter.totals().interfaces
			for n := range all {
				o.Observe(int64(m.of(&all[n])), metric.WithAttributes(id, attribute.String("interface", all[n].Name)))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
