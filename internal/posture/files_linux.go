package posture

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/monban/monban/internal/host"
)

const (
	maxWatchedFiles = 1024
	maxHashed       = 64 << 20 // bytes of a file
	maxDepth        = 64
)

// ownFileSystems are those on which programs may have their owner's rights. Those of others,
// over the network, are theirs to watch.
var ownFileSystems = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "reiserfs", "jfs", "overlay", "tmpfs", "squashfs"}

// scanSetUID walks the host's disks for programs that run with the rights of their owner or group.
func (w *Watcher) scanSetUID(ctx context.Context, rest func()) (facts, error) {
	mounts, err := w.mounts()
	if err != nil {
		return nil, err
	}
	out := facts{}
	users := w.host.Users()
	starts := map[uint64]bool{}
	for _, m := range mounts {
		if !slices.Contains(ownFileSystems, m.kind) || slices.Contains(m.options, "nosuid") {
			continue
		}
		var st syscall.Stat_t
		if err := syscall.Stat(w.host.Path(m.point), &st); err != nil {
			w.Faults.Note(err)
			continue
		}
		if starts[st.Dev] { // bound to another place
			continue
		}
		starts[st.Dev] = true
		w.scan(ctx, w.host.Path(m.point), st.Dev, 0, users, out, rest)
	}
	return out, ctx.Err()
}

func (w *Watcher) scan(ctx context.Context, dir string, dev uint64, depth int, users *host.Users, out facts, rest func()) {
	if ctx.Err() != nil || depth > maxDepth {
		return
	}
	var below []string
	err := readSome(dir, func(e os.DirEntry) {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			below = append(below, path)
			return
		}
		if !e.Type().IsRegular() {
			return
		}
		var st syscall.Stat_t
		if syscall.Lstat(path, &st) != nil || st.Mode&(syscall.S_ISUID|syscall.S_ISGID) == 0 || st.Mode&0o111 == 0 || len(out) > maxFacts {
			return
		}
		out[w.inside(path)] = fmt.Sprintf("mode %04o, owner %s, %d bytes", st.Mode&0o7777, users.Name(st.Uid), st.Size)
	})
	if err != nil {
		w.Faults.Note(err)
	}
	rest()
	for _, sub := range below {
		var st syscall.Stat_t
		if syscall.Lstat(sub, &st) == nil && st.Dev == dev {
			w.scan(ctx, sub, dev, depth+1, users, out, rest)
		}
	}
}

// unitDirs are where systemd looks for units of the system.
var unitDirs = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// readUnits finds units that everyone can write, or replace.
func (w *Watcher) readUnits() (facts, error) {
	out, seen := facts{}, map[string]bool{}
	for _, dir := range unitDirs {
		real, err := filepath.EvalSymlinks(w.host.Path(dir))
		if err != nil || seen[real] {
			continue // /lib is /usr/lib on most
		}
		seen[real] = true
		err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				w.Faults.Note(err)
				return nil
			}
			if d.Type()&fs.ModeSymlink != 0 {
				return nil
			}
			var st syscall.Stat_t
			if syscall.Lstat(path, &st) == nil && st.Mode&0o002 != 0 && st.Mode&syscall.S_ISVTX == 0 {
				out[w.inside(path)] = fmt.Sprintf("mode %04o", st.Mode&0o7777)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading units: %w", err)
		}
	}
	return out, nil
}

// stamp is what tells whether a file has to be read again.
type stamp struct {
	inode    uint64
	size     int64
	modified syscall.Timespec
	changed  syscall.Timespec
}

// hashed is a file as it was read.
type hashed struct {
	stamp
	text string
}

// readFiles gives a digest of each file that is watched. One whose stamp is as before is not
// read again.
func (w *Watcher) readFiles() (facts, error) {
	out := facts{}
	kept := map[string]hashed{}
	users := w.host.Users()
	for _, pattern := range w.cfg.Files {
		all, err := filepath.Glob(w.host.Path(pattern))
		if err != nil {
			return nil, fmt.Errorf("files: %q: %w", pattern, err)
		}
		w.notify.add(filepath.Dir(w.host.Path(pattern)), File, &w.Faults)
		for _, path := range all {
			if _, twice := kept[path]; twice {
				continue
			}
			if len(kept) >= maxWatchedFiles {
				w.Dropped++
				continue
			}
			h, err := w.digest(path, users)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil { // it is as it was, as far as we know
				w.Faults.Note(err)
				if was, ok := w.known[File][w.inside(path)]; ok {
					out[w.inside(path)] = was
				}
				continue
			}
			if h.text != "" {
				kept[path] = h
				out[w.inside(path)] = h.text
			}
		}
	}
	w.hashes = kept
	return out, nil
}

func (w *Watcher) digest(path string, users *host.Users) (h hashed, err error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return h, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return h, nil
	}
	h.stamp = stamp{st.Ino, st.Size, st.Mtim, st.Ctim}
	if was, ok := w.hashes[path]; ok && was.stamp == h.stamp {
		return was, nil
	}
	about := fmt.Sprintf("mode %04o, owner %s", st.Mode&0o7777, users.Name(st.Uid))
	if st.Size > maxHashed {
		h.text = fmt.Sprintf("%d bytes, modified %d, %s", st.Size, st.Mtim.Sec, about)
		return h, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe put in its place must not hold us up
	if err != nil {
		return h, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, maxHashed)); err != nil {
		return h, err
	}
	h.text = "sha256 " + hex.EncodeToString(sum.Sum(nil)) + ", " + about
	return h, nil
}
