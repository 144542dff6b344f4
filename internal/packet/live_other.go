//go:build !linux

package packet

import (
	"errors"
	"fmt"
	"runtime"
)

// OpenLive captures on Linux only.
func OpenLive(LiveConfig) (Source, error) {
	return nil, fmt.Errorf("live capture on %s: %w; capture with tcpdump -w and read the file, or pipe it in as -", runtime.GOOS, errors.ErrUnsupported)
}
