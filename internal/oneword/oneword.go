// Package oneword turns one word of a command line, such as
// pcap:plant.pcap?out=DIR, into a whole Collector configuration. The providers
// under confmap/ are thin doors to it.
//
// It promises that a wrong word is refused with everything that is wrong with it
// at once, each with the nearest right word; and that two such words are never
// merged into something that neither meant. It gives up generality: who needs
// more than the options here writes YAML, for which print-config gives a start.
package oneword

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/monban/monban/internal/near"
)

// Word is a word taken apart.
type Word struct {
	Scheme  string            // "pcap", "live", "learned"
	Sources []string          // files, interfaces or a directory
	Options map[string]string // by key; a key that is not there was not given
}

// Option is one option that a scheme knows.
type Option struct {
	Key   string
	Value string // placeholder for messages, "DIR"
	Check func(value string) error
}

// Scheme is what a word of one kind may hold.
type Scheme struct {
	Name    string
	Source  string // what stands before the options, "FILE"
	Options []Option

	// Sources takes apart what stands before the options, and checks it.
	Sources func(text string) ([]string, error)

	// Check, where there is one, sees what no single option shows.
	Check func(*Word) error

	// Exists reports whether text as a whole is a source, question marks
	// and all. Nil means that question marks can't be part of one.
	Exists func(text string) bool
}

// Parse takes uri apart. The error holds all that is wrong with it.
func (s *Scheme) Parse(uri string) (*Word, error) {
	text, ok := strings.CutPrefix(uri, s.Name+":")
	if !ok {
		return nil, fmt.Errorf("%q does not begin with %s:", uri, s.Name)
	}
	source, options := s.cut(text)
	w := &Word{Scheme: s.Name, Options: map[string]string{}}
	var errs []error
	if source == "" {
		errs = append(errs, fmt.Errorf("nothing is named: write %s:%s", s.Name, s.Source))
	} else {
		var err error
		w.Sources, err = s.Sources(source)
		errs = append(errs, err)
	}
	for _, part := range split(options) {
		errs = append(errs, s.set(w, part))
	}
	if s.Check != nil {
		errs = append(errs, s.Check(w))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%s\n  %s", uri, strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return w, nil
}

// cut separates the source from the options. A question mark is also a glob
// character, so the options begin at the last one that a known key follows, or
// else at the first that any key follows, as long as no source is called so.
func (s *Scheme) cut(text string) (source, options string) {
	first := -1
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] != '?' {
			continue
		}
		key, isOption := leadingKey(text[i+1:])
		if isOption && s.option(key) != nil {
			return text[:i], text[i+1:]
		}
		if isOption || i == len(text)-1 {
			first = i
		}
	}
	if first < 0 || s.Exists != nil && s.Exists(text) {
		return text, ""
	}
	return text[:first], text[first+1:]
}

// split separates options at each & that a key= follows. Other & belong to the
// value: file names and filters have them.
func split(options string) (parts []string) {
	if options == "" {
		return nil
	}
	for _, p := range strings.Split(options, "&") {
		_, isOption := leadingKey(p)
		if len(parts) == 0 || isOption || isKey(p) {
			parts = append(parts, p)
		} else {
			parts[len(parts)-1] += "&" + p
		}
	}
	return parts
}

func leadingKey(s string) (key string, ok bool) {
	key, _, ok = strings.Cut(s, "=")
	return key, ok && isKey(key)
}

func isKey(s string) bool {
	for _, c := range s {
		if c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

func (s *Scheme) set(w *Word, part string) error {
	key, value, hasValue := strings.Cut(part, "=")
	o := s.option(key)
	_, twice := w.Options[key]
	switch {
	case o == nil:
		return fmt.Errorf("there is no option %q%s; there are %s", key, near.DidYouMean(key, s.keys()), strings.Join(s.keys(), ", "))
	case !hasValue || value == "":
		return fmt.Errorf("option %s needs a value: %s=%s", key, key, o.Value)
	case twice:
		return fmt.Errorf("option %s is given twice", key)
	}
	w.Options[key] = value
	if o.Check == nil {
		return nil
	}
	if err := o.Check(value); err != nil {
		return fmt.Errorf("option %s: %w", key, err)
	}
	return nil
}

func (s *Scheme) option(key string) *Option {
	for i := range s.Options {
		if s.Options[i].Key == key {
			return &s.Options[i]
		}
	}
	return nil
}

func (s *Scheme) keys() (keys []string) {
	for _, o := range s.Options {
		keys = append(keys, o.Key)
	}
	slices.Sort(keys)
	return keys
}
