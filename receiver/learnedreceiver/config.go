package learnedreceiver

import (
	"errors"

	"go.opentelemetry.io/collector/component"
)

// Config says what to look at and what to decide.
type Config struct {
	// Storage is the storage extension in which the processors keep what they learn.
	Storage component.ID `mapstructure:"storage"`

	// Baseline and Inventory are the ids of the processors that learned.
	Baseline  component.ID `mapstructure:"baseline"`
	Inventory component.ID `mapstructure:"inventory"`

	// Where is what the listing calls the place; the storage's id by default.
	Where string `mapstructure:"where"`

	// Device is the name, an address or the id of one device; empty means all.
	Device string `mapstructure:"device"`

	// Approve and Remove are the key of one thing learned, or "all".
	Approve string `mapstructure:"approve"`
	Remove  string `mapstructure:"remove"`

	// Reason and Author are kept with the decision.
	Reason string `mapstructure:"reason"`
	Author string `mapstructure:"author"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Storage == (component.ID{}) {
		errs = append(errs, errors.New("storage must be set: the extension that keeps what was learned"))
	}
	if c.Approve != "" && c.Remove != "" {
		errs = append(errs, errors.New("approve and remove can't be set together"))
	}
	if (c.Approve != "" || c.Remove != "") && c.Device == "" {
		errs = append(errs, errors.New("device must be set to approve or remove something"))
	}
	if (c.Author != "" || c.Reason != "") && c.Approve == "" && c.Remove == "" {
		errs = append(errs, errors.New("author and reason do nothing without approve or remove"))
	}
	return errors.Join(errs...)
}
