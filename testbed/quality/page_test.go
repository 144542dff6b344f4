package quality

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/testbed"
)

// table is one table of docs/quality.md.
type table struct{ strings.Builder }

func newTable(columns ...string) *table {
	y := &table{}
	y.row(columns...)
	y.WriteString("|" + strings.Repeat("---|", len(columns)) + "\n")
	return y
}

func (y *table) row(cells ...string) { fmt.Fprintf(y, "| %s |\n", strings.Join(cells, " | ")) }

func num(n int) string { return fmt.Sprint(n) }

// hold fails when docs/quality.md does not have the table as it is now. UPDATE=1
// writes it there, between the markers that carry its name.
func (y *table) hold(t *testing.T, name string) {
	t.Helper()
	t.Logf("%s\n%s", name, y)
	if t.Failed() {
		return // a figure below its floor belongs on no page
	}
	path := filepath.Join(testbed.Root(), "docs", "quality.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- end -->\n"
	head, rest, ok := strings.Cut(string(page), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Errorf("%s has no place for %q", path, name)
	case old == y.String():
	case os.Getenv("UPDATE") == "":
		t.Errorf("the figures are not those of %s; UPDATE=1 writes them there. It has\n%s", path, old)
	default:
		if err := os.WriteFile(path, []byte(head+begin+y.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
