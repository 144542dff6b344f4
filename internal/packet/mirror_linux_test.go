package packet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// copies sends n of kind from an address of the loopback interface, each with its number
// as the last four bytes.
func copies(t testing.TB, kind, from, to string, port, n, size int) {
	t.Helper()
	network, target, local := "udp", net.JoinHostPort(to, fmt.Sprint(port)), net.Addr(&net.UDPAddr{IP: net.ParseIP(from)})
	if kind == "gre" {
		network, target, local = "ip:47", to, &net.IPAddr{IP: net.ParseIP(from)}
	}
	c, err := (&net.Dialer{LocalAddr: local}).Dial(network, target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, size)
	copy(b, kind)
	for i := range n {
		binary.BigEndian.PutUint32(b[size-4:], uint32(i))
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// fetch reads until nothing came for half a second.
func fetch(t testing.TB, s Source, see func(*Frame)) (n int) {
	t.Helper()
	frames := make([]Frame, 50)
	for last := time.Now(); time.Since(last) < 500*time.Millisecond; {
		got, err := s.NextBatch(frames)
		if err != nil {
			t.Fatal(err)
		}
		for i := range frames[:got] {
			see(&frames[i])
			last = time.Now()
		}
		n += got
	}
	return n
}

func TestMirrors(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Mirrors: &MirrorConfig{
			Listen: []string{"vxlan", "vxlan:8472", "geneve", "tzsp", "gre", "erspan"}, Unknown: true,
			Peers: []Peer{{netip.MustParseAddr("127.0.0.2"), "core-switch"}, {netip.MustParseAddr("127.0.0.3"), ""}},
		}})
		const n = 300
		type one struct {
			kind, from, name string
			port, size       int
			link             LinkType
		}
		sent := []one{
			{"vxlan", "127.0.0.2", "core-switch", 4789, 100, LinkMirrorVXLAN},
			{"vxlan", "127.0.0.3", "127.0.0.3", 8472, 101, LinkMirrorVXLAN},
			{"geneve", "127.0.0.2", "core-switch", 6081, 102, LinkMirrorGeneve},
			{"tzsp", "127.0.0.4", "127.0.0.4", 37008, 60000, LinkMirrorTZSP}, // fragments, put together by the kernel
			{"gre", "127.0.0.2", "core-switch", 0, 104, LinkMirrorGRE},
			{"gre", "::1", "::1", 0, 105, LinkMirrorGRE},
			{"vxlan", "::1", "::1", 4789, 106, LinkMirrorVXLAN},
		}
		for i, c := range sent {
			to := "127.0.0.1"
			if c.from == "::1" {
				to = "::1"
			}
			copies(t, c.kind, c.from, to, c.port, n, c.size)
			next := uint32(0)
			got := fetch(t, s, func(f *Frame) {
				name := s.Interfaces()[f.Interface].Name
				if f.Link != c.link || name != c.name || Addr(f.Peer).String() != c.from || len(f.Data) != c.size || f.WireLen != c.size ||
					string(f.Data[:len(c.kind)]) != c.kind || binary.BigEndian.Uint32(f.Data[c.size-4:]) != next ||
					time.Since(time.Unix(0, f.Time)).Abs() > 20*time.Second {
					t.Fatalf("%+v: got %d bytes of link %d from %s (%s), wanted number %d", c, len(f.Data), f.Link, name, Addr(f.Peer), next)
				}
				next++
			})
			if got != n {
				t.Errorf("%d: %+v: %d of %d", i, c, got, n)
			}
		}
		per := map[string]uint64{}
		for _, i := range s.Stats().Interfaces {
			per[i.Name] = i.Packets
		}
		for name, want := range map[string]uint64{
			"core-switch": 3 * n, "127.0.0.3": n, "127.0.0.4": n, "::1": 2 * n, otherPeers: 0,
			"mirror vxlan:4789": 2 * n, "mirror vxlan:8472": n, "mirror gre": n, "mirror gre IPv6": n, "mirror tzsp:37008": n,
		} {
			if got, ok := per[name]; got != want || !ok {
				t.Errorf("%s: %d packets, want %d, of %v", name, got, want, per)
			}
		}
	})
	goleak.VerifyNone(t)
}

