package exactness

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// ndpiTalk sums up the rows of one conversation in nDPI's list.
type ndpiTalk struct {
	rows   int
	lo, hi counts
	byHigh bool
	line   string
}

const protoAH = 51

var ndpiRow = regexp.MustCompile(`^\t(?:\d+\t)?(\S+) (\S+) (<?->) (\S+) \[.*\[(\d+) pkts/(\d+) bytes <?-> (\d+) pkts/(\d+) bytes\]`)

var ndpiProtocols = map[string]uint8{"ICMP": 1, "IGMP": 2, "TCP": 6, "UDP": 17, "ESP": 50, "AH": protoAH, "ICMPV6": 58, "VRRP": 112, "SCTP": 132}

func ndpiEnd(s string) (e end, ok bool) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return end{a.Addr().Unmap(), a.Port()}, true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return end{addr: a}, err == nil
}

func readNDPI(t *testing.T, path string) (map[key]*ndpiTalk, int) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	talks := map[key]*ndpiTalk{}
	rows := 0
	for _, line := range strings.Split(string(text), "\n") {
		m := ndpiRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		rows++
		proto, known := ndpiProtocols[m[1]]
		if !known {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatalf("%s: what is %q?", path, m[1])
			}
			proto = uint8(n)
		}
		a, ok1 := ndpiEnd(m[2])
		b, ok2 := ndpiEnd(m[4])
		if !ok1 || !ok2 {
			t.Fatalf("%s: what is %s?", path, line)
		}
		n := func(i int) uint64 { v, _ := strconv.ParseUint(m[i], 10, 64); return v }
		k, swapped := keyOf(proto, a, b)
		d := talks[k]
		if d == nil {
			d = &ndpiTalk{byHigh: swapped, line: line}
			talks[k] = d
		}
		d.rows++
		ca, cb := counts{packets: n(5), frames: n(6)}, counts{packets: n(7), frames: n(8)}
		if swapped {
			ca, cb = cb, ca
		}
		d.lo.add(ca)
		d.hi.add(cb)
	}
	return talks, rows
}

const (
	sameFrames    = "same packets and bytes (of frames) each way"
	ndpiCut       = "cut by a snap length: nDPI counts the bytes captured, we those on the wire"
	ndpiAH        = "IPsec AH: we look through the header, nDPI does not"
	ndpiFragments = "IP fragments after the first: nDPI leaves them out"
	ndpiRefused   = "damaged on purpose (fuzzed): we refuse a packet whose header lies, nDPI counts it"
	ndpiGuess     = "no handshake seen: we guess by ports, nDPI takes who spoke first"
	ndpiAnswer    = "began with a SYN-ACK: we turn it round, nDPI does not"
	moreRecords   = "we write several: idle timeout, ports used again, one for each kind of ICMP; nDPI's list has one"
	ndpiVLAN      = "nDPI tells conversations apart by VLAN, even when the two directions have different ones"
)

func TestNDPI(t *testing.T) {
	dir := testbed.Data(t, "ndpi")
	files, err := filepath.Glob(filepath.Join(dir, "pcap", "*"))
	if err != nil {
		t.Fatal(err)
	}
	talks := newTally("Conversations in nDPI's lists", sameFrames, ndpiCut, ndpiAH, ndpiFragments, ndpiRefused)
	starts := newTally("Who began, where the counts are the same", sameStart, ndpiGuess, ndpiAnswer)
	records := newTally("Records, where the counts are the same", sameRows, moreRecords, ndpiVLAN)
	rows := 0
	for _, path := range files {
		name := filepath.Base(path)
		theirs, n := readNDPI(t, filepath.Join(dir, "result", name+".out"))
		rows += n
		ours := meter(t, path, func(uint8, uint8, uint8) uint16 { return 0 }, false)
		if ours == nil {
			t.Errorf("%s can't be read", name)
			continue
		}
		for k, d := range theirs {
			o := ours.talks[k]
			agree := o != nil && o.lo.packets == d.lo.packets && o.hi.packets == d.hi.packets && o.lo.frames == d.lo.frames && o.hi.frames == d.hi.frames
			kind := ""
			switch {
			case agree:
				kind = sameFrames
			case o != nil && o.cut > 0 && o.lo.packets == d.lo.packets && o.hi.packets == d.hi.packets:
				kind = ndpiCut
			case k.proto == protoAH:
				kind = ndpiAH
			case o != nil && o.fragments > 0:
				kind = ndpiFragments
			case strings.HasPrefix(name, "fuzz") && ours.refused > 0:
				kind = ndpiRefused
			}
			talks.count(kind, "%s %v: nDPI %+v, ours %+v", name, k, d, o)
			delete(ours.talks, k)
			if !agree {
				continue
			}
			kind = ""
			switch {
			case o.byHigh == d.byHigh:
				kind = sameStart
			case o.guessed:
				kind = ndpiGuess
			case o.answered:
				kind = ndpiAnswer
			}
			starts.count(kind, "%s %v: nDPI %+v, ours %+v", name, k, d, o)
			kind = ""
			switch {
			case o.flows == d.rows:
				kind = sameRows
			case d.rows == 1:
				kind = moreRecords
			case strings.Contains(d.line, "[VLAN: "):
				kind = ndpiVLAN
			}
			records.count(kind, "%s %v: nDPI %+v, ours %+v", name, k, d, o)
		}
		for k, o := range ours.talks {
			kind := ""
			switch {
			case o.fragments > 0:
				kind = ndpiFragments
			case k.proto == packet.ProtoICMP && theirs[key{protoAH, k.lo, k.hi}] != nil:
				kind = ndpiAH
			}
			talks.count(kind, "%s %v: only ours %+v", name, k, o)
		}
	}
	t.Logf("%d captures, %d rows", len(files), rows)
	talks.hold(t, "ndpi talks")
	starts.hold(t, "ndpi starts")
	records.hold(t, "ndpi records")
}
