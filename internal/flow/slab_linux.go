package flow

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newChunk takes memory for entries from the system, not from the heap: the
// collector would let the heap grow by several times what a full table holds before
// it ran, and has nothing to find in there. It is one huge page where the system
// allows, since with many flows a packet costs a miss in the tables of small ones.
// The memory goes back when owner is collected.
func newChunk(owner *Table) *[chunkSize]entry {
	const size = int(unsafe.Sizeof([chunkSize]entry{}))
	mem, err := unix.MmapPtr(-1, 0, nil, 2*uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return new([chunkSize]entry)
	}
	// Of twice the size, what is aligned to it stays.
	head := uintptr(-int(uintptr(mem))) & uintptr(size-1)
	if head > 0 {
		_ = unix.MunmapPtr(mem, head)
	}
	chunk := unsafe.Add(mem, head)
	if tail := uintptr(size) - head; tail > 0 {
		_ = unix.MunmapPtr(unsafe.Add(chunk, size), tail)
	}
	_ = unix.Madvise(unsafe.Slice((*byte)(chunk), size), unix.MADV_HUGEPAGE)
	runtime.AddCleanup(owner, func(p unsafe.Pointer) { _ = unix.MunmapPtr(p, uintptr(size)) }, chunk)
	return (*[chunkSize]entry)(chunk)
}

// bigIndex is from where on an index is not of the heap either: there it would count as
// live, and the heap could grow by several times its size before the collector ran.
const bigIndex = 1 << 17

// newIndex gives an empty index of n places, and what gives its memory back.
func newIndex(owner *Table, n uint32) (index []uint64, release func()) {
	size := uintptr(n) * 8
	if n < bigIndex {
		return make([]uint64, n), func() {}
	}
	mem, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return make([]uint64, n), func() {}
	}
	_ = unix.Madvise(unsafe.Slice((*byte)(mem), size), unix.MADV_HUGEPAGE)
	free := func(p unsafe.Pointer) { _ = unix.MunmapPtr(p, size) }
	cleanup := runtime.AddCleanup(owner, free, mem)
	return unsafe.Slice((*uint64)(mem), n), func() {
		cleanup.Stop()
		free(mem)
	}
}
