// Package jsonmap takes numbers and records out of a device's JSON by paths (RFC 9535).
//
// It promises that whatever a device answers gives values, or counted reasons why not, within a bound of items. It
// gives up paths that look everywhere (`..`): what they cost depends on what the device answers.
package jsonmap

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/theory/jsonpath"
)

// Decode reads one JSON value, numbers as they are written.
func Decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))) // some devices send a mark
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return v, nil
}

// Path is where something stands in JSON.
type Path struct {
	text string
	path *jsonpath.Path
}

var literal = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|/(?:[^/\\]|\\.)*/`)

// ParsePath reads a path. One that is to lead to a single value can't have wildcards, slices or filters.
func ParsePath(s string, single bool) (Path, error) {
	p, err := jsonpath.Parse(s)
	if err != nil {
		return Path{}, fmt.Errorf("%q is no JSON path, such as $.a.b[0]: %w", s, err)
	}
	if strings.Contains(literal.ReplaceAllString(s, ""), "..") {
		return Path{}, fmt.Errorf("%q: say where it stands; .. looks everywhere", s)
	}
	if single && p.Query().Singular() == nil {
		return Path{}, fmt.Errorf("%q can lead to several values; name the list under each, and the path within one of its items here", s)
	}
	return Path{s, p}, nil
}

// one gives the value at a single path.
func (p Path) one(v any) (any, bool) {
	if p.path == nil {
		return v, true
	}
	nodes := p.path.Select(v)
	if len(nodes) != 1 {
		return nil, false
	}
	return nodes[0], true
}

// Reason is why there is no value.
type Reason string

// Reasons.
const (
	Missing  Reason = "missing"   // the path leads nowhere
	NoNumber Reason = "no_number" // what is there is none
	TooMany  Reason = "too_many"  // items beyond the bound
)

// Reasons lists them.
func Reasons() []Reason { return []Reason{Missing, NoNumber, TooMany} }

// Rule says where items are and what of each is wanted.
type Rule struct {
	Each       Path            // items; the zero Path is the whole answer
	Attributes map[string]Path // by key, within an item; left out where there is nothing
	MostItems  int
}

// items lists them, and counts those beyond the bound.
func (r *Rule) items(doc any, miss func(Reason, int)) []any {
	if r.Each.path == nil {
		return []any{doc}
	}
	nodes := r.Each.path.Select(doc)
	if over := len(nodes) - r.MostItems; over > 0 {
		miss(TooMany, over)
		nodes = nodes[:r.MostItems]
	}
	return nodes
}

// Attribute is one that an item gives.
type Attribute struct {
	Key   string
	Value any // string, bool, int64, float64
}

func (r *Rule) attributes(item any) (all []Attribute) {
	for _, k := range slices.Sorted(maps.Keys(r.Attributes)) {
		v, ok := r.Attributes[k].one(item)
		if v, scalar := Scalar(v); ok && scalar {
			all = append(all, Attribute{k, v})
		}
	}
	return all
}

// Scalar gives a JSON value that is a string, a boolean or a number as a Go value.
func Scalar(v any) (any, bool) {
	switch v := v.(type) {
	case string, bool:
		return v, true
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, true
		}
		f, err := strconv.ParseFloat(string(v), 64)
		return f, err == nil
	}
	return nil, false
}

// Number is a rule for numbers.
type Number struct {
	Rule
	Path  Path               // within an item
	Scale float64            // what the number is multiplied by
	Words map[string]float64 // what a text or boolean stands for
}

// Point is one number with its attributes.
type Point struct {
	Value      float64
	Attributes []Attribute
}

// Points gives the numbers in doc, and calls miss with why one is not there.
func (n *Number) Points(doc any, miss func(Reason, int)) (points []Point) {
	items := n.items(doc, miss)
	if len(items) == 0 {
		miss(Missing, 1)
	}
	for _, item := range items {
		v, ok := n.Path.one(item)
		if !ok || v == nil {
			miss(Missing, 1)
			continue
		}
		f, ok := n.number(v)
		if !ok {
			miss(NoNumber, 1)
			continue
		}
		points = append(points, Point{f, n.attributes(item)})
	}
	return points
}

func (n *Number) number(v any) (float64, bool) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = string(v)
	case string:
		text = strings.TrimSpace(v)
	case bool:
		text = strconv.FormatBool(v)
	default:
		return 0, false
	}
	if f, ok := n.Words[text]; ok {
		return f, true
	}
	if b, ok := v.(bool); ok {
		if b {
			return 1, true
		}
		return 0, true
	}
	f, err := strconv.ParseFloat(text, 64)
	f *= n.Scale
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// Records is a rule for records. It remembers the items of the answer before, to tell the new ones.
type Records struct {
	Rule
	Body   Path // within an item; the zero Path is the item
	Repeat bool // every item of every answer, not only the new ones

	seen map[[sha256.Size]byte]bool
}

// Record is one item.
type Record struct {
	Body       any // JSON
	Attributes []Attribute
}

// Records gives those that are new in doc. Call taken when they have got where they should, so that they are
// not new in the next answer.
func (r *Records) Records(doc any, miss func(Reason, int)) (records []Record, taken func()) {
	now := map[[sha256.Size]byte]bool{}
	for _, item := range r.items(doc, miss) {
		if item == nil {
			continue
		}
		b, err := json.Marshal(item) // keys in order
		if err != nil {
			miss(Missing, 1)
			continue
		}
		h := sha256.Sum256(b)
		if now[h] && !r.Repeat {
			continue
		}
		now[h] = true
		if r.seen[h] && !r.Repeat {
			continue
		}
		body, ok := r.Body.one(item)
		if !ok {
			miss(Missing, 1)
			continue
		}
		records = append(records, Record{body, r.attributes(item)})
	}
	return records, func() { r.seen = now }
}
