package threatconnector

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/monban/monban/internal/threat"
)

// Config of the threat connector.
type Config struct {
	// FailOn is a severity: when a report of it or worse was written, the process
	// ends with exit code 3. Empty for never.
	FailOn string `mapstructure:"fail_on"`
	// Storage is the storage extension that keeps open incidents over a restart.
	Storage *component.ID `mapstructure:"storage"`
	// SaveInterval is how often they are saved, besides at the end.
	SaveInterval time.Duration `mapstructure:"save_interval"`
}

func createDefaultConfig() component.Config { return &Config{SaveInterval: time.Minute} }

// Validate reports everything that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	switch c.FailOn {
	case "", threat.Low, threat.Medium, threat.High, threat.Critical:
	default:
		errs = append(errs, fmt.Errorf("fail_on is %q, it must be low, medium, high or critical", c.FailOn))
	}
	if c.SaveInterval < time.Second {
		errs = append(errs, errors.New("save_interval must be at least 1s"))
	}
	return errors.Join(errs...)
}
