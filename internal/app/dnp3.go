package app

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// dnp3CRC is the table of CRC-16/DNP: polynomial 0x3d65, reflected, inverted.
var dnp3CRC = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0xa6bc
			} else {
				c >>= 1
			}
		}
		t[i] = c
	}
	return t
}()

func crcDNP(b []byte) uint16 {
	var c uint16
	for _, x := range b {
		c = c>>8 ^ dnp3CRC[byte(c)^x]
	}
	return ^c
}

const (
	dnp3Header = 10 // start, length, control, two addresses, CRC
	dnp3Block  = 16 // bytes of user data between two CRCs
)

// dnp3Segment reads the link frames of one segment or datagram. It finds its way
// again after a frame that began in another segment by the next header whose CRC
// is right.
func (i *Inspector) dnp3Segment(h *packet.Header, t *flow.Table, slot int32) {
	p := h.Payload
	start := []byte{dnp3Start, dnp3Start2}
	for len(p) > 0 {
		at := bytes.Index(p, start)
		if at < 0 || len(p)-at < dnp3Header {
			i.stats.Partial++
			return
		}
		if at > 0 {
			i.stats.Partial++
		}
		p = p[at:]
		if p[2] < 5 || crcDNP(p[:8]) != binary.LittleEndian.Uint16(p[8:]) {
			i.stats.Malformed++
			p = p[2:]
			continue
		}
		user := int(p[2]) - 5
		size := dnp3Header + user + (user+dnp3Block-1)/dnp3Block*2
		i.dnp3Frame(p[:min(size, len(p))], user, t, slot)
		if size > len(p) {
			i.stats.Partial++
			return
		}
		p = p[size:]
	}
}

// dnp3Frame notes what a frame asks for. The direction bit is not believed:
// attackers leave it clear; the function code says who speaks to whom.
func (i *Inspector) dnp3Frame(f []byte, user int, t *flow.Table, slot int32) {
	const confirmed, unconfirmed, primary, first = 3, 4, 0x40, 0x40
	if link := f[3] & 15; f[3]&primary == 0 || link != confirmed && link != unconfirmed {
		return // link layer only
	}
	if user < 3 || len(f) < dnp3Header+3 || f[dnp3Header]&first == 0 || slot < 0 {
		return // not the first segment of a fragment
	}
	to, code := uint64(binary.LittleEndian.Uint16(f[4:])), f[dnp3Header+2]
	command := i.orders.of(1<<63|to<<8|uint64(code), to, func() string {
		if s, ok := dnp3Functions[code]; ok {
			return s
		}
		return "function_" + strconv.Itoa(int(code))
	})
	i.note(t, slot, "dnp3", command)
}
