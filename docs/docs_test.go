// Package docs holds the documentation, and tests that what it says is so: links
// lead somewhere, configurations are valid, options exist, queries give answers,
// and what it shows of the program is what the program prints.
package docs

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/monban/monban/internal/oneword"
	"github.com/monban/monban/testbed"
)

const demo = "testbed/lab/demo.pcap.gz"

// pages reads all pages of the repository, by their path from its root.
var pages = sync.OnceValues(func() (map[string]string, error) {
	all := map[string]string{}
	root := testbed.Root()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".md" || strings.HasPrefix(name, "THIRD_PARTY") {
			return nil
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		all[filepath.ToSlash(rel)] = string(b)
		return err
	})
	return all, err
})

func readPages(t *testing.T) map[string]string {
	t.Helper()
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	fenced   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	code     = regexp.MustCompile("`[^`\n]*`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#{1,6} (.*)$`)
	notSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the names by which GitHub lets a page's headings be linked to.
func anchors(page string) (all []string) {
	for _, m := range headings.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		text := link.ReplaceAllString(m[1], "]")
		slug := notSlug.ReplaceAllString(strings.ToLower(text), "")
		all = append(all, strings.ReplaceAll(slug, " ", "-"))
	}
	return all
}

func TestLinks(t *testing.T) {
	all := readPages(t)
	for name, page := range all {
		text := code.ReplaceAllString(fenced.ReplaceAllString(page, ""), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			target := name
			if to != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), to))
			}
			if _, err := os.Stat(filepath.Join(testbed.Root(), target)); err != nil {
				t.Errorf("%s: link to %s: there is no %s", name, m[1], target)
				continue
			}
			if other, isPage := all[target]; anchor != "" && isPage && !slices.Contains(anchors(other), anchor) {
				t.Errorf("%s: link to %s: %s has no such heading", name, m[1], target)
			}
		}
	}
}

// TestIndex finds pages that nobody can find.
func TestIndex(t *testing.T) {
	all := readPages(t)
	for name := range all {
		dir, base := filepath.Split(name)
		switch dir {
		case "docs/tutorial/", "docs/how-to/", "docs/reference/", "docs/explanation/":
			if !strings.Contains(all["docs/README.md"], filepath.Base(dir)+"/"+base) {
				t.Errorf("docs/README.md does not link to %s", name)
			}
		}
	}
}

