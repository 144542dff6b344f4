package faults

import (
	"bytes"
	"encoding/binary"
)

const base = int64(1_700_000_000e9) // Unix nanoseconds

// pcap is a capture in the making.
type pcap struct {
	bytes.Buffer
	at      int64 // time of the next packet, Unix nanoseconds
	packets int
}

func capture() *pcap {
	p := &pcap{at: base}
	p.Write(binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)) // nanoseconds
	p.Write([]byte{2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	p.Write([]byte{0, 0, 4, 0, 1, 0, 0, 0}) // Ethernet
	return p
}

func mac(kind byte, i int) [6]byte {
	return [6]byte{kind, 0x1e, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
}

// raw adds a frame of which wire bytes were on the wire, and lets a millisecond pass.
func (p *pcap) raw(b []byte, wire int) {
	var h []byte
	for _, v := range []uint32{uint32(p.at / 1e9), uint32(p.at % 1e9), uint32(len(b)), uint32(wire)} {
		h = binary.LittleEndian.AppendUint32(h, v)
	}
	p.Write(h)
	p.Write(b)
	p.at += 1e6
	p.packets++
}

// frame adds an IPv4 packet.
func (p *pcap) frame(from [6]byte, proto byte, src, dst [4]byte, payload []byte) {
	b := append([]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55}, from[:]...)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)))
	b = append(b, 0, 1, 0, 0, 64, proto, 0, 0)
	b = append(append(b, src[:]...), dst[:]...)
	b = append(b, payload...)
	p.raw(b, len(b))
}

// syn adds a connection attempt.
func (p *pcap) syn(src, dst [4]byte, from [6]byte, port int) {
	b := binary.BigEndian.AppendUint16(nil, uint16(1024+p.packets%60000))
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	p.frame(from, 6, src, dst, append(b, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0, 0, 0, 0, 0))
}

func (p *pcap) udp(from [6]byte, src, dst [4]byte, sport, dport uint16, payload []byte) {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	p.frame(from, 17, src, dst, append(append(b, 0, 0), payload...))
}

// names adds a device that says its name in DHCP and mDNS, and asks for it in DNS.
func (p *pcap) names(i byte, name string) {
	from, addr := mac(0, int(i)+1), [4]byte{10, 0, 0, 10 + i}
	ask := append([]byte{1, 1, 6, 0, 0, 0, 0, i}, make([]byte, 20)...)
	ask = append(append(ask, from[:]...), make([]byte, 10+192)...)
	ask = append(ask, 0x63, 0x82, 0x53, 0x63, 53, 1, 3, 12, byte(len(name)))
	ask = append(append(ask, name...), 60, byte(len(name)))
	p.udp(from, [4]byte{}, [4]byte{255, 255, 255, 255}, 68, 67, append(append(ask, name...), 255))

	label := append([]byte{byte(len(name))}, name...)
	tell := append([]byte{0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0}, label...)
	tell = append(append(tell, "\x05local\x00"...), 0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4)
	p.udp(from, addr, [4]byte{224, 0, 0, 251}, 5353, 5353, append(tell, addr[:]...))

	query := append([]byte{0, i, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, label...)
	p.udp(from, addr, [4]byte{10, 0, 0, 1}, 3000+uint16(i), 53, append(append(query, "\x03com\x00"...), 0, 1, 0, 1))
	for port := range 100 { // so that a report tells the name, too
		p.syn(addr, [4]byte{10, 0, 0, 1}, from, 1+port)
	}
}
