package faults

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
)

// What the whole binary may take for any of these captures.
const (
	mostCPU = 15 * time.Second
	mostRSS = 400 << 20
)

// survives runs the binary on a capture, and says how many packets it read.
func survives(t *testing.T, name string, code int) int {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	r := testbed.Run(t, "--config", "pcap:"+name+"?out="+out)
	ends(t, r, code)
	if r.PeakRSS > mostRSS || r.CPU > mostCPU {
		t.Errorf("took %s of CPU and %d MiB", r.CPU, r.PeakRSS>>20)
	}
	n := conserved(t, out)
	t.Logf("%d packets, %s of CPU, %d MiB", n, r.CPU, r.PeakRSS>>20)
	return n
}

// spill moves what was built so far to a file: a process is said to take at least as much
// memory as the one that started it did, so that this one must stay small.
func spill(t *testing.T, b *bytes.Buffer, name string, least int) {
	t.Helper()
	if b.Len() < least {
		return
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.WriteTo(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func ipv6(next byte, payload []byte) []byte {
	b := append([]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0x1e, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0}, byte(len(payload)>>8), byte(len(payload)), next, 64)
	b = append(append(b, 0xfd), make([]byte, 14)...)
	b = append(append(b, 1, 0xfd), make([]byte, 14)...)
	return append(append(b, 2), payload...)
}

// Frames that are evil each in a way of their own.
func TestEvilFrames(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	a, b := [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}
	for _, c := range []struct {
		name string
		n    int
		add  func(p *pcap, i int)
	}{
		{"chains of IPv6 extension headers", n, func(p *pcap, i int) {
			var chain []byte
			for range i % 180 {
				chain = append(chain, 60, byte(i/180%3), 0, 0, 0, 0, 0, 0)
				chain = append(chain, make([]byte, i/180%3*8)...)
			}
			chain = chain[:min(len(chain), 1400)]
			p.raw(ipv6(60, append(chain, 17, 0, 0, 0, 0, 0, 0, 0, 0, 53, 0, 53, 0, 8, 0, 0)), 1500)
		}},
		{"fragments over each other that never end", n, func(p *pcap, i int) {
			payload := make([]byte, 8*(1+rnd.IntN(20)))
			p.frame(mac(0, 1), 17, a, b, payload)
			ip := p.Bytes()[p.Len()-20-len(payload):]
			binary.BigEndian.PutUint16(ip[4:], uint16(rnd.IntN(1+i%4096)))
			binary.BigEndian.PutUint16(ip[6:], 0x2000|uint16(rnd.IntN(0x2000)))
		}},
		{"IPv6 fragments of ever new datagrams", n, func(p *pcap, _ int) {
			head := binary.BigEndian.AppendUint32([]byte{17, 0, byte(rnd.IntN(256)), byte(rnd.IntN(256)) | 1}, rnd.Uint32())
			p.raw(ipv6(44, append(head, make([]byte, 8)...)), 70)
		}},
		{"lengths that lie", n, func(p *pcap, _ int) {
			p.frame(mac(0, 1), []byte{1, 6, 17, 58, 132, 47, 4}[rnd.IntN(7)], a, b, make([]byte, rnd.IntN(60)))
			frame := p.Bytes()[p.Len()-34:]
			for range 1 + rnd.IntN(3) { // of link, IP and what follows
				frame[12+rnd.IntN(len(frame)-12)] = byte(rnd.Uint32())
			}
		}},
		{"a million VLANs", 10 * n, func(p *pcap, i int) {
			p.raw([]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0x1e, 0, 0, 0, 1, 0x88, 0xa8, byte(i >> 16), byte(i >> 8), 0x81, 0, 0, byte(i),
				8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7, 0, 9, 0, 8, 0, 0}, 60)
		}},
		{"ports used again and again", n, func(p *pcap, i int) {
			seg := append([]byte{0x9c, 0x40, 0, 80}, byte(i>>24), byte(i>>16), byte(i>>8), byte(i), 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0)
			if i%2 == 0 {
				p.frame(mac(0, 1), 6, a, b, seg)
				return
			}
			copy(seg, []byte{0, 80, 0x9c, 0x40})
			seg[13] = 0x14
			p.frame(mac(0, 2), 6, b, a, seg)
		}},
		{"ICMP errors that quote anything", n, func(p *pcap, i int) {
			quote := make([]byte, 8+rnd.IntN(80))
			for j := range quote {
				quote[j] = byte(rnd.Uint32())
			}
			quote[0], quote[8%len(quote)] = []byte{3, 11, 12}[i%3], []byte{0x45, 0x60, 0x4f}[i/3%3]
			p.frame(mac(0, 1), 1, b, a, quote)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, name := capture(), filepath.Join(t.TempDir(), "evil.pcap")
			for i := range c.n {
				c.add(p, i)
				spill(t, &p.Buffer, name, 1<<20)
			}
			spill(t, &p.Buffer, name, 0)
			if got := survives(t, name, 0); got != c.n {
				t.Errorf("%d packets of %d", got, c.n)
			}
		})
	}
}

// ng builds a pcapng file, little endian.
type ng struct{ bytes.Buffer }

func (g *ng) block(kind uint32, body []byte) {
	body = append(body, make([]byte, -len(body)&3)...)
	size := uint32(12 + len(body))
	b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, kind), size)
	g.Write(binary.LittleEndian.AppendUint32(append(b, body...), size))
}

