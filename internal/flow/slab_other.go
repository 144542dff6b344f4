//go:build !linux

package flow

func newChunk(*Table) *[chunkSize]entry { return new([chunkSize]entry) }
