package exactness

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// zeekPair is a capture of Zeek's own tests with the log that they expect.
type zeekPair struct {
	Trace    string
	Baseline string
	Test     string
	Options  []string `json:"zeek_options"`
	Redefs   []string `json:"redefines"`
}

// zeekTalk sums up the rows of one conversation.
type zeekTalk struct {
	rows             int
	lo, hi           counts
	byHigh           bool
	state            string
	tunnel           bool
	counted, octets  bool // the log says packets, and bytes
	history, service string
}

// separators are what tests of Zeek's put between the parts of a column's name.
var separators = regexp.MustCompile(`^id[*_](orig_h|orig_p|resp_h|resp_p)$`)

// readZeek gives nil for a log that does not say who talks.
func readZeek(t *testing.T, path string) map[key]*zeekTalk {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var columns []string
	talks := map[key]*zeekTalk{}
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "#fields"):
			for _, c := range strings.Split(line, "\t")[1:] {
				columns = append(columns, separators.ReplaceAllString(c, "id.${1}"))
			}
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case columns == nil:
			columns = strings.Split(line, "\t")
			continue
		}
		if !slices.Contains(columns, "id.orig_p") || !slices.Contains(columns, "id.resp_p") {
			return nil
		}
		row := strings.Split(line, "\t")
		field := func(name string) string {
			if i := slices.Index(columns, name); i >= 0 && i < len(row) {
				return row[i]
			}
			return ""
		}
		number := func(name string) uint64 { n, _ := strconv.ParseUint(field(name), 10, 64); return n }
		orig, err1 := netip.ParseAddr(field("id.orig_h"))
		resp, err2 := netip.ParseAddr(field("id.resp_h"))
		if err1 != nil || err2 != nil {
			return nil
		}
		o, r := end{orig, uint16(number("id.orig_p"))}, end{resp, uint16(number("id.resp_p"))}
		proto := uint8(0)
		switch field("proto") {
		case "tcp":
			proto = packet.ProtoTCP
		case "udp":
			proto = packet.ProtoUDP
		case "icmp":
			proto = packet.ProtoICMP
			if orig.Is6() {
				proto = packet.ProtoICMPv6
			}
			o.port = kindOfICMP(proto, uint8(o.port), uint8(r.port))
			r.port = o.port
		default:
			proto = uint8(number("ip_proto"))
		}
		k, swapped := keyOf(proto, o, r)
		z := talks[k]
		if z == nil {
			z = &zeekTalk{byHigh: swapped, state: field("conn_state"), history: field("history"), service: field("service"),
				counted: slices.Contains(columns, "orig_pkts"), octets: slices.Contains(columns, "orig_ip_bytes")}
			talks[k] = z
		}
		z.rows++
		if p := field("tunnel_parents"); p != "" && p != "-" && p != "(empty)" {
			z.tunnel = true
		}
		a := counts{packets: number("orig_pkts"), bytes: number("orig_ip_bytes")}
		b := counts{packets: number("resp_pkts"), bytes: number("resp_ip_bytes")}
		if swapped {
			a, b = b, a
		}
		z.lo.add(a)
		z.hi.add(b)
	}
	return talks
}

// agrees reports whether both count the same each way.
func (o *talk) agrees(z *zeekTalk) bool {
	return o != nil && o.lo.packets == z.lo.packets && o.hi.packets == z.hi.packets && (!z.octets || o.lo.bytes == z.lo.bytes && o.hi.bytes == z.hi.bytes)
}

// kindOfICMP is the smaller of the types of a question and its answer, else type and code.
func kindOfICMP(proto, ty, code uint8) uint16 {
	pairs := map[uint8]uint8{0: 0, 8: 0, 13: 13, 14: 13, 15: 15, 16: 15, 17: 17, 18: 17, 9: 9, 10: 9}
	if proto == packet.ProtoICMPv6 {
		pairs = map[uint8]uint8{128: 128, 129: 128, 130: 130, 131: 130, 133: 133, 134: 133, 135: 135, 136: 135, 139: 139, 140: 139, 144: 144, 145: 144}
	}
	if least, ok := pairs[ty]; ok {
		return uint16(least)
	}
	return uint16(ty)<<8 | uint16(code)
}

const (
	same        = "same packets and bytes each way"
	sameEnds    = "same addresses and ports, where the log does not count"
	inTunnel    = "inside a tunnel that is not opened (AYIYA): metered as what carries it; Zeek looks inside"
	zeekMiddle  = "only Zeek's: a tunnel within a tunnel, beside what is inside"
	zeekCarrier = "only Zeek's: the tunnel itself, beside what is inside; the same packets and bytes as ours when tunnels are left closed"
	zeekGridFTP = "Zeek's GridFTP script stops counting"
	zeekOffload = "segments of more than 1,500 bytes (offload): Zeek counts the packets and not all of their bytes; tshark counts as we do"
	zeekFilter  = "only ours, or more of it in ours: that test gives Zeek a filter"
	sameStart   = "same initiator"
	zeekNoPorts = "began with a SYN-ACK: Zeek without its list of likely server ports takes its sender for the initiator"
	sameRows    = "same number of records"
	zeekAttempt = "Zeek splits where only one direction was captured: it gives up an attempt after 5 s"
	zeekVLAN    = "that test makes Zeek tell conversations apart by VLAN"
	sameState   = "same TCP state"
)

