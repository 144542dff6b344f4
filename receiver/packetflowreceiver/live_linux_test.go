package packetflowreceiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/receiver/packetflowreceiver/internal/metadata"
)

// inNamespace runs the test once more, as a process in a network namespace of its
// own with an interface va whose packets come out of vb, and says whether this is
// that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "MONBAN_TEST_NAMESPACE"
	if os.Getenv(inside) == "" {
		if os.Getuid() != 0 {
			t.Skip("needs root to make a network namespace")
		}
		if _, err := exec.LookPath("ip"); err != nil {
			t.Skip("needs the ip command")
		}
		again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
		again.Env = append(os.Environ(), inside+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET}
		out, err := again.CombinedOutput()
		if errors.Is(err, syscall.EPERM) {
			t.Skipf("network namespaces can't be made here: %v", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return false
	}
	veth(t)
	return true
}

func veth(t *testing.T) {
	t.Helper()
	ip(t, "link add va type veth peer name vb")
	for _, end := range []string{"va", "vb"} { // no neighbour discovery between our packets
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+end+"/disable_ipv6", []byte("1"), 0)
	}
	ip(t, "addr add 10.9.0.1/24 dev va")
	ip(t, "link set va up")
	ip(t, "link set vb up")
	ip(t, "neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev va")
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

func say(t *testing.T, port, n int) {
	t.Helper()
	conn, err := net.Dial("udp4", fmt.Sprintf("10.9.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range n {
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
}

func listen(names ...string) *Config {
	return config(func(c *Config) { c.Interfaces, c.BufferMiB, c.Privileges = names, 4, privilegesKeep })
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited too long for ", what)
		}
	}
}

func TestLive(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, h := newSink(), newHost(t)
	r := create(t, listen("va", "vb"), s)
	if err := r.Start(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	say(t, 9, 100)
	until(t, "the packets", func() bool { return r.meter.totals().packets >= 200 })
	// Nobody answers, so the flow is reported after three seconds: by the clock, as no
	// packet comes to move it on.
	until(t, "a record of the silent flow", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.flows) > 0
	})
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := s.total(t); got < 200 {
		t.Errorf("%d packets in flows, want 200", got)
	}
	if f := s.flows[0]; f.Dst.Port != 9 || f.Interface != "va" && f.Interface != "vb" {
		t.Errorf("flow %+v", f)
	}
	if c := s.captures[0]; c.Source != "va, vb" || len(c.Warnings) > 0 || time.Since(time.Unix(0, c.Time)) > time.Minute {
		t.Errorf("capture event %+v", c)
	}
}

