package thresholdprocessor

import (
	"errors"

	"github.com/monban/monban/internal/watch"
)

// Config of the threshold processor.
type Config struct {
	Watch watch.Config `mapstructure:",squash"`
}

// Validate reports everything that is wrong at once.
func (c *Config) Validate() error {
	return errors.Join(c.Watch.Check(), c.Watch.NoEvents())
}
