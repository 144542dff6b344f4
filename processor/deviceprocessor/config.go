package deviceprocessor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/monban/monban/internal/device"
)

// Config of the device processor.
type Config struct {
	// Home are the prefixes of the site, as CIDR. Empty means to guess: private
	// addresses, and those that are claimed on the wire.
	Home []string `mapstructure:"home"`
	// Site tells equal addresses of several sites apart: it becomes part of the id
	// of devices that are known by address only.
	Site string `mapstructure:"site"`
	// MaxDevices bounds the inventory; past it the device longest unseen is
	// forgotten.
	MaxDevices int `mapstructure:"max_devices"`
	// OUIFile names vendors of the site's own, before the registered ones.
	OUIFile string `mapstructure:"oui_file"`
	// Storage is the storage extension that keeps the inventory; without one each
	// device is new again after a restart.
	Storage *component.ID `mapstructure:"storage"`
	// SaveInterval is how often the inventory is saved, besides at the end.
	SaveInterval time.Duration `mapstructure:"save_interval"`
}

func createDefaultConfig() component.Config {
	return &Config{MaxDevices: device.DefaultMaxDevices, SaveInterval: time.Minute}
}

// Validate reports everything that is wrong at once.
func (c *Config) Validate() error {
	_, err := c.prefixes()
	errs := []error{err}
	if strings.ContainsAny(c.Site, "@\t\r\n") {
		errs = append(errs, fmt.Errorf("site %q must not contain @, tabs or line ends", c.Site))
	}
	if c.MaxDevices < 1 {
		errs = append(errs, fmt.Errorf("max_devices must be at least 1, not %d", c.MaxDevices))
	}
	if c.SaveInterval < time.Second {
		errs = append(errs, fmt.Errorf("save_interval must be at least 1s, not %s", c.SaveInterval))
	}
	return errors.Join(errs...)
}

// prefixes reads Home; a single address stands for itself.
func (c *Config) prefixes() (all []netip.Prefix, err error) {
	var errs []error
	for _, text := range c.Home {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				errs = append(errs, fmt.Errorf("home: %q is not a prefix such as 192.168.1.0/24", text))
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, errors.Join(errs...)
}
