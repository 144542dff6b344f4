package packet

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// trouble finds out what poll complains of. A link that went down comes back by
// itself; an interface that is no more, or a socket that is broken, is opened again.
func (r *ring) trouble() {
	code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR) // which also clears it
	if r.check(); r.stats.Gone {
		return
	}
	switch {
	case err != nil:
		r.leave(err.Error())
	case code == 0 || unix.Errno(code) == unix.ENETDOWN:
		r.down(true)
	default:
		r.leave(unix.Errno(code).Error())
	}
}

// leave notes that the socket is of no use any more.
func (r *ring) leave(why string) {
	if !r.stats.Down {
		r.stats.Outages++
	}
	r.gone = time.Now()
	r.stats.Gone, r.stats.Down, r.stats.Fault = true, true, why
}

// down notes whether the link is.
func (r *ring) down(is bool) {
	if is && !r.stats.Down {
		r.stats.Outages++
	}
	r.stats.Down = is
}

// check notices that the interface was taken away: the kernel then unbinds the socket. It
// complains to poll only of the first of two troubles, and who takes an interface away
// brings it down first. It also looks whether there is a link.
func (r *ring) check() {
	if r.stats.Gone || r.fd < 0 {
		return
	}
	addr, err := unix.Getsockname(r.fd)
	if at, ok := addr.(*unix.SockaddrLinklayer); err == nil && ok && at.Ifindex != r.index {
		r.leave("it was taken away")
		return
	}
	ifr, err := unix.NewIfreq(r.name)
	if err != nil || unix.IoctlIfreq(r.fd, unix.SIOCGIFFLAGS, ifr) != nil {
		return // it was renamed, which does no harm
	}
	const link = unix.IFF_UP | unix.IFF_RUNNING
	r.down(ifr.Uint16()&link != link)
}

// again gives a ring on the interface if it is back, and otherwise r itself. What the
// kernel still has of the old one is handed out first, and no more in use.
func (r *ring) again(now time.Time, c LiveConfig) *ring {
	if now.Sub(r.gone) < 4*blockTime || r.waiting() || r.tail < r.head {
		return r
	}
	r.close(false)
	fresh, err := openRing(r.name, c)
	if err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOMEM) {
			r.stats.Fault = err.Error()
		}
		return r
	}
	fresh.number, fresh.stats = r.number, r.stats
	fresh.stats.Gone, fresh.stats.Down, fresh.stats.Fault = false, false, ""
	return fresh
}

// waiting reports whether packets lie ready.
func (r *ring) waiting() bool {
	return r.mem != nil && (r.left > 0 || r.ready(r.block(r.head)))
}

// missed adds what the interface lost before the ring: the card's own buffers were full,
// or the kernel's queue.
func (r *ring) missed(all map[string]uint64) {
	now, there := all[r.name]
	if there && r.known && now > r.lost {
		r.stats.Missed += now - r.lost
	}
	if there {
		r.lost, r.known = now, true
	}
}

// missedPackets reads of each interface what it lost: rx_dropped and rx_missed_errors,
// which the kernel shows as one.
func missedPackets() map[string]uint64 {
	text, err := os.ReadFile("/proc/thread-self/net/dev") // of the thread's namespace, where the rings are
	if err != nil {
		return nil
	}
	all := map[string]uint64{}
	for line := range bytes.Lines(text) {
		name, counters, ok := bytes.Cut(line, []byte(":"))
		const dropped = 3 // after bytes, packets and errs
		if fields := bytes.Fields(counters); ok && len(fields) > dropped {
			if n, err := strconv.ParseUint(string(fields[dropped]), 10, 64); err == nil {
				all[string(bytes.TrimSpace(name))] = n
			}
		}
	}
	return all
}
