package posture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

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
	s := &setUIDScan{w: w, ctx: ctx, rest: rest, users: w.host.Users(), out: facts{}, buf: make([]byte, 32<<10)}
	starts := map[uint64]bool{}
	for _, m := range mounts {
		if !slices.Contains(ownFileSystems, m.kind) || slices.Contains(m.options, "nosuid") {
			continue
		}
		path := w.host.Path(m.point)
		fd, err := unix.Open(path, dirFlags&^unix.O_NOFOLLOW, 0)
		if err != nil {
			if !errors.Is(err, unix.ENOTDIR) { // a file that is mounted
				w.Faults.Note(err)
			}
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || starts[st.Dev] { // bound to another place
			_ = unix.Close(fd)
			continue
		}
		starts[st.Dev], s.dev = true, st.Dev
		s.dir(fd, path, 0)
	}
	return s.out, ctx.Err()
}

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK

// setUIDScan is one walk. It goes from directory to directory by their descriptors, as each path from
// the root costs the kernel as much again as the file itself.
type setUIDScan struct {
	w     *Watcher
	ctx   context.Context
	rest  func()
	users *host.Users
	dev   uint64
	out   facts
	buf   []byte // of one directory at a time
}

// dir looks at a directory, and then at those below it. It closes fd.
func (s *setUIDScan) dir(fd int, path string, depth int) {
	defer unix.Close(fd)
	var below []string
	for s.ctx.Err() == nil {
		n, err := unix.ReadDirent(fd, s.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			s.w.Faults.Note(err)
		}
		if n <= 0 {
			break
		}
		eachEntry(s.buf[:n], func(name []byte, kind byte) {
			switch kind {
			case unix.DT_REG:
				s.file(fd, path, string(name))
			case unix.DT_DIR:
				below = append(below, string(name))
			case unix.DT_UNKNOWN: // a file system that does not say
				var st unix.Stat_t
				if unix.Fstatat(fd, string(name), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
					return
				}
				switch st.Mode & unix.S_IFMT {
				case unix.S_IFREG:
					s.file(fd, path, string(name))
				case unix.S_IFDIR:
					below = append(below, string(name))
				}
			}
		})
		s.rest()
	}
	if depth >= maxDepth {
		return
	}
	for _, name := range below {
		if s.ctx.Err() != nil {
			return
		}
		sub, err := unix.Openat(fd, name, dirFlags, 0)
		if err != nil {
			s.w.Faults.Note(err)
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(sub, &st) != nil || st.Dev != s.dev {
			_ = unix.Close(sub)
			continue
		}
		s.dir(sub, filepath.Join(path, name), depth+1)
	}
}

func (s *setUIDScan) file(fd int, dir, name string) {
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 || st.Mode&0o111 == 0 || len(s.out) > maxFacts {
		return
	}
	s.out[s.w.inside(filepath.Join(dir, name))] = fmt.Sprintf("mode %04o, owner %s, %d bytes", st.Mode&0o7777, s.users.Name(st.Uid), st.Size)
}

// eachEntry reads what the kernel tells of a directory.
func eachEntry(data []byte, f func(name []byte, kind byte)) {
	const head = 19 // inode, offset, length, type
	for len(data) > head {
		size := int(binary.NativeEndian.Uint16(data[16:]))
		if size <= head || size > len(data) {
			return
		}
		name, _, _ := bytes.Cut(data[head:size], []byte{0})
		if string(name) != "." && string(name) != ".." && len(name) > 0 {
			f(name, data[18])
		}
		data = data[size:]
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
	var unmatched []string
	for _, pattern := range w.cfg.Files {
		all, err := filepath.Glob(w.host.Path(pattern))
		if err != nil {
			return nil, fmt.Errorf("files: %q: %w", pattern, err)
		}
		w.hear(pattern)
		files := 0
		for _, path := range all {
			if _, twice := kept[path]; twice {
				files++
				continue
			}
			if len(kept) >= maxWatchedFiles {
				files++
				w.Dropped++
				continue
			}
			h, err := w.digest(path, users)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil { // it is as it was, as far as we know
				files++
				w.Faults.Note(err)
				if was, ok := w.known[File][w.inside(path)]; ok {
					out[w.inside(path)] = was
				}
				continue
			}
			if h.text != "" {
				files++
				kept[path] = h
				out[w.inside(path)] = h.text
			}
		}
		if files == 0 && !slices.Contains(NewDefaultConfig().Files, pattern) {
			unmatched = append(unmatched, pattern)
		}
	}
	if w.hashes == nil {
		w.Unmatched = unmatched
	}
	w.hashes = kept
	return out, nil
}

func (w *Watcher) digest(path string, users *host.Users) (h hashed, err error) {
	key := path
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return h, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&syscall.S_IFMT == syscall.S_IFLNK { // the file that it means may change elsewhere
		real, dirs, err := follow(w.host.Path(""), path)
		w.hearAll(dirs)
		if err != nil {
			return h, err
		}
		path = real
		if err := syscall.Lstat(path, &st); err != nil {
			return h, &os.PathError{Op: "stat", Path: path, Err: err}
		}
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return h, nil
	}
	h.stamp = stamp{st.Ino, st.Size, st.Mtim, st.Ctim}
	if was, ok := w.hashes[key]; ok && was.stamp == h.stamp {
		return was, nil
	}
	about := fmt.Sprintf("mode %04o, owner %s", st.Mode&0o7777, users.Name(st.Uid))
	if st.Size > maxHashed {
		h.text = fmt.Sprintf("%d bytes, modified %d, %s", st.Size, st.Mtim.Sec, about)
		return h, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0) // a pipe put in its place must not hold us up
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
