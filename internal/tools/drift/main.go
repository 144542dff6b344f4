// Command drift checks that go.mod, the manifest (builder-config.yaml) and the tree agree, and
// that all parts of the Collector are of one train:
//
//   - every module in the manifest is in go.mod with that version;
//   - every module of the Collector's core has the version that the builder in
//     internal/tools/go.mod was made for, and every one of contrib too, unless the manifest
//     names another;
//   - every component and provider in the tree is in the manifest, and the other way round.
//
// That generated code is up to date is for `make check-generated` to find out, by generating it
// again. Run it in the repository's root.
package main

import (
	"fmt"
	"log"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const (
	core    = "go.opentelemetry.io/collector/"
	contrib = "github.com/open-telemetry/opentelemetry-collector-contrib/"
	builder = core + "cmd/builder"
	stable  = core + "confmap" // of the stable part of the train
)

// kinds are the manifest's lists and the folders that our entries in them come from.
var kinds = map[string]string{
	"receivers": "receiver", "processors": "processor", "exporters": "exporter",
	"connectors": "connector", "extensions": "extension", "providers": "confmap",
}

type entry struct {
	GoMod  string `yaml:"gomod"`
	Import string `yaml:"import"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("drift: ")
	wrong, err := check(".")
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range wrong {
		log.Print(w)
	}
	if len(wrong) > 0 {
		os.Exit(1)
	}
}

func check(root string) (wrong []string, err error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	mod, err := readMod(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	tools, err := readMod(filepath.Join(root, "internal/tools/go.mod"))
	if err != nil {
		return nil, err
	}
	own := mod.Module.Mod.Path
	lists, err := readManifest(filepath.Join(root, "builder-config.yaml"))
	if err != nil {
		return nil, err
	}

	required := versions(mod)
	named := map[string]string{}
	ours := map[string]bool{}
	for _, kind := range slices.Sorted(maps.Keys(lists)) {
		for _, e := range lists[kind] {
			module, version, _ := strings.Cut(e.GoMod, " ")
			if module == own {
				ours[e.Import] = true
				if dir := strings.TrimPrefix(e.Import, own+"/"); !exists(filepath.Join(root, dir)) {
					say("builder-config.yaml: %s has %s, which is not in the tree", kind, dir)
				}
				continue
			}
			named[module] = version
			switch got := required[module]; got {
			case version:
			case "":
				say("builder-config.yaml: %s %s is not in go.mod; run `go get %[1]s@%[2]s`", module, version)
			default:
				say("builder-config.yaml: %s is %s there and %s in go.mod", module, version, got)
			}
		}
	}
	for kind, folder := range kinds {
		dirs, _ := filepath.Glob(filepath.Join(root, folder, "*", "factory.go"))
		if folder == "confmap" {
			dirs, _ = filepath.Glob(filepath.Join(root, folder, "*provider", "*.go"))
		}
		for _, file := range dirs {
			dir := path.Join(folder, filepath.Base(filepath.Dir(file)))
			if imp := own + "/" + dir; !ours[imp] {
				ours[imp] = true // say it once
				say("builder-config.yaml: %s lacks %s", kind, dir)
			}
		}
	}

	train := versions(tools)
	beta, v1 := train[builder], train[stable]
	if beta == "" || v1 == "" {
		return nil, fmt.Errorf("internal/tools/go.mod has no %s or no %s to go by", builder, stable)
	}
	for _, m := range slices.Sorted(maps.Keys(required)) {
		got := required[m]
		switch {
		case strings.HasPrefix(m, core):
			want := beta
			if semver.Major(got) == "v1" {
				want = v1
			}
			if got != want {
				say("go.mod: %s is %s, and the Collector's train is %s and %s; run `go get %s@%s`", m, got, beta, v1, m, want)
			}
		case strings.HasPrefix(m, contrib):
			if got != beta && !older(got, named) {
				say("go.mod: %s is %s, and the Collector's train is %s", m, got, beta)
			}
		}
	}
	return wrong, nil
}

// older reports whether a version is of another train that the manifest names a module of, as when
// one component was not released in the newest.
func older(version string, named map[string]string) bool {
	for _, v := range named {
		if v == version {
			return true
		}
	}
	return false
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

func readMod(name string) (*modfile.File, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(name, data, nil)
}

func versions(f *modfile.File) map[string]string {
	m := map[string]string{}
	for _, r := range f.Require {
		m[r.Mod.Path] = r.Mod.Version
	}
	return m
}

// readManifest returns the entries of the manifest by the name of their list.
func readManifest(name string) (map[string][]entry, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	lists := map[string][]entry{}
	for kind := range kinds {
		node, ok := raw[kind]
		if !ok {
			continue
		}
		var entries []entry
		if err := node.Decode(&entries); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, kind, err)
		}
		lists[kind] = entries
	}
	if node, ok := raw["telemetry"]; ok {
		var e entry
		if err := node.Decode(&e); err != nil {
			return nil, fmt.Errorf("%s: telemetry: %w", name, err)
		}
		lists["telemetry"] = []entry{e}
	}
	return lists, nil
}
