package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	mostBlock   = 1 << 20 // a whole block goes back and forth at a time
	leastBlocks = 8       // so that the kernel has some while others are read
	headroom    = 16      // kept free before each packet, for a VLAN tag or a cooked header
	addrOffset  = 48      // of the sockaddr_ll behind a packet's header
)

// ring is one interface's AF_PACKET socket (TPACKET_V3) and the memory that the
// kernel shares with us. Blocks from tail to head, head not included, are read
// but not given back, because frames of the last batch lie in them.
type ring struct {
	name   string
	number int // Frame.Interface
	index  int // the system's
	link   LinkType
	cooked bool
	loop   bool
	fd     int
	mem    []byte
	blocks int
	size   int // of a block

	head, tail int    // counted on without end
	left       uint32 // packets of the block at head that are not taken yet; 0 also before it is begun
	at         uint32 // offset in the block of the next

	gone  time.Time // when it was found taken away
	lost  uint64    // that the interface itself tells of, when last read
	known bool      // lost was read
	stats InterfaceStats
}

// hardware types of which the link layer header is read as it is; of others we see
// packets without, and put a cooked one before them.
var linkOf = map[uint16]LinkType{
	unix.ARPHRD_ETHER:              LinkEthernet,
	unix.ARPHRD_LOOPBACK:           LinkEthernet,
	unix.ARPHRD_IEEE80211:          link80211,
	unix.ARPHRD_IEEE80211_RADIOTAP: linkRadiotap,
}

func openRing(name string, c LiveConfig) (*ring, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, absent(name, interfaceNames())
	}
	if iface.Flags&net.FlagUp == 0 {
		return nil, fmt.Errorf("interface %s is down; bring it up: ip link set %s up", name, name)
	}
	r := &ring{name: name, index: iface.Index, loop: iface.Flags&net.FlagLoopback != 0, stats: InterfaceStats{Name: name}, fd: -1}
	if err := r.open(iface, c); err != nil {
		r.close(false)
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return r, nil
}

// open sets everything up before it binds to a protocol, so that not one packet
// comes past the filter.
func (r *ring) open(iface *net.Interface, c LiveConfig) error {
	hardware, err := r.socket(unix.SOCK_RAW)
	if err != nil {
		return err
	}
	known := false
	if r.link, known = linkOf[hardware]; !known {
		unix.Close(r.fd)
		if _, err := r.socket(unix.SOCK_DGRAM); err != nil {
			return err
		}
		r.link, r.cooked = LinkLinuxSLL, true
	}
	program, err := filterFor(c.Filter, r.link, c.SnapLen)
	if err != nil {
		return err
	}
	for _, o := range []struct {
		name       string
		opt, value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, unix.TPACKET_V3},
		{"PACKET_RESERVE", unix.PACKET_RESERVE, headroom},
	} {
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, o.opt, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	if r.loop { // since Linux 4.20; take does the same
		_ = unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err := r.attach(program); err != nil {
		return err
	}
	r.size = min(mostBlock, c.BufferMiB<<20/leastBlocks)
	for r.size&(r.size-1) != 0 { // a power of two
		r.size &= r.size - 1
	}
	r.blocks = c.BufferMiB << 20 / r.size
	const frame = 2048 // of no meaning to version 3, but checked
	req := unix.TpacketReq3{
		Block_size: uint32(r.size), Block_nr: uint32(r.blocks), Frame_size: frame,
		Frame_nr: uint32(r.blocks * (r.size / frame)), Retire_blk_tov: uint32(blockTime / time.Millisecond),
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("a ring of %d MiB: %w", c.BufferMiB, err)
	}
	r.mem, err = unix.Mmap(r.fd, 0, r.blocks*r.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping a ring of %d MiB: %w", c.BufferMiB, err)
	}
	if c.Promiscuous && !r.loop {
		m := unix.PacketMreq{Ifindex: int32(r.index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return fmt.Errorf("promiscuous mode: %w", err)
		}
	}
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: r.index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// socket opens one that gets nothing yet, and tells the interface's hardware type.
func (r *ring) socket(kind int) (hardware uint16, err error) {
	if r.fd, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		r.fd = -1
		return 0, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Ifindex: r.index}); err != nil {
		return 0, fmt.Errorf("bind: %w", err)
	}
	addr, err := unix.Getsockname(r.fd)
	if err != nil {
		return 0, fmt.Errorf("getsockname: %w", err)
	}
	return addr.(*unix.SockaddrLinklayer).Hatype, nil
}

func (r *ring) attach(program []bpf.RawInstruction) error {
	if len(program) == 0 {
		return nil
	}
	raw := make([]unix.SockFilter, len(program))
	for i, p := range program {
		raw[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]})
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the kernel refuses the filter's bytecode: %w", err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("the filter is too long for net.core.optmem_max: %w", err)
	case err != nil:
		return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
	}
	return nil
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// block is the n-th block's memory.
func (r *ring) block(n int) []byte {
	at := n % r.blocks * r.size
	return r.mem[at : at+r.size : at+r.size]
}

