package netflowreceiver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/internal/netflow"
	"github.com/monban/monban/receiver/netflowreceiver/internal/metadata"
	"github.com/monban/monban/receiver/netflowreceiver/internal/metadatatest"
)

// TestSeveralEndpoints sends over IPv4 and IPv6 to two endpoints.
func TestSeveralEndpoints(t *testing.T) {
	cfg := config()
	cfg.Endpoints = []string{"127.0.0.1:0", "[::1]:0"}
	cfg.Exporters = []ExporterConfig{{Address: "127.0.0.0/8", Name: "four"}}
	s := &sink{}
	r := start(t, cfg, s, nil)
	secs := uint32(time.Now().Unix())
	for i := range 2 {
		if _, err := dial(t, r.address(i)).Write(v5Datagram(secs, 2)); err != nil {
			t.Fatal(err)
		}
	}
	r.settle(t)
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.records) != 2 {
		t.Fatalf("%d records", len(s.records))
	}
	by := map[any]map[string]any{}
	for i, res := range s.resources {
		by[res["observer.ip"]] = res
		if r := s.records[i]; r.Service != "https" || r.Src.Packets != 10 || r.Dst.Packets != 10 || r.State != "SF" {
			t.Errorf("%+v", r)
		}
	}
	if by["127.0.0.1"]["observer.name"] != "four" || by["::1"] == nil || by["::1"]["observer.name"] != nil || by["::1"]["host.name"] != "test" {
		t.Errorf("resources %v", by)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Errorf("the second shutdown: %v", err)
	}
}

func TestMetricsAndComplaints(t *testing.T) {
	tel := componenttest.NewTelemetry()
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	core, logs := observer.New(zap.WarnLevel)
	set.Logger = zap.New(core)
	set.ID = component.MustNewIDWithName("netflow", "one")
	r, err := newReceiver(config(), set, consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	c := dial(t, r.address(0))
	d := v5Datagram(uint32(time.Now().Unix()), 4)
	for _, b := range [][]byte{d, d, []byte("not one of the four, by far"), d[:30]} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	r.settle(t)
	r.mu.Lock()
	r.publish(time.Now())
	r.mu.Unlock()
	id := attribute.String("receiver", "netflow/one")
	same := metricdatatest.IgnoreTimestamp()
	points := func(n int64, more ...attribute.KeyValue) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(append(more, id)...)}}
	}
	metadatatest.AssertEqualNetflowRecords(t, tel, points(2), same)
	metadatatest.AssertEqualNetflowPaired(t, tel, points(2), same)
	metadatatest.AssertEqualNetflowExporters(t, tel, points(1), same)
	metadatatest.AssertEqualNetflowTemplates(t, tel, points(0), same)
	metadatatest.AssertEqualNetflowWaiting(t, tel, points(0), same)
	metadatatest.AssertEqualNetflowFaults(t, tel, points(0), same)
	metadatatest.AssertEqualNetflowHurried(t, tel, points(0), same)
	metadatatest.AssertEqualNetflowKernelDropped(t, tel, points(0), same)
	metadatatest.AssertEqualNetflowTemplateChanges(t, tel, points(0), same)
	metadatatest.AssertEqualNetflowTimesCorrected(t, tel, points(0), same)
	metadatatest.AssertEqualNetflowLost(t, tel, points(0, attribute.String("exporter", "127.0.0.1")), same)
	byProtocol := func(n map[netflow.Protocol]int64) (all []metricdata.DataPoint[int64]) {
		for _, p := range netflow.Protocols() {
			all = append(all, points(n[p], attribute.String("protocol", p.String()))...)
		}
		return all
	}
	metadatatest.AssertEqualNetflowDatagrams(t, tel, byProtocol(map[netflow.Protocol]int64{netflow.V5: 2}), same)
	metadatatest.AssertEqualNetflowExported(t, tel, byProtocol(map[netflow.Protocol]int64{netflow.V5: 4}), same)
	var dropped []metricdata.DataPoint[int64]
	for _, why := range netflow.Reasons() {
		n := map[netflow.Reason]int64{netflow.Duplicate: 1, netflow.UnknownProtocol: 1, netflow.Malformed: 1}[why]
		dropped = append(dropped, points(n, attribute.String("reason", why.String()))...)
	}
	metadatatest.AssertEqualNetflowDropped(t, tel, dropped, same)
	for range 100 {
		r.mu.Lock()
		r.collector.Add(r.collector.Losses()[0].Addr, []byte("still not one of the four"), time.Now().UnixNano())
		r.publish(time.Now())
		r.mu.Unlock()
	}
	if n := logs.FilterMessage("Not all that exporters send is in the records").Len(); n != 1 {
		t.Errorf("complained %d times, want once a minute", n)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	first := start(t, config(), &sink{}, nil)
	cfg := config()
	cfg.Endpoints = []string{"127.0.0.1:0", first.address(0)}
	r, err := newReceiver(cfg, receivertest.NewNopSettings(metadata.Type), consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "listening on "+first.address(0)) {
		t.Errorf("error %v", err)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	id := component.MustNewID("state_storage")
	cfg = config()
	cfg.Storage = &id
	r, err = newReceiver(cfg, receivertest.NewNopSettings(metadata.Type), consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "there is no extension") {
		t.Errorf("error %v", err)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRefusedRecords: what is behind refuses all, and the receiver goes on.
func TestRefusedRecords(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	refuse, err := consumer.NewLogs(func(context.Context, plog.Logs) error { return errors.New("full") })
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReceiver(config(), set, refuse)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	c := dial(t, r.address(0))
	d := v5Datagram(uint32(time.Now().Unix()), 24)
	for i := range uint32(200) {
		binary.BigEndian.PutUint32(d[16:], i*24)
		if _, err := c.Write(bytes.Clone(d)); err != nil {
			t.Fatal(err)
		}
	}
	r.settle(t)
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if s := r.collector.Stats(); s.Records != 2400 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	if n := logs.FilterMessage("Records were refused and are lost").Len(); n != 1 {
		t.Errorf("complained %d times", n)
	}
}

// v5Datagram has both directions of n/2 flows.
func v5Datagram(secs uint32, n uint16) []byte {
	be := binary.BigEndian
	d := be.AppendUint16(be.AppendUint16(nil, 5), n)
	for _, v := range []uint32{100_000, secs, 0, 0, 0} {
		d = be.AppendUint32(d, v)
	}
	for i := range n {
		a, b, sp, dp := []byte{10, 0, 0, 5}, []byte{10, 0, 0, 1}, 40000+i/2, uint16(443)
		if i%2 == 1 {
			a, b, sp, dp = b, a, dp, sp
		}
		d = append(append(append(d, a...), b...), 0, 0, 0, 0, 0, 1, 0, 2)
		for _, v := range []uint32{10, 1000, 90_000, 95_000} {
			d = be.AppendUint32(d, v)
		}
		d = append(be.AppendUint16(be.AppendUint16(d, sp), dp), 0, 0x1b, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return d
}
