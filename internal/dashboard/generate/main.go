// Generate writes the dashboards and their reference page below the directory that it is given,
// the root of the repository.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/monban/monban/internal/dashboard"
)

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(root string) error {
	for name, b := range dashboard.Files() {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
