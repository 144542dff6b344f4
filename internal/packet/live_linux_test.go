package packet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// inNamespace runs the test in a network namespace of its own with two ends of a veth pair, va and vb, that are up and have addresses.
func inNamespace[T testing.TB](t T, f func(t T)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the ip command")
	}
	runtime.LockOSThread() // never unlocked, so that the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("network namespaces can't be made here: %v", err)
	}
	ip(t, "link set lo up")
	ip(t, "link add va type veth peer name vb")
	for _, end := range []string{"va", "vb"} { // no neighbour discovery between our packets
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+end+"/disable_ipv6", []byte("1"), 0)
	}
	ip(t, "addr add 10.9.0.1/24 dev va")
	ip(t, "link set va up")
	ip(t, "link set vb up")
	running(t)
	f(t)
}

// running waits until both ends have carrier; what is sent before goes nowhere.
func running(t testing.TB) {
	t.Helper()
	for _, name := range []string{"va", "vb"} {
		for start := time.Now(); ; time.Sleep(time.Millisecond) {
			if i, err := net.InterfaceByName(name); err == nil && i.Flags&net.FlagRunning != 0 {
				break
			}
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%s has no carrier", name)
			}
		}
	}
}

func ip(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// send sends n datagrams of size bytes over va to an address behind vb that a static
// neighbour entry gives a MAC.
func send(t *testing.T, n, size, port int) {
	t.Helper()
	ip(t, "neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev va")
	conn, err := net.Dial("udp4", fmt.Sprintf("10.9.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, size)
	for i := range n {
		b[0] = byte(i)
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// collect reads until nothing came for a second, and gives the headers to see.
func collect(t *testing.T, s Source, see func(*Frame, *Header)) (n int) {
	t.Helper()
	var d Decoder
	var h Header
	frames := make([]Frame, 256)
	for last := time.Now(); time.Since(last) < time.Second; {
		got, err := s.NextBatch(frames)
		if err != nil {
			t.Fatal(err)
		}
		for i := range frames[:got] {
			if why := d.Decode(&frames[i], &h); why != OK {
				t.Fatalf("refused: %s: % x", why, frames[i].Data)
			}
			see(&frames[i], &h)
			last = time.Now()
		}
		n += got
	}
	return n
}

func openLive(t testing.TB, c LiveConfig) Source {
	t.Helper()
	s, err := OpenLive(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestLive(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}, Promiscuous: true, BufferMiB: 4})
		const n, port = 5000, 4711
		send(t, n, 32, port)
		seen := 0
		collect(t, s, func(f *Frame, h *Header) {
			if h.Proto != ProtoUDP || h.DstPort != port {
				return
			}
			seen++
			if h.PayloadLen != 32 || h.DstMAC.String() != "02:00:00:00:00:02" || Addr(h.Src).String() != "10.9.0.1" ||
				f.WireLen != 74 || time.Since(time.Unix(0, f.Time)).Abs() > time.Minute {
				t.Fatalf("got %+v", h)
			}
		})
		st := s.Stats()
		if seen != n || st.Interfaces[0].Drops != 0 {
			t.Errorf("%d of %d packets, stats %+v", seen, n, st)
		}
		if st.Interfaces[0].Packets != st.Packets {
			t.Errorf("the kernel gave %d packets, we %d", st.Interfaces[0].Packets, st.Packets)
		}
	})
	goleak.VerifyNone(t)
}

// The kernel's own VXLAN, as the interface under it sees it.
func TestLiveVXLAN(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		if out, err := exec.Command("ip", strings.Fields("link add vx type vxlan id 77 remote 10.9.0.2 dstport 4789 dev va")...).CombinedOutput(); err != nil {
			t.Skipf("this kernel has no VXLAN: %s", out)
		}
		ip(t, "addr add 192.168.77.1/24 dev vx")
		ip(t, "link set vx up address 02:00:00:00:77:01")
		ip(t, "neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev va")
		ip(t, "neigh replace 192.168.77.2 lladdr 02:00:00:00:77:02 dev vx")
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}, Promiscuous: true})
		conn, err := net.Dial("udp4", "192.168.77.2:502")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 100 {
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		seen := 0
		collect(t, s, func(_ *Frame, h *Header) {
			if h.DstPort != 502 {
				return
			}
			seen++
			if u := h.Tunnel; u.Kind != VXLAN || u.ID != 77 || u.Depth != 1 || Addr(u.Src).String() != "10.9.0.1" || Addr(u.Dst).String() != "10.9.0.2" ||
				h.SrcMAC.String() != "02:00:00:00:77:01" || Addr(h.Dst).String() != "192.168.77.2" || h.PayloadLen != 5 {
				t.Fatalf("got %+v", h)
			}
		})
		if seen != 100 {
			t.Errorf("%d of 100 packets", seen)
		}
	})
	goleak.VerifyNone(t)
}

