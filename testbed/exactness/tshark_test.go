package exactness

import (
	"bufio"
	"bytes"
	"io/fs"
	"maps"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// sharkTalk sums up the rows of one conversation in tshark's list.
type sharkTalk struct{ lo, hi counts }

var sharkRow = regexp.MustCompile(`^(\S+):(\d+) +<-> (\S+):(\d+) +(\d+) (-?\d+) (bytes|kB|MB) +(\d+) (-?\d+) (bytes|kB|MB) `)

// readShark lists the conversations of a capture as `tshark -z conv` does, with fragments
// left as they are, since tshark counts a datagram that it put together as one packet.
func readShark(t *testing.T, path string) map[key]*sharkTalk {
	t.Helper()
	cmd := exec.Command("tshark", "-n", "-r", path, "-q", "-z", "conv,tcp", "-z", "conv,udp", "-z", "conv,sctp",
		"-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE")
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		return nil
	}
	talks, proto := map[key]*sharkTalk{}, uint8(0)
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		switch line := s.Text(); {
		case strings.HasPrefix(line, "TCP Conv"):
			proto = packet.ProtoTCP
		case strings.HasPrefix(line, "UDP Conv"):
			proto = packet.ProtoUDP
		case strings.HasPrefix(line, "SCTP Conv"):
			proto = packet.ProtoSCTP
		default:
			m := sharkRow.FindStringSubmatch(line)
			if m == nil {
				if strings.Contains(line, "<->") {
					t.Fatalf("%s: what is %s?", path, line)
				}
				continue
			}
			n := func(i int) uint64 { v, _ := strconv.ParseUint(m[i], 10, 64); return v }
			a, err1 := netip.ParseAddr(m[1])
			b, err2 := netip.ParseAddr(m[3])
			if err1 != nil || err2 != nil {
				t.Fatalf("%s: what is %s?", path, line)
			}
			k, swapped := keyOf(proto, end{a.Unmap(), uint16(n(2))}, end{b.Unmap(), uint16(n(4))})
			d := talks[k]
			if d == nil {
				d = &sharkTalk{}
				talks[k] = d
			}
			// The first pair of columns is what the second end sent.
			first, second := &d.hi, &d.lo
			if swapped {
				first, second = second, first
			}
			first.packets += n(5)
			second.packets += n(8)
			for i, c := range map[int]*counts{6: first, 9: second} {
				c.frames += n(i) * map[string]uint64{"bytes": 1, "kB": 1000, "MB": 1_000_000}[m[i+1]]
				c.bytes += map[string]uint64{"bytes": 0, "kB": 1000, "MB": 1_000_000}[m[i+1]] // as much may be left out
			}
		}
	}
	return talks
}

// like reports whether the counts are the same as far as tshark prints them.
func (c counts) like(theirs counts) bool {
	return c.packets == theirs.packets && c.frames >= theirs.frames && c.frames <= theirs.frames+theirs.bytes
}

const (
	sharkSame      = "same packets and bytes (of frames) each way"
	sharkFragments = "IP fragments after the first: tshark has them in no conversation when it does not put them together"
	sharkRefused   = "a header that lies, or ends too soon: refused here with a reason; tshark counts what it can"
	sharkLayer     = "another layer of a tunnel or a link encapsulation: tshark counts each, here one is metered"
	sharkQuoted    = "quoted by an ICMP error: tshark counts it with what it quotes"
	sharkLength    = "same packets; the capture lies about their length on the wire"
	sharkCut       = "more here: a TCP header that is cut off after its flags, or has an MPTCP option that tshark stops at"
	sharkJumbo     = "only ours: a segment of more than 64 KiB (offload), whose IP length is 0"
	sharkRouting   = "IPv6 routing header: tshark takes the last destination in it for the other end, here it is the one on the way"
	sharkSCTP      = "only ours: SCTP without a chunk, which tshark takes for malformed"
)

