package exactness

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// Whatever a capture holds, each of its packets is in one flow record or refused with
// a reason, and reading it ends.
func TestNoPacketIsLost(t *testing.T) {
	root := testbed.Data(t)
	const files, refusedFiles, damaged, packets, inFlows = "captures read", "files of the malformed set that are no capture",
		"captures that end in damage, of which the rest is metered", "packets read", "in flow records"
	kinds := []string{files, damaged, refusedFiles, packets, inFlows}
	for _, why := range packet.Reasons() {
		kinds = append(kinds, "refused: "+why.String())
	}
	y := newTally("All shared captures", kinds...)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside, _ := filepath.Rel(root, path)
		malformed := strings.HasPrefix(inside, "malformed")
		switch filepath.Ext(path) {
		case ".pcap", ".pcapng", ".cap", ".trace", ".gz", ".dmp", ".snoop":
		default:
			if !malformed {
				return nil
			}
		}
		m := meter(t, path, func(uint8, uint8, uint8) uint16 { return 0 }, true)
		switch {
		case m != nil:
		case malformed:
			y.counts[refusedFiles]++
			return nil
		default:
			y.count("", "%s can't be read", inside)
			return nil
		}
		y.counts[files]++
		if m.damaged != nil {
			y.counts[damaged]++
		}
		y.counts[packets] += int(m.packets)
		y.counts[inFlows] += int(m.inFlows)
		for why, n := range m.reasons {
			y.counts["refused: "+why] += int(n)
		}
		if m.packets != m.inFlows+m.refused {
			y.count("", "%s: %d packets, %d in flows, %d refused", inside, m.packets, m.inFlows, m.refused)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(y.strays) > 0 {
		t.Errorf("%d captures of which packets are unaccounted for", len(y.strays))
	}
	y.hold(t, "all packets")
}
