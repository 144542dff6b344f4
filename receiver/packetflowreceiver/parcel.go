package packetflowreceiver

import (
	"github.com/monban/monban/internal/packet"
)

// parcel is what was read at one time, decoded, for the meter. It is used again.
type parcel struct {
	headers [framesAtOnce]packet.Header
	from    [framesAtOnce]int32 // interface of each header
	n       int                 // headers

	packets, bytes uint64
	first, last    int64 // times, when there are packets
	refused        [maxReasons]uint64
	tunnels        packet.TunnelStats // since the start
	interfaces     []packet.Interface // all there are, when some are new
	err            error              // of the source; nothing was read then
}

// reader reads and decodes.
type reader struct {
	source  packet.Source
	decoder packet.Decoder
	frames  [framesAtOnce]packet.Frame
	left    []packet.Frame // of frames, for which there was no room in the last parcel
	known   int            // interfaces
}

// read fills p with what comes next.
func (r *reader) read(p *parcel) {
	p.err = nil
	if len(r.left) == 0 {
		var n int
		n, p.err = r.source.NextBatch(r.frames[:])
		r.left = r.frames[:n]
	}
	r.left = r.decode(p, r.left)
	p.tunnels = r.decoder.Stats()
}

// decode fills p and gives the frames that are left when it is full, as it may be where
// frames carry several packets. Of the first of them some may be in p already.
func (r *reader) decode(p *parcel, frames []packet.Frame) (left []packet.Frame) {
	p.n, p.interfaces = 0, nil
	p.packets, p.bytes, p.refused = 0, 0, [maxReasons]uint64{}
	if len(frames) == 0 {
		return nil
	}
	p.first, p.last = frames[0].Time, frames[0].Time
	at := 0
	if r.decoder.More() {
		if !r.further(p, &frames[0]) {
			return frames
		}
		at = 1
	}
	for end := p.room(at, frames); at < end; at++ {
		f := &frames[at]
		if f.Interface >= r.known {
			p.interfaces = r.source.Interfaces()
			r.known = len(p.interfaces)
		}
		p.packets++
		p.bytes += uint64(f.WireLen)
		p.first, p.last = min(p.first, f.Time), max(p.last, f.Time)
		p.add(f, r.decoder.Decode(f, &p.headers[p.n]))
		if r.decoder.More() {
			if !r.further(p, f) {
				return frames[at:]
			}
			end = p.room(at+1, frames)
		}
	}
	return frames[at:]
}

// further decodes what else is in a frame, and reports whether that was all.
func (r *reader) further(p *parcel, f *packet.Frame) bool {
	for r.decoder.More() {
		if p.n == len(p.headers) {
			return false
		}
		p.packets++
		p.add(f, r.decoder.Next(&p.headers[p.n]))
	}
	return true
}

// room is the end of those frames from at on for which p has room, one packet each.
func (p *parcel) room(at int, frames []packet.Frame) int {
	return min(len(frames), at+len(p.headers)-p.n)
}

// add keeps the header that was decoded last, or counts why there is none.
func (p *parcel) add(f *packet.Frame, why packet.Reason) {
	if why != packet.OK {
		p.refused[why]++
		return
	}
	p.from[p.n] = int32(f.Interface)
	p.n++
}
