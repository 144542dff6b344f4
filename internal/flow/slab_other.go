//go:build !linux

package flow

func newChunk(*Table) *[chunkSize]entry { return new([chunkSize]entry) }

func newIndex(_ *Table, n uint32) (index []uint64, release func()) {
	return make([]uint64, n), func() {}
}
