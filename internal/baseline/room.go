package baseline

import (
	"cmp"
	"slices"
)

// makeRoom drops the part of m, one of so many, that comes first by order; ties
// must not be, so that the same traffic leaves the same. To drop many at a time,
// and to find them without sorting the rest, keeps the cost of an entry small and
// the same for any size while an attack brings new ones only.
func makeRoom[K comparable, V any](m map[K]V, oneOf int, order func(a, b entry[K, V]) int) (dropped []entry[K, V]) {
	all := make([]entry[K, V], 0, len(m))
	for k, v := range m {
		all = append(all, entry[K, V]{k, v})
	}
	n := min(max(1, len(all)/oneOf), len(all))
	first(all, n, order)
	all = all[:n]
	for _, e := range all {
		delete(m, e.key)
	}
	return all
}

// first moves the n that come first by order to the front of all, in any order, by
// Hoare's selection. The entries come from a map, in random order, so that nobody
// can arrange for the bad case.
func first[T any](all []T, n int, order func(a, b T) int) {
	for len(all) > 16 && n > 0 && n < len(all) {
		pivot := all[len(all)/2]
		i, j := 0, len(all)-1
		for i <= j {
			for order(all[i], pivot) < 0 {
				i++
			}
			for order(all[j], pivot) > 0 {
				j--
			}
			if i <= j {
				all[i], all[j] = all[j], all[i]
				i++
				j--
			}
		}
		switch { // all[:j+1] ≤ all[j+1:i] = pivot ≤ all[i:]
		case n <= j+1:
			all = all[:j+1]
		case n >= i:
			all, n = all[i:], n-i
		default:
			return
		}
	}
	slices.SortFunc(all, order)
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
	e.order = nil
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
