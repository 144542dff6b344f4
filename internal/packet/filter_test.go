package packet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"
)

// machine compiles a filter for frames whose tags are all in them, as in a capture
// file; x/net's machine knows none of the kernel's extensions.
func machine(t testing.TB, filter string) *bpf.VM {
	t.Helper()
	tree, err := parseFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	g := &codegen{ethernet: true}
	raw, err := g.compile(tree, maxCaptured)
	if err != nil {
		t.Fatal(err)
	}
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("not all of the program can be disassembled")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func passes(t testing.TB, vm *bpf.VM, data []byte) bool {
	t.Helper()
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return n != 0
}

func TestFilter(t *testing.T) {
	const ether4, ether6 = layers.EthernetTypeIPv4, layers.EthernetTypeIPv6
	tcp := build(t, ethernetLayer(ether4), ipv4Layer(layers.IPProtocolTCP), tcpLayer(), hello)
	udp6 := build(t, ethernetLayer(ether6), ipv6Layer(layers.IPProtocolUDP), udpLayer(), hello)
	tagged := build(t, ethernetLayer(layers.EthernetTypeQinQ), tag(7, layers.EthernetTypeDot1Q), tag(42, ether4), ipv4Layer(layers.IPProtocolTCP), tcpLayer(), hello)
	arp := build(t, &layers.Ethernet{SrcMAC: srcMAC[:], DstMAC: bytes.Repeat([]byte{255}, 6), EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: 1, Protocol: ether4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: srcMAC[:], SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 2}})
	frames := []struct {
		name string
		data []byte
	}{{"tcp", tcp}, {"udp6", udp6}, {"tagged", tagged}, {"arp", arp}}
	for _, c := range []struct{ filter, want string }{
		{"ip", "tcp tagged"},
		{"ip6", "udp6"},
		{"arp", "arp"},
		{"ether proto 0x86dd", "udp6"},
		{`ether proto \arp`, "arp"},
		{"tcp", "tcp tagged"},
		{"udp", "udp6"},
		{"icmp or icmp6", ""},
		{"proto 17", "udp6"},
		{"ip proto 6", "tcp tagged"},
		{"ip6 proto tcp", ""},
		{"host 10.0.0.1", "tcp tagged arp"},
		{"src 10.0.0.1 and dst host 10.0.0.2", "tcp tagged arp"},
		{"dst 10.0.0.1", ""},
		{"ip host 10.0.0.1", "tcp tagged"},
		{"host 2001:db8::1", "udp6"},
		{"src net 10.0.0.0/31", "tcp tagged arp"},
		{"net 10.0.1.0/24", ""},
		{"net 0.0.0.0/0", "tcp tagged arp"},
		{"net 2001:db8::/33", "udp6"},
		{"port 80", "tcp udp6 tagged"},
		{"src port 80", ""},
		{"tcp dst port 80", "tcp tagged"},
		{"udp portrange 70-90", "udp6"},
		{"portrange 81-90", ""},
		{"sctp port 80", ""},
		{"tcp port 22 or 80", "tcp tagged"},
		{"tcp port 22 or udp", "udp6"},
		{"ether host 02:00:00:00:00:01", "tcp udp6 tagged arp"},
		{"ether dst 02:00:00:00:00:02", "tcp udp6 tagged"},
		{"broadcast", "arp"},
		{"ether multicast", "arp"},
		{"vlan", "tagged"},
		{"vlan 7", "tagged"},
		{"vlan 42", ""},
		{"not vlan and not arp", "tcp udp6"},
		{"! ( tcp || udp )", "arp"},
		{"!(tcp||udp)&&!vlan", "arp"},
		{"less 60", "tcp arp"},
		{"greater 61", "udp6 tagged"},
		{"arp or ip6 and udp", "udp6"}, // from left to right, as in pcap-filter
		{"arp or (ip6 and udp)", "udp6 arp"},
	} {
		t.Run(c.filter, func(t *testing.T) {
			vm := machine(t, c.filter)
			var got []string
			for _, f := range frames {
				if passes(t, vm, f.data) {
					got = append(got, f.name)
				}
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("lets %q through, want %q", s, c.want)
			}
			if _, err := filterFor(c.filter, LinkEthernet, 100); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFilterLongJumps(t *testing.T) {
	var hosts []string
	for i := range 200 {
		hosts = append(hosts, fmt.Sprintf("src 10.1.0.%d", i))
	}
	data := build(t, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(layers.IPProtocolTCP), tcpLayer())
	list := strings.Join(hosts, " or ")
	if passes(t, machine(t, list), data) || !passes(t, machine(t, list+" or src 10.0.0.1"), data) || passes(t, machine(t, "not ("+list+" or src 10.0.0.1)"), data) {
		t.Error("a list of 200 hosts")
	}
	if _, err := CompileFilter(strings.Repeat(list+" or ", 10) + "arp"); err == nil || !strings.Contains(err.Error(), "the kernel takes 4096") {
		t.Error(err)
	}
}

func TestFilterErrors(t *testing.T) {
	for _, c := range []struct{ filter, says string }{
		{"tcp and", "ends where a test should be"},
		{"(tcp", "not closed"},
		{"tcp)", `")" was not expected`},
		{"tcp udp", `"udp" was not expected`},
		{"host example.org", "names are not resolved"},
		{"host", "a value is missing"},
		{"net 10.0.0.1/8", "no network"},
		{"net 10", "no network"},
		{"port http", "no port"},
		{"port 70000", "no port"},
		{"portrange 5", "no portrange"},
		{"portrange 9-5", "no portrange"},
		{"ip host ::1", "do not go together"},
		{"icmp port 3", "do not go together"},
		{"ether host 1.2.3.4", "no MAC address"},
		{"ether net 1.2.3.0/24", "do not go together"},
		{"ether proto 5", "begin at 0x600"},
		{"ip proto frob", "no IP protocol known"},
		{"vlan 5000", "number up to 4095"},
		{"ether", "says nothing by itself"},
		{"tcp[13] & 2 != 0", "tcpdump -ddd"},
		{strings.Repeat("(", 1000), "too many parentheses"},
		{strings.Repeat("! ", 1000) + "tcp", "too many parentheses"},
		{strings.Repeat(" ", maxFilterText) + "tcp or udp" + strings.Repeat(" or tcp", maxFilterText/7), "are allowed"},
		{"5\n40 0 0 12", "not with the number"},
		{"1\n40 0 0", "not four numbers"},
		{"1,40 0 256 12", "instruction 1"},
	} {
		if _, err := CompileFilter(c.filter); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: %v, want %q in it", c.filter, err, c.says)
		}
	}
	if _, err := filterFor("ether host 02:00:00:00:00:01", LinkLinuxSLL, 0); err == nil {
		t.Error("ether on a link without Ethernet")
	}
	if _, err := filterFor("tcp", linkRadiotap, 0); err == nil {
		t.Error("an expression for radiotap")
	}
}

// tcpdump's own bytecode is taken as it is.
func TestFilterBytecode(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("needs tcpdump")
	}
	text, err := exec.Command(tcpdump, "-ddd", "-y", "EN10MB", "tcp[13] & 2 != 0").Output()
	if err != nil {
		t.Skip(err)
	}
	raw, err := CompileFilter(string(text))
	if err != nil {
		t.Fatal(err)
	}
	program, _ := bpf.Disassemble(raw)
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	if !passes(t, vm, build(t, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(layers.IPProtocolTCP), tcpLayer())) {
		t.Error("a SYN is not let through")
	}
}

// On captures without tags our filters let through what tcpdump's do.
func TestFilterAgainstTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("needs tcpdump")
	}
	var captures []string
	for _, pattern := range []string{"zeek/Traces/smtp.pcap", "zeek/Traces/wikipedia.pcap", "iot-sentinel/*/*1-STA.pcap", "zeek/Traces/dns*.pcap", "iti-ics/bro/modbus/*.pcap"} {
		found, _ := filepath.Glob(filepath.Join(dataDir(t), pattern))
		captures = append(captures, found[:min(len(found), 5)]...)
	}
	if len(captures) == 0 {
		t.Skip("no captures")
	}
	for _, filter := range []string{
		"tcp", "udp", "ip6", "arp", "icmp or icmp6", "port 53", "udp port 53 or 67", "tcp dst portrange 1-1023", "not tcp and not udp",
		"net 192.168.0.0/16", "src net 192.168.0.0/16 and not dst net 192.168.0.0/16", "ip6 and host ff02::fb",
		"ether multicast", "broadcast", "less 80", "greater 1000 and tcp", "tcp port 502 or arp and not broadcast", "ip proto 2", "net fe80::/10 or net ff00::/8",
	} {
		vm := machine(t, filter)
		for _, path := range captures {
			ours := 0
			eachFrame(t, path, func(f *Frame) {
				if f.Link == LinkEthernet && passes(t, vm, f.Data) {
					ours++
				}
			})
			out, err := exec.Command(tcpdump, "-r", path, "-w", "-", filter).Output()
			if err != nil {
				t.Fatalf("tcpdump %s: %v", filter, err)
			}
			theirs := 0
			file := filepath.Join(t.TempDir(), "out.pcap")
			if err := os.WriteFile(file, out, 0o600); err != nil {
				t.Fatal(err)
			}
			eachFrame(t, file, func(*Frame) { theirs++ })
			if ours != theirs {
				t.Errorf("%s: %q lets %d packets through, tcpdump's %d", path, filter, ours, theirs)
			}
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"tcp port 80 or 443", "not (host 10.0.0.1 and udp)", "vlan 5 and ether host 02:00:00:00:00:01", "net 2001:db8::/33",
		"less 60", "portrange 1-2", "2\n40 0 0 12\n6 0 0 0", "1,6 0 0 5", "! ! ip", "ip proto 6"} {
		f.Add(s)
	}
	frame := build(f, ethernetLayer(layers.EthernetTypeIPv4), ipv4Layer(layers.IPProtocolTCP), tcpLayer())
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := CompileFilter(text)
		if err != nil {
			return
		}
		if len(raw) > maxProgram {
			t.Fatalf("%d instructions", len(raw))
		}
		if text = strings.TrimSpace(text); text == "" || text[0] >= '0' && text[0] <= '9' {
			return
		}
		if vm := machine(t, text); passes(t, vm, frame) == passes(t, machine(t, "not ("+text+")"), frame) && len(text) < 1000 {
			t.Errorf("%q and its opposite agree", text)
		}
	})
}
