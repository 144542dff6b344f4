package device

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

const start = 1_700_000_000 * second

func mac(n byte) packet.MAC { return packet.MAC{0, 1, 2, 3, 4, n} }

func id(n byte) string { return mac(n).String() }

// tcp is an answered connection between two addresses, from one MAC to another.
func tcp(at float64, src string, sm byte, dst string, dm byte) *flow.Record {
	r := &flow.Record{Start: start + int64(at*float64(second)), Net: packet.NetIPv4, Proto: packet.ProtoTCP}
	r.End = r.Start + second/10
	r.Src = flow.End{Addr: netip.MustParseAddr(src), Port: 40000, MAC: mac(sm), Packets: 3, Flags: packet.SYN | packet.ACK | packet.PSH}
	r.Dst = flow.End{Addr: netip.MustParseAddr(dst), Port: 502, MAC: mac(dm), Packets: 2, Flags: packet.SYN | packet.ACK}
	if r.Src.Addr.Is6() {
		r.Net = packet.NetIPv6
	}
	return r
}

// syn is an attempt that nobody answered.
func syn(at float64, src string, sm byte, dst string, dm byte) *flow.Record {
	r := tcp(at, src, sm, dst, dm)
	r.Src.Packets, r.Src.Flags = 1, packet.SYN
	r.Dst.Packets, r.Dst.Flags = 0, 0
	return r
}

func bare(r *flow.Record) *flow.Record {
	r.Src.MAC, r.Dst.MAC = packet.MAC{}, packet.MAC{}
	return r
}

func sighting(at float64, kind string, m byte, addr, name string) *app.Sighting {
	s := &app.Sighting{Time: start + int64(at*float64(second)), Kind: kind, MAC: mac(m), Name: name}
	if addr != "" {
		s.Address = netip.MustParseAddr(addr)
	}
	return s
}

func arp(at float64, m byte, addr string) *app.Sighting {
	return sighting(at, app.ARPClaim, m, addr, "")
}

// play feeds evidence and gives what was told, as "change id".
func play(v *Inventory, evidence ...any) (told []string) {
	for _, e := range evidence {
		var rs []Record
		switch e := e.(type) {
		case *flow.Record:
			rs = v.Flow(e)
		case *app.Sighting:
			rs = v.Sighting(e)
		default:
			panic(fmt.Sprintf("%T", e))
		}
		for _, r := range rs {
			told = append(told, r.Change+" "+r.ID)
		}
	}
	return told
}

// ends gives the ids of a flow's ends.
func ends(r *flow.Record) [2]string { return [2]string{r.Src.Device, r.Dst.Device} }

func ids(v *Inventory) (all []string) {
	for _, r := range v.Devices() {
		s := r.ID
		if len(r.Addresses) > 0 {
			slices.Sort(r.Addresses)
			s += " " + strings.Join(r.Addresses, ",")
		}
		if r.Router {
			s += " router"
		}
		all = append(all, s)
	}
	return all
}

