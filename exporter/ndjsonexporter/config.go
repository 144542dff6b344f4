package ndjsonexporter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/monban/monban/internal/reference"
)

// What to do when writing fails.
const (
	onErrorStop = "stop"
	onErrorDrop = "drop"
)

// Config says where the lines go. Exactly one of Directory and Path is set.
type Config struct {
	// Directory gets a file for each kind of event: flows.ndjson, reports.ndjson, …
	Directory string `mapstructure:"directory"`

	// Path is one file for all events, or - for standard output.
	Path string `mapstructure:"path"`

	// Events are the names of the events to write, "other" for all that are not
	// Monban's. Empty means everything.
	Events []string `mapstructure:"events"`

	// OnError is what follows a full disk or another failure to write: drop counts
	// the records as lost, says so and tries again with the next ones; stop ends the
	// Collector with exit code 1.
	OnError string `mapstructure:"on_error"`

	// Rotation starts a new file when one has grown.
	Rotation RotationConfig `mapstructure:"rotation"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// RotationConfig says when a file is set aside and how many of those are kept.
type RotationConfig struct {
	// MaxSizeMiB is how large a file may grow, 0 for no limit.
	MaxSizeMiB int `mapstructure:"max_size_mib"`

	// MaxFiles is how many files set aside are kept of each kind, 0 for all.
	MaxFiles int `mapstructure:"max_files"`

	// Compress packs files set aside with gzip.
	Compress bool `mapstructure:"compress"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const stdout = "-"

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	switch {
	case c.Directory == "" && c.Path == "":
		errs = append(errs, errors.New(`one of directory and path must be set; path: "-" is standard output`))
	case c.Directory != "" && c.Path != "":
		errs = append(errs, errors.New("directory and path can't be set together"))
	}
	if c.OnError != onErrorStop && c.OnError != onErrorDrop {
		errs = append(errs, fmt.Errorf("on_error must be stop or drop, not %q", c.OnError))
	}
	known := []string{reference.Other}
	for _, e := range reference.Events() {
		known = append(known, e.Name)
	}
	for _, name := range c.Events {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("events: there is no %q, only %s", name, strings.Join(known, ", ")))
		}
	}
	r := c.Rotation
	switch {
	case r.MaxSizeMiB < 0:
		errs = append(errs, errors.New("rotation::max_size_mib can't be negative"))
	case r.MaxSizeMiB == 0 && (r.MaxFiles != 0 || r.Compress):
		errs = append(errs, errors.New("rotation::max_files and rotation::compress do nothing without rotation::max_size_mib"))
	case r.MaxSizeMiB > 0 && c.Path == stdout:
		errs = append(errs, errors.New("rotation can't be used with standard output"))
	}
	if r.MaxFiles < 0 {
		errs = append(errs, errors.New("rotation::max_files can't be negative"))
	}
	return errors.Join(errs...)
}
