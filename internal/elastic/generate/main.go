// Generate writes what an administrator puts on a server, below the directory that it is given,
// the root of the repository.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/monban/monban/internal/elastic"
)

func main() {
	for name, b := range elastic.Files() {
		path := filepath.Join(os.Args[1], filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
