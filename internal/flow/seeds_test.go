package flow

import (
	"encoding/binary"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// malformedIP are fronts of IP packets out of the shared captures that were made to break readers:
// what ICMP errors in them quote, and the packets themselves as a router would quote them. None
// where there are no such captures.
func malformedIP() (all [][]byte) {
	d := packet.Decoder{KeepTunnels: true}
	testbed.Seeds(func(path string, _ []byte) {
		s, err := packet.OpenFiles(path)
		if err != nil {
			return
		}
		defer s.Close()
		frames := make([]packet.Frame, 4)
		n, _ := s.NextBatch(frames)
		for i := range frames[:n] {
			data, at := frames[i].Data, 14
			if frames[i].Link != packet.LinkEthernet || len(data) < at {
				continue
			}
			switch binary.BigEndian.Uint16(data[12:]) {
			case packet.NetIPv4, packet.NetIPv6:
				const quote = 1232 // the most that IPv6 quotes
				all = append(all, append([]byte(nil), data[at:min(len(data), at+quote)]...))
			}
			var h packet.Header
			if d.Decode(&frames[i], &h) == packet.OK && (h.Proto == packet.ProtoICMP || h.Proto == packet.ProtoICMPv6) && len(h.Payload) > 0 {
				all = append(all, append([]byte(nil), h.Payload...))
			}
		}
	}, "malformed")
	return all
}
