package oneword

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/monban/monban/internal/near"
)

// Stdin is the source that stands for standard input.
const Stdin = "-"

// Files takes apart a list of capture files and globs, separated by commas, and
// sees that each is there and can be read. A name with a comma in it is taken
// whole when there is such a file.
func Files(text string) ([]string, error) {
	names := []string{text}
	if !FileExists(text) {
		names = strings.Split(text, ",")
	}
	var errs []error
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			errs = append(errs, fmt.Errorf("%s is given twice", name))
			continue
		}
		errs = append(errs, checkFile(name, len(names) > 1))
	}
	return names, errors.Join(errs...)
}

// FileExists reports whether text names a file, or a glob that matches one.
func FileExists(text string) bool {
	if _, err := os.Stat(text); err == nil {
		return true
	}
	found, _ := filepath.Glob(text)
	return len(found) > 0
}

func checkFile(name string, amongOthers bool) error {
	switch name {
	case "":
		return errors.New("a file name is empty: two commas in a row?")
	case Stdin:
		if amongOthers {
			return errors.New("standard input (-) can't be read together with files")
		}
		return nil
	}
	info, err := os.Stat(name)
	if err == nil {
		return checkReadable(name, info)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, cause(err))
	}
	if !strings.ContainsAny(name, `*?[\`) {
		return fmt.Errorf("%s: no such file%s", name, besides(name))
	}
	found, err := filepath.Glob(name)
	if err != nil {
		return fmt.Errorf("%s: not a valid pattern: each [ needs its ]", name)
	}
	if len(found) == 0 {
		return fmt.Errorf("%s: no file matches%s", name, besides(name))
	}
	return nil
}

// checkReadable opens regular files only: to open a pipe would wait for its writer.
func checkReadable(name string, info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("%s is a directory; to read the captures in it write %s", name, filepath.Join(name, "*.pcap*"))
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, cause(err))
	}
	return f.Close()
}

// besides says what is in the directory of a file that is not there.
func besides(name string) string {
	dir, base := filepath.Split(name)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("; there is no directory %s", filepath.Clean(dir))
	}
	if err != nil {
		return fmt.Sprintf("; %s: %v", filepath.Clean(dir), cause(err))
	}
	var names, captures []string
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		names = append(names, e.Name())
		if strings.Contains(e.Name(), ".pcap") || strings.HasSuffix(e.Name(), ".cap") {
			captures = append(captures, e.Name())
		}
	}
	where := "in this directory"
	if dir != "" {
		where = "in " + dir
	}
	if like := near.Names(base, names, 3); len(like) > 0 {
		return fmt.Sprintf("; did you mean %s?", printable(strings.Join(like, " or ")))
	}
	const most = 5
	switch n := len(captures); {
	case n == 0:
		return fmt.Sprintf("; there are no captures %s", where)
	case n <= most:
		return fmt.Sprintf("; %s there is %s", where, printable(strings.Join(captures, ", ")))
	default:
		return fmt.Sprintf("; %s there are %d captures, such as %s", where, n, printable(strings.Join(captures[:most], ", ")))
	}
}

// printable keeps control characters of file names from the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// cause strips what the message names already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
