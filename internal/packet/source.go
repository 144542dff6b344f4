package packet

import (
	"fmt"
	"sync/atomic"
)

// Source gives the packets of capture files or of live interfaces.
//
// Packets come in batches, because a batch costs one call, one lock and one look
// at the clock for a few hundred packets, and because whoever meters them can then
// touch the table for all of them before it waits for any. 256 is a good size.
//
// One goroutine calls NextBatch. All other methods may be called from any; Close
// makes a NextBatch that is waiting return at once, so a context ends one with
//
//	stop := context.AfterFunc(ctx, func() { source.Close() })
type Source interface {
	// NextBatch fills frames from the front and returns how many it filled. The
	// Data of the frames stay valid until the next call, or until Close.
	//
	// It returns 0 and no error when nothing came for a while (a quarter of a
	// second), so that timers of the caller get their turn on a silent wire.
	// Errors come with 0 frames:
	//   - io.EOF at the end of the last file;
	//   - a [*FileError] when one file is damaged: everything readable before the
	//     damage was given, and the next call goes on with the other files;
	//   - os.ErrClosed after Close;
	//   - anything else is the end of this source.
	NextBatch(frames []Frame) (int, error)

	// Interfaces lists what Frame.Interface points into. The list grows as files
	// are opened and declare more; no entry changes.
	Interfaces() []Interface

	// Stats is what was read and what was lost so far.
	Stats() Stats

	// Progress is how many bytes of how many have been read, of compressed files
	// the compressed ones. total is 0 where the end is not known.
	Progress() (done, total int64)

	// Close releases files, sockets and rings. Frames of a live source that are in use turn
	// to zeros then; call it once more when none are, to give back their memory.
	Close() error
}

// Interface is where packets were captured.
type Interface struct {
	Name    string   // as the system or the capture calls it; a file's name where the capture has none
	File    string   // path of the capture file, "-" for standard input, "" when live
	Link    LinkType // of its packets
	SnapLen int      // most bytes kept of a packet, 0 when there is no limit
}

// String gives the name, with the file when that differs.
func (i Interface) String() string {
	if i.File == "" || i.Name == i.File {
		return i.Name
	}
	return i.File + ":" + i.Name
}

// Stats counts what a source gave and what it could not.
type Stats struct {
	Packets, Bytes uint64           // handed out; bytes as on the wire
	Damaged        uint64           // files left before their end
	Interfaces     []InterfaceStats // one for each of Interfaces(), then one for each socket that mirrors send to
}

// InterfaceStats is the kernel's account of one interface. Of a capture file it
// is what pcapng statistics blocks tell of the machine that captured.
type InterfaceStats struct {
	Name     string
	Packets  uint64 // that passed the filter, dropped ones not included; 0 for files
	Drops    uint64 // lost because nobody fetched them in time
	Freezes  uint64 // times that the ring was full
	Missed   uint64 // lost before, by the card or the kernel's own queue, whatever the filter
	Unwanted uint64 // copies of peers that are not to be taken
	Outages  uint64 // times that it had no link or was taken away
	Down     bool   // has no link
	Gone     bool   // was taken away, or its socket is broken; it is captured again when it is back
	Fault    string // why it is gone
	Buffer   int    // bytes that the kernel gave the socket of a mirror; 0 for others
	Asked    int    // bytes that it was asked for; fewer were given where they are above the system's limit
}

// Drops is the sum over all interfaces and sockets.
func (s Stats) Drops() (n uint64) {
	for _, i := range s.Interfaces {
		n += i.Drops
	}
	return n
}

// FileError tells where and why a capture file could not be read on. It wraps
// io.ErrUnexpectedEOF when the file ends within a packet.
type FileError struct {
	Path    string
	Offset  int64  // in the capture, that is, after decompression
	Packets uint64 // read before it
	Err     error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("reading %s: at byte %d, after %d packets: %v", e.Path, e.Offset, e.Packets, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// tally counts what was handed out, for whoever looks from another goroutine.
type tally struct{ packets, bytes, damaged atomic.Uint64 }

func (t *tally) count(frames []Frame) {
	var bytes uint64
	for i := range frames {
		bytes += uint64(frames[i].WireLen)
	}
	t.packets.Store(t.packets.Load() + uint64(len(frames)))
	t.bytes.Store(t.bytes.Load() + bytes)
}
