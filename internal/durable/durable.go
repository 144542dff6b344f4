// Package durable keeps values in files so that what was written once is found whole again, or
// not at all.
//
// It promises that a value is replaced in one step: a reader, also one after a crash, a kill -9
// or a loss of power, finds the old value or the new one. A file that was damaged meanwhile
// (cut short, zeroed, overwritten) or that another version wrote is never half used: it is moved
// aside, reported, and its key is as if never set. Only one process at a time has a directory.
//
// It gives up speed for that: every Set waits for the disk twice, so it suits a few values of
// some megabytes every few seconds, not a queue. A value is read and written as a whole, in
// memory. Several keys can't be changed in one step.
package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxValue is the most bytes that one value may have.
const MaxValue = 1 << 30

const (
	suffix     = ".state"
	tempSuffix = ".tmp"
	aside      = ".damaged-"
	asideMost  = 3 // files set aside that are kept for one key
)

// Reasons for a value being set aside.
const (
	Damaged  = "damaged"  // its file is not what was written
	Version  = "version"  // its file has a format that this program does not know
	Rejected = "rejected" // its owner could not use it (SetAside)
)

// Notice tells that a value was set aside.
type Notice struct {
	Key    string // "" when the file does not tell
	File   string // where it is now; "" when it could not be moved
	Reason string // Damaged, Version or Rejected
	Detail string // what exactly is wrong, for a person
}

// Dir is a directory of values, one file a key. It is safe for concurrent use.
type Dir struct {
	path   string
	notify func(Notice)
	mu     sync.Mutex // or a Get could set aside what a Set has just put in place
}

// Open opens the directory, creates it when it is missing, and removes what an interrupted Set
// has left. The caller holds the lock on the directory or on one above it. notify, which may be
// nil, is called for each value set aside, with a lock held.
func Open(path string, notify func(Notice)) (*Dir, error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, fmt.Errorf("creating the state directory: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("listing the state directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), tempSuffix) {
			if err := os.Remove(filepath.Join(path, e.Name())); err != nil {
				return nil, fmt.Errorf("removing what an interrupted write left: %w", err)
			}
		}
	}
	if notify == nil {
		notify = func(Notice) {}
	}
	return &Dir{path: path, notify: notify}, nil
}

// Get returns the value of key, nil when there is none (an empty value is not nil). A value that
// can't be used is set aside and counts as none.
func (d *Dir) Get(key string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, value, err := d.read(fileName(key), &key)
	return value, err
}

