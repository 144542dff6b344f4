package quality

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/quality/chain"
)

// script makes the packets of a staged attack, each at its time.
type script struct {
	rng     *rand.Rand
	at      time.Duration // since the start of the attack
	frames  []frame
	device  host // who was taken over
	gateway host
	hops    byte // initial TTL of the device
	port    uint16
}

type host struct {
	mac  [6]byte
	addr netip.Addr
}

type frame struct {
	at   time.Duration
	data []byte
}

const (
	fin = 1
	syn = 2
	rst = 4
	psh = 8
	ack = 16
)

func (s *script) wait(d time.Duration) { s.at += d }

// jitter is a duration within ± share of d.
func (s *script) jitter(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*s.rng.Float64()-1)))
}

// outside is a random address of a documentation network, behind the gateway.
func (s *script) outside() host {
	return host{s.gateway.mac, netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + s.rng.IntN(250))})}
}

func (s *script) inside(n int) host {
	a := s.device.addr.As4()
	a[3] = byte(n)
	return host{[6]byte{0xde, 0xad, 0xbe, 0xef, 0, byte(n)}, netip.AddrFrom4(a)}
}

func (s *script) add(b []byte) { s.frames = append(s.frames, frame{s.at, b}) }

func ip(from, to host, ttl, proto byte, payload []byte) []byte {
	b := append(append(append([]byte{}, to.mac[:]...), from.mac[:]...), 8, 0)
	head := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, ttl, proto, 0, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(payload)))
	src, dst := from.addr.As4(), to.addr.As4()
	return append(append(append(append(b, head...), src[:]...), dst[:]...), payload...)
}

func tcp(sport, dport uint16, flags byte, seq, ackn uint32, payload int) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ackn)
	b = append(b, 0x50, flags, 0x72, 0x10, 0, 0, 0, 0)
	return append(b, make([]byte, payload)...)
}

func (s *script) ttl(h host) byte {
	if h.mac == s.gateway.mac && h.addr != s.gateway.addr {
		return 52
	}
	return s.hops
}

func (s *script) tcp(from, to host, sport, dport uint16, flags byte, seq, ackn uint32, payload int) {
	s.add(ip(from, to, s.ttl(from), 6, tcp(sport, dport, flags, seq, ackn, payload)))
}

// session is a connection with messages both ways, in bytes, and its end.
func (s *script) session(from, to host, port uint16, up, down int) {
	s.port++
	p := 45000 + s.port%15000
	s.tcp(from, to, p, port, syn, 99, 0, 0)
	s.wait(20 * time.Millisecond)
	s.tcp(to, from, port, p, syn|ack, 499, 100, 0)
	s.tcp(from, to, p, port, ack, 100, 500, 0)
	mine, theirs := uint32(100), uint32(500)
	for n := 0; n < up; n += 1400 {
		size := min(1400, up-n)
		s.wait(500 * time.Microsecond)
		s.tcp(from, to, p, port, psh|ack, mine, theirs, size)
		mine += uint32(size)
		if n%14000 == 0 {
			s.tcp(to, from, port, p, ack, theirs, mine, 0)
		}
	}
	for n := 0; n < down; n += 1400 {
		size := min(1400, down-n)
		s.wait(500 * time.Microsecond)
		s.tcp(to, from, port, p, psh|ack, theirs, mine, size)
		theirs += uint32(size)
	}
	s.wait(20 * time.Millisecond)
	s.tcp(from, to, p, port, fin|ack, mine, theirs, 0)
	s.tcp(to, from, port, p, fin|ack, theirs, mine+1, 0)
	s.tcp(from, to, p, port, ack, mine+1, theirs+1, 0)
}

// knock is a SYN that is answered by a reset, or not at all.
func (s *script) knock(from, to host, port uint16, refused bool) {
	s.port++
	p := 45000 + s.port%15000
	s.tcp(from, to, p, port, syn, 7, 0, 0)
	if refused {
		s.wait(2 * time.Millisecond)
		s.tcp(to, from, port, p, rst|ack, 0, 8, 0)
	}
}

func (s *script) udp(from, to host, port uint16, payload int) {
	b := binary.BigEndian.AppendUint16(nil, 45000+s.port%15000)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, uint16(8+payload))
	s.add(ip(from, to, s.ttl(from), 17, append(append(b, 0, 0), make([]byte, payload)...)))
}

func (s *script) ping(from, to host) {
	s.add(ip(from, to, s.ttl(from), 1, append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, make([]byte, 32)...)))
}

