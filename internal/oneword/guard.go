package oneword

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/confmap"
)

var guard struct {
	sync.Mutex
	held string // the word in use
}

// Claim makes uri the one word of this process until release is called. Each
// word is a whole configuration. The Collector would merge two of them silently,
// and what came out would read neither source in full: that is refused here, as
// nobody else sees both.
func Claim(uri string) (release func(), err error) {
	guard.Lock()
	defer guard.Unlock()
	if guard.held != "" {
		return nil, fmt.Errorf("%s and %s can't be used together, as each is a whole configuration; name several files or interfaces in one word, separated by commas, or write both sources in YAML",
			guard.held, uri)
	}
	guard.held = uri
	return sync.OnceFunc(func() {
		guard.Lock()
		defer guard.Unlock()
		guard.held = ""
	}), nil
}

// Retrieved claims uri and wraps its configuration; closing it releases the claim.
func Retrieved(uri string, config map[string]any) (*confmap.Retrieved, error) {
	release, err := Claim(uri)
	if err != nil {
		return nil, err
	}
	return confmap.NewRetrieved(config, confmap.WithRetrievedClose(func(context.Context) error {
		release()
		return nil
	}))
}
