package packet

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// theirs is what pcapgo reads of a capture.
type theirs struct {
	data []byte
	info gopacket.CaptureInfo
	link layers.LinkType
}

// readWithLibrary reads as far as pcapgo can.
func readWithLibrary(t *testing.T, path string) (packets []theirs, err error) {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(file, magic); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var next func() ([]byte, gopacket.CaptureInfo, error)
	var link func(gopacket.CaptureInfo) layers.LinkType
	if isPcapng(magic) {
		r, err := pcapgo.NewNgReader(file, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		if err != nil {
			return nil, err
		}
		next = r.ReadPacketData
		link = func(i gopacket.CaptureInfo) layers.LinkType {
			iface, err := r.Interface(i.InterfaceIndex)
			if err != nil {
				t.Fatal(err)
			}
			return iface.LinkType
		}
	} else {
		r, err := pcapgo.NewReader(file)
		if err != nil {
			return nil, err
		}
		next = r.ReadPacketData
		link = func(gopacket.CaptureInfo) layers.LinkType { return r.LinkType() }
	}
	for {
		data, info, err := next()
		if err == io.EOF {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		packets = append(packets, theirs{data, info, link(info)})
	}
}

// outer is the conversation that gopacket finds outermost.
func outer(p gopacket.Packet) (tuple string, ok bool) {
	var src, dst gopacket.Endpoint
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			if src.EndpointType() != 0 {
				return "", false
			}
			src, dst = l.NetworkFlow().Endpoints()
			if l.FragOffset != 0 || l.Flags&layers.IPv4MoreFragments != 0 {
				return fmt.Sprintf("%s %s fragment %d", src, dst, l.FragOffset*8), true
			}
		case *layers.IPv6:
			if src.EndpointType() != 0 {
				return "", false
			}
			src, dst = l.NetworkFlow().Endpoints()
		case *layers.IPv6Fragment:
			if l.FragmentOffset != 0 || l.MoreFragments {
				return fmt.Sprintf("%s %s fragment %d", src, dst, l.FragmentOffset*8), true
			}
		case *layers.TCP:
			if len(l.Contents) < 20 {
				return "", false
			}
			return fmt.Sprintf("%s %s tcp %d %d flags %x seq %d ack %d", src, dst, l.SrcPort, l.DstPort, l.Contents[13], l.Seq, l.Ack), true
		case *layers.UDP:
			return fmt.Sprintf("%s %s udp %d %d", src, dst, l.SrcPort, l.DstPort), true
		case *layers.SCTP:
			return fmt.Sprintf("%s %s sctp %d %d", src, dst, l.SrcPort, l.DstPort), true
		case *layers.ICMPv4:
			return fmt.Sprintf("%s %s icmp %d %d", src, dst, l.TypeCode.Type(), l.TypeCode.Code()), true
		case *layers.ICMPv6:
			return fmt.Sprintf("%s %s icmp6 %d %d", src, dst, l.TypeCode.Type(), l.TypeCode.Code()), true
		}
	}
	return "", false
}

// ours says the same of a header.
func ours(h *Header) string {
	ends := fmt.Sprintf("%s %s", Addr(h.Src), Addr(h.Dst))
	switch {
	case h.Fragment:
		return fmt.Sprintf("%s fragment %d", ends, h.FragOff)
	case h.Proto == ProtoTCP:
		return fmt.Sprintf("%s tcp %d %d flags %x seq %d ack %d", ends, h.SrcPort, h.DstPort, h.TCPFlags, h.Seq, h.Ack)
	case h.Proto == ProtoUDP:
		return fmt.Sprintf("%s udp %d %d", ends, h.SrcPort, h.DstPort)
	case h.Proto == ProtoSCTP:
		return fmt.Sprintf("%s sctp %d %d", ends, h.SrcPort, h.DstPort)
	case h.Proto == ProtoICMP:
		return fmt.Sprintf("%s icmp %d %d", ends, h.ICMPType, h.ICMPCode)
	case h.Proto == ProtoICMPv6:
		return fmt.Sprintf("%s icmp6 %d %d", ends, h.ICMPType, h.ICMPCode)
	}
	return ends
}

// Our reader and decoder against pcapgo's and gopacket's, on every sound capture
// there is: the same packets, byte by byte, and the same conversations.
func TestAgainstLibrary(t *testing.T) {
	dir := dataDir(t)
	refused := map[string]int{}
	var files, total, same, onlyOurs, onlyTheirs, differ int
	for _, path := range filesBelow(t, dir) {
		if strings.HasPrefix(path, filepath.Join(dir, "malformed")) {
			continue
		}
		s, err := OpenFiles(path)
		if err != nil {
			continue // no capture
		}
		s.Close()
		files++
		packets, libraryErr := readWithLibrary(t, path)
		d := Decoder{KeepTunnels: true}
		var h Header
		n := 0
		eachFrame(t, path, func(f *Frame) {
			defer func() { n++ }()
			if n >= len(packets) {
				return
			}
			p := packets[n]
			if !bytes.Equal(f.Data, p.data) || f.WireLen != p.info.Length || f.Time != p.info.Timestamp.UnixNano() || f.Link != LinkType(p.link) {
				t.Fatalf("%s: packet %d is %d of %d bytes at %d on link %d, pcapgo's %d of %d at %d on %d",
					path, n, len(f.Data), f.WireLen, f.Time, f.Link, len(p.data), p.info.Length, p.info.Timestamp.UnixNano(), p.link)
			}
			why := d.Decode(f, &h)
			total++
			tuple, found := outer(gopacket.NewPacket(p.data, p.link, gopacket.DecodeOptions{Lazy: true, NoCopy: true}))
			switch {
			case found && why == OK && h.IsIP() && tuple == ours(&h):
				same++
			case found && why == OK && h.IsIP():
				differ++
				t.Errorf("%s: packet %d: we see %q, gopacket %q", path, n, ours(&h), tuple)
			case found:
				onlyTheirs++
				refused[fmt.Sprintf("%s: we refuse (%s, net %04x), gopacket does not", path, why, h.Net)]++
			case why == OK && h.IsIP():
				onlyOurs++
			}
		})
		if n != len(packets) && libraryErr == nil {
			t.Errorf("%s: %d packets, pcapgo reads %d", path, n, len(packets))
		}
		if n < len(packets) {
			t.Errorf("%s: %d packets, pcapgo reads %d, then: %v", path, n, len(packets), libraryErr)
		} else if n > len(packets) {
			t.Logf("%s: %d packets, pcapgo only %d: %v", path, n, len(packets), libraryErr)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(refused)) {
		t.Logf("%s: %d packets", what, refused[what])
	}
	t.Logf("%d captures, %d packets: %d conversations the same, %d different, %d only by us, %d only by gopacket", files, total, same, differ, onlyOurs, onlyTheirs)
	if files > 0 && same == 0 {
		t.Error("nothing was compared")
	}
}
