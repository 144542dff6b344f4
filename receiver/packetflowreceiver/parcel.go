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
	known   int // interfaces
}

// read fills p with what comes next.
func (r *reader) read(p *parcel) {
	n, err := r.source.NextBatch(r.frames[:])
	r.decode(p, r.frames[:n])
	p.err = err
}

func (r *reader) decode(p *parcel, frames []packet.Frame) {
	p.n, p.interfaces = 0, nil
	p.packets, p.bytes, p.refused = uint64(len(frames)), 0, [maxReasons]uint64{}
	for i := range frames {
		f := &frames[i]
		if f.Interface >= r.known {
			p.interfaces = r.source.Interfaces()
			r.known = len(p.interfaces)
		}
		p.bytes += uint64(f.WireLen)
		if i == 0 {
			p.first, p.last = f.Time, f.Time
		} else {
			p.first, p.last = min(p.first, f.Time), max(p.last, f.Time)
		}
		if why := r.decoder.Decode(f, &p.headers[p.n]); why != packet.OK {
			p.refused[why]++
			continue
		}
		p.from[p.n] = int32(f.Interface)
		p.n++
	}
	p.tunnels = r.decoder.Stats()
}