func TestLiveTwoInterfaces(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"va", "vb"}})
		send(t, 100, 20, 53)
		var seen [2]int
		collect(t, s, func(f *Frame, h *Header) {
			if h.DstPort == 53 {
				seen[f.Interface]++
			}
		})
		if seen != [2]int{100, 100} {
			t.Errorf("saw %v", seen)
		}
		if i := s.Interfaces(); i[0].Name != "va" || i[1].Name != "vb" || i[0].Link != LinkEthernet {
			t.Errorf("interfaces %v", i)
		}
	})
}

func TestLiveLoopbackOnce(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"lo"}})
		conn, err := net.Dial("udp4", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			conn.Write([]byte("x")) // refused by ICMP, which is the point of nobody listening
			time.Sleep(time.Millisecond)
		}
		conn.Close()
		seen := 0
		collect(t, s, func(_ *Frame, h *Header) {
			if h.Proto == ProtoUDP {
				seen++
			}
		})
		if seen < 25 || seen > 50 { // a write that finds the ICMP error waiting sends nothing
			t.Errorf("%d of 50 packets", seen)
		}
	})
}

// tagged sends n UDP datagrams of 500 bytes in 802.1Q frames, which the receiving
// kernel strips of their tag before we see them.
func tagged(t *testing.T, n int, vlan uint16) {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeDot1Q}
	ip4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 8, 0, 1}, DstIP: net.IP{10, 8, 0, 2}}
	udp := &layers.UDP{SrcPort: 1024, DstPort: 53}
	udp.SetNetworkLayerForChecksum(ip4)
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth,
		&layers.Dot1Q{VLANIdentifier: vlan, Type: layers.EthernetTypeIPv4}, ip4, udp, gopacket.Payload(make([]byte, 500))); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	from, err := net.InterfaceByName("va")
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := unix.Sendto(fd, buf.Bytes(), 0, &unix.SockaddrLinklayer{Ifindex: from.Index}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLiveVLANAndSnapLen(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}, SnapLen: 64, Filter: "vlan 42 and udp port 53"})
		tagged(t, 10, 42)
		tagged(t, 10, 43)
		send(t, 10, 500, 53)
		n := collect(t, s, func(f *Frame, h *Header) {
			if h.VLAN != 42 || h.DstPort != 53 || h.PayloadLen != 500 || f.WireLen != 546 || len(f.Data) > 68 {
				t.Fatalf("got %d of %d bytes, %+v", len(f.Data), f.WireLen, h)
			}
		})
		if n != 10 {
			t.Errorf("%d of 10 packets", n)
		}
	})
}

func TestLiveFilter(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		bytecode, err := CompileFilter("udp port 1000 or udp port 1001")
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintln(len(bytecode))
		for _, i := range bytecode {
			text += fmt.Sprintln(i.Op, i.Jt, i.Jf, i.K)
		}
		for _, filter := range []string{"udp port 1000 or 1001", "net 10.9.0.0/24 and not portrange 1002-2000", text} {
			s := openLive(t, LiveConfig{Interfaces: []string{"vb"}, Filter: filter})
			for port := 1000; port < 1004; port++ {
				send(t, 10, 20, port)
			}
			ports := map[uint16]int{}
			collect(t, s, func(_ *Frame, h *Header) { ports[h.DstPort]++ })
			if ports[1000] != 10 || ports[1001] != 10 || ports[1002] != 0 || ports[1003] != 0 {
				t.Errorf("%q gave %v", filter, ports)
			}
			s.Close()
		}
	})
}

func TestLiveDropsAreCounted(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}, BufferMiB: 1})
		const n = 20000
		send(t, n, 1000, 7) // nobody reads: 1 MiB holds far fewer
		got := collect(t, s, func(*Frame, *Header) {})
		st := s.Stats()
		if st.Drops() == 0 || got == 0 || uint64(got)+st.Drops() < n {
			t.Errorf("%d packets and %d drops of %d", got, st.Drops(), n)
		}
		if st.Interfaces[0].Freezes == 0 {
			t.Errorf("no freeze: %+v", st)
		}
	})
}

