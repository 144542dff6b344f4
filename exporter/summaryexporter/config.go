package summaryexporter

import (
	"errors"
	"fmt"

	"github.com/monban/monban/internal/summary"
)

// Where the summary can go.
const (
	outputStdout = "stdout"
	outputStderr = "stderr"
)

// Config says where the summary goes and what it looks like.
type Config struct {
	// Output is stdout or stderr.
	Output string `mapstructure:"output"`

	// Color is auto (a terminal that can show it, and NO_COLOR is not set), always
	// or never.
	Color string `mapstructure:"color"`

	// Width is in columns; 0 is the terminal's width, or 80 where there is none.
	Width int `mapstructure:"width"`

	// Follow prints each new report as it happens, in one line.
	Follow bool `mapstructure:"follow"`

	// Hints are set by the configurations from one word (pcap:, live:), so that the
	// summary can give advice in the same words.
	Hints summary.Hints `mapstructure:"hints"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Output != outputStdout && c.Output != outputStderr {
		errs = append(errs, fmt.Errorf("output must be stdout or stderr, not %q", c.Output))
	}
	if c.Color != summary.ColorAuto && c.Color != summary.ColorAlways && c.Color != summary.ColorNever {
		errs = append(errs, fmt.Errorf("color must be auto, always or never, not %q", c.Color))
	}
	if c.Width != 0 && (c.Width < 40 || c.Width > 500) {
		errs = append(errs, errors.New("width must be 0 for that of the terminal, or between 40 and 500"))
	}
	return errors.Join(errs...)
}
