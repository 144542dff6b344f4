package netflow

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// goflow2 is another project's decoder of the same protocols. It is a peer for tests
// and benchmarks only: it allocates for each field of each record, and a template
// whose fields have no length makes it append records without end.

// told is one record in words that both decoders can be brought to.
func told(src, dst netip.Addr, sport, dport uint16, proto uint8, bytes, packets uint64, flags uint8) string {
	if proto == packet.ProtoICMP || proto == packet.ProtoICMPv6 || proto != packet.ProtoTCP && proto != packet.ProtoUDP {
		sport, dport = 0, 0
	}
	return fmt.Sprintf("%s:%d %s:%d %d %d %d %02x", src, sport, dst, dport, proto, bytes, packets, flags)
}

// byGoflow2 decodes datagrams with goflow2.
func byGoflow2(t *testing.T, datagrams [][]byte) map[string]int {
	t.Helper()
	all := map[string]int{}
	templates := netflow.CreateTemplateSystem()
	for _, d := range datagrams {
		if d[1] == 5 {
			var p netflowlegacy.PacketNetFlowV5
			if err := netflowlegacy.DecodeMessageVersion(bytes.NewBuffer(d), &p); err != nil {
				t.Fatal(err)
			}
			addr := func(a netflowlegacy.IPAddress) netip.Addr {
				return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
			}
			for _, r := range p.Records {
				all[told(addr(r.SrcAddr), addr(r.DstAddr), r.SrcPort, r.DstPort, r.Proto, uint64(r.DOctets), uint64(r.DPkts), r.TCPFlags)]++
			}
			continue
		}
		var nine netflow.NFv9Packet
		var ten netflow.IPFIXPacket
		if err := netflow.DecodeMessageVersion(bytes.NewBuffer(d), templates, &nine, &ten); err != nil {
			t.Fatal(err)
		}
		for _, set := range append(nine.FlowSets, ten.FlowSets...) {
			data, ok := set.(netflow.DataFlowSet)
			if !ok {
				continue
			}
			for _, r := range data.Records {
				var src, dst netip.Addr
				var n [12]uint64
				for _, f := range r.Values {
					v, _ := f.Value.([]byte)
					switch f.Type {
					case 8, 27:
						src, _ = netip.AddrFromSlice(v)
					case 12, 28:
						dst, _ = netip.AddrFromSlice(v)
					case 1, 2, 4, 6, 7, 11:
						n[f.Type] = number(v)
					}
				}
				all[told(src, dst, uint16(n[7]), uint16(n[11]), uint8(n[4]), n[1], n[2], uint8(n[6]))]++
			}
		}
	}
	return all
}

// exportedBy has softflowd export a capture, and gives the datagrams.
func exportedBy(t testing.TB, file string, args ...string) (datagrams [][]byte) {
	t.Helper()
	name, err := exec.LookPath("softflowd")
	if err != nil {
		t.Skip("needs softflowd")
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadBuffer(8 << 20)
	cmd := exec.Command(name, append([]string{"-r", file, "-n", conn.LocalAddr().String(), "-d", "-6", "-a", "-m", "1000000", "-p", "pid", "-c", "ctl"}, args...)...)
	cmd.Dir = t.TempDir()
	if r := testbed.Exec(t, cmd); r.Code != 0 {
		t.Fatalf("softflowd: %s", r.Stderr)
	}
	buf := make([]byte, 1<<16)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := conn.Read(buf)
		if err != nil {
			return datagrams
		}
		datagrams = append(datagrams, bytes.Clone(buf[:n]))
	}
}

// TestBesideGoflow2 decodes what softflowd exports with both decoders: the same
// records, field by field.
func TestBesideGoflow2(t *testing.T) {
	file := filepath.Join(testbed.Data(t), "zeek", "Traces", "wikipedia.pcap")
	for _, version := range []string{"5", "9", "10"} {
		t.Run(version, func(t *testing.T) {
			datagrams := exportedBy(t, file, "-v", version)
			want := byGoflow2(t, datagrams)
			c := newCollected(func(c *Config) { c.PairWait, c.MaxClockSkew = 0, 0 })
			for _, d := range datagrams {
				c.add(d)
			}
			got := map[string]int{}
			for _, r := range c.records {
				from, to := r.Src, r.Dst
				if from.Packets == 0 {
					from, to = to, from
				}
				got[told(from.Addr, to.Addr, from.Port, to.Port, r.Proto, from.Bytes, from.Packets, from.Flags)]++
			}
			if !maps.Equal(got, want) || len(got) < 30 {
				t.Errorf("own decoder:\n%v\ngoflow2:\n%v", got, want)
			}
		})
	}
}
