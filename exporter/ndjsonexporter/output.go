package ndjsonexporter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// flushAt bounds what is held in memory: a buffer that has grown to it is written
// at once, not only at the end of the call.
const flushAt = 256 << 10 // bytes

// output is one file, or standard output, with the lines not yet written.
type output struct {
	path     string // "-" is standard output
	rotation RotationConfig
	file     *os.File
	regular  bool
	size     int64
	buf      []byte
	pending  int64 // records in buf
	old      oldFiles
}

// open opens the file for appending, makes it when it is not there, and keeps
// other processes from writing to it as well.
func (o *output) open() error {
	if o.file != nil {
		return nil
	}
	if o.path == stdout {
		o.file = os.Stdout
		return nil
	}
	if info, err := os.Stat(o.path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		// Not for reading as well, or it would hang when nobody else reads.
		o.file, err = os.OpenFile(o.path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) {
			return errNoReader
		}
		return err
	}
	f, err := os.OpenFile(o.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if errors.Is(err, os.ErrPermission) { // a terminal may be write-only
		f, err = os.OpenFile(o.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		o.regular, o.size = true, info.Size()
		if err = lock(f); err == nil {
			err = o.mend(f)
		}
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o.file = f
	return nil
}

// mend takes away a line that a process left half written when it was killed, so
// that what follows is not glued to it.
func (o *output) mend(f *os.File) error {
	tail := make([]byte, min(o.size, 1<<20))
	if _, err := f.ReadAt(tail, o.size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	half := tail[bytes.LastIndexByte(tail, '\n')+1:]
	switch {
	case len(half) == 0:
		return nil
	case half[0] == '{':
		o.size -= int64(len(half))
		return f.Truncate(o.size)
	}
	o.size++ // not ours: end the line
	_, err := f.Write([]byte{'\n'})
	return err
}

// flush writes the buffer, and tells how many records were written and how many
// were lost. After a failure the file ends with a whole line.
func (o *output) flush() (written, lost int64, err error) {
	if o.pending == 0 {
		return 0, 0, nil
	}
	defer func() { o.buf, o.pending = o.buf[:0], 0 }()
	if err := o.open(); err != nil {
		return 0, o.pending, o.wrap(err)
	}
	if o.regular && o.size > 0 && o.rotation.MaxSizeMiB > 0 && o.size+int64(len(o.buf)) > int64(o.rotation.MaxSizeMiB)<<20 {
		if err := o.rotate(); err != nil {
			return 0, o.pending, o.wrap(err)
		}
	}
	n, err := o.file.Write(o.buf)
	if err == nil {
		o.size += int64(n)
		return o.pending, 0, nil
	}
	whole := bytes.LastIndexByte(o.buf[:n], '\n') + 1
	written = int64(bytes.Count(o.buf[:whole], []byte{'\n'}))
	if o.regular && whole != n {
		err = errors.Join(err, o.file.Truncate(o.size+int64(whole)))
	}
	o.size += int64(whole)
	return written, o.pending - written, o.wrap(err)
}

// rotate sets the file aside and opens a new one.
func (o *output) rotate() error {
	aside, err := o.old.name(o.path)
	if err != nil {
		return err
	}
	if err := os.Rename(o.path, aside); err != nil {
		return err
	}
	err = o.file.Close()
	o.file, o.size = nil, 0
	if err != nil {
		return err
	}
	o.old.tidy(o.path, o.rotation)
	return o.open()
}

// close closes the file and waits for what is done to old ones. What is still in
// the buffer is gone, so flush before.
func (o *output) close() error {
	o.old.wait()
	if o.file == nil || o.file == os.Stdout {
		return nil
	}
	err := o.file.Close()
	o.file = nil
	if err != nil {
		return o.wrap(err)
	}
	return nil
}

// wrap says what was being written; the path is in err already only at times.
func (o *output) wrap(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) && !errors.Is(err, errLocked) {
		err = pe.Err
	}
	name := o.path
	if name == stdout {
		name = "standard output"
	}
	return fmt.Errorf("writing %s: %w", name, err)
}

// name is how metrics call the output.
func (o *output) name() string { return filepath.Base(o.path) }

var errNoReader = errors.New("it is a named pipe that nobody reads; start the reader first")

var errLocked = errors.New("another process is writing to it; choose another directory, or end that process")
