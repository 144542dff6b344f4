package oneword

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/monban/monban/internal/near"
)

// Learned is the word that lists what was learned, and takes decisions on it.
var Learned = &Scheme{Name: "learned", Source: "DIR", Sources: stateDir, Check: checkDecision, Options: []Option{
	{"device", "NAME", nil},
	{"approve", "KEY", nil},
	{"remove", "KEY", nil},
	{"reason", "TEXT", nil},
	{"author", "NAME", nil},
}}

// stateDir sees that text is a directory in which something was kept.
func stateDir(text string) ([]string, error) {
	info, err := os.Stat(text)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: no such directory%s", text, besidesDir(text))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", text, cause(err))
	case !info.IsDir():
		return nil, fmt.Errorf("%s is a file, not the directory that state=DIR named", text)
	}
	return []string{text}, nil
}

func besidesDir(name string) string {
	dir, base := filepath.Split(filepath.Clean(name))
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return printable(near.DidYouMean(base, names))
}

func checkDecision(w *Word) error {
	_, device := w.Options["device"]
	_, approve := w.Options["approve"]
	_, remove := w.Options["remove"]
	var errs []error
	if approve && remove {
		errs = append(errs, errors.New("approve and remove can't be given together"))
	}
	if (approve || remove) && !device {
		errs = append(errs, errors.New("say which device is meant: device=NAME"))
	}
	for _, key := range []string{"reason", "author"} {
		if _, ok := w.Options[key]; ok && !approve && !remove {
			errs = append(errs, fmt.Errorf("%s belongs to a decision: approve=KEY or remove=KEY, and all for KEY means everything", key))
		}
	}
	return errors.Join(errs...)
}

// learnedConfig is what a word of Learned stands for.
func (w *Word) learnedConfig() map[string]any {
	receiver := map[string]any{"storage": stateStorage, "where": escape(w.Sources[0])}
	for key := range w.Options {
		w.put(receiver, key, key)
	}
	return map[string]any{
		"extensions": map[string]any{stateStorage: map[string]any{"directory": escape(w.Sources[0])}},
		"receivers":  map[string]any{"learned": receiver},
		"exporters":  map[string]any{"summary": map[string]any{}}, // a pipeline must have one; it has nothing to tell
		"service": map[string]any{
			"telemetry":  quiet(),
			"extensions": []any{stateStorage},
			"pipelines":  map[string]any{"logs": map[string]any{"receivers": []any{"learned"}, "exporters": []any{"summary"}}},
		},
	}
}
