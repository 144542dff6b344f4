package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

// TestDurationsNeedAUnit writes each duration of each of our components without a unit, as in `timeout: 5`, which is read
// as 5 nanoseconds: every one must be refused, in words that say so.
func TestDurationsNeedAUnit(t *testing.T) {
	all, err := components()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	try := func(kind string, f component.Factory) {
		made := reflect.TypeOf(f.CreateDefaultConfig())
		if !strings.HasPrefix(made.Elem().PkgPath(), "github.com/monban/monban/") {
			return
		}
		durations(made, nil, func(path []string) {
			tried++
			const number = 123
			var settings any = number
			for i := len(path) - 1; i >= 0; i-- {
				switch path[i] {
				case "[]":
					settings = []any{settings}
				default:
					settings = map[string]any{path[i]: settings}
				}
			}
			cfg := f.CreateDefaultConfig()
			where := kind + " " + f.Type().String() + ": " + strings.Join(path, "::")
			if err := confmap.NewFromStringMap(settings.(map[string]any)).Unmarshal(cfg); err != nil {
				t.Errorf("%s: %v", where, err)
				return
			}
			if err := xconfmap.Validate(cfg); err == nil || !refused(err.Error(), path[len(path)-1]) {
				t.Errorf("%s: 123 is taken: %v", where, err)
			}
		})
	}
	for _, f := range all.Receivers {
		try("receiver", f)
	}
	for _, f := range all.Processors {
		try("processor", f)
	}
	for _, f := range all.Connectors {
		try("connector", f)
	}
	for _, f := range all.Exporters {
		try("exporter", f)
	}
	for _, f := range all.Extensions {
		try("extension", f)
	}
	if tried < 40 {
		t.Errorf("only %d durations found in all components: the walk is wrong", tried)
	}
	t.Logf("%d durations", tried)
}

// refused reports whether a message says of an option that it is too short.
func refused(message, key string) bool {
	for line := range strings.Lines(message) {
		if strings.Contains(line, key+" is 123ns, which is too short: has it no unit?") ||
			strings.Contains(line, key+" must be") && (strings.Contains(line, "at least") || strings.Contains(line, "between")) {
			return true
		}
	}
	return false
}

// durations visits the settings of a configuration that are durations, by their paths; [] is any entry of a list.
func durations(t reflect.Type, path []string, visit func(path []string)) {
	const deepest = 14
	if len(path) > deepest {
		return
	}
	add := func(name string) []string { return append(path[:len(path):len(path)], name) }
	switch {
	case t == reflect.TypeFor[time.Duration]():
		visit(path)
	case t.Kind() == reflect.Pointer:
		durations(t.Elem(), path, visit)
	case t.Kind() == reflect.Slice:
		durations(t.Elem(), add("[]"), visit)
	case t.Kind() == reflect.Map:
		durations(t.Elem(), add("x"), visit)
	case t.Kind() == reflect.Struct && strings.HasPrefix(t.Name(), "Optional["):
		durations(t.Field(0).Type, path, visit)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, flags, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
			switch {
			case !f.IsExported() || name == "-":
			case name == "" && (f.Anonymous || strings.Contains(flags, "squash")):
				durations(f.Type, path, visit)
			case name != "":
				durations(f.Type, add(name), visit)
			}
		}
	default:
	}
}
