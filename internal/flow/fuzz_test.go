package flow

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// FuzzTable makes packets of any bytes: each must be in exactly one record, whatever
// the times say.
func FuzzTable(f *testing.F) { fuzzTable(f, false) }

// FuzzTableInFlood does so where so few flows are a flood that most soon are: each packet must be in
// exactly one record or flood.
func FuzzTableInFlood(f *testing.F) { fuzzTable(f, true) }

func fuzzTable(f *testing.F, floods bool) {
	f.Add([]byte("\x00\x00\x00\x06\x02\x01\x02\x50\x00\x00\x00\x06\x12\x02\x01\x50"))
	f.Add([]byte("\xff\x00\x00\x11\x00\x01\x02\x50\x03\x00\x00\x01\x12\x02\x01\x50"))
	cfg := NewDefaultConfig()
	cfg.MaxFlows = 16
	var record func(*Record)
	table := NewTable(cfg, func(r *Record) { record(r) }) // one for all, since making one costs more than using it
	var flood func(*Flood)
	if floods {
		table.cfg.FloodRate = 2
		table.OnFlood(func(r *Flood) { flood(r) })
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		table.clock, table.behind, table.stats = 0, 0, Stats{}
		var told, bytes, live, errors, rolled uint64
		open := map[uint64]bool{}
		flood = func(r *Flood) {
			rolled += r.Packets + r.ReversePackets
			bytes += r.Bytes + r.ReverseBytes
			if r.End < r.Since {
				t.Errorf("times %d, %d", r.Since, r.End)
			}
			var share uint64
			for _, n := range r.PrefixPackets {
				share += uint64(n)
			}
			if share != r.Packets+r.ReversePackets {
				t.Errorf("prefixes add up to %d packets of %d", share, r.Packets+r.ReversePackets)
			}
			if open[r.ID] == (r.State == FloodBegun) {
				t.Errorf("%s of a flood that is open: %v", r.State, open[r.ID])
			}
			open[r.ID] = r.State != FloodEnded
		}
		ended := map[uint64]bool{}
		record = func(r *Record) {
			errors += uint64(r.ICMPErrors)
			if r.End < r.Start || r.Since < r.Start {
				t.Errorf("times %d, %d, %d", r.Start, r.Since, r.End)
			}
			told += r.Src.Packets + r.Dst.Packets
			bytes += r.Src.Bytes + r.Dst.Bytes
			if ended[r.ID] {
				t.Errorf("a record after the flow's end: %+v", r)
			}
			ended[r.ID] = r.Reason != Active
		}
		var added, length uint64
		now := int64(time.Hour)
		for ; len(b) >= 8; b = b[8:] {
			switch d := int64(int8(b[0])); b[1] % 8 {
			case 0:
				now += d * 1e6
			case 1:
				now += d * 1e9
			case 2:
				now += d * 3600e9
			case 3:
				now = int64(binary.LittleEndian.Uint64(b))
			}
			h := packet.Header{Time: now, WireLen: 60 + int(b[2]), Net: packet.NetIPv4, NetLen: int(b[2]), Proto: b[3], TTL: b[2],
				TCPFlags: b[4], Seq: uint32(b[5]) << 24, PayloadLen: int(b[6]), ICMPType: b[4], ICMPCode: b[5] & 1,
				SrcPort: uint16(b[5] & 3), DstPort: uint16(b[6] & 3), IPID: uint32(b[7] & 1), Fragment: b[7]&64 != 0,
				MoreFrag: b[7]&16 != 0, FragLen: uint16(b[2]) << 6, TCPOptions: b[:b[2]&7], Payload: b[8:min(len(b), 80)]}
			h.Src, h.Dst = [16]byte{15: b[5] >> 4}, [16]byte{15: b[6] >> 4}
			if b[7]&16 != 0 {
				h.VLAN = uint16(b[2])
				h.Tunnel = packet.Tunnel{Kind: packet.Geneve, ID: uint32(b[4]), Zone: packet.Zone(0, uint32(packet.Geneve), uint32(b[4])), Src: h.Dst, Depth: 1}
			}
			if h.Fragment && b[7]&32 != 0 {
				h.FragOff = uint16(b[4]) << 8
			}
			if b[7] > 250 {
				h.Net, h.PayloadLen = uint16(b[3])<<8, int(b[2])
			}
			slot := table.Add(&h, int(b[7]&3))
			added++
			length += uint64(b[2])
			switch b[1] >> 5 {
			case 0:
				table.Hurry(slot)
			case 1:
				table.NoteService(slot, string(b[4:5]))
				table.NoteCommand(slot, string(b[4:6]))
				table.NoteQuestion(slot, string(b[5:8]))
			case 2:
				table.Tick(now + int64(b[2])*1e8)
			case 3:
				table.Initiator(slot, &h)
			}
			live = uint64(table.Stats().Live)
			if live > 16 {
				t.Fatalf("%d live flows", live)
			}
		}
		table.Flush()
		for id, still := range open {
			if still {
				t.Errorf("flood %x never ends", id)
			}
		}
		if s := table.Stats(); told+rolled != added || s.Flooded != rolled || bytes != length || s.Packets != added || s.Live != 0 || len(table.notes.of) != 0 || s.Noted != 0 || s.ICMPErrors-s.ICMPLost != errors {
			t.Errorf("%d packets of %d bytes added, %d of %d in records, stats %+v", added, length, told, bytes, s)
		}
	})
}