// explain looks at the frames that have the addresses of a conversation in them, and says
// what became of those that are not metered as its packets.
func explain(t *testing.T, path string, k key) (kind string) {
	t.Helper()
	source, err := packet.OpenFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	a, b := k.lo.addr.AsSlice(), k.hi.addr.AsSlice()
	pair, back := slices.Concat(a, b), slices.Concat(b, a)
	var d packet.Decoder
	var h packet.Header
	frames := make([]packet.Frame, 256)
	for {
		n, err := source.NextBatch(frames)
		if n == 0 && err != nil {
			return kind
		}
		for i := range frames[:n] {
			f := &frames[i]
			if !bytes.Contains(f.Data, pair) && !bytes.Contains(f.Data, back) {
				continue
			}
			if d.Decode(f, &h) != packet.OK {
				kind = sharkRefused
				continue
			}
			is, _ := keyOf(h.Proto, end{packet.Addr(h.Src), h.SrcPort}, end{packet.Addr(h.Dst), h.DstPort})
			switch {
			case h.IsIP() && is == k:
				if h.Proto == packet.ProtoTCP && kind == "" && (len(f.Data) < f.WireLen || bytes.IndexByte(h.TCPOptions, 30) >= 0) {
					kind = sharkCut
				}
			case h.Fragment:
				return sharkFragments
			case h.IsIP() && h.Proto == packet.ProtoICMP && h.ICMPType != 0 && h.ICMPType != 8, h.IsIP() && h.Proto == packet.ProtoICMPv6 && h.ICMPType < 128:
				return sharkQuoted
			case h.IsIP() && is.lo.addr == k.lo.addr && is.hi.addr == k.hi.addr && is.proto == k.proto: // others of the same hosts
			default:
				return sharkLayer
			}
		}
	}
}

// routed reports whether there is a conversation of IPv6 that differs from k in the address
// of one end alone.
func routed(k key, others []key) bool {
	return k.lo.addr.Is6() && slices.ContainsFunc(others, func(o key) bool {
		for _, o := range []key{o, {o.proto, o.hi, o.lo}} {
			if o.proto == k.proto && o.lo.port == k.lo.port && o.hi.port == k.hi.port && (o.lo.addr == k.lo.addr) != (o.hi.addr == k.hi.addr) {
				return true
			}
		}
		return false
	})
}

// The third opinion: tshark's list of conversations. Captures are appended to each other,
// as starting tshark costs more than reading one.
func TestTshark(t *testing.T) {
	root := testbed.Data(t)
	for _, program := range []string{"tshark", "mergecap"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("no ", program)
		}
	}
	if testing.Short() {
		t.Skip("reads all captures twice")
	}
	const most, atOnce = 4 << 20, 25
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		switch filepath.Ext(path) {
		case ".pcap", ".pcapng", ".cap", ".trace":
			if info, err := d.Info(); err == nil && info.Size() <= most {
				files = append(files, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var batches []string
	var merge func(files []string)
	merge = func(files []string) {
		name := filepath.Join(dir, strconv.Itoa(len(batches))+".pcapng")
		if len(files) > 1 {
			if err := exec.Command("mergecap", append([]string{"-a", "-w", name}, files...)...).Run(); err != nil { // one of them is damaged
				merge(files[:len(files)/2])
				merge(files[len(files)/2:])
				return
			}
			files = []string{name}
		}
		batches = append(batches, files...)
	}
	for chunk := range slices.Chunk(files, atOnce) {
		merge(chunk)
	}
	talks := newTally("Conversations of TCP, UDP and SCTP in tshark's lists", sharkSame, sharkFragments, sharkLayer, sharkQuoted, sharkRefused, sharkLength, sharkCut, sharkJumbo, sharkRouting, sharkSCTP)
	compared := 0
	for _, path := range batches {
		theirs := readShark(t, path)
		ours := meter(t, path, func(uint8, uint8, uint8) uint16 { return 0 }, true)
		if theirs == nil || ours == nil {
			continue
		}
		compared++
		for k, d := range theirs {
			o := ours.talks[k]
			kind := ""
			switch {
			case o != nil && o.lo.like(d.lo) && o.hi.like(d.hi):
				kind = sharkSame
			case o != nil && o.lo.packets == d.lo.packets && o.hi.packets == d.hi.packets:
				kind = sharkLength
			default:
				if kind = explain(t, path, k); kind == "" && o == nil && routed(k, slices.Collect(maps.Keys(ours.talks))) {
					kind = sharkRouting
				}
			}
			talks.count(kind, "%s %v: tshark %+v, ours %+v", filepath.Base(path), k, d, o)
			delete(ours.talks, k)
		}
		for k, o := range ours.talks {
			switch k.proto {
			case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP:
				kind := ""
				switch {
				case o.fragments > 0:
					kind = sharkFragments
				case o.lo.bytes+o.hi.bytes > (1<<16)*(o.lo.packets+o.hi.packets):
					kind = sharkJumbo
				case routed(k, slices.Collect(maps.Keys(theirs))):
					kind = sharkRouting
				case k.proto == packet.ProtoSCTP:
					kind = sharkSCTP
				default:
					kind = explain(t, path, k)
				}
				talks.count(kind, "%s %v: only ours %+v", filepath.Base(path), k, o)
			}
		}
	}
	t.Logf("%d captures, %d batches of them compared of %d", len(files), compared, len(batches))
	talks.hold(t, "tshark talks")
}
