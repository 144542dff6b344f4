package posture

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const maxLinks = 32 // symbolic links from one path to its file, as the kernel has 40

// follow leads from a path below root to the file that it means there: an absolute link stays below
// root, as it does for the host whose root that is. dirs are the directories that say where the path
// leads: those that hold a link, and that of the last name. They are told also when there is no file.
func follow(root, path string) (real string, dirs []string, err error) {
	at, rest, links := root, strings.Split(strings.TrimPrefix(path, root), "/"), 0
	dir := func() string {
		if at == "" {
			return "/"
		}
		return at
	}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at != root {
				at = at[:strings.LastIndexByte(at, '/')]
			}
			continue
		}
		next := at + "/" + name
		to, err := os.Readlink(next)
		switch {
		case err == nil:
			dirs = append(dirs, dir())
			if links++; links > maxLinks {
				return "", dirs, &os.PathError{Op: "readlink", Path: path, Err: syscall.ELOOP}
			}
			if filepath.IsAbs(to) {
				at = root
			}
			rest = append(strings.Split(to, "/"), rest...)
		case errors.Is(err, syscall.EINVAL): // no link
			if len(rest) == 0 {
				dirs = append(dirs, dir())
			}
			at = next
		default:
			return "", append(dirs, dir()), err
		}
	}
	return dir(), dirs, nil
}

// hasMeta reports whether a pattern is more than a path.
func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

// hear has the kernel tell of changes in whatever decides which files a pattern matches: the directories
// that its own directory matches, those on the way there that a wildcard may find more in, and of one
// that is not there yet the nearest that is.
func (w *Watcher) hear(pattern string) {
	for dir := filepath.Dir(pattern); ; dir = filepath.Dir(dir) {
		found, _ := filepath.Glob(w.host.Path(dir)) // the pattern is known to be one
		heard := false
		for _, d := range found {
			heard = w.hearPath(d) || heard
		}
		if heard && !hasMeta(dir) || dir == "/" || dir == "." {
			return
		}
	}
}

// hearPath has the kernel tell of changes in a directory, and of links on the way there.
func (w *Watcher) hearPath(dir string) bool {
	real, on, err := follow(w.host.Path(""), dir)
	if err == nil {
		if st, serr := os.Stat(real); serr != nil || !st.IsDir() {
			return false
		}
		w.notify.add(real, File, &w.Faults)
		on = on[:max(len(on)-1, 0)] // its own place says nothing of what is in it
	}
	w.hearAll(on)
	return err == nil
}

func (w *Watcher) hearAll(dirs []string) {
	for _, d := range dirs {
		w.notify.add(d, File, &w.Faults)
	}
}
