package baseline

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// FuzzRestore holds that no saved state, whatever it holds, makes the engine
// panic: neither at once nor when it works with it afterwards.
func FuzzRestore(f *testing.F) {
	s := newSite(f)
	s.work(20 * time.Minute)
	good, err := s.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"Version":1}`))
	f.Add([]byte(`{"Version":1,"Now":-1,"Watched":-5,"Devices":[{"ID":"x","Since":0,"Grains":[{"Keys":{"a":null}}],"Stack":{"client":null},"Hours":{"Days":9}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSite(t)
		if s.Restore(data) != nil {
			if s.Len() != 0 {
				t.Error("half of a bad state was taken")
			}
			return
		}
		if _, err := s.Snapshot(); err != nil {
			t.Fatalf("what was restored can't be saved: %v", err)
		}
		for range 3 {
			s.wait(20 * time.Second)
			s.Flow(s.talk(sensor, broker, 1883))
			s.Flow(s.command(panel, controller, "1/write_single_coil"))
			s.Flow(s.upload(cloud, 5e6))
			s.Flow(s.try(sensor, broker, 23, "S0"))
		}
		s.Tick(s.now)
		s.Learned()
		for _, x := range s.Statuses() {
			s.Items(x.Device)
			_ = s.Approve(x.Device, "all")
			_ = s.Remove(x.Device, "all")
		}
	})
}

// FuzzRecords feeds records whose fields are anything: an upstream may be broken
// or hostile.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("monban"))
	f.Add(binary.BigEndian.AppendUint64(nil, math.MaxUint64))
	f.Add(make([]byte, 400))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &source{data}
		s := newSite(t)
		s.work(3 * time.Minute)
		for range 40 {
			if len(in.data) == 0 {
				return
			}
			switch in.byte() % 8 {
			case 0:
				s.Device(&device.Record{Time: in.int(), ID: in.text(), Change: device.New, MAC: in.mac(), Router: in.byte()%2 == 0})
			case 1:
				kinds := []string{app.ARPClaim, app.ARPRequest, app.Relay, in.text()}
				s.Sighting(&app.Sighting{Time: in.int(), Kind: kinds[in.byte()%4], MAC: in.mac(), By: in.mac(), Source: in.addr(), Address: in.addr(), Device: in.text()})
			case 2:
				s.Tick(in.int())
			default:
				r := in.record()
				s.Flow(r)
				s.Tick(r.End)
			}
		}
		s.Statuses()
		data, err := s.Snapshot()
		if err != nil {
			t.Fatalf("can't be saved: %v", err)
		}
		if err := New(NewDefaultConfig()).Restore(data); err != nil {
			t.Fatalf("what was saved can't be restored: %v", err)
		}
		s.handOver()
	})
}

// source makes values of the fuzzer's bytes.
type source struct{ data []byte }

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

// int is often near the present, sometimes anything.
func (s *source) int() int64 {
	switch s.byte() % 4 {
	case 0:
		var x uint64
		for range 8 {
			x = x<<8 | uint64(s.byte())
		}
		return int64(x)
	case 1:
		return epoch + int64(s.byte())*3600e9
	}
	return epoch + int64(s.byte())*1e9
}

func (s *source) text() string {
	n := min(int(s.byte()%12), len(s.data))
	t := string(s.data[:n])
	s.data = s.data[n:]
	return t
}

func (s *source) mac() packet.MAC {
	return packet.MAC{s.byte() & 3, s.byte() & 1, s.byte(), 0, 0, s.byte()}
}

func (s *source) addr() netip.Addr {
	switch s.byte() % 5 {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom16([16]byte{0x20, 1, 15: s.byte()})
	case 2:
		return netip.AddrFrom4([4]byte{s.byte(), s.byte(), s.byte(), s.byte()})
	}
	return host(s.byte() % 50).Addr
}

func (s *source) end() flow.End {
	e := flow.End{Addr: s.addr(), Port: uint16(s.byte())<<8 | uint16(s.byte()), MAC: s.mac(), Packets: uint64(s.int()), Bytes: uint64(s.int()), TTLMin: s.byte(), TTLMax: s.byte()}
	switch s.byte() % 4 {
	case 0:
		e.Device = s.text()
	case 1:
		e.Domain = s.text()
	default:
		e.Device = e.MAC.String()
	}
	return e
}

func (s *source) record() *flow.Record {
	r := &flow.Record{
		Start: s.int(), Since: s.int(), End: s.int(), Src: s.end(), Dst: s.end(), Net: packet.NetIPv4, Proto: []uint8{1, 6, 6, 17, s.byte()}[s.byte()%5],
		Part: uint32(s.byte() % 3), Guessed: s.byte()%4 == 0, State: []string{"S0", "SF", "REJ", "OTH", s.text()}[s.byte()%5],
		ICMPType: s.byte(), FirstSizes: []int64{s.int(), -5}, Messages: uint32(s.byte()), Service: s.text(),
	}
	r.Interval, r.IntervalCV = math.Float64frombits(uint64(s.int())), math.Float64frombits(uint64(s.int()))
	for range s.byte() % 4 {
		r.Questions = append(r.Questions, s.text()+".com")
		r.Commands = append(r.Commands, s.text()+"/write_single_coil")
		r.CommandCounts = append(r.CommandCounts, s.int())
	}
	return r
}

// TestNonsenseTeachesNothing holds what the fuzzer found: one bad record must not
// spoil what is saved for the next start.
func TestNonsenseTeachesNothing(t *testing.T) {
	s := newSite(t)
	s.work(10 * 24 * time.Hour)
	before, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	s.Device(&device.Record{Time: s.now, Change: device.New}) // no id
	s.Device(&device.Record{Time: math.MinInt64, ID: sensor.Device, Change: device.Updated, Addresses: []string{sensor.Addr.String()}})
	for _, at := range []int64{-1, math.MinInt64, -3600e9} {
		for _, spoil := range []func(*flow.Record){
			func(r *flow.Record) { r.End = at }, func(r *flow.Record) { r.Start = at }, func(r *flow.Record) { r.Start, r.End = at, at },
		} {
			r := s.talk(sensor, broker, 1883)
			spoil(r)
			want(t, s.judge(r))
		}
		s.Tick(at)
	}
	after, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("nonsense has changed what was learned")
	}
	s.restart()
}
