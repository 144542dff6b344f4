package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// File is a registry file that is looked at again and again. It is for one goroutine.
type File struct {
	path    string
	taken   []byte // what the registry in use was made of
	pending []byte // what was there last time, and is not taken yet
}

// Open reads the file for the first time.
func Open(path string) (*File, *Registry, error) {
	b, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	r, err := Parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return &File{path: path, taken: b}, r, nil
}

// Look gives the new registry when the file has another content than that in use, and had it the last time too: half
// a file that somebody is still writing may be a registry as well, of half the probes. An error means that the
// registry in use remains.
func (f *File) Look() (*Registry, error) {
	b, err := read(f.path)
	if err != nil {
		f.pending = nil
		return nil, err
	}
	if bytes.Equal(b, f.taken) {
		f.pending = nil
		return nil, nil
	}
	if f.pending == nil || !bytes.Equal(b, f.pending) {
		f.pending = b
		return nil, nil
	}
	r, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	f.taken, f.pending = b, nil
	return r, nil
}

// Settled reports whether the last Look found what is in use.
func (f *File) Settled() bool { return f.pending == nil }

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the registry of probes: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("reading the registry of probes: %w", err)
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("the registry of probes %s is no regular file", path)
	} else if runtime.GOOS != "windows" && st.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("the registry of probes %s can be written by everybody, who could add a probe then; chmod o-w it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, MostBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading the registry of probes: %w", err)
	}
	if len(b) > MostBytes {
		return nil, errors.New("the registry of probes is longer than 1 MiB")
	}
	return b, nil
}
