package oui

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxName = 48

// Short makes a registered name fit to show: what tells nobody anything ("Co.,
// Ltd.", "Technologies Inc.") is left out, and a name that shouts is calmed down.
func Short(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '（' || r == '）' || r == '，':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, name)
	name = strings.ReplaceAll(name, ",", ", ")
	words := strings.Fields(name)
	for len(words) > 1 && forms[bare(words[len(words)-1])] {
		words = words[:len(words)-1]
	}
	calm := shouts(words)
	for i, w := range words {
		if calm {
			words[i] = quiet(w)
		}
	}
	name = strings.TrimRight(strings.Join(words, " "), " ,;.&")
	for len(name) > maxName {
		i := strings.LastIndexByte(name[:maxName], ' ')
		if i <= 0 {
			i = maxName
			for !utf8.RuneStart(name[i]) {
				i--
			}
		}
		name = strings.TrimRight(name[:i], " ,;.&(")
	}
	return name
}

// forms are legal forms that say nothing. AG and GmbH stay: people know firms by
// them.
var forms = map[string]bool{
	"inc": true, "ltd": true, "co": true, "corp": true, "llc": true, "limited": true, "corporation": true,
	"incorporated": true, "company": true, "coltd": true, "pte": true, "pty": true, "plc": true, "lp": true,
	"corpltd": true, "inccompany": true, "ltda": true, "sarl": true, "&": true, "": true,
}

func bare(w string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == ',' || r == ')' || r == '(' {
			return -1
		}
		return unicode.ToLower(r)
	}, w)
}

// shouts reports whether a name is in capitals: several words, or one that is too
// long to be an abbreviation.
func shouts(words []string) bool {
	letters := 0
	for _, w := range words {
		for _, r := range w {
			if unicode.IsLower(r) {
				return false
			}
			if unicode.IsUpper(r) {
				letters++
			}
		}
	}
	return letters > 5
}

// quiet writes a word of a shouting name with one capital, unless it is short
// enough to be an abbreviation.
func quiet(w string) string {
	letters, vowels := 0, 0
	for _, r := range w {
		if unicode.IsLetter(r) {
			letters++
			if strings.ContainsRune("AEIOUYÄÖÜ", r) {
				vowels++
			}
		}
	}
	if letters <= 3 && bare(w) != "and" && bare(w) != "the" && bare(w) != "of" || vowels == 0 {
		return w
	}
	up := true
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			up = r != '\''
			return r
		}
		if up {
			up = false
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, w)
}
