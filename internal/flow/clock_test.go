package flow

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// Times that no honest capture has: every packet is counted, no record ends before it
// starts, and the table does not grow.
func TestOddTimes(t *testing.T) {
	const second = int64(time.Second)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	in2106 := int64(math.MaxUint32) * second
	for name, times := range map[string][]int64{
		"1970":                      {0, 1, second, 2 * second, 3600 * second},
		"before 1970":               {-3600 * second, -second, -1, 0, 1},
		"2106":                      {in2106 - second, in2106, in2106 + 1, in2106 + second, in2106 + 86400*second},
		"the end of time":           {math.MaxInt64 - second, math.MaxInt64},
		"the beginning of time":     {math.MinInt64, math.MinInt64 + second},
		"from one end to the other": {math.MinInt64, math.MaxInt64, 0, math.MaxInt64, math.MinInt64},
		"1970 and 2106 in turn":     {0, in2106, 0, in2106},
		"now, with 1970 in between": {now, 0, now + 1, 0, now + 2, now + second},
		"now, with 2106 in between": {now, in2106, now + 1, in2106, now + second},
		"nanoseconds apart":         {now, now + 1, now + 2, now + 3},
		"all the same":              {now, now, now},
	} {
		t.Run(name, func(t *testing.T) {
			told := uint64(0)
			table := NewTable(NewDefaultConfig(), func(r *Record) {
				told += r.Src.Packets + r.Dst.Packets
				if r.End < r.Start || r.Since < r.Start {
					t.Errorf("start %d, since %d, end %d", r.Start, r.Since, r.End)
				}
			})
			const rounds = 300
			for range rounds {
				for _, at := range times {
					for _, h := range []*packet.Header{udp(0, client, server), udp(0, server, client), piece(0, 1, 0, 1480, true), tcp(0, client, server, packet.ACK, 1, 5)} {
						h.Time = at
						table.Add(h, 0)
					}
					if live := table.Stats().Live; live > 3 {
						t.Fatalf("%d live flows", live)
					}
				}
			}
			table.Flush()
			if want := uint64(4 * rounds * len(times)); told != want || table.Stats().Packets != want {
				t.Errorf("%d packets in records, want %d", told, want)
			}
		})
	}
}

// A packet that was cut short when it was captured counts as long as it was on the wire.
func TestCutPacketsCountByTheirLengthOnTheWire(t *testing.T) {
	frame := make([]byte, 14+20+8+1000)
	frame[0], frame[6], frame[12] = 2, 4, 8
	ip := frame[14:]
	ip[0], ip[8], ip[9], ip[15], ip[19] = 0x45, 64, packet.ProtoUDP, 1, 2
	binary.BigEndian.PutUint16(ip[2:], 1028)
	binary.BigEndian.PutUint16(ip[22:], 53)
	binary.BigEndian.PutUint16(ip[24:], 1008)
	var d packet.Decoder
	for _, snap := range []int{len(frame), 500, 14 + 20 + 8, 14 + 20 + 4} {
		table, got := collect(NewDefaultConfig())
		var h packet.Header
		if why := d.Decode(&packet.Frame{Time: 1, Data: frame[:snap], WireLen: len(frame), Link: packet.LinkEthernet}, &h); why != packet.OK {
			t.Fatalf("cut at %d: %s", snap, why)
		}
		table.Add(&h, 0)
		table.Flush()
		if r := (*got)[0]; r.Src.Bytes != 1028 || r.Src.Frames != 1042 || r.Dst.Port != 53 || len(r.FirstSizes) != 1 || r.FirstSizes[0] != 1000 {
			t.Errorf("cut at %d: %+v", snap, r)
		}
	}
}