// Offsets in a block's header (struct tpacket_block_desc).
const (
	blkStatus = 8
	blkCount  = 12
	blkFirst  = 16
)

func status(block []byte) *uint32 { return (*uint32)(unsafe.Pointer(&block[blkStatus])) }

// ready reports whether the kernel has handed over the block.
func (r *ring) ready(block []byte) bool {
	return atomic.LoadUint32(status(block))&unix.TP_STATUS_USER != 0
}

// giveBack returns blocks to the kernel.
func (r *ring) giveBack() {
	for ; r.tail < r.head; r.tail++ {
		atomic.StoreUint32(status(r.block(r.tail)), unix.TP_STATUS_KERNEL)
	}
}

// take fills frames with packets that lie ready.
func (r *ring) take(frames []Frame) int {
	n := 0
	for n < len(frames) && r.mem != nil {
		if r.head-r.tail == r.blocks {
			break // all blocks are lent
		}
		b := r.block(r.head)
		if r.left == 0 {
			if !r.ready(b) {
				break
			}
			r.left = binary.NativeEndian.Uint32(b[blkCount:])
			r.at = binary.NativeEndian.Uint32(b[blkFirst:])
		}
		for r.left > 0 && n < len(frames) {
			p := b[r.at:]
			h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&p[0]))
			if r.frame(&frames[n], p, h) {
				n++
			}
			r.at += h.Next_offset
			r.left--
		}
		if r.left == 0 {
			r.head++
		}
	}
	return n
}

// frame describes the packet at p, and reports whether it is wanted.
func (r *ring) frame(f *Frame, p []byte, h *unix.Tpacket3Hdr) bool {
	const packetOutgoing = 4
	addr := p[addrOffset : addrOffset+20] // sockaddr_ll: protocol 2, hardware 8, kind 10, length 11, address 12
	if r.loop && addr[10] == packetOutgoing {
		return false // it comes in as well
	}
	start, size, wire := uint32(h.Mac), h.Snaplen, h.Len
	switch {
	case r.cooked:
		const head = 16
		start -= head
		c := p[start : start+head]
		binary.BigEndian.PutUint16(c, uint16(addr[10]))
		binary.BigEndian.PutUint16(c[2:], binary.NativeEndian.Uint16(addr[8:]))
		binary.BigEndian.PutUint16(c[4:], uint16(addr[11]))
		copy(c[6:14], addr[12:])
		copy(c[14:], addr[2:4])
		size, wire = size+head, wire+head
	case h.Status&unix.TP_STATUS_VLAN_VALID != 0 && r.link == LinkEthernet && size >= 12:
		start -= 4
		tag := p[start : start+16]
		copy(tag, tag[4:])
		tpid := uint16(etherVLAN)
		if h.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = h.Hv1.Vlan_tpid
		}
		binary.BigEndian.PutUint16(tag[12:], tpid)
		binary.BigEndian.PutUint16(tag[14:], uint16(h.Hv1.Vlan_tci))
		size, wire = size+4, wire+4
	}
	f.Time = int64(h.Sec)*1e9 + int64(h.Nsec)
	f.Data = p[start : start+size : start+size]
	f.WireLen = int(wire)
	f.Interface, f.Link = r.number, r.link
	return true
}

// account adds what the kernel counted since the last time.
func (r *ring) account() {
	if r.fd < 0 {
		return
	}
	if st, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		r.stats.Packets += uint64(st.Packets - st.Drops)
		r.stats.Drops += uint64(st.Drops)
		r.stats.Freezes += uint64(st.Freeze_q_cnt)
	}
}

// close ends the capture. A ring that is lent stays readable, as zeros, until
// unmap; it is only with the mapping that the kernel lets go of the socket.
func (r *ring) close(lent bool) {
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
	if lent && r.mem != nil {
		_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(&r.mem[0]), uintptr(len(r.mem)), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_FIXED|unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err == nil {
			return
		}
	}
	r.unmap()
}

func (r *ring) unmap() {
	if r.mem != nil {
		unix.Munmap(r.mem)
		r.mem = nil
	}
}
