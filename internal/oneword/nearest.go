package oneword

import (
	"cmp"
	"slices"
	"strings"
)

// DidYouMean is "; did you mean X?" with the candidate nearest to word, or "" when
// none is near.
func DidYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates, 1); len(near) > 0 {
		return "; did you mean " + near[0] + "?"
	}
	return ""
}

// Nearest gives up to n candidates that word may have been meant for, the nearest
// first. Words further apart than a third of their letters, and at least two, are
// not near.
func Nearest(word string, candidates []string, n int) []string {
	type near struct {
		name     string
		distance int
	}
	var found []near
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if d <= max(2, max(len(word), len(c))/3) && d < max(len(word), len(c)) {
			found = append(found, near{c, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, f := range found[:min(n, len(found))] {
		names = append(names, f.name)
	}
	return names
}

// distance is how many letters must be added, taken away, replaced or swapped
// with their neighbour to turn a into b.
func distance(a, b string) int {
	if len(a) > 255 || len(b) > 255 {
		return max(len(a), len(b))
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
