// Command gen writes the vendor table of package oui from the npm package
// oui-data, which it downloads once with npm into a cache that git ignores.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/monban/monban/internal/oui"
)

func main() {
	log.SetFlags(0)
	version := flag.String("version", "2.1.9", "version of oui-data")
	cache := flag.String("cache", "../../.cache", "folder for what is downloaded")
	out := flag.String("out", "vendors.bin", "file to write")
	flag.Parse()
	if err := generate(*version, *cache, *out); err != nil {
		log.Fatal(err)
	}
}

func generate(version, cache, out string) error {
	archive := filepath.Join(cache, "oui-data-"+version+".tgz")
	if _, err := os.Stat(archive); err != nil {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			return err
		}
		npm := exec.Command("npm", "pack", "--silent", "oui-data@"+version)
		npm.Dir, npm.Stderr = cache, os.Stderr
		if err := npm.Run(); err != nil {
			return fmt.Errorf("downloading oui-data %s: %w", version, err)
		}
	}
	registered, err := read(archive)
	if err != nil {
		return fmt.Errorf("reading %s: %w", archive, err)
	}
	packed, err := pack(registered)
	if err != nil {
		return err
	}
	return os.WriteFile(out, packed, 0o644)
}

// read gives name by prefix in hexadecimal.
func read(archive string) (map[string]string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil, errors.New("no index.json in it")
		}
		if err != nil {
			return nil, err
		}
		if h.Name == "package/index.json" {
			var all map[string]string
			return all, json.NewDecoder(t).Decode(&all)
		}
	}
}

type block struct{ prefix, name uint64 }

func pack(registered map[string]string) ([]byte, error) {
	count := map[string]int{}
	blocks := map[int][]block{}
	names := map[string]string{} // by prefix
	for prefix, text := range registered {
		line, _, _ := strings.Cut(text, "\n")
		if name := oui.Short(line); name != "" && name != "IEEE Registration Authority" && name != "Private" {
			names[prefix] = name
			count[name]++
		}
	}
	// Frequent names first, so that their numbers are short.
	order := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(min(count[b], 9), min(count[a], 9)), cmp.Compare(a, b))
	})
	number := map[string]uint64{}
	var b []byte
	b = binary.AppendUvarint(b, uint64(len(order)))
	for i, name := range order {
		number[name] = uint64(i)
		b = append(append(b, byte(len(name))), name...)
	}
	for prefix, name := range names {
		p, err := strconv.ParseUint(prefix, 16, 64)
		if err != nil || len(prefix) != 6 && len(prefix) != 7 && len(prefix) != 9 {
			return nil, fmt.Errorf("prefix %q", prefix)
		}
		blocks[len(prefix)] = append(blocks[len(prefix)], block{p, number[name]})
	}
	for _, digits := range []int{9, 7, 6} {
		list := blocks[digits]
		slices.SortFunc(list, func(a, b block) int { return cmp.Compare(a.prefix, b.prefix) })
		b = binary.AppendUvarint(b, uint64(len(list)))
		var last uint64
		for _, x := range list {
			b = binary.AppendUvarint(b, x.prefix-last)
			b = binary.AppendUvarint(b, x.name)
			last = x.prefix
		}
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	fmt.Printf("%d blocks, %d names, %d bytes, packed %d\n", len(names), len(order), len(b), packed.Len())
	return packed.Bytes(), nil
}
