// Package near tells which of the names that there are somebody may have meant by one that there is not. It is
// the only place that says so. It promises an answer in the order of likeness that is the same each time; it gives
// up names that are like in meaning only.
package near

import (
	"cmp"
	"slices"
	"strings"
)

// DidYouMean is "; did you mean X?" with the candidate nearest to word, or "" when none is near.
func DidYouMean(word string, candidates []string) string {
	if near := Names(word, candidates, 1); len(near) > 0 {
		return "; did you mean " + near[0] + "?"
	}
	return ""
}

// Names gives up to n candidates that word may have been meant for, the nearest first. Near are those that are at most a
// third of their letters apart, or two letters of four, and those that share three of five of their words.
func Names(word string, candidates []string, n int) []string {
	type candidate struct {
		name string
		far  float64
	}
	var found []candidate
	for _, c := range candidates {
		longest := max(len(word), len(c))
		letters := distance(strings.ToLower(word), strings.ToLower(c))
		far := float64(letters) / float64(max(1, longest))
		near := letters <= max(2, longest/3) && 2*letters <= longest
		if words := 1 - sharedWords(word, c); words <= 0.4 {
			far, near = min(far, words), true
		}
		if near {
			found = append(found, candidate{c, far})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.name, b.name)) })
	var names []string
	for _, f := range found[:min(n, len(found))] {
		names = append(names, f.name)
	}
	return names
}

// sharedWords is the share of words that two names have in common.
func sharedWords(a, b string) float64 {
	split := func(r rune) bool { return r == '.' || r == '_' || r == '-' || r == '/' || r == ' ' }
	x, y := strings.FieldsFunc(strings.ToLower(a), split), strings.FieldsFunc(strings.ToLower(b), split)
	n := 0
	for _, w := range x {
		if slices.Contains(y, w) {
			n++
		}
	}
	return float64(n) / float64(max(1, len(x), len(y)))
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
