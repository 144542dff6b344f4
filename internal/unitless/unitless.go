// Package unitless finds durations that were written without a unit. YAML's 120 is read as 120 nanoseconds, which is never
// meant: a wait of two minutes is none, and an interval becomes an endless hurry. It promises that none of less than
// a millisecond is left in a configuration, those of the Collector's own parts in it included, and gives up larger
// numbers: who writes microseconds without a unit is believed.
package unitless

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Least is the least duration that is taken for one with a unit.
const Least = time.Millisecond

// Duration is what is wrong with an option that is d, nil for nothing. 0 needs no unit, and what is below it has another fault.
func Duration(key string, d time.Duration) error {
	if d <= 0 || d >= Least {
		return nil
	}
	return fmt.Errorf("%s is %v, which is too short: has it no unit? A number alone is of nanoseconds; write %ds for seconds", key, d, int64(d))
}

// Check reports each such duration of a configuration, which is a pointer to a struct, by its path, as in timeouts::idle.
func Check(config any) error {
	var errs []error
	walk(reflect.ValueOf(config), nil, 0, &errs)
	return errors.Join(errs...)
}

const deepest = 20

var duration = reflect.TypeFor[time.Duration]()

func walk(v reflect.Value, path []string, depth int, errs *[]error) {
	if depth++; depth > deepest {
		return
	}
	switch v.Kind() {
	case reflect.Int64:
		if v.Type() == duration {
			if err := Duration(strings.Join(path, "::"), time.Duration(v.Int())); err != nil {
				*errs = append(*errs, err)
			}
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), path, depth, errs)
		}
	case reflect.Slice, reflect.Array:
		if holds(v.Type().Elem()) {
			for i := range v.Len() {
				walk(v.Index(i), add(path, strconv.Itoa(i)), depth, errs)
			}
		}
	case reflect.Map:
		if !holds(v.Type().Elem()) {
			return
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, k := range keys {
			walk(v.MapIndex(k), add(path, fmt.Sprint(k)), depth, errs)
		}
	case reflect.Struct:
		if inner, ok := optional(v); ok {
			walk(inner, path, depth, errs)
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			name, flags, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
			switch {
			case name == "-":
			case name == "" && (f.Anonymous || strings.Contains(flags, "squash")):
				walk(v.Field(i), path, depth, errs)
			case name == "":
				walk(v.Field(i), add(path, strings.ToLower(f.Name)), depth, errs)
			default:
				walk(v.Field(i), add(path, name), depth, errs)
			}
		}
	default:
	}
}

// holds reports whether what is of the type may hold a duration, so that lists of texts need no walk.
func holds(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Array, reflect.Map:
		return true
	default:
		return t == duration
	}
}

// optional gives what is in an optional section of the Collector's, which hides it behind Get; ok is false for anything else.
func optional(v reflect.Value) (inner reflect.Value, ok bool) {
	if !strings.HasPrefix(v.Type().Name(), "Optional[") {
		return v, false
	}
	if !v.CanAddr() {
		held := reflect.New(v.Type())
		held.Elem().Set(v)
		v = held.Elem()
	}
	get := v.Addr().MethodByName("Get")
	if !get.IsValid() || get.Type().NumIn() != 0 || get.Type().NumOut() != 1 {
		return v, false
	}
	return get.Call(nil)[0], true
}

// add is path with name behind it, and never in path's own memory.
func add(path []string, name string) []string { return append(path[:len(path):len(path)], name) }
