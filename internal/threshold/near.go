package threshold

import (
	"cmp"
	"slices"
	"strings"
)

// Near lists those of names that look most like name, best first, at most three: the same letters
// in another order of words, a letter more or less, a shared beginning.
func Near(name string, names []string) []string {
	type candidate struct {
		name string
		far  float64
	}
	var all []candidate
	for _, n := range names {
		far := distance(strings.ToLower(name), strings.ToLower(n))
		if words := sharedWords(name, n); words > 0 {
			far = min(far, 1-words)
		}
		if far <= 0.4 {
			all = append(all, candidate{n, far})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.name, b.name)) })
	var out []string
	for _, c := range all[:min(3, len(all))] {
		out = append(out, c.name)
	}
	return out
}

// distance is how many letters must be changed, as a share of the longer name.
func distance(a, b string) float64 {
	if len(a) > 255 || len(b) > 255 {
		return 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return float64(row[len(b)]) / float64(max(1, len(a), len(b)))
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
