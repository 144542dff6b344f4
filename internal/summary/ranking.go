package summary

import (
	"cmp"
	"slices"
)

// ranking counts by key and keeps the largest. When it is full, the smaller half
// goes: an amortised constant cost, and what is among the largest for long stays.
type ranking[K comparable] struct {
	limit int
	items map[K]*item
	rest  item   // the sum of what went
	gone  uint64 // how often a half went
}

type item struct{ flows, bytes uint64 }

func newRanking[K comparable](limit int) ranking[K] {
	return ranking[K]{limit: limit, items: map[K]*item{}}
}

func (r *ranking[K]) add(k K, flows, bytes uint64) {
	it := r.items[k]
	if it == nil {
		if len(r.items) >= r.limit {
			r.halve()
		}
		it = &item{}
		r.items[k] = it
	}
	it.flows += flows
	it.bytes += bytes
}

func (r *ranking[K]) halve() {
	for _, k := range r.top(func(a, b K) int { return 0 })[len(r.items)/2:] {
		r.rest.flows += r.items[k].flows
		r.rest.bytes += r.items[k].bytes
		delete(r.items, k)
	}
	r.gone++
}

// top lists the keys by bytes, the most first; order decides between equals.
func (r *ranking[K]) top(order func(a, b K) int) []K {
	keys := make([]K, 0, len(r.items))
	for k := range r.items {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int {
		x, y := r.items[a], r.items[b]
		return cmp.Or(cmp.Compare(y.bytes, x.bytes), cmp.Compare(y.flows, x.flows), order(a, b))
	})
	return keys
}