func TestIdentity(t *testing.T) {
	tests := []struct {
		name     string
		config   Config
		evidence []any
		devices  []string
		last     [2]string // ids of the last flow's ends
	}{
		{"a flow of two neighbours", Config{}, []any{tcp(0, "10.0.0.1", 1, "10.0.0.2", 2)},
			[]string{id(1) + " 10.0.0.1", id(2) + " 10.0.0.2"}, [2]string{id(1), id(2)}},
		{"what is scanned and silent is no device", Config{}, []any{arp(0, 1, "10.0.0.1"), syn(1, "10.0.0.1", 1, "10.0.0.77", 0), syn(1, "10.0.0.1", 1, "10.0.0.78", 0)},
			[]string{id(1) + " 10.0.0.1"}, [2]string{id(1), ""}},
		{"first asked for in vain, then there", Config{}, []any{syn(0, "10.0.0.1", 1, "10.0.0.2", 0), arp(1, 2, "10.0.0.2"), tcp(2, "10.0.0.1", 1, "10.0.0.2", 2)},
			[]string{id(1) + " 10.0.0.1", id(2) + " 10.0.0.2"}, [2]string{id(1), id(2)}},
		{"one MAC with IPv4 and several IPv6 addresses", Config{}, []any{
			arp(0, 1, "10.0.0.1"), arp(1, 1, "fe80::1"), arp(2, 1, "2001:db8::1"), tcp(3, "2001:db8::77", 1, "2001:db8::2", 2)},
			[]string{id(1) + " 10.0.0.1,2001:db8::1,2001:db8::77,fe80::1", id(2) + " 2001:db8::2"}, [2]string{id(1), id(2)}},
		{"another address by DHCP", Config{}, []any{
			arp(0, 1, "10.0.0.1"), sighting(100, app.DHCPAsk, 1, "10.0.0.9", "plc"), arp(101, 1, "10.0.0.9"), tcp(102, "10.0.0.9", 1, "10.0.0.2", 2)},
			[]string{id(1) + " 10.0.0.1,10.0.0.9", id(2) + " 10.0.0.2"}, [2]string{id(1), id(2)}},
		{"an address given to another device after the first left", Config{}, []any{
			arp(0, 1, "10.0.0.5"), arp(1000, 2, "10.0.0.5"), arp(1070, 2, "10.0.0.5"), tcp(1080, "10.0.0.1", 3, "10.0.0.5", 2)},
			[]string{id(1), id(2) + " 10.0.0.5", id(3) + " 10.0.0.1"}, [2]string{id(3), id(2)}},
		{"a spoofer gets nothing while the owner speaks", Config{}, []any{
			arp(0, 1, "10.0.0.5"), arp(0, 66, "10.0.0.66"),
			arp(100, 66, "10.0.0.5"), arp(110, 66, "10.0.0.5"), tcp(120, "10.0.0.5", 1, "10.0.0.9", 9), arp(150, 66, "10.0.0.5"),
			tcp(170, "10.0.0.5", 1, "10.0.0.9", 9), arp(200, 66, "10.0.0.5"), syn(201, "10.0.0.9", 9, "10.0.0.5", 66)},
			[]string{id(1) + " 10.0.0.5", id(9) + " 10.0.0.9", id(66) + " 10.0.0.66"}, [2]string{id(9), id(1)}},
		{"what the spoofer passes on stays the owner's", Config{}, []any{
			arp(0, 1, "10.0.0.5"), arp(0, 66, "10.0.0.66"), arp(100, 66, "10.0.0.5"), tcp(120, "10.0.0.5", 66, "10.0.0.9", 9)},
			[]string{id(1) + " 10.0.0.5", id(9) + " 10.0.0.9", id(66) + " 10.0.0.66"}, [2]string{id(1), id(9)}},
		{"who passes on packets of others gets none of their addresses", Config{}, []any{
			arp(0, 1, "10.0.0.5"), arp(0, 66, "10.0.0.66"), arp(100, 66, "10.0.0.5"),
			&app.Sighting{Time: start + 110*second, Kind: app.Relay, MAC: mac(1), By: mac(66), Source: netip.MustParseAddr("10.0.0.5"), Address: netip.MustParseAddr("10.0.0.9")},
			arp(200, 66, "10.0.0.5"), arp(300, 66, "10.0.0.5"), syn(301, "10.0.0.9", 9, "10.0.0.5", 66)},
			[]string{id(1) + " 10.0.0.5", id(9) + " 10.0.0.9", id(66) + " 10.0.0.66"}, [2]string{id(9), id(1)}},
		{"the owner comes back after the spoofer took over", Config{}, []any{
			arp(0, 1, "10.0.0.5"), arp(0, 66, "10.0.0.66"), arp(100, 66, "10.0.0.5"), arp(200, 66, "10.0.0.5"), arp(210, 1, "10.0.0.5"), syn(211, "10.0.0.9", 9, "10.0.0.5", 0)},
			[]string{id(1) + " 10.0.0.5", id(9) + " 10.0.0.9", id(66) + " 10.0.0.66"}, [2]string{id(9), id(1)}},
		{"hosts behind a router are devices of their own", Config{}, []any{
			arp(0, 254, "10.0.0.254"), tcp(1, "10.1.0.1", 254, "10.0.0.2", 2), tcp(2, "10.1.0.2", 254, "10.0.0.2", 2), tcp(3, "10.0.0.2", 2, "10.1.0.3", 254)},
			[]string{id(2) + " 10.0.0.2", id(254) + " 10.0.0.254", "10.1.0.1 10.1.0.1", "10.1.0.2 10.1.0.2", "10.1.0.3 10.1.0.3"}, [2]string{id(2), "10.1.0.3"}},
		{"the same, with a site", Config{Site: "north"}, []any{arp(0, 254, "10.0.0.254"), tcp(1, "10.1.0.1", 254, "10.0.0.2", 2)},
			[]string{id(2) + " 10.0.0.2", id(254) + " 10.0.0.254", "10.1.0.1@north 10.1.0.1"}, [2]string{"10.1.0.1@north", id(2)}},
		{"the same, with no claim ever seen", Config{}, []any{
			tcp(1, "10.1.0.1", 254, "10.0.0.2", 2), tcp(2, "10.2.0.2", 254, "10.0.0.2", 2), tcp(3, "10.3.0.3", 254, "10.0.0.2", 2), tcp(4, "10.4.0.4", 254, "10.0.0.2", 2),
			tcp(5, "10.1.0.1", 254, "10.0.0.2", 2), tcp(6, "10.2.0.2", 254, "10.0.0.2", 2), tcp(7, "10.3.0.3", 254, "10.0.0.2", 2)},
			[]string{id(2) + " 10.0.0.2", id(254) + " router", "10.1.0.1 10.1.0.1", "10.2.0.2 10.2.0.2", "10.3.0.3 10.3.0.3", "10.4.0.4 10.4.0.4"}, [2]string{"10.3.0.3", id(2)}},
		{"traffic before the router's claim", Config{}, []any{
			tcp(1, "10.1.0.1", 254, "10.0.0.2", 2), arp(2, 254, "10.0.0.254"), tcp(3, "10.1.0.1", 254, "10.0.0.2", 2)},
			[]string{id(2) + " 10.0.0.2", id(254) + " 10.0.0.254", "10.1.0.1 10.1.0.1"}, [2]string{"10.1.0.1", id(2)}},
		{"a gateway and what is outside", Config{}, []any{
			arp(0, 254, "10.0.0.254"), tcp(1, "10.0.0.1", 1, "8.8.8.8", 254), tcp(2, "10.0.0.1", 1, "9.9.9.9", 254)},
			[]string{id(1) + " 10.0.0.1", id(254) + " 10.0.0.254 router"}, [2]string{id(1), ""}},
		{"a gateway without a claim keeps the address that its neighbours use", Config{}, []any{
			tcp(0, "10.0.0.1", 1, "10.0.0.254", 254), tcp(1, "10.0.0.1", 1, "8.8.8.8", 254), tcp(2, "10.0.0.1", 1, "9.9.9.9", 254), tcp(3, "10.0.0.1", 1, "10.0.0.254", 254)},
			[]string{id(1) + " 10.0.0.1", id(254) + " 10.0.0.254 router"}, [2]string{id(1), id(254)}},
		{"made-up sources are nobody", Config{}, func() (all []any) {
			all = append(all, arp(0, 254, "10.0.0.254"), arp(0, 66, "10.0.0.66"))
			for i := range 1000 {
				all = append(all, syn(1+float64(i)/1000, fmt.Sprintf("172.16.%d.%d", i%250, i%199), 66, "10.0.0.2", 2))
			}
			return all
		}(), []string{id(66) + " 10.0.0.66 router", id(254) + " 10.0.0.254"}, [2]string{"", ""}},
		{"an address of another network, left from before", Config{}, []any{
			arp(0, 1, "10.0.0.1"), syn(1, "192.168.7.3", 1, "224.0.0.1", 0), syn(2, "192.168.7.3", 1, "224.0.0.1", 0), syn(30, "192.168.7.3", 1, "224.0.0.1", 0)},
			[]string{id(1) + " 10.0.0.1,192.168.7.3"}, [2]string{id(1), ""}},
		{"groups, broadcast, unspecified and loopback are nobody", Config{}, []any{
			syn(0, "0.0.0.0", 1, "255.255.255.255", 0), syn(1, "127.0.0.1", 0, "127.0.0.1", 0), syn(2, "10.0.0.1", 1, "10.0.0.255", 255)},
			[]string{id(1) + " 10.0.0.1"}, [2]string{id(1), ""}},
		{"a capture without MACs", Config{}, []any{bare(tcp(0, "10.0.0.1", 1, "10.0.0.2", 2))},
			[]string{"10.0.0.1 10.0.0.1", "10.0.0.2 10.0.0.2"}, [2]string{"10.0.0.1", "10.0.0.2"}},
		{"known by address, then by MAC", Config{}, []any{bare(tcp(0, "10.0.0.1", 1, "10.0.0.2", 2)), arp(1, 1, "10.0.0.1"), tcp(2, "10.0.0.1", 1, "10.0.0.2", 2)},
			[]string{"10.0.0.1 10.0.0.1", "10.0.0.2 10.0.0.2"}, [2]string{"10.0.0.1", "10.0.0.2"}},
		{"errors of routers far away", Config{}, []any{arp(0, 254, "10.0.0.254"), func() *flow.Record {
			r := tcp(1, "100.64.0.9", 254, "10.0.0.2", 2)
			r.Proto, r.ICMPType, r.Src.Packets, r.Dst.Packets = packet.ProtoICMP, 11, 9, 1
			return r
		}()}, []string{id(2) + " 10.0.0.2", id(254) + " 10.0.0.254"}, [2]string{"", id(2)}},
		{"given prefixes", Config{Home: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}, []any{
			arp(0, 1, "10.0.0.1"), arp(0, 254, "10.0.0.254"), tcp(1, "10.0.0.1", 1, "192.168.7.7", 254)},
			[]string{id(1) + " 10.0.0.1", id(254) + " 10.0.0.254"}, [2]string{id(1), ""}},
		{"public addresses on the wire", Config{}, []any{arp(0, 1, "198.51.100.1"), tcp(1, "198.51.100.1", 1, "198.51.100.2", 2)},
			[]string{id(1) + " 198.51.100.1", id(2) + " 198.51.100.2"}, [2]string{id(1), id(2)}},
		{"a host with a public address, seen with its gateway only", Config{}, []any{
			tcp(0, "203.0.113.7", 1, "8.8.8.8", 254), tcp(1, "203.0.113.7", 1, "9.9.9.9", 254), tcp(2, "1.1.1.1", 254, "203.0.113.7", 1), tcp(3, "203.0.113.7", 1, "8.8.4.4", 254), tcp(4, "203.0.113.7", 1, "8.8.8.8", 254)},
			[]string{id(1) + " 203.0.113.7", id(254) + " router"}, [2]string{id(1), ""}},
		{"a link between two routers", Config{}, func() (all []any) {
			for i := range 50 {
				all = append(all, tcp(float64(i), fmt.Sprintf("203.0.%d.7", i), 253, fmt.Sprintf("8.8.%d.8", i), 254))
			}
			return all
		}(), []string{id(253), id(254)}, [2]string{"", ""}},
		{"a claim by another's frame binds nothing", Config{}, []any{
			&app.Sighting{Time: start, Kind: app.ARPClaim, MAC: mac(1), By: mac(66), Address: netip.MustParseAddr("10.0.0.1")}},
			[]string{id(66)}, [2]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := NewInventory(tt.config)
			play(v, tt.evidence...)
			check(t, v)
			want := slices.Clone(tt.devices)
			slices.Sort(want)
			if got := ids(v); !reflect.DeepEqual(got, want) {
				t.Errorf("devices\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if r, ok := tt.evidence[len(tt.evidence)-1].(*flow.Record); ok && ends(r) != tt.last {
				t.Errorf("ends of the last flow %q, want %q", ends(r), tt.last)
			}
		})
	}
}

