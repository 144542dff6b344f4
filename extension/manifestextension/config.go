package manifestextension

import (
	"errors"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"

	"github.com/monban/monban/internal/unitless"
)

// Config says where to answer.
type Config struct {
	// ServerConfig is where the manifest is answered at, with the Collector's own options.
	confighttp.ServerConfig `mapstructure:",squash"`

	// ChangeInterval is how far apart two records of changes are at least.
	ChangeInterval time.Duration `mapstructure:"change_interval"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = "127.0.0.1:13134"
	server.ReadHeaderTimeout = 5 * time.Second
	server.ReadTimeout = 5 * time.Second
	server.WriteTimeout = 10 * time.Second
	server.MaxRequestBodySize = 1024
	return &Config{ServerConfig: server, ChangeInterval: 10 * time.Second}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	errs := []error{unitless.Check(c)}
	if _, _, err := net.SplitHostPort(c.NetAddr.Endpoint); err != nil {
		errs = append(errs, fmt.Errorf("endpoint: %q is not host:port, such as 127.0.0.1:13134", c.NetAddr.Endpoint))
	}
	if c.ChangeInterval < time.Second {
		errs = append(errs, errors.New("change_interval must be at least 1s, or a component that flaps floods the pipeline"))
	}
	return errors.Join(errs...)
}