func TestMirrorUnknownPeersAreCounted(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}, Mirrors: &MirrorConfig{
			Listen: []string{"vxlan"}, Address: netip.MustParseAddr("127.0.0.1"),
			Peers: []Peer{{netip.MustParseAddr("127.0.0.2"), "known"}},
		}})
		copies(t, "vxlan", "127.0.0.3", "127.0.0.1", 4789, 70, 50)
		copies(t, "vxlan", "127.0.0.2", "127.0.0.1", 4789, 30, 50)
		if n := fetch(t, s, func(f *Frame) {
			if name := s.Interfaces()[f.Interface].Name; name != "known" {
				t.Fatalf("a copy of %s", name)
			}
		}); n != 30 {
			t.Errorf("%d copies", n)
		}
		for _, i := range s.Stats().Interfaces {
			if want := map[string]uint64{otherPeers: 70}[i.Name]; i.Unwanted != want {
				t.Errorf("%+v", i)
			}
		}
		send(t, 10, 20, 5) // the interface beside it
		if n := fetch(t, s, func(f *Frame) {
			if f.Interface != 0 || f.Link != LinkEthernet {
				t.Fatalf("%+v", f)
			}
		}); n != 10 {
			t.Errorf("%d packets of the interface", n)
		}
	})
}

// Peers beyond what is told apart share one name, and nothing is lost.
func TestMirrorPeersAreBounded(t *testing.T) {
	p := newPeers(&MirrorConfig{Unknown: true}, 3)
	for round := range 2 {
		for i := range maxPeers + 50 {
			at, ok := p.find([16]byte{10: 0xff, 11: 0xff, 12: 10, 14: byte(i >> 8), 15: byte(i)})
			if want := 3 + i + 1; !ok || i < maxPeers && at != want || i >= maxPeers && at != 3 {
				t.Fatalf("round %d: peer %d is interface %d", round, i, at)
			}
		}
	}
	if len(p.list) != maxPeers+1 || p.packets[0] != 100 || p.list[1].Name != "10.0.0.0" {
		t.Errorf("%d interfaces, %d packets of others", len(p.list), p.packets[0])
	}
}

func TestMirrorDropsAreCounted(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{BufferMiB: 1, Mirrors: &MirrorConfig{Listen: []string{"tzsp", "gre"}, Unknown: true}})
		const n = 5000
		copies(t, "tzsp", "127.0.0.2", "127.0.0.1", 37008, n, 1000) // nobody reads
		copies(t, "gre", "127.0.0.2", "127.0.0.1", 0, n, 1000)
		got := fetch(t, s, func(*Frame) {})
		st := s.Stats()
		if st.Drops() == 0 || uint64(got)+st.Drops() != 2*n || st.Packets != uint64(got) {
			t.Errorf("%d copies, %d drops, %d sent: %+v", got, st.Drops(), 2*n, st)
		}
		for _, i := range st.Interfaces[2:] {
			if !strings.HasPrefix(i.Name, "mirror ") || i.Packets+i.Drops != n && !strings.HasSuffix(i.Name, "IPv6") {
				t.Errorf("%+v", i)
			}
		}
	})
}

func TestMirrorErrors(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		taken, err := net.ListenPacket("udp4", ":6081")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		a := netip.MustParseAddr("10.9.0.1")
		for _, c := range []struct {
			config MirrorConfig
			says   []string
		}{
			{MirrorConfig{Listen: []string{"geneve"}, Unknown: true}, []string{"mirror geneve:6081", "port 6081 is in use"}},
			{MirrorConfig{Listen: []string{"vxlan"}, Unknown: true, Address: netip.MustParseAddr("10.77.0.1")}, []string{"10.77.0.1 is no address of this host"}},
			{MirrorConfig{Listen: []string{"vlan", "gre:5", "tzsp:0", "vxlan", "vxlan", "tzsp:4789"}, Peers: []Peer{{a, "x"}, {a, "x"}, {}}}, []string{
				`"vlan" is no kind`, "gre has no ports", `"0" is no port`, "vxlan:4789 is named twice", "can't share port 4789",
				"10.9.0.1 is named twice", "two peers are called x", "peer 3 has no address"}},
			{MirrorConfig{}, []string{"no kind of mirror is named; there are vxlan,", "no peer is known"}},
		} {
			_, err := OpenLive(LiveConfig{Mirrors: &c.config})
			if err == nil {
				t.Errorf("%+v: no error", c.config)
				continue
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q is not in: %v", says, err)
				}
			}
		}
	})
	goleak.VerifyNone(t)
}

