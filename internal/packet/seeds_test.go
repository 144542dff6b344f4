package packet

import (
	"os"
	"path/filepath"
	"testing"
)

// malformed hands out the shared captures that were made to break readers, those of at
// most 64 KiB, for a fuzzer to begin with. Where there are none it has only the seeds of
// its own.
func malformed(see func(path string, content []byte)) {
	dir := os.Getenv("MONBAN_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	_ = filepath.WalkDir(filepath.Join(dir, "malformed"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil && len(b) <= 1<<16 {
			see(path, b)
		}
		return nil
	})
}

// addFrames seeds a fuzzer with frames of those captures, a few of each.
func addFrames(f *testing.F, add func(*Frame)) {
	malformed(func(path string, _ []byte) {
		s, err := OpenFiles(path)
		if err != nil {
			return
		}
		defer s.Close()
		frames := make([]Frame, 16)
		n, _ := s.NextBatch(frames)
		for i := range frames[:n] {
			if len(frames[i].Data) <= 2048 {
				add(&frames[i])
			}
		}
	})
}
