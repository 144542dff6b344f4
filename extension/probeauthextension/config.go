package probeauthextension

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
)

// What unknown can be.
const (
	refuse     = "refuse"
	quarantine = "quarantine"
)

// Config says who is known.
type Config struct {
	// Registry is the file of probes.
	Registry string `mapstructure:"registry"`

	// ReloadInterval is how often the file is looked at. A change is taken when it is there twice.
	ReloadInterval time.Duration `mapstructure:"reload_interval"`

	// Unknown is what happens to senders that are not in the registry: refuse or quarantine.
	Unknown string `mapstructure:"unknown"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	return &Config{ReloadInterval: 2 * time.Second, Unknown: refuse}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Registry == "" {
		errs = append(errs, errors.New("registry must be set: the file of probes"))
	}
	if c.ReloadInterval < time.Second {
		errs = append(errs, errors.New("reload_interval must be at least 1s"))
	}
	if c.Unknown != refuse && c.Unknown != quarantine {
		errs = append(errs, fmt.Errorf("unknown must be %s or %s, not %q", refuse, quarantine, c.Unknown))
	}
	return errors.Join(errs...)
}