func (g *ng) section() {
	g.block(0x0a0d0d0a, append(binary.LittleEndian.AppendUint32(nil, 0x1a2b3c4d), 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
}

func (g *ng) iface(options ...byte) { g.block(1, append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, options...)) }

func (g *ng) packet(iface uint32, ts uint64, wire int) {
	frame := []byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0x1e, 0, 0, 0, 1, 8, 0,
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7, 0, 9, 0, 8, 0, 0}
	var b []byte
	for _, v := range []uint32{iface, uint32(ts >> 32), uint32(ts), uint32(len(frame)), uint32(wire)} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	g.block(6, append(b, frame...))
}

func TestEvilPcapng(t *testing.T) {
	name := filepath.Join(t.TempDir(), "evil.pcapng")
	run := func(g *ng, code int) int {
		t.Helper()
		spill(t, &g.Buffer, name, 0)
		defer os.Remove(name)
		return survives(t, name, code)
	}
	t.Run("block lengths that lie", func(t *testing.T) {
		for _, size := range []uint32{0, 4, 8, 11, 13, 36, 80, 1 << 20, 1 << 31, 0xfffffffc, 0xffffffff} {
			for _, at := range []int{4, 70, 16} { // front, end, and the captured length of a packet
				var g ng
				g.section()
				g.iface()
				g.packet(0, 1e15, 42)
				lie := g.Len()
				g.packet(0, 1e15, 42)
				g.packet(0, 1e15, 42)
				if at = lie + at; at == lie+16 {
					at += 4
				}
				binary.LittleEndian.PutUint32(g.Bytes()[at:], size)
				if n := run(&g, 0); n < 1 {
					t.Errorf("%d at %d: %d packets", size, at-lie, n)
				}
			}
		}
	})
	t.Run("a million interfaces", func(t *testing.T) {
		var g ng
		g.section()
		g.iface()
		g.packet(0, 1e15, 42)
		for range 1_000_000 {
			g.iface()
			spill(t, &g.Buffer, name, 1<<20)
		}
		if n := run(&g, 0); n != 1 {
			t.Errorf("%d packets", n)
		}
	})
	t.Run("a million interfaces in sections, with a packet of each", func(t *testing.T) {
		var g ng
		for i := range 1_000_000 {
			if i%16_000 == 0 {
				g.section()
			}
			g.iface(append([]byte{2, 0, 4, 0}, byte(i), byte(i>>8), byte(i>>16), 'x')...)
			g.packet(uint32(i%16_000), 1e15, 42)
			spill(t, &g.Buffer, name, 1<<20)
		}
		if n := run(&g, 0); n < 50_000 {
			t.Errorf("%d packets", n)
		}
	})
	t.Run("clocks", func(t *testing.T) {
		var g ng
		g.section()
		g.iface()
		g.iface(9, 0, 1, 0, 9, 0, 0, 0)                                                           // nanoseconds
		g.iface(9, 0, 1, 0, 0, 0, 0, 0)                                                           // seconds
		g.iface(14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x80)                                           // offset: the beginning of time
		g.iface(14, 0, 8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 9, 0, 1, 0, 0x8a, 0) // its end
		n := 0
		for range 100 {
			for i := range uint32(5) {
				for _, ts := range []uint64{0, 1, 1e15, 1e18, 4102444800, 4294967296 * 1e6, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
					g.packet(i, ts, 42)
					n++
				}
			}
		}
		if got := run(&g, 0); got != n {
			t.Errorf("%d packets of %d", got, n)
		}
	})
}

