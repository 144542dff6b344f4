package packet

import "encoding/binary"

// What is behind the first packet of a frame that carries several, as an A-MSDU of
// IEEE 802.11 does: subframes, each with addresses, a length and an LLC header.

// subframeHead is how long the addresses and the length before a subframe are.
const subframeHead = 14

// maxAggregates is how many frames with several packets can be within each other: one in
// the frame itself and in each tunnel.
const maxAggregates = 1 + maxTunnels

// rest is what is still to be decoded of a frame, from a subframe on.
type rest struct {
	b      []byte
	wire   int
	time   int64
	tunnel Tunnel // that it came in
	vlan   uint16
}

// More reports whether the frame decoded last carries further packets, which Next gives.
// Whoever wants them takes all before the next frame is decoded.
func (d *Decoder) More() bool { return d.waiting > 0 }

// Next decodes the next packet of the frame decoded last, as Decode does the first. It is
// called only when there are More, and while the frame's Data are valid.
func (d *Decoder) Next(h *Header) Reason {
	d.waiting--
	r := &d.rests[d.waiting]
	h.reset(r.time, r.wire)
	if h.VLAN = r.vlan; r.tunnel.Depth > 0 {
		h.Tunnel = r.tunnel
		h.untidy()
	}
	why := d.subframe(h, r.b, r.wire)
	if why != OK {
		return why
	}
	if h.Tunnel.Depth > 0 {
		d.stats.Opened++
	}
	if h.mayWrap() && !d.KeepTunnels {
		return d.unwrap(h)
	}
	return OK
}

// subframe decodes the first of the subframes in b, as a frame of its own length, and
// keeps the others for Next. One that is cut off or whose length lies is the last, since
// where the next begins is not known then.
func (d *Decoder) subframe(h *Header, b []byte, wire int) Reason {
	const leastLLC = 3
	if len(b) <= subframeHead {
		return Truncated
	}
	size := int(binary.BigEndian.Uint16(b[12:]))
	end := subframeHead + size
	if size < leastLLC || end > wire {
		return Truncated
	}
	next := (end + 3) &^ 3                                     // all but the last are padded
	if wire-next >= subframeHead && d.waiting < len(d.rests) { // what is shorter is a checksum, or padding
		d.rests[d.waiting] = rest{b[min(next, len(b)):], wire - next, h.Time, h.Tunnel, h.VLAN}
		d.waiting++
	}
	h.DstMAC, h.SrcMAC, h.HasMAC, h.WireLen = MAC(b[:6]), MAC(b[6:12]), true, end
	return withLLC(h, b[subframeHead:min(end, len(b))], size)
}
