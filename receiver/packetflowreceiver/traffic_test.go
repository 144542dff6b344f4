package packetflowreceiver

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// frames of a small plant: a capture that tests can take apart and put together.

var epoch = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

type frame struct {
	at   time.Duration // after epoch
	data []byte
}

var (
	clientMAC = []byte{2, 0, 0, 0, 0, 9}
	serverMAC = []byte{2, 0, 0, 0, 0, 1}
)

const (
	fin = 1
	syn = 2
	rst = 4
	ack = 16
)

func ethernet(src, dst []byte, kind uint16, payload []byte) []byte {
	b := append(append([]byte{}, dst...), src...)
	b = binary.BigEndian.AppendUint16(b, kind)
	return append(b, payload...)
}

func ipv4(src, dst netip.Addr, proto byte, payload []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, payload...)
}

func between(src, dst string, proto byte, transport func(sp, dp uint16) []byte) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	from, to := clientMAC, serverMAC
	if s.Addr().As4()[3] == 1 {
		from, to = to, from
	}
	return ethernet(from, to, 0x0800, ipv4(s.Addr(), d.Addr(), proto, transport(s.Port(), d.Port())))
}

func tcp(src, dst string, flags byte, seq uint32, payload string) []byte {
	return between(src, dst, 6, func(sp, dp uint16) []byte {
		b := binary.BigEndian.AppendUint16(nil, sp)
		b = binary.BigEndian.AppendUint16(b, dp)
		b = binary.BigEndian.AppendUint32(b, seq)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = append(b, 5<<4, flags, 0xfa, 0xf0, 0, 0, 0, 0)
		return append(b, payload...)
	})
}

func udp(src, dst string, payload string) []byte {
	return between(src, dst, 17, func(sp, dp uint16) []byte {
		b := binary.BigEndian.AppendUint16(nil, sp)
		b = binary.BigEndian.AppendUint16(b, dp)
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
		return append(append(b, 0, 0), payload...)
	})
}

func arp(mac []byte, addr string) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 2}
	b = append(append(b, mac...), netip.MustParseAddr(addr).AsSlice()...)
	b = append(append(b, mac...), netip.MustParseAddr(addr).AsSlice()...)
	return ethernet(mac, []byte{255, 255, 255, 255, 255, 255}, 0x0806, b)
}

const (
	client = "10.0.0.9:50000"
	server = "10.0.0.1:502"
)

// plant is a Modbus connection, a datagram nobody answers, an ARP announcement, and
// a frame that ends within its IP header. 12 packets in all.
func plant() []frame {
	ms := time.Millisecond
	return []frame{
		{0, arp(serverMAC, "10.0.0.1")},
		{1 * ms, tcp(client, server, syn, 100, "")},
		{2 * ms, tcp(server, client, syn|ack, 500, "")},
		{3 * ms, tcp(client, server, ack, 101, "")},
		{4 * ms, tcp(client, server, ack, 101, "\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x01")},
		{5 * ms, tcp(server, client, ack, 501, "\x00\x01\x00\x00\x00\x05\x01\x03\x02\x00\x07")},
		{6 * ms, tcp(client, server, ack|fin, 113, "")},
		{7 * ms, tcp(server, client, ack|fin, 512, "")},
		{8 * ms, tcp(client, server, ack, 114, "")},
		{9 * ms, udp("10.0.0.9:40000", "10.0.0.77:9999", "anyone?")},
		{10 * ms, ethernet(clientMAC, serverMAC, 0x0800, []byte{0x45, 0, 0, 40})},
		{20 * time.Second, udp("10.0.0.9:40000", "10.0.0.77:9999", "still?")},
	}
}

const plantRefused = 1

// pcap makes a capture file of the frames.
func pcap(frames []frame) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 65535)
	b = le.AppendUint32(b, 1)
	for _, f := range frames {
		t := epoch.Add(f.at)
		b = le.AppendUint32(b, uint32(t.Unix()))
		b = le.AppendUint32(b, uint32(t.Nanosecond()/1000))
		b = le.AppendUint32(b, uint32(len(f.data)))
		b = le.AppendUint32(b, uint32(len(f.data)))
		b = append(b, f.data...)
	}
	return b
}

// file writes a file of a test.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestShort keeps the capture of the README and of the generated test as it is made here.
func TestShort(t *testing.T) {
	const path = "testdata/short.pcap"
	want := pcap(plant())
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what plant makes; run with UPDATE=1 (%v)", path, err)
	}
}