// check holds what must always be so.
func check(t *testing.T, v *Inventory) {
	t.Helper()
	n := 0
	for d := v.recent.next; d != &v.recent; d = d.next {
		n++
		if v.byID[d.id] != d || !d.mac.IsZero() && v.byMAC[keyOf(d.mac)] != d {
			t.Fatalf("%s is not found", d.id)
		}
		if len(d.held) > maxHeld {
			t.Fatalf("%s has %d addresses", d.id, len(d.held))
		}
	}
	if n != len(v.byID) || n > v.cfg.MaxDevices || len(v.byMAC) > n {
		t.Fatalf("%d devices in the ring, %d by id, %d by MAC", n, len(v.byID), len(v.byMAC))
	}
	for a, h := range v.byAddr {
		if h.addr != a || v.byID[h.dev.id] != h.dev || h.dev.holds(a) != h || !h.current {
			t.Fatalf("%s is bound to %s, which does not have it", a, h.dev.id)
		}
	}
}

// Whatever the order, the same evidence of one device makes one device.
func TestOrderMakesNoDuplicates(t *testing.T) {
	evidence := func() []any {
		return []any{
			arp(5, 1, "10.0.0.1"), sighting(5, app.DHCPAsk, 1, "10.0.0.1", "plc"), arp(5, 1, "fe80::1"),
			tcp(5, "10.0.0.1", 1, "10.0.0.2", 2), tcp(5, "10.0.0.2", 2, "10.0.0.1", 1), syn(5, "10.0.0.2", 2, "10.0.0.1", 1),
			tcp(5, "10.0.0.1", 1, "8.8.8.8", 254), tcp(5, "10.0.0.2", 2, "9.9.9.9", 254), arp(5, 254, "10.0.0.254"), tcp(5, "10.0.0.1", 1, "10.0.0.254", 254),
			&app.Sighting{Time: start + 5*second, Kind: app.MDNSName, MAC: mac(1), Source: netip.MustParseAddr("10.0.0.1"), Name: "Plc"},
			&app.Sighting{Time: start + 5*second, Kind: app.DHCPGrant, MAC: mac(1), By: mac(254), Source: netip.MustParseAddr("10.0.0.254"), Address: netip.MustParseAddr("10.0.0.1"), Addresses: []string{"10.0.0.254"}},
		}
	}
	want := []string{id(1) + " 10.0.0.1,fe80::1", id(2) + " 10.0.0.2", id(254) + " 10.0.0.254 router"}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		e := evidence()
		rng.Shuffle(len(e), func(i, j int) { e[i], e[j] = e[j], e[i] })
		v := NewInventory(Config{})
		told := play(v, e...)
		check(t, v)
		if got := ids(v); !reflect.DeepEqual(got, want) {
			t.Fatalf("devices\n%s\nwant\n%s\nafter %v", strings.Join(got, "\n"), strings.Join(want, "\n"), told)
		}
		if n := v.Stats().New; n != 3 {
			t.Fatalf("%d new devices, told %q", n, told)
		}
		if name := v.byMAC[keyOf(mac(1))].name(); name != "plc" {
			t.Fatalf("name %q", name)
		}
	}
}