func TestMirrorCloseEndsNextBatch(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Mirrors: &MirrorConfig{Listen: []string{"vxlan"}, Unknown: true}})
		copies(t, "vxlan", "127.0.0.2", "127.0.0.1", 4789, 5, 50)
		frames := make([]Frame, 16)
		n, err := s.NextBatch(frames)
		if n == 0 || err != nil {
			t.Fatal(n, err)
		}
		s.Close()
		if string(frames[0].Data[:5]) != "vxlan" {
			t.Error("the frames in use were taken away")
		}
		if _, err := s.NextBatch(frames); err != os.ErrClosed {
			t.Error(err)
		}
	})
}

// BenchmarkMirror sends small copies over the loopback interface, and reports what reading
// them costs. Softirqs of the sender are the sender's.
func BenchmarkMirror(b *testing.B) {
	inNamespace(b, func(b *testing.B) {
		s := openLive(b, LiveConfig{BufferMiB: 64, Mirrors: &MirrorConfig{Listen: []string{"vxlan"}, Unknown: true}})
		c, err := net.Dial("udp4", "127.0.0.1:4789")
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		frames, data := make([]Frame, 256), make([]byte, 68)
		b.ReportAllocs()
		const n = 20_000
		packets, start := 0, threadTime()
		for b.Loop() {
			sent := make(chan error, 1)
			go func() {
				for range n {
					if _, err := c.Write(data); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for got := 0; got < n; {
				k, err := s.NextBatch(frames)
				if err != nil {
					b.Fatal(err)
				}
				if k == 0 && got > 0 {
					break
				}
				got += k
				packets += k
			}
			if err := <-sent; err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((threadTime()-start).Nanoseconds())/float64(packets), "cpu-ns/packet")
		b.ReportMetric(float64(s.Stats().Drops()), "drops")
	})
}

func FuzzParseMirror(f *testing.F) {
	for _, s := range []string{"vxlan", "vxlan:8472", "gre", "gre:1", "tzsp:", "geneve:65536", ":", "erspan:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMirror(text)
		if err != nil {
			return
		}
		if again, err := ParseMirror(m.String()); err != nil || again != m {
			t.Errorf("%q is %+v, and its name %+v: %v", text, m, again, err)
		}
	})
}

// The kernel gives as much room as was asked for to those who may have more than its
// limit, and the limit to others, and it is told which.
func TestMirrorBuffer(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		buffers := func(mib int) (given, asked int) {
			s := openLive(t, LiveConfig{Interfaces: []string{"vb"}, BufferMiB: mib, Mirrors: &MirrorConfig{Listen: []string{"vxlan", "gre"}, Unknown: true}})
			defer s.Close()
			for _, i := range s.Stats().Interfaces {
				if is := strings.HasPrefix(i.Name, "mirror "); is != (i.Buffer > 0) || is != (i.Asked > 0) {
					t.Errorf("%+v", i)
				} else if is {
					given, asked = i.Buffer, i.Asked
				}
			}
			return given, asked
		}
		for _, mib := range []int{1, 64, maxBufferMiB} {
			if given, asked := buffers(mib); given != asked || asked != min(mib<<20, 1<<30-1) {
				t.Errorf("%d MiB: %d bytes of %d", mib, given, asked)
			}
		}
		text, err := os.ReadFile("/proc/sys/net/core/rmem_max")
		if err != nil {
			t.Skip(err)
		}
		limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || limit >= 1<<30-1 {
			t.Skipf("a limit of %s", text)
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // of this thread, which ends with the test
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			t.Fatal(err)
		}
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Fatal(err)
		}
		if given, asked := buffers(maxBufferMiB); given != limit || asked != 1<<30-1 {
			t.Errorf("%d bytes of %d, where the limit is %d", given, asked, limit)
		}
	})
}
