package ndjsonexporter

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// oldFiles takes care of files set aside: flows-20260102T150405.000Z.ndjson and
// the like, packed and counted in the background. One pass runs at a time; a
// pass also picks up what an earlier process left unpacked.
type oldFiles struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

const (
	asideLayout = "20060102T150405.000Z"
	packed      = ".gz"
	unfinished  = ".tmp"
)

// name gives a free name for setting path aside.
func (*oldFiles) name(path string) (string, error) {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext) + "-"
	for t := time.Now().UTC(); ; t = t.Add(time.Millisecond) {
		name := stem + t.Format(asideLayout) + ext
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			if _, err := os.Lstat(name + packed); errors.Is(err, os.ErrNotExist) {
				return name, nil
			}
		} else if err != nil {
			return "", err
		}
	}
}

// tidy packs and removes old files of path in the background.
func (f *oldFiles) tidy(path string, r RotationConfig) {
	if !r.Compress && r.MaxFiles == 0 {
		return
	}
	f.wg.Go(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if err := tidy(path, r); err != nil {
			f.errs = append(f.errs, err)
		}
	})
}

// wait waits for the background work.
func (f *oldFiles) wait() { f.wg.Wait() }

// failed takes the errors since it was last asked.
func (f *oldFiles) failed() error {
	if !f.mu.TryLock() { // a pass is running, the next call will see its errors
		return nil
	}
	defer f.mu.Unlock()
	err := errors.Join(f.errs...)
	f.errs = nil
	return err
}

func tidy(path string, r RotationConfig) error {
	old, err := listOld(path)
	if err != nil {
		return fmt.Errorf("listing old files of %s: %w", path, err)
	}
	var errs []error
	if n := len(old) - r.MaxFiles; r.MaxFiles > 0 && n > 0 {
		for _, name := range old[:n] {
			errs = append(errs, os.Remove(name))
		}
		old = old[n:]
	}
	for _, name := range old {
		if r.Compress && !strings.HasSuffix(name, packed) {
			if err := pack(name); err != nil {
				errs = append(errs, fmt.Errorf("packing %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// listOld lists the files that were set aside from path, oldest first.
func listOld(path string) ([]string, error) {
	dir, base := filepath.Split(path)
	ext := filepath.Ext(base)
	stem := strings.TrimSuffix(base, ext) + "-"
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	var old []string
	for _, e := range entries {
		stamp, ours := strings.CutPrefix(e.Name(), stem)
		stamp = strings.TrimSuffix(strings.TrimSuffix(stamp, packed), ext)
		if _, err := time.Parse(asideLayout, stamp); ours && err == nil && e.Type().IsRegular() {
			old = append(old, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(old) // the stamp sorts as time does
	return old, err
}

// pack replaces name by name.gz. Whatever interrupts it, one of the two is whole.
func pack(name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := name + unfinished
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Close(), os.Remove(tmp))
		}
	}()
	z := gzip.NewWriter(out)
	if _, err = io.Copy(z, in); err != nil {
		return err
	}
	if err = z.Close(); err != nil {
		return err
	}
	if err = out.Sync(); err != nil {
		return err
	}
	if err = os.Rename(tmp, name+packed); err != nil {
		return err
	}
	return errors.Join(out.Close(), os.Remove(name))
}
