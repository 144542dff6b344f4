// Generate writes the reference pages and JSON schemas below the directory that
// it is given, the root of the repository.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/monban/monban/internal/reference"
)

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := reference.Files()
	if err != nil {
		return err
	}
	for name, b := range files {
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