// arp is a reply by which one says that it has an address.
func (s *script) arp(from [6]byte, claimed netip.Addr, to host) {
	b := append(append(append([]byte{}, to.mac[:]...), from[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 2)
	c, a := claimed.As4(), to.addr.As4()
	b = append(append(append(append(b, from[:]...), c[:]...), to.mac[:]...), a[:]...)
	s.add(append(b, make([]byte, 18)...))
}

// The staged attacks. Want is the class that an attack must get, first, and others
// that are true as well; none where a week of learning is too short to tell it from usual.
var injections = []struct {
	name string
	want []string
	run  func(s *script)
}{
	{"telnet scan of the internet", []string{threat.HostScan}, func(s *script) {
		for range 60 {
			s.knock(s.device, host{s.gateway.mac, netip.AddrFrom4([4]byte{byte(20 + s.rng.IntN(150)), byte(s.rng.IntN(256)), byte(s.rng.IntN(256)), byte(s.rng.IntN(256))})}, 23, false)
			s.wait(s.jitter(300*time.Millisecond, 0.5))
		}
	}},
	{"port scan of the gateway", []string{threat.PortScan}, func(s *script) {
		for i := range 200 {
			s.knock(s.device, s.gateway, uint16(1+(i*131+s.rng.IntN(9))%9000), true)
			s.wait(s.jitter(30*time.Millisecond, 0.5))
		}
	}},
	{"ping sweep of the subnet", []string{threat.HostScan}, func(s *script) {
		for i := range 80 {
			s.ping(s.device, s.inside(10+i))
			s.wait(s.jitter(100*time.Millisecond, 0.5))
		}
	}},
	{"SYN flood of a server", []string{threat.Flood}, func(s *script) {
		target := s.outside()
		for range 4000 {
			s.knock(s.device, target, 80, false)
			s.wait(s.jitter(2*time.Millisecond, 0.5))
		}
	}},
	{"UDP flood of a server", []string{threat.Flood}, func(s *script) {
		target := s.outside()
		for range 40000 {
			s.udp(s.device, target, 27015, 400)
			s.wait(s.jitter(30*time.Microsecond, 0.5))
		}
	}},
	{"SSH password guessing", []string{threat.BruteForce}, func(s *script) {
		target := s.outside()
		for range 60 {
			s.session(s.device, target, 22, 900, 1500)
			s.wait(s.jitter(1500*time.Millisecond, 0.3))
		}
	}},
	{"telnet password guessing from the internet", []string{threat.BruteForce}, func(s *script) {
		from := s.outside()
		for range 60 {
			s.session(from, s.device, 23, 120, 300)
			s.wait(s.jitter(2*time.Second, 0.3))
		}
	}},
	{"beacon every minute", []string{threat.Beacon}, func(s *script) {
		target := s.outside()
		for range 40 {
			s.session(s.device, target, 8443, 200, 120)
			s.wait(s.jitter(time.Minute, 0.02))
		}
	}},
	{"beacon with 20 % jitter", []string{threat.Beacon}, func(s *script) {
		target := s.outside()
		for range 60 {
			s.session(s.device, target, 443, 200, 120)
			s.wait(s.jitter(45*time.Second, 0.2))
		}
	}},
	{"upload of 40 MB", []string{threat.Exfiltration}, func(s *script) {
		target := s.outside()
		for range 8 {
			s.session(s.device, target, 443, 5<<20, 2000)
		}
	}},
	{"ARP spoofing of the gateway", []string{threat.ARPSpoofing, threat.NewDevice}, func(s *script) {
		thief := [6]byte{0x0a, 0x00, 0x27, 1, 2, byte(s.rng.IntN(256))}
		for range 60 {
			s.arp(thief, s.gateway.addr, s.device)
			s.wait(time.Second)
			s.arp(s.gateway.mac, s.gateway.addr, s.device)
			s.wait(s.jitter(time.Second, 0.2))
		}
	}},
	{"a new device", []string{threat.NewDevice}, func(s *script) {
		visitor := s.inside(77)
		s.arp(visitor.mac, visitor.addr, s.gateway)
		for range 10 {
			s.wait(s.jitter(20*time.Second, 0.5))
			s.session(visitor, s.outside(), 443, 3000, 9000)
		}
	}},
	{"one session of IRC", nil, func(s *script) {
		s.session(s.device, s.outside(), 6667, 400, 700)
	}},
}

// write puts the frames into a pcap file, beginning at a time.
func write(t *testing.T, frames []frame, begin time.Time) string {
	t.Helper()
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0)
	for _, f := range frames {
		at := begin.Add(f.at)
		b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()/1000))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.data)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.data)))
		b = append(b, f.data...)
	}
	name := filepath.Join(t.TempDir(), "injected.pcap")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// merged reads captures together, by the time of their packets.