// A link that goes down, and an interface that is taken away, are captured again when
// they are back, whether there are others or not.
func TestLiveLinkThatFlaps(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		both := openLive(t, LiveConfig{Interfaces: []string{"vb", "lo"}, BufferMiB: 1})
		alone := openLive(t, LiveConfig{Interfaces: []string{"vb"}, Filter: "udp port 5", BufferMiB: 1})
		of := func(s Source) InterfaceStats { return s.Stats().Interfaces[0] }
		until := func(s Source, what string, done func(InterfaceStats) bool) (n int) {
			t.Helper()
			frames := make([]Frame, 16)
			for start := time.Now(); !done(of(s)); {
				got, err := s.NextBatch(frames)
				if err != nil {
					t.Fatal(err)
				}
				if n += got; time.Since(start) > 10*time.Second {
					t.Fatalf("waited for %s: %+v", what, of(s))
				}
			}
			return n
		}
		down := func(i InterfaceStats) bool { return i.Down && !i.Gone }
		gone := func(i InterfaceStats) bool { return i.Down && i.Gone }
		well := func(i InterfaceStats) bool { return !i.Down && !i.Gone }

		ip(t, "link set vb down")
		until(alone, "the link to go down", down)
		ip(t, "link set vb up")
		running(t)
		until(alone, "the link to come up", well)
		send(t, 10, 20, 5)
		if n := collect(t, alone, func(*Frame, *Header) {}); n != 10 {
			t.Errorf("%d of 10 packets after the link came back", n)
		}
		ip(t, "link set va down") // the other end's: no carrier
		until(alone, "the carrier to be lost", down)
		ip(t, "link set va up")
		running(t)
		until(alone, "the carrier to come back", well)

		for round := range 3 {
			send(t, 10, 20, 5)
			ip(t, "link del va")
			n := until(alone, "the interface to be gone", gone)
			if n += collect(t, alone, func(*Frame, *Header) {}); n != 10 {
				t.Errorf("round %d: %d of 10 packets before the interface was taken away", round, n)
			}
			if fault := of(alone).Fault; !strings.Contains(fault, "taken away") {
				t.Errorf("fault %q", fault)
			}
			until(both, "the interface to be gone", gone)
			ip(t, "link add va type veth peer name vb")
			ip(t, "addr add 10.9.0.1/24 dev va")
			ip(t, "link set va up")
			ip(t, "link set vb up")
			running(t)
			until(alone, "the interface to be back", well)
			until(both, "the interface to be back", well)
		}
		send(t, 10, 20, 5)
		if n := collect(t, alone, func(*Frame, *Header) {}); n != 10 {
			t.Errorf("%d of 10 packets after the interface came back", n)
		}
		if n := collect(t, both, func(*Frame, *Header) {}); n < 10 {
			t.Errorf("%d of 10 packets after the interface came back, beside lo: %+v", n, both.Stats())
		}
		if got := of(alone); got.Outages != 5 || got.Packets != 50 || got.Fault != "" {
			t.Errorf("in the end %+v", got)
		}
	})
	goleak.VerifyNone(t)
}

// An interface that is down already complains no more when it is taken away.
func TestLiveTakenAwayWhileDown(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}})
		frames := make([]Frame, 16)
		ip(t, "link set vb down")
		for range 3 {
			if _, err := s.NextBatch(frames); err != nil {
				t.Fatal(err)
			}
		}
		ip(t, "link del va")
		for start := time.Now(); !s.Stats().Interfaces[0].Gone; {
			if _, err := s.NextBatch(frames); err != nil || time.Since(start) > 5*time.Second {
				t.Fatalf("%v, %+v", err, s.Stats())
			}
		}
		start := time.Now() // nothing is left to wait for, and still it must not spin
		for range 8 {
			if _, err := s.NextBatch(frames); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < time.Second {
			t.Errorf("eight batches of nothing took %v", took)
		}
	})
}

// What the kernel's own queue loses before the ring is told by the interface.
func TestLiveMissed(t *testing.T) {
	var r ring
	r.name = "vb"
	for _, n := range []uint64{7, 10, 12, 3, 4} { // it begins at what it finds, and anew with a new interface
		r.missed(map[string]uint64{"vb": n, "lo": 99})
	}
	r.missed(nil)
	if r.stats.Missed != 6 {
		t.Errorf("%d missed, want 6", r.stats.Missed)
	}
	all := missedPackets()
	if _, ok := all["lo"]; !ok {
		t.Errorf("read %v", all)
	}
}

func TestLiveTunnelDevice(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		if out, err := exec.Command("ip", "tuntap", "add", "mode", "tun", "name", "tun9").CombinedOutput(); err != nil {
			t.Skipf("no tunnel devices here: %s", out)
		}
		hold, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		defer unix.Close(hold)
		ifr, _ := unix.NewIfreq("tun9")
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(hold, unix.TUNSETIFF, ifr); err != nil {
			t.Skip(err)
		}
		ip(t, "addr add 10.7.0.1/24 dev tun9")
		ip(t, "link set tun9 up")
		s := openLive(t, LiveConfig{Interfaces: []string{"tun9"}, Filter: "udp port 99"})
		conn, err := net.Dial("udp4", "10.7.0.2:99")
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			conn.Write([]byte("hello"))
		}
		conn.Close()
		n := collect(t, s, func(f *Frame, h *Header) {
			if f.Link != LinkLinuxSLL || h.DstPort != 99 || string(h.Payload) != "hello" {
				t.Fatalf("got %+v", h)
			}
		})
		if n != 5 {
			t.Errorf("%d of 5 packets", n)
		}
	})
}