func TestZeek(t *testing.T) {
	dir := testbed.Data(t, "zeek")
	text, err := os.ReadFile(filepath.Join(dir, "map.json"))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []zeekPair
	if err := json.Unmarshal(text, &pairs); err != nil {
		t.Fatal(err)
	}
	// Zeek's parsers of OT protocols have tests of their own.
	for _, c := range []struct{ project, log, trace string }{
		{"icsnpp-bacnet/testing", "basic", "bacnet_example.pcap"},
		{"icsnpp-enip/tests", "basic", "enip_cip_example.pcap"},
		{"icsnpp-modbus/testing", "basic", "modbus_example.pcap"},
	} {
		pairs = append(pairs, zeekPair{Trace: "../../" + c.project + "/traces/" + c.trace, Baseline: "../../" + c.project + "/baseline/analyzer." + c.log + "/conn.log"})
	}
	const withAddresses, without = "logs of connections", "logs that leave the addresses out: not compared"
	logs := newTally("Zeek's expected logs", withAddresses, without)
	talks := newTally("Conversations in them", same, sameEnds, zeekCarrier, zeekMiddle, inTunnel, zeekOffload, zeekGridFTP, zeekFilter)
	starts := newTally("Who began, where both have it", sameStart, zeekNoPorts)
	rows := newTally("Records, where the counts are the same", sameRows, zeekAttempt, zeekVLAN)
	states := newTally("TCP state, where the records are as many", sameState)
	for _, p := range pairs {
		theirs := readZeek(t, filepath.Join(dir, "Baseline", p.Baseline))
		if len(theirs) == 0 {
			logs.count(without, "")
			continue
		}
		logs.count(withAddresses, "")
		ours := meter(t, filepath.Join(dir, "Traces", p.Trace), kindOfICMP, false)
		if ours == nil {
			t.Errorf("%s can't be read", p.Trace)
			continue
		}
		carriers := meterWith(t, packet.Decoder{KeepTunnels: true}, filepath.Join(dir, "Traces", p.Trace), kindOfICMP, false)
		filtered := strings.Contains(strings.Join(p.Options, " "), " -f ") || strings.Contains(p.Test, "filter")
		counted := false
		for _, z := range theirs {
			counted = counted || z.counted && z.lo.packets+z.hi.packets > 0
		}
		for k, z := range theirs {
			if k.proto == 0 { // the log does not say
				for _, proto := range []uint8{packet.ProtoTCP, packet.ProtoUDP} {
					if o := (key{proto, k.lo, k.hi}); ours.talks[o] != nil {
						k = o
					}
				}
			}
			o := ours.talks[k]
			agree := o.agrees(z)
			kind := ""
			switch {
			case o != nil && !counted:
				kind = sameEnds
			case agree:
				kind = same
			case ours.opened > 0 && carriers.talks[k].agrees(z):
				kind = zeekCarrier
			case z.tunnel && o == nil && z.service == "teredo" && ours.opened > 0:
				kind = zeekMiddle
			case z.tunnel && o == nil && strings.Contains(p.Trace, "ayiya"):
				kind = inTunnel
			case o == nil:
			case o.big > 0 && o.lo.packets == z.lo.packets && o.hi.packets == z.hi.packets:
				kind = zeekOffload
			case strings.Contains(z.service, "gridftp-data"):
				kind = zeekGridFTP
			case filtered && o.lo.packets >= z.lo.packets && o.hi.packets >= z.hi.packets:
				kind = zeekFilter
			}
			talks.count(kind, "%s %v: Zeek %+v, ours %+v", p.Trace, k, z, o)
			delete(ours.talks, k)
			if o == nil {
				continue
			}
			kind = ""
			switch {
			case o.byHigh == z.byHigh:
				kind = sameStart
			case o.answered && !strings.Contains(z.history, "^"):
				kind = zeekNoPorts
			}
			starts.count(kind, "%s %v: Zeek %+v, ours %+v", p.Trace, k, z, o)
			if !agree {
				continue
			}
			kind = ""
			switch {
			case o.flows == z.rows:
				kind = sameRows
			case o.lo.packets == 0 || o.hi.packets == 0:
				kind = zeekAttempt
			case strings.Contains(p.Test, "vlan"):
				kind = zeekVLAN
			}
			rows.count(kind, "%s %v: Zeek %+v, ours %+v", p.Trace, k, z, o)
			if k.proto == packet.ProtoTCP && o.flows == z.rows && z.state != "" {
				kind = ""
				if o.state == z.state {
					kind = sameState
				}
				states.count(kind, "%s %v: Zeek %s (%s), ours %s", p.Trace, k, z.state, z.history, o.state)
			}
		}
		for k, o := range ours.talks {
			kind := ""
			switch {
			case filtered:
				kind = zeekFilter
			}
			talks.count(kind, "%s %v: only ours %+v", p.Trace, k, o)
		}
	}
	logs.hold(t, "zeek logs")
	talks.hold(t, "zeek talks")
	starts.hold(t, "zeek starts")
	rows.hold(t, "zeek rows")
	states.hold(t, "zeek states")
}
