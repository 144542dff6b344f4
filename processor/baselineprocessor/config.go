package baselineprocessor

import (
	"errors"
	"fmt"
	"path"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/series"
)

// Config of the baseline processor.
type Config struct {
	// MaxDevices bounds the devices that are learned; past it the one that was
	// silent longest is forgotten.
	MaxDevices int `mapstructure:"max_devices"`
	// Metrics is about series: of metrics, and of the traffic that flows tell.
	Metrics MetricsConfig `mapstructure:"metrics"`
	// Storage is the storage extension that keeps what was learned; without one it
	// is gone at the end.
	Storage *component.ID `mapstructure:"storage"`
	// SaveInterval is how often what was learned is saved, besides at the end.
	SaveInterval time.Duration `mapstructure:"save_interval"`
}

// MetricsConfig is about series.
type MetricsConfig struct {
	// Include are patterns of names of metrics that are learned, in the manner of file names.
	// Empty for all.
	Include []string `mapstructure:"include"`
	// Exclude are patterns of those that are not, though they are included.
	Exclude []string `mapstructure:"exclude"`
	// MaxSeries bounds the series that are learned; past it a new one waits until
	// another has been silent for an hour.
	MaxSeries int `mapstructure:"max_series"`
	// ForgetAfter is how long a series is silent until it is forgotten.
	ForgetAfter time.Duration `mapstructure:"forget_after"`
	// Timezone is the zone of the days and weeks of the site, such as Europe/Berlin or Local.
	Timezone string `mapstructure:"timezone"`
	// Bands adds a metric with what is expected beside each one that is learned.
	Bands bool `mapstructure:"bands"`
	// Traffic learns how much each device and application sends, where flows are judged.
	Traffic bool `mapstructure:"traffic"`
}

func createDefaultConfig() component.Config {
	s := series.NewDefaultConfig()
	return &Config{
		MaxDevices: baseline.NewDefaultConfig().MaxDevices, SaveInterval: time.Minute,
		Metrics: MetricsConfig{MaxSeries: s.MaxSeries, ForgetAfter: s.Forget, Timezone: "UTC", Traffic: true},
	}
}

// series is the same for what holds them. Validate has found what is wrong with it.
func (c *MetricsConfig) series() series.Config {
	location, err := time.LoadLocation(c.Timezone)
	if err != nil {
		location = time.UTC
	}
	return series.Config{MaxSeries: c.MaxSeries, Forget: c.ForgetAfter, Location: location}
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

// Validate reports everything that is wrong at once.
func (c *MetricsConfig) Validate() error {
	var errs []error
	if err := c.series().Validate(); err != nil {
		errs = append(errs, err)
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil {
		errs = append(errs, fmt.Errorf("timezone is %q, it must be Local, UTC or a name such as Europe/Berlin: %w", c.Timezone, err))
	}
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"include", c.Include}, {"exclude", c.Exclude}} {
		for _, p := range list.patterns {
			if _, err := path.Match(p, ""); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q is no pattern: %w", list.key, p, err))
			}
		}
	}
	return errors.Join(errs...)
}

// learns reports whether a metric is learned.
func (c *MetricsConfig) learns(name string) bool {
	matches := func(patterns []string) bool {
		for _, p := range patterns {
			if ok, _ := path.Match(p, name); ok {
				return true
			}
		}
		return false
	}
	return (len(c.Include) == 0 || matches(c.Include)) && !matches(c.Exclude)
}
