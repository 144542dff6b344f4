package packetflowreceiver

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// several is a frame of 802.11 that carries n datagrams, each from an address of its own,
// and one whose header lies where bad is set.
func several(first, n int, bad bool) []byte {
	b := append([]byte{0x88, 1, 0, 0}, make([]byte, 20)...)
	b = append(b, 0x80, 0)
	for i := first; i < first+n; i++ {
		f := udp(fmt.Sprintf("10.1.%d.%d:40000", i>>8, i&255), "10.0.0.77:9999", "hello")
		for len(b)&3 != 26&3 {
			b = append(b, 0)
		}
		b = binary.BigEndian.AppendUint16(append(b, f[:12]...), uint16(len(f)-14+8))
		b = append(append(b, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0), f[14:]...)
		if bad && i == first+n/2 {
			b[len(b)-33] = 0x44 // the length of its IPv4 header
		}
	}
	return b
}

// Frames that carry more packets than are metered at a time: every packet is metered
// once, and the bytes of each frame are counted once.
func TestAggregates(t *testing.T) {
	for _, c := range []struct{ frames, each, plain int }{
		{1, 1, 0}, {1, 255, 0}, {1, 256, 0}, {1, 257, 0}, {1, 1000, 0}, {300, 3, 0}, {300, 40, 1}, {255, 2, 1}, {3, 257, 300}, {2, 85, 86},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			var all []frame
			packets, bytes, refused := 0, 0, 0
			put := func(data []byte, n int) {
				all = append(all, frame{time.Duration(len(all)) * time.Millisecond, data})
				packets, bytes = packets+n, bytes+len(data)
			}
			for i := range c.frames {
				put(several(i*c.each, c.each, i%3 == 2), c.each)
				if i%3 == 2 {
					refused++
				}
				for range c.plain {
					put(several(0, 1, false), 1)
				}
			}
			capture := pcap(all)
			capture[20] = 105 // the link type
			cfg := files(file(t, "air.pcap", capture))
			cfg.FloodRate = 0
			s := read(t, cfg)
			if got := s.total(t); got != uint64(packets-refused) {
				t.Errorf("%d packets in flows, want %d", got, packets-refused)
			}
			if e := s.captures[0]; e.Packets != uint64(packets) || e.Refused != uint64(refused) || e.Bytes != uint64(bytes) {
				t.Errorf("%d packets, %d refused, %d bytes; want %d, %d, %d", e.Packets, e.Refused, e.Bytes, packets, refused, bytes)
			}
			for _, f := range s.flows {
				if f.Src.Frames != f.Src.Packets*(14+8+33) || f.Src.Bytes != f.Src.Packets*33 {
					t.Fatalf("%d packets of %d bytes, %d of frames", f.Src.Packets, f.Src.Bytes, f.Src.Frames)
				}
			}
		})
	}
}
