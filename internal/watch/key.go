package watch

import (
	"cmp"
	"slices"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/threshold"
	"github.com/monban/monban/internal/unusual"
)

// keyer makes the key of the entity that a point belongs to under one rule.
type keyer struct {
	per   []string
	all   bool     // every attribute tells entities apart
	of    int      // number of the resource that from is about
	from  [][]byte // what the resource has of each of per, nil for nothing
	bytes []byte   // scratch
}

func newKeyer(r *threshold.Rule) keyer {
	return keyer{per: r.Per, all: len(r.Per) == 0 && r.Metric != "", from: make([][]byte, len(r.Per)), of: -1}
}

// keyAll is what all rules without per share: the attributes of the resource, sorted.
type keyAll struct {
	of    int
	bytes []byte
	pairs []pair // scratch
}

type pair struct {
	name  string
	value pcommon.Value
}

// appendAll appends all attributes, sorted by name, as their order is nobody's promise.
func (k *keyAll) appendAll(key []byte, m pcommon.Map) []byte {
	k.pairs = k.pairs[:0]
	sorted := true
	for name, v := range m.All() {
		if unusual.IsMark(name) { // of the baseline processor, or of a threshold before: no part of who it is
			continue
		}
		if n := len(k.pairs); n > 0 && k.pairs[n-1].name > name {
			sorted = false
		}
		k.pairs = append(k.pairs, pair{name, v})
	}
	if !sorted {
		slices.SortFunc(k.pairs, func(a, b pair) int { return cmp.Compare(a.name, b.name) })
	}
	for i := range k.pairs {
		key = appendValue(key, k.pairs[i].name, k.pairs[i].value)
	}
	return key
}

func appendValue(key []byte, name string, v pcommon.Value) []byte {
	var number [32]byte
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return threshold.AppendKey(key, name, v.Str())
	case pcommon.ValueTypeInt:
		return threshold.AppendKey(key, name, strconv.AppendInt(number[:0], v.Int(), 10))
	case pcommon.ValueTypeDouble:
		return threshold.AppendKey(key, name, strconv.AppendFloat(number[:0], v.Double(), 'g', -1, 64))
	case pcommon.ValueTypeBool:
		return threshold.AppendKey(key, name, strconv.AppendBool(number[:0], v.Bool()))
	}
	return threshold.AppendKey(key, name, v.AsString())
}

// key is that of the entity of attrs, which belongs to the resource of this number in the batch.
func (w *Watch) key(rule, of int, resource, attrs pcommon.Map) []byte {
	k := &w.keys[rule]
	if k.all {
		if w.all.of != of {
			w.all.of = of
			w.all.bytes = w.all.appendAll(w.all.bytes[:0], resource)
		}
		k.bytes = w.all.appendAll(append(k.bytes[:0], w.all.bytes...), attrs)
		return k.bytes
	}
	if k.of != of {
		k.of = of
		for i, name := range k.per {
			if v, ok := resource.Get(name); ok {
				k.from[i] = appendValue(k.from[i][:0], name, v)
			} else {
				k.from[i] = threshold.AppendKey(k.from[i][:0], name, "")
			}
		}
	}
	key := k.bytes[:0]
	for i, name := range k.per {
		if v, ok := attrs.Get(name); ok {
			key = appendValue(key, name, v)
		} else {
			key = append(key, k.from[i]...)
		}
	}
	k.bytes = key
	return key
}

// forget makes the keyers look at resources anew, as with each batch they are others.
func (w *Watch) forget() {
	w.all.of = -1
	for i := range w.keys {
		w.keys[i].of = -1
	}
}

// device is that of the point or record in hand.
func (w *Watch) device() string {
	if w.set.Signal == Logs {
		return logrecord.Device(w.record.rl.Resource().Attributes(), w.record.lr.Attributes())
	}
	return logrecord.Device(w.point.resource, w.point.attrs)
}
