package exactness

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/testbed"
)

// isCapture reports whether a file begins as pcap or pcapng do, or is compressed.
func isCapture(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [4]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return false
	}
	switch binary.BigEndian.Uint32(b[:]) {
	case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1, 0xa1b2cd34, 0x34cdb2a1, 0x0a0d0d0a:
		return true
	}
	return b[0] == 0x1f && b[1] == 0x8b
}

// unzipped gives a directory with the captures that are in zip files.
func unzipped(t *testing.T, root string) string {
	dir, n := t.TempDir(), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".zip" {
			return err
		}
		z, err := zip.OpenReader(path)
		if err != nil {
			return err
		}
		defer z.Close()
		for _, f := range z.File {
			if f.FileInfo().IsDir() {
				continue
			}
			r, err := f.Open()
			if err != nil {
				return err
			}
			n++
			w, err := os.Create(filepath.Join(dir, strconv.Itoa(n)))
			if err != nil {
				return err
			}
			_, err = io.Copy(w, r)
			if err := errors.Join(err, w.Close(), r.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

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
	add := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside, _ := filepath.Rel(root, path)
		malformed := strings.HasPrefix(inside, "malformed")
		if !malformed && !isCapture(path) {
			return nil
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
	}
	if err := filepath.WalkDir(root, add); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(unzipped(t, root), add); err != nil {
		t.Fatal(err)
	}
	if len(y.strays) > 0 {
		t.Errorf("%d captures of which packets are unaccounted for", len(y.strays))
	}
	y.hold(t, "all packets")
}