func TestWhatIsTold(t *testing.T) {
	v := NewInventory(Config{Vendor: func(packet.MAC) string { return "Acme" }})
	ask := sighting(0, app.DHCPAsk, 1, "10.0.0.1", "plc-1")
	ask.Vendor = "udhcp"
	got := v.Sighting(ask)
	want := []Record{{
		Time: start, ID: id(1), Change: New, MAC: mac(1), Vendor: "Acme", Name: "plc-1", Names: []string{"dhcp:plc-1"}, Class: "udhcp",
		Evidence: "DHCP request for 10.0.0.1 as plc-1", FirstSeen: start, LastSeen: start,
	}}
	if !reflect.DeepEqual(got, want) || ask.Device != id(1) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	var told []string
	at := func(s float64, e any) {
		for _, c := range play(v, e) {
			told = append(told, fmt.Sprintf("%v %s", s, c))
		}
	}
	at(1, arp(1, 1, "10.0.0.1"))                        // has an address now
	at(1.5, arp(1.5, 1, "fe80::1"))                     // and another
	at(4, arp(4, 1, "10.0.0.1"))                        // both are told
	at(10, arp(10, 1, "10.0.0.9"))                      // a third,
	at(30, arp(30, 1, "10.0.0.9"))                      // too soon to tell
	at(65, arp(65, 1, "10.0.0.9"))                      // now
	at(200, arp(200, 1, "10.0.0.1"))                    // nothing new
	at(300, sighting(300, app.DHCPAsk, 1, "", "x"))     // a name that
	at(301, sighting(301, app.DHCPAsk, 1, "", "plc-1")) // changes back
	at(400, arp(400, 1, "10.0.0.1"))
	at(500, arp(500, 1, "10.0.0.10"))
	if want := []string{"4 updated " + id(1), "65 updated " + id(1)}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if left := v.Flush(); len(left) != 1 || left[0].Change != Updated || len(left[0].Addresses) != 4 || left[0].Addresses[0] != "10.0.0.10" {
		t.Errorf("left at the end: %+v", left)
	}
	if left := v.Flush(); len(left) != 0 {
		t.Errorf("left after the end: %+v", left)
	}
}

