package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// capture is where the packets of one file come from and go to.
type capture struct {
	src  io.Reader
	size int    // of the window
	name string // for interfaces that have none
	path string
	add  declare
	lost func(iface int, n uint64)
}

// open begins to read a capture, whose format its content tells, not its name. A
// compressed one is inflated as it is read, never as a whole.
func (c capture) open() (r reader, compressed bool, err error) {
	w := newWindow(c.src, c.size)
	head, err := w.peek()
	if err != nil {
		return nil, false, err
	}
	if len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b {
		inflate, err := gzip.NewReader(&unread{w})
		if err != nil {
			return nil, true, fmt.Errorf("is a gzip whose header is damaged: %w", err)
		}
		w = newWindow(inflate, c.size)
		if head, err = w.peek(); err != nil {
			return nil, true, fmt.Errorf("is a gzip, the content of which %w", err)
		}
		if r, err = c.reader(w, head); err != nil {
			return nil, true, fmt.Errorf("is a gzip, the content of which %w", err)
		}
		return r, true, nil
	}
	r, err = c.reader(w, head)
	return r, false, err
}

func (c capture) reader(w *window, head []byte) (reader, error) {
	if _, _, ok := pcapMagic(head); ok {
		return newPcapReader(w, c.name, c.path, c.add)
	}
	if isPcapng(head) {
		return &pcapngReader{window: w, name: c.name, path: c.path, add: c.add, lost: c.lost}, nil
	}
	return nil, &notCapture{foundInstead(head)}
}

// notCapture says what was found where a capture should be.
type notCapture struct{ found string }

func (e *notCapture) Error() string {
	return "is no capture: it " + e.found + "; pcap and pcapng are read here, gzip or not"
}

func isPcapng(b []byte) bool { return bytes.HasPrefix(b, []byte{0x0a, 0x0d, 0x0d, 0x0a}) }

var errEmpty = errors.New("is empty (0 bytes); even a capture without packets has a header")

// peek fetches enough to know the format by, and leaves it unread.
func (w *window) peek() ([]byte, error) {
	err := w.fill(4)
	if err == nil {
		head := w.buf[w.lo:w.hi]
		if _, _, ok := pcapMagic(head); ok || isPcapng(head) || head[0] == 0x1f && head[1] == 0x8b {
			return head, nil
		}
		err = w.fill(512)
	}
	switch err {
	case nil, io.ErrUnexpectedEOF:
		return w.buf[w.lo:w.hi], nil
	case io.EOF:
		return nil, errEmpty
	}
	return nil, err
}

// unread reads what a window holds, and then on from its source.
type unread struct{ w *window }

func (u *unread) Read(p []byte) (int, error) {
	if u.w.lo < u.w.hi {
		n := copy(p, u.w.buf[u.w.lo:u.w.hi])
		u.w.lo += n
		return n, nil
	}
	if u.w.err != nil {
		return 0, u.w.err
	}
	return u.w.src.Read(p)
}

// Formats that people hand over in the belief that they are captures, with what
// turns them into one.
var others = []struct {
	at    int
	magic string
	says  string
}{
	{0, "snoop\x00\x00\x00", "is a Solaris snoop file (convert it with: editcap -F pcapng IN OUT.pcapng)"},
	{0, "XCP\x00", "is a NetXRay or Windows Sniffer file (convert it with: editcap -F pcapng IN OUT.pcapng)"},
	{0, "RTSS", "is a Microsoft Network Monitor 1 file (convert it with: editcap -F pcapng IN OUT.pcapng)"},
	{0, "GMBU", "is a Microsoft Network Monitor 2 file (convert it with: editcap -F pcapng IN OUT.pcapng)"},
	{0, "TRSNIFF data", "is a Sniffer file (convert it with: editcap -F pcapng IN OUT.pcapng)"},
	{0, "\x54\x52\x00\x64", "is a nettl file (convert it with: editcap -F pcapng IN OUT.pcapng)"},
	{0, "LOGG", "is a Vector BLF file (convert it with: editcap -F pcapng IN OUT.pcapng)"},
	{0, "\x0a\x0dV3", "is a Vector or Catapult log"},
	{0, "btsnoop\x00", "is a Bluetooth snoop log, which carries no network packets"},
	{0, "\x28\xb5\x2f\xfd", "is compressed with zstd (unpack it with: zstd -d)"},
	{0, "\xfd7zXZ\x00", "is compressed with xz (unpack it with: xz -d)"},
	{0, "BZh", "is compressed with bzip2 (unpack it with: bzip2 -d)"},
	{0, "\x04\x22\x4d\x18", "is compressed with lz4 (unpack it with: lz4 -d)"},
	{0, "\x1f\x8b", "is again a gzip (unpack it with: gzip -d)"},
	{0, "PK\x03\x04", "is a zip archive (unpack it first)"},
	{0, "7z\xbc\xaf\x27\x1c", "is a 7-Zip archive (unpack it first)"},
	{0, "Rar!", "is a RAR archive (unpack it first)"},
	{257, "ustar", "is a tar archive (unpack it first)"},
	{0, "\x7fELF", "is a program"},
	{0, "%PDF", "is a PDF document"},
}

// foundInstead describes what is no capture. It continues "it …".
func foundInstead(head []byte) string {
	for _, o := range others {
		if len(head) >= o.at && bytes.HasPrefix(head[o.at:], []byte(o.magic)) {
			return o.says
		}
	}
	if looksERF(head) {
		return "looks like an Endace ERF file (convert it with: tshark -r IN -w OUT.pcapng)"
	}
	start := head[:min(len(head), 24)]
	if text(start) {
		line, _, _ := bytes.Cut(start, []byte("\n"))
		return fmt.Sprintf("starts with %q", bytes.TrimRight(line, "\r"))
	}
	return fmt.Sprintf("starts with the bytes % x", start[:min(len(start), 8)])
}

func text(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c >= 0x7f {
			return false
		}
	}
	return true
}

// looksERF follows two ERF records, which have no magic number. The upper half of
// their little-endian timestamps is seconds.
func looksERF(b []byte) bool {
	for range 2 {
		if len(b) < 16 {
			return false
		}
		sec := binary.LittleEndian.Uint32(b[4:])
		kind, size := b[8]&0x7f, int(binary.BigEndian.Uint16(b[10:]))
		if sec < 631152000 || sec > 4102444800 || kind == 0 || kind > 48 || size < 16 { // 1990 to 2100
			return false
		}
		if size >= len(b) {
			return true
		}
		b = b[size:]
	}
	return true
}
