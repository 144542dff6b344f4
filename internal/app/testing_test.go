package app

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// data gives the path of a shared capture, and skips the test where there are none.
func data(t testing.TB, path ...string) string {
	t.Helper()
	root := os.Getenv("MONBAN_DATA")
	if root == "" {
		root = "../../../shared/data"
	}
	p := filepath.Join(append([]string{root}, path...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no shared captures here: %v", err)
	}
	return p
}

// bench is an inspector with all that it writes.
type bench struct {
	*Inspector
	table     *flow.Table
	sightings []Sighting
	flows     []flow.Record
}

func newBench(cfg Config) *bench {
	b := &bench{}
	b.Inspector = NewInspector(cfg, func(s *Sighting) { b.sightings = append(b.sightings, *s) })
	b.table = flow.NewTable(flow.NewDefaultConfig(), func(r *flow.Record) { b.flows = append(b.flows, *r) })
	return b
}

func (b *bench) packet(h packet.Header) {
	b.Packet(&h, "", b.table, b.table.Add(&h, 0))
}

// commands gives how often each command was seen in all flows.
func (b *bench) commands() map[string]int64 {
	b.table.Flush()
	all := map[string]int64{}
	for i := range b.flows {
		for k, c := range b.flows[i].Commands {
			all[c] += b.flows[i].CommandCounts[k]
		}
	}
	return all
}

// read runs a capture file through the bench.
func (b *bench) read(t testing.TB, path string) {
	t.Helper()
	src, err := packet.OpenFiles(path)
	if err != nil {
		t.Skipf("not a capture that can be read: %v", err)
	}
	defer src.Close()
	var d packet.Decoder
	var h packet.Header
	frames := make([]packet.Frame, 256)
	for {
		n, err := src.NextBatch(frames)
		for i := range frames[:n] {
			if d.Decode(&frames[i], &h) == packet.OK {
				b.Packet(&h, "", b.table, b.table.Add(&h, 0))
			}
		}
		var damaged *packet.FileError
		switch {
		case err == nil || errors.As(err, &damaged):
		case errors.Is(err, io.EOF):
			return
		default:
			t.Fatal(err)
		}
	}
}

const start = 1_700_000_000 * nsPerSecond

func mac(n byte) packet.MAC { return packet.MAC{0, 1, 2, 3, 4, n} }

func arpHeader(at int64, op uint16, from, sender packet.MAC, spa, tpa string) packet.Header {
	p := []byte{0, 1, 8, 0, 6, 4, 0, 0}
	binary.BigEndian.PutUint16(p[6:], op)
	p = append(p, sender[:]...)
	s, t := netip.MustParseAddr(spa).As4(), netip.MustParseAddr(tpa).As4()
	p = append(p, s[:]...)
	p = append(p, make([]byte, 6)...)
	p = append(p, t[:]...)
	return packet.Header{Time: at, HasMAC: true, SrcMAC: from, DstMAC: packet.MAC{255, 255, 255, 255, 255, 255},
		Net: packet.NetARP, Payload: p, PayloadLen: len(p), WireLen: 60}
}

func ipHeader(at int64, proto uint8, src, dst string, payload []byte) packet.Header {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	h := packet.Header{Time: at, HasMAC: true, SrcMAC: mac(1), DstMAC: mac(2), Net: packet.NetIPv4, Proto: proto, TTL: 64,
		Src: s.Addr().As16(), Dst: d.Addr().As16(), SrcPort: s.Port(), DstPort: d.Port(),
		Payload: payload, PayloadLen: len(payload), NetLen: 28 + len(payload), WireLen: 42 + len(payload)}
	if s.Addr().Is6() {
		h.Net = packet.NetIPv6
	}
	return h
}

// dnsPacket builds a message out of records.
type dnsPacket []byte

func newDNS(flags uint16, counts ...uint16) dnsPacket {
	b := binary.BigEndian.AppendUint16([]byte{0x12, 0x34}, flags)
	for i := range 4 {
		var n uint16
		if i < len(counts) {
			n = counts[i]
		}
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

func dnsName(labels ...string) (b []byte) {
	for _, l := range labels {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0)
}

func (d dnsPacket) question(name []byte, kind uint16) dnsPacket {
	d = append(d, name...)
	return append(d, byte(kind>>8), byte(kind), 0, 1)
}

func (d dnsPacket) record(name []byte, kind uint16, ttl uint32, data []byte) dnsPacket {
	d = append(d, name...)
	d = append(d, byte(kind>>8), byte(kind), 0, 1)
	d = binary.BigEndian.AppendUint32(d, ttl)
	d = binary.BigEndian.AppendUint16(d, uint16(len(data)))
	return append(d, data...)
}

func dhcpPacket(op byte, m packet.MAC, ciaddr, yiaddr [4]byte, options ...byte) []byte {
	p := make([]byte, 240)
	p[0], p[1], p[2] = op, 1, 6
	copy(p[12:], ciaddr[:])
	copy(p[16:], yiaddr[:])
	copy(p[28:], m[:])
	copy(p[236:], dhcpCookie[:])
	return append(append(p, options...), 255)
}

func modbusADU(transaction uint16, unit, code byte, rest ...byte) []byte {
	p := binary.BigEndian.AppendUint16(nil, transaction)
	p = append(p, 0, 0, 0, byte(2+len(rest)), unit, code)
	return append(p, rest...)
}

func dnp3Frame(to, from uint16, control byte, user ...byte) []byte {
	f := []byte{5, 0x64, byte(5 + len(user)), control, byte(to), byte(to >> 8), byte(from), byte(from >> 8)}
	f = binary.LittleEndian.AppendUint16(f, crcDNP(f))
	for len(user) > 0 {
		n := min(len(user), dnp3Block)
		f = append(f, user[:n]...)
		f = binary.LittleEndian.AppendUint16(f, crcDNP(user[:n]))
		user = user[n:]
	}
	return f
}

func text(s *Sighting) string {
	out := s.Kind + " " + s.MAC.String()
	add := func(key, v string) {
		if v != "" && v != "invalid IP" && v != "[]" {
			out += " " + key + "=" + v
		}
	}
	add("by", s.By.String())
	add("src", s.Source.String())
	add("addr", s.Address.String())
	add("name", s.Name)
	add("addrs", fmt.Sprint(s.Addresses))
	add("names", fmt.Sprint(s.Names))
	add("vendor", s.Vendor)
	add("params", s.Params)
	if s.Count > 0 {
		add("count", fmt.Sprint(s.Count))
	}
	return out
}
