package packet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// expand turns paths and patterns into files, each once. A path that exists as it
// is written is no pattern. All that is wrong is said at once.
func expand(paths []string) ([]string, error) {
	var files []string
	var wrong []error
	seen := map[string]bool{}
	add := func(path string) {
		if clean := filepath.Clean(path); !seen[clean] {
			seen[clean] = true
			files = append(files, path)
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case path == "-" || err == nil && !info.IsDir():
			add(path)
		case path == "":
			wrong = append(wrong, errors.New("the name of a capture file is empty"))
		case err == nil:
			wrong = append(wrong, fmt.Errorf("%s is a directory; for what is in it write %s", path, filepath.Join(path, "*")))
		case strings.ContainsAny(path, `*?[`):
			matches, err := filepath.Glob(path)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("the pattern %s: %w", path, err))
				continue
			}
			matches = slices.DeleteFunc(matches, isDir)
			if len(matches) == 0 {
				wrong = append(wrong, fmt.Errorf("no file matches %s%s", path, besides(path)))
			}
			for _, match := range matches {
				add(match)
			}
		case errors.Is(err, fs.ErrNotExist):
			wrong = append(wrong, fmt.Errorf("there is no file %s%s", path, besides(path)))
		default:
			wrong = append(wrong, err)
		}
	}
	if len(paths) == 0 {
		wrong = append(wrong, errors.New("no capture file is named"))
	}
	return files, errors.Join(wrong...)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// besides says what there is instead of path.
func besides(path string) string {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if strings.ContainsAny(dir, `*?[`) {
		return ""
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf(", nor a directory %s", filepath.Clean(dir))
		}
		return ""
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("; %s has no files", filepath.Clean(dir))
	}
	near := nearest(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`*?[]`, r) {
			return -1
		}
		return r
	}, base), names, 3)
	return fmt.Sprintf("; nearest in %s: %s", filepath.Clean(dir), strings.Join(near, ", "))
}

// nearest gives the n names that are most like the wanted one, best first.
func nearest(wanted string, names []string, n int) []string {
	names = slices.Clone(names)
	far := make(map[string]int, len(names))
	for _, name := range names {
		far[name] = distance(strings.ToLower(wanted), strings.ToLower(name))
	}
	slices.SortStableFunc(names, func(a, b string) int { return far[a] - far[b] })
	return names[:min(n, len(names))]
}

// distance is how many bytes must be put in, taken out or changed between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