func merged(t *testing.T, paths ...string) *chain.Chain {
	t.Helper()
	c := chain.New()
	if err := c.Read(paths...); err != nil {
		t.Fatal(err)
	}
	return c
}

// watchedDevice is a real device and a week of its traffic.
type watchedDevice struct {
	file  string
	host  host
	begin time.Time
}

var weekGateway = host{[6]byte{0x00, 0x1c, 0x7f, 0x53, 0xd0, 0x28}, netip.MustParseAddr("192.168.1.1")}

// weeks are the devices that attacks are put into.
func weeks(t *testing.T) []watchedDevice {
	t.Helper()
	dir := testbed.Data(t, "iot-week")
	all := []watchedDevice{
		{"blink-cam-01.pcap", host{[6]byte{0xf4, 0xb8, 0x5e, 0xff, 0x2b, 0x1b}, netip.MustParseAddr("192.168.1.129")}, time.Time{}},
		{"schlage-lock-01.pcap", host{[6]byte{0x78, 0xdb, 0x2f, 0xdb, 0x43, 0x48}, netip.MustParseAddr("192.168.1.122")}, time.Time{}},
		{"sifely-hub-01.pcap", host{[6]byte{0xf4, 0xcf, 0xa2, 0xeb, 0x59, 0xc4}, netip.MustParseAddr("192.168.1.127")}, time.Time{}},
	}
	for i := range all {
		d := &all[i]
		d.file = filepath.Join(dir, d.file)
		b, err := os.ReadFile(d.file)
		if err != nil {
			t.Fatal(err)
		}
		d.begin = time.Unix(int64(binary.LittleEndian.Uint32(b[24:])), 0)
	}
	return all
}

// stage makes an attack on the device with this number, late in its week.
func (d watchedDevice) stage(attack func(*script), number int, seed uint64) (s *script, begin time.Time) {
	s = &script{rng: rand.New(rand.NewPCG(seed, uint64(number))), device: d.host, gateway: weekGateway, hops: 128}
	begin = d.begin.Add(time.Duration((0.7 + 0.25*s.rng.Float64()) * 7 * 24 * float64(time.Hour))).Truncate(time.Second)
	attack(s)
	return s, begin
}

// Attacks put into a week of a real device's traffic, after it was learned.
func TestInjections(t *testing.T) {
	devices := weeks(t)
	right, wanted, beside, outside := 0, 0, 0, 0
	y := newTable("Staged", "Times", "Seen", "Right class")
	for _, x := range injections {
		here, hereRight := 0, 0
		for di, d := range devices {
			for seed := range uint64(3) {
				s, begin := d.stage(x.run, di, seed)
				c := merged(t, d.file, write(t, s.frames, begin))
				found, correct := false, false
				for _, r := range c.Reports {
					during := r.Last >= begin.UnixNano() && r.First <= begin.Add(s.at+10*time.Minute).UnixNano()
					switch {
					case !during:
						outside++
						t.Errorf("%s in %s, seed %d: outside the attack: %s: %s", x.name, d.file, seed, r.Class, r.Summary)
					case len(x.want) > 0 && r.Class == x.want[0]:
						found, correct = true, true
					case slices.Contains(x.want, r.Class): // true as well
					default:
						found = true
						beside++
						t.Errorf("besides: %s in %s, seed %d: %s: %s", x.name, d.file, seed, r.Class, r.Summary)
					}
				}
				if found {
					here++
				}
				if correct {
					hereRight++
				} else if x.want != nil {
					t.Logf("%s in %s, seed %d: not seen as %v; evidence %v", x.name, d.file, seed, x.want, c.Unusual)
				}
			}
		}
		runs := 3 * len(devices)
		if x.want != nil {
			wanted, right = wanted+runs, right+hereRight
		}
		y.row(x.name, num(runs), num(here), num(hereRight))
	}
	y.row("nothing: other reports in all these weeks", "", num(beside+outside), "")
	if right < wanted {
		t.Errorf("%d of %d have the right class, want all", right, wanted)
	}
	y.hold(t, "injections")
}
