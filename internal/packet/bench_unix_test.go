//go:build unix

package packet

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// benchCapture writes a capture of n frames in 5,000 flows, 60 bytes each: the
// worst case of a meter, as the cost is all in the headers.
func benchCapture(b *testing.B, n int, ng bool) string {
	b.Helper()
	var out bytes.Buffer
	frame := make([]byte, 60)
	binary.BigEndian.PutUint16(frame[12:], NetIPv4)
	frame[0], frame[6], frame[14], frame[22], frame[23], frame[46] = 2, 2, 0x45, 64, ProtoTCP, 5<<4
	frame[47] = ACK
	binary.BigEndian.PutUint16(frame[16:], 46)
	var w *pcapgo.Writer
	var wng *pcapgo.NgWriter
	if ng {
		wng, _ = pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	} else {
		w = pcapgo.NewWriter(&out)
		w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	}
	info := gopacket.CaptureInfo{Timestamp: time.Unix(1700000000, 0), CaptureLength: len(frame), Length: len(frame)}
	for i := range n {
		flow := uint32(uint64(i)*2654435761) % 5000
		binary.BigEndian.PutUint32(frame[26:], 0x0a000000|flow)
		binary.BigEndian.PutUint32(frame[30:], 0xc0a80000|flow>>4)
		binary.BigEndian.PutUint16(frame[34:], uint16(1024+flow))
		binary.BigEndian.PutUint16(frame[36:], 40000)
		if ng {
			wng.WritePacket(info, frame)
		} else {
			w.WritePacket(info, frame)
		}
	}
	if ng {
		wng.Flush()
	}
	path := filepath.Join(b.TempDir(), "bench.pcap")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

const benchPackets = 1 << 19

// perPacket reports processor time, which a busy machine changes less than the
// clock on the wall.
func perPacket(b *testing.B, packets int, since time.Duration) {
	b.ReportMetric(float64((cpuTime()-since).Nanoseconds())/float64(packets), "cpu-ns/packet")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// read runs over a capture and gives every batch to see.
func read(b *testing.B, path string, frames []Frame, see func([]Frame)) (packets int) {
	s, err := OpenFiles(path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for {
		n, err := s.NextBatch(frames)
		if err == io.EOF {
			return packets
		}
		if err != nil {
			b.Fatal(err)
		}
		see(frames[:n])
		packets += n
	}
}

func BenchmarkRead(b *testing.B) {
	for _, format := range []string{"pcap", "pcapng"} {
		b.Run(format, func(b *testing.B) {
			path := benchCapture(b, benchPackets, format == "pcapng")
			frames := make([]Frame, 256)
			b.ReportAllocs()
			start := cpuTime()
			packets := 0
			for b.Loop() {
				packets += read(b, path, frames, func([]Frame) {})
			}
			perPacket(b, packets, start)
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	path := benchCapture(b, 256, false)
	frames := make([]Frame, 256)
	s, err := OpenFiles(path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	n, _ := s.NextBatch(frames)
	var d Decoder
	var h Header
	b.ReportAllocs()
	start := cpuTime()
	packets := 0
	for b.Loop() {
		for i := range frames[:n] {
			if d.Decode(&frames[i], &h) != OK {
				b.Fatal("refused")
			}
		}
		packets += n
	}
	perPacket(b, packets, start)
}

func BenchmarkReadAndDecode(b *testing.B) {
	path := benchCapture(b, benchPackets, false)
	frames := make([]Frame, 256)
	var d Decoder
	var h Header
	b.ReportAllocs()
	start := cpuTime()
	packets := 0
	for b.Loop() {
		packets += read(b, path, frames, func(batch []Frame) {
			for i := range batch {
				if d.Decode(&batch[i], &h) != OK {
					b.Fatal("refused")
				}
			}
		})
	}
	perPacket(b, packets, start)
}

// What the same costs with the library: read only, then with its fastest decoder.
func BenchmarkLibrary(b *testing.B) {
	path := benchCapture(b, benchPackets, false)
	for _, decode := range []bool{false, true} {
		name := "Read"
		if decode {
			name = "ReadAndDecode"
		}
		b.Run(name, func(b *testing.B) {
			var eth layers.Ethernet
			var tag layers.Dot1Q
			var ip4 layers.IPv4
			var ip6 layers.IPv6
			var tcp layers.TCP
			var udp layers.UDP
			var payload gopacket.Payload
			parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &tag, &ip4, &ip6, &tcp, &udp, &payload)
			parser.IgnoreUnsupported = true
			var found []gopacket.LayerType
			b.ReportAllocs()
			start := cpuTime()
			packets := 0
			for b.Loop() {
				f, err := os.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				r, err := pcapgo.NewReader(f)
				if err != nil {
					b.Fatal(err)
				}
				for {
					data, _, err := r.ZeroCopyReadPacketData()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					if decode {
						if err := parser.DecodeLayers(data, &found); err != nil {
							b.Fatal(err)
						}
					}
					packets++
				}
				f.Close()
			}
			perPacket(b, packets, start)
		})
	}
}