// Small files that are large inside: memory stays bounded, and time is that of the packets.
func TestGzipBomb(t *testing.T) {
	zip := func(head []byte, zeros int) []byte {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(head)
		for range zeros >> 20 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	size := 256 << 20
	if testing.Short() {
		size = 32 << 20
	}
	dir := t.TempDir()
	t.Run("packets of nothing", func(t *testing.T) {
		if n := survives(t, write(t, filepath.Join(dir, "a.pcap.gz"), zip(capture().Bytes(), size)), 0); n != size/16 {
			t.Errorf("%d packets", n)
		}
	})
	t.Run("a block of nothing", func(t *testing.T) {
		var g ng
		g.section()
		g.iface()
		g.packet(0, 1e15, 42)
		g.Write([]byte{0x99, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff}) // four gigabytes of no interest
		if n := survives(t, write(t, filepath.Join(dir, "b.pcapng.gz"), zip(g.Bytes(), size)), 0); n != 1 {
			t.Errorf("%d packets", n)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		survives(t, write(t, filepath.Join(dir, "c.pcap.gz"), zip(nil, size)), 1)
	})
	t.Run("bomb in bomb", func(t *testing.T) {
		survives(t, write(t, filepath.Join(dir, "d.pcap.gz"), zip(zip(capture().Bytes(), size), 0)), 1)
	})
}

// The files of the malformed set that are no captures are what fuzzers fed to readers of
// DNS, Modbus and others. Here they are payload on the ports that are looked into.
func TestMalformedPayloads(t *testing.T) {
	root := testbed.Data(t, "malformed")
	p, files := capture(), 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil || looksLikeCapture(data) {
			return err
		}
		files++
		data = data[:min(len(data), 1400)]
		a, b := [4]byte{10, 0, byte(files >> 8), byte(files)}, [4]byte{10, 1, 0, 1}
		for _, port := range []uint16{53, 67, 68, 137, 546, 547, 5353, 5355, 20000} {
			p.udp(mac(0, 1), a, b, 40000, port, data)
			p.udp(mac(0, 2), b, a, port, 40000, data)
		}
		for _, port := range []uint16{502, 20000, 443} {
			head := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, 40000), port)
			p.frame(mac(0, 1), 6, a, b, append(append(head, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0), data...))
			head = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, port), 40000)
			p.frame(mac(0, 2), 6, b, a, append(append(head, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0), data...))
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files: %v", files, err)
	}
	if n := survives(t, write(t, filepath.Join(t.TempDir(), "payloads.pcap"), p.Bytes()), 0); n != p.packets {
		t.Errorf("%d packets of %d", n, p.packets)
	}
	t.Logf("%d files", files)
}
