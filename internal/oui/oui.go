// Package oui names the vendor of a MAC address by the IEEE registry (MA-L, MA-M
// and MA-S blocks). The table is embedded, 53,000 blocks in about 400 kB; it is
// unpacked on first use, which takes some ten milliseconds and 1.6 MB. It says
// nothing of locally administered addresses: nobody's vendor made those up.
package oui

import (
	"bufio"
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/monban/monban/internal/packet"
)

//go:generate go run ./gen -out vendors.bin

//go:embed vendors.bin
var embedded []byte

// Table maps blocks of addresses to vendors. It is immutable and safe for
// concurrent use.
type Table struct {
	blocks [len(lengths)][]block
	names  []byte // each name with its length before it
}

// block is a prefix, in the low bits, and where its vendor's name stands.
type block struct {
	prefix uint64
	name   uint32
}

// lengths are those of a block's prefix in bits: MA-S, MA-M, MA-L; the longest is
// the one that counts.
var lengths = [...]int{36, 28, 24}

var registry = sync.OnceValue(func() *Table {
	t, err := decode(embedded)
	if err != nil {
		panic("oui: the embedded table is damaged: " + err.Error()) // the build is broken; a test holds it
	}
	return t
})

// Registry is the embedded table.
func Registry() *Table { return registry() }

// Vendor names the vendor of a MAC address by the embedded table, "" when nobody
// registered it or when it is locally administered.
func Vendor(m packet.MAC) string { return registry().Vendor(m) }

// Vendor names the vendor of a MAC address, "" when the table has none.
func (t *Table) Vendor(m packet.MAC) string {
	if m.IsLocal() || m.IsGroup() || m.IsZero() {
		return ""
	}
	v := uint64(binary.BigEndian.Uint16(m[:]))<<32 | uint64(binary.BigEndian.Uint32(m[2:]))
	for i, bits := range lengths {
		prefix := v >> (48 - bits)
		n, ok := slices.BinarySearchFunc(t.blocks[i], prefix, func(b block, p uint64) int {
			switch {
			case b.prefix < p:
				return -1
			case b.prefix > p:
				return 1
			}
			return 0
		})
		if ok {
			at := t.blocks[i][n].name
			return string(t.names[at+1 : at+1+uint32(t.names[at])])
		}
	}
	return ""
}

// The packed form is a deflated stream: a varint count of names and the names,
// each a byte of length and its text; then for each of lengths a varint count of
// blocks, and for each block two varints: its prefix less the one before, and the
// number of its name.
func decode(packed []byte) (*Table, error) {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		return nil, fmt.Errorf("unpacking the vendor table: %w", err)
	}
	r := reader{raw, nil}
	names := make([]uint32, r.count())
	t := &Table{}
	start := len(raw) - len(r.b)
	for i := range names {
		names[i] = uint32(len(raw) - len(r.b) - start)
		r.skip()
	}
	t.names = slices.Clone(raw[start : len(raw)-len(r.b)])
	for i := range t.blocks {
		t.blocks[i] = make([]block, r.count())
		var prefix uint64
		for j := range t.blocks[i] {
			prefix += r.varint()
			n := r.varint()
			if n >= uint64(len(names)) {
				return nil, fmt.Errorf("unpacking the vendor table: block %x has name %d of %d", prefix, n, len(names))
			}
			t.blocks[i][j] = block{prefix, names[n]}
		}
	}
	return t, r.err
}

type reader struct {
	b   []byte
	err error
}

func (r *reader) varint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, io.ErrUnexpectedEOF
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many items follow, each of at least a byte.
func (r *reader) count() int {
	n := r.varint()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, io.ErrUnexpectedEOF
		return 0
	}
	return int(n)
}

func (r *reader) skip() {
	if len(r.b) == 0 || len(r.b) <= int(r.b[0]) {
		r.b, r.err = nil, io.ErrUnexpectedEOF
		return
	}
	r.b = r.b[1+int(r.b[0]):]
}

// Load reads vendors of a site's own from a text file and puts them before the
// embedded ones. Each line holds a prefix of 6, 7 or 9 hexadecimal digits, with
// or without separators, white space, and the vendor's name; # begins a comment.
func Load(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading vendors: %w", err)
	}
	defer f.Close()
	own := &Table{}
	scan := bufio.NewScanner(f)
	for line := 1; scan.Scan(); line++ {
		text, _, _ := strings.Cut(scan.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := own.add(text); err != nil {
			return nil, fmt.Errorf("reading vendors: %s:%d: %w", path, line, err)
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("reading vendors from %s: %w", path, err)
	}
	return own.over(Registry()), nil
}

// add takes one line of [Load].
func (t *Table) add(line string) error {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return fmt.Errorf("%q has a prefix but no name", line)
	}
	digits := strings.NewReplacer(":", "", "-", "", ".", "").Replace(line[:i])
	name := Short(line[i:])
	prefix, err := strconv.ParseUint(digits, 16, 64)
	kind := slices.Index([]int{9, 7, 6}, len(digits))
	if err != nil || kind < 0 {
		return fmt.Errorf("%q is not a prefix of 6, 7 or 9 hexadecimal digits", line[:i])
	}
	if name == "" {
		return fmt.Errorf("prefix %s has no name", line[:i])
	}
	t.blocks[kind] = append(t.blocks[kind], block{prefix, uint32(len(t.names))})
	t.names = append(append(t.names, byte(len(name))), name...)
	return nil
}

// over puts t's blocks before those of base.
func (t *Table) over(base *Table) *Table {
	all := &Table{names: slices.Concat(base.names, t.names)}
	for i := range all.blocks {
		merged := map[uint64]uint32{}
		for _, b := range base.blocks[i] {
			merged[b.prefix] = b.name
		}
		for _, b := range t.blocks[i] {
			merged[b.prefix] = b.name + uint32(len(base.names))
		}
		for p, n := range merged {
			all.blocks[i] = append(all.blocks[i], block{p, n})
		}
		slices.SortFunc(all.blocks[i], func(a, b block) int {
			if a.prefix < b.prefix {
				return -1
			}
			return 1
		})
	}
	return all
}
