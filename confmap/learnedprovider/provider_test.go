package learnedprovider

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func TestProvider(t *testing.T) {
	t.Chdir(t.TempDir())
	p := NewFactory().Create(confmaptest.NewNopProviderSettings())
	if err := confmaptest.ValidateProviderScheme(p); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	r, err := p.Retrieve(context.Background(), "learned:"+dir+"?device=plc 1&approve=peer.out tcp/502 $x&author=anna&reason=why & when", nil)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := r.AsConf()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"storage": "state_storage", "where": dir, "device": "plc 1", "approve": "peer.out tcp/502 $$x", "author": "anna", "reason": "why & when"}
	if got := conf.ToStringMap()["receivers"].(map[string]any)["learned"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	_, err = p.Retrieve(context.Background(), "learned:nowhere?aprove=x&remove=y&approve=z&author=", nil)
	for _, line := range []string{
		"nowhere: no such directory",
		`there is no option "aprove"; did you mean approve?`,
		"option author needs a value",
		"approve and remove can't be given together",
		"say which device is meant",
	} {
		if err == nil || !strings.Contains(err.Error(), "\n  "+line) {
			t.Errorf("%v does not say %q", err, line)
		}
	}
	if err := p.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
