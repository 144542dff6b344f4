// Package learnedprovider gives a whole configuration for
// learned:DIR: lists what was learned and kept in DIR, and takes decisions on it.
// What the word may hold and what it stands for is in its README.
package learnedprovider

import (
	"context"

	"go.opentelemetry.io/collector/confmap"

	"github.com/monban/monban/internal/oneword"
)

// NewFactory makes the factory of the provider for learned: URIs.
func NewFactory() confmap.ProviderFactory {
	return confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return provider{} })
}

type provider struct{}

// Retrieve turns the word into a configuration. Two words can't be held at once:
// the second is refused until the first is closed.
func (provider) Retrieve(_ context.Context, uri string, _ confmap.WatcherFunc) (*confmap.Retrieved, error) {
	word, err := oneword.Learned.Parse(uri)
	if err != nil {
		return nil, err
	}
	return oneword.Retrieved(uri, word.Config())
}

func (provider) Scheme() string { return oneword.Learned.Name }

func (provider) Shutdown(context.Context) error { return nil }