// TestWords finds options of pcap:, live: and learned: that are written about and
// don't exist.
func TestWords(t *testing.T) {
	word := regexp.MustCompile(`--config ['"]?(pcap|live|learned):([^'"\n` + "`" + `]*)`)
	key := regexp.MustCompile(`[?&]([a-z_]+)=`)
	schemes := map[string]*oneword.Scheme{"pcap": oneword.Pcap, "live": oneword.Live, "learned": oneword.Learned}
	found := 0
	for name, page := range readPages(t) {
		for _, m := range word.FindAllStringSubmatch(page, -1) {
			found++
			for _, o := range key.FindAllStringSubmatch(m[2], -1) {
				if !slices.ContainsFunc(schemes[m[1]].Options, func(x oneword.Option) bool { return x.Key == o[1] }) {
					t.Errorf("%s: %s: has no option %s", name, m[1], o[1])
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d words found in all pages: the pattern is wrong", found)
	}
	reference := readPages(t)["docs/reference/command-line.md"]
	for _, o := range slices.Concat(oneword.Live.Options, oneword.Learned.Options) {
		if !strings.Contains(reference, "`"+o.Key+"=") {
			t.Errorf("docs/reference/command-line.md: option %s is missing", o.Key)
		}
	}
}

// TestManifests finds lines of builder manifests that ours does not have: names of
// components that don't exist, and versions that are not of one train.
func TestManifests(t *testing.T) {
	own, err := os.ReadFile(filepath.Join(testbed.Root(), "builder-config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)\b(gomod|import): \S+( v[\d.]+)?`)
	found := 0
	for name, page := range readPages(t) {
		for _, m := range line.FindAllString(page, -1) {
			found++
			if !strings.Contains(string(own)+"\n", m+"\n") {
				t.Errorf("%s: %q is not in builder-config.yaml", name, m)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d lines found in all pages: the pattern is wrong", found)
	}
}

// TestSet tries every --set that is written about.
func TestSet(t *testing.T) {
	set := regexp.MustCompile("--set '?([a-z_:]+=[^\\s`'\"]+)")
	capture := filepath.Join(testbed.Root(), demo)
	tried := map[string]bool{}
	for name, page := range readPages(t) {
		for _, m := range set.FindAllStringSubmatch(page, -1) {
			if tried[m[1]] || strings.Contains(m[1], "KEY") {
				continue
			}
			tried[m[1]] = true
			r := testbed.Run(t, "validate", "--config", "live:lo", "--set", m[1])
			if r.Code != 0 {
				r = testbed.Run(t, "validate", "--config", "pcap:"+capture, "--set", m[1])
			}
			if r.Code != 0 {
				t.Errorf("%s: --set %s: %s", name, m[1], r.Stderr)
			}
		}
	}
}

// TestConfigurations validates the blocks of YAML that say so.
func TestConfigurations(t *testing.T) {
	block := regexp.MustCompile("(?ms)^<!-- validate(?: with (\\S+))? -->\n```yaml\n(.*?)^```$")
	found := 0
	for name, page := range readPages(t) {
		for _, m := range block.FindAllStringSubmatch(page, -1) {
			found++
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(m[2]), 0o644); err != nil {
				t.Fatal(err)
			}
			args := []string{"validate"}
			if m[1] != "" {
				scheme, path, _ := strings.Cut(m[1], ":")
				args = append(args, "--config", scheme+":"+filepath.Join(testbed.Root(), path))
			}
			if r := testbed.Run(t, append(args, "--config", file)...); r.Code != 0 {
				t.Errorf("%s: exit code %d\n%s\n%s", name, r.Code, r.Stderr, m[2])
			}
		}
	}
	if found == 0 {
		t.Error("no configuration found: the pattern is wrong")
	}
}

// run gives what the program prints for a word, on a page of 80 columns.
func run(t *testing.T, word string) string {
	t.Helper()
	cmd := exec.Command(testbed.Binary(t), "--config", word, "--set", "exporters::summary::width=80")
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	cmd.Dir = testbed.Root()
	r := testbed.Exec(t, cmd)
	if r.Code != 0 {
		t.Fatalf("%s: exit code %d\n%s", word, r.Code, r.Stderr)
	}
	return r.Stdout
}

// TestShown compares what the first tutorial shows of the demo with what the demo
// prints. Lines with an ellipsis are shortened.
func TestShown(t *testing.T) {
	printed := "\n" + run(t, "pcap:"+demo) + "\n"
	name := "docs/tutorial/first-capture.md"
	shown := 0
	for _, m := range fenced.FindAllStringSubmatch(readPages(t)[name], -1) {
		if m[1] != "" {
			continue
		}
		for l := range strings.Lines(m[2]) {
			if l = strings.TrimRight(l, "\n"); strings.Contains(l, "…") || strings.HasPrefix(l, "──") {
				continue
			}
			shown++
			if !strings.Contains(printed, "\n"+l) {
				t.Errorf("%s shows a line that the demo does not print:\n%s", name, l)
			}
		}
	}
	if shown < 10 {
		t.Errorf("only %d lines compared: the pattern is wrong", shown)
	}
}

// TestPicture draws the picture again.
func TestPicture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "demo.svg")
	cmd := exec.Command("go", "run", "./docs/images", "-monban", testbed.Binary(t), "-out", file)
	cmd.Dir = testbed.Root()
	if r := testbed.Exec(t, cmd); r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	drawn, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(testbed.Root(), "docs/images/demo.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(drawn, kept) {
		t.Error("docs/images/demo.svg is not what the demo prints: make build && go run ./docs/images")
	}
}

// TestTeachAndJudge does what the tutorial of that name tells to do.
func TestTeachAndJudge(t *testing.T) {
	name := "docs/tutorial/teach-and-judge.md"
	page := readPages(t)[name]
	const first = 19344
	if !strings.Contains(page, "1-19344") {
		t.Fatalf("%s cuts somewhere else", name)
	}
	dir := t.TempDir()
	quiet, later := filepath.Join(dir, "quiet.pcap"), filepath.Join(dir, "later.pcap")
	cut(t, first, quiet, later)
	expect := func(command, printed string) {
		t.Helper()
		_, rest, ok := strings.Cut(page, "$ "+command)
		_, rest, _ = strings.Cut(rest, "\n")
		want, _, _ := strings.Cut(rest, "\n")
		if !ok || !strings.HasSuffix(printed, "\n"+want+"\n") {
			t.Errorf("%s: after %s it shows %q, but the last lines are\n%s", name, command, want, printed[max(0, len(printed)-200):])
		}
	}
	expect("./monban --config pcap:later.pcap | tail -1", run(t, "pcap:"+later))
	taught := run(t, "pcap:"+quiet+"?state="+dir+"/taught")
	if want := "Devices: 12 of 12 learned"; !strings.Contains(page, want) || !strings.Contains(taught, want) {
		t.Errorf("%s shows %q, but the run does not, or the other way round", name, want)
	}
	expect("./monban --config 'pcap:later.pcap?state=taught' | tail -1", run(t, "pcap:"+later+"?state="+dir+"/taught"))

	// The guide on what was learned goes on from there.
	name = "docs/how-to/learned.md"
	printed := ""
	for _, block := range fenced.FindAllStringSubmatch(readPages(t)[name], -1) {
		if block[1] == "" {
			for l := range strings.Lines(block[2]) {
				if !strings.Contains(l, "…") && !strings.Contains(printed, "\n"+l) {
					t.Errorf("%s shows a line that is not printed:\n%s", name, l)
				}
			}
			continue
		}
		for _, m := range regexp.MustCompile(`learned:taught([^'\n]*)`).FindAllStringSubmatch(block[2], -1) {
			printed = run(t, "learned:"+dir+"/taught"+m[1])
		}
	}
	if printed == "" {
		t.Errorf("%s: no command found: the pattern is wrong", name)
	}
}

// cut divides the demo capture after its first n packets.
func cut(t *testing.T, n int, before, after string) {
	t.Helper()
	f, err := os.Open(filepath.Join(testbed.Root(), demo))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	at := 24 // the file's header
	for range n {
		at += 16 + int(binary.LittleEndian.Uint32(b[at+8:]))
	}
	for path, data := range map[string][]byte{before: b[:at], after: slices.Concat(b[:24], b[at:])} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestQueries runs the jq commands of all pages on the events of the demo.
func TestQueries(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is not installed")
	}
	dir := t.TempDir()
	run(t, "pcap:"+demo+"?out="+dir+"/events")
	query := regexp.MustCompile(`(?ms)^\$ (jq .*?)(?:^\$|\z)`)
	found := 0
	for name, page := range readPages(t) {
		if !strings.HasPrefix(name, "docs/") {
			continue
		}
		for _, block := range fenced.FindAllStringSubmatch(page, -1) {
			for _, m := range query.FindAllStringSubmatch(block[2], -1) {
				found++
				cmd := exec.Command("sh", "-c", m[1])
				if cmd.Dir = dir + "/events"; strings.Contains(m[1], " events/") {
					cmd.Dir = dir
				}
				if r := testbed.Exec(t, cmd); r.Code != 0 || r.Stdout == "" {
					t.Errorf("%s: exit code %d, %d bytes\n%s\n%s", name, r.Code, len(r.Stdout), r.Stderr, m[1])
				}
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d queries found: the pattern is wrong", found)
	}
}
