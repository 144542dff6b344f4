package netflow

import (
	"errors"
	"io"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

func sflowDatagram(seq uint32, samples ...[]byte) []byte {
	return join(u32(5, 1), ip("192.0.2.9"), u32(0, seq, 1000, uint32(len(samples))), join(samples...))
}

func pad(b []byte) []byte { return append(b[:len(b):len(b)], make([]byte, (4-len(b)%4)%4)...) }

// sflowSample is a flow sample with the first bytes of a packet.
func sflowSample(rate, in, out, protocol, length uint32, header []byte) []byte {
	raw := join(u32(protocol, length, 4, uint32(len(header))), pad(header))
	body := join(u32(1, 7, rate, 1000, 0, in, out, 1), u32(rawHeader, uint32(len(raw))), raw)
	return join(u32(flowSample, uint32(len(body))), body)
}

// ethernetUDP is the beginning of a frame from 10.0.0.5:sport to 10.0.0.1:dport, or back.
func ethernetUDP(back bool, sport, dport, length uint16) []byte {
	a, b := ip("10.0.0.5"), ip("10.0.0.1")
	macs := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 5}
	if back {
		a, b, sport, dport = b, a, dport, sport
		macs = []byte{2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 1}
	}
	return join(macs, u16(0x8100, 7, 0x0800), []byte{0x45, 0xb8}, u16(length, 1, 0), []byte{64, 17}, u16(0), a, b, u16(sport, dport, length-20, 0))
}

func TestSFlow(t *testing.T) {
	c := newCollected(nil)
	for n := range uint32(10) {
		c.add(sflowDatagram(n, sflowSample(100, 3, 4, 1, 222, ethernetUDP(false, 40000, 53, 200))))
		c.now += 5e9
	}
	c.add(sflowDatagram(10, sflowSample(100, 4, 3, 1, 1422, ethernetUDP(true, 40000, 53, 1400)),
		join(u32(counterSample, 12), u32(1, 7, 0)),
		sflowSample(100, 4, 3, 1, 60, []byte{1, 2, 3}),
		sflowSample(100, 4, 3, 99, 60, []byte{1, 2, 3})))
	if len(c.records) != 0 || c.Stats().Waiting != 1 {
		t.Fatalf("%d records, %+v", len(c.records), c.Stats())
	}
	c.wait(10 * time.Second)
	r := c.only(t)
	if r.Sampling != 100 || r.Src.Packets != 1000 || r.Src.Bytes != 200*1000 || r.Src.Frames != 218*1000 || r.Dst.Packets != 100 || r.Dst.Bytes != 1400*100 ||
		r.Src.Port != 40000 || r.Dst.Port != 53 || r.Ingress != 3 || r.Egress != 4 || r.VLAN != 7 || r.Src.DSCP != 46 || r.Src.TTLMin != 64 ||
		r.Src.MAC.String() != "02:00:00:00:00:05" || r.Start != exported*1e9 || r.End != (exported+50)*1e9 || r.State != "" {
		t.Errorf("%+v", r)
	}
	c.dropped(t, map[Reason]uint64{CounterSample: 1, Undecodable: 2})
	c.add(sflowDatagram(11, sflowSample(100, 3, 4, 1, 222, ethernetUDP(false, 40000, 53, 200))))
	c.Flush()
	if r := c.records[1]; r.Part != 1 || r.Start != exported*1e9 {
		t.Errorf("the next part: %+v", r)
	}
}

func TestSFlowDecodedByTheAgent(t *testing.T) {
	four := join(u32(1500, 6), ip("10.0.0.5"), ip("10.0.0.1"), u32(40000, 443, 0x18, 0xb8))
	six := join(u32(1500, 17), ip("2001:db8::5"), ip("2001:db8::1"), u32(40000, 53, 0, 0))
	expanded := func(format uint32, body []byte) []byte {
		b := join(u32(1, 0, 7, 256, 9, 0, 0, 3, 0, 4, 1), u32(format, uint32(len(body))), body)
		return join(u32(flowSampleExpanded, uint32(len(b))), b)
	}
	c := newCollected(nil)
	c.add(sflowDatagram(1, expanded(sampledIPv4, four), expanded(sampledIPv6, six)))
	c.Flush()
	if len(c.records) != 2 {
		t.Fatalf("%d records", len(c.records))
	}
	if r := c.records[0]; r.Src.Bytes != 1500*256 || r.Dst.Port != 443 || r.Src.DSCP != 46 || r.Ingress != 3 || r.Src.Addr.String() != "10.0.0.5" {
		t.Errorf("%+v", r)
	}
	if r := c.records[1]; r.Src.Packets != 256 || r.Dst.Addr.String() != "2001:db8::1" || r.Proto != 17 {
		t.Errorf("%+v", r)
	}
}

// TestSFlowOfCapture samples every packet of a capture, as an agent does, and finds all
// packets and bytes of IP in the records again, conversation by conversation.
func TestSFlowOfCapture(t *testing.T) {
	type ends struct {
		a, b  [16]byte
		proto uint8
	}
	type sum struct{ packets, bytes uint64 }
	between := func(a, b [16]byte, proto uint8) ends {
		if compare(&a, &b) > 0 {
			a, b = b, a
		}
		return ends{a, b, proto}
	}
	src, err := packet.OpenFiles(filepath.Join(testbed.Root(), "testbed", "lab", "demo.pcap.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	const rate = 10 // what the agent claims
	want := map[ends]sum{}
	c := newCollected(nil)
	var d packet.Decoder
	var h packet.Header
	frames := make([]packet.Frame, 64)
	seq, samples := uint32(0), uint64(0)
	for {
		n, err := src.NextBatch(frames)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var batch [][]byte
		for i := range frames[:n] {
			f := &frames[i]
			if d.Decode(f, &h) == packet.OK && h.IsIP() {
				k := between(h.Src, h.Dst, h.Proto)
				s := want[k]
				want[k] = sum{s.packets + rate, s.bytes + rate*uint64(h.NetLen)}
			}
			head := f.Data[:min(len(f.Data), 128)]
			batch = append(batch, sflowSample(rate, 1, 2, 1, uint32(f.WireLen+4), head))
			c.now = f.Time
		}
		for len(batch) > 0 {
			n := min(len(batch), 7)
			c.add(sflowDatagram(seq, batch[:n]...))
			batch, seq, samples = batch[n:], seq+1, samples+uint64(n)
			c.Tick(c.now)
		}
	}
	c.Flush()
	got := map[ends]sum{}
	for _, r := range c.records {
		if r.IsIP() {
			k := between(r.Src.Addr.As16(), r.Dst.Addr.As16(), r.Proto)
			s := got[k]
			got[k] = sum{s.packets + r.Src.Packets + r.Dst.Packets, s.bytes + r.Src.Bytes + r.Dst.Bytes}
		}
		if r.Sampling != rate {
			t.Fatalf("record %+v", r)
		}
	}
	if !maps.Equal(got, want) || len(want) < 50 {
		t.Errorf("%d pairs of addresses in records, %d in the capture", len(got), len(want))
	}
	if s := c.Stats(); s.Told[SFlow5] != samples || s.Lost != 0 || s.Hurried != 0 {
		t.Errorf("%d samples; %+v", samples, s)
	}
	c.dropped(t, nil)
	for _, r := range c.records {
		if r.Part > 0 {
			return // of a flow longer than the interval
		}
	}
	t.Error("no flow has a second part")
}
