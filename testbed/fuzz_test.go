package testbed

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// parses are the marks of code that reads what others wrote.
var parses = regexp.MustCompile(`Endian\.Uint(16|32|64)\(|json\.(Unmarshal|NewDecoder)|bufio\.New(Scanner|Reader)\(|strconv\.(Atoi|Parse)`)

// noFuzz are packages that need no fuzz target, and why.
var noFuzz = map[string]string{
	"extension/flatjsonencoding": "internal/flatjson reads for it",
	"internal/dashboard":         "reads a file of its own, which is part of the program",
	"internal/privilege":         "reads the numbers that the system's list of users gives",
	"receiver/netflowreceiver":   "reads a port number of its configuration; datagrams are read by internal/netflow",
	"receiver/httpjsonreceiver":  "reads a port number of its configuration; answers are read by internal/jsonmap",
	"receiver/learnedreceiver":   "encoding/json reads its own decisions, and nothing else is parsed",
	"telemetry":                  "reads what the kernel says of memory and CPUs",
	"internal/oui/gen":           "runs when the table of vendors is made",
}

// Every package that parses has a fuzz target.
func TestParsersAreFuzzed(t *testing.T) {
	root := Root()
	marked, fuzzed := map[string]string{}, map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, _ := filepath.Rel(root, path)
		inside = filepath.ToSlash(inside)
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") || inside == "testbed" || inside == "internal/tools" {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" || strings.HasPrefix(d.Name(), "generated_") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(inside))
		if strings.HasSuffix(path, "_test.go") {
			fuzzed[dir] = fuzzed[dir] || strings.Contains(string(text), "\nfunc Fuzz")
		} else if m := parses.FindString(string(text)); m != "" {
			marked[dir] = inside + " has " + m
		}
		return nil
	})
	if err != nil || len(marked) < 5 {
		t.Fatalf("%d packages: %v", len(marked), err)
	}
	for dir, why := range marked {
		if !fuzzed[dir] && noFuzz[dir] == "" {
			t.Errorf("%s: no fuzz target, and %s", dir, why)
		}
	}
	for dir := range noFuzz {
		if marked[dir] == "" || fuzzed[dir] {
			t.Errorf("%s: is excused, and needs not be", dir)
		}
	}
}
