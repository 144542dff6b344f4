package packet

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tsharkTuples asks tshark for the innermost conversation of each packet, as ours
// says it: the last IP header that is not quoted by an ICMP error, and the ports
// behind it.
func tsharkTuples(t *testing.T, path string) (tuples []string, stacks []string) {
	t.Helper()
	cmd := exec.Command("tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=;", "-E", "aggregator=,",
		"-o", "ip.defragment:false", "-o", "ipv6.defragment:false",
		"-e", "frame.protocols", "-e", "ip.src", "-e", "ip.dst", "-e", "ipv6.src", "-e", "ipv6.dst",
		"-e", "tcp.srcport", "-e", "tcp.dstport", "-e", "udp.srcport", "-e", "udp.dstport")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Fatalf("tshark %s: %v: %s", path, err, errs.String())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := strings.Split(lines.Text(), ";")
		stack := f[0]
		if i := strings.Index(stack, ":icmp"); i >= 0 { // what an error quotes
			stack = stack[:strings.IndexByte(stack[i+1:]+":", ':')+i+1]
		}
		four, six, tcp, udp := 0, 0, 0, 0
		last, ports := "", ""
		for _, layer := range strings.Split(stack, ":") {
			switch layer {
			case "ip":
				four, last, ports = four+1, "ip", ""
			case "ipv6":
				six, last, ports = six+1, "ipv6", ""
			case "tcp":
				tcp, ports = tcp+1, "tcp"
			case "udp":
				udp, ports = udp+1, "udp"
			case "eth", "wlan": // a frame in a tunnel, of IP or not
				last, ports = "", ""
			}
		}
		nth := func(list string, n int) string {
			all := strings.Split(list, ",")
			if n < 1 || n > len(all) {
				return "?"
			}
			return all[n-1]
		}
		tuple := ""
		switch last {
		case "ip":
			tuple = nth(f[1], four) + " " + nth(f[2], four)
		case "ipv6":
			tuple = nth(f[3], six) + " " + nth(f[4], six)
		}
		switch {
		case tuple == "":
		case ports == "tcp":
			tuple += fmt.Sprintf(" tcp %s %s", nth(f[5], tcp), nth(f[6], tcp))
		case ports == "udp":
			tuple += fmt.Sprintf(" udp %s %s", nth(f[7], udp), nth(f[8], udp))
		}
		tuples, stacks = append(tuples, tuple), append(stacks, f[0])
	}
	return tuples, stacks
}

// tuple is our innermost conversation, in the words of tsharkTuples.
func (h *Header) tuple() string {
	if !h.IsIP() {
		return ""
	}
	ends := fmt.Sprintf("%s %s", Addr(h.Src), Addr(h.Dst))
	switch {
	case h.FragOff != 0:
	case h.Proto == ProtoTCP:
		ends += fmt.Sprintf(" tcp %d %d", h.SrcPort, h.DstPort)
	case h.Proto == ProtoUDP:
		ends += fmt.Sprintf(" udp %d %d", h.SrcPort, h.DstPort)
	}
	return ends
}

// Our innermost conversation against tshark's, in every capture in which either is not
// the outermost.
func TestAgainstTshark(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	dir := dataDir(t)
	var files, total, same, refused, carriers, bubbles, halves int
	kinds := map[TunnelKind]int{}
	for _, path := range filesBelow(t, dir) {
		if strings.HasPrefix(path, filepath.Join(dir, "malformed")) {
			continue
		}
		s, err := OpenFiles(path)
		if err != nil {
			continue
		}
		s.Close()
		var d Decoder
		var all []Header
		var whys []Reason
		wrapped := false
		if eachFrame(t, path, func(f *Frame) {
			var h Header
			whys = append(whys, d.Decode(f, &h))
			wrapped = wrapped || h.Tunnel.Depth > 0 || h.mayWrap() || f.Link != LinkEthernet
			if f.Link == LinkEthernet && len(f.Data) > 14 { // whatever else is around IP
				switch f.Data[12] {
				case 0x81, 0x91, 0x92, 0xf1:
					wrapped = true
				case 0x88, 0x89:
					wrapped = wrapped || h.IsIP()
				}
			}
			h.Payload, h.TCPOptions = nil, nil
			all = append(all, h)
		}) != nil || !wrapped {
			continue
		}
		files++
		theirs, stacks := tsharkTuples(t, path)
		if len(theirs) != len(all) {
			t.Errorf("%s: %d packets, tshark reads %d", path, len(all), len(theirs))
			continue
		}
		told := 0
		for i, h := range all {
			total++
			if h.tuple() == theirs[i] {
				same++
				kinds[h.Tunnel.Kind]++
				continue
			}
			switch {
			case whys[i] != OK:
				refused++ // a header lies, of which tshark shows what it can
				continue
			case theirs[i] == "" && h.Tunnel.Depth == 0 && strings.Contains(stacks[i], "capwap.data:wlan"):
				carriers++ // management of a radio: there is no packet inside
				continue
			case strings.HasSuffix(stacks[i], ":udp:teredo:ipv6") && (h.SrcPort == portTeredo || h.DstPort == portTeredo):
				bubbles++ // an IPv6 header with nothing behind it, which opens the way for others
				continue
			case strings.HasSuffix(theirs[i], " ") && strings.HasPrefix(h.tuple(), theirs[i]):
				halves++ // tshark holds the destination back that a cut routing header would change
				continue
			}
			if told++; told <= 3 {
				t.Errorf("%s: packet %d: %s %q depth %d, tshark %q (%s)", path, i+1, whys[i], h.tuple(), h.Tunnel.Depth, theirs[i], stacks[i])
			}
		}
		if told > 3 {
			t.Errorf("%s: and %d more", path, told-3)
		}
	}
	if files > 0 && len(kinds) < 13 {
		t.Errorf("of %d kinds only %d are compared: %v", tunnelKinds, len(kinds), kinds)
	}
	t.Logf("%d captures, %d packets: %d the same, %d refused, %d carriers of no packet, %d bubbles of Teredo, %d without destination; by tunnel: %v",
		files, total, same, refused, carriers, bubbles, halves, kinds)
}
