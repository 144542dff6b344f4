package liveprovider

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func TestProvider(t *testing.T) {
	p := NewFactory().Create(confmaptest.NewNopProviderSettings())
	if err := confmaptest.ValidateProviderScheme(p); err != nil {
		t.Error(err)
	}
	_, err := p.Retrieve(context.Background(), "live:nosuch0", nil)
	if err == nil || !strings.Contains(err.Error(), "nosuch0: there is no such interface; there are ") {
		t.Errorf("%v", err)
	}
	r, err := p.Retrieve(context.Background(), "live:lo", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := p.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