func TestLiveCloseEndsNextBatch(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}})
		send(t, 100, 20, 5)
		time.Sleep(200 * time.Millisecond)
		frames := make([]Frame, 16)
		n, err := s.NextBatch(frames)
		if n == 0 || err != nil {
			t.Fatal(n, err)
		}
		ended := make(chan error)
		go func() {
			for {
				if _, err := s.NextBatch(frames); err != nil {
					ended <- err
					return
				}
			}
		}()
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		s.Close()
		if err := <-ended; !errors.Is(err, os.ErrClosed) || time.Since(start) > 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if s.Close() != nil || s.Stats().Packets == 0 {
			t.Error("second Close or Stats after it")
		}
	})
	goleak.VerifyNone(t)
}

// Frames that are in use while another goroutine closes must not be a fault.
func TestLiveCloseWhileFramesAreInUse(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := openLive(t, LiveConfig{Interfaces: []string{"vb"}})
		send(t, 100, 20, 5)
		frames := make([]Frame, 16)
		n := 0
		for n == 0 {
			var err error
			if n, err = s.NextBatch(frames); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		sum := 0
		for _, f := range frames[:n] {
			for _, b := range f.Data {
				sum += int(b)
			}
		}
		if sum != 0 {
			t.Errorf("the ring was not taken away")
		}
		if _, err := s.NextBatch(frames); !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestLiveErrors(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		ip(t, "link add dummy77 type veth peer name other")
		for _, c := range []struct {
			name   string
			config LiveConfig
			says   []string
		}{
			{"absent", LiveConfig{Interfaces: []string{"dummy7"}}, []string{"there is no interface dummy7", "nearest is dummy77", "lo"}},
			{"down", LiveConfig{Interfaces: []string{"dummy77"}}, []string{"ip link set dummy77 up"}},
			{"none", LiveConfig{}, []string{"no interface is named"}},
			{"all at once", LiveConfig{Interfaces: []string{"va", "va"}, SnapLen: 3, BufferMiB: -1}, []string{"twice", "snap length", "buffer"}},
			{"filter", LiveConfig{Interfaces: []string{"va"}, Filter: "hots 1.2.3.4"}, []string{`"hots"`, "portrange"}},
			{"bytecode", LiveConfig{Interfaces: []string{"va"}, Filter: "1\n99 0 0 0"}, []string{"kernel refuses"}},
		} {
			_, err := OpenLive(c.config)
			if err == nil {
				t.Errorf("%s: no error", c.name)
				continue
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%s: %q is not in: %v", c.name, says, err)
				}
			}
		}
	})
	goleak.VerifyNone(t)
}

// Without the capability the error says how to get it.
func TestLivePermission(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil { // of this thread, which ends
			t.Skip(err)
		}
		_, err := OpenLive(LiveConfig{Interfaces: []string{"vb"}})
		if err == nil || !strings.Contains(err.Error(), "setcap cap_net_raw+ep /") || !errors.Is(err, os.ErrPermission) {
			t.Errorf("got %v", err)
		}
	})
}

// BenchmarkLive sends 60-byte frames over veth as fast as one thread can, and
// reports what reading and decoding them costs another, in user and kernel time.
// Softirqs of the sender are the sender's.
func BenchmarkLive(b *testing.B) {
	inNamespace(b, func(b *testing.B) {
		s := openLive(b, LiveConfig{Interfaces: []string{"vb"}, Promiscuous: true, BufferMiB: 64})
		from, err := net.InterfaceByName("va")
		if err != nil {
			b.Fatal(err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(fd)
		frame := build(b, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(layers.IPProtocolTCP), tcpLayer())
		to := &unix.SockaddrLinklayer{Ifindex: from.Index}
		const n = 100_000
		frames := make([]Frame, 256)
		var d Decoder
		var h Header
		b.ReportAllocs()
		packets, start := 0, threadTime()
		elapsed := time.Now()
		for b.Loop() {
			sent := make(chan error, 1)
			go func() {
				for range n {
					if err := unix.Sendto(fd, frame, 0, to); err != nil {
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
				for i := range frames[:k] {
					if d.Decode(&frames[i], &h) != OK {
						b.Fatal("refused")
					}
				}
				if k == 0 && got > 0 {
					break // some were dropped
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
		b.ReportMetric(float64(packets)/time.Since(elapsed).Seconds()/1e6, "Mpps")
	})
}

func threadTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
