package packet

import (
	"testing"

	"github.com/monban/monban/testbed"
)

// malformed hands out the shared captures that were made to break readers.
func malformed(see func(path string, content []byte)) { testbed.Seeds(see, "malformed") }

// addFrames seeds a fuzzer with frames of those captures, a few of each.
func addFrames(f *testing.F, add func(*Frame)) {
	malformed(func(path string, _ []byte) {
		s, err := OpenFiles(path)
		if err != nil {
			return
		}
		defer s.Close()
		frames := make([]Frame, 16)
		n, _ := s.NextBatch(frames)
		for i := range frames[:n] {
			if len(frames[i].Data) <= 2048 {
				add(&frames[i])
			}
		}
	})
}

// addPayloads seeds a fuzzer with what the packets of those frames carry.
func addPayloads(f *testing.F, add func(*Header)) {
	d := Decoder{KeepTunnels: true}
	addFrames(f, func(frame *Frame) {
		var h Header
		if d.Decode(frame, &h) == OK && h.IsIP() && h.FragOff == 0 && len(h.Payload) > 0 {
			add(&h)
		}
	})
}
