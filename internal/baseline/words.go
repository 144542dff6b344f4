package baseline

import (
	"fmt"
	"math"
	"strings"
)

// list joins words for a sentence.
func list(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func atMost(n int, one string) string {
	if n == 0 {
		return "hardly any " + one
	}
	return "at most " + plural(n, one)
}

// duration puts seconds in the largest unit that reads well.
func duration(s float64) string {
	switch {
	case s < 100:
		return plural(int(math.Round(s)), "second")
	case s < 100*60:
		return plural(int(math.Round(s/60)), "minute")
	case s < 48*3600:
		return plural(int(math.Round(s/3600)), "hour")
	}
	return plural(int(math.Round(s/day)), "day")
}

func size(b float64) string {
	switch {
	case b < 1000:
		return fmt.Sprintf("%.0f bytes", b)
	case b < 1e6:
		return fmt.Sprintf("%.0f kB", b/1e3)
	case b < 1e9:
		return fmt.Sprintf("%.1f MB", b/1e6)
	}
	return fmt.Sprintf("%.1f GB", b/1e9)
}

func round(x float64) float64 { return math.Round(x*100) / 100 }
