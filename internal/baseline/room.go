package baseline

import (
	"cmp"
	"slices"
)

// makeRoom drops the part of m, one of so many, that comes first by order; ties
// must not be, so that the same traffic leaves the same. To drop many at a time
// keeps the cost of an entry small while an attack brings new ones only.
func makeRoom[K comparable, V any](m map[K]V, oneOf int, order func(a, b entry[K, V]) int) (dropped []entry[K, V]) {
	all := make([]entry[K, V], 0, len(m))
	for k, v := range m {
		all = append(all, entry[K, V]{k, v})
	}
	slices.SortFunc(all, order)
	all = all[:min(max(1, len(all)/oneOf), len(all))]
	for _, e := range all {
		delete(m, e.key)
	}
	return all
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// forgetDevices makes room for new devices. What took long to learn and was
// heard within a week stays while there is anything else, so that forged
// addresses can't push it out.
func (e *Engine) forgetDevices() {
	const week = 7 * day
	worth := func(m *model) int {
		if (m.Learned || m.Approve) && e.watched-m.Seen < week {
			return 1
		}
		return 0
	}
	for _, d := range makeRoom(e.devices, 8, func(a, b entry[string, *model]) int {
		if c := worth(a.value) - worth(b.value); c != 0 {
			return c
		}
		if c := cmp.Compare(a.value.Seen, b.value.Seen); c != 0 {
			return c
		}
		return cmp.Compare(a.key, b.key)
	}) {
		d.value.contacts.clear(&e.contacts)
		e.Evicted++
	}
}
