package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"

	"github.com/monban/monban/internal/manifest"
)

// TestSecretsAreFoundByName takes the settings that the components of this binary mark as secret, and asks whether the
// manifest would find each by its name alone. It is the measure of how well names tell, for those that are not marked.
func TestSecretsAreFoundByName(t *testing.T) {
	all, err := components()
	if err != nil {
		t.Fatal(err)
	}
	marked := 0
	look := func(kind string, f component.Factory) {
		leaves(reflect.TypeOf(f.CreateDefaultConfig()), nil, func(path []string, opaque bool) {
			unmarked := strings.HasSuffix(strings.Join(path, "::"), "tpm::auth") || path[len(path)-1] == "owner_auth" // known to be secrets
			if !opaque && !unmarked {
				return
			}
			marked++
			settings := map[string]any{}
			at := settings
			for _, key := range path[:len(path)-1] {
				next := map[string]any{}
				at[key] = next
				at = next
			}
			at[path[len(path)-1]] = "VALUE"
			if list, _ := manifest.Settings(settings); strings.Contains(fmt.Sprint(list), "VALUE") {
				t.Errorf("%s %s: %s", kind, f.Type(), list)
			}
		})
	}
	for _, f := range all.Receivers {
		look("receiver", f)
	}
	for _, f := range all.Processors {
		look("processor", f)
	}
	for _, f := range all.Connectors {
		look("connector", f)
	}
	for _, f := range all.Exporters {
		look("exporter", f)
	}
	for _, f := range all.Extensions {
		look("extension", f)
	}
	if marked < 30 {
		t.Errorf("only %d secrets found in all components: the walk is wrong", marked)
	}
}

// leaves visits the settings of a configuration that are texts, by their paths.
func leaves(t reflect.Type, path []string, visit func(path []string, opaque bool)) {
	const deepest = 14
	if len(path) > deepest {
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		leaves(t.Elem(), path, visit)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
			switch optional := strings.HasPrefix(t.Name(), "Optional["); {
			case optional && f.Type.Kind() != reflect.Struct && f.Type.Kind() != reflect.Pointer && f.Type.Kind() != reflect.String, key == "-", !optional && key == "" && !f.IsExported():
			case key == "":
				leaves(f.Type, path, visit)
			default:
				leaves(f.Type, append(path[:len(path):len(path)], key), visit)
			}
		}
	case reflect.String:
		if len(path) > 0 {
			visit(path, t.PkgPath() == "go.opentelemetry.io/collector/config/configopaque")
		}
	}
}
