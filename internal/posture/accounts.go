package posture

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	maxAccounts = 4096
	maxListFile = 4 << 20
)

// readList reads a file of lines, up to a bound.
func readList(path string) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() { // nor is a device to be opened
		return nil, fmt.Errorf("%s is not a file", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe put in its place must not hold us up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxListFile {
		return nil, fmt.Errorf("%s is not a file of less than %d MiB", path, maxListFile>>20)
	}
	buf := make([]byte, st.Size())
	n, err := f.ReadAt(buf, 0)
	if n < len(buf) && err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf[:n], nil
}

type account struct{ name, id, home, rest string }

// parseAccounts reads /etc/passwd. The password's place is never kept.
func parseAccounts(data []byte) (out []account) {
	for line := range bytes.Lines(data) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) != 7 || strings.HasPrefix(f[0], "#") || f[0] == "" || len(out) >= maxAccounts {
			continue
		}
		out = append(out, account{name: f[0], id: f[2], home: f[5], rest: fmt.Sprintf("uid %s, gid %s, home %s, shell %s", f[2], f[3], f[5], f[6])})
	}
	return out
}

func accountFacts(all []account) facts {
	out := facts{}
	for _, a := range all {
		out[a.name] = a.rest
	}
	return out
}

// parseGroups reads /etc/group: the members of each.
func parseGroups(data []byte) facts {
	out := facts{}
	for line := range bytes.Lines(data) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) != 4 || f[0] == "" || len(out) >= maxFacts {
			continue
		}
		members := strings.Split(f[3], ",")
		slices.Sort(members)
		out[f[0]] = "gid " + f[2] + ", members " + strings.Join(slices.Compact(members), ",")
	}
	return out
}

// parseSudoers gives the rules of a file, without comments and the space between words. A #
// that begins a number or an old include is none.
func parseSudoers(data []byte) (rules []string) {
	text := strings.ReplaceAll(string(data), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" || strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "#include") && !(len(line) > 1 && line[1] >= '0' && line[1] <= '9') {
			continue
		}
		if len(rules) < maxFacts {
			rules = append(rules, line)
		}
	}
	return rules
}

// parseKeys gives the keys of a file of authorized keys, by fingerprint as ssh-keygen -l prints
// it; the key itself is not kept.
func parseKeys(data []byte) facts {
	out := facts{}
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") || len(out) >= maxFacts {
			continue
		}
		at := slices.IndexFunc(f, func(s string) bool {
			return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-") || strings.HasPrefix(s, "sk-")
		})
		if at < 0 || at+1 >= len(f) {
			continue
		}
		blob, err := base64.StdEncoding.DecodeString(f[at+1])
		if err != nil {
			continue
		}
		sum := sha256.Sum256(blob)
		key := f[at] + " SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
		out[key] = strings.TrimSpace(strings.Join(f[at+2:], " ") + " " + strings.Join(f[:at], " "))
	}
	return out
}

func (w *Watcher) accounts() ([]account, error) {
	data, err := readList(w.host.Path("/etc/passwd"))
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	return parseAccounts(data), nil
}

func (w *Watcher) readUsers() (facts, error) {
	all, err := w.accounts()
	return accountFacts(all), err
}

func (w *Watcher) readGroups() (facts, error) {
	data, err := readList(w.host.Path("/etc/group"))
	if err != nil {
		return nil, fmt.Errorf("reading groups: %w", err)
	}
	return parseGroups(data), nil
}

func (w *Watcher) readSudoers() (facts, error) {
	files, _ := filepath.Glob(w.host.Path("/etc/sudoers.d/*"))
	out := facts{}
	for _, file := range append([]string{w.host.Path("/etc/sudoers")}, files...) {
		data, err := readList(file)
		if os.IsNotExist(err) {
			continue // a host without sudo has no rules
		}
		if err != nil {
			return nil, fmt.Errorf("reading rules of sudo: %w", err)
		}
		for _, rule := range parseSudoers(data) {
			out[w.inside(file)+": "+rule] = "in force"
		}
	}
	return out, nil
}

// keyFiles are the files of keys of one account, with the host's root before them.
func (w *Watcher) keyFiles(a account) []string {
	if !strings.HasPrefix(a.home, "/") {
		return nil
	}
	dir := filepath.Join(w.host.Path(a.home), ".ssh")
	return []string{filepath.Join(dir, "authorized_keys"), filepath.Join(dir, "authorized_keys2")}
}

func (w *Watcher) readKeys() (facts, error) {
	all, err := w.accounts()
	if err != nil {
		return nil, err
	}
	out, homes := facts{}, map[string]bool{}
	for _, a := range all {
		if homes[a.home] { // of many that share /nonexistent
			continue
		}
		homes[a.home] = true
		for _, file := range w.keyFiles(a) {
			data, err := readList(file)
			if os.IsNotExist(err) {
				continue
			}
			if err != nil { // of another user: they are as they were, as far as we know
				w.Faults.Note(err)
				for key, rest := range w.known[SSHKey] {
					if strings.HasPrefix(key, a.name+": ") {
						out[key] = rest
					}
				}
				continue
			}
			w.notify.add(filepath.Dir(file), SSHKey, &w.Faults) // of homes made since the start, too
			for key, rest := range parseKeys(data) {
				out[a.name+": "+key] = rest
			}
		}
	}
	return out, nil
}

// inside is a path as the host has it.
func (w *Watcher) inside(path string) string {
	if w.host.Local() {
		return path
	}
	return strings.TrimPrefix(path, w.host.Path(""))
}
