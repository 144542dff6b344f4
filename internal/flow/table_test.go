package flow

import (
	"net/netip"
	"testing"
	"time"

	"github.com/monban/monban/internal/packet"
)

// tcp makes the header of a TCP segment; a and b are "address:port".
func tcp(at time.Duration, a, b string, flags uint8, seq uint32, payload int) *packet.Header {
	src, dst := netip.MustParseAddrPort(a), netip.MustParseAddrPort(b)
	return &packet.Header{
		Time: int64(time.Hour + at), WireLen: 54 + payload, Net: packet.NetIPv4, Proto: packet.ProtoTCP,
		Src: src.Addr().As16(), Dst: dst.Addr().As16(), SrcPort: src.Port(), DstPort: dst.Port(),
		TTL: 64, NetLen: 40 + payload, TCPFlags: flags, Seq: seq, PayloadLen: payload,
	}
}

func collect(cfg Config) (*Table, *[]Record) {
	var got []Record
	return NewTable(cfg, func(r *Record) { got = append(got, *r) }), &got
}

const client, server = "10.0.0.9:50000", "10.0.0.1:80"

func TestConnection(t *testing.T) {
	table, got := collect(NewDefaultConfig())
	ms := time.Millisecond
	for _, h := range []*packet.Header{
		tcp(0, client, server, packet.SYN, 100, 0),
		tcp(1*ms, server, client, packet.SYN|packet.ACK, 500, 0),
		tcp(2*ms, client, server, packet.ACK, 101, 0),
		tcp(3*ms, client, server, packet.ACK|packet.PSH, 101, 10),
		tcp(4*ms, client, server, packet.ACK|packet.PSH, 101, 10), // again
		tcp(5*ms, server, client, packet.ACK|packet.PSH, 501, 1000),
		tcp(6*ms, client, server, packet.ACK|packet.FIN, 111, 0),
		tcp(7*ms, server, client, packet.ACK|packet.FIN, 1501, 0),
		tcp(8*ms, client, server, packet.ACK, 112, 0),
	} {
		table.Add(h, 0)
	}
	table.Tick(int64(time.Hour + 10*time.Second))
	if len(*got) != 1 {
		t.Fatalf("%d records, want 1", len(*got))
	}
	r := (*got)[0]
	if r.State != "SF" || r.Reason != Ended || r.Src.Port != 50000 || r.Src.Packets != 6 || r.Dst.Packets != 3 ||
		r.Src.Retrans != 1 || r.Dst.Bytes != 3*40+1000 || r.Guessed {
		t.Errorf("wrong record: %+v", r)
	}
	if s := table.Stats(); s.Live != 0 || s.Flows != 1 || s.Packets != 9 {
		t.Errorf("wrong totals: %+v", s)
	}
}

func TestUnansweredIsReportedSoon(t *testing.T) {
	table, got := collect(NewDefaultConfig())
	table.Add(tcp(0, client, server, packet.SYN, 1, 0), 0)
	table.Tick(int64(time.Hour + 4*time.Second))
	if len(*got) != 1 || (*got)[0].State != "S0" || (*got)[0].Reason != Active {
		t.Fatalf("after 4 s: %+v", *got)
	}
	table.Tick(int64(2 * time.Hour))
	if len(*got) != 1 || table.Stats().Live != 0 {
		t.Fatalf("an empty record was written, or the flow lives on: %+v", *got)
	}
}

func TestCapacity(t *testing.T) {
	cfg := NewDefaultConfig()
	cfg.MaxFlows = 16
	table, got := collect(cfg)
	for i := range 1000 {
		h := tcp(0, client, server, packet.SYN, 1, 0)
		h.SrcPort = uint16(i)
		table.Add(h, 0)
	}
	table.Flush()
	s := table.Stats()
	if s.Live != 0 || s.Evicted != 984 || len(*got) != 1000 {
		t.Errorf("%+v, %d records", s, len(*got))
	}
}

// The examples of the Community ID specification.
func TestCommunityID(t *testing.T) {
	for _, c := range []struct {
		src, dst string
		proto    uint8
		sp, dp   uint16
		ty, code uint8
		want     string
	}{
		{"128.232.110.120", "66.35.250.204", 6, 34855, 80, 0, 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{"192.168.1.52", "8.8.8.8", 17, 54585, 53, 0, 0, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{"192.168.0.89", "192.168.0.1", 1, 0, 0, 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
	} {
		r := Record{Net: packet.NetIPv4, Proto: c.proto, ICMPType: c.ty, ICMPCode: c.code}
		r.Src.Addr, r.Dst.Addr = netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst)
		r.Src.Port, r.Dst.Port = c.sp, c.dp
		if got := CommunityID(&r); got != c.want {
			t.Errorf("%v: got %s, want %s", c, got, c.want)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	for name, flows := range map[string]int{"5k": 5000, "1M": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			cfg := NewDefaultConfig()
			cfg.MaxFlows = 1 << 21
			table := NewTable(cfg, func(*Record) {})
			h := tcp(0, client, server, packet.ACK, 1, 10)
			b.ReportAllocs()
			for i := range b.N {
				f := uint32(uint64(i)*0x9e3779b1) % uint32(flows)
				h.Src[13], h.Src[14], h.Src[15] = byte(f>>16), byte(f>>8), byte(f)
				table.Add(h, 0)
			}
		})
	}
}
