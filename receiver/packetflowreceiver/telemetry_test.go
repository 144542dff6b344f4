package packetflowreceiver

import (
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/receiver/packetflowreceiver/internal/metadata"
	"github.com/monban/monban/receiver/packetflowreceiver/internal/metadatatest"
)

func TestMetrics(t *testing.T) {
	tel := componenttest.NewTelemetry()
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.ID = component.MustNewIDWithName("packetflow", "one")
	cfg := files("testdata/short.pcap")
	cfg.AtEnd = atEndStay
	s := newSink()
	r := createWith(t, cfg, s, set)
	if err := r.Start(t.Context(), newHost(t)); err != nil {
		t.Fatal(err)
	}
	<-r.done
	id := attribute.String("receiver", "packetflow/one")
	points := func(n int64) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(id)}}
	}
	same := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualPacketflowPackets(t, tel, points(12), same)
	metadatatest.AssertEqualPacketflowBytes(t, tel, points(int64(s.captures[0].Bytes)), same)
	metadatatest.AssertEqualPacketflowFlows(t, tel, points(3), same)
	metadatatest.AssertEqualPacketflowRecords(t, tel, points(4), same)
	metadatatest.AssertEqualPacketflowLiveFlows(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowEvicted(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowFlooded(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowSightings(t, tel, points(int64(len(s.sightings))), same)
	metadatatest.AssertEqualPacketflowSuppressed(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowTunnelsOpened(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowTunnelsClosed(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowTunnelsUnnamed(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowUnnoted(t, tel, points(0), same)
	metadatatest.AssertEqualPacketflowDropped(t, tel, []metricdata.DataPoint[int64]{
		{Attributes: attribute.NewSet(id, attribute.String("interface", "testdata/short.pcap:short.pcap"))}}, same)
	var refused []metricdata.DataPoint[int64]
	for _, why := range packet.Reasons() {
		p := metricdata.DataPoint[int64]{Attributes: attribute.NewSet(id, attribute.String("reason", why.String()))}
		if why == packet.Truncated {
			p.Value = 1
		}
		refused = append(refused, p)
	}
	metadatatest.AssertEqualPacketflowRefused(t, tel, refused, same)
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// The reasons are named in metadata.yaml a second time.
func TestReasonsAreDocumented(t *testing.T) {
	if len(packet.Reasons()) >= maxReasons {
		t.Error("more reasons than there is room for")
	}
	text, err := os.ReadFile("metadata.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, why := range packet.Reasons() {
		names = append(names, why.String())
	}
	if want := "enum: [" + strings.Join(names, ", ") + "]"; !strings.Contains(string(text), want) {
		t.Errorf("metadata.yaml does not have %s", want)
	}
}