// A live source goes on when its records are refused.
func TestLiveGoesOn(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, h := newSink(), newHost(t)
	s.refuse = errors.New("full")
	cfg := listen("vb")
	cfg.MaxFlows = 16
	r := create(t, cfg, s)
	if err := r.Start(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	for port := range 60 {
		say(t, 1000+port, 1)
	}
	until(t, "three batches", func() bool {
		say(t, 5000+time.Now().Nanosecond()%5000, 1)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.calls > 3
	})
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLiveIdleCostsNothing(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	r := create(t, listen("vb"), newSink())
	if err := r.Start(t.Context(), newHost(t)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	before := cpu(t)
	time.Sleep(2 * time.Second)
	if used := cpu(t) - before; used > 40*time.Millisecond {
		t.Errorf("%v of CPU time in 2 s without a packet", used)
	}
}

func TestLiveInterfaceTakenAway(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	core, log := observer.New(zap.InfoLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	s, h := newSink(), newHost(t)
	r := createWith(t, listen("vb"), s, set)
	if err := r.Start(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	say(t, 9, 10)
	until(t, "the packets", func() bool { return r.meter.totals().packets >= 10 })
	ip(t, "link del va")
	until(t, "the complaint", func() bool { return log.FilterMessage(linkGone).Len() == 1 })
	time.Sleep(1200 * time.Millisecond) // it is said once
	veth(t)
	until(t, "the interface to be back", func() bool { return log.FilterMessage(linkBack).Len() == 1 })
	say(t, 9, 10)
	until(t, "the packets", func() bool { return r.meter.totals().packets >= 20 })
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := s.total(t); got != 20 || log.FilterMessage(linkGone).Len() != 1 || log.FilterMessage(linkBack).Len() != 1 {
		t.Errorf("%d packets, log %v", got, log.All())
	}
	if c := s.captures[0]; c.Outages != 1 || len(c.Warnings) != 0 {
		t.Errorf("capture event %+v", c)
	}
}

// A mirror's copies become flows of what is in them, under the name of who sent them.
func TestMirrors(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link set lo up")
	s := newSink()
	cfg := config(func(c *Config) {
		c.Mirrors = MirrorsConfig{Listen: []string{"vxlan", "gre"}, Peers: []PeerConfig{{Address: "127.0.0.2", Name: "core"}}}
		c.Privileges = privilegesKeep
	})
	r := create(t, cfg, s)
	if err := r.Start(t.Context(), newHost(t)); err != nil {
		t.Fatal(err)
	}
	inner := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
		0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 7, 0, 1, 10, 7, 0, 2, // IPv4
		0x12, 0x34, 0, 53, 0, 10, 0, 0, 'h', 'i'} // UDP
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
		u, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP("127.0.0.1"), Port: 4789})
		if err != nil {
			t.Fatal(err)
		}
		g, err := net.DialIP("ip4:47", &net.IPAddr{IP: net.ParseIP(from)}, &net.IPAddr{IP: net.ParseIP("127.0.0.1")})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, _ = u.Write(append([]byte{8, 0, 0, 0, 0, 0, 42, 0}, inner...))
			_, _ = g.Write(append([]byte{0, 0, 0x65, 0x58}, inner...)) // transparent Ethernet bridging
		}
		u.Close()
		g.Close()
	}
	until(t, "the copies", func() bool { return r.meter.totals().packets >= 10 })
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := s.total(t); got != 10 {
		t.Errorf("%d packets", got)
	}
	for _, f := range s.flows {
		if f.Dst.Port != 53 || f.Interface != "core" || f.Src.Addr.String() != "10.7.0.1" {
			t.Errorf("flow %+v", f)
		}
	}
	if c := s.captures[0]; c.Unwanted != 10 || c.Dropped != 0 || c.Source != "mirror vxlan, mirror gre" {
		t.Errorf("capture event %+v", c)
	}
}

func TestLiveErrors(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, want := range map[string]string{"vc": "there is no interface vc"} {
		r := create(t, listen(name), newSink())
		if err := r.Start(t.Context(), newHost(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// A mirror's socket that gets less room than it should have is told of, with what helps.
func TestMirrorBuffer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link set lo up")
	core, log := observer.New(zap.WarnLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	run := func(kind, privileges string, interfaces ...string) (said string, c app.Capture) {
		t.Helper()
		s := newSink()
		r := createWith(t, config(func(c *Config) {
			c.Interfaces, c.Mirrors.Listen, c.BufferMiB, c.Privileges = interfaces, []string{kind}, 512, privileges
		}), s, set)
		if err := r.Start(t.Context(), newHost(t)); err != nil {
			t.Fatal(err)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, e := range log.TakeAll() {
			if strings.HasPrefix(e.Message, "Privileges could not be given up") {
				t.Skip("not with cgo: set CGO_ENABLED=0, as make does")
			}
			said += fmt.Sprintln(e.Message, e.ContextMap())
		}
		return said, s.captures[0]
	}
	admin := func(effective bool) {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // of this thread
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			t.Fatal(err)
		}
		if data[0].Effective &^= 1 << unix.CAP_NET_ADMIN; effective {
			data[0].Effective |= 1 << unix.CAP_NET_ADMIN
		}
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const raise = "sysctl -w net.core.rmem_max=536870912`"
	told := func(said string, c app.Capture, instead string) {
		t.Helper()
		if !strings.Contains(said, raise) || !strings.Contains(said, instead) || !strings.Contains(said, "socket:mirror vxlan:4789") {
			t.Errorf("%q is not said: %s", instead, said)
		}
		if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], "mirror vxlan:4789 has a buffer of ") || !strings.HasSuffix(c.Warnings[0], " KiB where 524288 were asked for: raise net.core.rmem_max") {
			t.Errorf("warnings %q", c.Warnings)
		}
	}
	admin(false)
	said, c := run("vxlan", privilegesKeep)
	if said == "" {
		t.Skip("the system's limit is 512 MiB and more")
	}
	told(said, c, "start the program with the capability CAP_NET_ADMIN")
	admin(true)
	if said, c := run("vxlan", privilegesDrop, "vb"); said != "" || len(c.Warnings) != 0 {
		t.Errorf("with one receiver for all: %s%q", said, c.Warnings)
	}
	said, c = run("vxlan", privilegesDrop)
	told(said, c, "let one receiver take all interfaces and mirrors, since another has given up CAP_NET_ADMIN")
}