// Set replaces the value of key and returns when it is on the disk. After an error the old value
// is still there.
func (d *Dir) Set(key string, value []byte) error {
	if len(value) > MaxValue || len(key) > maxKey {
		return fmt.Errorf("saving %.40q: %d bytes under a key of %d are more than %d and %d", key, len(value), len(key), MaxValue, maxKey)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.replace(fileName(key), encodeHeader(key, value), value); err != nil {
		return fmt.Errorf("saving %q: %w", key, err)
	}
	return nil
}

func (d *Dir) replace(name string, header, value []byte) (err error) {
	tmp, err := os.CreateTemp(d.path, ".*"+tempSuffix) // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(header)
	if err == nil {
		_, err = tmp.Write(value)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	target := filepath.Join(d.path, name)
	if info, err := os.Lstat(target); err == nil && !info.Mode().IsRegular() {
		d.moveAside(name, notRegular) // a directory can't be replaced
	}
	if err := os.Rename(tmp.Name(), target); err != nil {
		return err
	}
	return syncDir(d.path)
}

// Delete removes the value of key; it is no error when there is none.
func (d *Dir) Delete(key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := os.Remove(filepath.Join(d.path, fileName(key)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(d.path)
	}
	if err != nil {
		return fmt.Errorf("deleting %q: %w", key, err)
	}
	return nil
}

// SetAside is for the owner of a value that was stored well but makes no sense to it: it is kept
// for a person to look at, and key has no value any more.
func (d *Dir) SetAside(key, detail string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := fileName(key)
	if _, err := os.Lstat(filepath.Join(d.path, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	d.moveAside(name, Notice{Key: key, Reason: Rejected, Detail: detail})
	return nil
}

// Walk calls fn with each key and value, in no order that can be relied on, until fn returns an
// error. It holds no lock while fn runs.
func (d *Dir) Walk(fn func(key string, value []byte) error) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("listing the state directory: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		d.mu.Lock()
		key, value, err := d.read(e.Name(), nil)
		d.mu.Unlock()
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

// read reads one file, of which the caller may know whose it should be.
func (d *Dir) read(name string, want *string) (key string, value []byte, err error) {
	target := filepath.Join(d.path, name)
	set := func(n Notice) (string, []byte, error) {
		if want != nil {
			n.Key = *want
		}
		d.moveAside(name, n)
		return "", nil, nil
	}
	info, err := os.Lstat(target) // before opening, as a named pipe would block
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, nil
	case err != nil:
		return "", nil, fmt.Errorf("reading state: %w", err)
	case !info.Mode().IsRegular():
		return set(notRegular)
	case info.Size() > MaxValue+maxHeader:
		return set(Notice{Reason: Damaged, Detail: fmt.Sprintf("it is larger than %d bytes", MaxValue)})
	}
	data, err := os.ReadFile(target)
	if err != nil {
		return "", nil, fmt.Errorf("reading state: %w", err)
	}
	key, value, err = decode(data)
	switch {
	case errors.Is(err, errVersion):
		return set(Notice{Reason: Version, Detail: err.Error()})
	case err != nil:
		return set(Notice{Reason: Damaged, Detail: err.Error()})
	case want != nil && key != *want:
		return set(Notice{Reason: Damaged, Detail: fmt.Sprintf("it holds the value of %.40q", key)})
	}
	return key, value, nil
}

var notRegular = Notice{Reason: Damaged, Detail: "it is not a regular file"}

// moveAside renames the file, keeps the newest few like it, and gives notice. When even the
// renaming fails (a read-only disk), the notice has no file: the value is not used all the same.
func (d *Dir) moveAside(name string, n Notice) {
	prefix := name + aside
	to := prefix + time.Now().UTC().Format("20060102T150405.000000000Z")
	err := os.Rename(filepath.Join(d.path, name), filepath.Join(d.path, to))
	if err == nil {
		n.File = filepath.Join(d.path, to)
		d.prune(prefix, to)
		err = syncDir(d.path)
	}
	if err != nil {
		n.Detail += "; setting it aside: " + err.Error()
	}
	d.notify(n)
}

// prune removes all but the newest files set aside for one key. The names carry the time; a
// clock that was set back must not cost the one just added.
func (d *Dir) prune(prefix, added string) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return
	}
	var old []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && e.Name() != added {
			old = append(old, e.Name())
		}
	}
	slices.Sort(old)
	for _, name := range old[:max(0, len(old)-asideMost+1)] {
		_ = os.RemoveAll(filepath.Join(d.path, name))
	}
}

// A file is: magic, format version, the key's length, the value's length, a CRC-32C of all
// other bytes; then the key; then the value. Numbers are little-endian.
const (
	magic     = "MNBNSTAT"
	version   = 1
	headerLen = 8 + 2 + 2 + 4 + 8 // magic, version, key's length, checksum, value's length
	maxKey    = 1<<16 - 1
	maxHeader = headerLen + maxKey
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errVersion = errors.New("another version of this program wrote it")
)

func encodeHeader(key string, value []byte) []byte {
	b := make([]byte, 0, headerLen+len(key))
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	b = append(b, key...)
	binary.LittleEndian.PutUint32(b[12:], checksum(b, value))
	return b
}

// checksum is over the whole file, with the checksum's own bytes left out.
func checksum(header, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, header[:12])
	sum = crc32.Update(sum, castagnoli, header[16:])
	return crc32.Update(sum, castagnoli, value)
}

// decode takes a file apart. Its errors are errVersion, or say in what way it is damaged. The
// value is part of data.
func decode(data []byte) (key string, value []byte, err error) {
	if len(data) == 0 {
		return "", nil, errors.New("it is empty")
	}
	if len(data) < headerLen {
		return "", nil, fmt.Errorf("it ends within its header, after %d bytes", len(data))
	}
	if string(data[:8]) != magic {
		return "", nil, errors.New("it does not begin as a state file does")
	}
	if v := binary.LittleEndian.Uint16(data[8:]); v != version {
		return "", nil, fmt.Errorf("%w: format %d, not %d", errVersion, v, version)
	}
	bodyAt := headerLen + int(binary.LittleEndian.Uint16(data[10:]))
	size := binary.LittleEndian.Uint64(data[16:])
	if bodyAt > len(data) || size != uint64(len(data)-bodyAt) {
		return "", nil, fmt.Errorf("its length of %d bytes is not the one in its header: %w", len(data), io.ErrUnexpectedEOF)
	}
	header, value := data[:bodyAt], data[bodyAt:]
	if checksum(header, value) != binary.LittleEndian.Uint32(data[12:]) {
		return "", nil, errors.New("its checksum is wrong")
	}
	return string(header[headerLen:]), value, nil
}
