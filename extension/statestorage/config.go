package statestorage

import (
	"errors"
	"fmt"
	"os"
)

// Config is what stands under `state_storage:`.
type Config struct {
	// Directory is where the state is kept. It is created when it is missing, with mode 0750, and
	// one process at a time has it.
	Directory string `mapstructure:"directory"`
}

// Validate checks what can be checked without changing anything.
func (c *Config) Validate() error {
	if c.Directory == "" {
		return errors.New("`directory` must be set: where shall the state be kept?")
	}
	if info, err := os.Stat(c.Directory); err == nil && !info.IsDir() {
		return fmt.Errorf("`directory`: %s is not a directory", c.Directory)
	}
	return nil
}
