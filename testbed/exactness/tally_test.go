package exactness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/testbed"
)

// tally counts conversations by kind, and holds the counts against the reference page.
type tally struct {
	title  string
	kinds  []string // in the order of the page
	counts map[string]int
	strays []string // that no kind explains
}

func newTally(title string, kinds ...string) *tally {
	return &tally{title: title, kinds: kinds, counts: map[string]int{}}
}

// count adds one conversation to a kind; "" is one that nothing explains.
func (y *tally) count(kind, format string, args ...any) {
	if kind == "" {
		y.strays = append(y.strays, fmt.Sprintf(format, args...))
		return
	}
	for _, k := range y.kinds {
		if k == kind {
			y.counts[kind]++
			return
		}
	}
	panic("no kind " + kind)
}

func (y *tally) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | |\n|---|---:|\n", y.title)
	for _, k := range y.kinds {
		fmt.Fprintf(&b, "| %s | %d |\n", k, y.counts[k])
	}
	fmt.Fprintf(&b, "| unexplained | %d |\n", len(y.strays))
	return b.String()
}

// hold fails when the page does not have the table as it is now. UPDATE=1 writes it
// there, between the markers that carry the table's name.
func (y *tally) hold(t *testing.T, name string) {
	t.Helper()
	t.Logf("\n%s", y.table())
	for _, s := range y.strays {
		t.Log("unexplained: ", s)
	}
	path := filepath.Join(testbed.Root(), "docs", "reference", "exactness.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- end -->\n"
	head, rest, ok := strings.Cut(string(page), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for %s", path, name)
	}
	if old == y.table() {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Errorf("the figures are not those of %s; UPDATE=1 writes them there. It has\n%s", path, old)
		return
	}
	if err := os.WriteFile(path, []byte(head+begin+y.table()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