func TestNames(t *testing.T) {
	v := NewInventory(Config{})
	answer := &app.Sighting{Time: start, Kind: app.DNSAnswer, MAC: mac(1), Name: "cloud.example.com", Addresses: []string{"93.184.216.34"}}
	local := &app.Sighting{Time: start, Kind: app.DNSAnswer, MAC: mac(1), Name: "pump.lan", Addresses: []string{"10.0.0.7"}}
	play(v, arp(0, 1, "10.0.0.1"), answer, local)
	r := tcp(1, "10.0.0.1", 1, "93.184.216.34", 254)
	play(v, r)
	if r.Dst.Domain != "cloud.example.com" || r.Dst.Device != "" || r.Src.Device != id(1) || answer.Device != id(1) {
		t.Errorf("flow %+v %+v", r.Src, r.Dst)
	}
	// A name by DNS counts once the address is someone's, and for least.
	name := func() string {
		r := tcp(2, "10.0.0.1", 1, "10.0.0.7", 7)
		play(v, r)
		return r.Dst.DeviceName
	}
	if n := name(); n != "pump.lan" {
		t.Errorf("by DNS: %q", n)
	}
	for _, step := range []struct{ kind, name, want string }{
		{app.NBNSName, "PUMP", "PUMP"}, {app.LLMNRName, "pump", "pump"}, {app.MDNSName, "Pump 7.local", "Pump 7"},
		{app.DHCPAsk, "pump-7", "pump-7"}, {app.NBNSName, "OTHER", "pump-7"}, {app.DHCPAsk, "evil\x1b[31m", "evil?[31m"},
		{app.DHCPGrant, "pump-house", "pump-house"},
	} {
		s := sighting(3, step.kind, 7, "10.0.0.7", step.name)
		if step.kind != app.DHCPAsk && step.kind != app.DHCPGrant {
			s.Source = s.Address
		}
		play(v, s)
		if n := name(); n != step.want {
			t.Errorf("after %s %q: %q, want %q", step.kind, step.name, n, step.want)
		}
	}
	for in, want := range map[string]string{
		strings.Repeat("ü", 100): strings.Repeat("ü", maxName/2), "host.local.local.": "host", " host. ": "host", "local": "local", ".local": "",
		strings.Repeat("x", maxName-6) + ".local.lo": strings.Repeat("x", maxName-6), // cut behind the domain
	} {
		if n := cleanName(in); n != want || cleanName(n) != n {
			t.Errorf("%q is %q, then %q, not %q", in, n, cleanName(n), want)
		}
	}
}

