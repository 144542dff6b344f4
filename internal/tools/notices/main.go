// Command notices writes THIRD_PARTY_NOTICES.md: every module whose code is in the binary, its
// licence, and the texts that these licences ask to be passed on. It stops at a licence that it
// does not know, so that nothing unread gets into the binary.
//
// Run it in the repository's root.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const output = "THIRD_PARTY_NOTICES.md"

// The systems that binaries are built for; each may bring modules of its own.
var systems = [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"linux", "arm"}, {"darwin", "arm64"}, {"windows", "amd64"}}

type module struct {
	path, version, dir string
	licences           []string          // identifiers, sorted
	texts              map[string]string // by file below dir
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("notices: ")
	modules, err := list()
	if err != nil {
		log.Fatal(err)
	}
	var errs []error
	for _, m := range modules {
		errs = append(errs, m.classify())
	}
	if err := errors.Join(errs...); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(output, render(modules), 0o644); err != nil {
		log.Fatal(err)
	}
}

// list returns the modules in the binary, Go itself among them, with their licence files.
func list() ([]*module, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	std := &module{path: "The Go programming language", dir: strings.TrimSpace(string(root)), texts: map[string]string{}}
	if err := std.read(std.dir); err != nil {
		return nil, err
	}
	byPath := map[string]*module{}
	const format = `{{with .Module}}{{if not .Main}}{{.Path}}	{{.Version}}	{{.Dir}}	{{$.Dir}}{{end}}{{end}}`
	for _, s := range systems {
		cmd := exec.Command("go", "list", "-deps", "-f", format, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+s[0], "GOARCH="+s[1])
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s/%s: %w", s[0], s[1], err)
		}
		for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
			f := strings.Split(sc.Text(), "\t")
			if len(f) != 4 {
				continue
			}
			m := byPath[f[0]]
			if m == nil {
				m = &module{path: f[0], version: f[1], dir: f[2], texts: map[string]string{}}
				byPath[f[0]] = m
			}
			// A package may have a licence of its own, so look from it up to the module's root.
			for dir := f[3]; ; dir = filepath.Dir(dir) {
				if err := m.read(dir); err != nil {
					return nil, err
				}
				if dir == m.dir || len(dir) < len(m.dir) {
					break
				}
			}
		}
	}
	modules := slices.SortedFunc(maps.Values(byPath), func(a, b *module) int { return cmp.Compare(a.path, b.path) })
	return append([]*module{std}, modules...), nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright)([-_.].*)?$`)

// read takes the licence files in dir into m.
func (m *module) read(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeType != 0 || !licenceFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		file := filepath.Join(dir, e.Name())
		name, err := filepath.Rel(m.dir, file)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		m.texts[filepath.ToSlash(name)] = tidy(string(text))
	}
	return nil
}

// tidy makes texts that differ only in blanks the same.
func tidy(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t\f")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

var space = regexp.MustCompile(`\s+`)

// identify names the licence of a text; "" when it is none that we know, "notice" for a text that
// is no licence but must be passed on.
func identify(name, text string) string {
	t := space.ReplaceAllString(text, " ")
	has := func(s string) bool { return strings.Contains(t, s) }
	switch {
	case has("GNU GENERAL PUBLIC LICENSE") || has("GNU AFFERO") || has("GNU LESSER"):
		return ""
	case has("Apache License") && has("Version 2.0"):
		if has("Permission is hereby granted, free of charge") {
			return "Apache-2.0 and MIT"
		}
		return "Apache-2.0"
	case has("Mozilla Public License") && has("2.0"):
		return "MPL-2.0"
	case has("Permission is hereby granted, free of charge"):
		return "MIT"
	case has("Permission to use, copy, modify, and/or distribute") || has("Permission to use, copy, modify, and distribute"):
		return "ISC"
	case has("Redistribution and use in source and binary forms"):
		if has("Neither the name") || has("may not be used to endorse") || has("names of its contributors") || has("names of the contributors") {
			return "BSD-3-Clause"
		}
		return "BSD-2-Clause"
	case has("CC0 1.0 Universal"):
		return "CC0-1.0"
	case has("This is free and unencumbered software released into the public domain"):
		return "Unlicense"
	case has("under the terms of both the MIT and Apache") || strings.HasPrefix(strings.ToUpper(filepath.Base(name)), "NOTICE") || strings.HasPrefix(strings.ToUpper(filepath.Base(name)), "COPYRIGHT"):
		return "notice"
	}
	return ""
}

func (m *module) classify() error {
	for _, name := range slices.Sorted(maps.Keys(m.texts)) {
		switch id := identify(name, m.texts[name]); {
		case id == "":
			return fmt.Errorf("%s %s: what licence is %s?", m.path, m.version, filepath.Join(m.dir, name))
		case id == "notice":
		case !slices.Contains(m.licences, id):
			m.licences = append(m.licences, id)
		}
	}
	if len(m.licences) == 0 {
		return fmt.Errorf("%s %s: no licence found in %s", m.path, m.version, m.dir)
	}
	slices.Sort(m.licences)
	return nil
}

func render(modules []*module) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "# Third-party notices")
	fmt.Fprintln(&b)
	fmt.Fprintln(&b, "Generated by `make generate`. Monban's binary has code of the modules below. Their sources are on")
	fmt.Fprintln(&b, "<https://proxy.golang.org> under the path and version given; none of them was changed.")
	fmt.Fprintln(&b)
	fmt.Fprintln(&b, "| Module | Version | Licence | Text |")
	fmt.Fprintln(&b, "|---|---|---|---|")

	// A text is known by its hash, so that a module more or less changes little here.
	var texts []string
	seen := map[string]bool{}
	for _, m := range modules {
		var refs []string
		for _, name := range slices.Sorted(maps.Keys(m.texts)) {
			text := m.texts[name]
			if !seen[text] {
				seen[text] = true
				texts = append(texts, text)
			}
			if ref := fmt.Sprintf("[%s](#text-%[1]s)", hash(text)); !slices.Contains(refs, ref) {
				refs = append(refs, ref)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.path, m.version, strings.Join(m.licences, ", "), strings.Join(refs, ", "))
	}
	for _, text := range texts {
		fmt.Fprintf(&b, "\n## Text %s\n\n~~~~text\n%s\n~~~~\n", hash(text), text)
	}
	return b.Bytes()
}

func hash(text string) string { return fmt.Sprintf("%.4x", sha256.Sum256([]byte(text))) }
