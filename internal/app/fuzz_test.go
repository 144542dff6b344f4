package app

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/monban/monban/internal/packet"
)

// fuzz feeds a payload under each of these headers, in one piece and with its end
// not captured, and holds that what comes out is bounded text.
func fuzz(f *testing.F, heads []packet.Header, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	malformed(func(payload []byte) { f.Add(payload) })
	b, now := newBench(Config{}), int64(start) // one for all, since making one costs more than using it
	f.Fuzz(func(t *testing.T, payload []byte) {
		b.sightings, b.flows = b.sightings[:0], b.flows[:0]
		now += 600 * nsPerSecond
		for _, h := range heads {
			h.Time = now
			h.Payload, h.PayloadLen = payload, len(payload)
			b.packet(h)
			h.Payload, h.Time = payload[:len(payload)/2], h.Time+1
			b.packet(h)
		}
		b.table.Flush()
		check := func(texts ...string) {
			for _, s := range texts {
				if len(s) > 4*maxNameLength+64 || !utf8.ValidString(s) {
					t.Errorf("%d bytes of text: %q", len(s), s)
				}
			}
		}
		for _, s := range b.sightings {
			check(s.Name, s.Vendor, s.Params)
			check(s.Names...)
			check(s.Addresses...)
			if len(s.Names) > maxListed || len(s.Addresses) > maxListed {
				t.Errorf("%d names, %d addresses", len(s.Names), len(s.Addresses))
			}
		}
		for i := range b.flows {
			check(b.flows[i].Questions...)
			check(b.flows[i].Commands...)
		}
	})
}

// malformed hands out the shared inputs of other projects' fuzzers, those of at most 2 KiB
// that are no captures. Where there are none a fuzzer has only the seeds of its own.
func malformed(see func(payload []byte)) {
	dir := os.Getenv("MONBAN_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	for _, set := range []string{"zeek-fuzz-payload", "ndpi-fuzz-payload"} {
		files, _ := os.ReadDir(filepath.Join(dir, "malformed", set))
		for _, file := range files {
			if b, err := os.ReadFile(filepath.Join(dir, "malformed", set, file.Name())); err == nil && len(b) <= 2048 {
				see(b)
			}
		}
	}
}

func udpHead(src, dst string) packet.Header {
	return ipHeader(start, packet.ProtoUDP, src, dst, nil)
}

func FuzzARP(f *testing.F) {
	h := arpHeader(start, 1, mac(1), mac(1), "10.0.0.1", "10.0.0.2")
	fuzz(f, []packet.Header{h}, h.Payload)
}

func FuzzNeighbourDiscovery(f *testing.F) {
	h := ipHeader(start, packet.ProtoICMPv6, "[fe80::7]:0", "[ff02::1]:0", nil)
	h.ICMPType = ndpAdvertise
	g := h
	g.ICMPType = ndpSolicit
	fuzz(f, []packet.Header{h, g}, append(h.Src[:], 2, 1, 0, 1, 2, 3, 4, 5))
}

func FuzzDHCP(f *testing.F) {
	fuzz(f, []packet.Header{udpHead("0.0.0.0:68", "255.255.255.255:67"), udpHead("10.0.0.1:67", "10.0.0.2:68")},
		dhcpPacket(1, mac(1), [4]byte{}, [4]byte{}, 53, 1, 3, 12, 2, 'p', '1', 81, 6, 4, 0, 0, 1, 'a', 0, 55, 2, 1, 3),
		dhcpPacket(2, mac(1), [4]byte{}, [4]byte{10, 0, 0, 1}, 53, 1, 5, 3, 4, 10, 0, 0, 1))
}

func FuzzDHCPv6(f *testing.F) {
	fuzz(f, []packet.Header{udpHead("[fe80::1]:546", "[ff02::1:2]:547"), udpHead("[fe80::1]:547", "[fe80::2]:546")},
		append([]byte{1, 0, 0, 1, 0, 39, 0, 9, 0}, dnsName("pump-6")...))
}

func FuzzDNS(f *testing.F) {
	name := dnsName("dev", "example", "com")
	fuzz(f, []packet.Header{udpHead("10.0.0.1:53", "10.0.0.2:4000"), udpHead("10.0.0.2:4000", "10.0.0.1:53")},
		newDNS(0x8180, 1, 2).question(name, typeA).record([]byte{0xc0, 12}, typeCNAME, 60, dnsName("a")).record(dnsName("a"), typeA, 60, []byte{9, 9, 9, 9}),
		newDNS(0x0100, 1).question(name, typeA))
}

func FuzzMDNS(f *testing.F) {
	fuzz(f, []packet.Header{udpHead("10.0.0.7:5353", "224.0.0.251:5353")},
		newDNS(0x8400, 0, 3).
			record(dnsName("_http", "_tcp", "local"), typePTR, 60, dnsName("My Pump", "_http", "_tcp", "local")).
			record(dnsName("My Pump", "_http", "_tcp", "local"), typeSRV, 60, append([]byte{0, 0, 0, 0, 0, 80}, dnsName("Pump", "local")...)).
			record(dnsName("Pump", "local"), typeA, 60, []byte{10, 0, 0, 7}))
}

func FuzzLLMNR(f *testing.F) {
	fuzz(f, []packet.Header{udpHead("10.0.0.7:5355", "10.0.0.9:5000")},
		newDNS(0x8000, 1, 1).question(dnsName("HMI"), typeA).record([]byte{0xc0, 12}, typeA, 30, []byte{10, 0, 0, 7}))
}

func FuzzNetBIOS(f *testing.F) {
	name := append(append([]byte{32}, "FAEMEDCNDBCACACACACACACACACACAAA"...), 0)
	fuzz(f, []packet.Header{udpHead("10.0.0.7:137", "10.0.0.255:137")},
		newDNS(0x2910, 1, 0, 0, 1).question(name, 32).record([]byte{0xc0, 12}, 32, 60, []byte{0, 0, 10, 0, 0, 7}))
}

func FuzzModbus(f *testing.F) {
	fuzz(f, []packet.Header{
		ipHeader(start, packet.ProtoTCP, "10.0.0.1:1000", "10.0.0.2:502", nil),
		ipHeader(start, packet.ProtoTCP, "10.0.0.2:502", "10.0.0.1:1000", nil),
		ipHeader(start, packet.ProtoTCP, "10.0.0.1:1000", "10.0.0.2:5020", nil),
		ipHeader(start, packet.ProtoTCP, "10.0.0.2:5020", "10.0.0.1:1000", nil),
	}, modbusADU(1, 1, 3, 0, 0, 0, 2), modbusADU(1, 1, 0x83, 2), append(modbusADU(1, 1, 3, 0), 1))
}

func FuzzDNP3(f *testing.F) {
	fuzz(f, []packet.Header{
		ipHeader(start, packet.ProtoTCP, "10.0.0.1:1000", "10.0.0.2:20000", nil),
		udpHead("10.0.0.1:1000", "10.0.0.2:20000"),
	}, dnp3Frame(4, 3, 0xc4, 0xc0, 0xc0, 1, 60, 2, 6), append([]byte{1, 2, 5, 0x64, 5}, dnp3Frame(4, 3, 0xc4, 0xc0, 0xc0, 2)...))
}

// Captures that were made to break readers say nothing to us, and break nothing.
func TestMalformed(t *testing.T) {
	root := data(t, "malformed")
	files := 0
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if files++; testing.Short() && files%8 != 0 {
			return nil
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			b := newBench(Config{})
			b.read(t, path)
			b.table.Flush()
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