func TestEviction(t *testing.T) {
	v := NewInventory(Config{MaxDevices: 10})
	for i := range byte(100) {
		play(v, arp(float64(i), i+1, fmt.Sprintf("10.0.0.%d", i+1)), arp(float64(i), 1, "10.0.0.1"))
		check(t, v)
	}
	if s := v.Stats(); s.Devices != 10 || s.New != 100 || s.Evicted != 90 || v.byMAC[keyOf(mac(1))] == nil || v.byMAC[keyOf(mac(2))] != nil {
		t.Errorf("%+v", s)
	}
}

func TestBoundsOfOneDevice(t *testing.T) {
	v := NewInventory(Config{})
	for i := range 500 {
		play(v, arp(float64(i), 1, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)), tcp(float64(i), fmt.Sprintf("10.%d.1.1", i%200), 7, "10.0.0.1", 1))
		check(t, v)
	}
	if len(v.byAddr) > 500 || len(v.Devices()[0].Addresses) > maxShown {
		t.Errorf("%d addresses, shown %q", len(v.byAddr), v.Devices()[0].Addresses)
	}
}

func TestSnapshot(t *testing.T) {
	v := NewInventory(Config{})
	play(v, arp(0, 1, "10.0.0.1"), sighting(1, app.DHCPAsk, 1, "10.0.0.1", "plc"), arp(0, 254, "10.0.0.254"), arp(0, 9, "198.51.100.9"),
		tcp(1, "10.1.0.1", 254, "10.0.0.1", 1), tcp(1, "10.0.0.1", 1, "8.8.8.8", 254), tcp(2, "10.0.0.1", 1, "9.9.9.9", 254),
		&app.Sighting{Time: start, Kind: app.DNSAnswer, MAC: mac(1), Name: "cloud.example.com", Addresses: []string{"93.184.216.34"}})
	saved, err := v.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	w := NewInventory(Config{})
	if err := w.Restore(saved); err != nil {
		t.Fatal(err)
	}
	check(t, w)
	if again, _ := w.Snapshot(); string(again) != string(saved) {
		t.Errorf("saved again:\n%s\nwas\n%s", again, saved)
	}
	if got, want := w.Devices(), v.Devices(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	r := tcp(10, "10.1.0.1", 254, "198.51.100.9", 9)
	if told := play(w, r, arp(11, 1, "10.0.0.1"), tcp(12, "10.0.0.1", 1, "93.184.216.34", 254)); len(told) != 0 {
		t.Errorf("known devices were told again: %q", told)
	}
	if ends(r) != [2]string{"10.1.0.1", id(9)} {
		t.Errorf("ends %q", ends(r))
	}
}

// TestSnapshotOfManyNames saves no more names than it may, and the same ones each time.
func TestSnapshotOfManyNames(t *testing.T) {
	v := NewInventory(Config{})
	for i := range 2 * maxSavedDomains {
		v.domains.put(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), "cloud.example.com")
	}
	first, _ := v.Snapshot()
	if second, _ := v.Snapshot(); string(first) != string(second) {
		t.Error("two snapshots of the same differ")
	}
	if n := strings.Count(string(first), "cloud.example.com"); n != maxSavedDomains {
		t.Errorf("%d names are saved, not %d", n, maxSavedDomains)
	}
}

