package baselineprocessor

import (
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/monban/monban/internal/baseline"
)

// Config of the baseline processor.
type Config struct {
	// MaxDevices bounds the devices that are learned; past it the one that was
	// silent longest is forgotten.
	MaxDevices int `mapstructure:"max_devices"`
	// Storage is the storage extension that keeps what was learned; without one it
	// is gone at the end.
	Storage *component.ID `mapstructure:"storage"`
	// SaveInterval is how often what was learned is saved, besides at the end.
	SaveInterval time.Duration `mapstructure:"save_interval"`
}

func createDefaultConfig() component.Config {
	return &Config{MaxDevices: baseline.NewDefaultConfig().MaxDevices, SaveInterval: time.Minute}
}

// Validate reports everything that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	if err := (baseline.Config{MaxDevices: c.MaxDevices}).Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.SaveInterval < time.Second {
		errs = append(errs, errors.New("save_interval must be at least 1s"))
	}
	return errors.Join(errs...)
}