func TestUnusableSnapshot(t *testing.T) {
	v := NewInventory(Config{Site: "north"})
	play(v, arp(0, 1, "10.0.0.1"))
	before, _ := v.Snapshot()
	var other *StateError
	for name, state := range map[string]struct {
		text  string
		other bool
	}{
		"other version":  {`{"version":99,"devices":"what"}`, true},
		"other site":     {strings.Replace(string(before), "north", "south", 1), true},
		"no JSON":        {"\x00\x01", false},
		"cut":            {string(before[:len(before)/2]), false},
		"wrong type":     {`{"version":1,"site":"north","devices":{}}`, false},
		"twice the same": {`{"version":1,"site":"north","devices":[{"id":"a"},{"id":"a"}]}`, false},
		"one address, two devices": {`{"version":1,"site":"north","devices":[{"id":"a","addresses":[{"address":"10.0.0.1","current":true}]},
			{"id":"b","addresses":[{"address":"10.0.0.1","current":true}]}]}`, false},
		"no MAC": {`{"version":1,"site":"north","devices":[{"id":"a","mac":"zz"}]}`, false},
	} {
		err := v.Restore([]byte(state.text))
		if err == nil || errors.As(err, &other) != state.other {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := v.Snapshot(); string(after) != string(before) {
			t.Errorf("%s: half used:\n%s", name, after)
		}
	}
}

func FuzzRestore(f *testing.F) {
	v := NewInventory(Config{})
	play(v, arp(0, 1, "10.0.0.1"), arp(0, 254, "10.0.0.254"), tcp(1, "10.1.0.1", 254, "10.0.0.1", 1))
	saved, _ := v.Snapshot()
	f.Add(saved)
	f.Fuzz(func(t *testing.T, b []byte) {
		v := NewInventory(Config{MaxDevices: 3})
		if v.Restore(b) == nil {
			check(t, v)
		}
		play(v, arp(0, 1, "10.0.0.1"), tcp(1, "10.0.0.1", 1, "10.0.0.2", 2))
		check(t, v)
	})
}

func BenchmarkFlow(b *testing.B) {
	v := NewInventory(Config{})
	flows := make([]*flow.Record, 1000)
	for i := range flows {
		flows[i] = tcp(float64(i), fmt.Sprintf("10.0.0.%d", i%100+1), byte(i%100+1), fmt.Sprintf("93.184.%d.%d", i%250, i%13), 254)
		play(v, flows[i])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		v.Flow(flows[i%len(flows)])
		i++
	}
}

func BenchmarkSnapshot(b *testing.B) {
	v := NewInventory(Config{})
	for i := range 10_000 {
		m := packet.MAC{0, 1, 2, 3, byte(i >> 8), byte(i)}
		for j := range 3 {
			v.Sighting(&app.Sighting{Time: start, Kind: app.ARPClaim, MAC: m, Address: netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)})})
		}
		v.Sighting(&app.Sighting{Time: start, Kind: app.DHCPAsk, MAC: m, Name: fmt.Sprint("device-", i)})
	}
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		s, err := v.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		size = len(s)
	}
	b.ReportMetric(float64(size)/10_000, "B/device")
}

// New devices without end at one moment of the data's time are not all kept until it moves on.
func TestWaitingIsBounded(t *testing.T) {
	v := NewInventory(Config{MaxDevices: 10})
	told := 0
	for i := range 5000 {
		m := packet.MAC{2, 1, 1, byte(i >> 16), byte(i >> 8), byte(i)}
		told += len(v.Sighting(&app.Sighting{Time: second, Kind: app.ARPClaim, MAC: m, Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}))
		if len(v.waiting) > 4*10 {
			t.Fatalf("%d wait after %d devices", len(v.waiting), i)
		}
	}
	if told != 5000 {
		t.Errorf("%d told", told)
	}
}
